//! Options of a producer.

use std::time::Duration;

use kanat_protocol::compression::Compression;

use super::partitioner::Partitioning;
use crate::error::{Error, Result};
use crate::produce::Acks;
use crate::types::UnknownTopic;

/// Options of a [`Producer`](crate::Producer).
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerOptions {
    /// How long a batch that is not full waits for more records, in milliseconds.
    pub linger_ms: u64,
    /// Size at which a batch is full, before compression, in bytes.
    pub batch_bytes_max: usize,
    /// Largest record accepted, encoded and uncompressed, in bytes. One larger than `batch_bytes_max` gets a batch of
    /// its own.
    pub record_bytes_max: usize,
    /// Most bytes of records not yet acknowledged, uncompressed. Further sends wait.
    pub buffer_bytes_max: usize,
    /// Most bytes of batches in one request; at least one batch goes.
    pub request_bytes_max: usize,
    /// Requests under way at one broker. Batches of one partition may be in up to 5 of them, the number a broker
    /// remembers to recognise repeated ones; order is kept. Without [`idempotent`](Self::idempotent) a partition is in
    /// one at a time.
    pub in_flight_requests_max: usize,
    /// Longest time from [`send`](crate::Producer::send) to acknowledgement, retries included, in milliseconds. A
    /// request under way at its end is waited for, at most `request_timeout_ms`.
    pub delivery_timeout_ms: u64,
    /// Copies that must have a batch before it counts as written.
    pub acks: Acks,
    /// Whether the broker recognises repeated batches. Without it nothing is repeated whose outcome is unknown.
    pub idempotent: bool,
    /// How records that name no partition get one.
    pub partitioning: Partitioning,
    /// Codec and level.
    pub compression: Compression,
    /// What to do about a topic that does not exist.
    pub unknown_topic: UnknownTopic,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        ProducerOptions {
            linger_ms: 5,
            batch_bytes_max: 512 * 1024,
            record_bytes_max: 1_000_000,
            buffer_bytes_max: 32 * 1024 * 1024,
            request_bytes_max: 8 * 1024 * 1024,
            in_flight_requests_max: 5,
            delivery_timeout_ms: 120_000,
            acks: Acks::All,
            idempotent: true,
            partitioning: Partitioning::Default,
            compression: Compression::NONE,
            unknown_topic: UnknownTopic::Error,
        }
    }
}

impl ProducerOptions {
    pub(super) fn validate(&self) -> Result<()> {
        let invalid =
            |option: &str, reason: &str| Err(Error::InvalidOption { option: option.into(), reason: reason.into() });
        let largest = 1 << 30;
        if !(1024..=largest).contains(&self.batch_bytes_max) || !(1024..=largest).contains(&self.record_bytes_max) {
            return invalid("batch_bytes_max, record_bytes_max", "must be between 1024 and 1073741824");
        }
        if self.request_bytes_max > largest {
            return invalid("request_bytes_max", "must be at most 1073741824");
        }
        if self.buffer_bytes_max < self.record_bytes_max.max(self.batch_bytes_max) {
            return invalid("buffer_bytes_max", "must be at least batch_bytes_max and record_bytes_max");
        }
        if self.in_flight_requests_max == 0 || self.delivery_timeout_ms == 0 {
            return invalid("in_flight_requests_max, delivery_timeout_ms", "must be above 0");
        }
        if self.idempotent && self.acks != Acks::All {
            return invalid("acks", "must be All for an idempotent producer");
        }
        Ok(())
    }

    pub(super) fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        Duration::from_millis(self.delivery_timeout_ms)
    }
}
