//! A consumer group seen from outside: its committed offsets and its members.
//!
//! Commits made here carry no membership. A coordinator accepts them while the group is empty only, which is what keeps
//! two owners of one position apart (delivery rule 4).

use std::collections::HashMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{ApiKey, DeleteGroupsRequest, DescribeGroupsRequest};

use super::offsets::{self, Identity};
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::coordinator::Coordinator;
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
    coordinator: Coordinator,
}

impl Group {
    pub(crate) fn new(cluster: Arc<Cluster>, id: &str) -> Group {
        Group { coordinator: Coordinator::group(cluster, id) }
    }

    /// The group's id.
    pub fn id(&self) -> &str {
        self.coordinator.key()
    }

    /// The committed offsets of these partitions; partitions without one are absent.
    ///
    /// # Errors
    /// The coordinator's refusal, or what it failed with until `retry_timeout_ms`.
    pub async fn committed(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        offsets::fetch(&self.coordinator, Some(partitions)).await
    }

    /// Every committed offset of the group.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub async fn committed_all(&self) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        offsets::fetch(&self.coordinator, None).await
    }

    /// Commits offsets without being a member.
    ///
    /// # Errors
    /// [`Error::GroupActive`] while the group has members; the coordinator's refusal of a partition.
    pub async fn commit(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let outsider = Identity::default();
        self.coordinator.run(|connection| self.commit_at(connection, &outsider, offsets)).await
    }

    /// The group's state and members.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub async fn describe(&self) -> Result<GroupDescription> {
        self.coordinator.run(|connection| self.describe_at(connection)).await
    }

    /// Deletes the group with its offsets.
    ///
    /// # Errors
    /// [`Error::GroupActive`] while it has members; [`Error::Server`] with `GROUP_ID_NOT_FOUND` when there is none.
    pub async fn delete(&self) -> Result<()> {
        self.coordinator.run(|connection| self.delete_at(connection)).await
    }

    /// Refuses of the kind that members of the group cause are one error: the group is in use.
    async fn commit_at(
        &self,
        connection: Arc<Connection>,
        outsider: &Identity,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<()> {
        for (partition, code) in offsets::commit(&self.coordinator, &connection, outsider, offsets).await? {
            match code {
                None => {}
                Some(
                    ErrorCode::UnknownMemberId
                    | ErrorCode::IllegalGeneration
                    | ErrorCode::RebalanceInProgress
                    | ErrorCode::StaleMemberEpoch,
                ) => {
                    return Err(Error::GroupActive { group: Arc::clone(self.coordinator.key()) });
                }
                Some(code) => {
                    let subject = format!("{} of {partition}", self.coordinator.subject());
                    return Err(connection.server_error(ApiKey::OffsetCommit, subject, code, None));
                }
            }
        }
        Ok(())
    }

    async fn describe_at(&self, connection: Arc<Connection>) -> Result<GroupDescription> {
        let request = DescribeGroupsRequest::default().with_groups(vec![self.coordinator.group_id()]);
        let timeout = self.coordinator.cluster().options().request_timeout();
        let response = connection.request(ApiKey::DescribeGroups, &request, timeout).await?;
        let Some(group) = response.groups.into_iter().next() else {
            return Err(
                connection.malformed(ApiKey::DescribeGroups, format!("no answer for {}", self.coordinator.subject()))
            );
        };
        if let Some(code) = ErrorCode::from_code(group.error_code) {
            // Newer brokers say so with a code, older ones with the state.
            if code == ErrorCode::GroupIdNotFound {
                return Ok(self.no_such_group());
            }
            return Err(connection.server_error(ApiKey::DescribeGroups, self.coordinator.subject(), code, None));
        }
        let members = group.members.into_iter().map(|member| GroupMember {
            member_id: member.member_id.as_str().to_owned(),
            instance_id: member.group_instance_id.map(|id| id.as_str().to_owned()),
            client_id: member.client_id.as_str().to_owned(),
            client_host: member.client_host.as_str().to_owned(),
        });
        Ok(GroupDescription {
            group: Arc::clone(self.coordinator.key()),
            state: group.group_state.as_str().to_owned(),
            protocol_type: group.protocol_type.as_str().to_owned(),
            members: members.collect(),
        })
    }

    fn no_such_group(&self) -> GroupDescription {
        GroupDescription {
            group: Arc::clone(self.coordinator.key()),
            state: "Dead".to_owned(),
            protocol_type: String::new(),
            members: Vec::new(),
        }
    }

    async fn delete_at(&self, connection: Arc<Connection>) -> Result<()> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![self.coordinator.group_id()]);
        let timeout = self.coordinator.cluster().options().request_timeout();
        let response = connection.request(ApiKey::DeleteGroups, &request, timeout).await?;
        let code = response.results.first().map_or(0, |result| result.error_code);
        match ErrorCode::from_code(code) {
            None => Ok(()),
            Some(ErrorCode::NonEmptyGroup) => Err(Error::GroupActive { group: Arc::clone(self.coordinator.key()) }),
            Some(code) => Err(connection.server_error(ApiKey::DeleteGroups, self.coordinator.subject(), code, None)),
        }
    }
}
