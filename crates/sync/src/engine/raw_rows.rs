//! The raw layout: the whole record as one JSON column `data`, with the Kafka columns merged in among
//! its keys, beside the columns OLake adds.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use kanat_lake::json::write_string;
use kanat_lake::raw::RawWriter;
use kanat_lake::table::DATA_COLUMN;

use super::chunk::RecordView;
use super::kafka_time::{Rfc3339, timestamp_us};
use super::key::KeyText;
use super::metadata_columns::{Envelope, KAFKA_KEY, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TIMESTAMP, MetadataColumns};
use super::rows::{Refused, Rows, json_of};
use crate::error::{Error, Result};

/// What the members of [`MEMBERS`] usually add to a record.
const MEMBERS_BYTES_USUAL: usize = 160;

/// A 32-bit string column holds less than this.
const DATA_BYTES_MAX: usize = i32::MAX as usize;

/// Makes raw rows of one stream.
#[derive(Debug)]
pub(crate) struct RawRows {
    table: String,
    metadata: MetadataColumns,
    writer: RawWriter,
    members: KafkaMembers,
    schema: SchemaRef,
    /// Memory of an earlier chunk's `data` column.
    spare: Vec<u8>,
    record_bytes_max: usize,
}

impl RawRows {
    pub(crate) fn new(table: String, metadata: MetadataColumns, record_bytes_max: usize) -> Self {
        let schema = Arc::new(Schema::empty());
        Self {
            table,
            metadata,
            writer: RawWriter::new(&MEMBERS),
            members: KafkaMembers::default(),
            schema,
            spare: Vec::new(),
            record_bytes_max,
        }
    }

    pub(crate) fn rows(&mut self, records: &[RecordView<'_>], now_us: i64) -> Result<Rows> {
        let mut refused = Vec::new();
        let mut envelopes = Vec::with_capacity(records.len());
        let mut data = std::mem::take(&mut self.spare);
        data.clear();
        data.reserve(records.iter().map(|it| it.value.map_or(0, <[u8]>::len) + MEMBERS_BYTES_USUAL).sum());
        let mut ends = Vec::with_capacity(records.len() + 1);
        ends.push(0_i32);
        for (index, record) in records.iter().enumerate() {
            let json = match json_of(record, index, self.record_bytes_max) {
                Ok(json) => json,
                Err(record) => {
                    refused.push(record);
                    continue;
                }
            };
            let (members, count) = self.members.render(&record.envelope);
            match self.writer.write(json, &members[..count], &mut data) {
                Ok(trailing) => {
                    let prefix_bytes = record.value.map_or(0, |value| value.len() - json.len());
                    refused.extend(trailing.map(|from| Refused::trailing(index, prefix_bytes + from)));
                    envelopes.push(record.envelope);
                    ends.push(self.column_end(data.len())?);
                }
                Err(reason) => refused.push(Refused::bad(index, reason)),
            }
        }
        let data = self.data_column(data, ends)?;
        Ok(Rows { batch: self.assemble(data, &envelopes, now_us)?, refused })
    }

    /// Takes back the memory of rows that are written: the `data` column is megabytes in every chunk,
    /// which the allocator would return to the system and fetch anew.
    pub(crate) fn recycle(&mut self, batch: RecordBatch) {
        let (schema, columns, _) = batch.into_parts();
        let Ok(index) = schema.index_of(DATA_COLUMN) else { return };
        let data = columns.into_iter().nth(index).and_then(|column| column.as_string_opt::<i32>().cloned());
        let Some(data) = data else { return };
        let (_, values, _) = data.into_parts();
        if let Ok(spare) = values.into_vec() {
            self.spare = spare;
        }
    }

    fn column_end(&self, bytes: usize) -> Result<i32> {
        i32::try_from(bytes).map_err(|_| {
            let reason = format!("a chunk of more than {DATA_BYTES_MAX} bytes does not fit one column");
            Error::table(self.table.clone(), reason)
        })
    }

    fn data_column(&self, data: Vec<u8>, ends: Vec<i32>) -> Result<StringArray> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        StringArray::try_new(offsets, data.into(), None).map_err(|source| Error::table(self.table.clone(), source))
    }

    fn assemble(&mut self, data: StringArray, envelopes: &[Envelope<'_>], now_us: i64) -> Result<RecordBatch> {
        let data_field: FieldRef = Arc::new(Field::new(DATA_COLUMN, DataType::Utf8, false));
        let mut columns: Vec<(FieldRef, ArrayRef)> = self.metadata.build(envelopes, now_us);
        columns.push((data_field, Arc::new(data)));
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
        if !self.schema.fields().iter().eq(fields.iter()) {
            self.schema = Arc::new(Schema::new(fields));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|source| Error::table(self.table.clone(), source))
    }
}

/// The Kafka columns as JSON members of a raw record, rendered into buffers that live on.
#[derive(Debug, Default)]
struct KafkaMembers {
    key_text: KeyText,
    key: Vec<u8>,
    key_hex: Vec<u8>,
    offset: Decimal,
    partition: Decimal,
    clock: Rfc3339,
    timestamp: Vec<u8>,
}

/// Room for the text of one integer.
#[derive(Default)]
struct Decimal(itoa::Buffer);

impl std::fmt::Debug for Decimal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Decimal")
    }
}

/// Member with the bytes of a key that is not UTF-8, in hex.
const KAFKA_KEY_HEX: &str = "_kafka_key_hex";

/// What is merged into every record, in the order of [`KafkaMembers::render`].
const MEMBERS: [&str; 5] = [KAFKA_KEY, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TIMESTAMP, KAFKA_KEY_HEX];

impl KafkaMembers {
    /// Values of [`MEMBERS`] and how many of them count: the last one only for keys that are not UTF-8.
    fn render(&mut self, envelope: &Envelope<'_>) -> ([&[u8]; MEMBERS.len()], usize) {
        self.key.clear();
        self.key_hex.clear();
        match envelope.key {
            None => self.key.extend_from_slice(b"null"),
            Some(key) => {
                write_string(self.key_text.render(key).as_bytes(), &mut self.key);
                if std::str::from_utf8(key).is_err() {
                    append_hex_string(key, &mut self.key_hex);
                }
            }
        }
        self.timestamp.clear();
        match timestamp_us(envelope.timestamp_ms) {
            None => self.timestamp.extend_from_slice(b"null"),
            Some(timestamp_us) => {
                self.timestamp.push(b'"');
                self.clock.append(timestamp_us, &mut self.timestamp);
                self.timestamp.push(b'"');
            }
        }
        let members = [
            self.key.as_slice(),
            self.offset.0.format(envelope.offset).as_bytes(),
            self.partition.0.format(envelope.partition).as_bytes(),
            self.timestamp.as_slice(),
            self.key_hex.as_slice(),
        ];
        (members, if self.key_hex.is_empty() { MEMBERS.len() - 1 } else { MEMBERS.len() })
    }
}

fn append_hex_string(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in bytes {
        out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}
