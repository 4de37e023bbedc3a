//! The consumer group protocol (KIP-848) as a state machine: one heartbeat carries everything both ways.
//!
//! ```text
//!   Joining ── epoch ──> Member ── target differs from what is held ──> revoke, then take over ──> acknowledged
//!      ^                   │                                            (by whoever holds the partitions)
//!      └── join() ── Idle <┘ fenced: the coordinator has given the partitions away
//! ```
//!
//! The coordinator names the partitions a member may hold now, the member gives up the others and says what it holds,
//! and only then gets what others gave up. A heartbeat names the subscription and the partitions only when they
//! changed; after a failed request, or at another coordinator, it names everything again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kanat_protocol::ErrorCode;
use tokio::time::Instant;

use super::classic::{MemberId, Reaction};
use crate::error::Error;

/// Epoch of a member that joins.
const JOIN_EPOCH: i32 = 0;

/// Partition numbers by topic id.
pub(crate) type Partitions = BTreeMap<u128, Vec<i32>>;

/// What a member tells of its subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Interests {
    pub(crate) topics: Vec<String>,
    pub(crate) regex: Option<String>,
}

/// One heartbeat. What is `None` has not changed since the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) id: MemberId,
    pub(crate) interests: Option<Interests>,
    pub(crate) held: Option<Partitions>,
    /// Names this heartbeat, so that its answer settles what it told and not what changed since.
    pub(crate) number: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Beat(Beat),
    Wait(Option<Instant>),
}

/// A good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BeatAnswer {
    pub(crate) epoch: i32,
    /// Id the coordinator gave, on brokers that give one.
    pub(crate) member_id: Option<String>,
    pub(crate) heartbeat_interval_ms: u64,
    /// The partitions to hold, when they changed.
    pub(crate) target: Option<Partitions>,
}

/// What happens to the member.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Hold these partitions and no others.
    Target(Partitions),
    /// The coordinator has taken the member out.
    Lost(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Member,
    Ended,
}

/// One member of one group.
#[derive(Debug)]
pub(crate) struct Modern {
    phase: Phase,
    member_id: String,
    epoch: i32,
    interests: Interests,
    held: Partitions,
    target: Option<Partitions>,
    /// Whether the coordinator knows `interests` and `held`.
    interests_told: bool,
    held_told: bool,
    number: u64,
    interval: Duration,
    due: Option<Instant>,
    events: VecDeque<Result<Event, Error>>,
}

impl Modern {
    /// `seed` makes the member id, which stays the same as long as the member lives.
    pub(crate) fn new(interests: Interests, seed: [u8; 16]) -> Modern {
        Modern {
            phase: Phase::Idle,
            member_id: URL_SAFE_NO_PAD.encode(seed),
            epoch: JOIN_EPOCH,
            interests,
            held: Partitions::new(),
            target: None,
            interests_told: false,
            held_told: false,
            number: 0,
            // Until the coordinator names its own.
            interval: Duration::from_secs(1),
            due: None,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn pop_event(&mut self) -> Option<Result<Event, Error>> {
        self.events.pop_front()
    }

    pub(crate) fn push_error(&mut self, error: Error) {
        self.events.push_back(Err(error));
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The member and its epoch, -1 while it is no member.
    pub(crate) fn id(&self) -> MemberId {
        let generation = if self.phase == Phase::Member && self.epoch > JOIN_EPOCH { self.epoch } else { -1 };
        MemberId { generation, member_id: self.member_id.clone() }
    }

    /// Joins, holding nothing.
    pub(crate) fn join(&mut self) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Member;
            self.epoch = JOIN_EPOCH;
            self.held.clear();
            self.target = None;
            self.repeat_everything();
            self.due = None;
        }
    }

    /// Another subscription, told at once.
    pub(crate) fn subscribe(&mut self, interests: Interests) {
        if self.interests != interests {
            self.interests = interests;
            (self.interests_told, self.due) = (false, None);
        }
    }

    /// What the member holds now, told at once: this is how the coordinator learns that partitions were given up.
    pub(crate) fn hold(&mut self, held: Partitions) {
        self.held = held;
        (self.held_told, self.due) = (false, None);
    }

    pub(crate) fn end(&mut self) {
        self.phase = Phase::Ended;
    }

    /// Takes the member out on the client's side, as after leaving.
    pub(crate) fn reset(&mut self) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Idle;
            self.epoch = JOIN_EPOCH;
            self.events.clear();
        }
    }

    fn repeat_everything(&mut self) {
        (self.interests_told, self.held_told) = (false, false);
    }

    pub(crate) fn next_step(&mut self, now: Instant) -> Step {
        if self.phase != Phase::Member {
            return Step::Wait(None);
        }
        match self.due {
            Some(due) if due > now => Step::Wait(Some(due)),
            _ => {
                self.number += 1;
                Step::Beat(Beat {
                    id: MemberId { generation: self.epoch, member_id: self.member_id.clone() },
                    interests: (!self.interests_told).then(|| self.interests.clone()),
                    held: (!self.held_told).then(|| self.held.clone()),
                    number: self.number,
                })
            }
        }
    }

    /// Answer to a heartbeat.
    pub(crate) fn on_answer(&mut self, now: Instant, beat: &Beat, answer: Result<BeatAnswer, Error>) -> Reaction {
        let same = beat.number == self.number && beat.id.generation == self.epoch;
        if self.phase != Phase::Member || !same {
            return Reaction::Go;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.on_refused(error),
        };
        self.epoch = answer.epoch;
        if let Some(member_id) = answer.member_id.filter(|id| !id.is_empty()) {
            self.member_id = member_id;
        }
        self.interval = Duration::from_millis(answer.heartbeat_interval_ms.max(1));
        self.interests_told = self.interests_told || beat.interests.as_ref() == Some(&self.interests);
        self.held_told = self.held_told || beat.held.as_ref() == Some(&self.held);
        let settled = self.interests_told && self.held_told;
        self.due = settled.then(|| now + self.interval);
        if let Some(target) = answer.target.filter(|target| self.target.as_ref() != Some(target)) {
            self.target = Some(target.clone());
            // Only the newest counts.
            self.events.retain(|event| !matches!(event, Ok(Event::Target(_))));
            self.events.push_back(Ok(Event::Target(target)));
        }
        Reaction::Go
    }

    /// A commit was refused because the coordinator does not know this member or epoch.
    pub(crate) fn on_fenced(&mut self, id: &MemberId, error: Error) {
        if *id == self.id() && self.phase == Phase::Member {
            self.lose(error);
        }
    }

    fn lose(&mut self, error: Error) {
        self.reset();
        self.events.push_back(Ok(Event::Lost(error)));
    }

    fn on_refused(&mut self, error: Error) -> Reaction {
        match error.code() {
            Some(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => {
                self.lose(error);
                Reaction::Go
            }
            // The group is gone, and with it what this member held. To one that joins it means a group of another kind.
            Some(ErrorCode::GroupIdNotFound) if self.epoch > JOIN_EPOCH => {
                self.lose(error);
                Reaction::Go
            }
            // The member before with this instance id is not gone yet.
            Some(ErrorCode::UnreleasedInstanceId) => {
                self.repeat_everything();
                Reaction::BackOff(error)
            }
            _ if error.is_retriable() => {
                self.repeat_everything();
                Reaction::BackOff(error)
            }
            _ => {
                let held = self.epoch > JOIN_EPOCH;
                self.events.clear();
                self.phase = Phase::Ended;
                if held {
                    self.events.push_back(Ok(Event::Lost(error.clone())));
                }
                self.events.push_back(Err(error));
                Reaction::Go
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kanat_protocol::messages::ApiKey;

    use super::*;

    fn refusal(code: ErrorCode) -> Error {
        let api = ApiKey::ConsumerGroupHeartbeat;
        Error::Server { address: "b:1".into(), api, subject: "g".into(), code, message: None }
    }

    fn interests(topic: &str) -> Interests {
        Interests { topics: vec![topic.to_owned()], regex: None }
    }

    fn beat(machine: &mut Modern, now: Instant) -> Beat {
        match machine.next_step(now) {
            Step::Beat(beat) => beat,
            other => panic!("expected a heartbeat, got {other:?}"),
        }
    }

    fn answer(epoch: i32, target: Option<Partitions>) -> Result<BeatAnswer, Error> {
        Ok(BeatAnswer { epoch, member_id: None, heartbeat_interval_ms: 5_000, target })
    }

    fn target(partitions: &[i32]) -> Partitions {
        Partitions::from([(1, partitions.to_vec())])
    }

    fn member() -> (Modern, Instant) {
        let (mut machine, now) = (Modern::new(interests("t"), [7; 16]), Instant::now());
        assert_eq!(machine.next_step(now), Step::Wait(None));
        machine.join();
        let first = beat(&mut machine, now);
        let _ = machine.on_answer(now, &first, answer(1, Some(target(&[0, 1]))));
        (machine, now)
    }

    #[test]
    fn the_first_heartbeat_says_everything_and_the_next_only_what_changed() {
        let (mut machine, now) = (Modern::new(interests("t"), [7; 16]), Instant::now());
        machine.join();
        let first = beat(&mut machine, now);
        assert_eq!((first.id.generation, first.held.clone()), (0, Some(Partitions::new())));
        assert_eq!(first.id.member_id.len(), 22, "the form of Kafka's own ids");
        assert_eq!(first.interests, Some(interests("t")));
        assert_eq!(machine.id().generation, -1, "no member yet");
        let _ = machine.on_answer(now, &first, answer(1, Some(target(&[0, 1]))));
        assert!(matches!(machine.pop_event(), Some(Ok(Event::Target(named))) if named == target(&[0, 1])));
        assert_eq!(machine.next_step(now), Step::Wait(Some(now + Duration::from_secs(5))));

        machine.hold(target(&[0, 1]));
        let second = beat(&mut machine, now);
        assert_eq!(
            (second.id.generation, second.interests.clone(), second.held.clone()),
            (1, None, Some(target(&[0, 1])))
        );
        let _ = machine.on_answer(now, &second, answer(1, None));
        let third = beat(&mut machine, now + Duration::from_secs(5));
        assert_eq!((third.interests, third.held), (None, None));
    }

    #[test]
    fn what_changes_while_a_heartbeat_is_under_way_is_told_by_the_next() {
        let (mut machine, now) = member();
        machine.hold(target(&[0, 1]));
        let second = beat(&mut machine, now);
        machine.hold(target(&[0]));
        machine.subscribe(interests("u"));
        let _ = machine.on_answer(now, &second, answer(2, None));
        let third = beat(&mut machine, now);
        assert_eq!((third.interests, third.held), (Some(interests("u")), Some(target(&[0]))));
    }

    #[test]
    fn only_the_newest_target_counts_and_the_same_one_is_not_told_again() {
        let (mut machine, now) = member();
        machine.hold(Partitions::new());
        let second = beat(&mut machine, now);
        let _ = machine.on_answer(now, &second, answer(1, Some(target(&[0]))));
        assert!(matches!(machine.pop_event(), Some(Ok(Event::Target(named))) if named == target(&[0])));
        machine.hold(target(&[0]));
        let third = beat(&mut machine, now);
        let _ = machine.on_answer(now, &third, answer(1, Some(target(&[0]))));
        assert!(machine.pop_event().is_none());
    }

    #[test]
    fn everything_is_said_again_after_a_failure() {
        let (mut machine, now) = member();
        machine.hold(target(&[0, 1]));
        let second = beat(&mut machine, now);
        let reaction = machine.on_answer(now, &second, Err(refusal(ErrorCode::NotCoordinator)));
        assert!(matches!(reaction, Reaction::BackOff(_)));
        let third = beat(&mut machine, now);
        assert_eq!((third.interests, third.held), (Some(interests("t")), Some(target(&[0, 1]))));
        assert_eq!(third.id.generation, 1, "still the same member");
    }

    #[test]
    fn a_fenced_member_joins_again_under_its_id_holding_nothing() {
        for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId, ErrorCode::GroupIdNotFound] {
            let (mut machine, now) = member();
            machine.hold(target(&[0, 1]));
            let second = beat(&mut machine, now);
            let _ = machine.on_answer(now, &second, Err(refusal(code)));
            assert!(matches!(machine.pop_event(), Some(Ok(Event::Lost(_)))), "an older target is void");
            assert_eq!(machine.next_step(now), Step::Wait(None));
            machine.join();
            let again = beat(&mut machine, now);
            assert_eq!((again.id.generation, again.held), (0, Some(Partitions::new())));
            assert_eq!(again.id.member_id, second.id.member_id);
        }
    }

    #[test]
    fn an_instance_id_that_is_not_released_yet_is_waited_for() {
        let (mut machine, now) = (Modern::new(interests("t"), [7; 16]), Instant::now());
        machine.join();
        let first = beat(&mut machine, now);
        let reaction = machine.on_answer(now, &first, Err(refusal(ErrorCode::UnreleasedInstanceId)));
        assert!(matches!(reaction, Reaction::BackOff(_)));
        assert!(matches!(machine.next_step(now), Step::Beat(_)));
    }

    #[test]
    fn a_refusal_that_stays_ends_the_member() {
        let (mut machine, now) = member();
        machine.hold(target(&[0, 1]));
        let second = beat(&mut machine, now);
        let _ = machine.on_answer(now, &second, Err(refusal(ErrorCode::FencedInstanceId)));
        assert!(matches!(machine.pop_event(), Some(Ok(Event::Lost(_)))));
        assert!(matches!(machine.pop_event(), Some(Err(_))));
        assert!(machine.has_ended());
    }
}
