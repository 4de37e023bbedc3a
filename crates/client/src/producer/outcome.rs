//! What became of a batch, and the futures of its records that wait for it.

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
    /// Its offset; -1 when the broker recognised a repeated batch without saying where it is.
    pub offset: i64,
    /// Time the broker stamped, in milliseconds, when the topic keeps append times; else -1.
    pub log_append_time: i64,
}

#[derive(Debug, Default)]
struct Inner {
    result: Option<Result<Ack>>,
    waiting: Vec<Waker>,
}

/// Shared by a batch and the futures of its records.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) partition: TopicPartition,
    inner: Mutex<Inner>,
}

impl Outcome {
    pub(super) fn new(partition: TopicPartition) -> Arc<Outcome> {
        Arc::new(Outcome { partition, inner: Mutex::new(Inner::default()) })
    }

    /// Decides the batch. The first decision stays.
    pub(super) fn complete(&self, result: Result<Ack>) {
        let waiting = {
            let mut inner = self.inner.lock();
            if inner.result.is_some() {
                return;
            }
            inner.result = Some(result);
            std::mem::take(&mut inner.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.inner.lock().result.is_some()
    }
}

/// Waits for the acknowledgement of one record. Dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "a record counts as written only when its future says so"]
pub struct DeliveryFuture {
    outcome: Arc<Outcome>,
    /// Place of the record in its batch.
    index: i32,
    /// Place of this future's waker.
    place: Option<usize>,
}

impl DeliveryFuture {
    pub(super) fn new(outcome: Arc<Outcome>, index: i32) -> DeliveryFuture {
        DeliveryFuture { outcome, index, place: None }
    }

    /// Whether the outcome is known.
    pub fn is_done(&self) -> bool {
        self.outcome.is_complete()
    }

    fn metadata(&self, ack: Ack) -> RecordMetadata {
        let offset = if ack.base_offset < 0 { -1 } else { ack.base_offset + i64::from(self.index) };
        RecordMetadata { tp: self.outcome.partition.clone(), offset, log_append_time: ack.log_append_time }
    }
}

impl Future for DeliveryFuture {
    type Output = Result<RecordMetadata, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let place = self.place;
        let place = {
            let mut inner = self.outcome.inner.lock();
            match &inner.result {
                Some(Ok(ack)) => return Poll::Ready(Ok(self.metadata(*ack))),
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
                None => {}
            }
            match place.and_then(|place| inner.waiting.get_mut(place)) {
                Some(waker) => {
                    waker.clone_from(context.waker());
                    place
                }
                None => {
                    inner.waiting.push(context.waker().clone());
                    Some(inner.waiting.len() - 1)
                }
            }
        };
        self.place = place;
        Poll::Pending
    }
}
