//! A broker: its address and at most three connections to it, one per class, opened when first needed.
//!
//! Classes keep a long-polling fetch from holding up a produce or a heartbeat: a broker answers one connection's
//! requests in order. However many partitions a broker leads, they share these three.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::options::ClientOptions;

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionClass {
    /// Metadata, offsets, groups, admin: short requests.
    Control,
    /// Fetches, which wait at the broker.
    Fetch,
    /// Produce requests, which wait for replication.
    Produce,
}

/// The place of one class: the connection, and when the next one may be dialled.
#[derive(Debug)]
struct Slot {
    open: Mutex<Option<Arc<Connection>>>,
    /// Whether the last dial failed.
    failing: AtomicBool,
    dial: tokio::sync::Mutex<Dial>,
}

#[derive(Debug)]
struct Dial {
    backoff: Backoff,
    not_before: Option<Instant>,
}

/// One broker of the cluster.
#[derive(Debug)]
pub(crate) struct Broker {
    node_id: i32,
    address: Arc<str>,
    options: Arc<ClientOptions>,
    control: Slot,
    fetch: Slot,
    produce: Slot,
    /// Set by [`close`](Self::close); nothing is dialled afterwards.
    closed: AtomicBool,
}

impl Broker {
    pub(crate) fn new(node_id: i32, address: Arc<str>, options: Arc<ClientOptions>) -> Self {
        let slot = || Slot {
            open: Mutex::new(None),
            failing: AtomicBool::new(false),
            dial: tokio::sync::Mutex::new(Dial { backoff: Backoff::new(&options.backoff), not_before: None }),
        };
        let (control, fetch, produce) = (slot(), slot(), slot());
        Broker { node_id, address, control, fetch, produce, options, closed: AtomicBool::new(false) }
    }

    pub(crate) fn node_id(&self) -> i32 {
        self.node_id
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    fn slot(&self, class: ConnectionClass) -> &Slot {
        match class {
            ConnectionClass::Control => &self.control,
            ConnectionClass::Fetch => &self.fetch,
            ConnectionClass::Produce => &self.produce,
        }
    }

    /// The open connection of a class, if there is one. One that was idle for too long is let go.
    pub(crate) fn open_connection(&self, class: ConnectionClass) -> Option<Arc<Connection>> {
        let idle_max = Duration::from_millis(self.options.connections_max_idle_ms);
        let mut open = self.slot(class).open.lock();
        if open.as_ref().is_some_and(|connection| !connection.is_open() || connection.is_stale(idle_max)) {
            *open = None;
        }
        open.clone()
    }

    /// Whether the last attempt to connect failed.
    pub(crate) fn is_failing(&self, class: ConnectionClass) -> bool {
        self.slot(class).failing.load(Ordering::Relaxed)
    }

    /// Uses a connection made elsewhere (bootstrap) unless the class has one.
    pub(crate) fn adopt(&self, class: ConnectionClass, connection: Arc<Connection>) {
        let mut open = self.slot(class).open.lock();
        if !open.as_ref().is_some_and(|connection| connection.is_open()) {
            *open = Some(connection);
            self.slot(class).failing.store(false, Ordering::Relaxed);
        }
    }

    /// Lets requests under way end until `deadline`, then closes every connection. Long polls are cut off at once.
    pub(crate) async fn close(&self, deadline: Instant) {
        self.closed.store(true, Ordering::Release);
        let take = |slot: &Slot| slot.open.lock().take();
        if let Some(fetching) = take(&self.fetch) {
            fetching.close();
        }
        for connection in [take(&self.produce), take(&self.control)].into_iter().flatten() {
            connection.drain(deadline).await;
        }
    }

    /// A connection outside the classes, for the caller alone.
    pub(crate) async fn dial(&self) -> Result<Connection> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: "client" });
        }
        Connection::open(&self.address, &self.options).await
    }

    /// The connection of a class, dialled if need be. Callers that come together share one dial; after a failed dial
    /// the next one waits its back-off first.
    pub(crate) async fn connection(&self, class: ConnectionClass) -> Result<Arc<Connection>> {
        if let Some(connection) = self.open_connection(class) {
            return Ok(connection);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: "client" });
        }
        let slot = self.slot(class);
        let mut dial = slot.dial.lock().await;
        if let Some(connection) = self.open_connection(class) {
            return Ok(connection);
        }
        if let Some(not_before) = dial.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        let opened = Connection::open(&self.address, &self.options).await;
        slot.failing.store(opened.is_err(), Ordering::Relaxed);
        tracing::debug!(broker = self.node_id, address = %self.address, ?class, made = opened.is_ok(), "dialled");
        match opened {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *slot.open.lock() = Some(Arc::clone(&connection));
                dial.backoff.reset();
                dial.not_before = None;
                Ok(connection)
            }
            Err(error) => {
                dial.not_before = Some(Instant::now() + dial.backoff.next_wait());
                if let Some(metrics) = self.options.metrics() {
                    metrics.connection_failed(&self.address);
                }
                Err(error)
            }
        }
    }
}

/// Watches over a request that may wait at the broker. Dropped before [`answered`](Self::answered), it takes the
/// connection out of use: whoever fetches next would wait behind the abandoned request, and a new connection is there
/// sooner. Those who still wait on the old one get their answers.
#[derive(Debug)]
pub(crate) struct LongPoll<'a> {
    slot: &'a Slot,
    connection: &'a Arc<Connection>,
    waiting: bool,
}

impl<'a> LongPoll<'a> {
    pub(crate) fn new(broker: &'a Broker, connection: &'a Arc<Connection>) -> Self {
        LongPoll { slot: broker.slot(ConnectionClass::Fetch), connection, waiting: true }
    }

    pub(crate) fn answered(mut self) {
        self.waiting = false;
    }
}

impl Drop for LongPoll<'_> {
    fn drop(&mut self) {
        if self.waiting {
            let mut open = self.slot.open.lock();
            open.take_if(|open| Arc::ptr_eq(open, self.connection));
        }
    }
}
