//! The lock file of a journal: one process per table and owner.
//!
//! The lock is the operating system's, so that it ends with the process, however that ends. The file is removed when
//! the lock is given back; whoever opened it just before then holds a lock on a file that is no longer there, notices,
//! and starts again.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const NAME: &str = "lock";
/// How often the file may vanish between opening and locking it.
const ATTEMPTS_MAX: usize = 16;

/// Where the lock of a journal folder is.
pub(crate) fn path(journal: &Path) -> PathBuf {
    journal.join(NAME)
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Creates the journal folder and locks it; `None` if another process holds the lock.
pub(crate) fn acquire(journal: &Path) -> Result<Option<Lock>> {
    let path = path(journal);
    for _ in 0..ATTEMPTS_MAX {
        fs::create_dir_all(journal).map_err(Error::io("create folder", journal))?;
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("create file", &path)(error)),
        };
        match file.try_lock() {
            Ok(()) if is_still_there(&file, &path)? => return Ok(Some(Lock { path, _file: file })),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock file", &path)(error)),
        }
    }
    Ok(None)
}

#[cfg(unix)]
fn is_still_there(file: &File, path: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let held = file.metadata().map_err(Error::io("look at file", path))?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at file", path)(error)),
    }
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
fn is_still_there(_file: &File, _path: &Path) -> Result<bool> {
    Ok(true)
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays is no harm: only the lock on it counts.
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
