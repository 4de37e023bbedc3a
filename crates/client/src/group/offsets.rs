//! Committed offsets on the wire: OffsetCommit and OffsetFetch, by a member or from outside.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kanat_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kanat_protocol::messages::{ApiKey, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};

use crate::cluster::{str_bytes, topic_name};
use crate::connection::Connection;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Generation, or member epoch under the consumer protocol; -1 from outside the group.
    pub(crate) generation: i32,
    /// Empty from outside the group.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Identity { generation: -1, member_id: String::new(), instance_id: None }
    }
}

/// The committed offsets of these partitions (`None`: all there are); partitions without one are absent.
pub(crate) async fn fetch(
    coordinator: &Coordinator,
    partitions: Option<&[TopicPartition]>,
) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
    coordinator.run(|connection| fetch_at(coordinator, connection, partitions)).await
}

async fn fetch_at(
    coordinator: &Coordinator,
    connection: Arc<Connection>,
    partitions: Option<&[TopicPartition]>,
) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
    let version = connection.version(ApiKey::OffsetFetch)?;
    let topics = partitions.map(|partitions| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        topics
    });
    // Version 7 can wait for offsets of open transactions to be decided; an undecided one is an error to retry.
    let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
    let request = if version >= 8 {
        let topic = |(name, indexes): (&str, Vec<i32>)| {
            OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(indexes)
        };
        let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
        let group = OffsetFetchRequestGroup::default().with_group_id(coordinator.group_id()).with_topics(topics);
        request.with_groups(vec![group])
    } else {
        let topic = |(name, indexes): (&str, Vec<i32>)| {
            OffsetFetchRequestTopic::default().with_name(topic_name(name)).with_partition_indexes(indexes)
        };
        let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
        request.with_group_id(coordinator.group_id()).with_topics(topics)
    };
    let timeout = coordinator.cluster().options().request_timeout();
    let response = connection.request_version(ApiKey::OffsetFetch, version, &request, timeout).await?;
    read_fetched(coordinator, &connection, response)
}

fn read_fetched(
    coordinator: &Coordinator,
    connection: &Connection,
    response: OffsetFetchResponse,
) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
    let refused = |subject: String, code| connection.server_error(ApiKey::OffsetFetch, subject, code, None);
    // Name, partition, error, offset, leader epoch, metadata: the same in both layouts of the answer.
    let mut rows = Vec::new();
    let mut codes = vec![response.error_code];
    for topic in response.topics {
        let name: Arc<str> = topic.name.0.as_str().into();
        for row in topic.partitions {
            let fields = (row.error_code, row.committed_offset, row.committed_leader_epoch, row.metadata);
            rows.push((Arc::clone(&name), row.partition_index, fields));
        }
    }
    for group in response.groups {
        codes.push(group.error_code);
        for topic in group.topics {
            let name: Arc<str> = topic.name.0.as_str().into();
            for row in topic.partitions {
                let fields = (row.error_code, row.committed_offset, row.committed_leader_epoch, row.metadata);
                rows.push((Arc::clone(&name), row.partition_index, fields));
            }
        }
    }
    if let Some(code) = codes.into_iter().find_map(ErrorCode::from_code) {
        return Err(refused(coordinator.subject(), code));
    }
    let mut offsets = HashMap::new();
    for (topic, partition, (code, offset, leader_epoch, metadata)) in rows {
        let partition = TopicPartition { topic, partition };
        if let Some(code) = ErrorCode::from_code(code) {
            return Err(refused(format!("{} of {partition}", coordinator.subject()), code));
        }
        if offset >= 0 {
            let metadata = metadata.map(|metadata| metadata.as_str().to_owned()).unwrap_or_default();
            offsets.insert(partition, OffsetAndMetadata { offset, leader_epoch, metadata });
        }
    }
    Ok(offsets)
}

/// Commits once, and says for each partition what the coordinator answered.
pub(crate) async fn commit(
    coordinator: &Coordinator,
    connection: &Connection,
    identity: &Identity,
    offsets: &[(TopicPartition, OffsetAndMetadata)],
) -> Result<Vec<(TopicPartition, Option<ErrorCode>)>> {
    let version = connection.version(ApiKey::OffsetCommit)?;
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, offset) in offsets {
        let epoch = if version >= 6 { offset.leader_epoch } else { -1 };
        topics.entry(&partition.topic).or_default().push(
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(offset.offset)
                .with_committed_leader_epoch(epoch)
                .with_committed_metadata(Some(str_bytes(&offset.metadata))),
        );
    }
    let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| {
        OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    // Brokers before version 7 know no instance ids; their members are told apart by member id alone.
    let instance_id = identity.instance_id.as_deref().filter(|_| version >= 7);
    let request = OffsetCommitRequest::default()
        .with_group_id(coordinator.group_id())
        .with_generation_id_or_member_epoch(identity.generation)
        .with_member_id(str_bytes(&identity.member_id))
        .with_group_instance_id(instance_id.map(str_bytes))
        .with_topics(topics.into_iter().map(topic).collect());
    let timeout = coordinator.cluster().options().request_timeout();
    let response = connection.request_version(ApiKey::OffsetCommit, version, &request, timeout).await?;
    let mut answers = Vec::with_capacity(offsets.len());
    for topic in response.topics {
        let name: Arc<str> = topic.name.0.as_str().into();
        for row in topic.partitions {
            let partition = TopicPartition { topic: Arc::clone(&name), partition: row.partition_index };
            answers.push((partition, ErrorCode::from_code(row.error_code)));
        }
    }
    // Retriable refusals concern the coordinator, not one partition: the whole commit is repeated.
    if let Some((partition, code)) = answers
        .iter()
        .find_map(|(partition, code)| code.filter(|code| code.is_retriable()).map(|code| (partition, code)))
    {
        let subject = format!("{} of {partition}", coordinator.subject());
        return Err(connection.server_error(ApiKey::OffsetCommit, subject, code, None));
    }
    Ok(answers)
}
