//! Folder names that stay inside the table, whatever the values were.

use sha2::{Digest as _, Sha256};

use crate::table::JOURNAL_FOLDER;

/// Longest segment that is used as it is; file systems allow 255 bytes.
pub const SEGMENT_BYTES_MAX: usize = 200;

/// Longest folder that is used as it is; systems allow paths of about 4,000 bytes.
pub const FOLDER_BYTES_MAX: usize = 1000;

const HASH_BYTES: usize = 8;

/// Makes a relative path of plain segments.
pub(super) fn folder(path: &str) -> String {
    let mut folder = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        if !folder.is_empty() {
            folder.push('/');
        }
        match segment {
            ".." => folder.push_str("%2E%2E"),
            _ if folder.is_empty() && segment == JOURNAL_FOLDER => {
                folder.push_str("%5F");
                folder.push_str(&segment[1..]);
            }
            _ if segment.contains('\0') => folder.push_str(&shorten(&segment.replace('\0', "%00"), SEGMENT_BYTES_MAX)),
            _ if segment.len() > SEGMENT_BYTES_MAX => folder.push_str(&shorten(segment, SEGMENT_BYTES_MAX)),
            _ => folder.push_str(segment),
        }
    }
    if folder.len() > FOLDER_BYTES_MAX { shorten(&folder.replace('/', "_"), SEGMENT_BYTES_MAX) } else { folder }
}

/// Cuts a long segment; the hash keeps different ones apart.
fn shorten(segment: &str, bytes_max: usize) -> String {
    if segment.len() <= bytes_max {
        return segment.to_owned();
    }
    let hash = Sha256::digest(segment);
    let mut cut = bytes_max - 1 - 2 * HASH_BYTES;
    while !segment.is_char_boundary(cut) {
        cut -= 1;
    }
    hash[..HASH_BYTES].iter().fold(format!("{}~", &segment[..cut]), |name, byte| format!("{name}{byte:02x}"))
}
