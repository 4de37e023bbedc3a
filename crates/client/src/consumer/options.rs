//! Options of a consumer.

use crate::error::{Error, Result};
use crate::types::Isolation;

/// Smallest `fetch_bytes_max` a broker is asked for when many brokers share the buffer.
pub(super) const FETCH_BYTES_FLOOR: usize = 64 * 1024;

/// What to do about a position that is not in the log (delivery rule 6), also after a new leader turned out to lack
/// records that had been read. All but the first report the jump as a [`Gap`](crate::Gap).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutOfRangePolicy {
    /// Stop the partition with [`Error::OffsetOutOfRange`] or [`Error::LogTruncated`].
    #[default]
    Fail,
    /// Go on with the first record in the log.
    Earliest,
    /// Go on with the next record written.
    Latest,
    /// Go on with the first record at most this old by its timestamp, in milliseconds before now; with the next record
    /// written when there is none. Kafka's `by_duration` (KIP-1106).
    ByDurationMs(u64),
}

/// Options of a [`Consumer`](crate::Consumer).
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerOptions {
    /// Which records of transactions are delivered. Default: read committed.
    pub isolation: Isolation,
    /// Most bytes one fetch may return, in bytes. A broker exceeds it only for a single batch that is larger. With many
    /// brokers less is asked for, so that every broker finds room in `buffer_bytes_max`.
    pub fetch_bytes_max: usize,
    /// Most bytes of one partition in one fetch, in bytes; also the usual size of one [`Fetched`](crate::Fetched).
    pub partition_fetch_bytes_max: usize,
    /// Longest wait at the broker for `fetch_bytes_min`, in milliseconds.
    pub fetch_wait_ms_max: u32,
    /// Bytes a broker waits for before it answers, within `fetch_wait_ms_max`.
    pub fetch_bytes_min: u32,
    /// Most bytes fetched ahead and not yet delivered, all partitions together, in bytes. Fetches pause while it is
    /// used up. A response counts whole until its last item is delivered.
    pub buffer_bytes_max: usize,
    /// What to do about a position that is not in the log. Default: fail.
    pub out_of_range: OutOfRangePolicy,
    /// Rack of this reader, as in the brokers' `broker.rack`: a leader with a replica selector then names the closest
    /// replica, which is fetched from until it fails or metadata is renewed (KIP-392). Java's `client.rack`.
    pub client_rack: Option<String>,
    /// Whether the consumer fetches over the client's own fetch connections although another consumer uses them.
    /// Default false: the first consumer of a client uses them, every further one gets connections of its own, so that
    /// none waits for another's long poll.
    pub shared_connections: bool,
    /// Whether the checksum of every batch is verified here. Turn off when whoever decodes the batches verifies it.
    pub check_crc: bool,
    /// How long a topic that the cluster does not know is waited for before it is an error, in milliseconds: metadata
    /// of a topic just created takes a moment to reach every broker.
    pub unknown_topic_wait_ms: u64,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions {
            isolation: Isolation::ReadCommitted,
            fetch_bytes_max: 4 * 1024 * 1024,
            partition_fetch_bytes_max: 1024 * 1024,
            fetch_wait_ms_max: 500,
            fetch_bytes_min: 1,
            buffer_bytes_max: 16 * 1024 * 1024,
            out_of_range: OutOfRangePolicy::Fail,
            client_rack: None,
            shared_connections: false,
            check_crc: true,
            unknown_topic_wait_ms: 2_000,
        }
    }
}

impl ConsumerOptions {
    pub(super) fn validate(&self) -> Result<()> {
        let invalid = |option: &str, reason: &str| {
            Err(Error::InvalidOption { option: option.to_owned(), reason: reason.to_owned() })
        };
        let bounds =
            [("fetch_bytes_max", self.fetch_bytes_max), ("partition_fetch_bytes_max", self.partition_fetch_bytes_max)];
        for (name, bytes) in bounds {
            if bytes < 1024 || i32::try_from(bytes).is_err() {
                return invalid(name, "must be between 1024 and 2147483647");
            }
        }
        if self.buffer_bytes_max < FETCH_BYTES_FLOOR || u32::try_from(self.buffer_bytes_max).is_err() {
            return invalid("buffer_bytes_max", "must be between 65536 and 4294967295");
        }
        if i32::try_from(self.fetch_wait_ms_max).is_err() || i32::try_from(self.fetch_bytes_min).is_err() {
            return invalid("fetch_wait_ms_max, fetch_bytes_min", "must be at most 2147483647");
        }
        Ok(())
    }

    /// What one of `brokers` brokers is asked for: half the buffer shared by all, so that a fetch under way at each of
    /// them leaves room for what is buffered.
    pub(super) fn fetch_bytes(&self, brokers: usize) -> usize {
        let share = self.buffer_bytes_max / (2 * brokers.max(1));
        share.max(FETCH_BYTES_FLOOR).min(self.fetch_bytes_max).min(self.buffer_bytes_max)
    }
}
