//! Transactions: who may write in the name of a transactional id, and what its transaction touched.
//!
//! [`Transaction`] is the state machine of one transactional id: requests and times go in, verdicts come out, and it sees
//! neither a log nor a clock. [`TransactionCoordinator`] holds all of them, writes the markers that end a transaction
//! into the partitions it touched, and aborts transactions whose time is up. A transaction stays locked while a batch of
//! it is appended, so that no marker overtakes the batch.

mod coordinator;
mod markers;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use coordinator::{AddPolicy, TransactionCoordinator, TransactionOptions};
pub(crate) use state::{Identity, State, Transaction};

/// Topic in which Kafka keeps the offsets of groups; here it only lends its name.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Partitions of [`OFFSETS_TOPIC`] by default.
const OFFSETS_PARTITIONS: i32 = 50;

/// Partition of [`OFFSETS_TOPIC`] that Kafka keeps a group in: the hash of a Java string, without its sign.
pub(crate) fn offsets_partition(group: &str) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % OFFSETS_PARTITIONS
}
