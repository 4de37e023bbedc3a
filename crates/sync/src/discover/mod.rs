//! Discovery: which topics there are and which columns their records have.
//!
//! Topics are taken a few at a time. All partitions of those are sampled at once from their first
//! offset: one asynchronous loop hands batches to compute threads, each of which keeps an inference
//! per topic; in the end the inferences of a topic are merged. A partition is done at its end, at
//! [`DiscoverOptions::records_per_partition_max`], or when the time is over, and the result says which.

mod sampler;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kanat_client::{Client, Consumer, ConsumerOptions, Fetched, TopicInfo, TopicPartition};
use kanat_lake::naming::Namer;
use tokio::sync::mpsc;

use crate::catalog::{DiscoveredColumn, DiscoveredStream, kafka_columns};
use crate::config::SourceConfig;
use crate::engine::metadata_columns::RESERVED;
use crate::engine::shards;
use crate::error::{Error, Result};
use crate::kafka;
use sampler::{SampledTopic, Sampler};

/// Topics that other products keep for themselves.
const FOREIGN_TOPICS: [&str; 2] = ["__amazon_msk_canary", "_schemas"];

/// Fetches that may wait for one compute thread.
const INBOX_ITEMS_MAX: usize = 4;

/// Bounds of a discovery.
#[derive(Debug, Clone)]
pub struct DiscoverOptions {
    /// Topics sampled at the same time; at least 1. OLake's `--max-discover-threads`, default 50.
    pub topics_at_once: usize,
    /// Records looked at in one partition. Default 10,000, as OLake's.
    pub records_per_partition_max: u64,
    /// Time allowed for the whole discovery. Topics not reached by then have no columns. Default 5 minutes.
    pub time_max: Duration,
    /// Distinct keys one topic may have. Default 10,000.
    pub columns_max: usize,
}

impl Default for DiscoverOptions {
    fn default() -> Self {
        Self {
            topics_at_once: 50,
            records_per_partition_max: 10_000,
            time_max: Duration::from_secs(300),
            columns_max: kanat_lake::shred::COLUMNS_MAX_DEFAULT,
        }
    }
}

/// What was sampled of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSample {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: usize,
    /// Records looked at.
    pub records: u64,
    /// Those that are no JSON objects, null values among them.
    pub bad_records: u64,
    /// Partitions that had more records than were looked at.
    pub partitions_cut: usize,
}

/// Result of a discovery, topics in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Topics and columns, ready for a catalog.
    pub streams: Vec<DiscoveredStream>,
    /// How much of each topic the columns stand for.
    pub samples: Vec<TopicSample>,
}

/// Samples every topic the source selects.
///
/// # Errors
/// [`Error::BrokerUnreachable`], [`Error::NoStreamsFound`] when no topic is left after the pattern,
/// [`Error::Kafka`] for a request that fails.
pub async fn discover(source: &SourceConfig, options: &DiscoverOptions) -> Result<Discovery> {
    let deadline = Instant::now() + options.time_max;
    let client = kafka::connect(source).await?;
    let topics = selected_topics(&client, source).await?;
    let mut discovery = Discovery::default();
    for group in topics.chunks(options.topics_at_once.max(1)) {
        let sampled = Group::open(&client, group, options).await?.sample(deadline).await?;
        for (topic, sampled, sample) in sampled {
            discovery.streams.push(stream(&topic, &sampled));
            discovery.samples.push(sample);
        }
    }
    Ok(discovery)
}

async fn selected_topics(client: &Client, source: &SourceConfig) -> Result<Vec<Arc<TopicInfo>>> {
    let all = client.list_topics().await.map_err(|error| Error::kafka("listing topics", error))?;
    let mut selected = Vec::new();
    for topic in all.iter().filter(|topic| !topic.internal && !FOREIGN_TOPICS.contains(&&*topic.name)) {
        let matches = match &source.topic_pattern {
            Some(pattern) => pattern.matches(&topic.name)?,
            None => true,
        };
        if matches {
            selected.push(Arc::clone(topic));
        }
    }
    if !selected.is_empty() {
        return Ok(selected);
    }
    let reason = match &source.topic_pattern {
        Some(pattern) => format!("topic_pattern {} matches none of {} topics", pattern.as_str(), all.len()),
        None => format!("{} has no topics", source.servers()),
    };
    Err(Error::NoStreamsFound { reason })
}

/// Topics being sampled together.
struct Group<'a> {
    topics: &'a [Arc<TopicInfo>],
    options: &'a DiscoverOptions,
    consumer: Consumer,
    remaining: HashMap<TopicPartition, Remaining>,
    /// Compute thread of each partition.
    owners: HashMap<TopicPartition, usize>,
}

/// What is left to look at in one partition.
#[derive(Debug, Clone, Copy)]
struct Remaining {
    end: i64,
    records: u64,
}

impl<'a> Group<'a> {
    async fn open(client: &Client, topics: &'a [Arc<TopicInfo>], options: &'a DiscoverOptions) -> Result<Group<'a>> {
        let partitions = kafka::partitions(topics);
        let bounds = kafka::log_bounds(client, &partitions).await?;
        let consumer = client
            .consumer(ConsumerOptions { check_crc: false, ..ConsumerOptions::default() })
            .map_err(|error| Error::kafka("opening a consumer", error))?;
        let readable: Vec<(TopicPartition, std::ops::Range<i64>)> = bounds
            .into_iter()
            .map(|(partition, bounds)| (partition, bounds.readable()))
            .filter(|(_, readable)| !readable.is_empty())
            .collect();
        let sizes: Vec<u64> = readable.iter().map(|(_, range)| range.end.abs_diff(range.start)).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(readable.len());
        let owners = shards::assign(&sizes, threads);
        let mut group = Self { topics, options, consumer, remaining: HashMap::new(), owners: HashMap::new() };
        for ((partition, range), owner) in readable.iter().zip(owners) {
            let remaining = Remaining { end: range.end, records: options.records_per_partition_max };
            group.remaining.insert(partition.clone(), remaining);
            group.owners.insert(partition.clone(), owner);
        }
        group.consumer.assign(readable.into_iter().map(|(partition, range)| (partition, range.start)));
        Ok(group)
    }

    /// Looks at records until every partition is done or the time is over.
    async fn sample(mut self, deadline: Instant) -> Result<Vec<(Arc<TopicInfo>, SampledTopic, TopicSample)>> {
        let threads = self.owners.values().max().map_or(0, |last| last + 1);
        let mut inboxes = Vec::with_capacity(threads);
        let mut samplers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (inbox, items) = mpsc::channel(INBOX_ITEMS_MAX);
            let sampler = Sampler::new(self.options.columns_max, self.options.records_per_partition_max);
            inboxes.push(inbox);
            samplers.push(tokio::task::spawn_blocking(move || sampler.run(items)));
        }
        let read = tokio::time::timeout_at(deadline.into(), self.read(&inboxes)).await;
        drop(inboxes);
        let mut by_topic: BTreeMap<Arc<str>, SampledTopic> = BTreeMap::new();
        for sampler in samplers {
            let sampled = sampler.await.map_err(|error| Error::Internal { reason: error.to_string() })??;
            for (topic, sampled) in sampled {
                match by_topic.entry(topic) {
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(sampled);
                    }
                    std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(sampled)?,
                }
            }
        }
        // Time over is a normal end: what was sampled so far counts.
        read.unwrap_or(Ok(()))?;
        Ok(self.summarise(by_topic))
    }

    async fn read(&mut self, inboxes: &[mpsc::Sender<Fetched>]) -> Result<()> {
        let mut unfinished = self.remaining.len();
        while unfinished > 0 {
            let fetched = self.consumer.next().await.map_err(|error| Error::kafka("sampling records", error))?;
            let unknown = || Error::Internal { reason: format!("batches of {} were never asked for", fetched.tp) };
            let owner = *self.owners.get(&fetched.tp).ok_or_else(unknown)?;
            let remaining = self.remaining.get_mut(&fetched.tp).ok_or_else(unknown)?;
            let records: u64 =
                fetched.batches.iter().map(|it| u64::from(it.header().record_count.unsigned_abs())).sum();
            remaining.records = remaining.records.saturating_sub(records);
            if fetched.next_offset >= remaining.end {
                remaining.end = i64::MIN;
            }
            if remaining.records == 0 || remaining.end == i64::MIN {
                unfinished -= 1;
                self.consumer.unassign(&fetched.tp).map_err(|error| Error::kafka("sampling records", error))?;
            }
            if inboxes[owner].send(fetched).await.is_err() {
                // The sampler failed; joining it tells why.
                return Ok(());
            }
        }
        Ok(())
    }

    fn summarise(
        &self,
        mut sampled: BTreeMap<Arc<str>, SampledTopic>,
    ) -> Vec<(Arc<TopicInfo>, SampledTopic, TopicSample)> {
        let summary = |topic: &Arc<TopicInfo>| {
            let sampled = sampled.remove(&topic.name).unwrap_or_else(|| SampledTopic::new(self.options.columns_max));
            let cut = |(partition, remaining): &(&TopicPartition, &Remaining)| {
                partition.topic == topic.name && remaining.end != i64::MIN
            };
            let sample = TopicSample {
                topic: topic.name.to_string(),
                partitions: topic.partitions.len(),
                records: sampled.records,
                bad_records: sampled.bad_records,
                partitions_cut: self.remaining.iter().filter(cut).count(),
            };
            (Arc::clone(topic), sampled, sample)
        };
        self.topics.iter().map(summary).collect()
    }
}

/// The stream of a sampled topic: the Kafka columns when anything could be read, then the payload's.
///
/// Payload keys that are named like a metadata column are left to the sync, which gives them a
/// numbered column: a catalog has one entry per key.
fn stream(topic: &TopicInfo, sampled: &SampledTopic) -> DiscoveredStream {
    let mut namer = Namer::new(RESERVED, false);
    let payload = sampled.inference.columns().filter(|(key, _)| !RESERVED.contains(key)).map(|(key, seen)| {
        DiscoveredColumn { source_key: key.to_owned(), types: seen.types, destination_name: namer.assign(key) }
    });
    let columns = match sampled.inference.records() {
        0 => Vec::new(),
        _ => kafka_columns(sampled.timestamps).into_iter().chain(payload).collect(),
    };
    DiscoveredStream { topic: topic.name.to_string(), columns }
}
