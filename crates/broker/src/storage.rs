//! The broker directory: its lock, its journal, and one folder of segments per partition.
//!
//! ```text
//! DIR/lock                          held while a broker runs
//! DIR/cluster.journal               everything but records, see `journal`
//! DIR/topics/<topic id>/<partition>/<base offset>.log
//! ```
//! Folders carry the topic id, so a topic made anew under an old name never meets old files. Folders the journal does
//! not know belong to a creation or deletion that was killed; they are removed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use kanat_protocol::messages::Uuid;

use crate::acl::Acl;
use crate::group::{CommittedOffset, StoredGroup};
use crate::journal::{ConfigOwner, Entry, Journal, PartitionEntry};
use crate::log::{PartitionLog, recover};
use crate::quotas::{Entity, QuotaValues};
use crate::security::{ScramCredential, ScramHash};
use crate::transaction::Transaction;
use crate::{Error, Result};

/// An open broker directory, or memory.
#[derive(Debug)]
pub(crate) struct Storage {
    dir: Option<PathBuf>,
    /// Closing the file gives the lock back.
    _lock: Option<File>,
}

/// What a directory held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) cluster_id: Option<String>,
    pub(crate) next_producer_id: i64,
    pub(crate) topics: Vec<RestoredTopic>,
    pub(crate) consumer_groups: BTreeMap<String, StoredGroup>,
    /// Of nodes and groups.
    pub(crate) configs: BTreeMap<ConfigOwner, BTreeMap<String, String>>,
    pub(crate) features: BTreeMap<String, i16>,
    pub(crate) acls: BTreeSet<Acl>,
    pub(crate) quotas: BTreeMap<Entity, QuotaValues>,
    /// By user and mechanism.
    pub(crate) scram_users: BTreeMap<(String, ScramHash), ScramCredential>,
    /// By group, topic and partition.
    pub(crate) offsets: BTreeMap<(String, String, i32), CommittedOffset>,
    /// Offsets of open transactions by group, producer id, topic and partition.
    pub(crate) pending: BTreeMap<(String, i64, String, i32), CommittedOffset>,
    pub(crate) transactions: BTreeMap<String, Transaction>,
}

/// A topic found in a directory.
#[derive(Debug)]
pub(crate) struct RestoredTopic {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) configs: BTreeMap<String, String>,
    pub(crate) partitions: Vec<(PartitionEntry, PartitionLog)>,
}

impl Storage {
    pub(crate) fn in_memory() -> Self {
        Self { dir: None, _lock: None }
    }

    /// Opens `dir`, making it when it is missing.
    pub(crate) fn open(dir: &Path, producers_max: usize) -> Result<(Self, Journal, Restored)> {
        let topics_dir = dir.join("topics");
        fs::create_dir_all(&topics_dir).map_err(|error| Error::storage(&topics_dir, error))?;
        let lock = lock(dir)?;
        let (journal, entries) = Journal::open(dir)?;
        let mut restored = Restored::default();
        let mut known = Known::default();
        for entry in entries {
            known.apply(entry, &mut restored);
        }
        remove_unknown(&topics_dir, &known.topics.keys().copied().collect())?;
        for (id, topic) in known.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (index, entry) in topic.partitions.into_iter().enumerate() {
                let path = topics_dir.join(id.to_string()).join(index.to_string());
                fs::create_dir_all(&path).map_err(|error| Error::storage(&path, error))?;
                let (mut log, cut_bytes) = recover(&path, producers_max)?;
                if cut_bytes > 0 {
                    tracing::warn!(topic = topic.name, partition = index, cut_bytes, "cut a torn tail off the log");
                }
                if let Some(offset) = i32::try_from(index).ok().and_then(|index| known.log_starts.get(&(id, index))) {
                    log.advance_log_start(*offset).map_err(|error| Error::storage(&path, error))?;
                }
                partitions.push((entry, log));
            }
            restored.topics.push(RestoredTopic { id, name: topic.name, configs: topic.configs, partitions });
        }
        Ok((Self { dir: Some(dir.to_path_buf()), _lock: Some(lock) }, journal, restored))
    }

    /// Whether changes touch a disk, and so belong off the runtime threads.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.dir.is_some()
    }

    /// An empty log for a new partition.
    pub(crate) fn create_log(&self, topic: Uuid, partition: i32) -> io::Result<PartitionLog> {
        let Some(dir) = &self.dir else { return Ok(PartitionLog::in_memory()) };
        let path = topic_dir(dir, topic).join(partition.to_string());
        fs::create_dir_all(&path)?;
        PartitionLog::create(&path)
    }

    /// Removes the files of a deleted topic.
    pub(crate) fn delete_topic(&self, topic: Uuid) -> io::Result<()> {
        match &self.dir {
            Some(dir) => fs::remove_dir_all(topic_dir(dir, topic)),
            None => Ok(()),
        }
    }
}

fn topic_dir(dir: &Path, topic: Uuid) -> PathBuf {
    dir.join("topics").join(topic.to_string())
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|error| Error::storage(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DirectoryInUse { path: dir.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(Error::storage(&path, error)),
    }
}

fn remove_unknown(topics_dir: &Path, known: &HashSet<Uuid>) -> Result<()> {
    let storage = |error| Error::storage(topics_dir, error);
    for entry in fs::read_dir(topics_dir).map_err(storage)? {
        let path = entry.map_err(storage)?.path();
        let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| Uuid::parse_str(name).ok());
        match id {
            Some(id) if known.contains(&id) => {}
            Some(_) => fs::remove_dir_all(&path).map_err(|error| Error::storage(&path, error))?,
            None => return Err(Error::Corrupt { path, reason: "not a topic folder of this broker".to_owned() }),
        }
    }
    Ok(())
}

/// State of the topics while the journal is replayed.
#[derive(Debug, Default)]
struct Known {
    topics: HashMap<Uuid, KnownTopic>,
    log_starts: HashMap<(Uuid, i32), i64>,
}

#[derive(Debug)]
struct KnownTopic {
    name: String,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionEntry>,
}

impl Known {
    fn apply(&mut self, entry: Entry, restored: &mut Restored) {
        match entry {
            Entry::Topic { id, name, configs, partitions } => {
                self.topics.insert(id, KnownTopic { name, configs, partitions });
            }
            Entry::TopicDeleted { id } => {
                self.topics.remove(&id);
            }
            Entry::Leader { topic, partition, entry } => {
                let topic = self.topics.get_mut(&topic);
                let partition = usize::try_from(partition).ok();
                if let Some(known) = topic.zip(partition).and_then(|(topic, index)| topic.partitions.get_mut(index)) {
                    *known = entry;
                }
            }
            Entry::LogStart { topic, partition, offset } => {
                self.log_starts.insert((topic, partition), offset);
            }
            other => restored.apply(other),
        }
    }
}

impl Restored {
    /// Takes over an entry that is not about topics.
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Cluster { id } => self.cluster_id = Some(id),
            Entry::ProducerIds { next } => self.next_producer_id = next,
            Entry::Offset { group, topic, partition, offset, leader_epoch, metadata } => {
                let committed = CommittedOffset { offset, leader_epoch, metadata };
                self.offsets.insert((group, topic, partition), committed);
            }
            Entry::OffsetDeleted { group, topic, partition } => {
                self.offsets.remove(&(group, topic, partition));
            }
            Entry::Transaction { id, transaction } => {
                self.transactions.insert(id, transaction);
            }
            Entry::PendingOffset { group, producer_id, topic, partition, offset, leader_epoch, metadata } => {
                let committed = CommittedOffset { offset, leader_epoch, metadata };
                self.pending.insert((group, producer_id, topic, partition), committed);
            }
            Entry::PendingEnded { group, producer_id } => {
                self.pending.retain(|(owner, id, ..), _| *owner != group || *id != producer_id);
            }
            Entry::ConsumerGroup { group, stored } => {
                self.consumer_groups.insert(group, stored);
            }
            Entry::Configs { owner, values } => {
                self.configs.insert(owner, values);
            }
            Entry::Feature { name, level } => {
                self.features.insert(name, level);
            }
            Entry::Acl { acl } => {
                self.acls.insert(acl);
            }
            Entry::AclDeleted { acl } => {
                self.acls.remove(&acl);
            }
            Entry::Quota { entity, values } if values.is_empty() => {
                self.quotas.remove(&entity);
            }
            Entry::Quota { entity, values } => {
                let values = values.into_iter().map(|(key, bits)| (key, f64::from_bits(bits))).collect();
                self.quotas.insert(entity, values);
            }
            Entry::ScramUser { user, hash, credential } => {
                self.scram_users.insert((user, hash), credential);
            }
            Entry::ScramUserDeleted { user, hash } => {
                self.scram_users.remove(&(user, hash));
            }
            Entry::GroupDeleted { group } => {
                self.offsets.retain(|(owner, ..), _| *owner != group);
                self.consumer_groups.remove(&group);
            }
            // What is about topics is gathered in `Known`, which hands on only the others.
            Entry::Topic { .. } | Entry::TopicDeleted { .. } | Entry::Leader { .. } | Entry::LogStart { .. } => {}
        }
    }
}
