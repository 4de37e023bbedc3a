//! The seal journal: files and the progress they stand for become durable together.
//!
//! A seal takes the finished files of one or more tables that lie beside each other (a table and its dead letters) and
//! an opaque progress value (which records the files hold). Its steps, and what a crash after each leaves behind:
//!
//! | | step | after a crash |
//! |---|---|---|
//! | 1 | every file is complete and fsynced at its temporary name, then its folders are | orphans: the next run deletes them and starts from the old progress |
//! | 2 | the entry is written beside the journal and fsynced | the same, and half an entry nobody reads |
//! | 3 | **the entry is renamed to its name, the journal folder is fsynced: the commit point** | the next run renames the files |
//! | 4 | every file is renamed to its final name, the folders are fsynced | the next run finds them in place |
//! | 5 | the caller records the progress elsewhere (group offsets, a state file) | the next run learns the progress from the entry; to record it twice is no harm |
//! | 6 | [`SealJournal::complete`] removes the entry | nothing |
//!
//! So at any instant a record is either in files whose entry says so, or in no file anyone sees. Start-up
//! ([`SealJournal::open`]) takes the lock of (table, owner), rolls entries forward, deletes what no entry names, and
//! gives the entries to the caller, who starts after their progress and then completes them.
//!
//! The removal of step 6 is not fsynced. An entry that comes back after a power cut is rolled forward again: its files
//! are in place and its progress is not news.
//!
//! Everything is in `<table>/_kanat/<hash of the owner>/`: `lock`, and one `<ULID>.json` per seal. Paths in entries are
//! relative to the folder above the table, so a warehouse may be moved.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

use super::durable;
use super::file::FinishedFile;
use super::lock::{self, Lock};
use super::name::{JOURNAL_FOLDER, Owner};
use super::recover;
use crate::error::{Error, Result};

pub(crate) const ENTRY_EXTENSION: &str = "json";
/// A temporary name of an entry is its name and this.
pub(crate) const ENTRY_TEMPORARY_EXTENSION: &str = "tmp";
const ENTRY_VERSION: u32 = 1;

/// Whose journal.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Folder of the table; the journal is inside.
    pub table: PathBuf,
    /// Folders of tables that are sealed together with it. They lie beside it, in the same folder.
    pub beside: Vec<PathBuf>,
    /// Who writes.
    pub owner: Owner,
}

/// The journal of one table and owner. It may be shared by threads; each seals its own files.
#[derive(Debug)]
pub struct SealJournal {
    options: JournalOptions,
    /// `<table>/_kanat/<hash of the owner>`.
    folder: PathBuf,
    /// Folders whose own names are known to be durable.
    durable: Mutex<BTreeSet<PathBuf>>,
    /// `None` only while the journal is dropped.
    lock: Option<Lock>,
    #[cfg(test)]
    pub(crate) crash_after: Mutex<Option<SealStep>>,
}

/// A seal that has passed its commit point.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an entry stays in the journal until it is completed"]
pub struct JournalEntry {
    path: PathBuf,
    files: Vec<FinishedFile>,
    progress: Value,
}

/// Where a simulated crash may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealStep {
    FilesDurable,
    EntryWritten,
    EntryNamed,
    Committed,
    FirstFileNamed,
    FilesNamed,
}

/// An entry as it is on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEntry {
    version: u32,
    owner: String,
    files: Vec<StoredFile>,
    progress: Value,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFile {
    temporary: String,
    path: String,
    rows: u64,
    bytes: u64,
}

impl JournalEntry {
    /// What the caller gave to [`SealJournal::seal`].
    #[must_use]
    pub const fn progress(&self) -> &Value {
        &self.progress
    }

    /// The files, which are at their final names.
    pub fn files(&self) -> &[FinishedFile] {
        &self.files
    }

    /// Where the entry is, for error messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl SealJournal {
    /// Takes the lock and finishes what a crash interrupted. Returns the entries that were not completed, oldest first:
    /// their files are in place now, their progress may not be recorded elsewhere.
    ///
    /// # Errors
    /// [`Error::TableLocked`]; [`Error::FileLost`] and [`Error::JournalEntry`], which need an operator; [`Error::Io`].
    pub fn open(options: JournalOptions) -> Result<(Self, Vec<JournalEntry>)> {
        let folder = options.table.join(JOURNAL_FOLDER).join(options.owner.hash());
        let Some(lock) = lock::acquire(&folder)? else {
            return Err(Error::TableLocked {
                table: options.table,
                owner: options.owner.name().to_owned(),
                lock: lock::path(&folder),
            });
        };
        let journal = Self {
            options,
            folder,
            durable: Mutex::default(),
            lock: Some(lock),
            #[cfg(test)]
            crash_after: Mutex::default(),
        };
        let entries = recover::entries(&journal)?;
        for entry in &entries {
            recover::roll_forward(entry)?;
            journal.sync_folders_of(entry.files())?;
        }
        recover::delete_orphans(&journal)?;
        Ok((journal, entries))
    }

    /// Folder of the table.
    #[must_use]
    pub fn table(&self) -> &Path {
        &self.options.table
    }

    /// Who writes.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.options.owner
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folders of all tables of this journal.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.options.table).chain(&self.options.beside).map(PathBuf::as_path)
    }

    /// Makes files part of their tables, together with `progress`. When this returns, both are durable.
    ///
    /// # Errors
    /// [`Error::JournalEntry`] for a file outside the folder above the table, [`Error::Io`] otherwise. The process must
    /// not go on to write this table: whether the seal took place is found out by [`SealJournal::open`].
    pub fn seal(&self, files: &[FinishedFile], progress: &Value) -> Result<JournalEntry> {
        self.sync_folders_of(files)?;
        self.passed(SealStep::FilesDurable)?;

        let path = self.folder.join(format!("{}.{ENTRY_EXTENSION}", Ulid::new()));
        let entry = JournalEntry { path, files: files.to_vec(), progress: progress.clone() };
        let temporary = entry.path.with_extension(ENTRY_TEMPORARY_EXTENSION);
        durable::write_synced(&temporary, &self.encode(&entry)?)?;
        self.passed(SealStep::EntryWritten)?;
        durable::rename(&temporary, &entry.path)?;
        self.passed(SealStep::EntryNamed)?;
        durable::sync_folder(&self.folder)?;
        self.passed(SealStep::Committed)?;

        for file in files {
            durable::rename(&file.temporary, &file.path)?;
            self.passed(SealStep::FirstFileNamed)?;
        }
        self.passed(SealStep::FilesNamed)?;
        self.sync_folders_of(files)?;
        Ok(entry)
    }

    /// Removes an entry whose progress is recorded elsewhere.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn complete(&self, entry: &JournalEntry) -> Result<()> {
        durable::remove_file(&entry.path)
    }

    /// Makes the names of files durable, and those of the folders they are in, up to the folder above the table.
    fn sync_folders_of(&self, files: &[FinishedFile]) -> Result<()> {
        let root = self.root();
        let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.path.parent()).collect();
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let mut above = BTreeSet::new();
        for folder in folders.iter().copied().chain([self.folder.as_path()]) {
            if durable.insert(folder.to_owned()) {
                above.extend(folder.ancestors().skip(1).take_while(|parent| parent.starts_with(root)));
                above.extend(root.parent());
            }
        }
        drop(durable);
        for folder in folders.iter().chain(&above) {
            durable::sync_folder(named(folder))?;
        }
        Ok(())
    }

    /// The folder above the table.
    fn root(&self) -> &Path {
        self.options.table.parent().unwrap_or(Path::new(""))
    }

    fn encode(&self, entry: &JournalEntry) -> Result<Vec<u8>> {
        let invalid = |reason: String| Error::JournalEntry { path: entry.path.clone(), reason };
        let relative = |path: &Path| {
            let inside = path.strip_prefix(self.root()).ok().and_then(Path::to_str).filter(|path| is_inside(path));
            inside.map(str::to_owned).ok_or_else(|| invalid(format!("file {} is not beside the table", path.display())))
        };
        let files = entry.files.iter().map(|file| {
            let (temporary, path) = (relative(&file.temporary)?, relative(&file.path)?);
            Ok(StoredFile { temporary, path, rows: file.rows, bytes: file.bytes })
        });
        let stored = StoredEntry {
            version: ENTRY_VERSION,
            owner: self.options.owner.name().to_owned(),
            files: files.collect::<Result<_>>()?,
            progress: entry.progress.clone(),
        };
        serde_json::to_vec(&stored).map_err(|error| invalid(error.to_string()))
    }

    /// Reads an entry that was found in the journal.
    pub(crate) fn decode(&self, path: PathBuf, bytes: &[u8]) -> Result<JournalEntry> {
        let invalid = |reason: String| Error::JournalEntry { path: path.clone(), reason };
        let stored: StoredEntry = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        if stored.version != ENTRY_VERSION {
            return Err(invalid(format!("version {} is not {ENTRY_VERSION}", stored.version)));
        }
        if stored.owner != self.options.owner.name() {
            return Err(invalid(format!("it belongs to group {}", stored.owner)));
        }
        let absolute = |path: &str| {
            is_inside(path).then(|| self.root().join(path)).ok_or_else(|| invalid(format!("{path:?} leads outside")))
        };
        let files = stored.files.iter().map(|file| {
            let (temporary, path) = (absolute(&file.temporary)?, absolute(&file.path)?);
            Ok(FinishedFile { temporary, path, rows: file.rows, bytes: file.bytes })
        });
        let files = files.collect::<Result<_>>()?;
        Ok(JournalEntry { path: path.clone(), files, progress: stored.progress })
    }

    #[cfg(test)]
    fn passed(&self, step: SealStep) -> Result<()> {
        let crash = *self.crash_after.lock().unwrap() == Some(step);
        let stop = || Error::io("go on", &self.folder)(std::io::Error::other(format!("crash after {step:?}")));
        if crash { Err(stop()) } else { Ok(()) }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests stop here")]
    const fn passed(&self, _step: SealStep) -> Result<()> {
        Ok(())
    }
}

impl Drop for SealJournal {
    fn drop(&mut self) {
        self.lock = None;
        // Only empty folders go: a table that got no rows leaves nothing behind.
        for folder in
            [Some(self.folder.as_path()), self.folder.parent(), Some(&self.options.table)].into_iter().flatten()
        {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Is it a plain relative path, without `..`?
fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The current folder has an empty relative path, which cannot be opened.
fn named(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}
