//! Committed offsets of groups: list, alter, delete.

use std::collections::{BTreeMap, HashMap};

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kanat_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kanat_protocol::messages::{ApiKey, GroupId, OffsetCommitRequest, OffsetDeleteRequest};

use super::ask::{Node, Repeat};
use super::groups::coordinator_of;
use super::{Admin, Outcomes};
use crate::cluster::{str_bytes, topic_name};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Groups whose offsets are asked for at the same time.
const GROUPS_AT_ONCE_MAX: usize = 16;

impl Admin {
    /// Every committed offset of groups. A group that does not exist has none.
    ///
    /// # Errors
    /// Never as a whole; a group whose coordinator does not answer is in the result.
    pub async fn list_group_offsets(
        &self,
        groups: &[&str],
    ) -> Result<Outcomes<String, HashMap<TopicPartition, OffsetAndMetadata>>> {
        let mut found = Vec::with_capacity(groups.len());
        for some in groups.chunks(GROUPS_AT_ONCE_MAX) {
            let mut asked = tokio::task::JoinSet::new();
            for (index, name) in some.iter().enumerate() {
                let group = Group::new(std::sync::Arc::clone(&self.cluster), name);
                asked.spawn(async move { (index, group.id().to_owned(), group.committed_all().await) });
            }
            let mut answers = asked.join_all().await;
            answers.sort_unstable_by_key(|(index, _, _)| *index);
            found.extend(answers.into_iter().map(|(_, name, offsets)| (name, offsets)));
        }
        Ok(found)
    }

    /// Commits offsets of a group that has no members, and says of each partition whether it was.
    ///
    /// # Errors
    /// When the coordinator does not answer until `retry_timeout_ms`. While the group has members every outcome is
    /// [`Error::GroupActive`].
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<Outcomes<TopicPartition>> {
        let (id, wanted) = (group.to_owned(), offsets.to_vec());
        let ask = move |node: Node| {
            let (id, wanted) = (id.clone(), wanted.clone());
            async move { commit_at(node, &id, &wanted).await }
        };
        self.ask_one(coordinator_of(group), Repeat::Always, ask).await
    }

    /// Forgets committed offsets of a group and says of each partition whether it was. Needs Kafka 2.4.
    ///
    /// # Errors
    /// The coordinator's refusal of the group. A partition that members are subscribed to is in the result with
    /// `GROUP_SUBSCRIBED_TO_TOPIC`.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<TopicPartition>> {
        let (id, wanted) = (group.to_owned(), partitions.to_vec());
        let ask = move |node: Node| {
            let (id, wanted) = (id.clone(), wanted.clone());
            async move { delete_at(node, &id, &wanted).await }
        };
        self.ask_one(coordinator_of(group), Repeat::Always, ask).await
    }
}

async fn commit_at(
    node: Node,
    group: &str,
    wanted: &[(TopicPartition, OffsetAndMetadata)],
) -> Result<Outcomes<TopicPartition>> {
    let build = |version: i16| {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, committed) in wanted {
            let row = OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(if version >= 6 { committed.leader_epoch } else { -1 })
                .with_committed_metadata(Some(str_bytes(&committed.metadata)));
            topics.entry(&partition.topic).or_default().push(row);
        }
        let topic =
            |(name, rows)| OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(rows);
        OffsetCommitRequest::default()
            .with_group_id(GroupId(str_bytes(group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.into_iter().map(topic).collect())
    };
    let answer = node.ask_as(ApiKey::OffsetCommit, build).await?;
    let mut outcomes = Vec::with_capacity(wanted.len());
    for (partition, _) in wanted {
        let mut topics = answer.body.topics.iter().filter(|topic| topic.name.0.as_str() == &*partition.topic);
        let row =
            topics.find_map(|topic| topic.partitions.iter().find(|row| row.partition_index == partition.partition));
        let subject = || format!("{partition} of group {group}");
        let outcome = answer.found(row, subject).and_then(|row| match ErrorCode::from_code(row.error_code) {
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress) => {
                Err(Error::GroupActive { group: group.into() })
            }
            _ => answer.check(subject, row.error_code, None),
        });
        if let Err(error) = &outcome
            && matches!(error.code(), Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress))
        {
            // Said of every partition: the request goes to the next coordinator.
            return Err(error.clone());
        }
        outcomes.push((partition.clone(), outcome));
    }
    Ok(outcomes)
}

async fn delete_at(node: Node, group: &str, wanted: &[TopicPartition]) -> Result<Outcomes<TopicPartition>> {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for partition in wanted {
        let row = OffsetDeleteRequestPartition::default().with_partition_index(partition.partition);
        topics.entry(&partition.topic).or_default().push(row);
    }
    let topic = |(name, rows)| OffsetDeleteRequestTopic::default().with_name(topic_name(name)).with_partitions(rows);
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(str_bytes(group)))
        .with_topics(topics.into_iter().map(topic).collect());
    let answer = node.ask(ApiKey::OffsetDelete, &request).await?;
    answer.check(|| format!("group {group}"), answer.body.error_code, None)?;
    let outcome = |partition: &TopicPartition| {
        let mut topics = answer.body.topics.iter().filter(|topic| topic.name.0.as_str() == &*partition.topic);
        let row =
            topics.find_map(|topic| topic.partitions.iter().find(|row| row.partition_index == partition.partition));
        let subject = || format!("{partition} of group {group}");
        let outcome = answer.found(row, subject).and_then(|row| answer.check(subject, row.error_code, None));
        (partition.clone(), outcome)
    };
    Ok(wanted.iter().map(outcome).collect())
}
