//! What start-up does with the journal and the files a crash left behind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::durable;
use super::journal::{ENTRY_EXTENSION, ENTRY_TEMPORARY_EXTENSION, JournalEntry, SealJournal};
use super::name::{JOURNAL_FOLDER, Owner};
use crate::error::{Error, Result};

/// Reads the entries of a journal, oldest first, and removes halves of entries.
pub(crate) fn entries(journal: &SealJournal) -> Result<Vec<JournalEntry>> {
    let mut paths = Vec::new();
    for path in list(journal.folder())? {
        let extension = path.extension().unwrap_or_default();
        if extension == ENTRY_EXTENSION {
            paths.push(path);
        } else if extension == ENTRY_TEMPORARY_EXTENSION {
            durable::remove_file(&path)?;
        }
    }
    // Names are ULIDs, which sort by time.
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).map_err(Error::io("read file", &path))?;
        journal.decode(path, &bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Brings the files of an entry to their final names.
pub(crate) fn roll_forward(entry: &JournalEntry) -> Result<()> {
    for file in entry.files() {
        match durable::file_bytes(&file.temporary)? {
            Some(bytes) if bytes == file.bytes => durable::rename(&file.temporary, &file.path)?,
            Some(bytes) => {
                let reason = format!("file {} has {bytes} bytes, not {}", file.temporary.display(), file.bytes);
                return Err(Error::JournalEntry { path: entry.path().to_owned(), reason });
            }
            None if durable::file_bytes(&file.path)?.is_some() => {}
            None => return Err(Error::FileLost { file: file.path.clone(), entry: entry.path().to_owned() }),
        }
    }
    Ok(())
}

/// Deletes the owner's temporaries. Entries have been rolled forward, so none of them is needed.
pub(crate) fn delete_orphans(journal: &SealJournal) -> Result<()> {
    for table in journal.tables() {
        let mut folders = vec![table.to_owned()];
        while let Some(folder) = folders.pop() {
            delete_orphans_in(&folder, journal.owner(), &mut folders)?;
        }
    }
    Ok(())
}

fn delete_orphans_in(folder: &Path, owner: &Owner, folders: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list folder", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("list folder", folder))?;
        // Links are not followed: what they lead to is not ours.
        let kind = entry.file_type().map_err(Error::io("look at file", &entry.path()))?;
        let name = entry.file_name();
        if kind.is_dir() && name != JOURNAL_FOLDER {
            folders.push(entry.path());
        } else if kind.is_file() && owner.owns(&name) {
            tracing::info!(file = %entry.path().display(), "deleting a file that a crash left unsealed");
            durable::remove_file(&entry.path())?;
        }
    }
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io("list folder", folder))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("list folder", folder))).collect()
}
