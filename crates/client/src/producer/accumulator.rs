//! Records on their way out, per partition. A state machine: time comes in as an argument, what is to be sent goes out
//! as [`Draft`]s, and what became of it comes back to [`Accumulator::settle`]. [`Queue`] tells how order is kept.
//!
//! An open batch whose linger is over stays open until it is taken: while the broker is busy, batches grow instead of
//! queueing up small.
//!
//! What a record costs: one look at the topic used last, one pass of encoding into the open batch, one reference to the
//! batch's outcome. The monotonic clock is read per batch. A batch's memory starts at the size of the partition's last
//! batch and goes back to a pool when the batch is acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, HEADER_BYTES};
use tokio::time::Instant;

use super::ProduceRecord;
use super::options::ProducerOptions;
use super::outcome::{DeliveryFuture, Outcome, WHOLE};
use super::partitioner::{Keyless, Partitioning, key_partition, other_partition};
use super::pool::Pool;
use super::queue::{Content, Draft, Filling, IdUsedUp, Queue};
use super::split;
use crate::error::{Error, Result};
use crate::produce::{Ack, Acks, Identity, Refusal, is_maybe_appended, may_repeat};
use crate::transaction::Enlistment;
use crate::types::TopicPartition;

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// Index into `queues` by partition.
    queues: Vec<usize>,
    /// Where the next record without a key goes.
    keyless: Keyless,
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

/// What became of a batch that was sent.
#[derive(Debug)]
pub(super) enum Settled {
    Acknowledged,
    /// It, or parts of it, go again.
    Repeats,
    /// Given up, or decided by the broker.
    Failed(Error),
}

/// All partitions of a producer.
#[derive(Debug)]
pub(super) struct Accumulator {
    options: ProducerOptions,
    /// The transactions the records belong to.
    transaction: Option<Arc<Enlistment>>,
    topics: HashMap<Arc<str>, usize>,
    known_topics: Vec<Topic>,
    /// Index into `known_topics`; most records follow one of the same topic.
    last_topic: usize,
    queues: Vec<Queue>,
    ready: VecDeque<usize>,
    /// Open batches by the time their linger ends.
    lingering: VecDeque<(Instant, usize)>,
    held: Vec<usize>,
    buffered_bytes: usize,
    /// Batches under way.
    under_way: usize,
    pool: Pool,
    closed: bool,
}

impl Accumulator {
    pub(super) fn new(options: ProducerOptions, transaction: Option<Arc<Enlistment>>) -> Accumulator {
        Accumulator {
            pool: Pool::default(),
            options,
            transaction,
            topics: HashMap::new(),
            known_topics: Vec::new(),
            last_topic: 0,
            queues: Vec::new(),
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            held: Vec::new(),
            buffered_bytes: 0,
            under_way: 0,
            closed: false,
        }
    }

    /// Bytes of records not yet acknowledged.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.known_topics.iter().map(|topic| Arc::clone(&topic.name)).collect()
    }

    pub(super) fn knows(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    pub(super) fn queue(&self, index: usize) -> &Queue {
        &self.queues[index]
    }

    pub(super) fn queue_mut(&mut self, index: usize) -> &mut Queue {
        &mut self.queues[index]
    }

    /// Learns a topic's partitions; their number only grows.
    pub(super) fn set_partitions(&mut self, name: &str, partitions: usize) {
        let place = match self.topics.get(name) {
            Some(place) => *place,
            None => {
                let name: Arc<str> = name.into();
                let keyless = Keyless::new(&self.options.partitioning, partitions);
                self.known_topics.push(Topic { name: Arc::clone(&name), queues: Vec::new(), keyless });
                self.topics.insert(name, self.known_topics.len() - 1);
                self.known_topics.len() - 1
            }
        };
        let topic = &mut self.known_topics[place];
        for partition in topic.queues.len()..partitions {
            topic.queues.push(self.queues.len());
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            self.queues.push(Queue::new(TopicPartition { topic: Arc::clone(&topic.name), partition }));
        }
    }

    /// Encodes a record into its partition's open batch. The flag says that the sender has something to do or a new
    /// time to wake.
    #[inline]
    pub(super) fn append(
        &mut self,
        record: &ProduceRecord<'_>,
        timestamp: i64,
        now: impl Fn() -> Instant,
    ) -> Result<(DeliveryFuture, bool), Refused> {
        if self.closed {
            return Err(Refused::Error(Error::Closed { what: "producer" }));
        }
        let index = self.choose(record)?;
        let bytes = self.record_bytes(index, record, timestamp)?;
        if self.buffered_bytes + bytes > self.options.buffer_bytes_max {
            return Err(Refused::Full);
        }
        let mut wake = false;
        let has_room = self.queues[index].open.as_ref().is_some_and(|filling| self.has_room(filling, bytes));
        let index = if has_room { index } else { self.open_for(index, bytes, record, &now, &mut wake)? };
        let queue = &mut self.queues[index];
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
        let future = DeliveryFuture::new(Arc::clone(&filling.outcome), delta, timestamp);
        if after >= self.options.batch_bytes_max {
            self.close_open(index);
            wake = true;
        }
        Ok((future, wake))
    }

    fn has_room(&self, filling: &Filling, bytes: usize) -> bool {
        filling.builder.is_empty() || filling.builder.len_bytes() + bytes <= self.options.batch_bytes_max
    }

    /// The queue a record goes to.
    #[inline]
    fn choose(&mut self, record: &ProduceRecord<'_>) -> Result<usize, Refused> {
        if self.known_topics.get(self.last_topic).is_none_or(|topic| &*topic.name != record.topic) {
            self.last_topic = *self.topics.get(record.topic).ok_or(Refused::UnknownTopic)?;
        }
        let topic = &mut self.known_topics[self.last_topic];
        let count = topic.queues.len();
        if count == 0 {
            return Err(Refused::UnknownTopic);
        }
        let partition = match (record.partition, record.key, &self.options.partitioning) {
            (Some(partition), ..) => usize::try_from(partition).unwrap_or(usize::MAX),
            (None, _, Partitioning::Custom(own)) => own.partition(record, count),
            (None, Some(key), Partitioning::Default) => key_partition(key, count),
            (None, ..) => topic.keyless.next(count),
        };
        topic.queues.get(partition).copied().ok_or_else(|| {
            let partition = record.partition.or_else(|| i32::try_from(partition).ok()).unwrap_or(i32::MAX);
            Refused::Error(Error::UnknownPartition { topic: record.topic.into(), partition, partition_count: count })
        })
    }

    /// Encoded size of a record at its place, at most `record_bytes_max`.
    #[inline]
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

    /// Makes sure there is an open batch with room for `bytes`. A record without a key may move to another partition
    /// when its batch is full.
    fn open_for(
        &mut self,
        index: usize,
        bytes: usize,
        record: &ProduceRecord<'_>,
        now: &impl Fn() -> Instant,
        wake: &mut bool,
    ) -> Result<usize, Refused> {
        let mut index = index;
        if self.queues[index].open.is_some() {
            self.close_open(index);
            *wake = true;
            if record.partition.is_none() && record.key.is_none() {
                index = self.move_sticky(self.last_topic, index).unwrap_or(index);
                if self.queues[index].open.as_ref().is_some_and(|filling| !self.has_room(filling, bytes)) {
                    self.close_open(index);
                }
            }
        }
        if self.queues[index].open.is_none() {
            let bytes_max = self.options.batch_bytes_max.max(bytes + HEADER_BYTES + SIZE_SLACK);
            let options =
                BatchOptions { bytes_max, transactional: self.transaction.is_some(), ..BatchOptions::default() };
            let queue = &mut self.queues[index];
            let room = (queue.usual_bytes + HEADER_BYTES + SIZE_SLACK).clamp(OPEN_BYTES_MIN, bytes_max);
            let builder = BatchBuilder::with_buffer(options, self.pool.take(room));
            let (outcome, opened_at) = (Outcome::new(queue.partition.clone()), now());
            queue.open = Some(Filling { builder, outcome, opened_at });
            queue.due = false;
            *wake |= self.lingering.is_empty();
            self.lingering.push_back((opened_at + self.options.linger(), index));
        }
        Ok(index)
    }

    /// Records without a key go elsewhere once the batch they were filling has left.
    fn move_sticky(&mut self, topic: usize, left: usize) -> Option<usize> {
        let topic = self.known_topics.get_mut(topic)?;
        let Keyless::Sticky(sticky) = &mut topic.keyless else { return None };
        if topic.queues.get(*sticky) == Some(&left) {
            *sticky = other_partition(*sticky, topic.queues.len());
        }
        topic.queues.get(*sticky).copied()
    }

    /// The open batch takes no more records and may leave.
    fn close_open(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        queue.full.extend(queue.open.take());
        queue.due = false;
        self.list(index);
    }

    /// The open batch may leave but takes records until it does.
    pub(super) fn make_due(&mut self, index: usize) {
        self.queues[index].due = self.queues[index].open.is_some();
        self.list(index);
    }

    fn in_flight_batches_max(&self) -> usize {
        // Without sequences only one under way keeps the order; without answers there is nothing to wait for.
        match (self.options.idempotent || self.transaction.is_some(), self.options.acks) {
            (true, _) => IN_FLIGHT_BATCHES_MAX.min(self.options.in_flight_requests_max),
            (false, _) => 1,
        }
    }

    pub(super) fn may_send(&self, index: usize) -> bool {
        self.queues[index].may_send(self.in_flight_batches_max())
    }

    /// Puts a queue on the ready list if it may send.
    pub(super) fn list(&mut self, index: usize) {
        if !self.queues[index].listed && self.may_send(index) {
            self.queues[index].listed = true;
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

    /// Queues whose open batch still lingers, and some that had one.
    pub(super) fn lingering(&self) -> impl Iterator<Item = usize> {
        self.lingering.iter().map(|(_, index)| *index)
    }

    /// Lets every open batch leave and returns the outcomes of everything not yet acknowledged.
    pub(super) fn flush(&mut self) -> Vec<Arc<Outcome>> {
        (0..self.queues.len()).for_each(|index| self.make_due(index));
        self.queues.iter().flat_map(Queue::outcomes).collect()
    }

    /// Makes room when the buffer is full of open batches that linger. While anything is under way its acknowledgement
    /// makes room soon, and leaving early would only make small batches.
    pub(super) fn press(&mut self) {
        if self.under_way == 0 {
            (0..self.queues.len()).for_each(|index| self.make_due(index));
        }
    }

    /// The next partition that may send, taken off the list. Give it back with [`list`](Self::list) if it did not send
    /// all it could.
    pub(super) fn take_ready(&mut self) -> Option<usize> {
        self.ready.pop_front()
    }

    /// Takes a queue's next batch. `identity` is that of the producer.
    pub(super) fn take_batch(&mut self, index: usize, identity: Identity) -> Result<Option<Draft>, IdUsedUp> {
        self.queues[index].listed = false;
        if !self.may_send(index) {
            return Ok(None);
        }
        let takes_open = self.queues[index].full.is_empty() && !self.queues[index].has_repeat();
        let timeout = self.options.delivery_timeout();
        let draft = self.queues[index].take(index, identity, self.transaction.is_some(), timeout)?;
        self.under_way += usize::from(draft.is_some());
        if takes_open && let Some(topic) = self.topics.get(&self.queues[index].partition.topic).copied() {
            self.move_sticky(topic, index);
        }
        self.list(index);
        Ok(draft)
    }

    /// Decides what is to become of a batch that was sent. One that may be repeated is, not before `wait` has passed.
    pub(super) fn settle(
        &mut self,
        mut draft: Draft,
        answer: Result<Ack, Refusal>,
        now: Instant,
        wait: Duration,
    ) -> Settled {
        self.under_way -= 1;
        let (index, identity) = (draft.queue, draft.identity);
        self.queues[index].landed(&draft);
        let refusal = match answer {
            Ok(ack) => {
                self.queues[index].prove(identity);
                self.complete(draft, Ok(ack));
                return Settled::Acknowledged;
            }
            Err(refusal) => refusal,
        };
        let until = now + wait;
        let error = refusal.error;
        let sequence_broken = matches!(error, Error::SequenceBroken { .. });
        if sequence_broken && self.transaction.is_none() && !self.queues[index].waits_for_earlier(&draft) {
            if draft.maybe_written {
                self.complete(draft, Err(error.clone()));
                return Settled::Failed(error);
            }
            self.queues[index].leave_gap(&draft);
            return self.repeat(draft, error, until);
        }
        // Behind a batch that is repeated, out of order is no fault.
        if may_repeat(&error, identity) || (sequence_broken && self.queues[index].waits_for_earlier(&draft)) {
            draft.maybe_written |= is_maybe_appended(&error);
            return self.repeat(draft, error, until);
        }
        if draft.maybe_written {
            // An attempt before this one may have been appended: neither parts of it nor "not written" would be true.
            let unknown = Error::Unacknowledged {
                topic: Arc::clone(&draft.partition.topic),
                partition: draft.partition.partition,
                reason: error.to_string().into(),
            };
            self.complete(draft, Err(unknown.clone()));
            return Settled::Failed(unknown);
        }
        if error.code() == Some(ErrorCode::MessageTooLarge) && draft.record_count() > 1 {
            let half = draft.records.start + (draft.records.end - draft.records.start) / 2;
            return self.send_parts(draft, &[half], &[], error);
        }
        if !refusal.records.is_empty() {
            return self.send_parts(draft, &[], &refusal.records, error);
        }
        self.queues[index].leave_gap(&draft);
        self.complete(draft, Err(error.clone()));
        Settled::Failed(error)
    }

    /// A batch goes again, or is given up at its deadline.
    fn repeat(&mut self, mut draft: Draft, error: Error, until: Instant) -> Settled {
        let index = draft.queue;
        if until >= draft.deadline || self.closed {
            return self.give_up_late(draft, Some(error));
        }
        draft.last = Some(error);
        self.queues[index].push_repeat(draft);
        self.hold(index, until);
        Settled::Repeats
    }

    /// The delivery timeout of a batch is over.
    fn give_up_late(&mut self, mut draft: Draft, last: Option<Error>) -> Settled {
        let index = draft.queue;
        let last = last.or(draft.last.take());
        let error = self.delivery_timeout(index, last, draft.maybe_written);
        // If it may have been written, so may those behind it, under the sequences they have.
        if !draft.maybe_written {
            self.queues[index].leave_gap(&draft);
        }
        self.complete(draft, Err(error.clone()));
        self.list(index);
        Settled::Failed(error)
    }

    /// Sends a refused batch in parts: cut at `cuts`, without the records named as the cause of the refusal.
    fn send_parts(&mut self, draft: Draft, cuts: &[i32], rejected: &[(i32, Option<String>)], error: Error) -> Settled {
        let index = draft.queue;
        self.queues[index].leave_gap(&draft);
        let bytes = match &draft.content {
            Content::Sealed(bytes) => bytes.clone(),
            Content::Open(_) => Bytes::new(),
        };
        let first = draft.records.start;
        let rejected = rejected.iter().map(|(place, reason)| (first.saturating_add(*place), reason.as_deref()));
        let rejected: Vec<_> = rejected.filter(|(place, _)| draft.records.contains(place)).collect();
        let ranges = split::ranges(&draft.records, cuts, rejected.iter().map(|(place, _)| *place));
        // No progress without a cause that is named.
        let parts = if ranges.first() == Some(&draft.records) { None } else { split::rebuild(&bytes, first, &ranges) };
        let Some(parts) = parts else {
            self.complete(draft, Err(error.clone()));
            return Settled::Failed(error);
        };
        for (place, reason) in rejected {
            let error = Error::InvalidRecord {
                topic: Arc::clone(&draft.partition.topic),
                partition: draft.partition.partition,
                reason: reason.unwrap_or("the broker gives no reason").into(),
            };
            self.tell_transaction(Some(&error));
            draft.outcome.complete(place..place + 1, Err(error));
        }
        self.buffered_bytes = self.buffered_bytes.saturating_sub(draft.bytes);
        let repeats = !parts.is_empty();
        for (records, builder) in parts {
            let bytes = builder.len_bytes().saturating_sub(HEADER_BYTES);
            self.buffered_bytes += bytes;
            self.queues[index].push_repeat(Draft {
                content: Content::Open(builder),
                records,
                outcome: Arc::clone(&draft.outcome),
                partition: draft.partition.clone(),
                bytes,
                last: Some(error.clone()),
                ..draft
            });
        }
        self.list(index);
        if repeats { Settled::Repeats } else { Settled::Failed(error) }
    }

    /// A batch is decided; its memory serves another one.
    fn complete(&mut self, draft: Draft, result: Result<Ack>) {
        self.buffered_bytes = self.buffered_bytes.saturating_sub(draft.bytes);
        self.tell_transaction(result.as_ref().err());
        draft.complete(result);
        self.list(draft.queue);
        if let Content::Sealed(bytes) = draft.content
            && let Ok(bytes) = bytes.try_into_mut()
        {
            self.recycle(Vec::from(bytes));
        }
    }

    /// The transaction knows that a record is lost before the application does.
    fn tell_transaction(&self, error: Option<&Error>) {
        if let (Some(transaction), Some(error)) = (&self.transaction, error) {
            transaction.record_failed(error);
        }
    }

    /// Memory to compress a batch of `bytes` into.
    pub(super) fn spare(&mut self, bytes: usize) -> Vec<u8> {
        self.pool.take(bytes)
    }

    /// Takes back memory of a batch. Idle and used memory together stay near the buffer's bound: a part of it is kept
    /// in any case, because a batch that is compressed needs other memory for a moment.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        let bytes_max = self.options.buffer_bytes_max;
        self.pool.give(buffer, bytes_max.saturating_sub(self.buffered_bytes).max(bytes_max / 8));
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

    /// Gives up what waited longer than the delivery timeout and is not under way. Returns the failures.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Error> {
        let timeout = self.options.delivery_timeout();
        let mut failed = Vec::new();
        for index in 0..self.queues.len() {
            for draft in self.queues[index].take_late_repeats(now) {
                if let Settled::Failed(error) = self.give_up_late(draft, None) {
                    failed.push(error);
                }
            }
            let is_late = |filling: &Filling| filling.opened_at + timeout <= now;
            if self.queues[index].open.as_ref().is_some_and(is_late) {
                self.close_open(index);
            }
            while self.queues[index].full.front().is_some_and(is_late) {
                let Some(filling) = self.queues[index].full.pop_front() else { break };
                let error = self.delivery_timeout(index, None, false);
                self.buffered_bytes = self.buffered_bytes.saturating_sub(filling.record_bytes());
                self.tell_transaction(Some(&error));
                filling.outcome.complete(WHOLE, Err(error.clone()));
                failed.push(error);
            }
        }
        failed
    }

    fn delivery_timeout(&self, index: usize, last: Option<Error>, maybe_written: bool) -> Error {
        let partition = &self.queues[index].partition;
        Error::DeliveryTimeout {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            delivery_timeout_ms: self.options.delivery_timeout_ms,
            maybe_written,
            last: last.map(Box::new),
        }
    }

    /// Gives up everything, what is under way included, and takes nothing more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.give_up(&Error::Closed { what: "producer" });
        for queue in &mut self.queues {
            queue.abandon_under_way(|partition| Error::Unacknowledged {
                topic: Arc::clone(&partition.topic),
                partition: partition.partition,
                reason: "the producer was closed".into(),
            });
        }
        self.buffered_bytes = 0;
    }

    /// Gives up everything buffered; what is under way decides itself.
    pub(super) fn give_up(&mut self, error: &Error) {
        let mut kept = 0;
        for queue in &mut self.queues {
            let (repeat, filling) = queue.drain();
            for draft in repeat {
                let lost = |reason: &Error| Error::Unacknowledged {
                    topic: Arc::clone(&draft.partition.topic),
                    partition: draft.partition.partition,
                    reason: reason.to_string().into(),
                };
                draft.complete(Err(if draft.maybe_written { lost(error) } else { error.clone() }));
            }
            filling.into_iter().for_each(|filling| filling.outcome.complete(WHOLE, Err(error.clone())));
            kept += queue.under_way_bytes();
        }
        self.ready.clear();
        self.lingering.clear();
        self.held.clear();
        self.buffered_bytes = kept;
    }

    /// Nothing is buffered or under way.
    pub(super) fn is_idle(&self) -> bool {
        self.buffered_bytes == 0 && self.under_way == 0
    }
}

/// Least room an open batch starts with, in bytes.
const OPEN_BYTES_MIN: usize = 1024;
/// The first record of a batch may be encoded a few bytes longer or shorter than it was measured.
const SIZE_SLACK: usize = 32;
/// Brokers remember this many batches of a partition to recognise repeated ones.
const IN_FLIGHT_BATCHES_MAX: usize = 5;

/// Encoded size of a record at the head of a batch.
fn first_record_bytes(record: &ProduceRecord<'_>, timestamp: i64) -> usize {
    BatchBuilder::with_capacity(BatchOptions::default(), 0).record_size(
        timestamp,
        record.key,
        record.value,
        record.headers,
    )
}

impl Acks {
    /// Whether the broker answers at all.
    pub(super) fn is_answered(self) -> bool {
        self != Acks::None
    }
}
