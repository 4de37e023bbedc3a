//! The cluster behind a client: its brokers, its metadata, and how to find whom to ask.
//!
//! Everything else in the crate holds an `Arc<Cluster>`. A refresh asks any broker, those with an open connection
//! first. When every known broker is gone, or one says that the client must start over (KIP-1102), the cluster is looked
//! for at the bootstrap addresses again (KIP-899). Names are resolved anew on every dial.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::metadata_request::MetadataRequestTopic;
use kanat_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse, Request, StrBytes, TopicName};
use kanat_telemetry::ClientMetrics;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use crate::backoff::Retry;
use crate::bootstrap::bootstrap;
use crate::broker::{Broker, ConnectionClass};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::metadata::{LeaderHint, Metadata, MetadataCache};
use crate::options::ClientOptions;
use crate::types::{TopicId, UnknownTopic};

/// Where a partition is led, as of one metadata generation.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    pub(crate) broker: Arc<Broker>,
    pub(crate) epoch: i32,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) generation: u64,
}

/// Shared state of one client.
#[derive(Debug)]
pub(crate) struct Cluster {
    options: Arc<ClientOptions>,
    metadata: MetadataCache,
    brokers: Mutex<BTreeMap<i32, Arc<Broker>>>,
    metrics: Option<ClientMetrics>,
    closed: AtomicBool,
    /// Whether a consumer fetches over the brokers' fetch connections.
    fetch_connections_leased: AtomicBool,
}

impl Cluster {
    /// Finds a broker that answers and learns the others. Topics are asked for when needed.
    pub(crate) async fn connect(options: ClientOptions) -> Result<Arc<Cluster>> {
        options.validate()?;
        options.security.prepare().await?;
        let cluster = Arc::new(Cluster {
            metrics: options.metrics(),
            closed: AtomicBool::new(false),
            options: Arc::new(options),
            metadata: MetadataCache::default(),
            brokers: Mutex::new(BTreeMap::new()),
            fetch_connections_leased: AtomicBool::new(false),
        });
        let _refreshing = cluster.metadata.lock_refresh().await;
        cluster.fetch_metadata(Some(&[])).await?;
        drop(_refreshing);
        Ok(cluster)
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// What counts, if anything does.
    pub(crate) fn metrics(&self) -> Option<&ClientMetrics> {
        self.metrics.as_ref()
    }

    /// Ends the connections to every broker; requests under way have until `deadline`. Nothing is sent afterwards.
    pub(crate) async fn close(&self, deadline: Instant) {
        self.closed.store(true, Ordering::Release);
        for broker in self.brokers() {
            broker.close(deadline).await;
        }
    }

    /// The retry loop of one operation, within `retry_timeout_ms`.
    pub(crate) fn retry(&self) -> Retry {
        Retry::new(&self.options.backoff, self.options.retry_timeout())
    }

    /// The snapshot now, whatever its age.
    pub(crate) fn metadata(&self) -> Arc<Metadata> {
        self.metadata.current()
    }

    /// A snapshot in which each of these topics was asked for within `metadata_max_age_ms`.
    pub(crate) async fn topics(&self, names: &[&str]) -> Result<Arc<Metadata>> {
        let current = self.metadata.current();
        if self.is_fresh(&current, names) {
            return Ok(current);
        }
        let _refreshing = self.metadata.lock_refresh().await;
        let current = self.metadata.current();
        if self.is_fresh(&current, names) {
            return Ok(current);
        }
        self.fetch_metadata(Some(names)).await
    }

    /// A snapshot newer than `generation`, which proved wrong for these topics.
    pub(crate) async fn topics_after(&self, names: &[&str], generation: u64) -> Result<Arc<Metadata>> {
        let _refreshing = self.metadata.lock_refresh().await;
        let current = self.metadata.current();
        if current.generation() > generation && self.is_fresh(&current, names) {
            return Ok(current);
        }
        self.fetch_metadata(Some(names)).await
    }

    /// A snapshot of every topic, asked for now.
    pub(crate) async fn all_topics(&self) -> Result<Arc<Metadata>> {
        let _refreshing = self.metadata.lock_refresh().await;
        self.fetch_metadata(None).await
    }

    fn is_fresh(&self, metadata: &Metadata, names: &[&str]) -> bool {
        let (now, max_age) = (Instant::now(), Duration::from_millis(self.options.metadata_max_age_ms));
        names.iter().all(|name| metadata.topic(name).is_some_and(|topic| topic.age(now) < max_age))
    }

    /// Asks for topics (`None`: all) and publishes the answer. The caller holds the refresh lock.
    async fn fetch_metadata(&self, names: Option<&[&str]>) -> Result<Arc<Metadata>> {
        let topics = names.map(|names| {
            let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            names.iter().map(topic).collect()
        });
        let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
        let span = tracing::debug_span!("metadata", topics = names.map(<[&str]>::len));
        let (connection, response) = self.ask_for_metadata(&request).instrument(span).await?;
        if let Some(metrics) = &self.metrics {
            metrics.metadata_refreshed();
        }
        let metadata = self.metadata.merge(&response, names.is_none());
        self.update_brokers(&metadata, Some(connection));
        Ok(metadata)
    }

    /// Asks any broker, and the bootstrap addresses if that one wants the client to start over.
    async fn ask_for_metadata(&self, request: &MetadataRequest) -> Result<(Arc<Connection>, MetadataResponse)> {
        let (connection, response) = self.ask_any(ApiKey::Metadata, request).await?;
        let Some(code) = ErrorCode::from_code(response.error_code) else { return Ok((connection, response)) };
        let error = connection.server_error(ApiKey::Metadata, "the cluster".to_owned(), code, None);
        if code != ErrorCode::RebootstrapRequired {
            return Err(error);
        }
        tracing::warn!(broker = %connection.address(), "the broker wants this client to bootstrap anew");
        self.brokers.lock().clear();
        let connection = self.bootstrap().await?;
        let response: MetadataResponse =
            connection.request(ApiKey::Metadata, request, self.options.request_timeout()).await?;
        match ErrorCode::from_code(response.error_code) {
            None => Ok((connection, response)),
            Some(_) => Err(error),
        }
    }

    async fn bootstrap(&self) -> Result<Arc<Connection>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: "client" });
        }
        if let Some(metrics) = &self.metrics {
            metrics.bootstrapped();
        }
        let span = tracing::debug_span!("bootstrap");
        bootstrap(&self.options).instrument(span).await.map(Arc::new)
    }

    /// Uses leaders that brokers named instead of asking for metadata.
    pub(crate) fn learn_leaders(&self, hints: &[LeaderHint]) {
        if let Some(metadata) = self.metadata.learn_leaders(hints) {
            self.update_brokers(&metadata, None);
        }
    }

    /// Makes the brokers those of the snapshot; keeps the connections of the ones that stay.
    fn update_brokers(&self, metadata: &Metadata, answered: Option<Arc<Connection>>) {
        let mut brokers = self.brokers.lock();
        brokers.retain(|id, broker| metadata.broker(*id).is_some_and(|info| info.address == *broker.address()));
        for info in metadata.brokers() {
            let broker = brokers.entry(info.node_id).or_insert_with(|| {
                Arc::new(Broker::new(info.node_id, Arc::clone(&info.address), Arc::clone(&self.options)))
            });
            if let Some(answered) = answered.as_ref().filter(|answered| info.address == *answered.address()) {
                broker.adopt(ConnectionClass::Control, Arc::clone(answered));
            }
        }
    }

    /// A broker by id.
    pub(crate) fn broker(&self, node_id: i32) -> Option<Arc<Broker>> {
        self.brokers.lock().get(&node_id).cloned()
    }

    /// Takes the brokers' fetch connections for one consumer, unless another has them.
    pub(crate) fn lease_fetch_connections(&self) -> bool {
        !self.fetch_connections_leased.swap(true, Ordering::AcqRel)
    }

    /// Gives the fetch connections back.
    pub(crate) fn release_fetch_connections(&self) {
        self.fetch_connections_leased.store(false, Ordering::Release);
    }

    /// Every broker known, by id.
    pub(crate) fn brokers(&self) -> Vec<Arc<Broker>> {
        self.brokers.lock().values().cloned().collect()
    }

    /// The leader of a partition by the metadata at hand, asked for if need be.
    pub(crate) async fn leader(&self, topic: &str, partition: i32) -> Result<Leader> {
        let metadata = self.topics(&[topic]).await?;
        self.leader_in(&metadata, topic, partition)
    }

    /// The leader of a partition by one snapshot.
    pub(crate) fn leader_in(&self, metadata: &Metadata, topic: &str, partition: i32) -> Result<Leader> {
        let (node_id, info) = metadata.leader(topic, partition)?;
        let broker = self.broker(node_id).ok_or_else(|| Error::NoLeader { topic: topic.into(), partition })?;
        let topic_id = metadata.topic(topic).and_then(|topic| topic.id);
        Ok(Leader { broker, epoch: info.leader_epoch, topic_id, generation: metadata.generation() })
    }

    /// Runs `attempt` against the leader of a partition until it succeeds, fails for good or `retry_timeout_ms` passes.
    /// Each retriable failure asks for newer metadata first.
    pub(crate) async fn with_leader<T, F>(
        &self,
        topic: &str,
        partition: i32,
        unknown: UnknownTopic,
        mut attempt: impl FnMut(Leader) -> F + Send,
    ) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut retry = self.retry();
        loop {
            let error = match self.leader(topic, partition).await {
                Ok(leader) => {
                    let generation = leader.generation;
                    match attempt(leader).await {
                        Ok(done) => return Ok(done),
                        Err(error) => {
                            if moves_leader(&error) {
                                // A refresh that fails is retried by the next round.
                                let _ = self.topics_after(&[topic], generation).await;
                            }
                            error
                        }
                    }
                }
                Err(error @ (Error::UnknownTopic { .. } | Error::UnknownPartition { .. }))
                    if unknown == UnknownTopic::Retry =>
                {
                    let _ = self.topics_after(&[topic], self.metadata().generation()).await;
                    retry.wait_for_topic(error).await?;
                    continue;
                }
                Err(error @ Error::NoLeader { .. }) => {
                    let _ = self.topics_after(&[topic], self.metadata().generation()).await;
                    error
                }
                Err(error) => error,
            };
            retry.wait(error).await?;
        }
    }

    /// A control connection to any broker.
    pub(crate) async fn any_connection(&self) -> Result<Arc<Connection>> {
        let (healthy, failing) = self.candidates();
        for broker in healthy {
            if let Ok(connection) = broker.connection(ConnectionClass::Control).await {
                return Ok(connection);
            }
        }
        let error = match self.bootstrap().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        for broker in failing {
            if let Ok(connection) = broker.connection(ConnectionClass::Control).await {
                return Ok(connection);
            }
        }
        Err(error)
    }

    /// Sends a request any broker can answer: first to the known brokers that were well last time, then to the bootstrap
    /// addresses, then to the known brokers that were not.
    pub(crate) async fn ask_any<Q>(&self, api: ApiKey, request: &Q) -> Result<(Arc<Connection>, Q::Response)>
    where
        Q: Request + Send + Sync,
        Q::Response: Send,
    {
        let (healthy, failing) = self.candidates();
        if let Some(answer) = self.ask_first(healthy, api, request).await? {
            return Ok(answer);
        }
        let error = match self.bootstrap().await {
            Ok(connection) => {
                let response = connection.request(api, request, self.options.request_timeout()).await?;
                return Ok((connection, response));
            }
            Err(error) => error,
        };
        self.ask_first(failing, api, request).await?.ok_or(error)
    }

    /// The answer of the first of these brokers that gives one.
    async fn ask_first<Q>(
        &self,
        brokers: Vec<Arc<Broker>>,
        api: ApiKey,
        request: &Q,
    ) -> Result<Option<(Arc<Connection>, Q::Response)>>
    where
        Q: Request + Send + Sync,
        Q::Response: Send,
    {
        for broker in brokers {
            let Ok(connection) = broker.connection(ConnectionClass::Control).await else { continue };
            match connection.request(api, request, self.options.request_timeout()).await {
                Ok(response) => return Ok(Some((connection, response))),
                Err(error) if error.is_retriable() => {
                    tracing::debug!(%error, "asking the next broker");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Brokers in the order to ask them, connected ones first, the rest at random; and apart from them those that could
    /// not be reached last time.
    fn candidates(&self) -> (Vec<Arc<Broker>>, Vec<Arc<Broker>>) {
        let mut candidates = self.brokers();
        fastrand::shuffle(&mut candidates);
        candidates.sort_by_key(|broker| broker.open_connection(ConnectionClass::Control).is_none());
        candidates.into_iter().partition(|broker| !broker.is_failing(ConnectionClass::Control))
    }
}

/// Whether an error says that a partition may be led elsewhere by now.
pub(crate) fn moves_leader(error: &Error) -> bool {
    match error {
        Error::Connect { .. }
        | Error::ConnectionLost { .. }
        | Error::RequestTimeout { .. }
        | Error::NoLeader { .. } => true,
        Error::Server { code, .. } => code_moves_leader(*code),
        _ => false,
    }
}

/// The codes among those.
pub(crate) fn code_moves_leader(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::KafkaStorageError
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::BrokerNotAvailable
            | ErrorCode::NetworkException
    )
}

/// A topic name for the wire.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(str_bytes(name))
}

/// A string for the wire.
pub(crate) fn str_bytes(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
