//! File operations that survive a power cut, in terms of what POSIX promises: a file's bytes are on disk after its
//! fsync, a name is on disk after the fsync of its folder, a rename is all or nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, Result};

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Elsewhere folders cannot be opened as files; renames are durable there without it.
    if cfg!(unix) {
        let opened = File::open(folder).map_err(Error::io("open folder", folder))?;
        opened.sync_all().map_err(Error::io("fsync folder", folder))?;
    }
    Ok(())
}

/// Writes a file at a temporary name, its bytes durable, its name not yet.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(Error::io("create file", path))?;
    file.write_all(bytes).map_err(Error::io("write file", path))?;
    file.sync_all().map_err(Error::io("fsync file", path))
}

/// Renames within a folder.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io("rename", from))
}

/// Removes a file; one that is gone already is as good.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove file", path)(error)),
        _ => Ok(()),
    }
}

/// Size of a file; `None` if there is none.
pub(crate) fn file_bytes(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at file", path)(error)),
    }
}
