//! Files of the contract: read whole, written so that a reader never sees half of one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};

/// Largest configuration, catalog or state file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let unreadable = |source| Error::FileUnreadable { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        let reason = format!("{length} bytes are more than the {FILE_BYTES_MAX} a configuration file may have");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, reason)));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Parses one JSON document; `file` names it in the error.
pub(crate) fn parse_json(text: &str, file: &str) -> Result<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|error| Error::FileNotJson { file: file.to_owned(), reason: error.to_string() })
}

/// Replaces `path` with `bytes`: after a crash the file is either the old one or the new one, whole.
///
/// # Errors
/// [`Error::FileUnwritable`] with the path.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|source| Error::unwritable(path, source))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let written = write_durably(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort: the error that matters is the one already met.
        let _ = std::fs::remove_file(&temporary);
        return written;
    }
    sync_folder(path)
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same folder (a rename must not cross file systems) that no other process uses.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

/// Makes a rename durable. Only Unix lets a folder be opened and synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_file_and_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"x").unwrap();
        let error = write_atomically(&path, b"new").unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write {}", path.display())), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary file is removed");
        let missing = folder.path().join("no/such/folder/state.json");
        assert!(write_atomically(&missing, b"new").is_err());
    }

    #[test]
    fn a_byte_order_mark_is_no_fault_and_broken_json_names_file_and_place() {
        assert!(parse_json("\u{feff}{}", "a.json").is_ok());
        let error = parse_json("{\"a\":}", "a.json").unwrap_err();
        assert!(error.to_string().contains("a.json") && error.to_string().contains("line 1"), "{error}");
    }
}
