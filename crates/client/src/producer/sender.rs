//! The producer's task: takes what is ready from the accumulator, puts it into requests, and settles what comes back.
//!
//! Every broker has a [`Lane`]: the partitions that may send to it and the requests under way. A request carries all
//! ready partitions of its broker, one batch each. Requests of a lane leave one after the other in the order they were
//! made, so batches of one partition never overtake each other; up to `in_flight_requests_max` wait for their answer.
//! Answers come straight from the connection's reader through one channel: no task is spawned per request. Only what
//! takes long, dialling and compressing, runs elsewhere; the lane waits for it while its batches go on growing.
//!
//! The sender lies behind a lock between its task and the application's calls: without a linger a record that finds
//! nothing under way is written to the socket by the call that brought it ([`send_now`]), which saves waking a thread.
//!
//! A request of batches that are not full is worth sending at once when the broker has nothing to do. While it has,
//! another one leaves only after [`SMALL_GAP`] or twice the linger: batches that grow cost less than requests that
//! queue up. When one such batch of a broker leaves, the open batches of its other partitions go along.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::compression::{Codec, Compressor};
use kanat_protocol::messages::{ApiKey, ProduceResponse};
use kanat_protocol::produce::{ProduceFrame, encode_produce};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::accumulator::Settled;
use super::lane::{Lane, Request, leader};
use super::queue::{Content, Draft};
use super::seal::{Prepared, seal_all};
use crate::backoff::Backoff;
use crate::broker::{Broker, ConnectionClass};
use crate::cluster::moves_leader;
use crate::connection::Answered;
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::produce::{Ack, INLINE_BYTES_MAX, Identity, Refusal, init_identity, read_answers_of};

/// Least time between two requests of small batches while the broker is busy.
const SMALL_GAP: Duration = Duration::from_millis(10);

/// Newest Produce version that leaves it to the client to enrol partitions in a transaction.
const EXPLICIT_TRANSACTION_MAX: i16 = 11;

/// What a finished task brings back.
enum Done {
    Prepared { node_id: i32, prepared: Prepared },
    Identity(Result<Identity>),
    Metadata(Result<Arc<Metadata>>),
    Enrolled { queues: Vec<usize>, result: Result<()> },
}

/// The sender itself: see the head of this file.
pub(super) struct Sender {
    shared: Arc<Shared>,
    runtime: Handle,
    /// What the sender started; ends with it.
    tasks: JoinSet<()>,
    done: mpsc::UnboundedSender<Done>,
    /// By broker, in an order that is the same in every run.
    lanes: BTreeMap<i32, Lane>,
    answers: mpsc::UnboundedSender<Answered>,
    next_token: u64,
    backoffs: HashMap<usize, Backoff>,
    compressor: Compressor,
    metadata: Arc<Metadata>,
    /// Partitions the transaction does not have yet.
    unenrolled: Vec<usize>,
    enrolling: bool,
    /// `None` while one is to be asked for.
    identity: Option<Identity>,
    asking_identity: bool,
    refreshing: bool,
    refresh_at: Instant,
    expire_at: Instant,
    /// When the task looks again if nothing happens.
    task_wakes_at: Instant,
}

/// What the sender's task waits for.
pub(super) struct News {
    answers: mpsc::UnboundedReceiver<Answered>,
    done: mpsc::UnboundedReceiver<Done>,
}

/// Runs until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>, sender: Arc<Mutex<Sender>>, mut news: News) {
    let sleep = tokio::time::sleep_until(Instant::now());
    tokio::pin!(sleep);
    loop {
        let wake_at = sender.lock().dispatch_for_task();
        if sleep.deadline() != wake_at {
            sleep.as_mut().reset(wake_at);
        }
        tokio::select! {
            biased;
            Some(answer) = news.answers.recv() => {
                let mut sender = sender.lock();
                sender.settle_answer(answer);
                // Whatever else is there is settled before anything new is sent.
                while let Ok(answer) = news.answers.try_recv() {
                    sender.settle_answer(answer);
                }
            }
            () = shared.wake.notified() => {}
            Some(done) = news.done.recv() => sender.lock().settle_task(done),
            () = &mut sleep => {}
        }
    }
}

/// Sends from the caller's thread if the sender is at rest. Returns whether the task need not be woken.
pub(super) fn send_now(sender: &Mutex<Sender>) -> bool {
    let Some(mut sender) = sender.try_lock() else { return false };
    if !sender.is_at_rest() {
        return false;
    }
    let runtime = sender.runtime.clone();
    let _context = runtime.enter();
    sender.dispatch() >= sender.task_wakes_at
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("lanes", &self.lanes.len()).field("tasks", &self.tasks.len()).finish()
    }
}

impl Sender {
    /// A sender on the runtime of the caller, and what its task is to wait for.
    pub(super) fn new(shared: Arc<Shared>) -> (Sender, News) {
        let (now, metadata) = (Instant::now(), shared.cluster.metadata());
        let sequenced = shared.options.idempotent || shared.transaction.is_some();
        let (answers, answered) = mpsc::unbounded_channel();
        let (done, finished) = mpsc::unbounded_channel();
        let sender = Sender {
            runtime: Handle::current(),
            tasks: JoinSet::new(),
            done,
            lanes: BTreeMap::new(),
            answers,
            next_token: 0,
            backoffs: HashMap::new(),
            compressor: Compressor::new(),
            metadata,
            identity: (!sequenced).then_some(Identity::NONE),
            unenrolled: Vec::new(),
            enrolling: false,
            asking_identity: false,
            refreshing: false,
            refresh_at: now + Duration::from_millis(shared.cluster.options().metadata_max_age_ms),
            expire_at: now,
            task_wakes_at: now,
            shared,
        };
        (sender, News { answers: answered, done: finished })
    }

    /// Ends what the sender started.
    pub(super) fn stop(&mut self) {
        self.tasks.abort_all();
    }

    /// Nothing is under way and nothing being prepared.
    fn is_at_rest(&self) -> bool {
        self.lanes.values().all(|lane| lane.under_way.is_empty() && !lane.preparing)
    }

    fn spawn(&mut self, task: impl Future<Output = Done> + Send + 'static) {
        let done = self.done.clone();
        // The receiver is gone only when the producer is.
        self.tasks.spawn(async move { drop(done.send(task.await)) });
    }

    fn dispatch_for_task(&mut self) -> Instant {
        while let Some(ended) = self.tasks.try_join_next() {
            if ended.is_err() {
                // A task that died took its batches along; nobody may wait for them for ever.
                self.shared.accumulator.lock().close();
            }
        }
        // A time already set is kept: what comes next, soon, would want it again, and setting it wakes a thread.
        let (wake_at, set) = (self.dispatch(), self.task_wakes_at);
        self.task_wakes_at = if set > Instant::now() { wake_at.min(set) } else { wake_at };
        self.task_wakes_at
    }

    /// Sends everything that may go now. Returns when to look again at the latest.
    fn dispatch(&mut self) -> Instant {
        let now = Instant::now();
        let mut wake_at = self.keep_time(now);
        self.metadata = self.shared.cluster.metadata();
        if self.know_identity() {
            self.sort_ready(now);
            let nodes: Vec<i32> = self.lanes.keys().copied().collect();
            for node_id in nodes {
                while let Some(later) = self.send_one(node_id, now) {
                    if let Some(later) = later {
                        wake_at = wake_at.min(later);
                        break;
                    }
                }
            }
        }
        let mut accumulator = self.shared.accumulator.lock();
        let ends = [accumulator.end_lingers(now), accumulator.end_holds(now)];
        ends.into_iter().flatten().fold(wake_at, Instant::min)
    }

    /// Deadlines of requests and records, and the age of the metadata. Returns when to look again.
    fn keep_time(&mut self, now: Instant) -> Instant {
        if now >= self.refresh_at {
            self.refresh_at = now + Duration::from_millis(self.shared.cluster.options().metadata_max_age_ms);
            self.refresh();
        }
        if now >= self.expire_at {
            let timeout = self.shared.options.delivery_timeout();
            self.expire_at = now + (timeout / 20).clamp(Duration::from_millis(5), Duration::from_secs(1));
            let failed = self.shared.accumulator.lock().expire(now);
            if !failed.is_empty() {
                failed.iter().for_each(|error| self.tell_transaction(error));
                self.shared.space.notify_waiters();
            }
        }
        let mut wake_at = self.refresh_at;
        if !self.shared.accumulator.lock().is_idle() {
            wake_at = wake_at.min(self.expire_at);
        }
        for request in self.lanes.values().filter_map(|lane| lane.under_way.front()) {
            if request.deadline <= now {
                // Tells everybody who waits on the connection, the next requests included.
                let timeout = self.shared.cluster.options().request_timeout_ms;
                request.connection.close_for(&format!("Produce unanswered for {timeout} ms"));
            } else {
                wake_at = wake_at.min(request.deadline);
            }
        }
        wake_at
    }

    /// Whether the producer has its id; asks for one otherwise.
    fn know_identity(&mut self) -> bool {
        if let Some(transaction) = &self.shared.transaction {
            self.identity = transaction.identity();
            return self.identity.is_some();
        }
        if self.identity.is_none() && !self.shared.accumulator.lock().is_idle() {
            self.ask_identity();
        }
        self.identity.is_some()
    }

    /// Gives each ready partition to the lane of its leader.
    fn sort_ready(&mut self, now: Instant) {
        let mut leaderless = Vec::new();
        let mut unenrolled = Vec::new();
        {
            let mut accumulator = self.shared.accumulator.lock();
            accumulator.end_lingers(now);
            accumulator.end_holds(now);
            while let Some(index) = accumulator.take_ready() {
                let partition = &accumulator.queue(index).partition;
                if self.shared.transaction.as_ref().is_some_and(|transaction| !transaction.may_send(partition)) {
                    unenrolled.push(index);
                    continue;
                }
                match leader(&self.metadata, &mut accumulator, index) {
                    Ok(node_id) => self.lanes.entry(node_id).or_insert_with(Lane::new).ready.push_back(index),
                    Err(error) => leaderless.push((index, error)),
                }
            }
        }
        for (index, error) in leaderless {
            self.hold_leaderless(index, &error, now);
        }
        self.unenrolled.extend(unenrolled);
        self.enrol();
    }

    /// Has the partitions that wait for it enrolled in the transaction, all in one request.
    fn enrol(&mut self) {
        let Some(transaction) = self.shared.transaction.clone() else { return };
        if self.unenrolled.is_empty() || std::mem::replace(&mut self.enrolling, true) {
            return;
        }
        let queues = std::mem::take(&mut self.unenrolled);
        let accumulator = self.shared.accumulator.lock();
        let partitions: Vec<_> = queues.iter().map(|index| accumulator.queue(*index).partition.clone()).collect();
        drop(accumulator);
        self.spawn(async move {
            let result = transaction.enrol(&partitions).await;
            Done::Enrolled { queues, result }
        });
    }

    /// Starts one request of a lane if there is something worth sending. `None`: there is not; `Some(None)`: there may
    /// be more; `Some(Some(time))`: not before that time.
    fn send_one(&mut self, node_id: i32, now: Instant) -> Option<Option<Instant>> {
        let identity = self.identity?;
        let options = &self.shared.options;
        let lane = self.lanes.get_mut(&node_id)?;
        if lane.ready.is_empty() || lane.preparing || lane.under_way.len() >= options.in_flight_requests_max {
            return None;
        }
        if let Some(until) = lane.throttled_until.filter(|until| *until > now) {
            return Some(Some(until));
        }
        let mut accumulator = self.shared.accumulator.lock();
        let urgent = lane.ready.iter().any(|index| accumulator.queue(*index).is_urgent());
        let gap = SMALL_GAP.max(2 * options.linger());
        let not_before = lane.last_small.map(|departure| departure + gap);
        let not_before = not_before.filter(|time| *time > now && !lane.under_way.is_empty());
        match not_before {
            Some(time) if !urgent => return Some(Some(time)),
            None if !urgent => lane.take_along(node_id, &self.metadata, &mut accumulator),
            _ => {}
        }
        let (mut drafts, mut bytes, mut used_up) = (Vec::new(), 0, false);
        for _ in 0..lane.ready.len() {
            let Some(index) = lane.ready.pop_front() else { break };
            // It may have been led elsewhere since it was put here.
            let still_here = leader(&self.metadata, &mut accumulator, index).is_ok_and(|leader| leader == node_id);
            if bytes >= options.request_bytes_max && still_here {
                lane.ready.push_back(index);
                continue;
            }
            if !still_here || (not_before.is_some() && !accumulator.queue(index).is_urgent()) {
                // Small batches wait their time.
                let queue = accumulator.queue_mut(index);
                queue.listed = still_here;
                if still_here {
                    lane.ready.push_back(index)
                } else {
                    accumulator.list(index)
                }
                continue;
            }
            match accumulator.take_batch(index, identity) {
                Ok(Some(draft)) => {
                    bytes += draft.bytes;
                    drafts.push(draft);
                }
                Ok(None) => {}
                Err(_) => {
                    used_up = true;
                    accumulator.list(index);
                }
            }
        }
        drop(accumulator);
        if used_up {
            self.identity = None;
        }
        if drafts.is_empty() {
            return None;
        }
        if not_before.is_none() {
            lane.last_small = Some(now);
        }
        self.prepare(node_id, drafts);
        self.sort_ready(now);
        Some(None)
    }

    /// Seals and sends at once what takes no time; has the rest done elsewhere.
    fn prepare(&mut self, node_id: i32, drafts: Vec<Draft>) {
        let broker = self.shared.cluster.broker(node_id);
        let connection = broker.as_ref().and_then(|broker| broker.open_connection(ConnectionClass::Produce));
        let is_open = |draft: &&Draft| matches!(draft.content, Content::Open(_));
        let to_compress: usize = match self.shared.options.compression.codec() {
            Codec::None => 0,
            _ => drafts.iter().filter(is_open).map(|draft| draft.bytes).sum(),
        };
        if to_compress > INLINE_BYTES_MAX {
            return self.prepare_elsewhere(node_id, broker, drafts);
        }
        let mut prepared = seal_all(&self.shared, drafts, &mut self.compressor);
        if let Some(connection) = connection {
            prepared.connection = Ok(connection);
            return self.depart(node_id, prepared);
        }
        self.begin_preparing(node_id);
        self.spawn(async move {
            prepared.connect(broker).await;
            Done::Prepared { node_id, prepared }
        });
    }

    /// Has batches compressed on a blocking thread, and their broker dialled after it.
    fn prepare_elsewhere(&mut self, node_id: i32, broker: Option<Arc<Broker>>, drafts: Vec<Draft>) {
        self.begin_preparing(node_id);
        let shared = Arc::clone(&self.shared);
        let mut compressor = std::mem::take(&mut self.compressor);
        self.spawn(async move {
            let seal = move || {
                let prepared = seal_all(&shared, drafts, &mut compressor);
                shared.compressors.lock().push(compressor);
                prepared
            };
            let sealed = tokio::task::spawn_blocking(seal).await;
            // A failed join means that the runtime is shutting down; nobody is left to be told.
            let Ok(mut prepared) = sealed else { return Done::Metadata(Err(Error::Closed { what: "runtime" })) };
            prepared.connect(broker).await;
            Done::Prepared { node_id, prepared }
        });
        self.compressor = self.shared.compressors.lock().pop().unwrap_or_default();
    }

    fn begin_preparing(&mut self, node_id: i32) {
        if let Some(lane) = self.lanes.get_mut(&node_id) {
            lane.preparing = true;
        }
    }

    /// Hands a request to its connection.
    fn depart(&mut self, node_id: i32, prepared: Prepared) {
        let Prepared { connection, drafts, failed } = prepared;
        for (draft, error) in failed {
            self.settle_batch(draft, Err(error.into()));
        }
        if drafts.is_empty() {
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let answered = self.shared.options.acks.is_answered().then_some((token, &self.answers));
        let explicit = self.shared.transaction.as_ref().is_some_and(|transaction| !transaction.is_implicit());
        let submitted = connection.and_then(|connection| {
            let newest = connection.version(ApiKey::Produce)?;
            let version = if explicit { newest.min(EXPLICIT_TRANSACTION_MAX) } else { newest };
            let request = self.frame(&drafts);
            connection
                .submit(ApiKey::Produce, answered, |id, client_id| encode_produce(version, id, client_id, &request))?;
            Ok((connection, version))
        });
        match submitted {
            Ok((connection, version)) if answered.is_some() => {
                let deadline = Instant::now() + self.shared.cluster.options().request_timeout();
                let request = Request { token, connection, version, drafts, deadline };
                self.lanes.entry(node_id).or_insert_with(Lane::new).under_way.push_back(request);
            }
            Ok(_) => {
                let ack = Ack { base_offset: -1, log_append_time: -1 };
                drafts.into_iter().for_each(|draft| self.settle_batch(draft, Ok(ack)));
                self.shared.space.notify_waiters();
            }
            Err(error) => self.settle_all(drafts, &error),
        }
    }

    fn frame<'a>(&'a self, drafts: &'a [Draft]) -> ProduceFrame<'a> {
        let options = self.shared.cluster.options();
        let mut topics: Vec<(&str, Vec<_>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for draft in drafts {
            let Content::Sealed(batch) = &draft.content else { continue };
            let name = &*draft.partition.topic;
            let place = match topics.last() {
                Some((last, _)) if *last == name => topics.len() - 1,
                _ => *places.entry(name).or_insert_with(|| {
                    topics.push((name, Vec::new()));
                    topics.len() - 1
                }),
            };
            topics[place].1.push((draft.partition.partition, batch.clone()));
        }
        ProduceFrame {
            transactional_id: self.shared.transaction.as_ref().map(|transaction| transaction.id()),
            acks: self.shared.options.acks.code(),
            timeout_ms: i32::try_from(options.request_timeout_ms).unwrap_or(i32::MAX),
            topics,
        }
    }

    /// A partition without a leader waits for newer metadata.
    fn hold_leaderless(&mut self, index: usize, error: &Error, now: Instant) {
        tracing::debug!(%error, "partition waits for its leader");
        let until = now + self.next_wait(index);
        let mut accumulator = self.shared.accumulator.lock();
        accumulator.queue_mut(index).listed = false;
        accumulator.hold(index, until);
        drop(accumulator);
        self.refresh();
    }

    fn next_wait(&mut self, index: usize) -> Duration {
        let options = &self.shared.cluster.options().backoff;
        self.backoffs.entry(index).or_insert_with(|| Backoff::new(options)).next_wait()
    }

    fn ask_identity(&mut self) {
        if !std::mem::replace(&mut self.asking_identity, true) {
            let shared = Arc::clone(&self.shared);
            self.spawn(async move { Done::Identity(init_identity(&shared.cluster).await) });
        }
    }

    fn refresh(&mut self) {
        let topics = self.shared.accumulator.lock().topics();
        if !topics.is_empty() && !std::mem::replace(&mut self.refreshing, true) {
            let shared = Arc::clone(&self.shared);
            let generation = shared.cluster.metadata().generation();
            self.spawn(async move {
                let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
                Done::Metadata(shared.cluster.topics_after(&names, generation).await)
            });
        }
    }

    fn settle_task(&mut self, done: Done) {
        match done {
            Done::Prepared { node_id, prepared } => {
                if let Some(lane) = self.lanes.get_mut(&node_id) {
                    lane.preparing = false;
                }
                self.depart(node_id, prepared);
            }
            Done::Identity(Ok(identity)) => {
                self.asking_identity = false;
                self.identity = Some(identity);
            }
            Done::Identity(Err(error)) => {
                self.asking_identity = false;
                self.shared.accumulator.lock().give_up(&error);
                self.forget_ready();
            }
            Done::Enrolled { queues, result } => {
                self.enrolling = false;
                match result {
                    Ok(()) => {
                        let mut accumulator = self.shared.accumulator.lock();
                        for index in queues {
                            accumulator.queue_mut(index).listed = false;
                            accumulator.list(index);
                        }
                    }
                    Err(error) => self.tell_transaction(&error),
                }
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
        }
    }

    /// The answer of one request, or why there is none.
    fn settle_answer(&mut self, answered: Answered) {
        let found = self.lanes.values_mut().find_map(|lane| {
            let place = lane.under_way.iter().position(|request| request.token == answered.token)?;
            Some((lane.under_way.remove(place)?, lane))
        });
        let Some((request, lane)) = found else { return };
        let Request { connection, version, drafts, .. } = request;
        match connection.decode_answer::<ProduceResponse>(ApiKey::Produce, version, answered.answer) {
            Ok(response) => {
                let throttle = u64::try_from(response.throttle_time_ms).unwrap_or(0);
                if throttle > 0 {
                    lane.throttled_until = Some(Instant::now() + Duration::from_millis(throttle));
                }
                let hints = crate::produce::leader_hints(&response);
                if !hints.is_empty() {
                    self.shared.cluster.learn_leaders(&hints);
                    self.metadata = self.shared.cluster.metadata();
                }
                let partitions: Vec<_> = drafts.iter().map(|draft| &draft.partition).collect();
                let answers = read_answers_of(&connection, response, &partitions);
                for (draft, answer) in drafts.into_iter().zip(answers) {
                    self.settle_batch(draft, answer);
                }
                self.shared.space.notify_waiters();
            }
            Err(error) => self.settle_all(drafts, &error),
        }
    }

    fn settle_all(&mut self, drafts: Vec<Draft>, error: &Error) {
        for draft in drafts {
            self.settle_batch(draft, Err(error.clone().into()));
        }
        self.shared.space.notify_waiters();
    }

    fn settle_batch(&mut self, draft: Draft, answer: Result<Ack, Refusal>) {
        let index = draft.queue;
        let wait = match &answer {
            Ok(_) => Duration::ZERO,
            Err(refusal) => {
                tracing::debug!(error = %refusal.error, partition = %draft.partition, "batch failed");
                if moves_leader(&refusal.error) && !self.has_newer_leader(&draft) {
                    self.refresh();
                }
                self.next_wait(index)
            }
        };
        let settled = self.shared.accumulator.lock().settle(draft, answer, Instant::now(), wait);
        match settled {
            Settled::Acknowledged => drop(self.backoffs.remove(&index)),
            Settled::Repeats => {}
            Settled::Failed(error) => {
                self.backoffs.remove(&index);
                self.tell_transaction(&error);
            }
        }
    }

    /// Whether the metadata at hand, perhaps by a hint, already names another leader than the one asked.
    fn has_newer_leader(&self, draft: &Draft) -> bool {
        let asked = self.shared.accumulator.lock().queue(draft.queue).leader;
        let known = self.metadata.leader(&draft.partition.topic, draft.partition.partition);
        matches!((asked, known), (Some((_, asked)), Ok((known, _))) if asked != known)
    }

    /// A transaction that lost a record cannot be committed: the rest of it need not be sent.
    fn tell_transaction(&mut self, error: &Error) {
        if let Some(transaction) = &self.shared.transaction {
            let told = transaction.record_failed(error);
            self.shared.accumulator.lock().give_up(&told);
            self.forget_ready();
        }
    }

    /// Nothing is ready any more: all of it was given up.
    fn forget_ready(&mut self) {
        self.lanes.values_mut().for_each(|lane| lane.ready.clear());
        self.unenrolled.clear();
        self.shared.space.notify_waiters();
    }
}
