//! The requests of transactions, and what their answers say.
//!
//! Under KIP-890 (transaction version 2) the newest versions tell the broker to enrol partitions and groups by itself
//! and to bump the epoch with every end; older transactions must stay below those versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kanat_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kanat_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, EndTxnRequest, GroupId, InitProducerIdRequest,
    TransactionalId, TxnOffsetCommitRequest,
};

use crate::cluster::{str_bytes, topic_name};
use crate::connection::Connection;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::produce::Identity;
use crate::types::{GroupMetadata, OffsetAndMetadata, TopicPartition};

/// First InitProducerId version that takes the identity before.
const INIT_WITH_EPOCH: i16 = 3;
/// Last EndTxn version that keeps the epoch.
const END_EXPLICIT_MAX: i16 = 4;
/// Last TxnOffsetCommit version that leaves it to the client to add the group to the transaction.
const OFFSETS_EXPLICIT_MAX: i16 = 4;
/// First TxnOffsetCommit version with leader epochs.
const OFFSETS_WITH_EPOCH: i16 = 2;
/// First TxnOffsetCommit version that names the member whose offsets they are (KIP-447).
const OFFSETS_WITH_MEMBER: i16 = 3;
/// The feature that tells how transactions work, and its level from which on they are implicit.
const FEATURE: &str = "transaction.version";
const FEATURE_IMPLICIT: i16 = 2;

pub(super) fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(str_bytes(id))
}

/// Asks for the identity of a transactional id; `before` is the one held until now. Tells too whether transactions are
/// implicit.
pub(super) async fn init(
    connection: Arc<Connection>,
    id: &str,
    before: Identity,
    transaction_timeout_ms: i32,
    coordinator: &Coordinator,
) -> Result<(Identity, bool)> {
    let api = ApiKey::InitProducerId;
    let version = connection.version(api)?;
    let before = if version >= INIT_WITH_EPOCH { before } else { Identity::NONE };
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id(id)))
        .with_transaction_timeout_ms(transaction_timeout_ms)
        .with_producer_id(before.id.into())
        .with_producer_epoch(before.epoch);
    let timeout = coordinator.cluster().options().request_timeout();
    let response = connection.request_version(api, version, &request, timeout).await?;
    if let Some(code) = ErrorCode::from_code(response.error_code) {
        return Err(connection.server_error(api, coordinator.subject(), code, None));
    }
    let implicit = connection.feature(FEATURE).is_some_and(|level| level >= FEATURE_IMPLICIT)
        && connection.version(ApiKey::EndTxn)? > END_EXPLICIT_MAX;
    Ok((Identity { id: response.producer_id.0, epoch: response.producer_epoch }, implicit))
}

/// Tells the coordinator of partitions the transaction writes to.
pub(super) async fn add_partitions(
    connection: Arc<Connection>,
    id: &str,
    identity: Identity,
    partitions: &[TopicPartition],
    coordinator: &Coordinator,
) -> Result<()> {
    let api = ApiKey::AddPartitionsToTxn;
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        AddPartitionsToTxnTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional_id(id))
        .with_v3_and_below_producer_id(identity.id.into())
        .with_v3_and_below_producer_epoch(identity.epoch)
        .with_v3_and_below_topics(topics.into_iter().map(topic).collect());
    let timeout = coordinator.cluster().options().request_timeout();
    let response = connection.request(api, &request, timeout).await?;
    let results = response.results_by_topic_v3_and_below.iter();
    let results = results.flat_map(|topic| topic.results_by_partition.iter().map(move |result| (topic, result)));
    let mut first = Ok(());
    for (topic, result) in results {
        let Some(code) = ErrorCode::from_code(result.partition_error_code) else { continue };
        let subject = match code {
            // The fence is about the id, whichever partition it was noticed at.
            ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch => coordinator.subject(),
            _ => format!("{}-{} in {}", topic.name.0.as_str(), result.partition_index, coordinator.subject()),
        };
        let error = connection.server_error(api, subject, code, None);
        // One that is the cause, rather than "not attempted because of another".
        if first.is_ok() || code != ErrorCode::OperationNotAttempted {
            first = Err(error);
        }
    }
    first
}

/// Tells the coordinator that the transaction commits offsets of a group.
pub(super) async fn add_group(
    connection: Arc<Connection>,
    id: &str,
    identity: Identity,
    group: &str,
    coordinator: &Coordinator,
) -> Result<()> {
    let api = ApiKey::AddOffsetsToTxn;
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(identity.id.into())
        .with_producer_epoch(identity.epoch)
        .with_group_id(GroupId(str_bytes(group)));
    let timeout = coordinator.cluster().options().request_timeout();
    let response = connection.request(api, &request, timeout).await?;
    match ErrorCode::from_code(response.error_code) {
        None => Ok(()),
        Some(code) => Err(connection.server_error(api, coordinator.subject(), code, None)),
    }
}

/// Commits offsets of a group as part of the transaction; `coordinator` is the group's.
pub(super) async fn commit_offsets(
    connection: Arc<Connection>,
    id: &str,
    identity: Identity,
    implicit: bool,
    group: &GroupMetadata,
    offsets: &[(TopicPartition, OffsetAndMetadata)],
    coordinator: &Coordinator,
) -> Result<()> {
    let api = ApiKey::TxnOffsetCommit;
    let newest = connection.version(api)?;
    let version = if implicit { newest } else { newest.min(OFFSETS_EXPLICIT_MAX) };
    let mut topics: BTreeMap<&str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, offset) in offsets {
        let row = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(if version >= OFFSETS_WITH_EPOCH { offset.leader_epoch } else { -1 })
            .with_committed_metadata(Some(str_bytes(&offset.metadata)));
        topics.entry(&partition.topic).or_default().push(row);
    }
    let topic = |(name, partitions)| {
        TxnOffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    let mut request = TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_group_id(GroupId(str_bytes(&group.group_id)))
        .with_producer_id(identity.id.into())
        .with_producer_epoch(identity.epoch)
        .with_topics(topics.into_iter().map(topic).collect());
    // Older coordinators cannot check the member.
    if version >= OFFSETS_WITH_MEMBER {
        request = request
            .with_generation_id(group.generation)
            .with_member_id(str_bytes(&group.member_id))
            .with_group_instance_id(group.group_instance_id.as_deref().map(str_bytes));
    }
    let timeout = coordinator.cluster().options().request_timeout();
    let response = connection.request_version(api, version, &request, timeout).await?;
    for topic in response.topics {
        for row in topic.partitions {
            let Some(code) = ErrorCode::from_code(row.error_code) else { continue };
            let subject = match code {
                ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch => format!("transactional id {id}"),
                _ => format!("{}-{} in {}", topic.name.0.as_str(), row.partition_index, coordinator.subject()),
            };
            return Err(connection.server_error(api, subject, code, None));
        }
    }
    Ok(())
}

/// Ends the transaction. Returns the identity for the next one when the coordinator gave it.
pub(super) async fn end(
    connection: Arc<Connection>,
    id: &str,
    identity: Identity,
    commit: bool,
    implicit: bool,
    coordinator: &Coordinator,
) -> Result<Option<Identity>> {
    let api = ApiKey::EndTxn;
    let newest = connection.version(api)?;
    let version = if implicit { newest } else { newest.min(END_EXPLICIT_MAX) };
    let request = EndTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(identity.id.into())
        .with_producer_epoch(identity.epoch)
        .with_committed(commit);
    let timeout = coordinator.cluster().options().request_timeout();
    let response = connection.request_version(api, version, &request, timeout).await?;
    if let Some(code) = ErrorCode::from_code(response.error_code) {
        return Err(connection.server_error(api, coordinator.subject(), code, None));
    }
    let bumped = Identity { id: response.producer_id.0, epoch: response.producer_epoch };
    Ok((version > END_EXPLICIT_MAX && bumped.is_some()).then_some(bumped))
}
