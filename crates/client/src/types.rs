//! Small nouns shared by every part: a partition's name, an isolation level, what to ask of an offset.

use std::fmt;
use std::sync::Arc;

/// A topic id as brokers since Kafka 2.8 hand out; a topic deleted and created again gets another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u128);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One partition of a topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Which records of transactions a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Everything up to the high watermark, records of open and aborted transactions included.
    ReadUncommitted,
    /// Up to the last stable offset, without the records of aborted transactions.
    #[default]
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn code(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

/// The offset to ask a partition for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset still in the log.
    Earliest,
    /// The offset after the last record: the last stable offset under [`Isolation::ReadCommitted`], the high watermark
    /// otherwise.
    Latest,
    /// The first record whose timestamp (milliseconds since the epoch) is at least this; none gives offset -1.
    Timestamp(i64),
}

impl OffsetSpec {
    pub(crate) fn wire_timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::Timestamp(timestamp) => timestamp,
        }
    }
}

/// What to do about a topic the cluster does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownTopic {
    /// Fail with [`Error::UnknownTopic`](crate::Error::UnknownTopic).
    #[default]
    Error,
    /// Wait for it within `retry_timeout_ms`, for a topic that is being created.
    Retry,
}

/// Answer to an [`OffsetSpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; -1 when no record has the timestamp asked for.
    pub offset: i64,
    /// Timestamp of the record at `offset` when one was asked for by timestamp, in milliseconds; else -1.
    pub timestamp: i64,
    /// Leader epoch of the record at `offset`, -1 when the broker does not say.
    pub leader_epoch: i32,
}

/// Where a reader stands in a partition.
///
/// The leader epoch lets a broker tell whether the log up to here is still the one that was read (KIP-320). An offset
/// alone converts into a position whose epoch is not known: then nothing is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the record before it, -1 when unknown.
    pub leader_epoch: i32,
}

impl From<i64> for Position {
    fn from(offset: i64) -> Self {
        Position { offset, leader_epoch: -1 }
    }
}

impl From<&OffsetAndMetadata> for Position {
    fn from(committed: &OffsetAndMetadata) -> Self {
        Position { offset: committed.offset, leader_epoch: committed.leader_epoch }
    }
}

/// A committed position of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the last record consumed, -1 when unknown.
    pub leader_epoch: i32,
    /// Free text kept beside the offset.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// A position without leader epoch and metadata.
    pub fn new(offset: i64) -> Self {
        OffsetAndMetadata { offset, leader_epoch: -1, metadata: String::new() }
    }
}

/// Who a consumer is in its group: what a transaction needs to commit the group's offsets (KIP-447).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Name of the group.
    pub group_id: String,
    /// Generation, or member epoch under the consumer protocol; -1 while the consumer is no member.
    pub generation: i32,
    /// Member id, empty while the consumer is no member.
    pub member_id: String,
    /// Fixed name, when the member has one.
    pub group_instance_id: Option<String>,
}
