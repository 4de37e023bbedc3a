//! What a handler knows besides its request: the cluster, the node, the client, and what the fault plan wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{ApiKey, StrBytes, TopicName, Uuid};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::cluster::{Cluster, Node};
use crate::error::Refusal;
use crate::faults::ForcedError;
use crate::quotas::Quota;
use crate::security::Session;

/// What a handler knows besides the request.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) node_id: i32,
    pub(crate) peer: SocketAddr,
    /// Who the client is, `User:NAME`.
    pub(crate) principal: Arc<str>,
    pub(crate) client_id: StrBytes,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    /// Time the client is held back after this request.
    pub(crate) throttle: Arc<Mutex<Duration>>,
    pub(crate) forced: Option<ForcedError>,
    /// Turns true when the client is gone.
    pub(crate) gone: watch::Receiver<bool>,
    /// Set to close the connection after this request.
    pub(crate) close: Arc<AtomicBool>,
    /// How far the connection is authenticated.
    pub(crate) session: Arc<Mutex<Session>>,
}

impl Context {
    pub(crate) fn node(&self) -> &Node {
        self.cluster.node(self.node_id).expect("a connection belongs to a node")
    }

    /// Error the fault plan forces on the whole request.
    pub(crate) fn check_request(&self) -> Result<(), Refusal> {
        forced(self.forced.as_ref().and_then(ForcedError::whole))
    }

    /// Error the fault plan forces on a topic.
    pub(crate) fn check_topic(&self, topic: &str) -> Result<(), Refusal> {
        forced(self.forced.as_ref().and_then(|error| error.topic(topic)))?;
        self.authorize_topic(topic)
    }

    /// Error the fault plan forces on a partition.
    pub(crate) fn check_partition(&self, topic: &str, partition: i32) -> Result<(), Refusal> {
        forced(self.forced.as_ref().and_then(|error| error.partition(topic, partition)))?;
        self.authorize_topic(topic)
    }

    /// Whether this node coordinates `group`, after what the fault plan forces on the request.
    pub(crate) fn check_coordinator(&self, group: &str) -> Result<(), ErrorCode> {
        self.check_request().map_err(|refusal| refusal.code)?;
        self.authorize_group(group)?;
        match self.cluster.coordinator_of(group) {
            Some(node) if node.id == self.node_id => Ok(()),
            _ => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Whether this node coordinates a transactional id, after what the fault plan forces on the request.
    pub(crate) fn check_transaction_coordinator(&self, id: &str) -> Result<(), ErrorCode> {
        self.check_request().map_err(|refusal| refusal.code)?;
        self.authorize_transactional_id(id)?;
        match self.cluster.transaction_coordinator_of(id) {
            Some(node) if node.id == self.node_id => Ok(()),
            _ => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Topic name of a request that names it by name or, from some version on, by id.
    pub(crate) fn topic_name(&self, name: &TopicName, id: Uuid) -> Option<String> {
        if id.is_nil() {
            return Some(name.to_string());
        }
        self.cluster.topic_by_id(id).map(|topic| topic.name.to_string())
    }

    /// Runs work that may touch the disk off the runtime threads.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let context = self.clone();
        self.cluster.run(move |_| work(&context)).await
    }

    /// Comes back when the client is gone.
    pub(crate) async fn client_gone(&self) {
        let mut gone = self.gone.clone();
        // The sender lives as long as the connection.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// Counts what the client took against a quota, in its unit.
    pub(crate) fn charge(&self, quota: Quota, amount: f64) {
        self.hold_back(self.cluster.quotas.charge(quota, self.user(), &self.client_id, amount));
    }

    /// As [`charge`](Self::charge) for bytes, partitions and other things that are counted.
    #[expect(clippy::cast_precision_loss, reason = "counts of one request are far below 2^52")]
    pub(crate) fn charge_count(&self, quota: Quota, count: usize) {
        self.charge(quota, count as f64);
    }

    /// Refuses a change of partitions while earlier ones exceed the client's quota. Older versions, which do not know
    /// the code, are only held back (KIP-599).
    pub(crate) fn check_mutations(&self) -> Result<(), Refusal> {
        let version_min = match self.api {
            ApiKey::CreateTopics => 6,
            ApiKey::DeleteTopics => 5,
            ApiKey::CreatePartitions => 3,
            _ => return Ok(()),
        };
        let debt = self.cluster.quotas.debt(Quota::Mutations, self.user(), &self.client_id);
        if debt.is_zero() || self.version < version_min {
            return Ok(());
        }
        self.hold_back(debt);
        Err(Refusal::new(ErrorCode::ThrottlingQuotaExceeded, "The throttling quota has been exceeded."))
    }

    fn hold_back(&self, time: Duration) {
        let mut throttle = self.throttle.lock();
        *throttle = (*throttle).max(time);
    }

    /// The client's user as quotas name it.
    fn user(&self) -> &str {
        self.principal.strip_prefix("User:").unwrap_or(&self.principal)
    }

    pub(crate) fn close_connection(&self) {
        self.close.store(true, Ordering::Release);
    }
}

fn forced(code: Option<ErrorCode>) -> Result<(), Refusal> {
    match code {
        Some(code) => Err(Refusal::new(code, "forced by the fault plan")),
        None => Ok(()),
    }
}
