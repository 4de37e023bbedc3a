//! Requests of one connection that wait for their answer, and the state of the connection: open or closed for a reason.
//!
//! No I/O here. A waiter that went away (its future was dropped) leaves its entry behind, so the answer, when it comes,
//! is recognised and thrown away instead of being taken for somebody else's.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kanat_protocol::messages::ApiKey;
use kanat_telemetry::PendingRequest;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// What a waiter gets: the response frame, or why there will be none.
pub(crate) type Answer = Result<Bytes, Arc<str>>;

/// One answer of many that come out of one channel, told apart by the token given with the request.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) token: u64,
    pub(crate) answer: Answer,
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Waiter {
    /// To the one future that waits for it.
    One(oneshot::Sender<Answer>),
    /// To a task that has many requests under way.
    Shared { token: u64, answers: mpsc::UnboundedSender<Answered>, counted: Option<PendingRequest> },
}

impl Waiter {
    /// The waiter may be gone; then the answer is dropped here.
    fn send(self, answer: Answer) {
        match self {
            Waiter::One(waiter) => drop(waiter.send(answer)),
            Waiter::Shared { token, answers, counted } => {
                if let (Some(counted), Ok(frame)) = (counted, &answer) {
                    counted.answered(frame.len());
                }
                drop(answers.send(Answered { token, answer }));
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    api: ApiKey,
    waiter: Waiter,
    /// The place in the in-flight window; free again when the answer came, not when the waiter went away.
    _place: Option<OwnedSemaphorePermit>,
}

/// The table of one connection.
#[derive(Debug)]
pub(super) struct InFlight {
    waiting: HashMap<i32, Waiting>,
    next_correlation_id: i32,
    closed: Option<Arc<str>>,
    /// Frames that wait for the end of an authentication; as many as may be in flight.
    held_back: Option<Vec<Bytes>>,
}

impl InFlight {
    pub(super) fn new() -> Self {
        InFlight { waiting: HashMap::new(), next_correlation_id: 0, closed: None, held_back: None }
    }

    /// Why the connection is closed, if it is.
    pub(super) fn closed(&self) -> Option<&Arc<str>> {
        self.closed.as_ref()
    }

    /// Takes an unused correlation id. Ids wrap around; one still waiting is passed over.
    pub(super) fn take_id(&mut self) -> i32 {
        loop {
            let id = self.next_correlation_id;
            self.next_correlation_id = if id == i32::MAX { 0 } else { id + 1 };
            if !self.waiting.contains_key(&id) {
                return id;
            }
        }
    }

    /// Registers a request about to be written.
    pub(super) fn register(
        &mut self,
        id: i32,
        api: ApiKey,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<oneshot::Receiver<Answer>, Arc<str>> {
        let (answer, receiver) = oneshot::channel();
        self.register_waiter(id, api, Waiter::One(answer), place)?;
        Ok(receiver)
    }

    /// As [`register`](Self::register) with a waiter of the caller's.
    pub(super) fn register_waiter(
        &mut self,
        id: i32,
        api: ApiKey,
        waiter: Waiter,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Arc<str>> {
        if let Some(reason) = &self.closed {
            return Err(Arc::clone(reason));
        }
        self.waiting.insert(id, Waiting { api, waiter, _place: place });
        Ok(())
    }

    /// From now on frames wait for [`release`](Self::release).
    pub(super) fn hold_back(&mut self) {
        self.held_back.get_or_insert_default();
    }

    /// Gives the frame back if it may be sent now, else keeps it.
    pub(super) fn send_or_hold(&mut self, frame: Bytes) -> Option<Bytes> {
        match &mut self.held_back {
            Some(held_back) => {
                held_back.push(frame);
                None
            }
            None => Some(frame),
        }
    }

    /// Ends the holding back and returns the frames in their order.
    pub(super) fn release(&mut self) -> Vec<Bytes> {
        self.held_back.take().unwrap_or_default()
    }

    /// Hands a response frame to its waiter. An id nobody asked for means the stream is out of step: the caller closes
    /// the connection with the reason given.
    pub(super) fn answer(&mut self, id: i32, frame: Bytes) -> Result<(), String> {
        match self.waiting.remove(&id) {
            Some(waiting) => {
                waiting.waiter.send(Ok(frame));
                Ok(())
            }
            None => Err(format!("response with correlation id {id} that no request waits for")),
        }
    }

    /// Closes for good; everybody waiting learns why. The first reason stays.
    pub(super) fn close(&mut self, reason: &str) {
        if self.closed.is_some() {
            return;
        }
        let reason: Arc<str> = reason.into();
        // In the order they were sent.
        let mut waiting: Vec<_> = self.waiting.drain().collect();
        waiting.sort_unstable_by_key(|(id, _)| *id);
        for (_, waiting) in waiting {
            tracing::debug!(api = ?waiting.api, %reason, "request lost");
            waiting.waiter.send(Err(Arc::clone(&reason)));
        }
        self.closed = Some(reason);
        self.held_back = None;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(table: &mut InFlight) -> (i32, oneshot::Receiver<Answer>) {
        let id = table.take_id();
        (id, table.register(id, ApiKey::Metadata, None).unwrap())
    }

    #[test]
    fn answers_reach_their_waiters_in_any_order() {
        let mut table = InFlight::new();
        let (first, mut first_answer) = registered(&mut table);
        let (second, mut second_answer) = registered(&mut table);
        table.answer(second, Bytes::from_static(b"two")).unwrap();
        table.answer(first, Bytes::from_static(b"one")).unwrap();
        assert_eq!(first_answer.try_recv().unwrap().unwrap(), "one");
        assert_eq!(second_answer.try_recv().unwrap().unwrap(), "two");
    }

    #[test]
    fn a_dropped_waiter_does_not_put_the_stream_out_of_step() {
        let mut table = InFlight::new();
        let (gone, answer) = registered(&mut table);
        drop(answer);
        let (stays, mut stays_answer) = registered(&mut table);
        table.answer(gone, Bytes::new()).unwrap();
        table.answer(stays, Bytes::from_static(b"mine")).unwrap();
        assert_eq!(stays_answer.try_recv().unwrap().unwrap(), "mine");
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn an_unknown_id_is_an_error_and_closing_tells_everybody() {
        let mut table = InFlight::new();
        let (_, mut answer) = registered(&mut table);
        let reason = table.answer(77, Bytes::new()).unwrap_err();
        table.close(&reason);
        table.close("later reason");
        assert!(answer.try_recv().unwrap().unwrap_err().contains("77"));
        assert!(table.register(5, ApiKey::Fetch, None).unwrap_err().contains("77"));
    }

    #[test]
    fn frames_held_back_come_out_once_in_order() {
        let mut table = InFlight::new();
        assert_eq!(table.send_or_hold(Bytes::from_static(b"before")).unwrap(), "before");
        table.hold_back();
        assert_eq!(table.send_or_hold(Bytes::from_static(b"one")), None);
        assert_eq!(table.send_or_hold(Bytes::from_static(b"two")), None);
        assert_eq!(table.release(), ["one", "two"]);
        assert!(table.release().is_empty());
        assert!(table.send_or_hold(Bytes::from_static(b"after")).is_some());
    }

    #[test]
    fn ids_wrap_and_skip_the_ones_in_use() {
        let mut table = InFlight::new();
        let (zero, _answer) = registered(&mut table);
        table.next_correlation_id = i32::MAX;
        assert_eq!(table.take_id(), i32::MAX);
        assert_eq!(zero, 0);
        assert_eq!(table.take_id(), 1);
    }
}
