//! A consumer group seen from outside: its committed offsets and its members.
//!
//! Commits made here carry no membership. A coordinator accepts them while the group is empty only, which is what keeps
//! two owners of one position apart (delivery rule 4).

use std::collections::HashMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use kanat_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kanat_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kanat_protocol::messages::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, OffsetCommitRequest,
    OffsetFetchRequest, OffsetFetchResponse,
};
use parking_lot::Mutex;

use crate::broker::{Broker, ConnectionClass};
use crate::cluster::{Cluster, str_bytes, topic_name};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Id the coordinator gave it.
    pub member_id: String,
    /// Its own fixed name, when it has one.
    pub instance_id: Option<String>,
    /// Client id it sends.
    pub client_id: String,
    /// Host it connects from.
    pub client_host: String,
}

/// A consumer group as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Group id.
    pub group: Arc<str>,
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead` (which also says "no such group").
    pub state: String,
    /// `consumer` for consumer groups, empty for a group that only ever had offsets committed.
    pub protocol_type: String,
    /// Members at the moment.
    pub members: Vec<GroupMember>,
}

/// A consumer group by its id. Made by [`Client::group`](crate::Client::group).
#[derive(Debug)]
pub struct Group {
    cluster: Arc<Cluster>,
    id: Arc<str>,
    coordinator: Mutex<Option<Arc<Broker>>>,
}

impl Group {
    pub(crate) fn new(cluster: Arc<Cluster>, id: &str) -> Group {
        Group { cluster, id: id.into(), coordinator: Mutex::new(None) }
    }

    /// The group's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The committed offsets of these partitions; partitions without one are absent.
    ///
    /// # Errors
    /// The coordinator's refusal, or what it failed with until `retry_timeout_ms`.
    pub async fn committed(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        self.with_coordinator(|connection| self.fetch_offsets(connection, Some(partitions))).await
    }

    /// Every committed offset of the group.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub async fn committed_all(&self) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        self.with_coordinator(|connection| self.fetch_offsets(connection, None)).await
    }

    /// Commits offsets without being a member.
    ///
    /// # Errors
    /// [`Error::GroupActive`] while the group has members; the coordinator's refusal of a partition.
    pub async fn commit(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        self.with_coordinator(|connection| self.commit_offsets(connection, offsets)).await
    }

    /// The group's state and members.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub async fn describe(&self) -> Result<GroupDescription> {
        self.with_coordinator(|connection| self.describe_at(connection)).await
    }

    /// Deletes the group with its offsets.
    ///
    /// # Errors
    /// [`Error::GroupActive`] while it has members; [`Error::Server`] with `GROUP_ID_NOT_FOUND` when there is none.
    pub async fn delete(&self) -> Result<()> {
        self.with_coordinator(|connection| self.delete_at(connection)).await
    }

    /// Runs `attempt` at the coordinator; looks for it again when it moved, and waits while it loads.
    async fn with_coordinator<T, F>(&self, attempt: impl Fn(Arc<Connection>) -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut retry = self.cluster.retry();
        loop {
            let outcome = match self.coordinator_connection().await {
                Ok(connection) => attempt(connection).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_retriable() => {
                    if error.code() != Some(ErrorCode::CoordinatorLoadInProgress) {
                        *self.coordinator.lock() = None;
                    }
                    retry.wait(error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    async fn coordinator_connection(&self) -> Result<Arc<Connection>> {
        let known = self.coordinator.lock().clone();
        let broker = match known {
            Some(broker) => broker,
            None => {
                let broker = self.find_coordinator().await?;
                *self.coordinator.lock() = Some(Arc::clone(&broker));
                broker
            }
        };
        broker.connection(ConnectionClass::Control).await
    }

    async fn find_coordinator(&self) -> Result<Arc<Broker>> {
        let (connection, response) = self.ask_coordinator().await?;
        let found = match response.coordinators.into_iter().next() {
            Some(found) => (found.error_code, found.node_id, found.error_message),
            None => (response.error_code, response.node_id, response.error_message),
        };
        let (code, node_id, message) = found;
        if let Some(code) = ErrorCode::from_code(code) {
            let message = message.map(|message| message.as_str().to_owned());
            return Err(connection.server_error(ApiKey::FindCoordinator, self.subject(), code, message));
        }
        if let Some(broker) = self.cluster.broker(node_id.0) {
            return Ok(broker);
        }
        // A broker that joined after the last refresh.
        self.cluster.topics_after(&[], self.cluster.metadata().generation()).await?;
        self.cluster.broker(node_id.0).ok_or_else(|| {
            let code = ErrorCode::CoordinatorNotAvailable;
            connection.server_error(ApiKey::FindCoordinator, self.subject(), code, None)
        })
    }

    /// Version 4 asks for many keys at once and has no field for one.
    async fn ask_coordinator(&self) -> Result<(Arc<Connection>, FindCoordinatorResponse)> {
        let connection = self.cluster.any_connection().await?;
        let version = connection.version(ApiKey::FindCoordinator)?;
        let key = str_bytes(&self.id);
        let request = FindCoordinatorRequest::default().with_key_type(0);
        let request = if version >= 4 { request.with_coordinator_keys(vec![key]) } else { request.with_key(key) };
        let timeout = self.cluster.options().request_timeout();
        let response = connection.request_version(ApiKey::FindCoordinator, version, &request, timeout).await?;
        Ok((connection, response))
    }

    fn subject(&self) -> String {
        format!("group {}", self.id)
    }

    fn group_id(&self) -> GroupId {
        GroupId(str_bytes(&self.id))
    }

    async fn fetch_offsets(
        &self,
        connection: Arc<Connection>,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        let version = connection.version(ApiKey::OffsetFetch)?;
        let topics = partitions.map(|partitions| {
            let mut topics: HashMap<&str, Vec<i32>> = HashMap::new();
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
            let group = OffsetFetchRequestGroup::default().with_group_id(self.group_id()).with_topics(topics);
            request.with_groups(vec![group])
        } else {
            let topic = |(name, indexes): (&str, Vec<i32>)| {
                OffsetFetchRequestTopic::default().with_name(topic_name(name)).with_partition_indexes(indexes)
            };
            let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
            request.with_group_id(self.group_id()).with_topics(topics)
        };
        let timeout = self.cluster.options().request_timeout();
        let response = connection.request_version(ApiKey::OffsetFetch, version, &request, timeout).await?;
        self.read_offsets(&connection, response)
    }

    fn read_offsets(
        &self,
        connection: &Connection,
        response: OffsetFetchResponse,
    ) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        let refused = |subject: String, code| connection.server_error(ApiKey::OffsetFetch, subject, code, None);
        // Name, partition, error, offset, leader epoch, metadata: the same in both layouts of the answer.
        let mut rows = Vec::new();
        let mut codes = vec![response.error_code];
        for topic in response.topics {
            for row in topic.partitions {
                let fields = (row.error_code, row.committed_offset, row.committed_leader_epoch, row.metadata);
                rows.push((topic.name.clone(), row.partition_index, fields));
            }
        }
        for group in response.groups {
            codes.push(group.error_code);
            for topic in group.topics {
                for row in topic.partitions {
                    let fields = (row.error_code, row.committed_offset, row.committed_leader_epoch, row.metadata);
                    rows.push((topic.name.clone(), row.partition_index, fields));
                }
            }
        }
        if let Some(code) = codes.into_iter().find_map(ErrorCode::from_code) {
            return Err(refused(self.subject(), code));
        }
        let mut offsets = HashMap::new();
        for (topic, index, (code, offset, leader_epoch, metadata)) in rows {
            let partition = TopicPartition::new(topic.0.as_str(), index);
            if let Some(code) = ErrorCode::from_code(code) {
                return Err(refused(format!("{} of {partition}", self.subject()), code));
            }
            if offset >= 0 {
                let metadata = metadata.map(|metadata| metadata.as_str().to_owned()).unwrap_or_default();
                offsets.insert(partition, OffsetAndMetadata { offset, leader_epoch, metadata });
            }
        }
        Ok(offsets)
    }

    async fn commit_offsets(
        &self,
        connection: Arc<Connection>,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<()> {
        let version = connection.version(ApiKey::OffsetCommit)?;
        let mut topics: HashMap<&str, Vec<OffsetCommitRequestPartition>> = HashMap::new();
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
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.into_iter().map(topic).collect());
        let timeout = self.cluster.options().request_timeout();
        let response = connection.request_version(ApiKey::OffsetCommit, version, &request, timeout).await?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                match ErrorCode::from_code(partition.error_code) {
                    None => {}
                    Some(
                        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress,
                    ) => return Err(Error::GroupActive { group: Arc::clone(&self.id) }),
                    Some(code) => {
                        let name = topic.name.0.as_str();
                        let subject = format!("{} of {name}-{}", self.subject(), partition.partition_index);
                        return Err(connection.server_error(ApiKey::OffsetCommit, subject, code, None));
                    }
                }
            }
        }
        Ok(())
    }

    async fn describe_at(&self, connection: Arc<Connection>) -> Result<GroupDescription> {
        let request = DescribeGroupsRequest::default().with_groups(vec![self.group_id()]);
        let timeout = self.cluster.options().request_timeout();
        let response = connection.request(ApiKey::DescribeGroups, &request, timeout).await?;
        let Some(group) = response.groups.into_iter().next() else {
            return Err(connection.malformed(ApiKey::DescribeGroups, format!("no answer for {}", self.subject())));
        };
        if let Some(code) = ErrorCode::from_code(group.error_code) {
            // Newer brokers say so with a code, older ones with the state.
            if code == ErrorCode::GroupIdNotFound {
                return Ok(self.no_such_group());
            }
            return Err(connection.server_error(ApiKey::DescribeGroups, self.subject(), code, None));
        }
        let members = group.members.into_iter().map(|member| GroupMember {
            member_id: member.member_id.as_str().to_owned(),
            instance_id: member.group_instance_id.map(|id| id.as_str().to_owned()),
            client_id: member.client_id.as_str().to_owned(),
            client_host: member.client_host.as_str().to_owned(),
        });
        Ok(GroupDescription {
            group: Arc::clone(&self.id),
            state: group.group_state.as_str().to_owned(),
            protocol_type: group.protocol_type.as_str().to_owned(),
            members: members.collect(),
        })
    }

    fn no_such_group(&self) -> GroupDescription {
        GroupDescription {
            group: Arc::clone(&self.id),
            state: "Dead".to_owned(),
            protocol_type: String::new(),
            members: Vec::new(),
        }
    }

    async fn delete_at(&self, connection: Arc<Connection>) -> Result<()> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![self.group_id()]);
        let timeout = self.cluster.options().request_timeout();
        let response = connection.request(ApiKey::DeleteGroups, &request, timeout).await?;
        let code = response.results.first().map_or(0, |result| result.error_code);
        match ErrorCode::from_code(code) {
            None => Ok(()),
            Some(ErrorCode::NonEmptyGroup) => Err(Error::GroupActive { group: Arc::clone(&self.id) }),
            Some(code) => Err(connection.server_error(ApiKey::DeleteGroups, self.subject(), code, None)),
        }
    }
}
