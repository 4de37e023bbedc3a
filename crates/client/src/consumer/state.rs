//! What a consumer knows of its partitions, and the queue between its fetchers and the application.
//!
//! No I/O and no tasks here. Every change the application makes to a partition (assign, seek, pause, unassign) gives
//! it a new version; an answer to a fetch that was made for another version is dropped. So nothing of a position left
//! behind can ever be delivered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use kanat_protocol::batch::RecordBatch;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::session::Want;
use crate::error::{Error, Result};
use crate::types::{TopicId, TopicPartition};

/// One delivery: consecutive batches of one partition.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The partition.
    pub tp: TopicPartition,
    /// Batches in order, still compressed, sharing the memory of the response they came in. Control batches are
    /// removed, and under read committed the batches of aborted transactions too. May be empty: then only the position
    /// advances.
    pub batches: Vec<RecordBatch>,
    /// The position before this item. The first batch may begin before it: records below are to be dropped.
    pub first_offset: i64,
    /// The position after this item, from the batch headers (delivery rule 5).
    pub next_offset: i64,
    /// Offset after the last replicated record.
    pub high_watermark: i64,
    /// Offset below which every transaction is decided.
    pub last_stable_offset: i64,
    /// First offset in the log, -1 when the broker does not say.
    pub log_start_offset: i64,
}

impl Fetched {
    /// Bytes of all batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes().len()).sum()
    }
}

/// Room in the consumer's buffer taken by one response, free again when the last of its items is gone.
pub(super) type Room = Arc<OwnedSemaphorePermit>;

/// An item in the queue.
#[derive(Debug)]
struct Queued {
    version: u64,
    item: Result<Fetched, (TopicPartition, Error)>,
    _room: Option<Room>,
}

/// A partition that has no usable leader.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) since: Instant,
    pub(super) attempts: u32,
    pub(super) last: Error,
    /// Generation of the metadata that proved wrong.
    pub(super) generation: u64,
}

impl Lost {
    /// Counts another attempt that failed.
    fn again(lost: &mut Option<Lost>, generation: u64, error: Error) -> &Lost {
        let (since, attempts) = lost.take().map_or_else(|| (Instant::now(), 0), |lost| (lost.since, lost.attempts));
        lost.insert(Lost { since, attempts: attempts + 1, last: error, generation })
    }
}

/// One assigned partition.
#[derive(Debug)]
struct Partition {
    version: u64,
    /// Next offset to deliver.
    position: i64,
    /// Next offset to fetch; ahead of `position` by what is queued.
    fetch_offset: i64,
    pub(super) topic_id: Option<TopicId>,
    leader: Option<i32>,
    leader_epoch: i32,
    lost: Option<Lost>,
    paused: bool,
    /// The broker says the offset is out of range; whether it is, is being asked.
    checking: bool,
    /// Stopped by an error that was or will be delivered; a seek starts it again.
    failed: bool,
    high_watermark: i64,
}

/// A partition in a fetch request, with the version the request was made for.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) version: u64,
    pub(super) offset: i64,
    pub(super) generation: u64,
}

/// All partitions and the queue.
#[derive(Debug, Default)]
pub(super) struct State {
    partitions: HashMap<TopicPartition, Partition>,
    queue: VecDeque<Queued>,
    /// Partitions on hold whose range nobody asks for yet.
    checks: Vec<(TopicPartition, Sent)>,
    next_version: u64,
    /// Generation of the metadata the leaders come from.
    generation: u64,
}

impl State {
    fn take_version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    /// Adds a partition or moves it to another offset.
    pub(super) fn assign(&mut self, partition: TopicPartition, offset: i64) {
        let version = self.take_version();
        self.drop_queued(&partition);
        self.partitions.insert(
            partition,
            Partition {
                version,
                position: offset,
                fetch_offset: offset,
                topic_id: None,
                leader: None,
                leader_epoch: -1,
                lost: None,
                paused: false,
                checking: false,
                failed: false,
                high_watermark: -1,
            },
        );
    }

    /// Takes a partition away.
    pub(super) fn unassign(&mut self, partition: &TopicPartition) -> Result<i64> {
        let removed = self.partitions.remove(partition).ok_or_else(|| not_assigned(partition))?;
        self.drop_queued(partition);
        Ok(removed.position)
    }

    /// Moves a partition to another offset; also the way out of an error.
    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        let version = self.take_version();
        let known = self.partitions.get_mut(partition).ok_or_else(|| not_assigned(partition))?;
        if known.failed {
            // Whatever stopped it is judged anew, a changed topic id included.
            (known.topic_id, known.leader, known.lost) = (None, None, None);
        }
        (known.version, known.position, known.fetch_offset) = (version, offset, offset);
        (known.failed, known.checking) = (false, false);
        self.drop_queued(partition);
        Ok(())
    }

    /// Stops or starts fetching and delivering a partition. What was fetched ahead is dropped and fetched again later,
    /// so a paused partition takes no room in the buffer.
    pub(super) fn set_paused(&mut self, partition: &TopicPartition, paused: bool) -> Result<()> {
        let version = self.take_version();
        let known = self.partitions.get_mut(partition).ok_or_else(|| not_assigned(partition))?;
        if known.paused != paused {
            known.paused = paused;
            known.version = version;
            known.fetch_offset = known.position;
            known.checking = false;
            self.drop_queued_data(partition);
        }
        Ok(())
    }

    /// Next offset to deliver.
    pub(super) fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition).map(|known| known.position)
    }

    /// The last high watermark a broker named, -1 before the first answer.
    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition).map(|known| known.high_watermark)
    }

    pub(super) fn assigned(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.partitions.iter().map(|(name, known)| (name, known.position))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
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
                    known.position = fetched.next_offset;
                    return Some(Ok(fetched));
                }
            }
        }
        None
    }

    /// Queues what a fetch brought, unless the partition was changed since.
    pub(super) fn push(&mut self, sent: &Sent, fetched: Fetched, room: &Room) -> bool {
        let Some(known) = self.current(&fetched.tp, sent) else { return false };
        known.fetch_offset = fetched.next_offset;
        let version = known.version;
        self.queue.push_back(Queued { version, item: Ok(fetched), _room: Some(Arc::clone(room)) });
        true
    }

    /// The partition, if the answer to `sent` is still about it.
    fn current(&mut self, partition: &TopicPartition, sent: &Sent) -> Option<&mut Partition> {
        self.partitions
            .get_mut(partition)
            .filter(|known| known.version == sent.version && known.fetch_offset == sent.offset && !known.failed)
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
        let Some(known) = self.partitions.get_mut(partition).filter(|known| !stale && !known.failed) else { return };
        known.failed = true;
        let version = known.version;
        self.queue.push_back(Queued { version, item: Err((partition.clone(), error)), _room: None });
    }

    /// The broker says the offset is out of range: nothing is fetched until [`State::checked`] says what to make of it.
    pub(super) fn hold(&mut self, partition: &TopicPartition, sent: &Sent) -> bool {
        let Some(known) = self.current(partition, sent) else { return false };
        known.checking = true;
        self.checks.push((partition.clone(), sent.clone()));
        true
    }

    /// Offsets whose range is to be asked for.
    pub(super) fn take_checks(&mut self) -> Vec<(TopicPartition, Sent)> {
        std::mem::take(&mut self.checks)
    }

    /// The range is known: `error` when the offset is outside, else the partition goes on after a leader look-up.
    pub(super) fn checked(&mut self, partition: &TopicPartition, sent: &Sent, outcome: Result<(), Error>) {
        let Some(known) = self.current(partition, sent) else { return };
        known.checking = false;
        match outcome {
            Ok(()) => self.lose_leader(partition, sent, out_of_range(partition, sent.offset, -1, -1)),
            Err(error) => self.fail(partition, Some(sent), error),
        }
    }

    /// The partition's leader did not serve it: another is to be found.
    pub(super) fn lose_leader(&mut self, partition: &TopicPartition, sent: &Sent, error: Error) {
        let Some(known) = self.current(partition, sent) else { return };
        known.leader = None;
        Lost::again(&mut known.lost, sent.generation, error);
    }

    /// Partitions that need a leader.
    pub(super) fn leaderless(&self) -> Vec<(TopicPartition, Option<Lost>)> {
        self.partitions
            .iter()
            .filter(|(_, known)| known.leader.is_none() && !known.failed)
            .map(|(name, known)| (name.clone(), known.lost.clone()))
            .collect()
    }

    /// A leader was found. Returns the error when the topic is not the one the partition was assigned in.
    pub(super) fn lead(
        &mut self,
        partition: &TopicPartition,
        (leader, epoch): (i32, i32),
        topic_id: Option<TopicId>,
        generation: u64,
    ) -> Result<()> {
        self.generation = self.generation.max(generation);
        let Some(known) = self.partitions.get_mut(partition) else { return Ok(()) };
        if let (Some(old_id), Some(new_id)) = (known.topic_id, topic_id)
            && old_id != new_id
        {
            return Err(Error::TopicRecreated {
                topic: Arc::clone(&partition.topic),
                partition: partition.partition,
                offset: known.position,
                old_id,
                new_id,
            });
        }
        known.topic_id = topic_id.or(known.topic_id);
        (known.leader, known.leader_epoch) = (Some(leader), epoch);
        Ok(())
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
            .filter(|(_, known)| known.leader == Some(broker) && known.is_fetched())
            .map(|(name, known)| {
                let want = Want {
                    partition: name.clone(),
                    topic_id: known.topic_id,
                    offset: known.fetch_offset,
                    leader_epoch: known.leader_epoch,
                    bytes_max,
                };
                (want, Sent { version: known.version, offset: known.fetch_offset, generation: self.generation })
            })
            .collect();
        wants.sort_unstable_by(|left, right| left.0.partition.cmp(&right.0.partition));
        wants
    }

    /// Whether a broker has anything to be asked for.
    pub(super) fn wants_anything(&self, broker: i32) -> bool {
        self.partitions.values().any(|known| known.leader == Some(broker) && known.is_fetched())
    }

    /// Whether a broker has something to be asked for that `sent` does not ask.
    pub(super) fn wants_more(&self, broker: i32, sent: &HashMap<TopicPartition, Sent>) -> bool {
        let unasked = |(name, known): (&TopicPartition, &Partition)| {
            let asked = sent.get(name).is_some_and(|sent| sent.version == known.version);
            known.leader == Some(broker) && known.is_fetched() && !asked
        };
        self.partitions.iter().any(unasked)
    }

    /// Brokers that lead something.
    pub(super) fn leaders(&self) -> Vec<i32> {
        let mut leaders: Vec<i32> = self.partitions.values().filter_map(|known| known.leader).collect();
        leaders.sort_unstable();
        leaders.dedup();
        leaders
    }
}

impl Partition {
    fn is_fetched(&self) -> bool {
        !self.paused && !self.checking && !self.failed
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

fn not_assigned(partition: &TopicPartition) -> Error {
    Error::NotAssigned { topic_partition: partition.clone() }
}
