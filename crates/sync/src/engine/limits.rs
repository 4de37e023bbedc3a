//! Bounds of a sync that no option sets.

/// Bytes one response may have, where no single batch is larger.
pub(crate) const FETCH_BYTES_MAX: usize = 4 << 20;

/// Fetches that may wait for one shard. Each holds at most one partition's share of a response.
pub(crate) const INBOX_ITEMS_MAX: usize = 4;

/// Seals that may wait for the committer.
pub(crate) const SEALED_WAITING_MAX: usize = 64;

/// Uncompressed size one record batch may grow to. A legal batch is bounded by the broker's
/// `message.max.bytes` only after compression.
pub(crate) const BATCH_BYTES_MAX: usize = 512 << 20;
