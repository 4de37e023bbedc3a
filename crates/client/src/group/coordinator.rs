//! The broker that coordinates a group: found when needed, looked for again when it moved.

use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use kanat_protocol::messages::{ApiKey, FindCoordinatorRequest, GroupId};
use parking_lot::Mutex;

use crate::broker::{Broker, ConnectionClass};
use crate::cluster::{Cluster, str_bytes};
use crate::connection::Connection;
use crate::error::Result;

/// One group's coordinator.
#[derive(Debug)]
pub(crate) struct Coordinator {
    cluster: Arc<Cluster>,
    group: Arc<str>,
    broker: Mutex<Option<Arc<Broker>>>,
}

impl Coordinator {
    pub(crate) fn new(cluster: Arc<Cluster>, group: &str) -> Coordinator {
        Coordinator { cluster, group: group.into(), broker: Mutex::new(None) }
    }

    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(crate) fn group(&self) -> &Arc<str> {
        &self.group
    }

    /// The group's id for the wire.
    pub(crate) fn group_id(&self) -> GroupId {
        GroupId(str_bytes(&self.group))
    }

    /// What errors say they are about.
    pub(crate) fn subject(&self) -> String {
        format!("group {}", self.group)
    }

    /// Runs `attempt` at the coordinator until it succeeds, fails for good or `retry_timeout_ms` passes; looks for the
    /// coordinator again when it moved, and waits while it loads.
    pub(crate) async fn run<T, F>(&self, attempt: impl Fn(Arc<Connection>) -> F + Send + Sync) -> Result<T>
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
                Err(error) if error.is_retriable() => {
                    self.doubt(error.code());
                    retry.wait(error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    /// The shared connection to the coordinator, for requests that are answered at once.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>> {
        self.broker().await?.connection(ConnectionClass::Control).await
    }

    /// The coordinator.
    pub(crate) async fn broker(&self) -> Result<Arc<Broker>> {
        let known = self.broker.lock().clone();
        if let Some(broker) = known {
            return Ok(broker);
        }
        let broker = self.find().await?;
        *self.broker.lock() = Some(Arc::clone(&broker));
        Ok(broker)
    }

    /// Looks for the coordinator again next time, after a request failed with `code` (`None`: the connection did).
    pub(crate) fn doubt(&self, code: Option<ErrorCode>) {
        if code != Some(ErrorCode::CoordinatorLoadInProgress) {
            *self.broker.lock() = None;
        }
    }

    async fn find(&self) -> Result<Arc<Broker>> {
        let (connection, response) = self.ask().await?;
        let found = match response.coordinators.into_iter().next() {
            Some(found) => (found.error_code, found.node_id, found.error_message),
            None => (response.error_code, response.node_id, response.error_message),
        };
        let (code, node_id, message) = found;
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

    /// Version 4 asks for many keys at once and has no field for one.
    async fn ask(&self) -> Result<(Arc<Connection>, FindCoordinatorResponse)> {
        let connection = self.cluster.any_connection().await?;
        let version = connection.version(ApiKey::FindCoordinator)?;
        let key = str_bytes(&self.group);
        let request = FindCoordinatorRequest::default().with_key_type(0);
        let request = if version >= 4 { request.with_coordinator_keys(vec![key]) } else { request.with_key(key) };
        let timeout = self.cluster.options().request_timeout();
        let response = connection.request_version(ApiKey::FindCoordinator, version, &request, timeout).await?;
        Ok((connection, response))
    }
}
