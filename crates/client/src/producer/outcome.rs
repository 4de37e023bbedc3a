//! What became of a batch, and the futures of its records that wait for it.
//!
//! A record costs a reference to its batch's outcome and nothing else until somebody awaits its future; wakers are kept
//! once per task, not once per record. A batch that the broker refused as too large, or because of single records, is
//! decided part by part.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::produce::Ack;
use crate::types::TopicPartition;

/// Where a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Partition it went to.
    pub tp: TopicPartition,
    /// Its offset; -1 when the broker recognised a repeated batch without saying where it is, and without
    /// acknowledgements ([`Acks::None`](crate::Acks::None)).
    pub offset: i64,
    /// Its timestamp in milliseconds: the broker's append time when the topic keeps those, else the record's own.
    pub timestamp: i64,
    /// Time the broker stamped, in milliseconds, when the topic keeps append times; else -1.
    pub log_append_time: i64,
}

/// Every record of a batch, however many it has in the end.
pub(super) const WHOLE: Range<i32> = 0..i32::MAX;

#[derive(Debug, Default)]
struct Inner {
    /// Decided ranges of records; nearly always one.
    parts: Vec<(Range<i32>, Result<Ack>)>,
    /// Records of the batch, known once it is taken to be sent.
    count: i32,
    waiting: Vec<Waker>,
}

impl Inner {
    fn part(&self, index: i32) -> Option<&(Range<i32>, Result<Ack>)> {
        self.parts.iter().find(|(range, _)| range.contains(&index))
    }

    fn is_complete(&self) -> bool {
        let decided: i64 = self.parts.iter().map(|(range, _)| i64::from(range.end) - i64::from(range.start)).sum();
        !self.parts.is_empty() && decided >= i64::from(self.count)
    }

    /// One waker per task is enough, and a task that awaits many records comes with the same one each time.
    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.last().is_some_and(|last| last.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// Shared by a batch and the futures of its records.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) partition: TopicPartition,
    inner: Mutex<Inner>,
}

impl Outcome {
    pub(super) fn new(partition: TopicPartition) -> Arc<Outcome> {
        Arc::new(Outcome { partition, inner: Mutex::new(Inner { count: i32::MAX, ..Inner::default() }) })
    }

    /// The batch takes no more records.
    pub(super) fn set_count(&self, count: i32) {
        self.inner.lock().count = count;
    }

    /// Decides some of the records. The first decision of each stays.
    pub(super) fn complete(&self, records: Range<i32>, result: Result<Ack>) {
        let waiting = {
            let mut inner = self.inner.lock();
            if inner.is_complete() {
                return;
            }
            inner.parts.push((records, result));
            std::mem::take(&mut inner.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }
}

/// Waits for the acknowledgement of one record. Dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "a record counts as written only when its future says so"]
pub struct DeliveryFuture {
    outcome: Arc<Outcome>,
    timestamp: i64,
    /// Place of the record in its batch.
    index: i32,
}

impl DeliveryFuture {
    pub(super) fn new(outcome: Arc<Outcome>, index: i32, timestamp: i64) -> DeliveryFuture {
        DeliveryFuture { outcome, timestamp, index }
    }

    /// Whether the outcome is known.
    pub fn is_done(&self) -> bool {
        self.outcome.inner.lock().part(self.index).is_some()
    }

    fn metadata(&self, first: i32, ack: Ack) -> RecordMetadata {
        let offset = if ack.base_offset < 0 { -1 } else { ack.base_offset + i64::from(self.index - first) };
        RecordMetadata {
            tp: self.outcome.partition.clone(),
            offset,
            timestamp: if ack.log_append_time < 0 { self.timestamp } else { ack.log_append_time },
            log_append_time: ack.log_append_time,
        }
    }
}

impl Future for DeliveryFuture {
    type Output = Result<RecordMetadata, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.outcome.inner.lock();
        match inner.part(self.index) {
            Some((range, Ok(ack))) => Poll::Ready(Ok(self.metadata(range.start, *ack))),
            Some((_, Err(error))) => Poll::Ready(Err(error.clone())),
            None => {
                inner.wait(context.waker());
                Poll::Pending
            }
        }
    }
}

/// Waits until every record of a batch is decided; the first failure among them is the result.
#[derive(Debug)]
pub(super) struct Settled(pub(super) Arc<Outcome>);

impl Future for Settled {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.0.inner.lock();
        if !inner.is_complete() {
            inner.wait(context.waker());
            return Poll::Pending;
        }
        let failed = inner.parts.iter().find_map(|(_, result)| result.as_ref().err().cloned());
        Poll::Ready(failed.map_or(Ok(()), Err))
    }
}
