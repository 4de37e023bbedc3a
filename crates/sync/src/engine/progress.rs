//! What a running sync tells the outside: counters that compute threads bump once per chunk and the
//! terminal, `stats.json` and the final report read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one sync. All are totals since the start, except where said.
#[derive(Debug, Default)]
pub struct SyncProgress {
    /// Records written to tables.
    rows: AtomicU64,
    /// Bytes of keys and values of every record read, uncompressed.
    bytes: AtomicU64,
    /// Records that became dead letters.
    bad_records: AtomicU64,
    /// Offsets covered so far, gaps and markers included.
    offsets_done: AtomicU64,
    /// Offsets between the start positions and the end offsets taken at the start.
    offsets_total: AtomicU64,
    /// Files at their final names.
    files: AtomicU64,
    /// Compute threads of this sync (a gauge).
    writer_threads: AtomicU64,
}

impl SyncProgress {
    /// Records written to tables.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes of keys and values read, uncompressed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records that became dead letters.
    pub fn bad_records(&self) -> u64 {
        self.bad_records.load(Ordering::Relaxed)
    }

    /// Files at their final names.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Compute threads at work.
    pub fn writer_threads(&self) -> u64 {
        self.writer_threads.load(Ordering::Relaxed)
    }

    /// Offsets covered since the start.
    pub fn offsets_done(&self) -> u64 {
        self.offsets_done.load(Ordering::Relaxed)
    }

    /// Offsets to cover in all, as known at the start (grows while following).
    pub fn offsets_total(&self) -> u64 {
        self.offsets_total.load(Ordering::Relaxed)
    }

    /// Offsets still ahead.
    pub fn lag(&self) -> u64 {
        self.offsets_total().saturating_sub(self.offsets_done())
    }

    pub(crate) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_bad_records(&self, records: u64) {
        self.bad_records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn add_offsets_done(&self, offsets: u64) {
        self.offsets_done.fetch_add(offsets, Ordering::Relaxed);
    }

    pub(crate) fn add_offsets_total(&self, offsets: u64) {
        self.offsets_total.fetch_add(offsets, Ordering::Relaxed);
    }

    pub(crate) fn add_files(&self, files: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
    }

    pub(crate) fn set_writer_threads(&self, threads: u64) {
        self.writer_threads.store(threads, Ordering::Relaxed);
    }
}
