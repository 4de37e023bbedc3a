//! Names of files: what readers see, and what nobody sees before it is sealed.
//!
//! | name | is |
//! |---|---|
//! | `2026-11-21_10-30-05_01JD….parquet` | a complete file of the table |
//! | `.2026-11-21_10-30-05_01JD….parquet.<owner>.tmp` | the same file before it was sealed |
//!
//! `<owner>` tells which writer may delete the file if it is found after a crash.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::calendar::Civil;

/// Extension of data files.
pub const FILE_EXTENSION: &str = "parquet";

/// Folder inside a table folder that holds what only kanat reads.
pub const JOURNAL_FOLDER: &str = "_kanat";

const TEMPORARY_SUFFIX: &str = ".tmp";
const OWNER_HASH_CHARS: usize = 16;

/// Who writes: a consumer group, in the case of sync. Two owners may write one table at the same time; one owner may
/// not do so twice.
#[derive(Clone, PartialEq, Eq)]
pub struct Owner {
    name: String,
    hash: String,
}

impl Owner {
    /// An owner by its name, which appears in error messages.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut hash = hex(&Sha256::digest(name));
        hash.truncate(OWNER_HASH_CHARS);
        Self { name: name.to_owned(), hash }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Short hash of the name, safe in file names.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Is this the name of a temporary file of this owner?
    pub(crate) fn owns(&self, file_name: &OsStr) -> bool {
        let Some(name) = file_name.to_str() else { return false };
        name.starts_with('.')
            && name
                .strip_suffix(TEMPORARY_SUFFIX)
                .and_then(|name| name.strip_suffix(self.hash.as_str()))
                .is_some_and(|name| name.ends_with(&format!(".{FILE_EXTENSION}.")))
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:?}, {})", self.name, self.hash)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `YYYY-MM-DD_HH-MM-SS_<ULID>.parquet` of now, in UTC.
pub(crate) fn file_name(id: Ulid) -> String {
    let millis = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX / 1000);
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_micros(millis * 1000);
    format!("{year:04}-{month:02}-{day:02}_{hour:02}-{minute:02}-{second:02}_{id}.{FILE_EXTENSION}")
}

/// The temporary name of a file, in the same folder.
pub(crate) fn temporary_path(final_path: &Path, owner: &Owner) -> PathBuf {
    let name = final_path.file_name().unwrap_or_default().to_string_lossy();
    final_path.with_file_name(format!(".{name}.{}{TEMPORARY_SUFFIX}", owner.hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_carry_the_time_of_their_id() {
        let id = Ulid::from_parts(1_700_000_000_123, 7);
        assert_eq!(file_name(id), format!("2023-11-14_22-13-20_{id}.parquet"));
    }

    #[test]
    fn only_the_owner_knows_its_temporaries() {
        let (mine, theirs) = (Owner::new("group-a"), Owner::new("group-b"));
        let temporary = temporary_path(Path::new("/t/x.parquet"), &mine);
        assert_eq!(temporary, Path::new(&format!("/t/.x.parquet.{}.tmp", mine.hash())));
        let name = temporary.file_name().unwrap();
        assert!(mine.owns(name));
        assert!(!theirs.owns(name));
        for other in ["x.parquet", ".x.parquet.tmp", ".x.tmp", &format!(".x.{}.tmp", mine.hash())] {
            assert!(!mine.owns(OsStr::new(other)), "{other}");
        }
    }
}
