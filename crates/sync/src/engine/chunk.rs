//! Records of one stream that wait to become rows.
//!
//! Bodies are decompressed and checked once, when they arrive; records are looked at once, when the
//! chunk is turned into rows. In between nothing is kept per record.

use kanat_client::Fetched;
use kanat_protocol::batch::Records;
use kanat_protocol::compression::Decompressor;

use super::metadata_columns::Envelope;
use crate::error::{Error, Result};

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordView<'a> {
    pub(crate) envelope: Envelope<'a>,
    pub(crate) value: Option<&'a [u8]>,
}

/// A decompressed batch and where it belongs.
#[derive(Debug)]
struct Body {
    partition: i32,
    /// Records below were delivered before (a fetch starts at a batch, not at a record).
    first_offset: i64,
    records: Records,
}

/// Decompressed batches of one stream.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bodies: Vec<Body>,
    records: usize,
    bytes: usize,
}

impl Chunk {
    /// Takes over the batches of one fetch.
    pub(crate) fn push(&mut self, fetched: &Fetched, decompressor: &mut Decompressor) -> Result<()> {
        for batch in &fetched.batches {
            let offset = batch.header().base_offset;
            let damaged =
                |source| Error::kafka(format!("reading the batch of {} at offset {offset}", fetched.tp), source);
            batch.verify_crc().map_err(damaged)?;
            let records = batch.records(decompressor).map_err(damaged)?;
            self.records += records.len();
            self.bytes += records.body().len();
            self.bodies.push(Body { partition: fetched.tp.partition, first_offset: fetched.first_offset, records });
        }
        Ok(())
    }

    /// Records waiting.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Uncompressed bytes waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every record, in the order of arrival.
    pub(crate) fn views<'a>(&'a self, topic: &str) -> Result<Vec<RecordView<'a>>> {
        let mut views = Vec::with_capacity(self.records);
        for body in &self.bodies {
            for record in body.records.iter() {
                let record = record.map_err(|source| {
                    Error::kafka(format!("reading a record of topic {topic} partition {}", body.partition), source)
                })?;
                if record.offset < body.first_offset {
                    continue;
                }
                let envelope = Envelope {
                    partition: body.partition,
                    offset: record.offset,
                    timestamp_ms: record.timestamp,
                    key: record.key,
                };
                views.push(RecordView { envelope, value: record.value });
            }
        }
        Ok(views)
    }

    /// Forgets what was turned into rows.
    pub(crate) fn clear(&mut self) {
        self.bodies.clear();
        self.records = 0;
        self.bytes = 0;
    }
}
