//! The one error of this crate: what was being done, where, and what the user can change.

use std::fmt;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

use crate::types::TopicId;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Addresses tried in vain, each with the reason; prints as `host:port (reason), ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAddresses(pub Vec<(String, String)>);

impl fmt::Display for FailedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, reason)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{address} ({reason})")?;
        }
        Ok(())
    }
}

/// Everything that can go wrong in the client.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value nothing can work with.
    #[error("option {option}: {reason}")]
    InvalidOption {
        /// Name of the option or options.
        option: String,
        /// What it must be.
        reason: String,
    },

    /// No bootstrap address gave a usable connection.
    #[error("no broker reachable: {failed}")]
    Bootstrap {
        /// Every address tried and why it failed.
        failed: FailedAddresses,
    },

    /// A connection to a broker could not be made. Nothing was sent.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// `host:port`.
        address: Arc<str>,
        /// What failed: look-up, TCP, version negotiation.
        reason: String,
    },

    /// TLS with a broker is not possible: the certificate of one side does not satisfy the other.
    #[error("no TLS with {address}: {reason}")]
    Tls {
        /// `host:port`.
        address: Arc<str>,
        /// What is wrong and what to change.
        reason: String,
    },

    /// The broker, or this client, refused the SASL exchange.
    #[error("{mechanism} authentication at {address} failed: {reason}")]
    Authentication {
        /// `host:port`.
        address: Arc<str>,
        /// Mechanism, as brokers name it.
        mechanism: &'static str,
        /// Why, in the broker's words if it gave some.
        reason: String,
    },

    /// The connection ended while a request waited for its answer: whether it was applied is unknown.
    #[error("connection to {address} lost during {api:?}: {reason}")]
    ConnectionLost {
        /// `host:port`.
        address: Arc<str>,
        /// Request that was waiting.
        api: ApiKey,
        /// Why the connection ended.
        reason: Arc<str>,
    },

    /// No answer within the request's deadline: whether it was applied is unknown. The connection is closed.
    #[error("{address} did not answer {api:?} within {timeout_ms} ms (request_timeout_ms)")]
    RequestTimeout {
        /// `host:port`.
        address: Arc<str>,
        /// Request that was waiting.
        api: ApiKey,
        /// How long it waited, in milliseconds.
        timeout_ms: u64,
    },

    /// The broker does not offer a version of a request this client speaks.
    #[error("{address} does not support {api:?} as this client needs it: {reason}")]
    UnsupportedApi {
        /// `host:port`.
        address: Arc<str>,
        /// Request wanted.
        api: ApiKey,
        /// The two version ranges.
        reason: String,
    },

    /// Bytes that are not what the protocol says.
    #[error("{address} sent a malformed {api:?} response: {reason}")]
    Malformed {
        /// `host:port`.
        address: Arc<str>,
        /// Request answered.
        api: ApiKey,
        /// What is wrong.
        reason: String,
    },

    /// A request could not be encoded, most often a field the negotiated version lacks.
    #[error("cannot encode {api:?} for {address}: {reason}")]
    Encode {
        /// `host:port`.
        address: Arc<str>,
        /// Request to send.
        api: ApiKey,
        /// What is wrong.
        reason: String,
    },

    /// A broker answered with an error code.
    #[error("{api:?} of {subject} failed at {address}: {code}{}", .message.as_deref().map(|m| format!(" ({m})")).unwrap_or_default())]
    Server {
        /// `host:port`.
        address: Arc<str>,
        /// Request answered.
        api: ApiKey,
        /// Topic, partition or group the code is about.
        subject: String,
        /// The code.
        code: ErrorCode,
        /// The broker's own words, when it gave some.
        message: Option<String>,
    },

    /// The cluster does not know the topic.
    #[error("topic {topic} does not exist")]
    UnknownTopic {
        /// Topic name.
        topic: Arc<str>,
    },

    /// The cluster has no broker of this id.
    #[error("the cluster has no broker {node_id}")]
    UnknownBroker {
        /// Broker id asked for.
        node_id: i32,
    },

    /// The topic has fewer partitions.
    #[error("topic {topic} has no partition {partition}: it has {partition_count}")]
    UnknownPartition {
        /// Topic name.
        topic: Arc<str>,
        /// Partition asked for.
        partition: i32,
        /// Partitions the topic has.
        partition_count: usize,
    },

    /// No broker leads the partition at the moment.
    #[error("topic {topic} partition {partition} has no leader")]
    NoLeader {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
    },

    /// The position is not in the log any more, or not yet. Delivery rule 6: the partition stops until it is sought.
    #[error(
        "offset {offset} of topic {topic} partition {partition} is out of range: the log holds {log_start} to \
         {high_watermark}"
    )]
    OffsetOutOfRange {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// Offset asked for.
        offset: i64,
        /// First offset in the log, -1 when unknown.
        log_start: i64,
        /// Offset after the last record, -1 when unknown.
        high_watermark: i64,
    },

    /// The topic was deleted and created again: offsets of the old one mean nothing. Delivery rule 6.
    #[error(
        "topic {topic} was deleted and created again while partition {partition} was read at offset {offset} \
         (topic id {old_id} became {new_id})"
    )]
    TopicRecreated {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// Position in the old topic.
        offset: i64,
        /// Id when the partition was assigned.
        old_id: TopicId,
        /// Id now.
        new_id: TopicId,
    },

    /// The partition's new leader lacks records that had been read: an unclean election lost them (KIP-320). Delivery
    /// rule 6: the partition stops until it is sought.
    #[error(
        "topic {topic} partition {partition} was truncated: offset {position} was reached, but the log of the new \
         leader {}",
        .diverged_at.map_or_else(|| "has nothing of that time".to_owned(), |at| format!("differs from offset {at} on"))
    )]
    LogTruncated {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// The offset that was to be read next.
        position: i64,
        /// First offset whose record is not the one that was read, `None` when the leader cannot tell.
        diverged_at: Option<i64>,
    },

    /// A record batch fails its checksum or cannot be read.
    #[error("topic {topic} partition {partition} offset {offset}: {source}")]
    CorruptBatch {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// Base offset of the batch, or the position when even that cannot be read.
        offset: i64,
        /// What is wrong.
        source: Arc<kanat_protocol::Error>,
    },

    /// A record cannot be put into a batch: headers or sizes the format cannot hold.
    #[error("record for topic {topic} partition {partition} cannot be encoded: {source}")]
    EncodeRecord {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// What is wrong.
        source: Arc<kanat_protocol::Error>,
    },

    /// A record is larger than a batch may be.
    #[error(
        "record of {record_bytes} bytes for topic {topic} partition {partition} is larger than record_bytes_max \
         {record_bytes_max}"
    )]
    RecordTooLarge {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// Encoded size, in bytes.
        record_bytes: usize,
        /// The bound, in bytes.
        record_bytes_max: usize,
    },

    /// [`Producer::try_send`](crate::Producer::try_send) found the buffer full.
    #[error("producer buffer is full: buffer_bytes_max {buffer_bytes_max}")]
    BufferFull {
        /// The bound, in bytes.
        buffer_bytes_max: usize,
    },

    /// A record was not acknowledged in time.
    #[error(
        "no acknowledgement for topic {topic} partition {partition} within delivery_timeout_ms {delivery_timeout_ms}{}{}",
        if *.maybe_written { ", whether the record was written is unknown" } else { ", the record was not written" },
        .last.as_ref().map(|last| format!("; last: {last}")).unwrap_or_default()
    )]
    DeliveryTimeout {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// The bound, in milliseconds.
        delivery_timeout_ms: u64,
        /// Whether an attempt ended without telling what became of the record.
        maybe_written: bool,
        /// The last failure of an attempt. `None` when the record was never sent.
        last: Option<Box<Error>>,
    },

    /// The broker lost track of the idempotent producer's sequence: whether the batch was applied is unknown.
    #[error("sequence of topic {topic} partition {partition} broke ({code}): whether the batch was applied is unknown")]
    SequenceBroken {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// The code that told.
        code: ErrorCode,
    },

    /// The broker refused this record, and this one only, of its batch (KIP-467): the others were sent again without
    /// it.
    #[error("topic {topic} partition {partition}: record refused: {reason}")]
    InvalidRecord {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// The broker's own words.
        reason: Arc<str>,
    },

    /// A record was on its way when it was given up.
    #[error("whether a record for topic {topic} partition {partition} was written is unknown: {reason}")]
    Unacknowledged {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// Why nobody waits for the answer any more.
        reason: Arc<str>,
    },

    /// Another producer took over the transactional id. This one can do nothing any more.
    #[error("another producer has taken over transactional id {transactional_id}")]
    ProducerFenced {
        /// Transactional id.
        transactional_id: Arc<str>,
    },

    /// Something of the transaction is lost: it can only be aborted.
    #[error("transaction must be aborted: {cause}")]
    TransactionMustAbort {
        /// What happened.
        cause: Box<Error>,
    },

    /// The record's transaction was aborted.
    #[error("transaction aborted")]
    TransactionAborted,

    /// Whether the transaction was committed is unknown. The next `begin` aborts it unless it was.
    #[error("whether the transaction was committed is unknown: {cause}")]
    CommitUnknown {
        /// What happened.
        cause: Box<Error>,
    },

    /// A transaction was asked for something it cannot do now.
    #[error("transactional producer: {reason}")]
    TransactionState {
        /// What is in the way.
        reason: Arc<str>,
    },

    /// Offsets cannot be committed from outside while the group has members.
    #[error("consumer group {group} has active members; stop them, or use another group")]
    GroupActive {
        /// Group id.
        group: Arc<str>,
    },

    /// The group has committed nothing for the partition, and the options name no other place to start.
    #[error("group {group} has no committed offset for {topic_partition}; seek, or choose a start offset")]
    NoCommittedOffset {
        /// Group id.
        group: Arc<str>,
        /// Partition just assigned.
        topic_partition: crate::TopicPartition,
    },

    /// The leader of the group sent an assignment that cannot be read.
    #[error("the leader of group {group} sent an assignment that is none; are all members consumers?")]
    MalformedAssignment {
        /// Group id.
        group: Arc<str>,
    },

    /// More commits wait for the coordinator than may.
    #[error("{waiting_max} commits wait for the coordinator already; await some of them")]
    TooManyCommits {
        /// The bound.
        waiting_max: usize,
    },

    /// The partition is not assigned to this consumer.
    #[error("{topic_partition} is not assigned")]
    NotAssigned {
        /// Partition asked for.
        topic_partition: crate::TopicPartition,
    },

    /// [`Consumer::next`](crate::Consumer::next) was called with nothing assigned.
    #[error("no partition is assigned")]
    NothingAssigned,

    /// An aggregator of a [`BatchProducer`](crate::BatchProducer), or the client behind it, failed in its own way.
    #[error("aggregator of the batch producer: {source}")]
    Aggregator {
        /// What it said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// An input does not even fit into an empty aggregator of a [`BatchProducer`](crate::BatchProducer).
    #[error("input is larger than the batch producer's aggregator takes")]
    InputTooLarge,

    /// Retries went on until their deadline.
    #[error("gave up after {elapsed_ms} ms of retries: {last}")]
    RetryTimeout {
        /// Time spent, in milliseconds.
        elapsed_ms: u64,
        /// Error of the last attempt.
        last: Box<Error>,
    },

    /// The component was closed.
    #[error("{what} is closed")]
    Closed {
        /// Which one.
        what: &'static str,
    },
}

impl Error {
    /// The error of an [`Aggregator`](crate::Aggregator) that failed in its own way.
    pub fn aggregator(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Aggregator { source: Arc::from(source.into()) }
    }

    /// Whether doing the same again may succeed without anybody changing anything: lost connections, leader moves, a
    /// coordinator that loads or writes the markers of the transaction before. Says nothing about whether the first attempt was applied.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Connect { .. }
            | Error::Bootstrap { .. }
            | Error::ConnectionLost { .. }
            | Error::RequestTimeout { .. }
            | Error::NoLeader { .. } => true,
            // Kafka's own table does not count the second one, but its leaders answer it to a produce request of the next
            // transaction while markers are being written.
            Error::Server { code, .. } => code.is_retriable() || *code == ErrorCode::ConcurrentTransactions,
            _ => false,
        }
    }

    /// Whether the request may have been applied although it failed.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Error::ConnectionLost { .. }
            | Error::RequestTimeout { .. }
            | Error::SequenceBroken { .. }
            | Error::CommitUnknown { .. }
            | Error::Unacknowledged { .. } => true,
            Error::DeliveryTimeout { maybe_written, .. } => *maybe_written,
            Error::RetryTimeout { last, .. } => last.is_outcome_unknown(),
            _ => false,
        }
    }

    /// A short name of what went wrong between request and answer, for metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Error::Connect { .. } => "NOT_SENT",
            Error::ConnectionLost { .. } => "CONNECTION_LOST",
            Error::RequestTimeout { .. } => "NO_ANSWER_IN_TIME",
            Error::Malformed { .. } => "MALFORMED_ANSWER",
            Error::Encode { .. } => "NOT_ENCODED",
            _ => "OTHER",
        }
    }

    /// The broker's error code, if one is behind this error.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Server { code, .. } | Error::SequenceBroken { code, .. } => Some(*code),
            Error::OffsetOutOfRange { .. } => Some(ErrorCode::OffsetOutOfRange),
            Error::UnknownTopic { .. } | Error::UnknownPartition { .. } => Some(ErrorCode::UnknownTopicOrPartition),
            Error::RetryTimeout { last, .. } => last.code(),
            Error::DeliveryTimeout { last: Some(last), .. } => last.code(),
            Error::TransactionMustAbort { cause } | Error::CommitUnknown { cause } => cause.code(),
            _ => None,
        }
    }
}
