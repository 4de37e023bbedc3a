//! Fetch: what a session wants, read from the logs, after waiting for enough of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::fetch_request::{FetchTopic, ForgottenTopic};
use kanat_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kanat_protocol::messages::{BrokerId, FetchRequest, FetchResponse, TopicName};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Context, Handle, text};
use crate::cluster::unknown_partition;
use crate::error::Refusal;
use crate::fetch_sessions::{PartitionKey, Plan, SessionRequest, Told, Wanted};
use crate::log::{Bounds, Isolation, ReadOutcome, StoredBytes};
use crate::quotas::Quota;
use crate::topic::Partition;

/// First version whose consumers may be sent to a closer replica.
const FOLLOWER_VERSION_MIN: i16 = 11;
/// First version that names topics by id.
const TOPIC_ID_VERSION_MIN: i16 = 13;

impl Handle for FetchRequest {
    fn partitions(&self, context: &Context) -> Vec<(String, i32)> {
        let mut keys = context.node().sessions.lock().partitions(self.session_id);
        keys.extend(self.topics.iter().flat_map(topic_partitions).map(|(key, _)| key));
        let named = |key: PartitionKey| Some((topic_name(&key, context)?, key.partition));
        keys.into_iter().filter_map(named).collect()
    }

    async fn handle(self, context: &Context) -> FetchResponse {
        if let Err(refusal) = context.check_request() {
            return FetchResponse::default().with_error_code(refusal.code.code());
        }
        let session = SessionRequest {
            session_id: self.session_id,
            epoch: self.session_epoch,
            by_topic_id: context.version >= TOPIC_ID_VERSION_MIN,
            partitions: self.topics.iter().flat_map(topic_partitions).collect(),
            forgotten: self.forgotten_topics_data.iter().flat_map(forgotten_partitions).collect(),
        };
        let plan = match context.node().sessions.lock().begin(session) {
            Ok(plan) => plan,
            Err(code) => return FetchResponse::default().with_error_code(code.code()),
        };
        let limits = Limits {
            isolation: Isolation::from_wire(self.isolation_level),
            bytes_max: to_size(self.max_bytes).min(context.cluster.options.limits.fetch_bytes_max),
            bytes_min: to_size(self.min_bytes),
            deadline: Instant::now() + Duration::from_millis(u64::try_from(self.max_wait_ms).unwrap_or(0)),
            rack: self.rack_id.to_string(),
        };
        let reads = read_when_enough(&plan, &limits, context).await;
        let (reads, records) = load(reads).await;
        context.charge_count(Quota::ConsumerBytes, records.iter().map(Bytes::len).sum());
        respond(&plan, reads, records, limits.isolation, context)
    }
}

struct Limits {
    isolation: Isolation,
    bytes_max: usize,
    bytes_min: usize,
    deadline: Instant,
    /// Where the consumer is; empty when it does not say.
    rack: String,
}

/// One partition read, or why not.
struct Read {
    key: PartitionKey,
    topic: Option<String>,
    result: Result<Readable, Refusal>,
}

enum Readable {
    Records(ReadOutcome),
    /// The client's log ends differently: its epoch, and where that epoch ended here.
    Diverging {
        epoch: i32,
        end_offset: i64,
        bounds: Bounds,
    },
    /// Another replica is closer to the consumer.
    Closer {
        node: i32,
        bounds: Bounds,
    },
}

/// Reads the partitions until there is enough, something to report, or no time left.
async fn read_when_enough(plan: &Plan, limits: &Limits, context: &Context) -> Vec<Read> {
    let waiter = Arc::new(Notify::new());
    loop {
        let mut len_bytes = 0;
        let mut urgent = plan.partitions.is_empty();
        let mut reads = Vec::with_capacity(plan.partitions.len());
        for (key, wanted) in &plan.partitions {
            let bytes_max = limits.bytes_max.saturating_sub(len_bytes);
            let topic = topic_name(key, context);
            let result = read(key, topic.as_deref(), wanted, bytes_max, len_bytes == 0, limits, &waiter, context);
            match &result {
                Ok(Readable::Records(outcome)) => len_bytes += outcome.len_bytes,
                Ok(Readable::Diverging { .. } | Readable::Closer { .. }) | Err(_) => urgent = true,
            }
            reads.push(Read { key: key.clone(), topic, result });
        }
        if urgent || len_bytes >= limits.bytes_min || Instant::now() >= limits.deadline || *context.gone.borrow() {
            return reads;
        }
        tokio::select! {
            biased;
            // Out of time: the next round reads once more and returns.
            _ = timeout_at(limits.deadline, waiter.notified()) => {}
            () = context.client_gone() => {}
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one partition's share of the state of the loop above")]
fn read(
    key: &PartitionKey,
    topic: Option<&str>,
    wanted: &Wanted,
    bytes_max: usize,
    at_least_one: bool,
    limits: &Limits,
    waiter: &Arc<Notify>,
    context: &Context,
) -> Result<Readable, Refusal> {
    let Some(topic) = topic else {
        return Err(Refusal::new(ErrorCode::UnknownTopicId, "no topic has this id"));
    };
    context.check_partition(topic, key.partition)?;
    let found = context.cluster.topic(topic).and_then(|topic| topic.partition(key.partition));
    let partition: Arc<Partition> = found.ok_or_else(|| unknown_partition(topic, key.partition))?;
    // Registered before the read, so that no append slips in between.
    partition.register(waiter);
    let follows = context.cluster.reads_from_followers() && context.version >= FOLLOWER_VERSION_MIN;
    let leader_epoch = match follows {
        true => partition.check_replica(context.node_id, wanted.leader_epoch)?,
        false => partition.check_leader(context.node_id, wanted.leader_epoch)?,
    };
    let leadership = partition.leadership();
    let log = partition.log.lock();
    if follows && leadership.leader == context.node_id {
        let closest = context.cluster.closest_replica(&leadership, &limits.rack);
        if let Some(node) = closest {
            return Ok(Readable::Closer { node, bounds: log.bounds() });
        }
    }
    if wanted.last_fetched_epoch >= 0 {
        let (epoch, end_offset) = log.epoch_end(wanted.last_fetched_epoch, leader_epoch);
        if epoch >= 0 && (epoch < wanted.last_fetched_epoch || end_offset < wanted.offset) {
            return Ok(Readable::Diverging { epoch, end_offset, bounds: log.bounds() });
        }
    }
    let bytes_max = bytes_max.min(to_size(wanted.bytes_max));
    log.read(wanted.offset, bytes_max, at_least_one, limits.isolation).map(Readable::Records)
}

/// Turns stored slices into one slice per partition, off the runtime if they lie in files.
async fn load(mut reads: Vec<Read>) -> (Vec<Read>, Vec<Bytes>) {
    let mut stored = Vec::with_capacity(reads.len());
    for read in &mut reads {
        stored.push(match &mut read.result {
            Ok(Readable::Records(outcome)) => std::mem::take(&mut outcome.bytes),
            Ok(Readable::Diverging { .. } | Readable::Closer { .. }) | Err(_) => Vec::new(),
        });
    }
    let needs_disk = stored.iter().flatten().any(StoredBytes::needs_disk);
    let join = move || stored.into_iter().map(join).collect::<Vec<_>>();
    let loaded = match needs_disk {
        false => join(),
        true => tokio::task::spawn_blocking(join).await.unwrap_or_default(),
    };
    let mut records = Vec::with_capacity(reads.len());
    let mut loaded = loaded.into_iter();
    for read in &mut reads {
        match loaded.next() {
            Some(Ok(bytes)) => records.push(bytes),
            Some(Err(error)) => {
                read.result = Err(Refusal::storage(&error));
                records.push(Bytes::new());
            }
            None => {
                read.result = Err(Refusal::new(ErrorCode::KafkaStorageError, "the read was given up"));
                records.push(Bytes::new());
            }
        }
    }
    (reads, records)
}

fn join(mut stored: Vec<StoredBytes>) -> std::io::Result<Bytes> {
    if stored.len() <= 1 {
        return stored.pop().map_or_else(|| Ok(Bytes::new()), StoredBytes::load);
    }
    let mut joined = BytesMut::with_capacity(stored.iter().map(StoredBytes::len).sum());
    for bytes in stored {
        joined.extend_from_slice(&bytes.load()?);
    }
    Ok(joined.freeze())
}

fn respond(
    plan: &Plan,
    reads: Vec<Read>,
    records: Vec<Bytes>,
    isolation: Isolation,
    context: &Context,
) -> FetchResponse {
    let mut response = FetchResponse::default().with_session_id(plan.session_id);
    let mut sessions = context.node().sessions.lock();
    let mut moved = false;
    for (read, records) in reads.into_iter().zip(records) {
        let bounds = match &read.result {
            Ok(Readable::Records(outcome)) => Some(outcome.bounds),
            Ok(Readable::Diverging { .. } | Readable::Closer { .. }) | Err(_) => None,
        };
        let told = bounds.map(|bounds| Told {
            high_watermark: bounds.high_watermark,
            last_stable_offset: bounds.last_stable_offset,
            log_start_offset: bounds.log_start_offset,
        });
        let news = plan.session_id == 0 || sessions.tell(plan.session_id, &read.key, told, !records.is_empty());
        if plan.incremental && !news {
            continue;
        }
        moved |= matches!(&read.result, Err(refusal) if refusal.code == ErrorCode::NotLeaderOrFollower);
        let same_topic = |topic: &FetchableTopicResponse| {
            topic.topic_id == read.key.topic_id && topic.topic.as_str() == read.key.topic
        };
        if !response.responses.last().is_some_and(same_topic) {
            let topic = FetchableTopicResponse::default().with_topic_id(read.key.topic_id);
            response.responses.push(topic.with_topic(TopicName(text(read.key.topic.clone()))));
        }
        let data = partition_data(read, records, isolation, context);
        response.responses.last_mut().expect("just pushed").partitions.push(data);
    }
    if moved {
        response.node_endpoints = endpoints(context);
    }
    response
}

fn partition_data(read: Read, records: Bytes, isolation: Isolation, context: &Context) -> PartitionData {
    let index = read.key.partition;
    let data = PartitionData::default().with_partition_index(index);
    match read.result {
        Ok(Readable::Records(outcome)) => {
            let aborted = outcome.aborted.iter().map(|aborted| {
                AbortedTransaction::default()
                    .with_producer_id(aborted.producer_id.into())
                    .with_first_offset(aborted.first_offset)
            });
            let aborted = (isolation == Isolation::ReadCommitted).then(|| aborted.collect());
            with_bounds(data, outcome.bounds).with_aborted_transactions(aborted).with_records(Some(records))
        }
        Ok(Readable::Diverging { epoch, end_offset, bounds }) => {
            let diverging = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset);
            with_bounds(data, bounds).with_diverging_epoch(diverging).with_records(Some(Bytes::new()))
        }
        Ok(Readable::Closer { node, bounds }) => {
            let data = with_bounds(data, bounds).with_preferred_read_replica(BrokerId(node));
            data.with_records(Some(Bytes::new()))
        }
        Err(refusal) => {
            let data = data
                .with_error_code(refusal.code.code())
                .with_high_watermark(-1)
                .with_last_stable_offset(-1)
                .with_log_start_offset(-1)
                .with_records(Some(Bytes::new()));
            let partition = read.topic.and_then(|topic| context.cluster.topic(&topic)?.partition(index));
            match partition {
                Some(partition) if refusal.code == ErrorCode::NotLeaderOrFollower => {
                    let (leader, epoch) = partition.leader();
                    let leader = LeaderIdAndEpoch::default().with_leader_id(leader.into()).with_leader_epoch(epoch);
                    data.with_current_leader(leader)
                }
                _ => data,
            }
        }
    }
}

fn with_bounds(data: PartitionData, bounds: Bounds) -> PartitionData {
    data.with_high_watermark(bounds.high_watermark)
        .with_last_stable_offset(bounds.last_stable_offset)
        .with_log_start_offset(bounds.log_start_offset)
}

fn endpoints(context: &Context) -> Vec<NodeEndpoint> {
    let nodes = context.cluster.running_nodes();
    nodes
        .map(|node| {
            let (host, port) = node.endpoint();
            NodeEndpoint::default().with_node_id(node.id.into()).with_host(text(host)).with_port(port)
        })
        .collect()
}

fn topic_name(key: &PartitionKey, context: &Context) -> Option<String> {
    if key.topic_id.is_nil() {
        return Some(key.topic.clone());
    }
    context.cluster.topic_by_id(key.topic_id).map(|topic| topic.name.to_string())
}

fn topic_partitions(topic: &FetchTopic) -> impl Iterator<Item = (PartitionKey, Wanted)> {
    topic.partitions.iter().map(|partition| {
        let key =
            PartitionKey { topic: topic.topic.to_string(), topic_id: topic.topic_id, partition: partition.partition };
        let wanted = Wanted {
            offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        };
        (key, wanted)
    })
}

fn forgotten_partitions(topic: &ForgottenTopic) -> impl Iterator<Item = PartitionKey> {
    let partitions = topic.partitions.iter();
    partitions.map(|partition| PartitionKey {
        topic: topic.topic.to_string(),
        topic_id: topic.topic_id,
        partition: *partition,
    })
}

/// A size from the wire; negative ones mean nothing.
fn to_size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}
