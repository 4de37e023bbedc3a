//! A fetcher's way to its broker: the client's own fetch connection, or one that only this consumer uses; and the last
//! word to a broker about a fetch session.

use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::messages::ApiKey;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::session::FetchSession;
use super::wire::fetch_request;
use crate::backoff::Backoff;
use crate::broker::{Broker, ConnectionClass, LongPoll};
use crate::connection::Connection;
use crate::error::Result;

/// Longest wait for brokers to confirm that sessions are closed. They forget unused ones by themselves.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a fetcher gets its connection from.
#[derive(Debug)]
pub(super) enum Link {
    /// The client's, by way of the broker.
    Client,
    /// One of the consumer's own.
    Own { open: Option<Arc<Connection>>, backoff: Backoff, not_before: Option<Instant> },
}

impl Link {
    pub(super) fn new(shared: &Shared) -> Link {
        if shared.uses_client_connections() {
            return Link::Client;
        }
        Link::Own { open: None, backoff: Backoff::new(&shared.cluster.options().backoff), not_before: None }
    }

    /// The connection to fetch over, dialled if need be.
    pub(super) async fn connection(&mut self, broker: &Broker) -> Result<Arc<Connection>> {
        let Link::Own { open, backoff, not_before } = self else {
            return broker.connection(ConnectionClass::Fetch).await;
        };
        if let Some(open) = open.as_ref().filter(|open| open.is_open() && open.address() == broker.address()) {
            return Ok(Arc::clone(open));
        }
        if let Some(not_before) = not_before.take() {
            tokio::time::sleep_until(not_before).await;
        }
        match broker.dial().await {
            Ok(connection) => {
                backoff.reset();
                Ok(Arc::clone(open.insert(Arc::new(connection))))
            }
            Err(error) => {
                *not_before = Some(Instant::now() + backoff.next_wait());
                Err(error)
            }
        }
    }

    /// Gives up a connection on which an abandoned fetch still waits.
    pub(super) fn abandon(&mut self) {
        if let Link::Own { open, .. } = self {
            *open = None;
        }
    }

    /// Watches over a fetch on a connection that others use too.
    pub(super) fn watch<'a>(&self, broker: &'a Broker, connection: &'a Arc<Connection>) -> Option<LongPoll<'a>> {
        matches!(self, Link::Client).then(|| LongPoll::new(broker, connection))
    }
}

/// Tells the brokers to forget the consumer's sessions (KIP-227), over their control connections: those that fetch may
/// be waiting.
pub(super) async fn close_sessions(shared: Arc<Shared>) {
    let sessions = std::mem::take(&mut *shared.sessions.lock());
    let mut closing: JoinSet<()> = sessions
        .into_iter()
        .map(|(broker, session_id)| close_session(Arc::clone(&shared), broker, session_id))
        .collect();
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, async { while closing.join_next().await.is_some() {} }).await;
}

/// Tells one broker to forget a session. Nothing depends on the answer.
pub(super) async fn close_session(shared: Arc<Shared>, broker: i32, session_id: i32) {
    let Some(broker) = shared.cluster.broker(broker) else { return };
    let Ok(connection) = broker.connection(ConnectionClass::Control).await else { return };
    let Ok(version) = connection.version(ApiKey::Fetch) else { return };
    let request = fetch_request(version, &FetchSession::closing_request(session_id), &shared.options, 0);
    let request = request.with_max_wait_ms(0);
    let timeout = shared.cluster.options().request_timeout();
    let closed = connection.request_version(ApiKey::Fetch, version, &request, timeout).await;
    if let Err(error) = closed {
        tracing::debug!(%error, "closing a fetch session");
    }
}
