//! What makes records of inputs: one input may become a record, a part of one, or several.

use crate::error::{Error, Result};
use crate::record::Record;

/// What became of an input.
#[derive(Debug)]
pub enum TryPush<I, T> {
    /// It does not fit any more; here it is back. The batch goes out and the input is pushed again.
    NoCapacity(I),
    /// It was taken; the tag finds its status again once the batch is written.
    Aggregated(T),
}

/// Collects inputs into the records of one batch.
pub trait Aggregator: Send + 'static {
    /// What [`BatchProducer::produce`](crate::BatchProducer::produce) takes.
    type Input: Send;
    /// Names one input of a batch.
    type Tag: Send;
    /// Finds the status of an input in the offsets of its batch.
    type Deaggregator: StatusDeaggregator<Tag = Self::Tag>;

    /// Takes an input, or gives it back unchanged when the batch is full.
    ///
    /// # Errors
    /// Its own, best made by [`Error::aggregator`]; only the caller with this input sees it, and the batch must be as it
    /// was.
    fn try_push(&mut self, input: Self::Input) -> Result<TryPush<Self::Input, Self::Tag>>;

    /// Hands out the records of the batch and begins an empty one.
    ///
    /// # Errors
    /// Its own, best made by [`Error::aggregator`]; every input of the batch gets it.
    fn flush(&mut self) -> Result<(Vec<Record>, Self::Deaggregator)>;
}

/// Finds the status of an input in the offsets of its batch.
pub trait StatusDeaggregator: Send + Sync + 'static {
    /// What [`BatchProducer::produce`](crate::BatchProducer::produce) returns.
    type Status: Send;
    /// Names one input of a batch.
    type Tag: Send;

    /// The status of an input. `written` has an entry for each record that [`Aggregator::flush`] handed out: its offset,
    /// or why it was not written, which may differ between the records of a batch that had to be split.
    ///
    /// # Errors
    /// That of the record, or its own.
    fn deaggregate(&self, written: &[Result<i64>], tag: Self::Tag) -> Result<Self::Status>;
}

/// Batches records up to a size; the status of a record is its offset.
#[derive(Debug)]
pub struct RecordAggregator {
    batch_bytes_max: usize,
    bytes: usize,
    records: Vec<Record>,
}

impl RecordAggregator {
    /// Batches of at most `batch_bytes_max` bytes, counted as [`Record::approximate_bytes`].
    pub fn new(batch_bytes_max: usize) -> RecordAggregator {
        RecordAggregator { batch_bytes_max, bytes: 0, records: Vec::new() }
    }
}

impl Aggregator for RecordAggregator {
    type Input = Record;
    type Tag = usize;
    type Deaggregator = RecordOffsets;

    fn try_push(&mut self, record: Record) -> Result<TryPush<Record, usize>> {
        let bytes = record.approximate_bytes();
        if bytes > self.batch_bytes_max.saturating_sub(self.bytes) {
            return Ok(TryPush::NoCapacity(record));
        }
        self.bytes += bytes;
        self.records.push(record);
        Ok(TryPush::Aggregated(self.records.len() - 1))
    }

    fn flush(&mut self) -> Result<(Vec<Record>, RecordOffsets)> {
        self.bytes = 0;
        Ok((std::mem::take(&mut self.records), RecordOffsets))
    }
}

/// Offsets of the records of a [`RecordAggregator`].
#[derive(Debug, Clone, Copy)]
pub struct RecordOffsets;

impl StatusDeaggregator for RecordOffsets {
    type Status = i64;
    type Tag = usize;

    fn deaggregate(&self, written: &[Result<i64>], tag: usize) -> Result<i64> {
        written.get(tag).cloned().unwrap_or_else(|| Err(Error::aggregator("no offset for the record")))
    }
}
