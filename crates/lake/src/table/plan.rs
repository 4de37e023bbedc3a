//! How each column of a file is encoded: by trying, on a sample of its first rows.
//!
//! The sample is written once per [`Encoder`] to nowhere, by the same code that will write the file. That gives each
//! column's size in every encoding, with its codec and without. The cheapest in bytes and CPU together wins, where
//! [`NS_PER_BYTE`] says what a byte is worth. What comes out of it on real tables:
//!
//! | values | stored as |
//! |---|---|
//! | few different texts | dictionary |
//! | texts, mostly different | lengths, then bytes (`DELTA_LENGTH_BYTE_ARRAY`), with the codec |
//! | random ids | the same, without a codec that would only copy them |
//! | whole numbers, instants | differences (`DELTA_BINARY_PACKED`) |
//! | decimal numbers | plain, with the codec if it helps |
//!
//! A sample may mislead. A dictionary that grows too large is given up by the writer in mid-file; everything else only
//! costs size.

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{DataType as ArrowType, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as ParquetCompression, Encoding};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::options::{Compression, FileOptions};
use super::schema;
use crate::error::{Error, Result};

const CREATED_BY: &str = concat!("kanat version ", env!("CARGO_PKG_VERSION"));

/// Rows of a sample. Trying them costs about as much as writing three times as many.
const SAMPLE_ROWS: usize = 2048;

/// Below this a sample says nothing, and the file is probably small.
const SAMPLE_ROWS_MIN: usize = 256;

/// A byte is worth this much CPU: what it takes to store at 100 MB/s.
const NS_PER_BYTE: f64 = 10.0;

/// A page ends at this size, so that what is worked on stays in the CPU's caches.
const PAGE_BYTES_MAX: usize = 128 << 10;

/// Or at this number of rows, so that pages of tiny values can still be skipped one by one.
const PAGE_ROWS_MAX: usize = 20_000;

/// Rows the writer takes before it looks whether a page is full.
const PAGE_CHECK_ROWS_MAX: usize = 256;

/// A dictionary that outgrows this is given up for the rest of the row group.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;

/// What the encoder of one column holds beside values.
const ENCODER_BYTES: usize = 8 << 10;

/// Encodings and codecs of the columns of one file.
#[derive(Debug, Clone)]
pub struct EncodingPlan {
    properties: WriterProperties,
    columns: usize,
    compression: Compression,
}

/// A way to encode a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoder {
    /// Indices into the distinct values.
    Dictionary,
    /// Differences of numbers; texts as lengths and bytes. Other types are plain.
    Delta,
    Plain,
}

/// How one column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    encoder: Encoder,
    compressed: bool,
}

impl EncodingPlan {
    /// Chooses by the first rows of a batch.
    ///
    /// # Errors
    /// [`Error::Compression`] for a codec level that does not exist, [`Error::ColumnType`] for a type that tables do not
    /// have.
    pub fn sample(batch: &RecordBatch, options: &FileOptions) -> Result<Self> {
        let codec = options.compression.to_parquet()?;
        let schema = batch.schema();
        let choices = if batch.num_rows() < SAMPLE_ROWS_MIN {
            schema.fields().iter().map(|field| Choice::unseen(field.data_type())).collect()
        } else {
            choose(&batch.slice(0, batch.num_rows().min(SAMPLE_ROWS)), options.compression, codec)?
        };
        let mut builder = properties(codec)
            .set_max_row_group_bytes(Some(options.row_group_bytes_max.max(1)))
            .set_write_batch_size(rows_between_page_checks(batch));
        for (field, choice) in schema.fields().iter().zip(choices) {
            builder = choice.apply(builder, field.name(), field.data_type());
            if schema::is_json(field) {
                // Which document is the least in byte order helps no reader, and finding it is not free.
                let path = ColumnPath::new(vec![field.name().clone()]);
                builder = builder.set_column_statistics_enabled(path, EnabledStatistics::None);
            }
        }
        Ok(Self { properties: builder.build(), columns: batch.num_columns(), compression: options.compression })
    }

    /// For the Parquet writer.
    pub(crate) fn properties(&self) -> WriterProperties {
        self.properties.clone()
    }

    /// Memory of a row group that will be `encoded_bytes` long as it stands.
    ///
    /// The library's own figure for what encoders hold counts a megabyte per column that it reserves and does not touch.
    pub(crate) const fn memory_bytes(&self, encoded_bytes: usize) -> usize {
        let slack = encoded_bytes / 4;
        // A codec allocates when it sees its first page.
        let codecs = if encoded_bytes < PAGE_BYTES_MAX { 0 } else { self.columns * codec_bytes(self.compression) };
        encoded_bytes + slack + codecs + self.columns * ENCODER_BYTES
    }
}

impl Encoder {
    const ALL: [Self; 3] = [Self::Dictionary, Self::Delta, Self::Plain];

    /// Can it encode the type, and is it another way than those before it in [`Encoder::ALL`]?
    const fn suits(self, data_type: &ArrowType) -> bool {
        match data_type {
            ArrowType::Boolean => matches!(self, Self::Plain),
            ArrowType::Float32 | ArrowType::Float64 => !matches!(self, Self::Delta),
            // Plain text is neither smaller nor faster than lengths and bytes.
            ArrowType::Utf8 | ArrowType::Binary => !matches!(self, Self::Plain),
            _ => true,
        }
    }

    /// CPU per value, without a codec.
    const fn ns_per_value(self, data_type: &ArrowType) -> f64 {
        match (self, data_type) {
            (Self::Dictionary, ArrowType::Utf8 | ArrowType::Binary) => 25.0,
            (Self::Dictionary, _) => 20.0,
            (Self::Delta, ArrowType::Utf8 | ArrowType::Binary) => 18.0,
            (Self::Delta, _) => 12.0,
            (Self::Plain, _) => 8.0,
        }
    }

    const fn encoding(self, data_type: &ArrowType) -> Encoding {
        match data_type {
            ArrowType::Utf8 | ArrowType::Binary => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            ArrowType::Int32 | ArrowType::Int64 | ArrowType::Timestamp(..) if matches!(self, Self::Delta) => {
                Encoding::DELTA_BINARY_PACKED
            }
            _ => Encoding::PLAIN,
        }
    }
}

impl Choice {
    /// Without a sample: what is never far off.
    const fn unseen(data_type: &ArrowType) -> Self {
        let encoder = match data_type {
            ArrowType::Utf8 | ArrowType::Binary => Encoder::Dictionary,
            ArrowType::Int32 | ArrowType::Int64 | ArrowType::Timestamp(..) => Encoder::Delta,
            _ => Encoder::Plain,
        };
        Self { encoder, compressed: true }
    }

    fn apply(self, builder: WriterPropertiesBuilder, column: &str, data_type: &ArrowType) -> WriterPropertiesBuilder {
        let path = || ColumnPath::new(vec![column.to_owned()]);
        // Beside a dictionary this is the encoding after it is given up.
        let builder = builder
            .set_column_dictionary_enabled(path(), self.encoder == Encoder::Dictionary)
            .set_column_encoding(path(), self.encoder.encoding(data_type));
        if self.compressed { builder } else { builder.set_column_compression(path(), ParquetCompression::UNCOMPRESSED) }
    }
}

/// What all files and samples have in common.
fn properties(codec: ParquetCompression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_compression(codec)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
}

/// The writer looks whether a page is full only every so many rows: fewer, when values are long.
fn rows_between_page_checks(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX);
    let widest = batch.columns().iter().map(bytes).max().unwrap_or_default() / batch.num_rows().max(1);
    (PAGE_BYTES_MAX / 4 / widest.max(1)).clamp(1, PAGE_CHECK_ROWS_MAX)
}

/// The cheapest way for each column of a sample.
fn choose(sample: &RecordBatch, compression: Compression, codec: ParquetCompression) -> Result<Vec<Choice>> {
    let schema = sample.schema();
    let mut best: Vec<Option<(f64, Choice)>> = vec![None; sample.num_columns()];
    for encoder in Encoder::ALL {
        let suited = (0..sample.num_columns()).filter(|column| encoder.suits(schema.field(*column).data_type()));
        let suited: Vec<usize> = suited.collect();
        if suited.is_empty() {
            continue;
        }
        let tried = sample.project(&suited).map_err(|source| Error::Column { column: String::from("*"), source })?;
        let written = try_write(&tried, encoder, codec)?;
        for (column, size) in suited.into_iter().zip(written.row_group(0).columns()) {
            let values = sample.num_rows() as f64;
            for compressed in [false, compression != Compression::None] {
                let ns = encoder.ns_per_value(schema.field(column).data_type()) * values;
                let cost = cost_ns(size, ns, compressed.then_some(compression));
                if best[column].is_none_or(|(least, _)| cost < least) {
                    best[column] = Some((cost, Choice { encoder, compressed }));
                }
            }
        }
    }
    let unseen = |column: usize| Choice::unseen(schema.field(column).data_type());
    Ok(best.into_iter().enumerate().map(|(column, best)| best.map_or_else(|| unseen(column), |(_, it)| it)).collect())
}

/// CPU and size of a column, in nanoseconds.
fn cost_ns(column: &ColumnChunkMetaData, encode_ns: f64, codec: Option<Compression>) -> f64 {
    let plain = column.uncompressed_size() as f64;
    match codec {
        None => encode_ns + plain * NS_PER_BYTE,
        Some(codec) => encode_ns + plain * codec_ns_per_byte(codec) + column.compressed_size() as f64 * NS_PER_BYTE,
    }
}

/// Writes a sample to nowhere.
fn try_write(sample: &RecordBatch, encoder: Encoder, codec: ParquetCompression) -> Result<ParquetMetaData> {
    let schema: SchemaRef = sample.schema();
    let mut builder = properties(codec);
    for field in schema.fields() {
        builder = Choice { encoder, compressed: true }.apply(builder, field.name(), field.data_type());
    }
    let options = ArrowWriterOptions::new()
        .with_properties(builder.build())
        .with_skip_arrow_metadata(true)
        .with_parquet_schema(schema::parquet_schema(&schema)?);
    let failed = |source| Error::Schema { source };
    let mut writer =
        ArrowWriter::try_new_with_options(std::io::sink(), Schema::clone(&schema).into(), options).map_err(failed)?;
    writer.write(sample).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// What a codec takes per byte that goes in.
const fn codec_ns_per_byte(compression: Compression) -> f64 {
    match compression {
        Compression::None => 0.0,
        Compression::Snappy | Compression::Lz4 => 1.5,
        Compression::Zstd { .. } => 3.0,
    }
}

/// What the codec of one column holds.
const fn codec_bytes(compression: Compression) -> usize {
    match compression {
        Compression::None => 0,
        Compression::Snappy | Compression::Lz4 => 36 << 10,
        Compression::Zstd { .. } => 384 << 10,
    }
}
