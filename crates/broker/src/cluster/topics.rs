//! The topics of the cluster: made, grown, configured, deleted.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::Uuid;

use super::Cluster;
use crate::error::Refusal;
use crate::group::TopicView;
use crate::journal::{Entry, PartitionEntry};
use crate::storage::RestoredTopic;
use crate::topic::{Partition, Topic, TopicConfigs, check_name};
use crate::topic_config;

/// A topic to be made.
#[derive(Debug, Default)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// -1 takes the default.
    pub(crate) partitions: i32,
    /// -1 takes one replica per node.
    pub(crate) replication_factor: i16,
    /// Replicas of each partition; empty lets the broker choose.
    pub(crate) assignments: Vec<Vec<i32>>,
    pub(crate) configs: BTreeMap<String, String>,
}

/// What CreateTopics tells of a topic.
#[derive(Debug)]
pub(crate) struct CreatedTopic {
    pub(crate) id: Uuid,
    pub(crate) leaderships: Vec<PartitionEntry>,
    pub(crate) configs: Arc<TopicConfigs>,
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    partitions: usize,
}

impl Cluster {
    pub(super) fn restore_topic(&self, topic: RestoredTopic) {
        let configs = self.resolve_configs(topic.configs);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, (mut entry, log)) in (0..).zip(topic.partitions) {
            // The directory may come from a cluster with more nodes.
            entry.replicas.retain(|replica| self.node(*replica).is_some());
            if entry.replicas.is_empty() {
                entry.replicas.push(0);
            }
            if !entry.replicas.contains(&entry.leader) {
                entry.leader = entry.replicas[0];
                entry.epoch += 1;
            }
            partitions.push(Arc::new(Partition::new(index, log, entry)));
        }
        self.insert_topic(Topic::new(&topic.name, topic.id, configs, partitions));
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().by_name.get(name).map(Arc::clone)
    }

    pub(crate) fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.topics.read().by_id.get(&id).map(Arc::clone)
    }

    /// All topics by name.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.read().by_name.values().map(Arc::clone).collect()
    }

    /// Topics consumers may subscribe to.
    pub(crate) fn topic_view(&self) -> TopicView {
        let topics = self.topics.read();
        let visible = topics.by_name.iter().filter(|(_, topic)| !topic.is_internal());
        let count = |topic: &Topic| i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
        visible.map(|(name, topic)| (name.to_string(), (topic.id, count(topic)))).collect()
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Result<(Arc<Topic>, Arc<Partition>), Refusal> {
        let topic = self.topic(topic).ok_or_else(|| unknown_partition(topic, partition))?;
        let found = topic.partition(partition).ok_or_else(|| unknown_partition(&topic.name, partition))?;
        Ok((topic, found))
    }

    fn insert_topic(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut topics = self.topics.write();
        topics.partitions += topic.partitions().len();
        topics.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        topics.by_id.insert(topic.id, Arc::clone(&topic));
        topic
    }

    /// Makes a topic, or only checks whether it could be made. Returns its leaderships by partition, and the topic.
    pub(crate) fn create_topic(&self, new: &NewTopic, validate_only: bool) -> Result<CreatedTopic, Refusal> {
        let _turn = self.changes.lock();
        check_name(&new.name)?;
        if self.topic(&new.name).is_some() {
            let reason = format!("topic {} already exists", new.name);
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, reason));
        }
        self.check_collision(&new.name)?;
        for (name, value) in &new.configs {
            topic_config::check(name, value).map_err(|reason| Refusal::new(ErrorCode::InvalidConfig, reason))?;
        }
        let leaderships = self.assign(new)?;
        self.check_room(leaderships.len())?;
        let configs = self.resolve_configs(new.configs.clone());
        let id = Uuid::from_u128(self.random.lock().u128(1 << 64..));
        if validate_only {
            return Ok(CreatedTopic { id: Uuid::nil(), leaderships, configs: Arc::new(configs) });
        }
        let partitions = self.make_partitions(id, 0, leaderships.clone()).map_err(|error| Refusal::storage(&error))?;
        let topic = self.insert_topic(Topic::new(&new.name, id, configs, partitions));
        self.journal.append(&[topic.entry()]).map_err(|error| Refusal::storage(&error))?;
        Ok(CreatedTopic { id, leaderships, configs: topic.configs() })
    }

    /// Names that differ in `.` and `_` only would share the names of their metrics, as in Kafka.
    fn check_collision(&self, name: &str) -> Result<(), Refusal> {
        if !name.contains(['.', '_']) {
            return Ok(());
        }
        let same = |other: &str| other.bytes().map(metric_byte).eq(name.bytes().map(metric_byte));
        match self.topics.read().by_name.keys().find(|other| same(other)) {
            Some(other) => {
                let reason = format!("topic {name} collides with topic {other}");
                Err(Refusal::new(ErrorCode::InvalidTopicException, reason))
            }
            None => Ok(()),
        }
    }

    fn check_room(&self, partitions: usize) -> Result<(), Refusal> {
        let partitions_max = self.options.limits.partitions_max;
        if self.topics.read().partitions + partitions > partitions_max {
            let reason = format!("the broker holds at most partitions_max = {partitions_max} partitions");
            return Err(Refusal::new(ErrorCode::InvalidPartitions, reason));
        }
        Ok(())
    }

    fn make_partitions(
        &self,
        topic: Uuid,
        first: i32,
        leaderships: Vec<PartitionEntry>,
    ) -> io::Result<Vec<Arc<Partition>>> {
        let numbered = (first..).zip(leaderships);
        numbered
            .map(|(index, leadership)| {
                let log = self.storage.create_log(topic, index)?;
                Ok(Arc::new(Partition::new(index, log, leadership)))
            })
            .collect()
    }

    fn assign(&self, new: &NewTopic) -> Result<Vec<PartitionEntry>, Refusal> {
        if !new.assignments.is_empty() {
            return new.assignments.iter().map(|replicas| self.assigned(replicas)).collect();
        }
        let partitions = match new.partitions {
            -1 => self.options.default_partitions,
            partitions if partitions >= 1 => partitions,
            _ => return Err(Refusal::new(ErrorCode::InvalidPartitions, "a topic has at least one partition")),
        };
        let replicas = match i32::from(new.replication_factor) {
            -1 => self.options.nodes,
            factor if (1..=self.options.nodes).contains(&factor) => factor,
            factor => {
                let reason = format!("replication factor {factor} with {} nodes", self.options.nodes);
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, reason));
            }
        };
        if usize::try_from(partitions).map_or(true, |partitions| partitions > self.options.limits.partitions_max) {
            self.check_room(usize::MAX / 2)?;
        }
        Ok((0..partitions).map(|_| self.next_leadership(replicas)).collect())
    }

    /// Deletes a topic with its offsets in all groups.
    pub(crate) fn delete_topic(&self, topic: &Topic) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        {
            let mut topics = self.topics.write();
            let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, "the topic is gone already");
            topics.by_id.remove(&topic.id).ok_or_else(unknown)?;
            topics.by_name.remove(&topic.name);
            topics.partitions -= topic.partitions().len();
        }
        let storage = |error| Refusal::storage(&error);
        self.journal.append(&[Entry::TopicDeleted { id: topic.id }]).map_err(storage)?;
        self.coordinator.forget_topic(&topic.name).map_err(storage)?;
        self.storage.delete_topic(topic.id).map_err(storage)?;
        for partition in topic.partitions().iter() {
            partition.wake();
        }
        Ok(())
    }

    /// Grows a topic to `count` partitions. Returns how many are new.
    pub(crate) fn add_partitions(
        &self,
        name: &str,
        count: i32,
        assignments: Option<&[Vec<i32>]>,
        validate_only: bool,
    ) -> Result<usize, Refusal> {
        let _turn = self.changes.lock();
        let topic = self.topic(name).ok_or_else(|| unknown_topic(name))?;
        let partitions = topic.partitions();
        let present = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        if count <= present {
            let reason = format!("topic {name} has {present} partitions already");
            return Err(Refusal::new(ErrorCode::InvalidPartitions, reason));
        }
        self.check_room(usize::try_from(count - present).unwrap_or(usize::MAX))?;
        let leaderships: Vec<PartitionEntry> = match assignments {
            Some(assigned) if assigned.len() as i64 == i64::from(count - present) => {
                assigned.iter().map(|replicas| self.assigned(replicas)).collect::<Result<_, _>>()?
            }
            Some(_) => {
                let reason = "there must be one assignment per new partition";
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, reason));
            }
            None => {
                let replicas = partitions.first().map_or(1, |partition| partition.leadership().replicas.len());
                let replicas = i32::try_from(replicas).unwrap_or(1);
                (present..count).map(|_| self.next_leadership(replicas)).collect()
            }
        };
        let added = leaderships.len();
        if validate_only {
            return Ok(added);
        }
        let storage = |error| Refusal::storage(&error);
        let partitions = self.make_partitions(topic.id, present, leaderships).map_err(storage)?;
        self.topics.write().partitions += added;
        topic.add_partitions(partitions);
        self.journal.append(&[topic.entry()]).map_err(storage)?;
        Ok(added)
    }
}

fn metric_byte(byte: u8) -> u8 {
    if byte == b'.' { b'_' } else { byte }
}

pub(crate) fn unknown_topic(topic: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("topic {topic} does not exist"))
}

pub(crate) fn unknown_partition(topic: &str, partition: i32) -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("topic {topic} has no partition {partition}"))
}
