//! Produce.

use bytes::Bytes;
use kanat_protocol::batch::{Batches, RecordBatch};
use kanat_protocol::compression::Codec;
use kanat_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kanat_protocol::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kanat_protocol::messages::{ProduceRequest, ProduceResponse};
use kanat_protocol::{Error as ProtocolError, ErrorCode};

use super::{Context, Handle, text};
use crate::cluster::unknown_partition;
use crate::error::Refusal;
use crate::log::{Appended, Origin};
use crate::quotas::Quota;
use crate::topic::{Partition, Topic};
use crate::transaction::{AddPolicy, Identity};

/// First version whose producers know zstd.
const ZSTD_VERSION_MIN: i16 = 7;
/// First version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION_MIN: i16 = 11;
/// First version whose partitions become part of the transaction by being written to.
const IMPLICIT_VERSION_MIN: i16 = 12;

impl Handle for ProduceRequest {
    fn partitions(&self, context: &Context) -> Vec<(String, i32)> {
        let named = |topic: &TopicProduceData| {
            let name = context.topic_name(&topic.name, topic.topic_id)?;
            Some(topic.partition_data.iter().map(move |partition| (name.clone(), partition.index)).collect::<Vec<_>>())
        };
        self.topic_data.iter().filter_map(named).flatten().collect()
    }

    fn wants_answer(&self) -> bool {
        self.acks != 0
    }

    async fn handle(self, context: &Context) -> ProduceResponse {
        context.run(move |context| produce(self, context)).await
    }
}

fn produce(request: ProduceRequest, context: &Context) -> ProduceResponse {
    let mut response = ProduceResponse::default();
    let mut failed = false;
    let topics = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let len_bytes: usize = topics.map(|data| data.records.as_ref().map_or(0, Bytes::len)).sum();
    context.charge_count(Quota::ProducerBytes, len_bytes);
    let acks = request.acks;
    let transactional_id = request.transactional_id.as_ref().map(|id| id.as_str());
    for topic in request.topic_data {
        let name = context.topic_name(&topic.name, topic.topic_id);
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let index = data.index;
            let result = match &name {
                Some(name) => append(name, data, acks, transactional_id, context),
                None => Err(Refusal::new(ErrorCode::UnknownTopicId, "no topic has this id")),
            };
            failed |= result.is_err();
            partitions.push(partition_response(name.as_deref(), index, result, context));
        }
        let topic = TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id);
        response.responses.push(topic.with_partition_responses(partitions));
    }
    if failed {
        response.node_endpoints = endpoints(context);
        // Without an answer a closed connection is all that can tell the producer.
        if acks == 0 {
            context.close_connection();
        }
    }
    response
}

fn append(
    topic: &str,
    data: PartitionProduceData,
    acks: i16,
    transactional_id: Option<&str>,
    context: &Context,
) -> Result<(Appended, i64), Refusal> {
    context.check_partition(topic, data.index)?;
    if !(-1..=1).contains(&acks) {
        return Err(Refusal::new(ErrorCode::InvalidRequiredAcks, format!("acks {acks} is not -1, 0 or 1")));
    }
    let found = context.cluster.topic(topic).and_then(|topic| Some((topic.partition(data.index)?, topic)));
    let (partition, topic) = found.ok_or_else(|| unknown_partition(topic, data.index))?;
    let leader_epoch = partition.check_leader(context.node_id, -1)?;
    let batch = single_batch(data.records.unwrap_or_default())?;
    let codec = batch.header().attributes.codec().map_err(|error| invalid(error.to_string()))?;
    if codec == Codec::Zstd && context.version < ZSTD_VERSION_MIN {
        let reason = format!("zstd needs produce version {ZSTD_VERSION_MIN}");
        return Err(Refusal::new(ErrorCode::UnsupportedCompressionType, reason));
    }
    let append = || context.cluster.append(&topic, &partition, &batch, Origin::Client, leader_epoch);
    let appended = match batch.header().attributes.is_transactional() {
        true => within_transaction(&topic, &partition, &batch, transactional_id, append, context)?,
        false => append()?,
    };
    let log_start_offset = partition.log.lock().bounds().log_start_offset;
    Ok((appended, log_start_offset))
}

/// Appends a batch while its transaction is held open.
fn within_transaction(
    topic: &Topic,
    partition: &Partition,
    batch: &RecordBatch,
    transactional_id: Option<&str>,
    append: impl FnOnce() -> Result<Appended, Refusal>,
    context: &Context,
) -> Result<Appended, Refusal> {
    let without = || Refusal::new(ErrorCode::TransactionalIdAuthorizationFailed, "there is no transactional id");
    let id = transactional_id.ok_or_else(without)?;
    let refused = |code| Refusal::new(code, "Transactional Id authorization failed.");
    context.authorize_transactional_id(id).map_err(refused)?;
    let identity = Identity { producer_id: batch.header().producer_id, epoch: batch.header().producer_epoch };
    let implicit = context.version >= IMPLICIT_VERSION_MIN;
    let policy = if implicit { AddPolicy::Implicit } else { AddPolicy::Verify };
    let (cluster, place) = (&context.cluster, (&*topic.name, partition.index));
    let appended = cluster.transactions.with_partition(cluster, id, identity, policy, place, append);
    appended.unwrap_or_else(|code| {
        let code = match code {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::InvalidTxnState if context.version >= ABORTABLE_VERSION_MIN => ErrorCode::TransactionAbortable,
            // Old clients take this one for a reason to try again.
            ErrorCode::ConcurrentTransactions if !implicit => ErrorCode::NotEnoughReplicas,
            code => code,
        };
        Err(Refusal::new(code, format!("transactional id {id}: the transaction does not allow this batch")))
    })
}

/// A produce request holds exactly one batch per partition.
fn single_batch(records: Bytes) -> Result<RecordBatch, Refusal> {
    let mut batches = Batches::new(records);
    let batch = match batches.next() {
        Some(Ok(batch)) => batch,
        Some(Err(error @ ProtocolError::OldMagic { .. })) => return Err(invalid(error.to_string())),
        Some(Err(error)) => return Err(Refusal::new(ErrorCode::CorruptMessage, error.to_string())),
        None if batches.truncated() => return Err(invalid("the record batch is cut off")),
        None => return Err(invalid("there is no record batch")),
    };
    if !batches.remaining().is_empty() {
        return Err(invalid("there must be exactly one record batch per partition"));
    }
    Ok(batch)
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRecord, reason)
}

fn partition_response(
    topic: Option<&str>,
    index: i32,
    result: Result<(Appended, i64), Refusal>,
    context: &Context,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok((appended, log_start_offset)) => response
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time_ms)
            .with_log_start_offset(log_start_offset),
        Err(refusal) => {
            let response = response
                .with_error_code(refusal.code.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
                .with_error_message(Some(text(refusal.reason)));
            let partition = topic.and_then(|topic| context.cluster.topic(topic)?.partition(index));
            match partition {
                Some(partition) if refusal.code == ErrorCode::NotLeaderOrFollower => {
                    let (leader, epoch) = partition.leader();
                    let leader = LeaderIdAndEpoch::default().with_leader_id(leader.into()).with_leader_epoch(epoch);
                    response.with_current_leader(leader)
                }
                _ => response,
            }
        }
    }
}

/// Where the nodes are, so that a producer can follow a leader without asking for metadata.
fn endpoints(context: &Context) -> Vec<NodeEndpoint> {
    let nodes = context.cluster.running_nodes();
    nodes
        .map(|node| {
            let (host, port) = node.endpoint();
            NodeEndpoint::default().with_node_id(node.id.into()).with_host(text(host)).with_port(port)
        })
        .collect()
}
