//! The clock behind timestamps.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970: the machine's, or a start that moves on with the runtime's clock, which tests may pause.
#[derive(Debug)]
pub(super) struct Clock {
    /// Milliseconds since 1970 at an instant; `None` asks the machine.
    start: Option<(i64, Instant)>,
}

impl Clock {
    pub(super) fn start(start_ms: Option<i64>) -> Self {
        Self { start: start_ms.map(|start_ms| (start_ms, Instant::now())) }
    }

    pub(super) fn now_ms(&self) -> i64 {
        match &self.start {
            Some((start_ms, started)) => {
                start_ms.saturating_add(i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX))
            }
            None => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }
}
