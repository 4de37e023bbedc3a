//! Batches of one partition from many callers: inputs are aggregated, a batch goes out when it is full or its linger is
//! over, and every caller learns what became of its own input.
//!
//! ```text
//! produce(input) ──> aggregator ──full, or linger over──> sealed batches ──> writer task ──> ProducerClient
//!       ^                                                                        │
//!       └──────────────────────── offsets, deaggregated by tag ──────────────────┘
//! ```
//!
//! Batches are written one after the other in the order in which they were sealed, and at most `sealed_batches_max` wait
//! for that: then `produce` waits too. For records of many partitions, or more than one request under way, there is
//! [`Producer`](crate::Producer).

mod aggregator;
#[cfg(test)]
mod tests;
mod write;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::compression::Compression;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::aggregator::{Aggregator, RecordAggregator, RecordOffsets, StatusDeaggregator, TryPush};
pub use self::write::ProducerClient;
use crate::error::{Error, Result};
use crate::record::Record;

/// Options of a [`BatchProducer`].
#[derive(Debug, Clone, PartialEq)]
pub struct BatchProducerOptions {
    /// How long a batch that is not full waits for more inputs, in milliseconds.
    pub linger_ms: u64,
    /// Codec and level.
    pub compression: Compression,
    /// Full batches that wait to be written, beside the one being written. Further inputs wait for a place.
    pub sealed_batches_max: usize,
}

impl Default for BatchProducerOptions {
    fn default() -> Self {
        BatchProducerOptions { linger_ms: 5, compression: Compression::NONE, sealed_batches_max: 4 }
    }
}

/// What became of a batch: of each record, and how to find an input in that.
struct Settled<D> {
    written: Vec<Result<i64>>,
    deaggregator: D,
}

/// What became of a batch, `None` while it is undecided; an error is about the whole of it.
type Decision<D> = Option<Result<Arc<Settled<D>>>>;
type Outcome<A> = watch::Receiver<Decision<<A as Aggregator>::Deaggregator>>;
type Pushed<A> = TryPush<<A as Aggregator>::Input, (<A as Aggregator>::Tag, Outcome<A>)>;
type Decide<A> = watch::Sender<Decision<<A as Aggregator>::Deaggregator>>;

/// The batch being aggregated.
struct Open<A: Aggregator> {
    decide: Decide<A>,
    due: Instant,
}

/// A batch that waits to be written.
struct Sealed<A: Aggregator> {
    records: Vec<Record>,
    deaggregator: A::Deaggregator,
    decide: Decide<A>,
}

struct State<A: Aggregator> {
    aggregator: A,
    /// `None` while the aggregator is empty.
    open: Option<Open<A>>,
    sealed: VecDeque<Sealed<A>>,
    /// Batches sealed and, when last looked at, not decided.
    undecided: Vec<Outcome<A>>,
    closed: bool,
}

impl<A: Aggregator> State<A> {
    /// Ends the open batch, if there is one.
    fn seal(&mut self) {
        let Some(Open { decide, .. }) = self.open.take() else { return };
        self.undecided.retain(|outcome| outcome.borrow().is_none());
        self.undecided.push(decide.subscribe());
        match self.aggregator.flush() {
            Ok((records, deaggregator)) => self.sealed.push_back(Sealed { records, deaggregator, decide }),
            Err(error) => {
                decide.send_replace(Some(Err(error)));
            }
        }
    }

    /// Drops what is undecided, which tells everybody who waits for it.
    fn close(&mut self) {
        self.closed = true;
        self.open = None;
        self.sealed.clear();
    }
}

/// Shared by the handle and the writer task.
struct Shared<A: Aggregator> {
    client: Arc<dyn ProducerClient>,
    options: BatchProducerOptions,
    state: Mutex<State<A>>,
    /// Callers take turns, so that inputs are aggregated in the order in which calls were first polled.
    turn: tokio::sync::Mutex<()>,
    /// A batch was opened or sealed.
    work: Notify,
    /// A sealed batch was taken.
    room: Notify,
}

/// Closes when the writer ends for whatever reason, a panic of the aggregator among them.
struct CloseOnDrop<A: Aggregator>(Arc<Shared<A>>);

impl<A: Aggregator> Drop for CloseOnDrop<A> {
    fn drop(&mut self) {
        self.0.state.lock().close();
        self.0.room.notify_waiters();
    }
}

impl<A: Aggregator> Shared<A> {
    /// Aggregates an input; gives it back when it has to wait for room.
    fn push(&self, mut input: A::Input) -> Result<Pushed<A>> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(closed());
            }
            match state.aggregator.try_push(input)? {
                TryPush::Aggregated(tag) => {
                    let due = Instant::now() + Duration::from_millis(self.options.linger_ms);
                    let open = state.open.get_or_insert_with(|| Open { decide: watch::Sender::new(None), due });
                    self.work.notify_one();
                    return Ok(TryPush::Aggregated((tag, open.decide.subscribe())));
                }
                TryPush::NoCapacity(_) if state.open.is_none() => return Err(Error::InputTooLarge),
                TryPush::NoCapacity(back) if state.sealed.len() >= self.options.sealed_batches_max => {
                    return Ok(TryPush::NoCapacity(back));
                }
                TryPush::NoCapacity(back) => {
                    state.seal();
                    self.work.notify_one();
                    input = back;
                }
            }
        }
    }

    /// Seals the open batch if there is room; `None` if not, else the outcomes that are still to come.
    fn seal_for_flush(&self) -> Result<Option<Vec<Outcome<A>>>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(closed());
        }
        if state.open.is_some() {
            if state.sealed.len() >= self.options.sealed_batches_max {
                return Ok(None);
            }
            state.seal();
            self.work.notify_one();
        }
        Ok(Some(state.undecided.clone()))
    }

    /// Writes batches until the task is aborted.
    async fn run(self: Arc<Self>) {
        let _close = CloseOnDrop(Arc::clone(&self));
        loop {
            let Sealed { records, deaggregator, decide } = self.next_batch().await;
            self.room.notify_waiters();
            // An aggregator may make no records of its inputs; they are still told.
            let written = write::write(&*self.client, records, self.options.compression).await;
            decide.send_replace(Some(Ok(Arc::new(Settled { written, deaggregator }))));
        }
    }

    async fn next_batch(&self) -> Sealed<A> {
        loop {
            let due = {
                let mut state = self.state.lock();
                if let Some(batch) = state.sealed.pop_front() {
                    return batch;
                }
                let due = state.open.as_ref().map(|open| open.due);
                if due.is_some_and(|due| due <= Instant::now()) {
                    state.seal();
                    continue;
                }
                due
            };
            match due {
                Some(due) => {
                    tokio::select! {
                        biased;
                        () = self.work.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => self.work.notified().await,
            }
        }
    }
}

fn closed() -> Error {
    Error::Closed { what: "batch producer" }
}

async fn decided<D>(mut outcome: watch::Receiver<Decision<D>>) -> Result<Arc<Settled<D>>>
where
    D: Send + Sync,
{
    // The sender goes away undecided when the producer is closed.
    let decision = outcome.wait_for(Option::is_some).await.map_err(|_| closed())?;
    decision.clone().unwrap_or_else(|| Err(closed()))
}

/// Produces through an [`Aggregator`]: [`RecordAggregator`] for records as they are, or one of your own.
///
/// Dropping a call of [`produce`](Self::produce) leaves its input in the batch once it was aggregated. Dropping the
/// producer gives up what is not written yet: [`flush`](Self::flush) first.
pub struct BatchProducer<A: Aggregator> {
    shared: Arc<Shared<A>>,
    writer: JoinHandle<()>,
}

impl<A: Aggregator> fmt::Debug for BatchProducer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchProducer")
            .field("client", &self.shared.client)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl<A: Aggregator> Drop for BatchProducer<A> {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl<A: Aggregator> BatchProducer<A> {
    /// Produces through `client`, usually a [`PartitionClient`](crate::PartitionClient). Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn new(
        client: Arc<dyn ProducerClient>,
        aggregator: A,
        options: BatchProducerOptions,
    ) -> Result<BatchProducer<A>> {
        if options.sealed_batches_max == 0 {
            let (option, reason) = ("sealed_batches_max".to_owned(), "must be above 0".to_owned());
            return Err(Error::InvalidOption { option, reason });
        }
        let state = State { aggregator, open: None, sealed: VecDeque::new(), undecided: Vec::new(), closed: false };
        let shared = Arc::new(Shared {
            client,
            options,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
            work: Notify::new(),
            room: Notify::new(),
        });
        let writer = tokio::spawn(Arc::clone(&shared).run());
        Ok(BatchProducer { shared, writer })
    }

    /// Aggregates an input and waits until its batch was written. Waits for a place first when `sealed_batches_max`
    /// batches are full.
    ///
    /// # Errors
    /// [`Error::InputTooLarge`]; [`Error::Aggregator`]; [`Error::Closed`]; what [`ProducerClient::produce`] failed with
    /// for the records of this input.
    pub async fn produce(&self, input: A::Input) -> Result<<A::Deaggregator as StatusDeaggregator>::Status> {
        let (tag, outcome) = self.push(input).await?;
        let settled = decided(outcome).await?;
        settled.deaggregator.deaggregate(&settled.written, tag)
    }

    async fn push(&self, mut input: A::Input) -> Result<(A::Tag, Outcome<A>)> {
        let _turn = self.shared.turn.lock().await;
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            // Registered before looking, so that room made in between is noticed.
            room.as_mut().enable();
            match self.shared.push(input)? {
                TryPush::Aggregated(aggregated) => return Ok(aggregated),
                TryPush::NoCapacity(back) => input = back,
            }
            room.await;
        }
    }

    /// Sends what is aggregated without further lingering, and waits until everything so far is decided.
    ///
    /// # Errors
    /// The first failure among these batches; the calls of [`produce`](Self::produce) tell which input.
    pub async fn flush(&self) -> Result<()> {
        let outcomes = {
            let _turn = self.shared.turn.lock().await;
            loop {
                let room = self.shared.room.notified();
                tokio::pin!(room);
                room.as_mut().enable();
                match self.shared.seal_for_flush()? {
                    Some(outcomes) => break outcomes,
                    None => room.await,
                }
            }
        };
        let mut first = Ok(());
        for outcome in outcomes {
            let failed = match decided(outcome).await {
                Ok(settled) => settled.written.iter().find_map(|written| written.as_ref().err().cloned()),
                Err(error) => Some(error),
            };
            first = first.and(failed.map_or(Ok(()), Err));
        }
        first
    }
}
