//! The current snapshot, and the one refresh that may be under way.

use std::sync::Arc;

use kanat_protocol::messages::MetadataResponse;
use parking_lot::RwLock;
use tokio::time::Instant;

use super::{LeaderHint, Metadata};

/// Holder of the snapshot. Readers copy an `Arc`; refreshes queue on `refreshing` so that callers which need the same
/// answer share it.
#[derive(Debug, Default)]
pub(crate) struct MetadataCache {
    current: RwLock<Arc<Metadata>>,
    refreshing: tokio::sync::Mutex<()>,
}

impl MetadataCache {
    /// The snapshot now.
    pub(crate) fn current(&self) -> Arc<Metadata> {
        Arc::clone(&self.current.read())
    }

    /// Waits for the refresh under way, if any, and keeps others from starting one.
    pub(crate) async fn lock_refresh(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.refreshing.lock().await
    }

    /// Publishes leaders that are newer than those known, if there are any.
    pub(crate) fn learn_leaders(&self, hints: &[LeaderHint]) -> Option<Arc<Metadata>> {
        let mut current = self.current.write();
        *current = Arc::new(current.with_leaders(hints)?);
        Some(Arc::clone(&current))
    }

    /// Publishes an answer as the next generation.
    pub(crate) fn merge(&self, response: &MetadataResponse, all: bool) -> Arc<Metadata> {
        let mut current = self.current.write();
        let next = Arc::new(current.merged(response, all, Instant::now()));
        *current = Arc::clone(&next);
        next
    }
}
