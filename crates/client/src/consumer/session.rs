//! The fetch session of one consumer with one broker (KIP-227), as a state machine without I/O.
//!
//! A session lets a fetch name only the partitions that changed since the one before. The machine is told what every
//! partition wants now ([`FetchSession::next_request`]) and what the broker answered; it says what to send. Whenever
//! the two sides may disagree (lost answer, unknown session, wrong epoch) the next request is a full one, which closes
//! the old session if there may be one.

use std::collections::HashMap;

use crate::types::{TopicId, TopicPartition};

/// Epoch of a request that opens a session.
const EPOCH_FULL: i32 = 0;
/// Epoch of a request outside any session; with a session id it ends that session.
const EPOCH_NONE: i32 = -1;

/// What one partition needs from the next fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) bytes_max: i32,
}

/// A partition to take out of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forget {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Option<TopicId>,
}

/// What to put into the next fetch request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) send: Vec<Want>,
    pub(crate) forget: Vec<Forget>,
}

/// What a fetch answer means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionAnswer {
    /// The answer is good. Holds the session id of the answer; 0 when the broker keeps no session.
    Accepted(i32),
    /// The broker does not know the session any more.
    UnknownSession,
    /// The broker knows the session in another state.
    OutOfStep,
}

/// The session's state: its id, the epoch of the next request, and what the broker holds for it.
#[derive(Debug, Default)]
pub(crate) struct FetchSession {
    id: i32,
    epoch: i32,
    held: HashMap<TopicPartition, Want>,
}

impl FetchSession {
    /// The next request, given what every partition wants. Partitions that are not in `wants` leave the session.
    pub(crate) fn next_request(&mut self, wants: Vec<Want>) -> SessionRequest {
        if self.epoch == EPOCH_FULL {
            self.held = wants.iter().map(|want| (want.partition.clone(), want.clone())).collect();
            return SessionRequest { session_id: self.id, session_epoch: EPOCH_FULL, send: wants, forget: Vec::new() };
        }
        let mut left = std::mem::take(&mut self.held);
        let mut forget = Vec::new();
        let mut send = Vec::new();
        for want in wants {
            match left.remove(&want.partition) {
                Some(held) if held == want => {}
                Some(held) if held.topic_id != want.topic_id => {
                    forget.push(Forget { partition: held.partition, topic_id: held.topic_id });
                    send.push(want.clone());
                }
                _ => send.push(want.clone()),
            }
            self.held.insert(want.partition.clone(), want);
        }
        let mut left: Vec<Want> = left.into_values().collect();
        left.sort_unstable_by(|one, other| one.partition.cmp(&other.partition));
        forget.extend(left.into_iter().map(|held| Forget { partition: held.partition, topic_id: held.topic_id }));
        SessionRequest { session_id: self.id, session_epoch: self.epoch, send, forget }
    }

    /// Ends the session: the id to close at the broker, if there is one.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let id = self.id;
        self.restart(0);
        (id != 0).then_some(id)
    }

    /// The session the broker keeps, 0 for none.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// A request outside any session, for brokers whose fetch has none.
    pub(crate) fn sessionless_request(&mut self, wants: Vec<Want>) -> SessionRequest {
        self.restart(0);
        SessionRequest { session_id: 0, session_epoch: EPOCH_NONE, send: wants, forget: Vec::new() }
    }

    /// The request that ends a session.
    pub(crate) fn closing_request(session_id: i32) -> SessionRequest {
        SessionRequest { session_id, session_epoch: EPOCH_NONE, send: Vec::new(), forget: Vec::new() }
    }

    /// The broker answered the last request.
    pub(crate) fn on_answer(&mut self, answer: SessionAnswer) {
        match answer {
            SessionAnswer::Accepted(0) | SessionAnswer::UnknownSession => self.restart(0),
            SessionAnswer::Accepted(id) => {
                self.id = id;
                self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
            }
            SessionAnswer::OutOfStep => self.restart(self.id),
        }
    }

    /// The last request has no answer: whether the broker applied it is unknown.
    pub(crate) fn on_lost(&mut self) {
        self.restart(self.id);
    }

    /// The next request is a full one; `id` names the session it replaces, 0 for none.
    fn restart(&mut self, id: i32) {
        self.id = id;
        self.epoch = EPOCH_FULL;
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The broker's side as KIP-227 has it.
    #[derive(Debug, Default)]
    struct BrokerModel {
        sessions: HashMap<i32, (i32, HashMap<TopicPartition, Want>)>,
        last_id: i32,
        refuses_sessions: bool,
    }

    impl BrokerModel {
        /// The answer, and the partitions fetched.
        fn fetch(&mut self, request: &SessionRequest) -> (SessionAnswer, HashMap<TopicPartition, Want>) {
            let sent = || request.send.iter().map(|want| (want.partition.clone(), want.clone())).collect();
            if request.session_epoch == EPOCH_FULL {
                self.sessions.remove(&request.session_id);
                if self.refuses_sessions {
                    return (SessionAnswer::Accepted(0), sent());
                }
                self.last_id += 1;
                self.sessions.insert(self.last_id, (1, sent()));
                return (SessionAnswer::Accepted(self.last_id), sent());
            }
            let Some((epoch, held)) = self.sessions.get_mut(&request.session_id) else {
                return (SessionAnswer::UnknownSession, HashMap::new());
            };
            if *epoch != request.session_epoch {
                return (SessionAnswer::OutOfStep, HashMap::new());
            }
            *epoch += 1;
            for forget in &request.forget {
                let known = held.remove(&forget.partition).expect("only partitions in the session are forgotten");
                assert_eq!(known.topic_id, forget.topic_id);
            }
            held.extend(request.send.iter().map(|want| (want.partition.clone(), want.clone())));
            (SessionAnswer::Accepted(request.session_id), held.clone())
        }
    }

    #[derive(Debug, Clone)]
    enum Event {
        Fetch(Vec<(i32, i64, u128)>),
        LostBefore(Vec<(i32, i64, u128)>),
        LostAfter(Vec<(i32, i64, u128)>),
        Evict,
        RefuseSessions(bool),
    }

    fn event() -> impl Strategy<Value = Event> {
        let wants = || proptest::collection::vec((0..6i32, 0..3i64, 1..3u128), 0..6);
        prop_oneof![
            6 => wants().prop_map(Event::Fetch),
            1 => wants().prop_map(Event::LostBefore),
            1 => wants().prop_map(Event::LostAfter),
            1 => Just(Event::Evict),
            1 => any::<bool>().prop_map(Event::RefuseSessions),
        ]
    }

    fn wants(raw: &[(i32, i64, u128)]) -> Vec<Want> {
        let by_partition: HashMap<i32, (i64, u128)> = raw.iter().map(|(p, o, id)| (*p, (*o, *id))).collect();
        let want = |(partition, (offset, id)): (i32, (i64, u128))| Want {
            partition: TopicPartition::new("t", partition),
            topic_id: Some(TopicId(id)),
            offset,
            leader_epoch: 0,
            bytes_max: 1,
        };
        by_partition.into_iter().map(want).collect()
    }

    proptest! {
        /// Whatever is lost, evicted or refused: an accepted fetch reads exactly the wanted partitions at the wanted
        /// offsets, and a refused one is followed by an accepted one.
        #[test]
        fn an_accepted_fetch_reads_exactly_what_is_wanted(events in proptest::collection::vec(event(), 1..60)) {
            let mut session = FetchSession::default();
            let mut broker = BrokerModel::default();
            for event in events {
                match event {
                    Event::Evict => broker.sessions.clear(),
                    Event::RefuseSessions(refuses) => broker.refuses_sessions = refuses,
                    Event::LostBefore(raw) => {
                        session.next_request(wants(&raw));
                        session.on_lost();
                    }
                    Event::LostAfter(raw) => {
                        let request = session.next_request(wants(&raw));
                        broker.fetch(&request);
                        session.on_lost();
                    }
                    Event::Fetch(raw) => {
                        let wanted = wants(&raw);
                        let mut answered = None;
                        for _ in 0..2 {
                            let (answer, fetched) = broker.fetch(&session.next_request(wanted.clone()));
                            session.on_answer(answer);
                            if matches!(answer, SessionAnswer::Accepted(_)) {
                                answered = Some(fetched);
                                break;
                            }
                        }
                        let fetched = answered.expect("the second attempt is a full fetch");
                        let wanted = wanted.into_iter().map(|want| (want.partition.clone(), want)).collect();
                        prop_assert_eq!(fetched, wanted);
                    }
                }
            }
        }
    }

    #[test]
    fn an_unchanged_partition_is_not_sent_again() {
        let mut session = FetchSession::default();
        let mut broker = BrokerModel::default();
        let (answer, _) = broker.fetch(&session.next_request(wants(&[(0, 5, 1), (1, 5, 1)])));
        session.on_answer(answer);
        let request = session.next_request(wants(&[(0, 5, 1), (1, 6, 1)]));
        assert_eq!((request.send.len(), request.forget.len()), (1, 0));
        assert_eq!(request.send[0].partition.partition, 1);
        broker.fetch(&request);
        session.on_answer(SessionAnswer::Accepted(request.session_id));
        let request = session.next_request(wants(&[(1, 6, 1)]));
        assert_eq!((request.send.len(), request.forget.len()), (0, 1));
    }

    #[test]
    fn epochs_wrap_to_one() {
        let mut session = FetchSession { id: 4, epoch: i32::MAX, held: HashMap::new() };
        session.on_answer(SessionAnswer::Accepted(4));
        assert_eq!(session.next_request(Vec::new()).session_epoch, 1);
    }
}
