//! Kafka as discover and sync ask for it: a connected client, the topics of a catalog, partition bounds.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use kanat_client::{Client, ClientOptions, Isolation, OffsetSpec, TopicInfo, TopicPartition};

use crate::config::SourceConfig;
use crate::error::{Error, Result};

/// How kanat names itself to brokers.
const CLIENT_ID: &str = "kanat";

/// How long one retry of `backoff_retry_count` lasts: the client retries many times within it. OLake's
/// retries are 60, 120 and 240 s apart, which its users wait out even when the broker is back at once.
const RETRY_MS: u64 = 20_000;

/// Offsets of a log that matter to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogBounds {
    /// First offset the broker still has.
    pub(crate) start: i64,
    /// Last stable offset: the end for a reader of committed records.
    pub(crate) stable_end: i64,
    /// End of the log, open transactions included.
    pub(crate) high_watermark: i64,
}

impl LogBounds {
    /// Offsets a reader of committed records can read.
    pub(crate) fn readable(&self) -> Range<i64> {
        self.start..self.stable_end.max(self.start)
    }
}

/// Connects to the source.
///
/// # Errors
/// [`Error::NotSupported`] for settings this version lacks, [`Error::BrokerUnreachable`] with the addresses.
pub(crate) async fn connect(source: &SourceConfig) -> Result<Client> {
    source.ensure_supported()?;
    let options = ClientOptions::new(&source.bootstrap_servers)
        .with_client_id(CLIENT_ID)
        .with_security(source.protocol.security())
        .with_retry_timeout_ms(RETRY_MS.saturating_mul(source.backoff_retry_count.into()));
    Client::connect(options)
        .await
        .map_err(|error| Error::BrokerUnreachable { servers: source.servers(), source: Box::new(error) })
}

/// Describes `topics`, in their order.
///
/// # Errors
/// [`Error::TopicMissing`] for the first that does not exist.
pub(crate) async fn describe_topics(
    client: &Client,
    topics: &[&str],
    source: &SourceConfig,
) -> Result<Vec<Arc<TopicInfo>>> {
    let metadata =
        client.metadata(Some(topics)).await.map_err(|error| Error::kafka("reading topic metadata", error))?;
    let describe = |name: &&str| {
        let missing = || Error::TopicMissing { topic: (*name).to_owned(), servers: source.servers() };
        metadata.topic(name).cloned().ok_or_else(missing)
    };
    topics.iter().map(describe).collect()
}

/// Every partition of `topics`.
pub(crate) fn partitions(topics: &[Arc<TopicInfo>]) -> Vec<TopicPartition> {
    let of_topic = |topic: &Arc<TopicInfo>| {
        let name = Arc::clone(&topic.name);
        let numbers: Vec<i32> = topic.partitions.iter().map(|partition| partition.partition).collect();
        numbers.into_iter().map(move |partition| TopicPartition::new(Arc::clone(&name), partition))
    };
    topics.iter().flat_map(of_topic).collect()
}

/// Asks for the bounds of every partition, one request per broker and bound, all at once.
pub(crate) async fn log_bounds(
    client: &Client,
    partitions: &[TopicPartition],
) -> Result<HashMap<TopicPartition, LogBounds>> {
    let specs = |spec: OffsetSpec| -> Vec<_> { partitions.iter().map(|it| (it.clone(), spec)).collect() };
    let (earliest, latest) = (specs(OffsetSpec::Earliest), specs(OffsetSpec::Latest));
    let listed = tokio::try_join!(
        client.list_offsets(&earliest, Isolation::ReadUncommitted),
        client.list_offsets(&latest, Isolation::ReadCommitted),
        client.list_offsets(&latest, Isolation::ReadUncommitted),
    );
    let (starts, stable_ends, ends) = listed.map_err(|error| Error::kafka("listing offsets", error))?;
    let bounds = starts.into_iter().zip(stable_ends).zip(ends);
    Ok(bounds
        .map(|(((partition, start), (_, stable_end)), (_, end))| {
            let bounds = LogBounds { start: start.offset, stable_end: stable_end.offset, high_watermark: end.offset };
            (partition, bounds)
        })
        .collect())
}
