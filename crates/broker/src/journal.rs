//! The journal of a broker directory: topics, leaders, committed offsets and everything else that is not a record
//! batch, as an append-only file.
//!
//! An entry is length, CRC-32C and payload. A change is applied in memory first and appended second, before the client
//! is answered. Entries say what *is* (upserts and removals), so replaying one twice is harmless. A torn entry at the
//! end is what a killed write leaves; it is cut off. When most of the file is out of date it is written anew under
//! another name and renamed; appends that happen meanwhile go to both.

mod codec;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use kanat_protocol::messages::Uuid;
use parking_lot::Mutex;

use self::codec::{ENTRY_HEAD_BYTES, decode, encode, next_payload};
use crate::acl::Acl;
use crate::group::StoredGroup;
use crate::quotas::{Entity, QuotaValues};
use crate::security::{ScramCredential, ScramHash};
use crate::transaction::Transaction;
use crate::{Error, Result};

const MAGIC: &[u8] = b"kanat-journal-1\n";
/// Size below which the journal is never written anew.
const REWRITE_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// One change of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Cluster {
        id: String,
    },
    ProducerIds {
        next: i64,
    },
    /// A topic as it is now. Partitions keep the leader they had.
    Topic {
        id: Uuid,
        name: String,
        configs: BTreeMap<String, String>,
        partitions: Vec<PartitionEntry>,
    },
    TopicDeleted {
        id: Uuid,
    },
    Leader {
        topic: Uuid,
        partition: i32,
        entry: PartitionEntry,
    },
    LogStart {
        topic: Uuid,
        partition: i32,
        offset: i64,
    },
    Offset {
        group: String,
        topic: String,
        partition: i32,
        offset: i64,
        leader_epoch: i32,
        metadata: String,
    },
    OffsetDeleted {
        group: String,
        topic: String,
        partition: i32,
    },
    GroupDeleted {
        group: String,
    },
    Acl {
        acl: Acl,
    },
    AclDeleted {
        acl: Acl,
    },
    /// The quotas of an entity as they are now; none when it has none left.
    Quota {
        entity: Entity,
        /// Bits of the numbers, which are compared as such.
        values: BTreeMap<String, u64>,
    },
    /// A group of KIP-848 as it is now.
    ConsumerGroup {
        group: String,
        stored: StoredGroup,
    },
    /// What is set for all nodes or a group as it is now.
    Configs {
        owner: ConfigOwner,
        values: BTreeMap<String, String>,
    },
    /// The level of a feature as it is now.
    Feature {
        name: String,
        level: i16,
    },
    /// What is kept of a SCRAM user's password under one mechanism.
    ScramUser {
        user: String,
        hash: ScramHash,
        credential: ScramCredential,
    },
    ScramUserDeleted {
        user: String,
        hash: ScramHash,
    },
    /// A transactional id as it is now.
    Transaction {
        id: String,
        transaction: Transaction,
    },
    /// An offset of an open transaction.
    PendingOffset {
        group: String,
        producer_id: i64,
        topic: String,
        partition: i32,
        offset: i64,
        leader_epoch: i32,
        metadata: String,
    },
    /// The transaction ended; what it committed was written before.
    PendingEnded {
        group: String,
        producer_id: i64,
    },
}

impl Entry {
    /// What to write down of an entity's quotas.
    pub(crate) fn quota(entity: &Entity, values: &QuotaValues) -> Self {
        let values = values.iter().map(|(key, value)| (key.clone(), value.to_bits())).collect();
        Entry::Quota { entity: entity.clone(), values }
    }
}

/// Whose configs they are, apart from topics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConfigOwner {
    Nodes,
    Group(String),
}

/// Leadership of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionEntry {
    pub(crate) leader: i32,
    pub(crate) epoch: i32,
    pub(crate) replicas: Vec<i32>,
}

/// Appends to the journal file, or to nothing for a broker in memory.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Entries written so far, those before the start included.
    entries: AtomicI64,
    file: Option<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    len_bytes: u64,
    /// Length after the last rewrite.
    live_bytes: u64,
    /// Entries appended since a rewrite began.
    tee: Option<Vec<u8>>,
}

impl Journal {
    pub(crate) fn in_memory() -> Self {
        Self { entries: AtomicI64::new(0), file: None }
    }

    /// Opens the journal in `dir` and returns what it says; a missing one is made.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<Entry>)> {
        let path = dir.join("cluster.journal");
        let storage = |error| Error::storage(&path, error);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(storage)?;
        let bytes = fs::read(&path).map_err(storage)?;
        // A file shorter than the magic is a first start that was killed.
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            file.set_len(0).and_then(|()| file.write_all(MAGIC)).map_err(storage)?;
            return Ok((Self::over(file, &path, MAGIC.len() as u64, 0), Vec::new()));
        }
        let corrupt = |reason: &str| Error::Corrupt { path: path.clone(), reason: reason.to_owned() };
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
            return Err(corrupt("not a journal of this version of the broker"));
        };
        let mut entries = Vec::new();
        while let Some(payload) = next_payload(rest) {
            entries.push(decode(payload).ok_or_else(|| corrupt("an entry of an unknown kind"))?);
            rest = &rest[ENTRY_HEAD_BYTES + payload.len()..];
        }
        let len_bytes = (bytes.len() - rest.len()) as u64;
        file.set_len(len_bytes).map_err(storage)?;
        Ok((Self::over(file, &path, len_bytes, entries.len()), entries))
    }

    fn over(file: File, path: &Path, len_bytes: u64, entries: usize) -> Self {
        let inner = Inner { file, path: path.to_path_buf(), len_bytes, live_bytes: len_bytes, tee: None };
        let entries = AtomicI64::new(i64::try_from(entries).unwrap_or(i64::MAX));
        Self { entries, file: Some(Mutex::new(inner)) }
    }

    /// Whether what is written can be read again.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Entries written so far.
    pub(crate) fn entries(&self) -> i64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Appends entries; they survive a kill once this returns.
    pub(crate) fn append(&self, entries: &[Entry]) -> io::Result<()> {
        self.entries.fetch_add(i64::try_from(entries.len()).unwrap_or(i64::MAX), Ordering::Relaxed);
        let Some(inner) = &self.file else { return Ok(()) };
        let mut bytes = Vec::new();
        for entry in entries {
            encode(entry, &mut bytes)?;
        }
        let mut inner = inner.lock();
        if let Err(error) = inner.file.write_all(&bytes) {
            let len_bytes = inner.len_bytes;
            inner.file.set_len(len_bytes)?;
            return Err(error);
        }
        inner.len_bytes += bytes.len() as u64;
        if let Some(tee) = &mut inner.tee {
            tee.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Writes the journal anew from `snapshot` when it has grown far beyond what is live.
    pub(crate) fn rewrite_if_due(&self, snapshot: impl FnOnce() -> Vec<Entry>) -> io::Result<()> {
        let Some(inner) = &self.file else { return Ok(()) };
        {
            let mut inner = inner.lock();
            if inner.len_bytes < REWRITE_BYTES_MIN.max(2 * inner.live_bytes) || inner.tee.is_some() {
                return Ok(());
            }
            inner.tee = Some(Vec::new());
        }
        let mut bytes = MAGIC.to_vec();
        let encoded = snapshot().iter().try_for_each(|entry| encode(entry, &mut bytes));
        let mut inner = inner.lock();
        let tee = inner.tee.take().unwrap_or_default();
        encoded?;
        bytes.extend_from_slice(&tee);
        let fresh_path = inner.path.with_extension("rewrite");
        fs::write(&fresh_path, &bytes)?;
        let fresh = OpenOptions::new().append(true).open(&fresh_path)?;
        fresh.sync_data()?;
        fs::rename(&fresh_path, &inner.path)?;
        inner.file = fresh;
        inner.len_bytes = bytes.len() as u64;
        inner.live_bytes = inner.len_bytes;
        Ok(())
    }
}
