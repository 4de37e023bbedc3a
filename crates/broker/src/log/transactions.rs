//! Transactions of one partition: which are open, and which ranges were aborted.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// An aborted transaction as fetch answers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// Offset of the abort marker.
    pub(crate) marker_offset: i64,
}

/// Open and aborted transactions, fed by the batches of a partition in offset order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transactions {
    open_by_offset: BTreeMap<i64, i64>,
    open_by_producer: HashMap<i64, i64>,
    /// In order of their markers.
    aborted: Vec<AbortedTransaction>,
}

impl Transactions {
    /// A transactional batch at `offset`: opens the producer's transaction unless it is open.
    pub(crate) fn on_data(&mut self, producer_id: i64, offset: i64) {
        if let Entry::Vacant(vacant) = self.open_by_producer.entry(producer_id) {
            vacant.insert(offset);
            self.open_by_offset.insert(offset, producer_id);
        }
    }

    /// A marker at `offset` ends the producer's transaction, if one is open.
    pub(crate) fn on_marker(&mut self, producer_id: i64, offset: i64, committed: bool) {
        if let Some(first_offset) = self.open_by_producer.remove(&producer_id) {
            self.open_by_offset.remove(&first_offset);
            if !committed {
                self.aborted.push(AbortedTransaction { producer_id, first_offset, marker_offset: offset });
            }
        }
    }

    /// First offset of the producer's open transaction.
    pub(crate) fn open_offset(&self, producer_id: i64) -> Option<i64> {
        self.open_by_producer.get(&producer_id).copied()
    }

    /// First offset that belongs to an open transaction.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.open_by_offset.keys().next().copied()
    }

    /// Aborted transactions with records in `from..to`.
    pub(crate) fn aborted_between(&self, from: i64, to: i64) -> Vec<AbortedTransaction> {
        let start = self.aborted.partition_point(|transaction| transaction.marker_offset < from);
        self.aborted[start..].iter().filter(|transaction| transaction.first_offset < to).copied().collect()
    }

    /// Whether a record of `producer_id` at `offset` was aborted.
    pub(crate) fn is_aborted(&self, producer_id: i64, offset: i64) -> bool {
        let start = self.aborted.partition_point(|transaction| transaction.marker_offset < offset);
        self.aborted[start..]
            .iter()
            .any(|transaction| transaction.producer_id == producer_id && transaction.first_offset <= offset)
    }

    /// Forgets aborted transactions that lie wholly below `log_start`.
    pub(crate) fn forget_before(&mut self, log_start: i64) {
        self.aborted.retain(|transaction| transaction.marker_offset >= log_start);
    }
}
