//! The producer: records of any partitions in, one request per broker out.
//!
//! ```text
//! send ──> accumulator ──> sender task (seal, frame) ──> connection's writer ──> broker
//!            open batch       │   ^                                               │
//!            per partition    v   └──────────── connection's reader <─────────────┘
//!                      DeliveryFuture
//! ```
//!
//! `send` encodes straight into the partition's open batch; a batch leaves when it is full, its linger is over or
//! somebody flushes. A batch whose outcome is unknown is repeated under the same sequence, so the broker recognises it.
//!
//! The bytes of a record are copied once by this crate, into the open batch. Sealing fills in the header (and, if asked
//! to, compresses into other memory); the socket then takes the batch from where it lies, between the pieces of the
//! request around it.

mod accumulator;
mod lane;
mod options;
mod outcome;
mod partitioner;
mod pool;
mod queue;
mod seal;
mod sender;
mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kanat_protocol::compression::Compressor;
use kanat_telemetry::Buffer;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::accumulator::{Accumulator, Refused};
pub use self::options::ProducerOptions;
use self::outcome::Settled;
pub use self::outcome::{DeliveryFuture, RecordMetadata};
pub use self::partitioner::{Partitioner, Partitioning};
use self::sender::Sender;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::transaction::Enlistment;

/// A record to send. Its bytes are copied once, into the open batch, before [`Producer::send`] returns.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProduceRecord<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition; `None` leaves it to the key, or without a key to the producer.
    pub partition: Option<i32>,
    /// Key. Records with the same key go to the same partition, the one the Java client chooses.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Headers in order; keys may repeat and values may be null.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    /// Milliseconds since the epoch; `None` for now.
    pub timestamp: Option<i64>,
}

/// Shared by the handles, the sender and its request tasks.
#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    options: ProducerOptions,
    /// The transactions of a transactional producer.
    transaction: Option<Arc<Enlistment>>,
    accumulator: Mutex<Accumulator>,
    /// The sender has something to do.
    wake: Notify,
    /// Room in the buffer may be free.
    space: Notify,
    compressors: Mutex<Vec<Compressor>>,
}

/// Ends the sender when the last handle is gone.
#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    sender: Arc<Mutex<Sender>>,
    task: JoinHandle<()>,
}

impl Running {
    fn stop(&self) {
        self.task.abort();
        self.sender.lock().stop();
        self.shared.accumulator.lock().close();
        // Those who wait for room learn that there will be none.
        self.shared.space.notify_waiters();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends records. Made by [`Client::producer`](crate::Client::producer); clones share everything.
///
/// When the last clone is dropped, records not yet acknowledged are given up: [`flush`](Self::flush) first.
#[derive(Debug, Clone)]
pub struct Producer {
    running: Arc<Running>,
}

impl Producer {
    pub(crate) fn new(cluster: Arc<Cluster>, options: ProducerOptions) -> Result<Producer> {
        Producer::start(cluster, options, None)
    }

    /// A producer whose records belong to transactions.
    pub(crate) fn transactional(
        cluster: Arc<Cluster>,
        options: ProducerOptions,
        transaction: Arc<Enlistment>,
    ) -> Result<Producer> {
        Producer::start(cluster, options, Some(transaction))
    }

    fn start(
        cluster: Arc<Cluster>,
        options: ProducerOptions,
        transaction: Option<Arc<Enlistment>>,
    ) -> Result<Producer> {
        options.validate()?;
        let shared = Arc::new(Shared {
            cluster,
            accumulator: Mutex::new(Accumulator::new(options.clone(), transaction.clone())),
            transaction,
            wake: Notify::new(),
            space: Notify::new(),
            compressors: Mutex::new(Vec::new()),
            options,
        });
        if let Some(metrics) = shared.cluster.metrics() {
            let weak = Arc::downgrade(&shared);
            let fill = move || Some(weak.upgrade()?.accumulator.lock().buffered_bytes() as u64);
            metrics.watch_buffer(Buffer::Producer, fill);
        }
        let (sender, news) = Sender::new(Arc::clone(&shared));
        let sender = Arc::new(Mutex::new(sender));
        let task = tokio::spawn(sender::run(Arc::clone(&shared), Arc::clone(&sender), news));
        Ok(Producer { running: Arc::new(Running { shared, sender, task }) })
    }

    fn shared(&self) -> &Shared {
        &self.running.shared
    }

    /// Buffers a record and returns the future of its acknowledgement. Waits while the buffer is full, and for the
    /// partitions of a topic sent to for the first time. Dropping the call before it returns sends nothing.
    ///
    /// Records of one partition are written in the order in which calls return.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::RecordTooLarge`], [`Error::EncodeRecord`],
    /// [`Error::Closed`]. What happens later comes out of the future.
    pub async fn send(&self, record: ProduceRecord<'_>) -> Result<DeliveryFuture> {
        match self.append(&record) {
            Ok(future) => Ok(future),
            Err(Refused::Error(error)) => Err(error),
            Err(_) => self.send_waiting(&record).await,
        }
    }

    /// Sends a record that has to wait.
    async fn send_waiting(&self, record: &ProduceRecord<'_>) -> Result<DeliveryFuture> {
        loop {
            let space = self.shared().space.notified();
            tokio::pin!(space);
            // Registered before looking, so that room made in between is noticed.
            space.as_mut().enable();
            match self.append(record) {
                Ok(future) => return Ok(future),
                Err(Refused::UnknownTopic) => self.learn_topic(record.topic).await?,
                Err(Refused::Full) => {
                    self.shared().accumulator.lock().press();
                    self.shared().wake.notify_one();
                    space.await;
                }
                Err(Refused::Error(error)) => return Err(error),
            }
        }
    }

    /// As [`send`](Self::send) without waiting.
    ///
    /// # Errors
    /// [`Error::BufferFull`]; [`Error::UnknownTopic`] also for a topic never sent to before; else as
    /// [`send`](Self::send).
    pub fn try_send(&self, record: ProduceRecord<'_>) -> Result<DeliveryFuture> {
        self.append(&record).map_err(|refused| match refused {
            Refused::Full => Error::BufferFull { buffer_bytes_max: self.shared().options.buffer_bytes_max },
            Refused::UnknownTopic => Error::UnknownTopic { topic: record.topic.into() },
            Refused::Error(error) => error,
        })
    }

    fn append(&self, record: &ProduceRecord<'_>) -> Result<DeliveryFuture, Refused> {
        let timestamp = record.timestamp.unwrap_or_else(now_ms);
        let (future, wake) = self.shared().accumulator.lock().append(record, timestamp, Instant::now)?;
        if wake && !(self.shared().options.linger_ms == 0 && sender::send_now(&self.running.sender)) {
            self.shared().wake.notify_one();
        }
        Ok(future)
    }

    async fn learn_topic(&self, topic: &str) -> Result<()> {
        let shared = self.shared();
        let ready = |leader| async move { Ok(leader) };
        shared.cluster.with_leader(topic, 0, shared.options.unknown_topic, ready).await?;
        let partitions = shared.cluster.metadata().topic(topic).map_or(0, |topic| topic.partitions.len());
        shared.accumulator.lock().set_partitions(topic, partitions);
        Ok(())
    }

    /// Sends everything buffered now without further lingering and waits until all of it is decided.
    ///
    /// # Errors
    /// The first failure among these records; their futures tell which.
    pub async fn flush(&self) -> Result<()> {
        let outcomes = self.shared().accumulator.lock().flush();
        self.shared().wake.notify_one();
        let mut first = Ok(());
        for outcome in outcomes {
            first = first.and(Settled(outcome).await);
        }
        first
    }

    /// Sends what is buffered, waits at most `timeout` until it is decided, and ends the producer: later sends, also by
    /// clones, are refused. Records undecided by then are given up; those that were on their way say so
    /// ([`Error::is_outcome_unknown`]).
    ///
    /// # Errors
    /// [`Error::Closed`] if records were given up; else as [`flush`](Self::flush).
    pub async fn close(&self, timeout: Duration) -> Result<()> {
        let flushed = tokio::time::timeout(timeout, self.flush()).await;
        self.running.stop();
        flushed.unwrap_or(Err(Error::Closed { what: "producer" }))
    }

    /// Gives up everything that did not leave yet and waits for what did.
    pub(crate) async fn discard(&self, error: &Error) {
        self.shared().accumulator.lock().give_up(error);
        self.shared().space.notify_waiters();
        // Its outcome is told to the records' futures.
        let _ = self.flush().await;
    }

    /// Bytes of records not yet acknowledged.
    pub fn buffered_bytes(&self) -> usize {
        self.shared().accumulator.lock().buffered_bytes()
    }
}

/// The clock is for the record's timestamp only.
fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
