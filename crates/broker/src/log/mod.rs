//! Storage of record batches: a partition's log, its segments in memory or on disk, recovery and compaction.

mod compaction;
mod partition;
mod producers;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod transactions;
mod truncation;
mod validate;

pub(crate) use compaction::{CompactionError, CompactionLimits};
pub(crate) use partition::{AppendContext, Appended, Bounds, Isolation, Origin, PartitionLog, ReadOutcome};
pub(crate) use recovery::recover;
pub(crate) use segment::{BatchEntry, StoredBytes};
