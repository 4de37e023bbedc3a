//! One segment of a partition: record batches back to back, and an index with one entry per batch.
//!
//! Bytes are kept as they came. In memory they live in chunks (sealed chunks are shared slices, so a fetch copies
//! nothing); on disk they are one append-only file that is read with positional reads. Which of the two is decided
//! when the segment is made; nothing above this module knows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Size at which a chunk of an in-memory segment is sealed.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Index entry of one stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchEntry {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// Largest record timestamp, ms since the epoch, or -1 without timestamps.
    pub(crate) max_timestamp: i64,
    pub(crate) leader_epoch: i32,
    /// Byte position inside the segment.
    pub(crate) position: u64,
    pub(crate) size_bytes: u32,
}

impl BatchEntry {
    fn end(&self) -> u64 {
        self.position + u64::from(self.size_bytes)
    }
}

/// Bytes of a fetch, not yet read when they live in a file.
#[derive(Debug, Clone)]
pub(crate) enum StoredBytes {
    Memory(Bytes),
    File { file: Arc<File>, position: u64, len: usize },
}

impl StoredBytes {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File { len, .. } => *len,
        }
    }

    /// Whether [`StoredBytes::load`] reads from a file and must stay off the runtime threads.
    pub(crate) fn needs_disk(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    pub(crate) fn load(self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::File { file, position, len } => {
                let mut buffer = vec![0; len];
                file.read_exact_at(&mut buffer, position)?;
                Ok(buffer.into())
            }
        }
    }
}

#[derive(Debug)]
enum Store {
    Memory { sealed: Vec<(u64, Bytes)>, open_at: u64, open: BytesMut },
    File { file: Arc<File>, path: PathBuf },
}

/// A run of batches with rising offsets.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: i64,
    entries: Vec<BatchEntry>,
    len_bytes: u64,
    max_timestamp: i64,
    first_timestamp: i64,
    store: Store,
}

impl Segment {
    pub(crate) fn in_memory(base_offset: i64) -> Self {
        Self::new(base_offset, Store::Memory { sealed: Vec::new(), open_at: 0, open: BytesMut::new() })
    }

    /// An empty segment file at `path`; an existing file is emptied.
    pub(crate) fn create(path: &Path, base_offset: i64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(Self::new(base_offset, Store::File { file: Arc::new(file), path: path.to_path_buf() }))
    }

    /// A segment over an existing file whose batches were just indexed; bytes behind the last entry are cut off.
    pub(crate) fn reopen(path: &Path, base_offset: i64, entries: Vec<BatchEntry>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        let mut segment = Self::new(base_offset, Store::File { file: Arc::new(file), path: path.to_path_buf() });
        segment.len_bytes = entries.last().map_or(0, BatchEntry::end);
        segment.max_timestamp = entries.iter().map(|entry| entry.max_timestamp).max().unwrap_or(-1);
        segment.first_timestamp = entries.first().map_or(-1, |entry| entry.max_timestamp);
        segment.entries = entries;
        if let Store::File { file, .. } = &segment.store {
            file.set_len(segment.len_bytes)?;
        }
        Ok(segment)
    }

    fn new(base_offset: i64, store: Store) -> Self {
        Self { base_offset, entries: Vec::new(), len_bytes: 0, max_timestamp: -1, first_timestamp: -1, store }
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &[BatchEntry] {
        &self.entries
    }

    /// Largest timestamp, ms since the epoch, or -1.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// Timestamp of the first batch, ms since the epoch, or -1.
    pub(crate) fn first_timestamp(&self) -> i64 {
        self.first_timestamp
    }

    /// Appends one batch given as its (patched) head and the rest. Nothing is changed when it fails.
    pub(crate) fn append(&mut self, head: &[u8], rest: &[u8], entry: BatchEntry) -> io::Result<()> {
        debug_assert_eq!(entry.position, self.len_bytes, "entries are appended in order");
        match &mut self.store {
            Store::Memory { sealed, open_at, open } => {
                let size = head.len() + rest.len();
                if !open.is_empty() && open.len() + size > CHUNK_BYTES {
                    let chunk = open.split().freeze();
                    let chunk_len = chunk.len() as u64;
                    sealed.push((*open_at, chunk));
                    *open_at += chunk_len;
                    open.reserve(CHUNK_BYTES.max(size));
                }
                open.extend_from_slice(head);
                open.extend_from_slice(rest);
            }
            Store::File { file, .. } => {
                let mut writer: &File = file;
                if let Err(error) = writer.write_all(head).and_then(|()| writer.write_all(rest)) {
                    // A half-written batch must not stay in front of the next append.
                    file.set_len(self.len_bytes)?;
                    return Err(error);
                }
            }
        }
        if self.entries.is_empty() {
            self.first_timestamp = entry.max_timestamp;
        }
        self.len_bytes = entry.end();
        self.max_timestamp = self.max_timestamp.max(entry.max_timestamp);
        self.entries.push(entry);
        Ok(())
    }

    /// Drops every batch that holds `offset` or a later one.
    pub(crate) fn truncate(&mut self, offset: i64) -> io::Result<()> {
        let kept = self.entries.partition_point(|entry| entry.last_offset < offset);
        let len_bytes = self.entries[..kept].last().map_or(0, BatchEntry::end);
        let left = self.read(0..kept);
        match &mut self.store {
            Store::File { file, .. } => file.set_len(len_bytes)?,
            Store::Memory { sealed, open_at, open } => {
                sealed.clear();
                *open_at = 0;
                *open = BytesMut::new();
                for bytes in left {
                    open.extend_from_slice(&bytes.load()?);
                }
            }
        }
        self.entries.truncate(kept);
        self.len_bytes = len_bytes;
        self.max_timestamp = self.entries.iter().map(|entry| entry.max_timestamp).max().unwrap_or(-1);
        self.first_timestamp = self.entries.first().map_or(-1, |entry| entry.max_timestamp);
        Ok(())
    }

    /// Index of the first batch that holds `offset` or a later one.
    pub(crate) fn position_of(&self, offset: i64) -> Option<usize> {
        let index = self.entries.partition_point(|entry| entry.last_offset < offset);
        (index < self.entries.len()).then_some(index)
    }

    /// Bytes of the batches `range`, in order.
    pub(crate) fn read(&self, range: Range<usize>) -> Vec<StoredBytes> {
        let entries = &self.entries[range];
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Vec::new() };
        let (start, end) = (first.position, last.end());
        match &self.store {
            Store::File { file, .. } => {
                vec![StoredBytes::File { file: Arc::clone(file), position: start, len: span(start, end) }]
            }
            Store::Memory { sealed, open_at, open } => {
                let mut slices = Vec::new();
                let from = sealed.partition_point(|(at, chunk)| at + chunk.len() as u64 <= start);
                for (at, chunk) in &sealed[from..] {
                    if *at >= end {
                        break;
                    }
                    let chunk_end = at + chunk.len() as u64;
                    let range = span(*at, start.max(*at))..span(*at, end.min(chunk_end));
                    slices.push(StoredBytes::Memory(chunk.slice(range)));
                }
                if end > *open_at {
                    let range = span(*open_at, start.max(*open_at))..span(*open_at, end);
                    slices.push(StoredBytes::Memory(Bytes::copy_from_slice(&open[range])));
                }
                slices
            }
        }
    }

    /// Path of the segment file, when there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.store {
            Store::Memory { .. } => None,
            Store::File { path, .. } => Some(path),
        }
    }

    /// Puts the file of this segment, written under another name, at `path`.
    pub(crate) fn rename(&mut self, to: &Path) -> io::Result<()> {
        if let Store::File { file, path } = &mut self.store {
            file.sync_data()?;
            fs::rename(&*path, to)?;
            *path = to.to_path_buf();
        }
        Ok(())
    }

    /// Removes the file; a reader that still holds it can finish.
    pub(crate) fn delete(&self) -> io::Result<()> {
        match self.path() {
            Some(path) => fs::remove_file(path),
            None => Ok(()),
        }
    }
}

/// Distance between two positions of one segment. Segments are cut at `segment.bytes` (at most 2 GiB) plus one batch,
/// so it fits.
fn span(from: u64, to: u64) -> usize {
    usize::try_from(to - from).expect("a segment is smaller than the address space")
}
