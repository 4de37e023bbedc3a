//! Opens the log of a partition from its folder after a stop or a kill.
//!
//! Batches are indexed from their headers. The newest segment is checked batch by batch, CRC included, and cut at the
//! first byte that is not part of a valid batch: that is where a killed write ended. Older segments were closed before
//! the newest began, so a break inside them is damage and an error.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kanat_protocol::batch::{BatchHeader, ControlRecord, HEADER_BYTES, RecordBatch};

use super::compaction::CLEANED_SUFFIX;
use super::partition::PartitionLog;
use super::segment::{BatchEntry, Segment};
use crate::{Error, Result};

/// Opens the partition in `dir`. Returns the log and the number of bytes cut off its end.
pub(crate) fn recover(dir: &Path, producers_max: usize) -> Result<(PartitionLog, u64)> {
    let files = segment_files(dir)?;
    if files.is_empty() {
        return PartitionLog::create(dir).map(|log| (log, 0)).map_err(|error| Error::storage(dir, error));
    }
    let mut segments = VecDeque::with_capacity(files.len());
    let mut batches = Vec::new();
    let mut next_offset = 0;
    let mut cut_bytes = 0;
    let newest = files.len() - 1;
    for (index, (base_offset, path)) in files.iter().enumerate() {
        let storage = |error| Error::storage(path, error);
        let file = File::open(path).map_err(storage)?;
        let len_bytes = file.metadata().map_err(storage)?.len();
        let mut scan = Scan { file: &file, len_bytes, next_offset: next_offset.max(*base_offset), position: 0 };
        let mut entries = Vec::new();
        while let Some((entry, header, control)) = scan.next_batch(index == newest).map_err(storage)? {
            entries.push(entry);
            batches.push((header, control));
        }
        next_offset = scan.next_offset;
        cut_bytes = len_bytes - scan.position;
        if cut_bytes > 0 && index != newest {
            let reason = format!("no valid batch at byte {} of a closed segment", scan.position);
            return Err(Error::Corrupt { path: path.clone(), reason });
        }
        segments.push_back(Segment::reopen(path, *base_offset, entries).map_err(storage)?);
    }
    let mut log = PartitionLog::from_segments(Some(dir.to_path_buf()), segments);
    for (header, control) in &batches {
        log.replay(header, control.as_ref(), producers_max);
    }
    Ok((log, cut_bytes))
}

/// Segment files by base offset. What a killed compaction left behind is removed.
fn segment_files(dir: &Path) -> Result<Vec<(i64, PathBuf)>> {
    let storage = |error| Error::storage(dir, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(storage)? {
        let path = entry.map_err(storage)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(CLEANED_SUFFIX) {
            fs::remove_file(&path).map_err(storage)?;
        } else if let Some(base_offset) = name.strip_suffix(".log").and_then(|stem| stem.parse().ok()) {
            files.push((base_offset, path));
        } else {
            return Err(Error::Corrupt { path, reason: "not a segment file of this broker".to_owned() });
        }
    }
    files.sort_unstable();
    Ok(files)
}

struct Scan<'a> {
    file: &'a File,
    len_bytes: u64,
    next_offset: i64,
    position: u64,
}

impl Scan<'_> {
    /// The next batch, or `None` where the valid ones end.
    fn next_batch(&mut self, verify: bool) -> io::Result<Option<(BatchEntry, BatchHeader, Option<ControlRecord>)>> {
        let remaining = self.len_bytes - self.position;
        if remaining < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut head = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut head, self.position)?;
        let Ok(header) = BatchHeader::parse(&head) else { return Ok(None) };
        let size = header.batch_bytes() as u64;
        let valid = size <= remaining && header.base_offset >= self.next_offset;
        let Some(size_bytes) = valid.then(|| u32::try_from(size).ok()).flatten() else { return Ok(None) };
        let mut control = None;
        if verify || header.attributes.is_control() {
            let Some(batch) = self.load(size_bytes)? else { return Ok(None) };
            match (batch.verify_crc(), batch.control()) {
                (Ok(()), Ok(marker)) => control = marker,
                _ => return Ok(None),
            }
        }
        let entry = BatchEntry {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            leader_epoch: header.partition_leader_epoch,
            position: self.position,
            size_bytes,
        };
        self.position += size;
        self.next_offset = header.next_offset();
        Ok(Some((entry, header, control)))
    }

    fn load(&self, size_bytes: u32) -> io::Result<Option<RecordBatch>> {
        let mut bytes = vec![0; size_bytes as usize];
        self.file.read_exact_at(&mut bytes, self.position)?;
        Ok(RecordBatch::parse(Bytes::from(bytes)).ok())
    }
}
