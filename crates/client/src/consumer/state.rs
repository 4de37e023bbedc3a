//! What a consumer knows of its partitions, and the queue between its fetchers and the application.
//!
//! No I/O and no tasks here. Every change the application makes to a partition (assign, seek, pause, unassign) gives
//! it a new version; an answer to a fetch that was made for another version is dropped. So nothing of a position left
//! behind can ever be delivered.
//!
//! A partition whose leader changed, or whose offset a broker calls out of range, is not fetched until the matter is
//! settled: it stands in [`State::take_range_checks`] or [`State::take_epoch_checks`], and the answer comes back through
//! [`State::range_checked`] or [`State::epoch_checked`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::fetched::{Fetched, Gap, GapReason};
use super::partition::{Lost, Partition, Sent, Standing};
use super::session::Want;
use crate::error::{Error, Result};
use crate::types::{Position, TopicId, TopicPartition};

/// Room in the consumer's buffer taken by one response, free again when the last of its items is gone.
pub(super) type Room = Arc<OwnedSemaphorePermit>;

/// An item in the queue.
#[derive(Debug)]
struct Queued {
    version: u64,
    item: Result<Fetched, (TopicPartition, Error)>,
    _room: Option<Room>,
}

/// What asking for the range of a log, or for the end of an epoch, led to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The position is in the log after all, or still.
    Holds,
    /// Go on elsewhere and say so.
    Jump(Position, GapReason),
    /// Asking failed in a way that a new leader may mend.
    AskAgain(Error),
    /// The partition stops.
    Fail(Error),
}

/// Jumps that a policy allowed, as [`Consumer::gaps`](crate::Consumer::gaps) reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GapCounts {
    /// How many jumps there were.
    pub jumps: u64,
    /// Offsets that were passed over without being delivered, all jumps together.
    pub offsets: u64,
}

/// All partitions and the queue.
#[derive(Debug, Default)]
pub(super) struct State {
    partitions: HashMap<TopicPartition, Partition>,
    queue: VecDeque<Queued>,
    /// Partitions on hold whose range nobody asks for yet.
    range_checks: Vec<(TopicPartition, Sent)>,
    /// Partitions on hold whose epoch nobody asks for yet.
    epoch_checks: Vec<(TopicPartition, Sent)>,
    next_version: u64,
    /// Generation of the metadata the leaders come from.
    generation: u64,
    gaps: GapCounts,
}

impl State {
    fn take_version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    /// Adds a partition or moves it to another offset.
    pub(super) fn assign(&mut self, partition: TopicPartition, position: Position) {
        let version = self.take_version();
        self.drop_queued(&partition);
        self.partitions.insert(partition, Partition::new(version, position));
    }

    /// Takes a partition away.
    pub(super) fn unassign(&mut self, partition: &TopicPartition) -> Result<Position> {
        let removed = self.partitions.remove(partition).ok_or_else(|| not_assigned(partition))?;
        self.drop_queued(partition);
        Ok(removed.position)
    }

    /// Moves a partition to another offset; also the way out of an error.
    pub(super) fn seek(&mut self, partition: &TopicPartition, position: Position) -> Result<()> {
        let version = self.take_version();
        let known = self.partitions.get_mut(partition).ok_or_else(|| not_assigned(partition))?;
        known.restart(version, position);
        self.drop_queued(partition);
        self.check_epoch(partition);
        Ok(())
    }

    /// Stops or starts fetching and delivering a partition. What was fetched ahead is dropped and fetched again later,
    /// so a paused partition takes no room in the buffer.
    pub(super) fn set_paused(&mut self, partition: &TopicPartition, paused: bool) -> Result<()> {
        let version = self.take_version();
        let known = self.partitions.get_mut(partition).ok_or_else(|| not_assigned(partition))?;
        if known.paused != paused {
            (known.paused, known.version, known.fetch) = (paused, version, known.position);
            if known.standing != Standing::Failed {
                known.standing = Standing::Ready;
            }
            self.drop_queued_data(partition);
            self.check_epoch(partition);
        }
        Ok(())
    }

    /// The next record to deliver.
    pub(super) fn position(&self, partition: &TopicPartition) -> Option<Position> {
        self.partitions.get(partition).map(|known| known.position)
    }

    /// The broker a partition is fetched from.
    pub(super) fn source(&self, partition: &TopicPartition) -> Option<i32> {
        self.partitions.get(partition).and_then(Partition::source)
    }

    /// The last high watermark a broker named, -1 before the first answer.
    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition).map(|known| known.high_watermark)
    }

    pub(super) fn assigned(&self) -> impl Iterator<Item = (&TopicPartition, Position)> {
        self.partitions.iter().map(|(name, known)| (name, known.position))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    pub(super) fn gaps(&self) -> GapCounts {
        self.gaps
    }

    fn drop_queued(&mut self, partition: &TopicPartition) {
        self.queue.retain(|queued| queued.partition() != partition);
    }

    /// Drops data but keeps an error that waits to be delivered.
    fn drop_queued_data(&mut self, partition: &TopicPartition) {
        self.queue.retain(|queued| queued.item.is_err() || queued.partition() != partition);
    }

    /// The next item for the application; its partition's position moves with it.
    pub(super) fn pop(&mut self) -> Option<Result<Fetched>> {
        while let Some(queued) = self.queue.pop_front() {
            match queued.item {
                Err((_, error)) => return Some(Err(error)),
                Ok(fetched) => {
                    let Some(known) = self.partitions.get_mut(&fetched.tp) else { continue };
                    if known.version != queued.version {
                        continue;
                    }
                    known.position = fetched.next_position();
                    if let Some(gap) = fetched.gap {
                        self.gaps.jumps += 1;
                        self.gaps.offsets += u64::try_from(gap.to - gap.from).unwrap_or(0);
                    }
                    return Some(Ok(fetched));
                }
            }
        }
        None
    }

    /// Queues what a fetch brought, unless the partition was changed since.
    pub(super) fn push(&mut self, sent: &Sent, fetched: Fetched, room: &Room) -> bool {
        let Some(known) = self.current(&fetched.tp, sent) else { return false };
        known.fetch = fetched.next_position();
        known.validated_epoch = known.validated_epoch.max(sent.leader_epoch);
        let version = known.version;
        self.queue.push_back(Queued { version, item: Ok(fetched), _room: Some(Arc::clone(room)) });
        true
    }

    /// The partition, if the answer to `sent` is still about it.
    fn current(&mut self, partition: &TopicPartition, sent: &Sent) -> Option<&mut Partition> {
        self.partitions.get_mut(partition).filter(|known| known.answers(sent, Standing::Ready))
    }

    /// A good answer came for the partition: whatever was wrong with its leader is over.
    pub(super) fn answered(&mut self, partition: &TopicPartition, sent: &Sent, high_watermark: i64) {
        if let Some(known) = self.current(partition, sent) {
            known.lost = None;
            known.high_watermark = high_watermark;
        }
    }

    /// Stops a partition; the error is delivered in its turn.
    pub(super) fn fail(&mut self, partition: &TopicPartition, sent: Option<&Sent>, error: Error) {
        let stale = sent.is_some_and(|sent| self.current(partition, sent).is_none());
        if !stale {
            self.stop(partition, error);
        }
    }

    fn stop(&mut self, partition: &TopicPartition, error: Error) {
        let known = self.partitions.get_mut(partition).filter(|known| known.standing != Standing::Failed);
        let Some(known) = known else { return };
        known.standing = Standing::Failed;
        let version = known.version;
        self.queue.push_back(Queued { version, item: Err((partition.clone(), error)), _room: None });
    }

    /// The broker says the offset is out of range. A replica that is behind says so of an offset its leader has: then
    /// the leader is asked. Otherwise nothing is fetched until [`State::range_checked`] says what to make of it.
    pub(super) fn out_of_range(&mut self, partition: &TopicPartition, sent: &Sent) -> bool {
        let Some(known) = self.current(partition, sent) else { return false };
        if known.leader != Some(sent.source) {
            known.preferred = None;
            return true;
        }
        known.standing = Standing::CheckingRange;
        self.range_checks.push((partition.clone(), sent.clone()));
        true
    }

    /// Partitions whose range is to be asked for.
    pub(super) fn take_range_checks(&mut self) -> Vec<(TopicPartition, Sent)> {
        std::mem::take(&mut self.range_checks)
    }

    /// Partitions whose leader is to be asked where an epoch ends; `Sent::source` is that leader.
    pub(super) fn take_epoch_checks(&mut self) -> Vec<(TopicPartition, Sent)> {
        std::mem::take(&mut self.epoch_checks)
    }

    pub(super) fn range_checked(&mut self, partition: &TopicPartition, sent: &Sent, verdict: Verdict) {
        if let Verdict::Holds = verdict {
            // The broker that refused it is not the one that knows.
            let error = out_of_range(partition, sent.position.offset, -1, -1);
            self.settle(partition, sent, Standing::CheckingRange, Verdict::AskAgain(error));
        } else {
            self.settle(partition, sent, Standing::CheckingRange, verdict);
        }
    }

    pub(super) fn epoch_checked(&mut self, partition: &TopicPartition, sent: &Sent, verdict: Verdict) {
        self.settle(partition, sent, Standing::CheckingEpoch, verdict);
    }

    fn settle(&mut self, partition: &TopicPartition, sent: &Sent, standing: Standing, verdict: Verdict) {
        let known = self.partitions.get_mut(partition).filter(|known| known.answers(sent, standing));
        let Some(known) = known else { return };
        known.standing = Standing::Ready;
        match verdict {
            Verdict::Holds => {
                known.validated_epoch = known.validated_epoch.max(sent.leader_epoch);
                known.lost = None;
                // The leader may have changed once more while it was asked.
                self.check_epoch(partition);
            }
            Verdict::AskAgain(error) => {
                self.lose_leader(partition, sent, error);
                // Another leader may have been found meanwhile; then it is asked.
                self.check_epoch(partition);
            }
            Verdict::Fail(error) => self.stop(partition, error),
            Verdict::Jump(to, reason) => self.jump(partition, sent, to, reason),
        }
    }

    fn jump(&mut self, partition: &TopicPartition, sent: &Sent, to: Position, reason: GapReason) {
        let Some(known) = self.partitions.get_mut(partition) else { return };
        let from = known.fetch.offset;
        known.fetch = to;
        known.validated_epoch = known.validated_epoch.max(sent.leader_epoch);
        let item = Fetched {
            tp: partition.clone(),
            batches: Vec::new(),
            first_offset: from,
            next_offset: to.offset,
            leader_epoch: to.leader_epoch,
            high_watermark: known.high_watermark,
            last_stable_offset: -1,
            log_start_offset: -1,
            gap: Some(Gap { from, to: to.offset, reason }),
        };
        let version = known.version;
        self.queue.push_back(Queued { version, item: Ok(item), _room: None });
    }

    /// Whoever served the partition does not any more. A replica gives way to the leader; instead of a leader another
    /// is to be found.
    pub(super) fn lose_leader(&mut self, partition: &TopicPartition, sent: &Sent, error: Error) {
        let Some(known) = self.current(partition, sent) else { return };
        if known.leader == Some(sent.source) {
            known.leader = None;
            Lost::again(&mut known.lost, sent.generation, error);
        } else if known.preferred == Some(sent.source) {
            known.preferred = None;
        }
    }

    /// The leader wants the partition to be read from a replica (KIP-392).
    pub(super) fn prefer(&mut self, partition: &TopicPartition, sent: &Sent, replica: i32) -> bool {
        let Some(known) = self.current(partition, sent) else { return false };
        if known.leader != Some(sent.source) {
            return false;
        }
        known.preferred = Some(replica).filter(|replica| known.leader != Some(*replica));
        known.preferred.is_some()
    }

    /// Back to the leaders: which replica is closest may have changed.
    pub(super) fn forget_preferred(&mut self) {
        self.partitions.values_mut().for_each(|known| known.preferred = None);
    }

    /// A broker that does not lead the partition named the one that does (KIP-951). Whether that was news.
    pub(super) fn lead_by_hint(&mut self, partition: &TopicPartition, sent: &Sent, leader: i32, epoch: i32) -> bool {
        let Some(known) = self.current(partition, sent).filter(|known| epoch > known.leader_epoch) else {
            return false;
        };
        (known.leader, known.leader_epoch, known.preferred) = (Some(leader), epoch, None);
        self.check_epoch(partition);
        true
    }

    /// Puts a partition on hold if its leader has to be asked where an epoch ends.
    fn check_epoch(&mut self, partition: &TopicPartition) {
        let known = self.partitions.get_mut(partition).filter(|known| known.needs_epoch_check());
        let Some((known, leader)) = known.and_then(|known| known.leader.map(|leader| (known, leader))) else { return };
        known.standing = Standing::CheckingEpoch;
        let sent = known.sent(self.generation, leader);
        self.epoch_checks.push((partition.clone(), sent));
    }

    /// Partitions that need a leader, in their order.
    pub(super) fn leaderless(&self) -> Vec<(TopicPartition, Option<Lost>)> {
        let leaderless = |known: &Partition| known.leader.is_none() && known.standing != Standing::Failed;
        let found = self.partitions.iter().filter(|(_, known)| leaderless(known));
        let mut found: Vec<_> = found.map(|(name, known)| (name.clone(), known.lost.clone())).collect();
        found.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        found
    }

    /// A leader was found. Says whether it is one: metadata of a broker that lags behind may name a leader of the past.
    /// Fails when the topic is not the one the partition was assigned in.
    pub(super) fn lead(
        &mut self,
        partition: &TopicPartition,
        (leader, epoch): (i32, i32),
        topic_id: Option<TopicId>,
        generation: u64,
    ) -> Result<bool> {
        self.generation = self.generation.max(generation);
        let Some(known) = self.partitions.get_mut(partition) else { return Ok(true) };
        if let (Some(old_id), Some(new_id)) = (known.topic_id, topic_id)
            && old_id != new_id
        {
            return Err(Error::TopicRecreated {
                topic: Arc::clone(&partition.topic),
                partition: partition.partition,
                offset: known.position.offset,
                old_id,
                new_id,
            });
        }
        // Epochs of a topic without id may begin anew with another topic of that name.
        if topic_id.is_some() && epoch >= 0 && epoch < known.leader_epoch {
            return Ok(known.leader.is_some());
        }
        known.topic_id = topic_id.or(known.topic_id);
        if known.leader != Some(leader) {
            known.preferred = None;
        }
        (known.leader, known.leader_epoch) = (Some(leader), epoch);
        self.check_epoch(partition);
        Ok(true)
    }

    /// No leader was found this time; `error` says why. Returns since when there is none.
    pub(super) fn still_leaderless(
        &mut self,
        partition: &TopicPartition,
        generation: u64,
        error: Error,
    ) -> Option<Instant> {
        let known = self.partitions.get_mut(partition)?;
        Some(Lost::again(&mut known.lost, generation, error).since)
    }

    /// What a broker is to be asked for now, in a fixed order.
    pub(super) fn wants(&self, broker: i32, bytes_max: i32) -> Vec<(Want, Sent)> {
        let mut wants: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, known)| known.is_fetched_from(broker))
            .map(|(name, known)| (known.want(name, bytes_max), known.sent(self.generation, broker)))
            .collect();
        wants.sort_unstable_by(|left, right| left.0.partition.cmp(&right.0.partition));
        wants
    }

    /// Whether a broker has anything to be asked for.
    pub(super) fn wants_anything(&self, broker: i32) -> bool {
        self.partitions.values().any(|known| known.is_fetched_from(broker))
    }

    /// Whether a broker has something to be asked for that `sent` does not ask.
    pub(super) fn wants_more(&self, broker: i32, sent: &HashMap<TopicPartition, Sent>) -> bool {
        let unasked = |(name, known): (&TopicPartition, &Partition)| {
            let asked = sent.get(name).is_some_and(|sent| sent.version == known.version);
            known.is_fetched_from(broker) && !asked
        };
        self.partitions.iter().any(unasked)
    }

    /// Whether any partition, fetched at the moment or not, is served by a broker.
    pub(super) fn is_source(&self, broker: i32) -> bool {
        self.partitions.values().any(|known| known.source() == Some(broker))
    }

    /// Brokers that serve something.
    pub(super) fn sources(&self) -> Vec<i32> {
        let mut sources: Vec<i32> = self.partitions.values().filter_map(Partition::source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

impl Queued {
    fn partition(&self) -> &TopicPartition {
        match &self.item {
            Ok(fetched) => &fetched.tp,
            Err((partition, _)) => partition,
        }
    }
}

/// The error of delivery rule 6.
pub(super) fn out_of_range(partition: &TopicPartition, offset: i64, log_start: i64, high_watermark: i64) -> Error {
    let topic = Arc::clone(&partition.topic);
    Error::OffsetOutOfRange { topic, partition: partition.partition, offset, log_start, high_watermark }
}

/// The error of a partition without a leader.
pub(super) fn no_leader(partition: &TopicPartition) -> Error {
    Error::NoLeader { topic: Arc::clone(&partition.topic), partition: partition.partition }
}

fn not_assigned(partition: &TopicPartition) -> Error {
    Error::NotAssigned { topic_partition: partition.clone() }
}
