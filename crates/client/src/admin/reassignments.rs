//! Where copies lie and who leads: reassignments and elections.

use std::collections::BTreeMap;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kanat_protocol::messages::elect_leaders_request::TopicPartitions;
use kanat_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kanat_protocol::messages::{
    AlterPartitionReassignmentsRequest, ApiKey, BrokerId, ElectLeadersRequest, ListPartitionReassignmentsRequest,
};

use super::ask::{Home, Node, Repeat};
use super::topics::broker_ids;
use super::{Admin, Outcomes};
use crate::cluster::topic_name;
use crate::error::Result;
use crate::types::TopicPartition;

/// How to elect a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The first of the partition's brokers, if it is in sync.
    Preferred,
    /// Any broker with a copy that is up, even one that lacks records: those are lost.
    Unclean,
}

/// A move of a partition's copies that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// The partition.
    pub partition: TopicPartition,
    /// Brokers that hold a copy or shall.
    pub replicas: Vec<i32>,
    /// Those that are being added.
    pub adding: Vec<i32>,
    /// Those that will be removed.
    pub removing: Vec<i32>,
}

impl Admin {
    /// Elects leaders of these partitions (`None`: of all that need it) and says of each how it went. A partition whose
    /// leader is the preferred one already counts as done.
    ///
    /// # Errors
    /// The controller's refusal of the request.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Outcomes<TopicPartition>> {
        let topics = partitions.map(|partitions| {
            let topic =
                |(name, indexes)| TopicPartitions::default().with_topic(topic_name(name)).with_partitions(indexes);
            by_topic(partitions).into_iter().map(topic).collect::<Vec<_>>()
        });
        let request = ElectLeadersRequest::default()
            .with_election_type(if election == Election::Unclean { 1 } else { 0 })
            .with_topic_partitions(topics)
            .with_timeout_ms(self.timeout_ms());
        let ask = move |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.ask(ApiKey::ElectLeaders, &request).await?;
                answer.check(|| "leaders".to_owned(), answer.body.error_code, None)?;
                let mut outcomes = Vec::new();
                for topic in &answer.body.replica_election_results {
                    for row in &topic.partition_result {
                        let partition = TopicPartition::new(topic.topic.0.as_str(), row.partition_id);
                        let outcome = match ErrorCode::from_code(row.error_code) {
                            Some(ErrorCode::ElectionNotNeeded) => Ok(()),
                            _ => answer.check(|| partition.to_string(), row.error_code, row.error_message.as_ref()),
                        };
                        outcomes.push((partition, outcome));
                    }
                }
                outcomes.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
                Ok(outcomes)
            }
        };
        self.ask_one(Home::Controller, Repeat::Always, ask).await
    }

    /// Moves the copies of partitions to these brokers, the preferred leader first; `None` calls a move off. Returns
    /// when the moves have begun. Needs Kafka 2.4.
    ///
    /// # Errors
    /// The controller's refusal of the request; that of a partition is in the result.
    pub async fn alter_reassignments(
        &self,
        moves: &[(TopicPartition, Option<Vec<i32>>)],
    ) -> Result<Outcomes<TopicPartition>> {
        let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
        for (partition, brokers) in moves {
            let row = ReassignablePartition::default()
                .with_partition_index(partition.partition)
                .with_replicas(brokers.as_deref().map(broker_ids));
            topics.entry(&partition.topic).or_default().push(row);
        }
        let topic = |(name, rows)| ReassignableTopic::default().with_name(topic_name(name)).with_partitions(rows);
        let request = AlterPartitionReassignmentsRequest::default()
            .with_topics(topics.into_iter().map(topic).collect())
            .with_timeout_ms(self.timeout_ms());
        let wanted: Vec<TopicPartition> = moves.iter().map(|(partition, _)| partition.clone()).collect();
        let ask = move |node: Node| {
            let (request, wanted) = (request.clone(), wanted.clone());
            async move {
                let answer = node.ask(ApiKey::AlterPartitionReassignments, &request).await?;
                let body = &answer.body;
                answer.check(|| "reassignments".to_owned(), body.error_code, body.error_message.as_ref())?;
                let outcome = |partition: &TopicPartition| {
                    let mut topics = body.responses.iter().filter(|topic| topic.name.0.as_str() == &*partition.topic);
                    let row = topics.find_map(|topic| {
                        topic.partitions.iter().find(|row| row.partition_index == partition.partition)
                    });
                    let outcome = answer.found(row, || partition.to_string()).and_then(|row| {
                        answer.check(|| partition.to_string(), row.error_code, row.error_message.as_ref())
                    });
                    (partition.clone(), outcome)
                };
                Ok(wanted.iter().map(outcome).collect())
            }
        };
        self.ask_one(Home::Controller, Repeat::Always, ask).await
    }

    /// The moves under way of these partitions (`None`: of all), sorted. Needs Kafka 2.4.
    ///
    /// # Errors
    /// The controller's refusal.
    pub async fn list_reassignments(&self, partitions: Option<&[TopicPartition]>) -> Result<Vec<Reassignment>> {
        let topics = partitions.map(|partitions| {
            let topic = |(name, indexes)| {
                ListPartitionReassignmentsTopics::default().with_name(topic_name(name)).with_partition_indexes(indexes)
            };
            by_topic(partitions).into_iter().map(topic).collect::<Vec<_>>()
        });
        let request =
            ListPartitionReassignmentsRequest::default().with_topics(topics).with_timeout_ms(self.timeout_ms());
        let ask = move |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.ask(ApiKey::ListPartitionReassignments, &request).await?;
                let body = &answer.body;
                answer.check(|| "reassignments".to_owned(), body.error_code, body.error_message.as_ref())?;
                let ids = |nodes: &[BrokerId]| nodes.iter().map(|node| node.0).collect::<Vec<i32>>();
                let mut moves = Vec::new();
                for topic in &body.topics {
                    moves.extend(topic.partitions.iter().map(|row| Reassignment {
                        partition: TopicPartition::new(topic.name.0.as_str(), row.partition_index),
                        replicas: ids(&row.replicas),
                        adding: ids(&row.adding_replicas),
                        removing: ids(&row.removing_replicas),
                    }));
                }
                moves.sort_unstable_by(|left, right| left.partition.cmp(&right.partition));
                Ok(moves)
            }
        };
        self.ask_one(Home::Controller, Repeat::Always, ask).await
    }
}

/// Partition numbers by topic name.
pub(super) fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics
}
