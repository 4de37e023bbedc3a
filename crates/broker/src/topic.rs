//! A topic, its partitions, and who leads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::Uuid;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::error::Refusal;
use crate::journal::{Entry, PartitionEntry};
use crate::log::PartitionLog;
use crate::topic_config::LogConfig;

/// Leader id of a partition whose replicas are all down.
pub(crate) const NO_LEADER: i32 = -1;
const NAME_BYTES_MAX: usize = 249;

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    configs: RwLock<Arc<TopicConfigs>>,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
}

/// Configs a topic sets itself, and what follows from them for the log.
#[derive(Debug, PartialEq)]
pub(crate) struct TopicConfigs {
    pub(crate) own: BTreeMap<String, String>,
    pub(crate) log: LogConfig,
}

/// A partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    pub(crate) log: Mutex<PartitionLog>,
    /// Held for a whole compaction pass: one at a time.
    pub(crate) compacting: Mutex<()>,
    leadership: Mutex<PartitionEntry>,
    /// Fetches that wait for records; each one is woken once and registers anew.
    waiting: Mutex<Vec<Arc<Notify>>>,
}

impl Topic {
    pub(crate) fn new(name: &str, id: Uuid, configs: TopicConfigs, partitions: Vec<Arc<Partition>>) -> Self {
        Self {
            name: name.into(),
            id,
            configs: RwLock::new(Arc::new(configs)),
            partitions: RwLock::new(partitions.into()),
        }
    }

    /// Partitions by index.
    pub(crate) fn partitions(&self) -> Arc<[Arc<Partition>]> {
        Arc::clone(&self.partitions.read())
    }

    pub(crate) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let index = usize::try_from(index).ok()?;
        self.partitions.read().get(index).map(Arc::clone)
    }

    pub(crate) fn add_partitions(&self, added: Vec<Arc<Partition>>) {
        let mut partitions = self.partitions.write();
        *partitions = partitions.iter().cloned().chain(added).collect();
    }

    pub(crate) fn configs(&self) -> Arc<TopicConfigs> {
        Arc::clone(&self.configs.read())
    }

    pub(crate) fn set_configs(&self, configs: TopicConfigs) {
        *self.configs.write() = Arc::new(configs);
    }

    /// Offsets and transaction state topics of Kafka itself.
    pub(crate) fn is_internal(&self) -> bool {
        matches!(&*self.name, "__consumer_offsets" | "__transaction_state")
    }

    /// The topic as the journal keeps it.
    pub(crate) fn entry(&self) -> Entry {
        Entry::Topic {
            id: self.id,
            name: self.name.to_string(),
            configs: self.configs().own.clone(),
            partitions: self.partitions().iter().map(|partition| partition.leadership()).collect(),
        }
    }
}

impl Partition {
    pub(crate) fn new(index: i32, log: PartitionLog, leadership: PartitionEntry) -> Self {
        Self {
            index,
            log: Mutex::new(log),
            compacting: Mutex::default(),
            leadership: Mutex::new(leadership),
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn leadership(&self) -> PartitionEntry {
        self.leadership.lock().clone()
    }

    /// (leader, epoch)
    pub(crate) fn leader(&self) -> (i32, i32) {
        let leadership = self.leadership.lock();
        (leadership.leader, leadership.epoch)
    }

    /// Makes `leader` the leader of a new epoch, and a replica if it was none. Returns what to write down.
    pub(crate) fn set_leader(&self, leader: i32) -> PartitionEntry {
        let entry = {
            let mut leadership = self.leadership.lock();
            leadership.leader = leader;
            leadership.epoch += 1;
            if leader != NO_LEADER && !leadership.replicas.contains(&leader) {
                leadership.replicas.pop();
                leadership.replicas.insert(0, leader);
            }
            leadership.clone()
        };
        self.wake();
        entry
    }

    /// Replaces the replicas; the leader stays if it is one of them, or else `leader` takes over in a new epoch. Returns
    /// what to write down.
    pub(crate) fn set_replicas(&self, replicas: Vec<i32>, leader: i32) -> PartitionEntry {
        let entry = {
            let mut leadership = self.leadership.lock();
            if !replicas.contains(&leadership.leader) {
                leadership.leader = leader;
            }
            leadership.epoch += 1;
            leadership.replicas = replicas;
            leadership.clone()
        };
        self.wake();
        entry
    }

    /// Checks that `node` may answer for this partition and that the client knows the right epoch (-1: does not say).
    pub(crate) fn check_leader(&self, node: i32, client_epoch: i32) -> Result<i32, Refusal> {
        let epoch = self.check_epoch(client_epoch)?;
        match self.leader().0 {
            leader if leader == node => Ok(epoch),
            leader => Err(not_leader(leader)),
        }
    }

    /// As [`Partition::check_leader`] for reading: any replica may answer.
    pub(crate) fn check_replica(&self, node: i32, client_epoch: i32) -> Result<i32, Refusal> {
        let epoch = self.check_epoch(client_epoch)?;
        let leadership = self.leadership.lock();
        if leadership.replicas.contains(&node) { Ok(epoch) } else { Err(not_leader(leadership.leader)) }
    }

    fn check_epoch(&self, client_epoch: i32) -> Result<i32, Refusal> {
        let (_, epoch) = self.leader();
        if client_epoch >= 0 && client_epoch < epoch {
            return Err(Refusal::new(ErrorCode::FencedLeaderEpoch, format!("the leader epoch is {epoch} by now")));
        }
        if client_epoch > epoch {
            return Err(Refusal::new(ErrorCode::UnknownLeaderEpoch, format!("the leader epoch is still {epoch}")));
        }
        Ok(epoch)
    }

    /// Has `waiter` woken by the next append or leader change.
    pub(crate) fn register(&self, waiter: &Arc<Notify>) {
        let mut waiting = self.waiting.lock();
        // Fetches that ended otherwise left their half behind.
        waiting.retain(|waiter| Arc::strong_count(waiter) > 1);
        if !waiting.iter().any(|known| Arc::ptr_eq(known, waiter)) {
            waiting.push(Arc::clone(waiter));
        }
    }

    pub(crate) fn wake(&self) {
        for waiter in self.waiting.lock().drain(..) {
            waiter.notify_one();
        }
    }
}

fn not_leader(leader: i32) -> Refusal {
    Refusal::new(ErrorCode::NotLeaderOrFollower, format!("node {leader} leads this partition"))
}

/// Checks a topic name by Kafka's rules.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = if name.is_empty() || name == "." || name == ".." {
        "cannot be empty, \".\" or \"..\"".to_owned()
    } else if name.len() > NAME_BYTES_MAX {
        format!("is longer than {NAME_BYTES_MAX} characters")
    } else if !name.chars().all(legal) {
        "has characters other than ASCII letters, digits, '.', '_' and '-'".to_owned()
    } else {
        return Ok(());
    };
    Err(Refusal::new(ErrorCode::InvalidTopicException, format!("topic name {name:?} {reason}")))
}
