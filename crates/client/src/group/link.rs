//! A member's own connection to its coordinator, and the waits between attempts to use it.
//!
//! A coordinator holds a join until every member has joined, and a broker answers one connection in order: on a shared
//! connection, one member's join would hold up the heartbeats of the members it waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};

/// The connection, and since when there is trouble.
#[derive(Debug)]
pub(super) struct Link {
    coordinator: Arc<Coordinator>,
    connection: Option<Arc<Connection>>,
    backoff: Backoff,
    failing_since: Option<Instant>,
}

impl Link {
    pub(super) fn new(coordinator: Arc<Coordinator>) -> Link {
        let backoff = Backoff::new(&coordinator.cluster().options().backoff);
        Link { coordinator, connection: None, backoff, failing_since: None }
    }

    /// The open connection, or a new one.
    pub(super) async fn connection(&mut self) -> Result<Arc<Connection>> {
        if let Some(connection) = self.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(self.coordinator.broker().await?.dial().await?);
        self.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// A request was answered.
    pub(super) fn succeeded(&mut self) {
        self.backoff.reset();
        self.failing_since = None;
    }

    /// Waits before the next attempt, which looks for the coordinator again if it may have moved. Returns an error to
    /// report when attempts have failed for `retry_timeout_ms`; they go on all the same.
    pub(super) async fn back_off(&mut self, error: Error) -> Option<Error> {
        let moved = error.code() != Some(kanat_protocol::ErrorCode::CoordinatorLoadInProgress);
        if moved {
            self.coordinator.doubt(error.code());
            self.connection = None;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let wait = self.backoff.next_wait();
        tracing::debug!(%error, wait_ms = wait.as_millis(), group = %self.coordinator.key(), "membership is retried");
        tokio::time::sleep(wait).await;
        let elapsed = since.elapsed();
        if elapsed < self.coordinator.cluster().options().retry_timeout() {
            return None;
        }
        self.failing_since = Some(Instant::now());
        Some(Error::RetryTimeout { elapsed_ms: millis(elapsed), last: Box::new(error) })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
