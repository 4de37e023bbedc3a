//! What the client knows of the cluster: one immutable snapshot, replaced as a whole.
//!
//! Readers take an `Arc` of the current snapshot and never wait. A refresh asks for some topics, merges the answer into
//! a copy and publishes it under the next generation. Who finds that a snapshot is wrong says which generation it used:
//! if a newer one is already there, that one is used instead of asking again.

mod cache;

use std::collections::BTreeMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{MetadataResponse, metadata_response::MetadataResponseTopic};
use tokio::time::Instant;

pub(crate) use self::cache::MetadataCache;
use crate::error::{Error, Result};
use crate::types::{TopicId, TopicPartition};

/// A leader that a broker named when it refused to be asked for one of its partitions (KIP-951).
#[derive(Debug, Clone)]
pub(crate) struct LeaderHint {
    pub(crate) partition: TopicPartition,
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    /// Host and port of the leader.
    pub(crate) endpoint: Option<(String, i32)>,
}

/// One broker as metadata names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Broker id.
    pub node_id: i32,
    /// `host:port` it advertises.
    pub address: Arc<str>,
    /// Its rack, when it has one.
    pub rack: Option<String>,
}

/// One partition as metadata names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Partition number.
    pub partition: i32,
    /// Broker that leads it, if any at the moment.
    pub leader: Option<i32>,
    /// Epoch of that leadership, -1 when the broker does not say.
    pub leader_epoch: i32,
    /// Brokers that hold a copy.
    pub replicas: Vec<i32>,
    /// Copies in sync.
    pub in_sync: Vec<i32>,
}

/// One topic as metadata names it.
#[derive(Debug, Clone)]
pub struct TopicInfo {
    /// Topic name.
    pub name: Arc<str>,
    /// Topic id, on brokers that have them.
    pub id: Option<TopicId>,
    /// Whether it is one of the cluster's own topics (`__consumer_offsets`).
    pub internal: bool,
    /// Partitions in order of their number.
    pub partitions: Vec<PartitionInfo>,
    asked_at: Instant,
}

impl TopicInfo {
    /// A partition by its number.
    pub fn partition(&self, partition: i32) -> Option<&PartitionInfo> {
        let position = self.partitions.binary_search_by_key(&partition, |info| info.partition).ok()?;
        self.partitions.get(position)
    }

    pub(crate) fn age(&self, now: Instant) -> std::time::Duration {
        now.saturating_duration_since(self.asked_at)
    }
}

/// A snapshot of the cluster. Topics are those somebody asked for, not necessarily all.
///
/// Ordered, because what a client does next follows it: a seeded run has to repeat itself.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    generation: u64,
    cluster_id: Option<String>,
    controller: Option<i32>,
    brokers: BTreeMap<i32, BrokerInfo>,
    topics: BTreeMap<Arc<str>, Arc<TopicInfo>>,
    /// Topics the cluster would not describe at the last refresh, with the reason.
    errors: BTreeMap<Arc<str>, ErrorCode>,
}

impl Metadata {
    /// Rises with every refresh.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Id of the cluster, when it has one.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// Broker to send topic creation and the like to.
    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    /// Brokers alive, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerInfo> {
        self.brokers.values()
    }

    /// A broker by id.
    pub fn broker(&self, node_id: i32) -> Option<&BrokerInfo> {
        self.brokers.get(&node_id)
    }

    /// A topic, if the snapshot holds it.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicInfo>> {
        self.topics.get(name)
    }

    /// Topics the snapshot holds, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicInfo>> {
        self.topics.values()
    }

    /// A topic, or why the snapshot does not hold it.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; [`Error::Server`] with the code the cluster gave, such as
    /// `TOPIC_AUTHORIZATION_FAILED`.
    pub fn require_topic(&self, name: &str) -> Result<&Arc<TopicInfo>> {
        self.topics.get(name).ok_or_else(|| match self.errors.get(name) {
            None | Some(ErrorCode::UnknownTopicOrPartition) => Error::UnknownTopic { topic: name.into() },
            Some(code) => self.refused(name, *code),
        })
    }

    /// Where a partition is led, or which of the things that can be wrong is.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Result<(i32, &PartitionInfo)> {
        let name = || Arc::<str>::from(topic);
        let info = self.require_topic(topic)?;
        let Some(found) = info.partition(partition) else {
            let partition_count = info.partitions.len();
            return Err(Error::UnknownPartition { topic: name(), partition, partition_count });
        };
        match found.leader.filter(|leader| self.brokers.contains_key(leader)) {
            Some(leader) => Ok((leader, found)),
            None => Err(Error::NoLeader { topic: name(), partition }),
        }
    }

    /// The error of a topic the cluster would not describe.
    fn refused(&self, topic: &str, code: ErrorCode) -> Error {
        Error::Server {
            address: self.cluster_id.as_deref().unwrap_or("cluster").into(),
            api: kanat_protocol::messages::ApiKey::Metadata,
            subject: format!("topic {topic}"),
            code,
            message: None,
        }
    }

    /// A copy with an answer merged in. `all` says that the answer names every topic there is, so that the others are
    /// gone.
    fn merged(&self, response: &MetadataResponse, all: bool, now: Instant) -> Metadata {
        let mut next = self.clone();
        next.generation += 1;
        next.cluster_id = response.cluster_id.as_ref().map(|id| id.as_str().to_owned());
        next.controller = Some(response.controller_id.0).filter(|id| *id >= 0);
        next.brokers = response.brokers.iter().map(broker_info).map(|broker| (broker.node_id, broker)).collect();
        if all {
            next.topics.clear();
            next.errors.clear();
        }
        for topic in &response.topics {
            next.merge_topic(topic, self, now);
        }
        next
    }

    /// A copy with leaders that are newer than those known. `None` if there are none.
    fn with_leaders(&self, hints: &[LeaderHint]) -> Option<Metadata> {
        let mut next = self.clone();
        let mut changed = false;
        for hint in hints {
            let Some(topic) = next.topics.get_mut(&*hint.partition.topic) else { continue };
            let Ok(place) =
                topic.partitions.binary_search_by_key(&hint.partition.partition, |partition| partition.partition)
            else {
                continue;
            };
            let is_newer = hint.leader_epoch > topic.partitions[place].leader_epoch;
            if !is_newer || (hint.endpoint.is_none() && !next.brokers.contains_key(&hint.leader)) {
                continue;
            }
            let partition = &mut Arc::make_mut(topic).partitions[place];
            (partition.leader, partition.leader_epoch) = (Some(hint.leader), hint.leader_epoch);
            if let Some((host, port)) = &hint.endpoint {
                let info = |rack| BrokerInfo { node_id: hint.leader, address: address(host, *port), rack };
                let rack = next.brokers.get(&hint.leader).and_then(|known| known.rack.clone());
                next.brokers.insert(hint.leader, info(rack));
            }
            changed = true;
        }
        next.generation += 1;
        changed.then_some(next)
    }

    fn merge_topic(&mut self, topic: &MetadataResponseTopic, before: &Metadata, now: Instant) {
        let Some(name) = topic.name.as_ref().map(|name| name.0.as_str()) else { return };
        let known = before.topics.get(name);
        let name: Arc<str> = known.map_or_else(|| name.into(), |topic| Arc::clone(&topic.name));
        if let Some(code) = ErrorCode::from_code(topic.error_code) {
            // A topic without a leader election yet keeps what is known of it; one that is gone does not.
            if !code.is_retriable() || code == ErrorCode::UnknownTopicOrPartition {
                self.topics.remove(&name);
            }
            self.errors.insert(name, code);
            return;
        }
        self.errors.remove(&name);
        let info = topic_info(Arc::clone(&name), topic, known, now);
        self.topics.insert(name, Arc::new(info));
    }
}

fn broker_info(broker: &kanat_protocol::messages::metadata_response::MetadataResponseBroker) -> BrokerInfo {
    BrokerInfo {
        node_id: broker.node_id.0,
        address: address(broker.host.as_str(), broker.port),
        rack: broker.rack.as_ref().map(|rack| rack.as_str().to_owned()),
    }
}

fn address(host: &str, port: i32) -> Arc<str> {
    if host.contains(':') { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
}

fn topic_info(
    name: Arc<str>,
    topic: &MetadataResponseTopic,
    known: Option<&Arc<TopicInfo>>,
    now: Instant,
) -> TopicInfo {
    let id = Some(topic.topic_id.as_u128()).filter(|id| *id != 0).map(TopicId);
    // Epochs are comparable within one incarnation of the topic only.
    let known = known.filter(|known| known.id == id);
    let mut partitions: Vec<PartitionInfo> = topic
        .partitions
        .iter()
        .map(|partition| {
            let fresh = PartitionInfo {
                partition: partition.partition_index,
                leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
                leader_epoch: partition.leader_epoch,
                replicas: partition.replica_nodes.iter().map(|node| node.0).collect(),
                in_sync: partition.isr_nodes.iter().map(|node| node.0).collect(),
            };
            // A broker that lags behind may still name the leader before; an older epoch never replaces a newer one.
            match known.and_then(|known| known.partition(fresh.partition)) {
                Some(newer) if newer.leader_epoch > fresh.leader_epoch && fresh.leader_epoch >= 0 => newer.clone(),
                _ => fresh,
            }
        })
        .collect();
    partitions.sort_unstable_by_key(|partition| partition.partition);
    TopicInfo { name, id, internal: topic.is_internal, partitions, asked_at: now }
}

#[cfg(test)]
mod tests;
