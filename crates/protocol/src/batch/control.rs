//! Control records: what a control batch says.

use super::record::Record;

/// The record of a control batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlRecord {
    /// The producer's transaction was aborted: its records since the transaction began do not count.
    Abort {
        /// Epoch of the transaction coordinator that wrote the marker.
        coordinator_epoch: i32,
    },
    /// The producer's transaction was committed.
    Commit {
        /// Epoch of the transaction coordinator that wrote the marker.
        coordinator_epoch: i32,
    },
    /// A kind that concerns brokers only (leader change, snapshot header, ...) or is newer than this crate.
    Other {
        /// Version of the record's key.
        version: i16,
        /// Number of the kind.
        kind: i16,
    },
}

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

impl ControlRecord {
    /// Key: version and kind. Value of a transaction marker: version and coordinator epoch. Newer versions may append
    /// fields to both.
    pub(super) fn parse(record: &Record<'_>) -> Result<ControlRecord, &'static str> {
        let key = record.key.and_then(|key| key.first_chunk::<4>()).ok_or("its control key is cut off")?;
        let [version_0, version_1, kind_0, kind_1] = *key;
        let version = i16::from_be_bytes([version_0, version_1]);
        let kind = i16::from_be_bytes([kind_0, kind_1]);
        if version < 0 {
            return Err("its control key has a negative version");
        }
        if kind != ABORT && kind != COMMIT {
            return Ok(ControlRecord::Other { version, kind });
        }
        let value = record.value.and_then(|value| value.first_chunk::<6>()).ok_or("its control value is cut off")?;
        let [_, _, epoch_0, epoch_1, epoch_2, epoch_3] = *value;
        let coordinator_epoch = i32::from_be_bytes([epoch_0, epoch_1, epoch_2, epoch_3]);
        Ok(match kind {
            ABORT => ControlRecord::Abort { coordinator_epoch },
            _ => ControlRecord::Commit { coordinator_epoch },
        })
    }

    /// Key and value of a transaction marker, for [`super::BatchBuilder::append`] to a control batch.
    ///
    /// `None` for [`ControlRecord::Other`], whose value this crate does not know.
    pub fn encode(&self) -> Option<([u8; 4], [u8; 6])> {
        let (kind, coordinator_epoch) = match *self {
            ControlRecord::Abort { coordinator_epoch } => (ABORT, coordinator_epoch),
            ControlRecord::Commit { coordinator_epoch } => (COMMIT, coordinator_epoch),
            ControlRecord::Other { .. } => return None,
        };
        let [kind_0, kind_1] = kind.to_be_bytes();
        let [epoch_0, epoch_1, epoch_2, epoch_3] = coordinator_epoch.to_be_bytes();
        Some(([0, 0, kind_0, kind_1], [0, 0, epoch_0, epoch_1, epoch_2, epoch_3]))
    }
}
