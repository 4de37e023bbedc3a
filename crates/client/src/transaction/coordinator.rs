//! The broker that coordinates a transactional id, or a group whose offsets a transaction commits: found when needed,
//! looked for again when it moved.

use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{ApiKey, FindCoordinatorRequest};
use parking_lot::Mutex;

use crate::broker::{Broker, ConnectionClass};
use crate::cluster::{Cluster, str_bytes};
use crate::connection::Connection;
use crate::error::Result;

/// What is coordinated, as FindCoordinator counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Group = 0,
    Transaction = 1,
}

/// One coordinator.
#[derive(Debug)]
pub(super) struct Coordinator {
    cluster: Arc<Cluster>,
    kind: Kind,
    key: Arc<str>,
    broker: Mutex<Option<Arc<Broker>>>,
}

impl Coordinator {
    /// Of a transactional id.
    pub(super) fn transaction(cluster: Arc<Cluster>, id: &str) -> Coordinator {
        Coordinator { cluster, kind: Kind::Transaction, key: id.into(), broker: Mutex::new(None) }
    }

    /// Of a group.
    pub(super) fn group(cluster: Arc<Cluster>, group: &str) -> Coordinator {
        Coordinator { cluster, kind: Kind::Group, key: group.into(), broker: Mutex::new(None) }
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// What errors say they are about.
    pub(super) fn subject(&self) -> String {
        match self.kind {
            Kind::Group => format!("group {}", self.key),
            Kind::Transaction => format!("transactional id {}", self.key),
        }
    }

    /// Runs `attempt` at the coordinator until it succeeds, fails for good or `retry_timeout_ms` passes; looks for the
    /// coordinator again when it moved, and waits while it loads or is busy with the transaction before.
    pub(super) async fn run<T, F>(&self, attempt: impl Fn(Arc<Connection>) -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut retry = self.cluster.retry();
        loop {
            let outcome = match self.connection().await {
                Ok(connection) => attempt(connection).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.code() == Some(ErrorCode::ConcurrentTransactions) => retry.pause(error).await?,
                Err(error) if error.is_retriable() => {
                    if error.code() != Some(ErrorCode::CoordinatorLoadInProgress) {
                        *self.broker.lock() = None;
                    }
                    retry.wait(error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    async fn connection(&self) -> Result<Arc<Connection>> {
        let known = self.broker.lock().clone();
        let broker = match known {
            Some(broker) => broker,
            None => {
                let broker = self.find().await?;
                *self.broker.lock() = Some(Arc::clone(&broker));
                broker
            }
        };
        broker.connection(ConnectionClass::Control).await
    }

    async fn find(&self) -> Result<Arc<Broker>> {
        let connection = self.cluster.any_connection().await?;
        let version = connection.version(ApiKey::FindCoordinator)?;
        let key = str_bytes(&self.key);
        let request = FindCoordinatorRequest::default().with_key_type(self.kind as i8);
        // Version 4 asks for many keys at once and has no field for one.
        let request = if version >= 4 { request.with_coordinator_keys(vec![key]) } else { request.with_key(key) };
        let timeout = self.cluster.options().request_timeout();
        let response = connection.request_version(ApiKey::FindCoordinator, version, &request, timeout).await?;
        let (code, node_id, message) = match response.coordinators.into_iter().next() {
            Some(found) => (found.error_code, found.node_id, found.error_message),
            None => (response.error_code, response.node_id, response.error_message),
        };
        if let Some(code) = ErrorCode::from_code(code) {
            let message = message.map(|message| message.as_str().to_owned());
            return Err(connection.server_error(ApiKey::FindCoordinator, self.subject(), code, message));
        }
        if let Some(broker) = self.cluster.broker(node_id.0) {
            return Ok(broker);
        }
        // A broker that joined after the last refresh.
        self.cluster.topics_after(&[], self.cluster.metadata().generation()).await?;
        self.cluster.broker(node_id.0).ok_or_else(|| {
            let code = ErrorCode::CoordinatorNotAvailable;
            connection.server_error(ApiKey::FindCoordinator, self.subject(), code, None)
        })
    }
}
