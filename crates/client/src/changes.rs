//! A count of changes, and whoever waits for the next one.
//!
//! Those who wait are woken in the order in which they began to. A watch channel would wake them in an order of its own
//! drawing, and no run would repeat itself under the same seed.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The count.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: AtomicU64,
    changed: Notify,
}

impl Changes {
    /// One more change.
    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Changes so far: what to hand to [`Changes::since`] later.
    pub(crate) fn seen(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Ends when there were other changes than those `seen`.
    pub(crate) async fn since(&self, seen: u64) {
        loop {
            // Made before the look at the count, so that no change slips in between.
            let changed = self.changed.notified();
            if self.seen() != seen {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_in_their_order() {
        let (changes, woken) = (Arc::new(Changes::default()), Arc::new(Mutex::new(Vec::new())));
        let seen = changes.seen();
        let wait = |number: usize| {
            let (changes, woken) = (Arc::clone(&changes), Arc::clone(&woken));
            async move {
                changes.since(seen).await;
                woken.lock().push(number);
            }
        };
        let waiting: Vec<_> = (0..50).map(|number| tokio::spawn(wait(number))).collect();
        tokio::task::yield_now().await;
        assert!(woken.lock().is_empty());
        changes.add();
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock(), (0..50).collect::<Vec<_>>());
        // One that comes late does not wait.
        changes.since(seen).await;
    }
}
