//! A consumer group seen from outside: its committed offsets and its members.
//!
//! Commits made here carry no membership. A coordinator accepts them while the group is empty only, which is what keeps
//! two owners of one position apart (delivery rule 4).

use std::collections::HashMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

use super::offsets::{self, Identity};
use crate::admin::{Admin, DescribedGroup, Outcomes};
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};

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

    /// The group's state and members, as [`Admin::describe_groups`] says.
    ///
    /// # Errors
    /// [`Error::Server`] with `GROUP_ID_NOT_FOUND` when there is none; as [`committed`](Self::committed).
    pub async fn describe(&self) -> Result<DescribedGroup> {
        only(self.admin().describe_groups(&[self.id()]).await?)
    }

    /// Deletes the group with its offsets.
    ///
    /// # Errors
    /// [`Error::GroupActive`] while it has members; [`Error::Server`] with `GROUP_ID_NOT_FOUND` when there is none.
    pub async fn delete(&self) -> Result<()> {
        only(self.admin().delete_groups(&[self.id()]).await?)
    }

    fn admin(&self) -> Admin {
        Admin::new(Arc::clone(self.coordinator.cluster()))
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
}

/// The outcome of the one item a request was about.
fn only<T>(outcomes: Outcomes<String, T>) -> Result<T> {
    let (_, outcome) = outcomes.into_iter().next().expect("every item asked about has an outcome");
    outcome
}
