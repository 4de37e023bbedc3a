//! How each column of a file is encoded, chosen by a sample of its first rows.

use std::collections::HashSet;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType as ArrowType;
use parquet::basic::{Compression as ParquetCompression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::options::{Compression, FileOptions};
use crate::error::Result;

const CREATED_BY: &str = concat!("kanat version ", env!("CARGO_PKG_VERSION"));

/// Encodings and codecs of the columns of one file.
#[derive(Debug, Clone)]
pub struct EncodingPlan {
    properties: WriterProperties,
    codec_bytes: usize,
}

impl EncodingPlan {
    /// Chooses by the first rows of a batch.
    ///
    /// # Errors
    /// [`crate::Error::Compression`] for a codec level that does not exist.
    pub fn sample(batch: &RecordBatch, options: &FileOptions) -> Result<Self> {
        let codec = options.compression.to_parquet()?;
        let mut builder = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_dictionary_enabled(false)
            .set_compression(codec)
            .set_max_row_group_bytes(Some(options.row_group_bytes_max.max(1)));
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            let choice = choose(column);
            if choice.dictionary {
                builder = builder.set_column_dictionary_enabled(path.clone(), true);
            }
            if let Some(encoding) = choice.encoding {
                builder = builder.set_column_encoding(path.clone(), encoding);
            }
            if !choice.compress {
                builder = builder.set_column_compression(path, ParquetCompression::UNCOMPRESSED);
            }
        }
        let codec_bytes = codec_bytes(options.compression) * batch.num_columns();
        Ok(Self { properties: builder.build(), codec_bytes })
    }

    /// For the Parquet writer.
    pub(crate) fn properties(&self) -> WriterProperties {
        self.properties.clone()
    }

    /// Memory of the codecs of one row group.
    pub(crate) const fn codec_bytes(&self) -> usize {
        self.codec_bytes
    }
}

/// What one codec context holds while it compresses pages of a column.
const fn codec_bytes(compression: Compression) -> usize {
    match compression {
        Compression::None => 0,
        Compression::Snappy | Compression::Lz4 => 64 << 10,
        Compression::Zstd { .. } => 768 << 10,
    }
}

struct Choice {
    dictionary: bool,
    encoding: Option<Encoding>,
    compress: bool,
}

const SAMPLE_ROWS: usize = 4096;

fn choose(column: &ArrayRef) -> Choice {
    let rows = column.len().min(SAMPLE_ROWS);
    let column = column.slice(0, rows);
    let distinct = match column.data_type() {
        ArrowType::Utf8 => column.as_string::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        ArrowType::Int64 => column.as_primitive::<Int64Type>().iter().flatten().collect::<HashSet<_>>().len(),
        ArrowType::Int32 => column.as_primitive::<Int32Type>().iter().flatten().collect::<HashSet<_>>().len(),
        ArrowType::Timestamp(..) => {
            column.as_primitive::<TimestampMicrosecondType>().iter().flatten().collect::<HashSet<_>>().len()
        }
        _ => rows,
    };
    let dictionary = distinct <= rows / 16;
    let encoding = (column.data_type() == &ArrowType::Utf8).then_some(Encoding::DELTA_LENGTH_BYTE_ARRAY);
    Choice { dictionary, encoding, compress: true }
}
