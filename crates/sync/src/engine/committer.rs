//! The last steps of a seal: the group's offsets, the state file, the journal entry, in that order.
//!
//! Shards have made their files visible before they send a [`Sealed`]; everything here may therefore
//! be repeated after a crash without harm. Offsets are committed together with the topic's id, so
//! that a later run notices a topic that was deleted and created again (rule 6).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use kanat_client::{Group, OffsetAndMetadata, TopicPartition};
use kanat_lake::table::{JournalEntry, SealJournal};
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::state::State;

/// Prefix of the metadata of every commit kanat makes; the topic id follows.
const METADATA_PREFIX: &str = "kanat topic-id=";

/// Files of one table that are visible, and what they hold.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) topic: Arc<str>,
    /// Offsets covered, by partition.
    pub(crate) ranges: BTreeMap<i32, Range<i64>>,
    /// Absent when the ranges hold no records at all (markers, compacted gaps).
    pub(crate) entry: Option<(Arc<SealJournal>, JournalEntry)>,
}

/// Owns the group's offsets and the state file.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) group: Group,
    pub(crate) group_id: String,
    /// Ids of the topics, where the broker tells them.
    pub(crate) topic_ids: HashMap<Arc<str>, String>,
    pub(crate) state: State,
    pub(crate) state_path: Option<PathBuf>,
}

impl Committer {
    /// Commits what shards seal until the last of them is gone.
    pub(crate) async fn run(self, mut sealed: mpsc::Receiver<Sealed>) -> Result<()> {
        let mut batch = Vec::new();
        while sealed.recv_many(&mut batch, usize::from(u8::MAX)).await > 0 {
            self.commit(std::mem::take(&mut batch)).await?;
        }
        Ok(())
    }

    /// Commits several seals at once.
    pub(crate) async fn commit(&self, sealed: Vec<Sealed>) -> Result<()> {
        let mut offsets: HashMap<TopicPartition, i64> = HashMap::new();
        for seal in &sealed {
            for (partition, range) in &seal.ranges {
                let offset =
                    offsets.entry(TopicPartition::new(Arc::clone(&seal.topic), *partition)).or_insert(range.end);
                *offset = range.end.max(*offset);
            }
        }
        let offsets: Vec<(TopicPartition, OffsetAndMetadata)> =
            offsets.into_iter().map(|(partition, offset)| self.with_topic_id(partition, offset)).collect();
        if !offsets.is_empty() {
            let action = || format!("committing offsets of group {}", self.group_id);
            self.group.commit(&offsets).await.map_err(|source| Error::kafka(action(), source))?;
        }
        self.write_state().await?;
        complete(sealed).await
    }

    /// Replaces the state file, when there is one.
    pub(crate) async fn write_state(&self) -> Result<()> {
        let Some(path) = self.state_path.clone() else { return Ok(()) };
        let state = self.state.clone();
        blocking(move || state.save(&path)).await
    }

    fn with_topic_id(&self, partition: TopicPartition, offset: i64) -> (TopicPartition, OffsetAndMetadata) {
        let mut committed = OffsetAndMetadata::new(offset);
        if let Some(id) = self.topic_ids.get(&partition.topic) {
            committed.metadata = format!("{METADATA_PREFIX}{id}");
        }
        (partition, committed)
    }
}

/// The topic id noted in a commit, if kanat made it.
pub(crate) fn noted_topic_id(metadata: &str) -> Option<String> {
    metadata.strip_prefix(METADATA_PREFIX).map(str::to_owned)
}

/// Removes the journal entries of committed seals.
async fn complete(sealed: Vec<Sealed>) -> Result<()> {
    let entries: Vec<_> = sealed.into_iter().filter_map(|seal| seal.entry).collect();
    if entries.is_empty() {
        return Ok(());
    }
    blocking(move || {
        for (journal, entry) in entries {
            let table = || journal.table().display().to_string();
            journal.complete(&entry).map_err(|source| Error::table(table(), source))?;
        }
        Ok(())
    })
    .await
}

/// Runs file work off the runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Internal { reason: error.to_string() }),
    }
}
