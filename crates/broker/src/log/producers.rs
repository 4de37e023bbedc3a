//! Idempotent producers of one partition: which batch comes next, and which came already.
//!
//! Kafka's rule: a producer's batches carry an epoch and consecutive sequence numbers. The last five batches of each
//! producer are remembered, so that a batch sent again after a lost answer is answered with its first offset instead
//! of being stored twice.

use std::collections::{HashMap, HashSet, VecDeque};

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::BatchHeader;

use crate::error::Refusal;

/// Batches a client may have in flight, and so the number that can come back as duplicates.
const REMEMBERED_BATCHES: usize = 5;

/// A batch that was stored before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeenBatch {
    first_sequence: i32,
    last_sequence: i32,
    pub(crate) base_offset: i64,
    /// Time the answer reported, ms, or -1 for CreateTime topics.
    pub(crate) append_time_ms: i64,
}

/// Verdict on the sequence numbers of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    Next,
    Duplicate(SeenBatch),
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    batches: VecDeque<SeenBatch>,
    last_offset: i64,
    last_timestamp_ms: i64,
    /// Of the newest marker, -1 before the first.
    coordinator_epoch: i32,
}

/// A producer as DescribeProducers shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerSummary {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// -1 while the epoch has no batch.
    pub(crate) last_sequence: i32,
    pub(crate) last_timestamp_ms: i64,
    pub(crate) coordinator_epoch: i32,
}

/// All idempotent producers of a partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// Checks a batch with a producer id against what was stored before it.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Sequence, Refusal> {
        if header.producer_epoch < 0 || header.base_sequence < 0 {
            return Err(Refusal::new(
                ErrorCode::InvalidRecord,
                format!(
                    "producer {}: epoch {} and sequence {} must not be negative",
                    header.producer_id, header.producer_epoch, header.base_sequence
                ),
            ));
        }
        let Some(producer) = self.by_id.get(&header.producer_id) else { return Ok(Sequence::Next) };
        if header.producer_epoch < producer.epoch {
            return Err(Refusal::new(
                ErrorCode::InvalidProducerEpoch,
                format!(
                    "producer {}: epoch {} was replaced by {}",
                    header.producer_id, header.producer_epoch, producer.epoch
                ),
            ));
        }
        if header.producer_epoch > producer.epoch {
            return match header.base_sequence {
                0 => Ok(Sequence::Next),
                sequence => Err(out_of_order(header.producer_id, 0, sequence)),
            };
        }
        let last_sequence = header.last_sequence();
        let seen =
            |batch: &&SeenBatch| batch.first_sequence == header.base_sequence && batch.last_sequence == last_sequence;
        if let Some(batch) = producer.batches.iter().find(seen) {
            return Ok(Sequence::Duplicate(*batch));
        }
        match producer.batches.back() {
            Some(last) if header.base_sequence != following(last.last_sequence) => {
                Err(out_of_order(header.producer_id, following(last.last_sequence), header.base_sequence))
            }
            // A marker raised the epoch and no batch came since: sequences begin anew.
            None if header.base_sequence != 0 => Err(out_of_order(header.producer_id, 0, header.base_sequence)),
            _ => Ok(Sequence::Next),
        }
    }

    /// Remembers a stored batch; at most `producers_max` producers are kept.
    pub(crate) fn record(&mut self, header: &BatchHeader, base_offset: i64, append_time_ms: i64, producers_max: usize) {
        let last_offset = base_offset + i64::from(header.last_offset_delta);
        self.make_room(header.producer_id, producers_max);
        let producer = self.by_id.entry(header.producer_id).or_insert_with(|| Producer {
            epoch: header.producer_epoch,
            batches: VecDeque::new(),
            last_offset,
            last_timestamp_ms: header.max_timestamp,
            coordinator_epoch: -1,
        });
        producer.last_timestamp_ms = header.max_timestamp;
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.last_offset = last_offset;
        producer.batches.push_back(SeenBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset,
            append_time_ms,
        });
    }

    /// Takes note of a transaction marker, which may raise the producer's epoch.
    pub(crate) fn record_marker(&mut self, header: &BatchHeader, coordinator_epoch: i32, producers_max: usize) {
        let (producer_id, epoch, offset) = (header.producer_id, header.producer_epoch, header.last_offset());
        self.make_room(producer_id, producers_max);
        let producer = self.by_id.entry(producer_id).or_insert_with(|| Producer {
            epoch,
            batches: VecDeque::new(),
            last_offset: offset,
            last_timestamp_ms: header.max_timestamp,
            coordinator_epoch,
        });
        producer.coordinator_epoch = coordinator_epoch;
        producer.last_timestamp_ms = header.max_timestamp;
        producer.last_offset = offset;
        if epoch > producer.epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
    }

    /// Last offsets of the newest batch of each producer: compaction keeps those batches, if only their headers.
    pub(crate) fn newest_offsets(&self) -> HashSet<i64> {
        self.by_id.values().map(|producer| producer.last_offset).collect()
    }

    /// All producers, by id.
    pub(crate) fn summaries(&self) -> Vec<ProducerSummary> {
        let summary = |(id, producer): (&i64, &Producer)| ProducerSummary {
            producer_id: *id,
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp_ms: producer.last_timestamp_ms,
            coordinator_epoch: producer.coordinator_epoch,
        };
        let mut summaries: Vec<_> = self.by_id.iter().map(summary).collect();
        summaries.sort_unstable_by_key(|summary| summary.producer_id);
        summaries
    }

    fn make_room(&mut self, producer_id: i64, producers_max: usize) {
        if self.by_id.len() < producers_max || self.by_id.contains_key(&producer_id) {
            return;
        }
        if let Some(id) = self.by_id.iter().min_by_key(|(_, producer)| producer.last_offset).map(|(id, _)| *id) {
            self.by_id.remove(&id);
        }
    }
}

fn out_of_order(producer_id: i64, expected: i32, got: i32) -> Refusal {
    Refusal::new(
        ErrorCode::OutOfOrderSequenceNumber,
        format!("producer {producer_id}: sequence {got} came where {expected} was expected"),
    )
}

/// The sequence number after `sequence`; they wrap from `i32::MAX` to 0.
fn following(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}
