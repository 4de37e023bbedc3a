//! From the raw bytes of one partition's answer to the batches the application sees.
//!
//! Only batch headers are read; records stay compressed. Under read committed the batches of aborted transactions go:
//! a producer's data counts as aborted from the first offset the broker lists for it up to its abort marker.

use std::collections::HashSet;

use bytes::Bytes;
use kanat_protocol::batch::{Batches, ControlRecord, RecordBatch};

use super::fetched::corrupt;
use crate::error::Result;
use crate::types::{Isolation, TopicPartition};

/// An aborted transaction as a fetch answer lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) first_offset: i64,
    pub(super) producer_id: i64,
}

/// What one answer holds for the application.
#[derive(Debug)]
pub(super) struct Filtered {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) next_offset: i64,
    /// Leader epoch of the last batch before `next_offset`, -1 when there is none.
    pub(super) leader_epoch: i32,
}

/// Settings of the filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) isolation: Isolation,
    pub(super) check_crc: bool,
}

impl Filter {
    /// Reads the batches from `position` on. `aborted` comes in any order.
    pub(super) fn apply(
        self,
        partition: &TopicPartition,
        position: i64,
        records: Bytes,
        mut aborted: Vec<Aborted>,
    ) -> Result<Filtered> {
        // Brokers are meant to list them by first offset; not all do.
        aborted.sort_unstable_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        let mut open: HashSet<i64> = HashSet::new();
        let mut filtered = Filtered { batches: Vec::new(), next_offset: position, leader_epoch: -1 };
        for batch in Batches::new(records) {
            let batch = batch.map_err(|source| corrupt(partition, filtered.next_offset, source))?;
            let header = batch.header();
            if self.check_crc {
                batch.verify_crc().map_err(|source| corrupt(partition, header.base_offset, source))?;
            }
            if self.isolation == Isolation::ReadCommitted {
                while aborted.last().is_some_and(|aborted| aborted.first_offset <= header.last_offset()) {
                    open.extend(aborted.pop().map(|aborted| aborted.producer_id));
                }
            }
            let skipped = if header.attributes.is_control() {
                let control = batch.control().map_err(|source| corrupt(partition, header.base_offset, source))?;
                if matches!(control, Some(ControlRecord::Abort { .. })) {
                    open.remove(&header.producer_id);
                }
                true
            } else {
                header.attributes.is_transactional() && open.contains(&header.producer_id)
            };
            // A fetch starts with the batch that holds the position, which may also be one that ends before it.
            let next_offset = header.next_offset();
            if next_offset <= filtered.next_offset {
                continue;
            }
            (filtered.next_offset, filtered.leader_epoch) = (next_offset, header.partition_leader_epoch);
            if !skipped && header.record_count > 0 {
                filtered.batches.push(batch);
            }
        }
        Ok(filtered)
    }
}
