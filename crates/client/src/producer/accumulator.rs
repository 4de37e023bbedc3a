//! Records on their way out, per partition: an open batch that takes records, full ones behind it, at most one under
//! way. A state machine: time comes in as an argument, and what is to be sent goes out as [`Draft`]s.
//!
//! An open batch whose linger is over stays open until it is taken: while the broker is busy, batches grow instead of
//! queueing up small.
//!
//! Order within a partition: the batch to repeat goes before the full ones, those before the open one, and nothing goes
//! while one is under way. Sequences are given out when a batch leaves for the first time, so a batch to repeat keeps
//! its own and the broker recognises it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, HEADER_BYTES};
use tokio::time::Instant;

use super::ProduceRecord;
use super::options::ProducerOptions;
use super::outcome::{DeliveryFuture, Outcome};
use super::partitioner::{key_partition, other_partition};
use crate::error::{Error, Result};
use crate::produce::{Ack, Identity, advance_sequence};
use crate::types::TopicPartition;

/// A batch taking records, or full and waiting.
#[derive(Debug)]
struct Filling {
    builder: BatchBuilder,
    outcome: Arc<Outcome>,
    opened_at: Instant,
}

/// What is inside a batch that leaves.
#[derive(Debug)]
pub(super) enum Content {
    /// Records to be sealed.
    Open(BatchBuilder),
    /// Sealed for an earlier attempt.
    Sealed(Bytes),
}

/// A batch that leaves, or comes back to be repeated.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) queue: usize,
    pub(super) partition: TopicPartition,
    pub(super) content: Content,
    pub(super) identity: Identity,
    pub(super) outcome: Arc<Outcome>,
    /// Uncompressed size, as counted in the buffer.
    pub(super) bytes: usize,
    pub(super) deadline: Instant,
    /// Failure of the attempt before.
    pub(super) last: Option<Error>,
}

/// One partition.
#[derive(Debug)]
struct Queue {
    partition: TopicPartition,
    open: Option<Filling>,
    /// The open batch may leave: its linger is over or somebody flushes. It takes records until it does, so that
    /// batches grow while the broker is busy.
    due: bool,
    full: VecDeque<Filling>,
    repeat: Option<Draft>,
    /// Outcome and size of the batch under way.
    under_way: Option<(Arc<Outcome>, usize)>,
    /// Nothing leaves before this time: the last attempt failed.
    held_until: Option<Instant>,
    sequence: (Identity, i32),
    /// Whether it stands in the list of ready queues.
    listed: bool,
}

#[derive(Debug, Default)]
struct Topic {
    /// Index into `queues` by partition.
    queues: Vec<usize>,
    /// Partition of records without a key.
    sticky: usize,
}

/// Why a record was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// The topic's partitions are not known yet.
    UnknownTopic,
    /// The buffer is full.
    Full,
    /// It never will be.
    Error(Error),
}

/// All partitions of a producer.
#[derive(Debug)]
pub(super) struct Accumulator {
    options: ProducerOptions,
    topics: HashMap<Arc<str>, Topic>,
    queues: Vec<Queue>,
    ready: VecDeque<usize>,
    /// Open batches by the time their linger ends.
    lingering: VecDeque<(Instant, usize)>,
    held: Vec<usize>,
    buffered_bytes: usize,
    closed: bool,
}

impl Accumulator {
    pub(super) fn new(options: ProducerOptions) -> Accumulator {
        Accumulator {
            options,
            topics: HashMap::new(),
            queues: Vec::new(),
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            held: Vec::new(),
            buffered_bytes: 0,
            closed: false,
        }
    }

    /// Bytes of records not yet acknowledged.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.topics.keys().cloned().collect()
    }

    pub(super) fn knows(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Learns a topic's partitions; their number only grows.
    pub(super) fn set_partitions(&mut self, name: &str, partitions: usize) {
        let name = self.topics.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name));
        let topic = self
            .topics
            .entry(Arc::clone(&name))
            .or_insert_with(|| Topic { queues: Vec::new(), sticky: fastrand::usize(..partitions.max(1)) });
        for partition in topic.queues.len()..partitions {
            topic.queues.push(self.queues.len());
            self.queues.push(Queue {
                partition: TopicPartition {
                    topic: Arc::clone(&name),
                    partition: i32::try_from(partition).unwrap_or(i32::MAX),
                },
                open: None,
                due: false,
                full: VecDeque::new(),
                repeat: None,
                under_way: None,
                held_until: None,
                sequence: (Identity::NONE, 0),
                listed: false,
            });
        }
    }

    /// Encodes a record into its partition's open batch. The flag says that the sender has something to do or a new
    /// time to wake.
    pub(super) fn append(
        &mut self,
        record: &ProduceRecord<'_>,
        timestamp: i64,
        now: Instant,
    ) -> Result<(DeliveryFuture, bool), Refused> {
        if self.closed {
            return Err(Refused::Error(Error::Closed { what: "producer" }));
        }
        let topic = self.topics.get(record.topic).filter(|topic| !topic.queues.is_empty());
        let topic = topic.ok_or(Refused::UnknownTopic)?;
        let index = choose(topic, record)?;
        let wire_bytes = self.record_bytes(index, record, timestamp)?;
        if self.buffered_bytes + wire_bytes > self.options.buffer_bytes_max {
            return Err(Refused::Full);
        }
        let (queued, mut wake) = self.open_for(index, wire_bytes, record, now);
        let queue = &mut self.queues[queued];
        let filling = queue.open.as_mut().expect("open_for leaves an open batch with room");
        let before = filling.builder.len_bytes();
        let delta = match filling.builder.append(timestamp, record.key, record.value, record.headers) {
            Ok(delta) => delta,
            Err(source) => {
                queue.open = queue.open.take().filter(|filling| !filling.builder.is_empty());
                return Err(Refused::Error(Error::EncodeRecord {
                    topic: Arc::clone(&queue.partition.topic),
                    partition: queue.partition.partition,
                    source: Arc::new(source),
                }));
            }
        };
        let after = filling.builder.len_bytes();
        self.buffered_bytes += after - before;
        let future = DeliveryFuture::new(Arc::clone(&filling.outcome), delta);
        if after >= self.options.batch_bytes_max {
            self.close_open(queued);
            wake = true;
        }
        Ok((future, wake))
    }

    /// Encoded size of a record at its place, at most `record_bytes_max`.
    fn record_bytes(&self, queue: usize, record: &ProduceRecord<'_>, timestamp: i64) -> Result<usize, Refused> {
        let queue = &self.queues[queue];
        let bytes = match &queue.open {
            Some(filling) => filling.builder.record_size(timestamp, record.key, record.value, record.headers),
            None => first_record_bytes(record, timestamp),
        };
        if bytes > self.options.record_bytes_max {
            return Err(Refused::Error(Error::RecordTooLarge {
                topic: Arc::clone(&queue.partition.topic),
                partition: queue.partition.partition,
                record_bytes: bytes,
                record_bytes_max: self.options.record_bytes_max,
            }));
        }
        Ok(bytes)
    }

    /// Makes sure the queue has an open batch with room for `bytes`. A record without a key may move to another
    /// partition when its batch is full.
    fn open_for(&mut self, index: usize, bytes: usize, record: &ProduceRecord<'_>, now: Instant) -> (usize, bool) {
        let batch_bytes_max = self.options.batch_bytes_max;
        let mut wake = false;
        let mut index = index;
        let is_full =
            |filling: &Filling| !filling.builder.is_empty() && filling.builder.len_bytes() + bytes > batch_bytes_max;
        if self.queues[index].open.as_ref().is_some_and(is_full) {
            self.close_open(index);
            wake = true;
            if record.partition.is_none() && record.key.is_none() {
                index = self.move_sticky(record.topic).unwrap_or(index);
                if self.queues[index].open.as_ref().is_some_and(is_full) {
                    self.close_open(index);
                }
            }
        }
        if self.queues[index].open.is_none() {
            let batch_max = batch_bytes_max.max(bytes + HEADER_BYTES + SIZE_SLACK);
            let options = BatchOptions { bytes_max: batch_max, ..BatchOptions::default() };
            let outcome = Outcome::new(self.queues[index].partition.clone());
            let builder = BatchBuilder::with_capacity(options, OPEN_BYTES.min(batch_max));
            self.queues[index].open = Some(Filling { builder, outcome, opened_at: now });
            self.queues[index].due = false;
            wake |= self.lingering.is_empty();
            self.lingering.push_back((now + self.options.linger(), index));
        }
        (index, wake)
    }

    /// Records without a key go elsewhere once the batch they were filling has left.
    fn leave_sticky(&mut self, index: usize) {
        let name = Arc::clone(&self.queues[index].partition.topic);
        if self.topics.get(&name).is_some_and(|topic| topic.queues.get(topic.sticky) == Some(&index)) {
            self.move_sticky(&name);
        }
    }

    fn move_sticky(&mut self, topic: &str) -> Option<usize> {
        let topic = self.topics.get_mut(topic)?;
        topic.sticky = other_partition(topic.sticky, topic.queues.len());
        topic.queues.get(topic.sticky).copied()
    }

    /// The open batch takes no more records and may leave.
    fn close_open(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        queue.full.extend(queue.open.take());
        queue.due = false;
        self.list(index);
    }

    /// The open batch may leave but takes records until it does.
    fn make_due(&mut self, index: usize) {
        self.queues[index].due = self.queues[index].open.is_some();
        self.list(index);
    }

    /// Puts a queue on the ready list if it may send.
    fn list(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        let has_something = queue.repeat.is_some() || !queue.full.is_empty() || queue.due;
        let may_send = queue.under_way.is_none() && queue.held_until.is_none();
        if has_something && may_send && !queue.listed {
            queue.listed = true;
            self.ready.push_back(index);
        }
    }

    /// Lets open batches leave whose linger is over. Returns when the next one's is.
    pub(super) fn end_lingers(&mut self, now: Instant) -> Option<Instant> {
        while let Some((until, index)) = self.lingering.front().copied() {
            let opened = self.queues[index].open.as_ref().map(|filling| filling.opened_at + self.options.linger());
            // An entry whose batch has left is stale; the batch open now has an entry of its own.
            if opened == Some(until) {
                if until > now {
                    return Some(until);
                }
                self.make_due(index);
            }
            self.lingering.pop_front();
        }
        None
    }

    /// Lets every open batch leave and returns the outcomes of everything not yet acknowledged.
    pub(super) fn flush(&mut self) -> Vec<Arc<Outcome>> {
        let mut outcomes = Vec::new();
        for index in 0..self.queues.len() {
            self.make_due(index);
            let queue = &self.queues[index];
            outcomes.extend(queue.under_way.iter().map(|(outcome, _)| Arc::clone(outcome)));
            outcomes.extend(queue.repeat.iter().map(|draft| Arc::clone(&draft.outcome)));
            let filling = queue.full.iter().chain(&queue.open);
            outcomes.extend(filling.map(|filling| Arc::clone(&filling.outcome)));
        }
        outcomes
    }

    /// Makes room when the buffer is full of open batches that linger. While anything is under way its acknowledgement
    /// makes room soon, and leaving early would only make small batches.
    pub(super) fn press(&mut self) {
        if self.queues.iter().all(|queue| queue.under_way.is_none()) {
            (0..self.queues.len()).for_each(|index| self.make_due(index));
        }
    }

    /// Partitions that may send, taken off the list.
    pub(super) fn take_ready(&mut self) -> Vec<(usize, TopicPartition)> {
        let taken: Vec<usize> = self.ready.drain(..).collect();
        let named = taken.into_iter().map(|index| {
            let queue = &mut self.queues[index];
            queue.listed = false;
            (index, queue.partition.clone())
        });
        named.collect()
    }

    /// Puts a queue back that could not send now.
    pub(super) fn relist(&mut self, index: usize) {
        self.list(index);
    }

    /// Takes a queue's next batch. `identity` is given to a batch that leaves for the first time.
    pub(super) fn take_batch(&mut self, index: usize, identity: Identity) -> Option<Draft> {
        let delivery_timeout = self.options.delivery_timeout();
        let queue = &mut self.queues[index];
        if queue.under_way.is_some() {
            return None;
        }
        let mut left_open = false;
        let draft = match queue.repeat.take() {
            Some(draft) => draft,
            None => {
                let due = std::mem::take(&mut queue.due);
                let mut filling = match queue.full.pop_front() {
                    Some(filling) => {
                        queue.due = due;
                        filling
                    }
                    None => {
                        left_open = true;
                        queue.open.take_if(|_| due)?
                    }
                };
                if identity.is_some() {
                    let next = if queue.sequence.0 == identity { queue.sequence.1 } else { 0 };
                    let count = usize::try_from(filling.builder.record_count()).unwrap_or(0);
                    queue.sequence = (identity, advance_sequence(next, count));
                    filling.builder.set_producer(identity.id, identity.epoch, next);
                }
                let bytes = filling.builder.len_bytes();
                Draft {
                    queue: index,
                    partition: queue.partition.clone(),
                    content: Content::Open(filling.builder),
                    identity,
                    outcome: filling.outcome,
                    bytes,
                    deadline: filling.opened_at + delivery_timeout,
                    last: None,
                }
            }
        };
        queue.under_way = Some((Arc::clone(&draft.outcome), record_bytes(draft.bytes)));
        if left_open {
            self.leave_sticky(index);
        }
        Some(draft)
    }

    /// A batch is decided: acknowledged or given up.
    pub(super) fn complete(&mut self, index: usize, outcome: &Outcome, bytes: usize, result: Result<Ack>) {
        self.buffered_bytes = self.buffered_bytes.saturating_sub(record_bytes(bytes));
        self.queues[index].under_way = None;
        outcome.complete(result);
        self.list(index);
    }

    /// A batch goes again, not before `until`.
    pub(super) fn repeat(&mut self, draft: Draft, until: Instant) {
        let index = draft.queue;
        let queue = &mut self.queues[index];
        queue.under_way = None;
        if self.closed {
            return;
        }
        queue.repeat = Some(draft);
        self.hold(index, until);
    }

    /// Lets nothing of a queue leave before `until`.
    pub(super) fn hold(&mut self, index: usize, until: Instant) {
        if self.queues[index].held_until.replace(until).is_none() {
            self.held.push(index);
        }
    }

    /// Releases queues whose time has come. Returns when the next one's does.
    pub(super) fn end_holds(&mut self, now: Instant) -> Option<Instant> {
        let held = std::mem::take(&mut self.held);
        let mut next: Option<Instant> = None;
        for index in held {
            match self.queues[index].held_until {
                Some(until) if until > now => {
                    next = Some(next.map_or(until, |next| next.min(until)));
                    self.held.push(index);
                }
                _ => {
                    self.queues[index].held_until = None;
                    self.list(index);
                }
            }
        }
        next
    }

    /// Gives up what waited longer than the delivery timeout in a queue that cannot send. Tells whether a batch was
    /// among it that may have been written.
    pub(super) fn expire(&mut self, index: usize, now: Instant, reason: &Error) -> bool {
        let timeout = self.options.delivery_timeout();
        let mut maybe_written = false;
        if self.queues[index].repeat.as_ref().is_some_and(|draft| draft.deadline <= now)
            && let Some(draft) = self.queues[index].repeat.take()
        {
            maybe_written = true;
            let error = self.delivery_timeout(index, Some(draft.last.unwrap_or_else(|| reason.clone())));
            self.complete(index, &draft.outcome, draft.bytes, Err(error));
        }
        if self.queues[index].open.as_ref().is_some_and(|filling| filling.opened_at + timeout <= now) {
            self.close_open(index);
        }
        while self.queues[index].full.front().is_some_and(|filling| filling.opened_at + timeout <= now) {
            let Some(filling) = self.queues[index].full.pop_front() else { break };
            let error = self.delivery_timeout(index, Some(reason.clone()));
            self.complete(index, &filling.outcome, filling.builder.len_bytes(), Err(error));
        }
        maybe_written
    }

    pub(super) fn delivery_timeout(&self, index: usize, last: Option<Error>) -> Error {
        let partition = &self.queues[index].partition;
        Error::DeliveryTimeout {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            delivery_timeout_ms: self.options.delivery_timeout_ms,
            last: last.map(Box::new),
        }
    }

    /// Gives up everything, what is under way included, and takes nothing more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        let error = Error::Closed { what: "producer" };
        self.give_up(&error);
        for queue in &mut self.queues {
            if let Some((outcome, _)) = queue.under_way.take() {
                outcome.complete(Err(error.clone()));
            }
        }
        self.buffered_bytes = 0;
    }

    /// Gives up everything buffered; what is under way decides itself.
    pub(super) fn give_up(&mut self, error: &Error) {
        for queue in &mut self.queues {
            let repeat = queue.repeat.take().map(|draft| draft.outcome);
            let full = queue.full.drain(..).chain(queue.open.take()).map(|filling| filling.outcome);
            for outcome in repeat.into_iter().chain(full) {
                outcome.complete(Err(error.clone()));
            }
            (queue.listed, queue.due, queue.held_until) = (false, false, None);
        }
        self.ready.clear();
        self.lingering.clear();
        self.held.clear();
        self.buffered_bytes =
            self.queues.iter().filter_map(|queue| queue.under_way.as_ref()).map(|(_, bytes)| bytes).sum();
    }
}

/// What a batch of `batch_bytes` counts in the buffer: its records.
fn record_bytes(batch_bytes: usize) -> usize {
    batch_bytes.saturating_sub(HEADER_BYTES)
}

/// Room an open batch starts with, in bytes.
const OPEN_BYTES: usize = 4 * 1024;
/// The first record of a batch may be encoded a few bytes longer or shorter than it was measured.
const SIZE_SLACK: usize = 32;

/// Encoded size of a record at the head of a batch.
fn first_record_bytes(record: &ProduceRecord<'_>, timestamp: i64) -> usize {
    BatchBuilder::with_capacity(BatchOptions::default(), 0).record_size(
        timestamp,
        record.key,
        record.value,
        record.headers,
    )
}

fn choose(topic: &Topic, record: &ProduceRecord<'_>) -> Result<usize, Refused> {
    let count = topic.queues.len();
    let partition = match (record.partition, record.key) {
        (Some(partition), _) => {
            let known = usize::try_from(partition).ok().filter(|partition| *partition < count);
            known.ok_or_else(|| {
                let topic = record.topic.into();
                Refused::Error(Error::UnknownPartition { topic, partition, partition_count: count })
            })?
        }
        (None, Some(key)) => key_partition(key, count),
        (None, None) => topic.sticky,
    };
    topic.queues.get(partition).copied().ok_or(Refused::UnknownTopic)
}
