//! The release of partitions: the application finishes, its last commits are made, and only then do others get them.

use std::time::Duration;

use super::commits;
use super::core::Core;
use crate::types::TopicPartition;

/// Ends when the application has released the partitions and their commits are done. An application that holds on for
/// longer than `max_poll_interval_ms` loses them.
pub(super) async fn revoke(core: &Core, partitions: &[TopicPartition]) {
    let released = core.revoke(partitions.to_vec());
    let longest = Duration::from_millis(u64::from(core.options.max_poll_interval_ms));
    if tokio::time::timeout(longest, released).await.is_err() {
        tracing::warn!(group = %core.options.group_id, "a revocation was held for longer than max_poll_interval_ms");
        return core.lose(partitions);
    }
    if let Err(error) = commits::flush(core, Some(partitions)).await {
        tracing::warn!(%error, group = %core.options.group_id, "the last commit before a revocation failed");
    }
    core.release(partitions);
}
