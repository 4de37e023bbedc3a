//! The producer's task: takes what is ready from the accumulator, one request per broker at a time for all its ready
//! partitions, and settles what comes back.
//!
//! Requests run as tasks of their own (sealing, sending, waiting); their results come back here, so that all decisions
//! are made in one place.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::batch::BatchBuilder;
use kanat_protocol::compression::{Codec, Compressor};
use kanat_protocol::messages::ApiKey;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::accumulator::{Content, Draft};
use crate::backoff::Backoff;
use crate::broker::{Broker, ConnectionClass};
use crate::cluster::moves_leader;
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::produce::{Ack, INLINE_BYTES_MAX, Identity, init_identity, may_repeat, produce_request, read_answers};

/// What a finished task brings back.
enum Done {
    Request { broker: i32, settled: Vec<(Draft, Result<Ack>)> },
    Identity(Result<Identity>),
    Metadata(Result<Arc<Metadata>>),
}

/// The batches of one request being put together.
struct Request {
    broker: Arc<Broker>,
    drafts: Vec<Draft>,
    bytes: usize,
}

struct Sender {
    shared: Arc<Shared>,
    tasks: JoinSet<Done>,
    under_way: HashMap<i32, usize>,
    backoffs: HashMap<usize, Backoff>,
    /// `None` while one is to be asked for.
    identity: Option<Identity>,
    asking_identity: bool,
    refreshing: bool,
    refresh_at: Instant,
}

/// Runs until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let max_age = Duration::from_millis(shared.cluster.options().metadata_max_age_ms);
    let mut sender = Sender {
        tasks: JoinSet::new(),
        under_way: HashMap::new(),
        backoffs: HashMap::new(),
        identity: (!shared.options.idempotent).then_some(Identity::NONE),
        asking_identity: false,
        refreshing: false,
        refresh_at: Instant::now() + max_age,
        shared,
    };
    loop {
        let wake_at = sender.dispatch();
        tokio::select! {
            () = sender.shared.wake.notified() => {}
            () = tokio::time::sleep_until(wake_at) => {}
            Some(done) = sender.tasks.join_next() => match done {
                Ok(done) => sender.settle(done),
                // A request task that died took its batches along; nobody may wait for them for ever.
                Err(_) => sender.shared.accumulator.lock().close(),
            },
        }
        if Instant::now() >= sender.refresh_at {
            sender.refresh_at = Instant::now() + max_age;
            sender.refresh();
        }
    }
}

impl Sender {
    /// Sends everything that may go now. Returns when to look again at the latest.
    fn dispatch(&mut self) -> Instant {
        let now = Instant::now();
        loop {
            let ready = {
                let mut accumulator = self.shared.accumulator.lock();
                accumulator.end_lingers(now);
                accumulator.end_holds(now);
                accumulator.take_ready()
            };
            if ready.is_empty() || !self.send_ready(ready, now) {
                break;
            }
        }
        let mut accumulator = self.shared.accumulator.lock();
        let ends = [accumulator.end_lingers(now), accumulator.end_holds(now)];
        ends.into_iter().flatten().fold(self.refresh_at, Instant::min)
    }

    /// One request for each broker that has a place left. Tells whether another round could send more.
    fn send_ready(&mut self, ready: Vec<(usize, crate::TopicPartition)>, now: Instant) -> bool {
        let Some(identity) = self.identity else {
            self.ask_identity();
            let mut accumulator = self.shared.accumulator.lock();
            ready.into_iter().for_each(|(index, _)| accumulator.relist(index));
            return false;
        };
        let metadata = self.shared.cluster.metadata();
        let mut requests: HashMap<i32, Request> = HashMap::new();
        let (mut left_over, mut more) = (Vec::new(), false);
        for (index, partition) in ready {
            let leader = match self.shared.cluster.leader_in(&metadata, &partition.topic, partition.partition) {
                Ok(leader) => leader,
                Err(error) => {
                    self.hold_leaderless(index, &error, now);
                    continue;
                }
            };
            let node_id = leader.broker.node_id();
            if self.under_way.get(&node_id).copied().unwrap_or(0) >= self.shared.options.in_flight_requests_max {
                left_over.push(index);
                continue;
            }
            let request = requests.entry(node_id).or_insert_with(|| Request {
                broker: leader.broker,
                drafts: Vec::new(),
                bytes: 0,
            });
            if request.bytes >= self.shared.options.request_bytes_max {
                left_over.push(index);
                more = true;
                continue;
            }
            if let Some(draft) = self.shared.accumulator.lock().take_batch(index, identity) {
                request.bytes += draft.bytes;
                request.drafts.push(draft);
            }
        }
        for (node_id, request) in requests {
            *self.under_way.entry(node_id).or_default() += 1;
            let shared = Arc::clone(&self.shared);
            self.tasks.spawn(async move {
                let settled = send(&shared, &request.broker, request.drafts).await;
                Done::Request { broker: node_id, settled }
            });
        }
        let mut accumulator = self.shared.accumulator.lock();
        left_over.into_iter().for_each(|index| accumulator.relist(index));
        more
    }

    /// A partition without a leader waits for newer metadata, until what waits in it is too old.
    fn hold_leaderless(&mut self, index: usize, error: &Error, now: Instant) {
        let until = now + self.next_wait(index);
        let maybe_written = {
            let mut accumulator = self.shared.accumulator.lock();
            accumulator.hold(index, until);
            accumulator.expire(index, now, error)
        };
        if maybe_written {
            self.forget_identity();
        }
        self.shared.space.notify_waiters();
        self.refresh();
    }

    fn next_wait(&mut self, index: usize) -> Duration {
        let options = &self.shared.cluster.options().backoff;
        self.backoffs.entry(index).or_insert_with(|| Backoff::new(options)).next_wait()
    }

    fn forget_identity(&mut self) {
        if self.shared.options.idempotent {
            self.identity = None;
        }
    }

    fn ask_identity(&mut self) {
        if !std::mem::replace(&mut self.asking_identity, true) {
            let shared = Arc::clone(&self.shared);
            self.tasks.spawn(async move { Done::Identity(init_identity(&shared.cluster).await) });
        }
    }

    fn refresh(&mut self) {
        let topics = self.shared.accumulator.lock().topics();
        if !topics.is_empty() && !std::mem::replace(&mut self.refreshing, true) {
            let shared = Arc::clone(&self.shared);
            let generation = shared.cluster.metadata().generation();
            self.tasks.spawn(async move {
                let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
                Done::Metadata(shared.cluster.topics_after(&names, generation).await)
            });
        }
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Identity(Ok(identity)) => {
                self.asking_identity = false;
                self.identity = Some(identity);
            }
            Done::Identity(Err(error)) => {
                self.asking_identity = false;
                self.shared.accumulator.lock().give_up(&error);
                self.shared.space.notify_waiters();
            }
            Done::Metadata(metadata) => {
                self.refreshing = false;
                if let Ok(metadata) = metadata {
                    let mut accumulator = self.shared.accumulator.lock();
                    for topic in metadata.topics() {
                        if accumulator.knows(&topic.name) {
                            accumulator.set_partitions(&topic.name, topic.partitions.len());
                        }
                    }
                }
            }
            Done::Request { broker, settled } => {
                if let Some(under_way) = self.under_way.get_mut(&broker) {
                    *under_way = under_way.saturating_sub(1);
                }
                settled.into_iter().for_each(|(draft, result)| self.settle_batch(draft, result));
                self.shared.space.notify_waiters();
            }
        }
    }

    fn settle_batch(&mut self, mut draft: Draft, result: Result<Ack>) {
        let error = match result {
            Ok(ack) => {
                self.backoffs.remove(&draft.queue);
                let mut accumulator = self.shared.accumulator.lock();
                return accumulator.complete(draft.queue, &draft.outcome, draft.bytes, Ok(ack));
            }
            Err(error) => error,
        };
        if moves_leader(&error) {
            self.refresh();
        }
        let until = Instant::now() + self.next_wait(draft.queue);
        if may_repeat(&error, draft.identity) && until < draft.deadline {
            tracing::debug!(%error, partition = %draft.partition, "batch goes again");
            draft.last = Some(error);
            return self.shared.accumulator.lock().repeat(draft, until);
        }
        // The sequence given to this batch may or may not be used up; a new identity starts from zero.
        self.forget_identity();
        self.backoffs.remove(&draft.queue);
        let mut accumulator = self.shared.accumulator.lock();
        let timed_out = may_repeat(&error, draft.identity);
        let error = if timed_out { accumulator.delivery_timeout(draft.queue, Some(error)) } else { error };
        accumulator.complete(draft.queue, &draft.outcome, draft.bytes, Err(error));
    }
}

/// Seals, sends and reads the answer; every batch comes back with its result.
async fn send(shared: &Arc<Shared>, broker: &Broker, drafts: Vec<Draft>) -> Vec<(Draft, Result<Ack>)> {
    let (drafts, mut settled) = match seal_all(shared, drafts).await {
        Ok(sealed) => sealed,
        // The runtime is shutting down and nobody is left to be told.
        Err(()) => return Vec::new(),
    };
    if drafts.is_empty() {
        return settled;
    }
    match exchange(shared, broker, &drafts).await {
        Ok(mut results) => {
            for (index, draft) in drafts.into_iter().enumerate() {
                let missing =
                    Error::NoLeader { topic: Arc::clone(&draft.partition.topic), partition: draft.partition.partition };
                let result = results.remove(&index).unwrap_or(Err(missing));
                settled.push((draft, result));
            }
        }
        Err(error) => settled.extend(drafts.into_iter().map(|draft| (draft, Err(error.clone())))),
    }
    settled
}

/// One request and its answers by place in `drafts`.
async fn exchange(shared: &Shared, broker: &Broker, drafts: &[Draft]) -> Result<HashMap<usize, Result<Ack>>> {
    let connection = broker.connection(ConnectionClass::Produce).await?;
    let options = shared.cluster.options();
    let timeout_ms = i32::try_from(options.request_timeout_ms).unwrap_or(i32::MAX);
    let batches = drafts.iter().filter_map(|draft| match &draft.content {
        Content::Sealed(bytes) => Some((&draft.partition, bytes.clone())),
        Content::Open(_) => None,
    });
    let request = produce_request(shared.options.acks, timeout_ms, batches);
    let response = connection.request(ApiKey::Produce, &request, options.request_timeout()).await?;
    let mut answers = read_answers(&connection, response);
    let mut results = HashMap::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let key = (draft.partition.topic.to_string(), draft.partition.partition);
        let missing = || Err(connection.malformed(ApiKey::Produce, format!("no answer for {}", draft.partition)));
        results.insert(index, answers.remove(&key).unwrap_or_else(missing));
    }
    Ok(results)
}

type SealedDrafts = (Vec<Draft>, Vec<(Draft, Result<Ack>)>);

/// Seals what is open, on a blocking thread when there is much to compress. Batches that cannot be sealed come back
/// with their error.
async fn seal_all(shared: &Arc<Shared>, drafts: Vec<Draft>) -> Result<SealedDrafts, ()> {
    let to_compress: usize =
        drafts.iter().filter(|draft| matches!(draft.content, Content::Open(_))).map(|draft| draft.bytes).sum();
    if shared.options.compression.codec() == Codec::None || to_compress <= INLINE_BYTES_MAX {
        return Ok(seal(shared, drafts));
    }
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || seal(&shared, drafts)).await.map_err(drop)
}

fn seal(shared: &Shared, drafts: Vec<Draft>) -> SealedDrafts {
    let mut compressor = shared.compressors.lock().pop().unwrap_or_default();
    let (mut sealed, mut failed) = (Vec::with_capacity(drafts.len()), Vec::new());
    for mut draft in drafts {
        match seal_one(shared, &mut draft.content, &mut compressor) {
            Ok(()) => sealed.push(draft),
            Err(source) => {
                let error = Error::EncodeRecord {
                    topic: Arc::clone(&draft.partition.topic),
                    partition: draft.partition.partition,
                    source: Arc::new(source),
                };
                failed.push((draft, Err(error)));
            }
        }
    }
    shared.compressors.lock().push(compressor);
    (sealed, failed)
}

fn seal_one(shared: &Shared, content: &mut Content, compressor: &mut Compressor) -> kanat_protocol::Result<()> {
    let sealed: Bytes = match content {
        Content::Sealed(_) => return Ok(()),
        Content::Open(builder) => BatchBuilder::seal(builder, shared.options.compression, compressor)?,
    };
    *content = Content::Sealed(sealed);
    Ok(())
}
