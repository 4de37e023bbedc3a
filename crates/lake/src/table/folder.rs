//! What `check` and `clear-destination` do to folders.

use std::fs::{self, File};
use std::path::Path;

use super::durable;
use super::lock;
use super::name::JOURNAL_FOLDER;
use crate::error::{Error, Result};

/// Can files be written below `folder`? Creates the folder, writes a small file and removes it.
///
/// # Errors
/// [`Error::Io`] naming what could not be done to which path.
pub fn check_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create folder", folder))?;
    let probe = folder.join(format!(".kanat-check-{}", ulid::Ulid::new()));
    let written = durable::write_synced(&probe, b"kanat");
    let removed = durable::remove_file(&probe);
    written.and(removed)
}

/// Removes a table: its folder with all files and its journal. A folder that does not exist is as good.
///
/// # Errors
/// [`Error::TableInUse`] while a process writes the table, [`Error::Io`] naming what could not be removed.
pub fn clear_table(table: &Path) -> Result<()> {
    let journals = table.join(JOURNAL_FOLDER);
    let owners = match fs::read_dir(&journals) {
        Ok(owners) => owners.collect::<std::io::Result<Vec<_>>>().map_err(Error::io("list folder", &journals))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list folder", &journals)(error)),
    };
    let mut held = Vec::with_capacity(owners.len());
    for owner in owners {
        let path = lock::path(&owner.path());
        match File::open(&path) {
            Ok(file) => match file.try_lock() {
                Ok(()) => held.push(file),
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(Error::TableInUse { table: table.to_owned(), lock: path });
                }
                Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock file", &path)(error)),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("open file", &path)(error)),
        }
    }
    match fs::remove_dir_all(table) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove folder", table)(error)),
        _ => Ok(()),
    }
}
