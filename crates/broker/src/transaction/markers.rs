//! Markers: the control batches that end a transaction in every partition it touched.

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, ControlRecord, RecordBatch};
use kanat_protocol::compression::{Compression, Compressor};

use super::state::{Identity, Transaction};
use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::log::Origin;
use crate::topic::NO_LEADER;

/// Epoch of the coordinator that markers name: there is only ever one.
const COORDINATOR_EPOCH: i32 = 0;

/// A batch with one transaction marker.
pub(crate) fn marker_batch(identity: Identity, control: ControlRecord, now_ms: i64) -> Result<RecordBatch, Refusal> {
    let invalid = |reason: String| Refusal::new(ErrorCode::InvalidRecord, reason);
    let only = || invalid("only commit and abort markers can be written".to_owned());
    let (key, value) = control.encode().ok_or_else(only)?;
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: identity.producer_id,
        producer_epoch: identity.epoch,
        transactional: true,
        control: true,
        ..BatchOptions::default()
    });
    let built = builder.append(now_ms, Some(&key), Some(&value), &[]).and_then(|_| {
        let bytes = builder.seal(Compression::NONE, &mut Compressor::new())?;
        RecordBatch::parse(bytes)
    });
    built.map_err(|error| invalid(error.to_string()))
}

impl Cluster {
    /// Appends a marker to one partition.
    pub(crate) fn append_marker(
        &self,
        topic: &str,
        partition: i32,
        identity: Identity,
        control: ControlRecord,
    ) -> Result<i64, Refusal> {
        let (topic, partition) = self.partition(topic, partition)?;
        let batch = marker_batch(identity, control, self.now_ms())?;
        let (leader, epoch) = partition.leader();
        if leader == NO_LEADER {
            return Err(Refusal::new(ErrorCode::LeaderNotAvailable, "the partition has no leader"));
        }
        Ok(self.append(&topic, &partition, &batch, Origin::Handle, epoch)?.base_offset)
    }

    /// Writes the markers of an ended transaction and settles its offsets. Tells whether all is done; partitions
    /// without a leader stay in the transaction.
    pub(super) fn write_markers(&self, transaction: &mut Transaction) -> Result<bool, Refusal> {
        let Some(commit) = transaction.markers() else { return Ok(false) };
        let control = match commit {
            true => ControlRecord::Commit { coordinator_epoch: COORDINATOR_EPOCH },
            false => ControlRecord::Abort { coordinator_epoch: COORDINATOR_EPOCH },
        };
        let mut left = std::collections::BTreeSet::new();
        for (topic, partition) in std::mem::take(&mut transaction.partitions) {
            match self.append_marker(&topic, partition, transaction.identity, control) {
                // What was in a deleted topic is gone with it.
                Ok(_) | Err(Refusal { code: ErrorCode::UnknownTopicOrPartition, .. }) => {}
                Err(refusal) => {
                    tracing::debug!(topic, partition, reason = refusal.reason, "a marker has to wait");
                    left.insert((topic, partition));
                }
            }
        }
        transaction.partitions = left;
        for group in &transaction.groups {
            let producer_id = transaction.identity.producer_id;
            let settled = self.coordinator.end_transaction(group, producer_id, commit);
            settled.map_err(|error| Refusal::storage(&error))?;
        }
        Ok(transaction.partitions.is_empty())
    }
}
