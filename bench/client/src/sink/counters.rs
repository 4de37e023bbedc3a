//! What passed through the broker, for the notes beside the figures.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) produce_requests: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) batch_bytes: AtomicU64,
    pub(crate) fetch_requests: AtomicU64,
    pub(crate) fetch_bytes: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    /// The counters as JSON; they start again from 0.
    pub(crate) fn take(&self) -> String {
        let fields = [
            ("connections", &self.connections),
            ("produce_requests", &self.produce_requests),
            ("batches", &self.batches),
            ("records", &self.records),
            ("batch_bytes", &self.batch_bytes),
            ("fetch_requests", &self.fetch_requests),
            ("fetch_bytes", &self.fetch_bytes),
        ];
        let fields = fields.map(|(name, counter)| format!("\"{name}\":{}", counter.swap(0, Ordering::Relaxed)));
        format!("{{{}}}", fields.join(","))
    }
}
