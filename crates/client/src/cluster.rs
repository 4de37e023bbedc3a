//! The cluster behind a client: its brokers, its metadata, and how to find whom to ask.
//!
//! Everything else in the crate holds an `Arc<Cluster>`. A refresh asks any broker, those with an open connection
//! first; when no known broker answers, the bootstrap addresses are tried again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::metadata_request::MetadataRequestTopic;
use kanat_protocol::messages::{ApiKey, MetadataRequest, Request, StrBytes, TopicName};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::backoff::Retry;
use crate::bootstrap::bootstrap;
use crate::broker::{Broker, ConnectionClass};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::metadata::{Metadata, MetadataCache};
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
    brokers: Mutex<HashMap<i32, Arc<Broker>>>,
}

impl Cluster {
    /// Finds a broker that answers and learns the others. Topics are asked for when needed.
    pub(crate) async fn connect(options: ClientOptions) -> Result<Arc<Cluster>> {
        options.validate()?;
        let cluster = Arc::new(Cluster {
            options: Arc::new(options),
            metadata: MetadataCache::default(),
            brokers: Mutex::new(HashMap::new()),
        });
        let _refreshing = cluster.metadata.lock_refresh().await;
        cluster.fetch_metadata(Some(&[])).await?;
        drop(_refreshing);
        Ok(cluster)
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
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
        let (connection, response) = self.ask_any(ApiKey::Metadata, &request).await?;
        let metadata = self.metadata.merge(&response, names.is_none());
        self.update_brokers(&metadata, connection);
        Ok(metadata)
    }

    /// Makes the brokers those of the snapshot; keeps the connections of the ones that stay.
    fn update_brokers(&self, metadata: &Metadata, answered: Arc<Connection>) {
        let mut brokers = self.brokers.lock();
        brokers.retain(|id, broker| metadata.broker(*id).is_some_and(|info| info.address == *broker.address()));
        for info in metadata.brokers() {
            let broker = brokers.entry(info.node_id).or_insert_with(|| {
                Arc::new(Broker::new(info.node_id, Arc::clone(&info.address), Arc::clone(&self.options)))
            });
            if info.address == *answered.address() {
                broker.adopt(ConnectionClass::Control, Arc::clone(&answered));
            }
        }
    }

    /// A broker by id.
    pub(crate) fn broker(&self, node_id: i32) -> Option<Arc<Broker>> {
        self.brokers.lock().get(&node_id).cloned()
    }

    /// Every broker known, in no order.
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
        for broker in self.candidates() {
            if let Ok(connection) = broker.connection(ConnectionClass::Control).await {
                return Ok(connection);
            }
        }
        Ok(Arc::new(bootstrap(&self.options).await?))
    }

    /// Sends a request any broker can answer; the bootstrap addresses are the last resort.
    pub(crate) async fn ask_any<Q>(&self, api: ApiKey, request: &Q) -> Result<(Arc<Connection>, Q::Response)>
    where
        Q: Request + Send + Sync,
        Q::Response: Send,
    {
        let timeout = self.options.request_timeout();
        for broker in self.candidates() {
            let Ok(connection) = broker.connection(ConnectionClass::Control).await else { continue };
            match connection.request(api, request, timeout).await {
                Ok(response) => return Ok((connection, response)),
                Err(error) if error.is_retriable() => {
                    tracing::debug!(%error, "asking the next broker");
                }
                Err(error) => return Err(error),
            }
        }
        let connection = Arc::new(bootstrap(&self.options).await?);
        let response = connection.request(api, request, timeout).await?;
        Ok((connection, response))
    }

    /// Brokers in the order to ask them: connected ones, then the rest in random order, those that fail last.
    fn candidates(&self) -> Vec<Arc<Broker>> {
        let mut candidates = self.brokers();
        fastrand::shuffle(&mut candidates);
        candidates.sort_by_key(|broker| {
            (broker.open_connection(ConnectionClass::Control).is_none(), broker.is_failing(ConnectionClass::Control))
        });
        candidates
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
