//! The worker's state, and where it is kept: in memory and a file by a standalone worker.
//!
//! Reads take a lock for as long as they look; nothing waits inside of one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use super::plan::Desired;
use crate::error::{Error, Result};
use crate::store::config_log::{ConfigEvent, ConfigState};
use crate::store::offsets::{JsonObject, OffsetState, offset_record};
use crate::store::status::StatusState;
use crate::store::{InternalRecord, java_map};

/// Counts changes of one connector, so that what runs can be told from what should.
#[derive(Debug, Clone, Copy, Default)]
struct Revisions {
    config: u64,
    tasks: u64,
}

#[derive(Debug, Default)]
struct Configs {
    state: ConfigState,
    revisions: BTreeMap<String, Revisions>,
    count: u64,
}

/// Connectors and their tasks.
#[derive(Debug, Default)]
pub(super) struct ConfigStore {
    inner: RwLock<Configs>,
}

impl ConfigStore {
    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&ConfigState) -> T) -> T {
        look(&self.inner.read().state)
    }

    /// What a worker that runs everything should run of a connector.
    pub(super) fn desired(&self, name: &str) -> Desired {
        let inner = self.inner.read();
        let Some(target) = inner.state.target(name) else { return Desired::default() };
        let revisions = inner.revisions.get(name).copied().unwrap_or_default();
        let tasks = inner.state.tasks(name).map(|(task, _)| (task, revisions.tasks)).collect();
        Desired { connector: Some(revisions.config), target, tasks }
    }

    /// Takes a record behind those so far.
    ///
    /// # Errors
    /// [`Error::Record`] for one that is not what Connect writes.
    pub(super) fn append(&self, record: &InternalRecord) -> Result<ConfigEvent> {
        let mut inner = self.inner.write();
        let offset = inner.state.offset().max(0);
        let event = inner.state.apply(offset, &record.key, record.value.as_deref())?;
        inner.count += 1;
        let count = inner.count;
        match &event {
            ConfigEvent::ConnectorConfigured(name) => inner.revisions.entry(name.clone()).or_default().config = count,
            ConfigEvent::TasksChanged(name) => inner.revisions.entry(name.clone()).or_default().tasks = count,
            ConfigEvent::ConnectorRemoved(name) => {
                inner.revisions.remove(name);
            }
            _ => {}
        }
        Ok(event)
    }
}

/// What connectors and tasks are doing.
#[derive(Debug, Default)]
pub(super) struct StatusStore {
    state: RwLock<StatusState>,
}

impl StatusStore {
    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&StatusState) -> T) -> T {
        look(&self.state.read())
    }

    /// Takes records that this worker has made.
    pub(super) fn append(&self, records: impl IntoIterator<Item = InternalRecord>) {
        let mut state = self.state.write();
        for record in records {
            if let Err(error) = state.apply(&record.key, record.value.as_deref()) {
                tracing::error!(%error, "a status was not kept");
            }
        }
    }
}

/// Where sources go on.
#[derive(Debug)]
pub(crate) struct OffsetStore {
    state: RwLock<OffsetState>,
    /// Held while the file is written, so that the last writer has the last word.
    file: tokio::sync::Mutex<PathBuf>,
}

impl OffsetStore {
    /// Offsets kept in a file, which need not exist yet.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read or is no such file.
    pub(super) fn open(path: &Path) -> Result<OffsetStore> {
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let mut state = OffsetState::default();
        match std::fs::read(path) {
            // A Java worker makes the file before it has something to write.
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                for (key, value) in java_map::read(&bytes).map_err(|error| failed(error.to_string()))? {
                    state.apply(InternalRecord { key, value });
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        Ok(OffsetStore { state: RwLock::new(state), file: tokio::sync::Mutex::new(path.to_owned()) })
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&OffsetState) -> T) -> T {
        look(&self.state.read())
    }

    /// Sets offsets of a connector's source partitions, or resets them, and waits until that is durable.
    ///
    /// # Errors
    /// [`Error::File`]. The offsets are then as before for whoever reads the file.
    pub(crate) async fn set(&self, connector: &str, offsets: &[(JsonObject, Option<JsonObject>)]) -> Result<()> {
        let file = self.file.lock().await;
        let bytes = {
            let mut state = self.state.write();
            for (partition, offset) in offsets {
                state.apply(offset_record(connector, partition, offset.as_ref()));
            }
            java_map::write(state.entries().map(|(key, value)| (key, Some(value))))?
        };
        let path = file.clone();
        let written = tokio::task::spawn_blocking(move || replace(&path, &bytes)).await;
        let failed = |reason: String| Error::File { path: file.clone(), reason };
        written.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }
}

/// Puts a new file in the place of an old one, so that a crash leaves one of them whole (delivery rule 9).
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
