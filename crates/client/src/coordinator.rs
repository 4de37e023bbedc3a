//! Coordinators: the brokers that look after a group or a transactional id. Found when needed, looked for again when they
//! moved.

use std::collections::HashMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{ApiKey, FindCoordinatorRequest, GroupId, StrBytes};
use parking_lot::Mutex;

use crate::broker::{Broker, ConnectionClass};
use crate::cluster::{Cluster, str_bytes};
use crate::connection::Connection;
use crate::error::{Error, Result};

/// What is coordinated, as FindCoordinator numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CoordinatorKind {
    /// Groups of every protocol.
    Group = 0,
    /// Transactional ids.
    Transaction = 1,
}

impl CoordinatorKind {
    /// What errors say they are about.
    fn subject(self, key: &str) -> String {
        match self {
            CoordinatorKind::Group => format!("group {key}"),
            CoordinatorKind::Transaction => format!("transactional id {key}"),
        }
    }
}

/// The coordinator of one group or transactional id.
#[derive(Debug)]
pub(crate) struct Coordinator {
    cluster: Arc<Cluster>,
    kind: CoordinatorKind,
    key: Arc<str>,
    broker: Mutex<Option<Arc<Broker>>>,
}

impl Coordinator {
    /// Of a group.
    pub(crate) fn group(cluster: Arc<Cluster>, group: &str) -> Coordinator {
        Coordinator { cluster, kind: CoordinatorKind::Group, key: group.into(), broker: Mutex::new(None) }
    }

    /// Of a transactional id.
    pub(crate) fn transaction(cluster: Arc<Cluster>, id: &str) -> Coordinator {
        Coordinator { cluster, kind: CoordinatorKind::Transaction, key: id.into(), broker: Mutex::new(None) }
    }

    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The group or transactional id.
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The group's id for the wire.
    pub(crate) fn group_id(&self) -> GroupId {
        GroupId(str_bytes(&self.key))
    }

    /// What errors say they are about.
    pub(crate) fn subject(&self) -> String {
        self.kind.subject(&self.key)
    }

    /// Runs `attempt` at the coordinator until it succeeds, fails for good or `retry_timeout_ms` passes; looks for the
    /// coordinator again when it moved, and waits while it loads or is busy with the transaction before.
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
                Err(error) if error.code() == Some(ErrorCode::ConcurrentTransactions) => retry.pause(error).await?,
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
        let mut found = find_coordinators(&self.cluster, &[&*self.key], self.kind).await?;
        let broker = found.remove(&*self.key).unwrap_or(Err(Error::Closed { what: "runtime" }))?;
        *self.broker.lock() = Some(Arc::clone(&broker));
        Ok(broker)
    }

    /// Looks for the coordinator again next time, after a request failed with `code` (`None`: the connection did).
    pub(crate) fn doubt(&self, code: Option<ErrorCode>) {
        if code != Some(ErrorCode::CoordinatorLoadInProgress) {
            *self.broker.lock() = None;
        }
    }
}

/// Asks for the coordinators of these keys: one request where the broker takes many keys.
pub(crate) async fn find_coordinators<'a>(
    cluster: &Arc<Cluster>,
    keys: &[&'a str],
    kind: CoordinatorKind,
) -> Result<HashMap<&'a str, Result<Arc<Broker>>>> {
    let api = ApiKey::FindCoordinator;
    let connection = cluster.any_connection().await?;
    let (version, timeout) = (connection.version(api)?, cluster.options().request_timeout());
    let request = FindCoordinatorRequest::default().with_key_type(kind as i8);
    let mut found = HashMap::new();
    if version >= 4 {
        let request = request.with_coordinator_keys(keys.iter().map(|key| str_bytes(key)).collect());
        let response = connection.request_version(api, version, &request, timeout).await?;
        for key in keys {
            let row = response.coordinators.iter().find(|row| row.key.as_str() == *key);
            let row = row.ok_or_else(|| connection.malformed(api, format!("no answer for {}", kind.subject(key))))?;
            let (code, message) = (row.error_code, row.error_message.clone());
            found.insert(*key, (code, message, row.node_id.0));
        }
    } else {
        for key in keys {
            let request = request.clone().with_key(str_bytes(key));
            let response = connection.request_version(api, version, &request, timeout).await?;
            found.insert(*key, (response.error_code, response.error_message, response.node_id.0));
        }
    }
    // A coordinator that joined after the last refresh.
    if found.values().any(|(code, _, id)| *code == 0 && cluster.broker(*id).is_none()) {
        cluster.topics_after(&[], cluster.metadata().generation()).await?;
    }
    let place = |(key, (code, message, id)): (&'a str, (i16, Option<StrBytes>, i32))| {
        let refused = |code, message| connection.server_error(api, kind.subject(key), code, message);
        let broker = match ErrorCode::from_code(code) {
            Some(code) => Err(refused(code, message.map(|message: StrBytes| message.as_str().to_owned()))),
            None => cluster.broker(id).ok_or_else(|| refused(ErrorCode::CoordinatorNotAvailable, None)),
        };
        (key, broker)
    };
    Ok(found.into_iter().map(place).collect())
}
