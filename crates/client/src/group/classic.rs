//! The classic group protocol as a state machine: a member joins, the leader assigns, all synchronise, heartbeats go on.
//!
//! ```text
//!            join()          joined, leader             assign()
//!   Idle ------------> Joining ------------> Leading ------------> Syncing
//!    ^                  ^    \                                      ^  |
//!    | membership lost  |     +------ joined, follower -------------+  | synced
//!    |                  | join()                                      v
//!    +--------------- Stale <---- heartbeat says "rebalance" ------- Stable
//! ```
//!
//! No I/O and no clock inside: [`Classic::next_step`] says what to send or until when to wait, the answers come back
//! through the `on_` functions, and what the application is to learn waits in a queue. Answers that were overtaken by
//! the application's next `join` are recognised by the state they meet.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::ErrorCode;
use tokio::time::Instant;

use super::options::MembershipOptions;
use crate::error::Error;

/// One protocol a member offers when it joins: an assignor, a dialect of Connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinProtocol {
    /// Name; the group uses one that every member offers.
    pub name: String,
    /// Bytes the leader gets to see if this protocol is chosen.
    pub metadata: Bytes,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Id the coordinator gave it.
    pub member_id: String,
    /// Its own fixed name, when it has one.
    pub instance_id: Option<String>,
    /// What it sent for the protocol that was chosen.
    pub metadata: Bytes,
}

/// The members a leader assigns work to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// Protocol that was chosen.
    pub protocol: String,
    /// Generation of the group.
    pub generation: i32,
    /// All members, this one included.
    pub members: Vec<JoinedMember>,
    /// This is a static member that came back as the leader, and the assignment stands: answer with no assignments.
    pub skip_assignment: bool,
}

/// What the leader assigned to this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAssignment {
    /// Protocol that was chosen.
    pub protocol: String,
    /// Generation of the group.
    pub generation: i32,
    /// This member's id.
    pub member_id: String,
    /// The leader's id.
    pub leader_id: String,
    /// The leader's bytes; empty when it sent none for this member.
    pub assignment: Bytes,
}

/// What happens to a member.
#[derive(Debug, Clone)]
pub enum MembershipEvent {
    /// This member leads: answer with [`assign`](crate::Membership::assign).
    Lead(Leadership),
    /// Everybody has an assignment, this is the member's own.
    Assigned(MemberAssignment),
    /// The group rebalances: finish what the next assignment may take away, then [`join`](crate::Membership::join)
    /// within the rebalance timeout. Heartbeats go on meanwhile.
    Rebalance,
    /// The coordinator has taken this member out, for the reason given; whatever was assigned may be another member's
    /// already. [`join`](crate::Membership::join) starts anew.
    Lost(Error),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Join {
        member_id: String,
        protocols: Vec<JoinProtocol>,
        attempt: u64,
    },
    Sync {
        id: MemberId,
        protocol: String,
        assignments: Vec<(String, Bytes)>,
    },
    Heartbeat(MemberId),
    /// Nothing to send before this time, or before the machine is touched.
    Wait(Option<Instant>),
}

/// Names a member in one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberId {
    pub(crate) generation: i32,
    pub(crate) member_id: String,
}

/// A good answer to a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinAnswer {
    pub(crate) generation: i32,
    pub(crate) protocol: String,
    pub(crate) leader_id: String,
    pub(crate) member_id: String,
    pub(crate) skip_assignment: bool,
    pub(crate) members: Vec<JoinedMember>,
}

/// What the driver does before the next step.
#[derive(Debug, Clone)]
#[must_use]
pub(crate) enum Reaction {
    Go,
    /// Wait, and look for the coordinator again unless it is only loading.
    BackOff(Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Idle,
    Joining,
    Leading,
    Syncing(Vec<(String, Bytes)>),
    Stable,
    Stale,
    Ended,
}

/// One member of one group.
#[derive(Debug)]
pub(crate) struct Classic {
    heartbeat_interval: Duration,
    instance_id: Option<String>,
    phase: Phase,
    member_id: String,
    generation: i32,
    protocol: String,
    leader_id: String,
    protocols: Vec<JoinProtocol>,
    /// Counts calls of `join`, so that an answer to older protocols is recognised.
    attempt: u64,
    /// Something was assigned since the membership began.
    assigned: bool,
    heartbeat_due: Option<Instant>,
    events: VecDeque<Result<MembershipEvent, Error>>,
}

impl Classic {
    pub(crate) fn new(options: &MembershipOptions) -> Classic {
        Classic {
            heartbeat_interval: Duration::from_millis(u64::from(options.heartbeat_interval_ms)),
            instance_id: options.instance_id.clone(),
            phase: Phase::Idle,
            member_id: String::new(),
            generation: -1,
            protocol: String::new(),
            leader_id: String::new(),
            protocols: Vec::new(),
            attempt: 0,
            assigned: false,
            heartbeat_due: None,
            events: VecDeque::new(),
        }
    }

    /// The next event for the application. After a fatal error there is none any more.
    pub(crate) fn pop_event(&mut self) -> Option<Result<MembershipEvent, Error>> {
        self.events.pop_front()
    }

    pub(crate) fn push_error(&mut self, error: Error) {
        self.events.push_back(Err(error));
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The member in the present generation; generation -1 while it has none.
    pub(crate) fn id(&self) -> MemberId {
        MemberId { generation: self.generation, member_id: self.member_id.clone() }
    }

    pub(crate) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub(crate) fn is_leader(&self) -> bool {
        !self.leader_id.is_empty() && self.leader_id == self.member_id
    }

    /// Whether the generation may change any moment: a commit refused for its generation is worth another attempt.
    pub(crate) fn is_rebalancing(&self) -> bool {
        matches!(self.phase, Phase::Joining | Phase::Leading | Phase::Syncing(_))
    }

    /// Joins, or joins again with new metadata.
    pub(crate) fn join(&mut self, protocols: Vec<JoinProtocol>) {
        if self.phase != Phase::Ended {
            self.protocols = protocols;
            self.attempt += 1;
            self.phase = Phase::Joining;
            // What was announced belongs to the round before; the new one assigns anew.
            self.events.retain(|event| matches!(event, Ok(MembershipEvent::Lost(_)) | Err(_)));
        }
    }

    /// The leader's decision. Comes to nothing when the group has moved on.
    pub(crate) fn assign(&mut self, generation: i32, assignments: Vec<(String, Bytes)>) {
        if self.phase == Phase::Leading && self.generation == generation {
            self.phase = Phase::Syncing(assignments);
        }
    }

    /// No more of this member.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Ended;
    }

    /// Takes the member out on the client's side, as after `leave`.
    pub(crate) fn reset(&mut self) {
        (self.generation, self.assigned, self.phase) = (-1, false, Phase::Idle);
        self.member_id.clear();
        self.events.clear();
    }

    pub(crate) fn next_step(&mut self, now: Instant) -> Step {
        match &self.phase {
            Phase::Idle | Phase::Ended => Step::Wait(None),
            Phase::Joining => Step::Join {
                member_id: self.member_id.clone(),
                protocols: self.protocols.clone(),
                attempt: self.attempt,
            },
            Phase::Syncing(assignments) => {
                Step::Sync { id: self.id(), protocol: self.protocol.clone(), assignments: assignments.clone() }
            }
            Phase::Leading | Phase::Stable | Phase::Stale => {
                let due = *self.heartbeat_due.get_or_insert(now + self.heartbeat_interval);
                if due <= now { Step::Heartbeat(self.id()) } else { Step::Wait(Some(due)) }
            }
        }
    }

    /// Answer to a join. A refusal may carry the member id to use from now on.
    pub(crate) fn on_joined(
        &mut self,
        now: Instant,
        attempt: u64,
        answer: Result<JoinAnswer, (Error, Option<String>)>,
    ) -> Reaction {
        if self.phase != Phase::Joining {
            return Reaction::Go;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err((error, member_id)) => return self.on_join_refused(error, member_id),
        };
        self.heartbeat_due = Some(now + self.heartbeat_interval);
        self.member_id = answer.member_id;
        self.generation = answer.generation;
        self.protocol = answer.protocol;
        self.leader_id = answer.leader_id;
        if attempt != self.attempt {
            // The application has joined again since: the group has to hear of its new metadata.
            return Reaction::Go;
        }
        if self.is_leader() {
            self.phase = Phase::Leading;
            self.events.push_back(Ok(MembershipEvent::Lead(Leadership {
                protocol: self.protocol.clone(),
                generation: self.generation,
                members: answer.members,
                skip_assignment: answer.skip_assignment,
            })));
        } else {
            self.phase = Phase::Syncing(Vec::new());
        }
        Reaction::Go
    }

    fn on_join_refused(&mut self, error: Error, member_id: Option<String>) -> Reaction {
        match error.code() {
            Some(ErrorCode::MemberIdRequired) => {
                self.member_id = member_id.unwrap_or_default();
                Reaction::Go
            }
            Some(ErrorCode::RebalanceInProgress) => Reaction::BackOff(error),
            _ => self.on_refused(error),
        }
    }

    /// Answer to a sync.
    pub(crate) fn on_synced(&mut self, now: Instant, id: &MemberId, answer: Result<Bytes, Error>) -> Reaction {
        if !matches!(self.phase, Phase::Syncing(_)) || *id != self.id() {
            return Reaction::Go;
        }
        match answer {
            Ok(assignment) => {
                self.phase = Phase::Stable;
                self.assigned = true;
                self.heartbeat_due = Some(now + self.heartbeat_interval);
                self.events.push_back(Ok(MembershipEvent::Assigned(MemberAssignment {
                    protocol: self.protocol.clone(),
                    generation: self.generation,
                    member_id: self.member_id.clone(),
                    leader_id: self.leader_id.clone(),
                    assignment,
                })));
                Reaction::Go
            }
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => {
                // Another member joined: the same metadata holds for the next round.
                self.phase = Phase::Joining;
                Reaction::Go
            }
            Err(error) => self.on_refused(error),
        }
    }

    /// Answer to a heartbeat.
    pub(crate) fn on_heartbeat(&mut self, now: Instant, id: &MemberId, answer: Result<(), Error>) -> Reaction {
        if !matches!(self.phase, Phase::Leading | Phase::Stable | Phase::Stale) || *id != self.id() {
            return Reaction::Go;
        }
        match answer {
            Ok(()) => {
                self.heartbeat_due = Some(now + self.heartbeat_interval);
                Reaction::Go
            }
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => {
                self.heartbeat_due = Some(now + self.heartbeat_interval);
                match self.phase {
                    // The assignment just made is void already: the sync will say so.
                    Phase::Leading => {}
                    Phase::Stable => {
                        self.phase = Phase::Stale;
                        self.events.push_back(Ok(MembershipEvent::Rebalance));
                    }
                    _ => {}
                }
                Reaction::Go
            }
            Err(error) => self.on_refused(error),
        }
    }

    /// A commit was refused because the coordinator does not know this member or generation.
    pub(crate) fn on_fenced(&mut self, id: &MemberId, error: Error) {
        if *id == self.id() && matches!(self.phase, Phase::Leading | Phase::Stable | Phase::Stale) {
            // What is fenced is not retriable, so there is nothing to wait for.
            let _ = self.on_refused(error);
        }
    }

    /// What all requests have in common.
    fn on_refused(&mut self, error: Error) -> Reaction {
        match error.code() {
            Some(code @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)) => {
                if code == ErrorCode::UnknownMemberId {
                    self.member_id.clear();
                }
                self.generation = -1;
                if std::mem::take(&mut self.assigned) {
                    self.phase = Phase::Idle;
                    self.events.clear();
                    self.events.push_back(Ok(MembershipEvent::Lost(error)));
                } else {
                    self.phase = Phase::Joining;
                }
                Reaction::Go
            }
            _ if error.is_retriable() => Reaction::BackOff(error),
            _ => {
                // Fenced by another member of this instance id, no permission, no common protocol: final.
                self.phase = Phase::Ended;
                self.generation = -1;
                self.events.clear();
                if std::mem::take(&mut self.assigned) {
                    self.events.push_back(Ok(MembershipEvent::Lost(error.clone())));
                }
                self.events.push_back(Err(error));
                Reaction::Go
            }
        }
    }
}

#[cfg(test)]
#[path = "classic_tests.rs"]
mod tests;
