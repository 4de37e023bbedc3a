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

mod fetcher;
mod filter;
mod leaders;
mod options;
mod session;
mod single;
mod state;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_telemetry::Buffer;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

pub use self::options::ConsumerOptions;
use self::session::Want;
pub(crate) use self::single::SingleFetch;
pub use self::state::Fetched;
use self::state::{Sent, State};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::types::TopicPartition;

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
    changes: watch::Sender<u64>,
    room: Arc<Semaphore>,
}

impl Shared {
    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn wants_anything(&self, broker: i32) -> bool {
        self.state.lock().wants_anything(broker)
    }

    /// Room for the largest answer a fetch asks for.
    async fn take_room(&self) -> OwnedSemaphorePermit {
        let brokers = self.state.lock().leaders().len();
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
        let mut changes = self.changes.subscribe();
        while !self.state.lock().wants_more(broker, sent) {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = changes.changed().await;
        }
        tokio::time::sleep(OVERTAKEN_GRACE).await;
    }

    /// A whole fetch failed.
    fn fetch_failed(&self, sent: HashMap<TopicPartition, Sent>, error: &Error) {
        {
            let mut state = self.state.lock();
            for (partition, sent) in &sent {
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
/// Consumers of one client share its fetch connection to each broker, and a broker answers one connection's requests in
/// order: consumers that must not wait for each other's long polls want a client each.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    leaders: JoinHandle<()>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.leaders.abort();
    }
}

impl Consumer {
    pub(crate) fn new(cluster: Arc<Cluster>, options: ConsumerOptions) -> Result<Consumer> {
        options.validate()?;
        let shared = Arc::new(Shared {
            cluster,
            state: Mutex::new(State::default()),
            ready: Notify::new(),
            changes: watch::Sender::new(0),
            room: Arc::new(Semaphore::new(options.buffer_bytes_max)),
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
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, i64)>) {
        {
            let mut state = self.shared.state.lock();
            for (partition, offset) in partitions {
                state.assign(partition, offset);
            }
        }
        self.shared.changed();
    }

    /// Takes a partition away and returns its position. Nothing of it is delivered afterwards.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn unassign(&mut self, partition: &TopicPartition) -> Result<i64> {
        let position = self.shared.state.lock().unassign(partition)?;
        self.shared.changed();
        Ok(position)
    }

    /// Moves a partition to another offset. Starts it again after an error.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.shared.state.lock().seek(partition, offset)?;
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
        self.shared.state.lock().position(partition)
    }

    /// The high watermark of the last answer about a partition: -1 before the first, `None` when it is not assigned.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.state.lock().high_watermark(partition)
    }

    /// Every assigned partition with its position, in no order.
    pub fn assignment(&self) -> Vec<(TopicPartition, i64)> {
        self.shared.state.lock().assigned().map(|(partition, position)| (partition.clone(), position)).collect()
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

    /// The next item if one is there already.
    pub fn try_next(&mut self) -> Option<Result<Fetched>> {
        self.shared.state.lock().pop()
    }
}
