//! What the partition client and the producer share: the idempotent producer's identity, the Produce request and its
//! answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kanat_protocol::messages::produce_response::PartitionProduceResponse;
use kanat_protocol::messages::{ApiKey, InitProducerIdRequest, ProduceRequest, ProduceResponse};

use crate::cluster::{Cluster, topic_name};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::metadata::LeaderHint;
use crate::types::TopicPartition;

/// Batches from this size on are compressed and decoded on a blocking thread instead of the runtime's.
pub(crate) const INLINE_BYTES_MAX: usize = 64 * 1024;

/// How many copies must have a batch before the broker acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// Every copy in sync.
    #[default]
    All,
    /// The leader's.
    Leader,
    /// None: the broker does not answer. A record counts as written when its batch is handed to the connection, and
    /// nobody learns its offset, or that it was lost.
    None,
}

impl Acks {
    pub(crate) fn code(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        }
    }
}

/// What the cluster knows an idempotent producer by. Each partition counts its own sequence under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

impl Identity {
    /// No identity: the broker recognises no duplicates.
    pub(crate) const NONE: Identity = Identity { id: -1, epoch: -1 };

    pub(crate) fn is_some(self) -> bool {
        self.id >= 0
    }
}

/// Asks the cluster for a fresh identity, within `retry_timeout_ms`.
pub(crate) async fn init_identity(cluster: &Cluster) -> Result<Identity> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let mut retry = cluster.retry();
    loop {
        let error = match cluster.ask_any(ApiKey::InitProducerId, &request).await {
            Ok((connection, response)) => match ErrorCode::from_code(response.error_code) {
                None => return Ok(Identity { id: response.producer_id.0, epoch: response.producer_epoch }),
                Some(code) => {
                    connection.server_error(ApiKey::InitProducerId, "idempotent producer".to_owned(), code, None)
                }
            },
            Err(error) => error,
        };
        retry.wait(error).await?;
    }
}

/// The sequence after `count` more records. Sequences wrap from the largest to 0.
pub(crate) fn advance_sequence(sequence: i32, count: usize) -> i32 {
    let modulus = i64::from(i32::MAX) + 1;
    let count = i64::try_from(count).unwrap_or(0) % modulus;
    i32::try_from((i64::from(sequence) + count) % modulus).unwrap_or(0)
}

/// One request for all these batches, at most one per partition.
pub(crate) fn produce_request<'a>(
    acks: Acks,
    timeout_ms: i32,
    batches: impl Iterator<Item = (&'a TopicPartition, Bytes)>,
) -> ProduceRequest {
    let mut topics: BTreeMap<&str, Vec<PartitionProduceData>> = BTreeMap::new();
    for (partition, records) in batches {
        let data = PartitionProduceData::default().with_index(partition.partition).with_records(Some(records));
        topics.entry(&partition.topic).or_default().push(data);
    }
    let topic = |(name, partitions): (&str, Vec<PartitionProduceData>)| {
        TopicProduceData::default().with_name(topic_name(name)).with_partition_data(partitions)
    };
    ProduceRequest::default()
        .with_acks(acks.code())
        .with_timeout_ms(timeout_ms)
        .with_topic_data(topics.into_iter().map(topic).collect())
}

/// A batch was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Offset of the first record; -1 when the broker recognised the batch without knowing where it is.
    pub(crate) base_offset: i64,
    /// Time the broker stamped, -1 when the records keep their own.
    pub(crate) log_append_time: i64,
}

/// Why a broker did not append a batch.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    /// Records named as the cause, by their place in the batch, with the broker's words.
    pub(crate) records: Vec<(i32, Option<String>)>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { error, records: Vec::new() }
    }
}

/// Leaders named by an answer that refused a batch because another broker leads the partition (KIP-951).
pub(crate) fn leader_hints(response: &ProduceResponse) -> Vec<LeaderHint> {
    let mut hints = Vec::new();
    for topic in &response.responses {
        for answer in topic.partition_responses.iter().filter(|answer| answer.current_leader.leader_id.0 >= 0) {
            let leader = &answer.current_leader;
            let endpoint = response.node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
            hints.push(LeaderHint {
                partition: TopicPartition::new(topic.name.0.as_str(), answer.index),
                leader: leader.leader_id.0,
                leader_epoch: leader.leader_epoch,
                endpoint: endpoint.map(|node| (node.host.as_str().to_owned(), node.port)),
            });
        }
    }
    hints
}

/// What a Produce answer says of each partition, in the order of `partitions`; one it does not name is malformed.
pub(crate) fn read_answers_of(
    connection: &Connection,
    response: ProduceResponse,
    partitions: &[&TopicPartition],
) -> Vec<Result<Ack, Refusal>> {
    let mut answers: HashMap<&str, HashMap<i32, &PartitionProduceResponse>> = HashMap::new();
    for topic in &response.responses {
        let of_topic = answers.entry(topic.name.0.as_str()).or_default();
        of_topic.extend(topic.partition_responses.iter().map(|answer| (answer.index, answer)));
    }
    let read = |partition: &&TopicPartition| {
        let answer = answers.get(&*partition.topic).and_then(|topic| topic.get(&partition.partition));
        let Some(answer) = answer else {
            return Err(connection.malformed(ApiKey::Produce, format!("no answer for {partition}")).into());
        };
        let records = answer.record_errors.iter().map(|record| {
            (record.batch_index, record.batch_index_error_message.as_ref().map(|words| words.as_str().to_owned()))
        });
        read_answer(connection, &partition.topic, answer).map_err(|error| Refusal { error, records: records.collect() })
    };
    partitions.iter().map(read).collect()
}

/// The answer for one partition, by topic name and partition.
pub(crate) fn read_answers(
    connection: &Connection,
    response: ProduceResponse,
) -> HashMap<(String, i32), Result<Ack, Error>> {
    let mut answers = HashMap::new();
    for topic in response.responses {
        let name = topic.name.0.as_str();
        for partition in topic.partition_responses {
            answers.insert((name.to_owned(), partition.index), read_answer(connection, name, &partition));
        }
    }
    answers
}

fn read_answer(connection: &Connection, topic: &str, answer: &PartitionProduceResponse) -> Result<Ack> {
    let Some(code) = ErrorCode::from_code(answer.error_code) else {
        return Ok(Ack { base_offset: answer.base_offset, log_append_time: answer.log_append_time_ms });
    };
    // The batch is in the log already; only where is not known any more.
    if code == ErrorCode::DuplicateSequenceNumber {
        return Ok(Ack { base_offset: -1, log_append_time: -1 });
    }
    let sequence_broken = matches!(
        code,
        ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::UnknownProducerId
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping
    );
    if sequence_broken {
        return Err(Error::SequenceBroken { topic: Arc::from(topic), partition: answer.index, code });
    }
    let details = answer.record_errors.iter().map(|record| {
        let message = record.batch_index_error_message.as_ref().map_or("rejected", |message| message.as_str());
        format!("record {}: {message}", record.batch_index)
    });
    let message: Vec<String> = answer.error_message.iter().map(|m| m.as_str().to_owned()).chain(details).collect();
    let message = (!message.is_empty()).then(|| message.join("; "));
    Err(connection.server_error(ApiKey::Produce, format!("{topic}-{}", answer.index), code, message))
}

/// Whether a failed attempt may be repeated: any retriable failure when the broker recognises duplicates, else only
/// those after which nothing can have been appended.
pub(crate) fn may_repeat(error: &Error, identity: Identity) -> bool {
    if identity.is_some() {
        return error.is_retriable();
    }
    error.is_retriable() && !is_maybe_appended(error)
}

/// Whether a failed attempt may have appended the batch.
pub(crate) fn is_maybe_appended(error: &Error) -> bool {
    let code_maybe = matches!(
        error.code(),
        Some(ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend | ErrorCode::NetworkException)
    );
    error.is_outcome_unknown() || code_maybe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(advance_sequence(0, 5), 5);
        assert_eq!(advance_sequence(i32::MAX, 1), 0);
        assert_eq!(advance_sequence(i32::MAX - 1, 4), 2);
    }

    #[test]
    fn without_identity_only_failures_that_append_nothing_are_repeated() {
        let lost = Error::ConnectionLost { address: "b:1".into(), api: ApiKey::Produce, reason: "gone".into() };
        let refused = Error::Connect { address: "b:1".into(), reason: "refused".into() };
        let server = |code| Error::Server {
            address: "b:1".into(),
            api: ApiKey::Produce,
            subject: "t-0".to_owned(),
            code,
            message: None,
        };
        let known = Identity { id: 1, epoch: 0 };
        assert!(may_repeat(&lost, known) && !may_repeat(&lost, Identity::NONE));
        assert!(may_repeat(&refused, known) && may_repeat(&refused, Identity::NONE));
        let moved = server(ErrorCode::NotLeaderOrFollower);
        assert!(may_repeat(&moved, known) && may_repeat(&moved, Identity::NONE));
        let timed_out = server(ErrorCode::RequestTimedOut);
        assert!(may_repeat(&timed_out, known) && !may_repeat(&timed_out, Identity::NONE));
        assert!(!may_repeat(&server(ErrorCode::MessageTooLarge), known));
    }
}
