//! Topics: create, delete, grow, describe.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kanat_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kanat_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kanat_protocol::messages::delete_topics_request::DeleteTopicState;
use kanat_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kanat_protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kanat_protocol::messages::{
    ApiKey, BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeTopicPartitionsRequest, Uuid,
};

use super::ask::{Answer, Home, Node, Repeat};
use super::{Admin, Outcomes, named, owned};
use crate::cluster::{str_bytes, topic_name};
use crate::error::{Error, Result};
use crate::metadata::{PartitionInfo, TopicInfo};
use crate::types::{TopicId, UnknownTopic};

/// Partitions asked for in one page of a topic description.
const PAGE_PARTITIONS_MAX: i32 = 2_000;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Topic name.
    pub name: String,
    /// Partitions; -1 for the broker's default.
    pub partitions: i32,
    /// Copies of each partition; -1 for the broker's default.
    pub replication: i16,
    /// Configuration, such as `cleanup.policy`.
    pub configs: BTreeMap<String, String>,
    /// Brokers of each partition, the preferred leader first. Empty lets the cluster choose; otherwise `partitions` and
    /// `replication` follow from it and are not sent.
    pub assignments: Vec<Vec<i32>>,
}

impl NewTopic {
    /// A topic with this many partitions, the broker's default replication and no configuration of its own.
    pub fn new(name: impl Into<String>, partitions: i32) -> NewTopic {
        let (configs, assignments) = (BTreeMap::new(), Vec::new());
        NewTopic { name: name.into(), partitions, replication: -1, configs, assignments }
    }

    /// Sets the number of copies.
    pub fn with_replication(mut self, replication: i16) -> NewTopic {
        self.replication = replication;
        self
    }

    /// Sets one configuration key.
    pub fn with_config(mut self, key: impl Into<String>, value: impl Into<String>) -> NewTopic {
        self.configs.insert(key.into(), value.into());
        self
    }

    /// Sets the brokers of each partition, the preferred leader first.
    pub fn with_assignments(mut self, assignments: Vec<Vec<i32>>) -> NewTopic {
        self.assignments = assignments;
        self
    }

    fn to_wire(&self) -> CreatableTopic {
        let config = |(name, value): (&String, &String)| {
            CreatableTopicConfig::default().with_name(str_bytes(name)).with_value(Some(str_bytes(value)))
        };
        let assignment = |(index, brokers): (i32, &Vec<i32>)| {
            CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(broker_ids(brokers))
        };
        let chosen = !self.assignments.is_empty();
        CreatableTopic::default()
            .with_name(topic_name(&self.name))
            .with_num_partitions(if chosen { -1 } else { self.partitions })
            .with_replication_factor(if chosen { -1 } else { self.replication })
            .with_assignments((0..).zip(&self.assignments).map(assignment).collect())
            .with_configs(self.configs.iter().map(config).collect())
    }
}

/// What a topic became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id, on brokers that have them.
    pub id: Option<TopicId>,
    /// Partitions; `None` when the broker does not say (before Kafka 2.4).
    pub partitions: Option<i32>,
    /// Copies of each partition; `None` when the broker does not say.
    pub replication: Option<i16>,
}

/// How many partitions a topic shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartitions {
    /// Topic name.
    pub topic: String,
    /// Partitions altogether, more than there are.
    pub count: i32,
    /// Brokers of each partition that is added, the preferred leader first; empty lets the cluster choose.
    pub assignments: Vec<Vec<i32>>,
}

/// One partition of a [`TopicDescription`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Partition number.
    pub partition: i32,
    /// Broker that leads it, if any at the moment.
    pub leader: Option<i32>,
    /// Epoch of that leadership, -1 when the broker does not say.
    pub leader_epoch: i32,
    /// Brokers that hold a copy, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Copies in sync.
    pub in_sync: Vec<i32>,
    /// Copies that may lead although they are out of sync (KIP-966); `None` when the broker does not say.
    pub eligible_leaders: Option<Vec<i32>>,
    /// Copies that are known to be down; empty also when the broker does not say.
    pub offline: Vec<i32>,
}

/// A topic with all its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Topic name.
    pub name: String,
    /// Topic id, on brokers that have them.
    pub id: Option<TopicId>,
    /// Whether it is one of the cluster's own topics.
    pub internal: bool,
    /// Partitions in order of their number.
    pub partitions: Vec<PartitionDescription>,
}

impl Admin {
    /// Creates topics and says of each what it became.
    ///
    /// # Errors
    /// When no controller answers until `retry_timeout_ms`. A topic that cannot be created is in the result, for example
    /// [`Error::Server`] with `TOPIC_ALREADY_EXISTS`.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Outcomes<String, CreatedTopic>> {
        self.create_or_validate(topics, false).await
    }

    /// Says of each topic whether it could be created, and creates none.
    ///
    /// # Errors
    /// As [`create_topics`](Self::create_topics).
    pub async fn validate_topics(&self, topics: &[NewTopic]) -> Result<Outcomes<String, CreatedTopic>> {
        self.create_or_validate(topics, true).await
    }

    async fn create_or_validate(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Outcomes<String, CreatedTopic>> {
        let timeout_ms = self.timeout_ms();
        let ask = |node: Node, topics: Vec<NewTopic>| async move {
            let request = CreateTopicsRequest::default()
                .with_topics(topics.iter().map(NewTopic::to_wire).collect())
                .with_timeout_ms(timeout_ms)
                .with_validate_only(validate_only);
            let answer = node.ask(ApiKey::CreateTopics, &request).await?;
            let outcome = |topic: &NewTopic| {
                let subject = || format!("topic {}", topic.name);
                let row = answer.body.topics.iter().find(|row| row.name.0.as_str() == topic.name);
                let row = answer.found(row, subject)?;
                answer.check(subject, row.error_code, row.error_message.as_ref())?;
                Ok(CreatedTopic {
                    id: topic_id(row.topic_id),
                    partitions: Some(row.num_partitions).filter(|count| *count > 0),
                    replication: Some(row.replication_factor).filter(|count| *count > 0),
                })
            };
            Ok(topics.iter().map(outcome).collect())
        };
        let repeat = if validate_only { Repeat::Always } else { Repeat::UnlessUnknown };
        let outcomes = self.ask_each(topics, repeat, |_| Home::Controller, ask).await?;
        Ok(topics.iter().map(|topic| topic.name.clone()).zip(outcomes).collect())
    }

    /// Creates one topic and waits until the cluster knows it.
    ///
    /// # Errors
    /// The controller's refusal; what metadata failed with until `retry_timeout_ms`.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        for (_, created) in self.create_topics(std::slice::from_ref(topic)).await? {
            created?;
        }
        let ready = |leader| async move { Ok(leader) };
        self.cluster.with_leader(&topic.name, 0, UnknownTopic::Retry, ready).await?;
        Ok(())
    }

    /// Deletes topics and says of each whether it was.
    ///
    /// # Errors
    /// When no controller answers until `retry_timeout_ms`.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<Outcomes> {
        let names = owned(topics);
        let timeout_ms = self.timeout_ms();
        let ask = |node: Node, names: Vec<String>| async move {
            let build = |version: i16| {
                let request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms);
                if version < 6 {
                    return request.with_topic_names(names.iter().map(|name| topic_name(name)).collect());
                }
                let state = |name: &String| DeleteTopicState::default().with_name(Some(topic_name(name)));
                request.with_topics(names.iter().map(state).collect())
            };
            let answer = node.ask_as(ApiKey::DeleteTopics, build).await?;
            let outcome = |name: &String| {
                let subject = || format!("topic {name}");
                let named = |row: &Option<_>| {
                    row.as_ref().is_some_and(|row: &kanat_protocol::messages::TopicName| row.0.as_str() == name)
                };
                let row = answer.body.responses.iter().find(|row| named(&row.name));
                let row = answer.found(row, subject)?;
                answer.check(subject, row.error_code, row.error_message.as_ref())
            };
            Ok(names.iter().map(outcome).collect())
        };
        let outcomes = self.ask_each(&names, Repeat::UnlessUnknown, |_| Home::Controller, ask).await?;
        // What was deleted must not linger in the snapshot; a failed refresh leaves that to the next one.
        let _ = self.cluster.topics_after(topics, self.cluster.metadata().generation()).await;
        Ok(named(&names, outcomes))
    }

    /// Deletes topics by their ids: a topic that was created again under the same name stays. Needs Kafka 2.8.
    ///
    /// # Errors
    /// As [`delete_topics`](Self::delete_topics).
    pub async fn delete_topics_by_id(&self, ids: &[TopicId]) -> Result<Outcomes<TopicId>> {
        let timeout_ms = self.timeout_ms();
        let ask = |node: Node, ids: Vec<TopicId>| async move {
            let state = |id: &TopicId| DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_u128(id.0));
            let request =
                DeleteTopicsRequest::default().with_topics(ids.iter().map(state).collect()).with_timeout_ms(timeout_ms);
            let answer = node.ask(ApiKey::DeleteTopics, &request).await?;
            let outcome = |id: &TopicId| {
                let subject = || format!("topic id {id}");
                let row = answer.body.responses.iter().find(|row| row.topic_id.as_u128() == id.0);
                let row = answer.found(row, subject)?;
                answer.check(subject, row.error_code, row.error_message.as_ref())
            };
            Ok(ids.iter().map(outcome).collect())
        };
        let outcomes = self.ask_each(ids, Repeat::UnlessUnknown, |_| Home::Controller, ask).await?;
        Ok(named(ids, outcomes))
    }

    /// Raises the number of partitions of a topic to `count` and waits until the cluster knows the last of them.
    ///
    /// # Errors
    /// The controller's refusal.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<()> {
        let wanted = NewPartitions { topic: topic.to_owned(), count, assignments: Vec::new() };
        for (_, created) in self.create_partitions_of(&[wanted], false).await? {
            created?;
        }
        let ready = |leader| async move { Ok(leader) };
        self.cluster.with_leader(topic, count.saturating_sub(1), UnknownTopic::Retry, ready).await?;
        Ok(())
    }

    /// Raises the numbers of partitions of topics; with `validate_only` says whether that could be done.
    ///
    /// # Errors
    /// When no controller answers until `retry_timeout_ms`.
    pub async fn create_partitions_of(&self, wanted: &[NewPartitions], validate_only: bool) -> Result<Outcomes> {
        let timeout_ms = self.timeout_ms();
        let ask = |node: Node, wanted: Vec<NewPartitions>| async move {
            let topic = |wanted: &NewPartitions| {
                let assignment =
                    |brokers: &Vec<i32>| CreatePartitionsAssignment::default().with_broker_ids(broker_ids(brokers));
                let assignments: Vec<_> = wanted.assignments.iter().map(assignment).collect();
                CreatePartitionsTopic::default()
                    .with_name(topic_name(&wanted.topic))
                    .with_count(wanted.count)
                    .with_assignments(Some(assignments).filter(|assignments| !assignments.is_empty()))
            };
            let request = CreatePartitionsRequest::default()
                .with_topics(wanted.iter().map(topic).collect())
                .with_timeout_ms(timeout_ms)
                .with_validate_only(validate_only);
            let answer = node.ask(ApiKey::CreatePartitions, &request).await?;
            let outcome = |wanted: &NewPartitions| {
                let subject = || format!("topic {}", wanted.topic);
                let row = answer.body.results.iter().find(|row| row.name.0.as_str() == wanted.topic);
                let row = answer.found(row, subject)?;
                answer.check(subject, row.error_code, row.error_message.as_ref())
            };
            Ok(wanted.iter().map(outcome).collect())
        };
        let outcomes = self.ask_each(wanted, Repeat::UnlessUnknown, |_| Home::Controller, ask).await?;
        let names: Vec<String> = wanted.iter().map(|wanted| wanted.topic.clone()).collect();
        if !validate_only {
            let topics: Vec<&str> = names.iter().map(String::as_str).collect();
            // The new partitions shall be in the snapshot; a failed refresh leaves that to the next one.
            let _ = self.cluster.topics_after(&topics, self.cluster.metadata().generation()).await;
        }
        Ok(named(&names, outcomes))
    }

    /// Topics with their partitions, leaders and copies, asked for now. Topics that do not exist are absent.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn describe_topics(&self, topics: &[&str]) -> Result<Vec<Arc<TopicInfo>>> {
        let metadata = self.cluster.topics_after(topics, self.cluster.metadata().generation()).await?;
        Ok(topics.iter().filter_map(|name| metadata.topic(name).cloned()).collect())
    }

    /// As [`describe_topics`](Self::describe_topics) with what newer brokers know of each partition, page by page: a
    /// topic may have more partitions than fit into one answer. Brokers before Kafka 3.8 answer from their metadata.
    ///
    /// # Errors
    /// When no broker answers. A topic that cannot be described is in the result.
    pub async fn describe_topic_partitions(&self, topics: &[&str]) -> Result<Outcomes<String, TopicDescription>> {
        let mut names = owned(topics);
        names.sort_unstable();
        names.dedup();
        let asked = names.clone();
        let pages = self.ask_one(Home::Any, Repeat::Always, move |node| read_pages(node, asked.clone())).await;
        let mut found = match pages {
            Ok(found) => found,
            Err(Error::UnsupportedApi { .. }) => self.describe_by_metadata(topics).await?,
            Err(error) => return Err(error),
        };
        let missing = |name: &str| Err(Error::UnknownTopic { topic: name.into() });
        let outcome = |name: &&str| ((*name).to_owned(), found.remove(*name).unwrap_or_else(|| missing(name)));
        Ok(topics.iter().map(outcome).collect())
    }

    async fn describe_by_metadata(&self, topics: &[&str]) -> Result<HashMap<String, Result<TopicDescription>>> {
        let metadata = self.cluster.topics_after(topics, self.cluster.metadata().generation()).await?;
        let describe = |name: &&str| {
            let described = metadata.require_topic(name).map(|info| TopicDescription {
                name: (*name).to_owned(),
                id: info.id,
                internal: info.internal,
                partitions: info.partitions.iter().map(from_metadata).collect(),
            });
            ((*name).to_owned(), described)
        };
        Ok(topics.iter().map(describe).collect())
    }
}

fn from_metadata(info: &PartitionInfo) -> PartitionDescription {
    PartitionDescription {
        partition: info.partition,
        leader: info.leader,
        leader_epoch: info.leader_epoch,
        replicas: info.replicas.clone(),
        in_sync: info.in_sync.clone(),
        eligible_leaders: None,
        offline: Vec::new(),
    }
}

/// Reads every page of a description from one broker.
async fn read_pages(node: Node, names: Vec<String>) -> Result<HashMap<String, Result<TopicDescription>>> {
    let mut found: HashMap<String, Result<TopicDescription>> = HashMap::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let wanted = |name: &String| TopicRequest::default().with_name(topic_name(name));
        // Topics before the cursor are done.
        let reached = cursor.as_ref().map_or("", |cursor| cursor.topic_name.0.as_str());
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(names.iter().filter(|name| name.as_str() >= reached).map(wanted).collect())
            .with_response_partition_limit(PAGE_PARTITIONS_MAX)
            .with_cursor(cursor.clone());
        let answer = node.ask(ApiKey::DescribeTopicPartitions, &request).await?;
        for row in &answer.body.topics {
            merge_page(&mut found, &answer, row);
        }
        let Some(next) = &answer.body.next_cursor else { return Ok(found) };
        let place = |cursor: &Cursor| (cursor.topic_name.0.as_str().to_owned(), cursor.partition_index);
        let next =
            Cursor::default().with_topic_name(next.topic_name.clone()).with_partition_index(next.partition_index);
        if cursor.as_ref().is_some_and(|before| place(&next) <= place(before)) {
            return Err(answer.malformed("a page that ends where it began".to_owned()));
        }
        cursor = Some(next);
    }
}

fn merge_page<R>(
    found: &mut HashMap<String, Result<TopicDescription>>,
    answer: &Answer<R>,
    row: &DescribeTopicPartitionsResponseTopic,
) {
    let name = row.name.as_ref().map(|name| name.0.as_str().to_owned()).unwrap_or_default();
    if let Err(error) = answer.check(|| format!("topic {name}"), row.error_code, None) {
        let unknown = error.code() == Some(kanat_protocol::ErrorCode::UnknownTopicOrPartition);
        let error = if unknown { Error::UnknownTopic { topic: name.as_str().into() } } else { error };
        found.insert(name, Err(error));
        return;
    }
    let empty = || TopicDescription {
        name: name.clone(),
        id: topic_id(row.topic_id),
        internal: row.is_internal,
        partitions: Vec::new(),
    };
    if let Ok(topic) = found.entry(name.clone()).or_insert_with(|| Ok(empty())) {
        topic.partitions.extend(row.partitions.iter().map(from_page));
        topic.partitions.sort_unstable_by_key(|partition| partition.partition);
    }
}

fn from_page(row: &DescribeTopicPartitionsResponsePartition) -> PartitionDescription {
    let ids = |nodes: &[BrokerId]| nodes.iter().map(|node| node.0).collect::<Vec<i32>>();
    PartitionDescription {
        partition: row.partition_index,
        leader: Some(row.leader_id.0).filter(|leader| *leader >= 0),
        leader_epoch: row.leader_epoch,
        replicas: ids(&row.replica_nodes),
        in_sync: ids(&row.isr_nodes),
        eligible_leaders: row.eligible_leader_replicas.as_deref().map(ids),
        offline: ids(&row.offline_replicas),
    }
}

fn topic_id(id: Uuid) -> Option<TopicId> {
    (!id.is_nil()).then(|| TopicId(id.as_u128()))
}

/// Broker ids for the wire.
pub(super) fn broker_ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}
