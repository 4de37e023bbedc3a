//! The consumer: many partitions, one fetch under way per broker, batches delivered in order per partition.
//!
//! ```text
//! assign ──> leaders task ──> one fetcher task per broker ──> queue ──> next()
//!                 ^  finds leaders   one fetch session each      │
//!                 └── leader lost ───────────┘      room in the buffer is given back
//! ```
//!
//! The application and the tasks share [`state::State`] under a short lock. Bytes fetched ahead are bounded by a
//! semaphore: a fetcher takes room for the largest answer it asks for before it asks, gives back what the answer did
//! not need, and the rest is free when the answer's last item was delivered.

mod checks;
mod fetched;
mod fetcher;
mod filter;
mod leaders;
mod link;
mod options;
mod partition;
mod session;
#[cfg(test)]
mod simulation;
mod single;
mod state;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kanat_telemetry::Buffer;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

pub use self::fetched::{DecodedIter, DecodedRecords, Fetched, Gap, GapReason};
pub use self::options::{ConsumerOptions, OutOfRangePolicy};
use self::partition::Sent;
use self::session::Want;
pub(crate) use self::single::SingleFetch;
pub use self::state::GapCounts;
use self::state::State;
use crate::changes::Changes;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::types::{OffsetSpec, Position, TopicPartition};

/// How long a fetch that was overtaken by a seek or an assignment may still be answered. A broker with data answers
/// within it, one without would hold the fetch for `fetch_wait_ms_max`.
const OVERTAKEN_GRACE: Duration = Duration::from_millis(5);

/// Shared by the application's handle and the tasks.
#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    options: ConsumerOptions,
    state: Mutex<State>,
    /// An item was queued.
    ready: Notify,
    /// Counts changes of what is to be fetched or led.
    changes: Changes,
    room: Arc<Semaphore>,
    /// Open fetch sessions by broker, to be closed with the consumer.
    sessions: Mutex<BTreeMap<i32, i32>>,
    /// Whether this consumer is the one that fetches over the client's own connections.
    leases_client_connections: bool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.leases_client_connections {
            self.cluster.release_fetch_connections();
        }
    }
}

impl Shared {
    /// Whether the fetchers use the client's own fetch connections.
    fn uses_client_connections(&self) -> bool {
        self.leases_client_connections || self.options.shared_connections
    }

    fn changed(&self) {
        self.changes.add();
    }

    fn wants_anything(&self, broker: i32) -> bool {
        self.state.lock().wants_anything(broker)
    }

    /// Room for the largest answer a fetch asks for.
    async fn take_room(&self) -> OwnedSemaphorePermit {
        let brokers = self.state.lock().sources().len();
        let bytes = u32::try_from(self.options.fetch_bytes(brokers)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes);
        room.await.expect("the semaphore is never closed")
    }

    /// Keeps what the answer takes and gives back the rest.
    fn shrink_room(&self, mut room: OwnedSemaphorePermit, bytes: usize) -> OwnedSemaphorePermit {
        let unused = room.num_permits().saturating_sub(bytes);
        drop(room.split(unused));
        room
    }

    /// What a broker is asked for in one round. The order rotates from round to round: when answers are cut off by
    /// their size, every partition gets its turn at the front.
    fn collect_wants(&self, broker: i32, round: usize) -> (Vec<Want>, HashMap<TopicPartition, Sent>) {
        let bytes_max = i32::try_from(self.options.partition_fetch_bytes_max).unwrap_or(i32::MAX);
        let mut wants = self.state.lock().wants(broker, bytes_max);
        let turns = round.checked_rem(wants.len()).unwrap_or(0);
        wants.rotate_left(turns);
        let sent = wants.iter().map(|(want, sent)| (want.partition.clone(), sent.clone())).collect();
        (wants.into_iter().map(|(want, _)| want).collect(), sent)
    }

    /// Ends when a partition of the broker wants something the fetch under way does not ask for, and an answer had
    /// [`OVERTAKEN_GRACE`] to come: a long poll must not hold up a seek.
    async fn overtaken(&self, broker: i32, sent: &HashMap<TopicPartition, Sent>) {
        loop {
            let seen = self.changes.seen();
            if self.state.lock().wants_more(broker, sent) {
                break;
            }
            self.changes.since(seen).await;
        }
        tokio::time::sleep(OVERTAKEN_GRACE).await;
    }

    /// A whole fetch failed.
    fn fetch_failed(&self, sent: HashMap<TopicPartition, Sent>, error: &Error) {
        {
            let mut sent: Vec<_> = sent.iter().collect();
            sent.sort_unstable_by_key(|(partition, _)| *partition);
            let mut state = self.state.lock();
            for (partition, sent) in sent {
                if error.is_retriable() || crate::cluster::moves_leader(error) {
                    state.lose_leader(partition, sent, error.clone());
                } else {
                    state.fail(partition, Some(sent), error.clone());
                }
            }
        }
        tracing::debug!(%error, "fetch failed");
        self.ready.notify_one();
        self.changed();
    }

    fn fail(&self, partition: &TopicPartition, error: Error) {
        self.state.lock().fail(partition, None, error);
        self.ready.notify_one();
    }
}

/// Reads many partitions. Made by [`Client::consumer`](crate::Client::consumer); fetching starts with
/// [`assign`](Self::assign) and ends when the consumer is dropped.
///
/// A broker answers one connection's requests in order, so a fetch that waits for data holds up what is behind it. The
/// first consumer of a client therefore fetches over the client's own connections (one per broker, at most three in
/// all), and every further one that lives at the same time opens one of its own per broker, unless
/// [`shared_connections`](ConsumerOptions::shared_connections) says otherwise.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    leaders: JoinHandle<()>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.leaders.abort();
        // Without a runtime nothing can be sent; the brokers then forget the sessions by themselves.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(link::close_sessions(Arc::clone(&self.shared)));
        }
    }
}

impl Consumer {
    pub(crate) fn new(cluster: Arc<Cluster>, options: ConsumerOptions) -> Result<Consumer> {
        options.validate()?;
        let leases_client_connections = !options.shared_connections && cluster.lease_fetch_connections();
        let shared = Arc::new(Shared {
            cluster,
            state: Mutex::new(State::default()),
            ready: Notify::new(),
            changes: Changes::default(),
            room: Arc::new(Semaphore::new(options.buffer_bytes_max)),
            sessions: Mutex::new(BTreeMap::new()),
            leases_client_connections,
            options,
        });
        if let Some(metrics) = shared.cluster.metrics() {
            let weak = Arc::downgrade(&shared);
            let fill = move || {
                let shared = weak.upgrade()?;
                Some(shared.options.buffer_bytes_max.saturating_sub(shared.room.available_permits()) as u64)
            };
            metrics.watch_buffer(Buffer::Consumer, fill);
        }
        let leaders = tokio::spawn(leaders::run(Arc::clone(&shared)));
        Ok(Consumer { shared, leaders })
    }

    /// Adds partitions, each with the offset of the first record to deliver. A partition already assigned moves to
    /// that offset. Partitions not named stay as they are.
    ///
    /// With a [`Position`] that has a leader epoch, such as a committed one, the leader is asked first whether its log
    /// still holds what was read before it (KIP-320).
    pub fn assign<P: Into<Position>>(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, P)>) {
        {
            let mut state = self.shared.state.lock();
            for (partition, position) in partitions {
                state.assign(partition, position.into());
            }
        }
        self.shared.changed();
    }

    /// As [`assign`](Self::assign), starting at the beginning, at the end or at a point in time. The offsets are found
    /// with one request per broker; a partition without a record as young as asked for starts at its end.
    ///
    /// # Errors
    /// As [`Client::list_offsets`](crate::Client::list_offsets); then nothing is assigned.
    pub async fn assign_at(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
    ) -> Result<()> {
        let wanted = partitions.into_iter().collect();
        let found = checks::start_positions(&self.shared, wanted, self.shared.options.isolation).await?;
        self.assign(found);
        Ok(())
    }

    /// Takes a partition away and returns its position. Nothing of it is delivered afterwards.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn unassign(&mut self, partition: &TopicPartition) -> Result<i64> {
        let position = self.shared.state.lock().unassign(partition)?;
        self.shared.changed();
        Ok(position.offset)
    }

    /// Moves a partition to another offset. Starts it again after an error.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn seek(&mut self, partition: &TopicPartition, position: impl Into<Position>) -> Result<()> {
        self.shared.state.lock().seek(partition, position.into())?;
        self.shared.changed();
        Ok(())
    }

    /// Stops delivering and fetching a partition. What was fetched ahead of its position is dropped, to be fetched
    /// again after [`resume`](Self::resume): paused partitions take no room in the buffer.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        self.shared.state.lock().set_paused(partition, true)?;
        self.shared.changed();
        Ok(())
    }

    /// Goes on with a paused partition.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        self.shared.state.lock().set_paused(partition, false)?;
        self.shared.changed();
        Ok(())
    }

    /// The next offset to deliver, `None` for a partition that is not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.state.lock().position(partition).map(|position| position.offset)
    }

    /// As [`position`](Self::position), with the leader epoch of the record before it: what to commit.
    pub fn position_and_epoch(&self, partition: &TopicPartition) -> Option<Position> {
        self.shared.state.lock().position(partition)
    }

    /// How many jumps [`ConsumerOptions::out_of_range`] allowed so far, and over how many offsets.
    pub fn gaps(&self) -> GapCounts {
        self.shared.state.lock().gaps()
    }

    /// Id of the broker a partition is fetched from: its leader, or the closest replica
    /// ([`client_rack`](ConsumerOptions::client_rack)). `None` while it is not known, or when it is not assigned.
    pub fn source(&self, partition: &TopicPartition) -> Option<i32> {
        self.shared.state.lock().source(partition)
    }

    /// The high watermark of the last answer about a partition: -1 before the first, `None` when it is not assigned.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.state.lock().high_watermark(partition)
    }

    /// Every assigned partition with its position, in no order.
    pub fn assignment(&self) -> Vec<(TopicPartition, i64)> {
        let state = self.shared.state.lock();
        state.assigned().map(|(partition, position)| (partition.clone(), position.offset)).collect()
    }

    /// Waits for the next item. Items of one partition come in order, without gap and without overlap.
    ///
    /// Dropping the future loses nothing: an item leaves the queue in the same step in which it is returned.
    ///
    /// # Errors
    /// [`Error::NothingAssigned`] when there is nothing to wait for. Any other error is about one partition, names it
    /// and stops it until it is [sought](Self::seek) or unassigned; the other partitions go on with the next call.
    /// While every partition is paused or stopped, this waits.
    pub async fn next(&mut self) -> Result<Fetched> {
        loop {
            if let Some(item) = self.try_next() {
                return item;
            }
            if self.shared.state.lock().is_empty() {
                return Err(Error::NothingAssigned);
            }
            self.shared.ready.notified().await;
        }
    }

    /// Stops fetching and tells the brokers to forget this consumer's fetch sessions, within a second. Dropping the
    /// consumer does the same in the background.
    pub async fn close(self) {
        self.leaders.abort();
        link::close_sessions(Arc::clone(&self.shared)).await;
    }

    /// The next item if one is there already.
    pub fn try_next(&mut self) -> Option<Result<Fetched>> {
        self.shared.state.lock().pop()
    }
}
