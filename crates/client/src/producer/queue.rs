//! One partition of the producer: an open batch that takes records, full ones behind it, some under way, some to be
//! repeated. No clock and no socket inside.
//!
//! # Order and sequences
//!
//! A batch gets its place in the order, and its sequence, when it leaves for the first time. Several may be under way
//! (`in_flight_batches_max`); the broker takes them in sequence or not at all. When one fails and may be repeated:
//!
//! * everything behind it is refused by the broker as out of order and comes back too, which is no fault;
//! * nothing new leaves, and what is to be repeated goes one at a time, in order, once nothing is under way.
//!
//! A batch refused as out of order although nothing before it is undecided was not written: the broker lost track, or a
//! batch before it was given up. If all its attempts were answered, its sequence is now certain to stay empty, and so
//! nothing behind it can ever be written under the sequences they have. Then, once nothing is under way, the partition
//! goes on under the next epoch of the producer (KIP-360), with sequences from zero; late copies of older requests are
//! fenced by it. Other partitions keep their epoch: brokers track it for each partition apart. If an attempt was never
//! answered, a late copy of it may still be written: the batch fails with an outcome that is unknown.
//!
//! Until the first batch under an identity is acknowledged only one is under way, so that a partition which is still
//! being created never refuses the second batch because it missed the first.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, HEADER_BYTES, RecordBatch};
use tokio::time::Instant;

use super::outcome::Outcome;
use crate::error::{Error, Result};
use crate::produce::{Ack, Identity, advance_sequence};
use crate::types::TopicPartition;

/// A batch taking records, or full and waiting.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) builder: BatchBuilder,
    pub(super) outcome: Arc<Outcome>,
    pub(super) opened_at: Instant,
}

impl Filling {
    /// What it counts in the buffer: its records.
    pub(super) fn record_bytes(&self) -> usize {
        self.builder.len_bytes().saturating_sub(HEADER_BYTES)
    }
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
    /// Its records' places in the outcome.
    pub(super) records: Range<i32>,
    /// Its place among the batches of the partition; parts of one batch share it.
    pub(super) order: u64,
    pub(super) outcome: Arc<Outcome>,
    /// Uncompressed size of its records, as counted in the buffer.
    pub(super) bytes: usize,
    pub(super) deadline: Instant,
    /// Whether an attempt ended without telling what became of it.
    pub(super) maybe_written: bool,
    /// Failure of the attempt before.
    pub(super) last: Option<Error>,
}

impl Draft {
    fn place(&self) -> (u64, i32) {
        (self.order, self.records.start)
    }

    pub(super) fn record_count(&self) -> usize {
        usize::try_from(self.records.end - self.records.start).unwrap_or(0)
    }

    pub(super) fn complete(&self, result: Result<Ack>) {
        self.outcome.complete(self.records.clone(), result);
    }

    /// Puts another identity and sequence into it.
    fn stamp(&mut self, identity: Identity, sequence: i32) {
        self.identity = identity;
        match &mut self.content {
            Content::Open(builder) => builder.set_producer(identity.id, identity.epoch, sequence),
            Content::Sealed(bytes) => {
                let batch = RecordBatch::parse(bytes.clone()).expect("we sealed it");
                *bytes = batch.with_producer(identity.id, identity.epoch, sequence).into_bytes();
            }
        }
    }
}

/// A batch under way, for those who wait for it.
#[derive(Debug)]
struct UnderWay {
    place: (u64, i32),
    records: Range<i32>,
    outcome: Arc<Outcome>,
    bytes: usize,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) partition: TopicPartition,
    pub(super) open: Option<Filling>,
    /// The open batch may leave: its linger is over or somebody flushes. It takes records until it does, so that
    /// batches grow while the broker is busy.
    pub(super) due: bool,
    pub(super) full: VecDeque<Filling>,
    /// In order.
    repeat: VecDeque<Draft>,
    under_way: Vec<UnderWay>,
    /// Nothing leaves before this time: the last attempt failed.
    pub(super) held_until: Option<Instant>,
    identity: Identity,
    next_sequence: i32,
    next_order: u64,
    /// A batch under the identity was acknowledged.
    proven: bool,
    /// A place in the order whose sequence stays empty: what comes behind it begins a new epoch.
    gap: Option<(u64, i32)>,
    /// Whether it stands in a list of ready queues.
    pub(super) listed: bool,
    /// Broker that leads the partition, by the metadata generation named.
    pub(super) leader: Option<(u64, i32)>,
    /// Size of the last batch that left: room the next one starts with.
    pub(super) usual_bytes: usize,
}

impl Queue {
    pub(super) fn new(partition: TopicPartition) -> Queue {
        Queue {
            partition,
            open: None,
            due: false,
            full: VecDeque::new(),
            repeat: VecDeque::new(),
            under_way: Vec::new(),
            held_until: None,
            identity: Identity::NONE,
            next_sequence: 0,
            next_order: 0,
            proven: false,
            gap: None,
            listed: false,
            leader: None,
            usual_bytes: 0,
        }
    }

    /// Whether a batch may leave now, `in_flight_max` of them under way at most.
    pub(super) fn may_send(&self, in_flight_max: usize) -> bool {
        if self.held_until.is_some() {
            return false;
        }
        if self.gap.is_some() || !self.repeat.is_empty() {
            return self.under_way.is_empty() && (!self.repeat.is_empty() || self.has_new());
        }
        let in_flight_max = if self.proven { in_flight_max } else { 1 };
        self.under_way.len() < in_flight_max && self.has_new()
    }

    fn has_new(&self) -> bool {
        !self.full.is_empty() || self.due
    }

    /// Whether what leaves next will not grow by waiting.
    pub(super) fn is_urgent(&self) -> bool {
        !self.full.is_empty() || !self.repeat.is_empty()
    }

    pub(super) fn has_repeat(&self) -> bool {
        !self.repeat.is_empty()
    }

    /// Identity for the next batch; `known` is that of the producer. `None` if the epochs of its id are used up.
    fn settle_identity(&mut self, known: Identity, transactional: bool) -> Option<()> {
        let other = if transactional { self.identity != known } else { self.identity.id != known.id };
        // What is undecided before a gap keeps its sequences: it may have been written.
        let is_before = |gap: (u64, i32)| self.repeat.front().is_some_and(|draft| draft.place() < gap);
        let next = if other {
            known
        } else if self.gap.is_some_and(|gap| !is_before(gap)) {
            Identity { id: known.id, epoch: self.identity.epoch.checked_add(1)? }
        } else {
            return Some(());
        };
        // Under way are batches of the old identity; the new one begins behind them.
        if !self.under_way.is_empty() {
            return Some(());
        }
        (self.identity, self.next_sequence, self.proven, self.gap) = (next, 0, false, None);
        let mut repeat = std::mem::take(&mut self.repeat);
        for draft in repeat.iter_mut().filter(|_| next.is_some()) {
            let sequence = self.take_sequence(draft.record_count());
            draft.stamp(next, sequence);
            draft.maybe_written = false;
        }
        self.repeat = repeat;
        Some(())
    }

    fn take_sequence(&mut self, count: usize) -> i32 {
        let sequence = self.next_sequence;
        self.next_sequence = advance_sequence(sequence, count);
        sequence
    }

    /// Takes the next batch. Call it when [`may_send`](Self::may_send). `Err` says that the producer needs a new id.
    pub(super) fn take(
        &mut self,
        index: usize,
        known: Identity,
        transactional: bool,
        delivery_timeout: std::time::Duration,
    ) -> Result<Option<Draft>, IdUsedUp> {
        self.settle_identity(known, transactional).ok_or(IdUsedUp)?;
        let draft = match self.repeat.pop_front() {
            Some(draft) => draft,
            None => {
                let Some(filling) = self.take_new() else { return Ok(None) };
                self.draft(index, filling, delivery_timeout)
            }
        };
        self.under_way.push(UnderWay {
            place: draft.place(),
            records: draft.records.clone(),
            outcome: Arc::clone(&draft.outcome),
            bytes: draft.bytes,
        });
        Ok(Some(draft))
    }

    fn take_new(&mut self) -> Option<Filling> {
        self.full.pop_front().or_else(|| if std::mem::take(&mut self.due) { self.open.take() } else { None })
    }

    fn draft(&mut self, index: usize, mut filling: Filling, delivery_timeout: std::time::Duration) -> Draft {
        let count = filling.builder.record_count();
        filling.outcome.set_count(count);
        if self.identity.is_some() {
            let sequence = self.take_sequence(usize::try_from(count).unwrap_or(0));
            filling.builder.set_producer(self.identity.id, self.identity.epoch, sequence);
        }
        let order = self.next_order;
        self.next_order += 1;
        let bytes = filling.record_bytes();
        self.usual_bytes = bytes;
        Draft {
            queue: index,
            partition: self.partition.clone(),
            content: Content::Open(filling.builder),
            identity: self.identity,
            records: 0..count,
            order,
            outcome: filling.outcome,
            bytes,
            deadline: filling.opened_at + delivery_timeout,
            maybe_written: false,
            last: None,
        }
    }

    /// A batch is not under way any more.
    pub(super) fn landed(&mut self, draft: &Draft) {
        if let Some(at) = self.under_way.iter().position(|batch| batch.place == draft.place()) {
            self.under_way.remove(at);
        }
    }

    /// The broker appended a batch of the identity.
    pub(super) fn prove(&mut self, identity: Identity) {
        self.proven |= identity == self.identity;
    }

    /// Whether a batch before this one is undecided.
    pub(super) fn waits_for_earlier(&self, draft: &Draft) -> bool {
        let before = |place: (u64, i32)| place < draft.place();
        self.under_way.iter().any(|batch| before(batch.place)) || self.repeat.iter().any(|other| before(other.place()))
    }

    /// The sequence of a batch stays empty for certain: a new epoch begins behind it, once nothing is under way.
    pub(super) fn leave_gap(&mut self, draft: &Draft) {
        if draft.identity.is_some() && draft.identity == self.identity {
            self.gap = Some(self.gap.map_or(draft.place(), |gap| gap.min(draft.place())));
        }
    }

    /// A batch goes again, at its place.
    pub(super) fn push_repeat(&mut self, draft: Draft) {
        let at = self.repeat.partition_point(|other| other.place() < draft.place());
        self.repeat.insert(at, draft);
    }

    /// Takes what is to be repeated and is too old.
    pub(super) fn take_late_repeats(&mut self, now: Instant) -> Vec<Draft> {
        let (late, kept) = std::mem::take(&mut self.repeat).into_iter().partition(|draft| draft.deadline <= now);
        self.repeat = kept;
        Vec::from(late)
    }

    /// Takes everything that is not under way.
    pub(super) fn drain(&mut self) -> (VecDeque<Draft>, Vec<Filling>) {
        (self.listed, self.due, self.held_until) = (false, false, None);
        let repeat = std::mem::take(&mut self.repeat);
        // A sequence was given to it, which nobody will fill.
        if let Some(draft) = repeat.front().filter(|draft| !draft.maybe_written) {
            self.leave_gap(draft);
        }
        (repeat, self.full.drain(..).chain(self.open.take()).collect())
    }

    /// Decides what is under way without waiting for it.
    pub(super) fn abandon_under_way(&mut self, error: impl Fn(&TopicPartition) -> Error) {
        for batch in self.under_way.drain(..) {
            batch.outcome.complete(batch.records, Err(error(&self.partition)));
        }
    }

    pub(super) fn under_way_bytes(&self) -> usize {
        self.under_way.iter().map(|batch| batch.bytes).sum()
    }

    /// Outcomes of everything not yet decided.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Arc<Outcome>> {
        let under_way = self.under_way.iter().map(|batch| &batch.outcome);
        let repeat = self.repeat.iter().map(|draft| &draft.outcome);
        let filling = self.full.iter().chain(&self.open).map(|filling| &filling.outcome);
        under_way.chain(repeat).chain(filling).cloned()
    }
}

/// Every epoch of the producer id is used: it needs another id.
#[derive(Debug)]
pub(super) struct IdUsedUp;
