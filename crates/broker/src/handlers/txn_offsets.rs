//! TxnOffsetCommit: offsets that count once their transaction commits.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kanat_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::offsets::check_offset;
use super::{Context, Handle, group_code};
use crate::cluster::CoordinatorKind;
use crate::group::CommitRequest;
use crate::transaction::{AddPolicy, Identity};

/// First version whose groups become part of the transaction by the commit itself.
const IMPLICIT_VERSION_MIN: i16 = 5;
/// First version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION_MIN: i16 = 4;

impl Handle for TxnOffsetCommitRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Group, self.group_id.to_string()))
    }

    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        let topics = self.topics.iter();
        let named =
            topics.flat_map(|topic| topic.partitions.iter().map(|data| (topic.name.to_string(), data.partition_index)));
        named.collect()
    }

    async fn handle(self, context: &Context) -> TxnOffsetCommitResponse {
        context.run(move |context| commit(&self, context)).await
    }
}

fn commit(request: &TxnOffsetCommitRequest, context: &Context) -> TxnOffsetCommitResponse {
    let mut offsets = Vec::new();
    let mut checked = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
            let position = (partition.committed_offset, partition.committed_leader_epoch);
            let offset = check_offset(&topic.name, index, position, metadata, context);
            if let Ok(offset) = &offset {
                offsets.push((topic.name.to_string(), index, offset.clone()));
            }
            checked.push(offset.map(|_| ()));
        }
    }
    let stored = store(request, offsets, context);
    let mut codes = checked.into_iter().map(|checked| group_code(stored.and(checked)));
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(codes.next().unwrap_or_default())
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

type NamedOffset = (String, i32, crate::group::CommittedOffset);

fn store(request: &TxnOffsetCommitRequest, offsets: Vec<NamedOffset>, context: &Context) -> Result<(), ErrorCode> {
    context.authorize_transactional_id(&request.transactional_id)?;
    context.check_coordinator(&request.group_id)?;
    // Kafka does not ask the group about partitions that do not exist.
    if offsets.is_empty() {
        return Ok(());
    }
    let cluster = &context.cluster;
    cluster.coordinator.check_commit(&CommitRequest {
        group_id: &request.group_id,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
        transactional: true,
        version: context.version,
    })?;
    let implicit = context.version >= IMPLICIT_VERSION_MIN;
    let policy = if implicit { AddPolicy::Implicit } else { AddPolicy::Verify };
    let identity = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let id = request.transactional_id.as_str();
    let stored = cluster.transactions.with_group(cluster, id, identity, policy, &request.group_id, || {
        cluster.coordinator.commit_pending(&request.group_id, identity.producer_id, offsets)
    });
    match stored {
        Ok(written) => written.map_err(|_| ErrorCode::KafkaStorageError),
        Err(ErrorCode::ProducerFenced) => Err(ErrorCode::InvalidProducerEpoch),
        Err(ErrorCode::InvalidTxnState) if context.version >= ABORTABLE_VERSION_MIN => {
            Err(ErrorCode::TransactionAbortable)
        }
        // Old clients take this one for a reason to try again.
        Err(ErrorCode::ConcurrentTransactions) if !implicit => Err(ErrorCode::CoordinatorLoadInProgress),
        Err(code) => Err(code),
    }
}
