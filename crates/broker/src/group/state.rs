//! State machine of one consumer group (classic protocol).
//!
//! ```text
//!            join                  all joined, or rebalance timeout
//!   Empty ---------> Joining ------------------------------------> Syncing
//!     ^               ^   ^                                           |
//!     | last member   |   | join of a new or changed member,          | leader's sync
//!     | left          |   | leave, session timeout                    v
//!     +---------------+   +---------------------------------------- Stable
//! ```
//!
//! Time comes in as milliseconds of a monotonic clock. A join or sync that cannot be answered at once is parked under
//! its [`Ticket`]; the answer comes out of a later call as [`Answer`].

use std::collections::HashMap;

use bytes::Bytes;
use kanat_protocol::ErrorCode;

use super::member::{Member, Protocol};
use super::rebalance::InitialJoin;

/// Names a parked request to the caller.
pub(crate) type Ticket = u64;

/// Bounds and waits of a group.
#[derive(Debug, Clone)]
pub(crate) struct GroupOptions {
    pub(crate) initial_rebalance_delay_ms: u64,
    pub(crate) session_timeout_ms_min: u64,
    pub(crate) session_timeout_ms_max: u64,
    pub(crate) members_max: usize,
}

/// Phase of a group, with Kafka's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Empty,
    /// Waiting for members to join: Kafka's `PreparingRebalance`.
    Joining,
    /// Waiting for the leader's assignment: Kafka's `CompletingRebalance`.
    Syncing,
    Stable,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Joining => "PreparingRebalance",
            Self::Syncing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// JoinGroup as the state machine sees it.
#[derive(Debug, Clone)]
pub(crate) struct JoinRequest {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: u64,
    pub(crate) rebalance_timeout_ms: u64,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<Protocol>,
    /// The client can take MEMBER_ID_REQUIRED (version 4 and later).
    pub(crate) member_id_required: bool,
    /// The client can be a leader that keeps the standing assignment (version 9 and later).
    pub(crate) can_skip_assignment: bool,
}

/// SyncGroup as the state machine sees it.
#[derive(Debug, Clone)]
pub(crate) struct SyncRequest {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
    /// Type and name the client believes in, when its version sends them.
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// Good news for a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol_name: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    /// The leader is a returning static member and the old assignment stands.
    pub(crate) skip_assignment: bool,
    /// (member id, instance id, metadata), filled for the leader only.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

/// Answer to a join. An error carries the member id the client shall use next.
pub(crate) type JoinAnswer = Result<Joined, (ErrorCode, String)>;

/// Good news for a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol_name: String,
    pub(crate) assignment: Bytes,
}

/// Answer to a sync.
pub(crate) type SyncAnswer = Result<Synced, ErrorCode>;

/// Answer to a parked or fresh request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Join(Ticket, JoinAnswer),
    Sync(Ticket, SyncAnswer),
}

/// One consumer group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol_name: String,
    pub(super) leader: String,
    /// In the order they joined.
    pub(super) members: Vec<Member>,
    /// Member ids handed out with MEMBER_ID_REQUIRED, until when they may be used.
    pub(super) promised: HashMap<String, u64>,
    /// End of the join or sync phase.
    pub(super) phase_ends_ms: u64,
    pub(super) initial_join: Option<InitialJoin>,
}

impl Group {
    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// The protocol all members agreed on; empty while they have not.
    pub(crate) fn protocol_name(&self) -> &str {
        match self.state {
            State::Syncing | State::Stable => &self.protocol_name,
            State::Empty | State::Joining => "",
        }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Nobody is in it, or about to be.
    pub(crate) fn is_unused(&self) -> bool {
        self.state == State::Empty && self.promised.is_empty()
    }

    /// Handles a join. `token` makes new member ids unique across broker runs.
    pub(crate) fn join(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        request: JoinRequest,
        options: &GroupOptions,
        token: &str,
    ) -> Vec<Answer> {
        let refuse = |code, member_id: String| vec![Answer::Join(ticket, Err((code, member_id)))];
        if !(options.session_timeout_ms_min..=options.session_timeout_ms_max).contains(&request.session_timeout_ms) {
            return refuse(ErrorCode::InvalidSessionTimeout, request.member_id);
        }
        if !self.agrees(&request) {
            return refuse(ErrorCode::InconsistentGroupProtocol, request.member_id);
        }
        if let Some(index) = self.static_index(request.instance_id.as_deref()) {
            return self.rejoin_static(now_ms, ticket, index, request, options, token);
        }
        if request.member_id.is_empty() {
            let member_id = Self::new_member_id(&request, token);
            if self.members.len() + self.promised.len() >= options.members_max {
                return refuse(ErrorCode::GroupMaxSizeReached, String::new());
            }
            if request.member_id_required && request.instance_id.is_none() {
                self.promised.insert(member_id.clone(), now_ms + request.session_timeout_ms);
                return refuse(ErrorCode::MemberIdRequired, member_id);
            }
            return self.add_member(now_ms, ticket, member_id, request, options);
        }
        if self.promised.remove(&request.member_id).is_some() {
            let member_id = request.member_id.clone();
            return self.add_member(now_ms, ticket, member_id, request, options);
        }
        match self.index_of(&request.member_id) {
            Some(index) => self.rejoin(now_ms, ticket, index, request, options),
            None => refuse(ErrorCode::UnknownMemberId, request.member_id),
        }
    }

    /// Handles a sync.
    pub(crate) fn sync(&mut self, now_ms: u64, ticket: Ticket, request: SyncRequest) -> Vec<Answer> {
        let refuse = |code| vec![Answer::Sync(ticket, Err(code))];
        let index = match self.find_member(&request.member_id, request.instance_id.as_deref()) {
            Ok(index) => index,
            Err(code) => return refuse(code),
        };
        if request.generation != self.generation {
            return refuse(ErrorCode::IllegalGeneration);
        }
        let same = |told: &Option<String>, actual: &String| told.as_ref().is_none_or(|told| told == actual);
        if !same(&request.protocol_type, &self.protocol_type) || !same(&request.protocol_name, &self.protocol_name) {
            return refuse(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty => refuse(ErrorCode::UnknownMemberId),
            State::Joining => refuse(ErrorCode::RebalanceInProgress),
            State::Stable => {
                self.members[index].touch(now_ms);
                vec![Answer::Sync(ticket, Ok(self.synced(index)))]
            }
            State::Syncing => {
                self.members[index].touch(now_ms);
                let replaced = self.members[index].parked_sync.replace(ticket);
                let refused = replaced.map(|old| Answer::Sync(old, Err(ErrorCode::RebalanceInProgress)));
                let mut answers: Vec<Answer> = refused.into_iter().collect();
                if self.members[index].id == self.leader {
                    answers.extend(self.assign(now_ms, request.assignments));
                }
                answers
            }
        }
    }

    /// Handles a heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        now_ms: u64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let index = self.find_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.members[index].touch(now_ms);
        match self.state {
            State::Joining => Err(ErrorCode::RebalanceInProgress),
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::Syncing | State::Stable => Ok(()),
        }
    }

    /// Takes a member out. A static member may be named by its instance id alone.
    pub(crate) fn leave(
        &mut self,
        now_ms: u64,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> (Result<(), ErrorCode>, Vec<Answer>) {
        if self.promised.remove(member_id).is_some() {
            return (Ok(()), self.on_promise_gone(now_ms));
        }
        let found = match instance_id {
            Some(_) if member_id.is_empty() => self.static_index(instance_id).ok_or(ErrorCode::UnknownMemberId),
            _ => self.find_member(member_id, instance_id),
        };
        match found {
            Ok(index) => (Ok(()), self.remove_member(now_ms, index)),
            Err(code) => (Err(code), Vec::new()),
        }
    }

    /// Whether a commit by this member and generation may be stored. `generation` -1 is a commit from outside the
    /// group, which active members forbid.
    pub(crate) fn check_commit(
        &mut self,
        now_ms: u64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        transactional: bool,
    ) -> Result<(), ErrorCode> {
        let anonymous = generation < 0 && member_id.is_empty() && instance_id.is_none();
        // Old transactional commits do not say who sends them.
        if generation < 0 && self.state == State::Empty || anonymous && transactional {
            return Ok(());
        }
        let index = self.find_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.members[index].touch(now_ms);
        match self.state {
            State::Syncing if !transactional => Err(ErrorCode::RebalanceInProgress),
            State::Empty | State::Joining | State::Syncing | State::Stable => Ok(()),
        }
    }

    /// Earliest time at which [`Group::tick`] has something to do.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        let sessions = self.members.iter().filter_map(Member::session_deadline_ms);
        let phase = matches!(self.state, State::Joining | State::Syncing).then_some(self.phase_ends_ms);
        sessions.chain(phase).chain(self.promised.values().copied()).min()
    }

    /// Ends promises, sessions and phases whose time is up.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Vec<Answer> {
        let promised = self.promised.len();
        self.promised.retain(|_, until_ms| *until_ms > now_ms);
        let mut answers = Vec::new();
        if self.promised.len() < promised {
            answers.extend(self.on_promise_gone(now_ms));
        }
        while let Some(index) = self.members.iter().position(|member| member.is_expired(now_ms)) {
            answers.extend(self.remove_member(now_ms, index));
        }
        if matches!(self.state, State::Joining | State::Syncing) && now_ms >= self.phase_ends_ms {
            answers.extend(self.end_phase(now_ms));
        }
        answers
    }

    fn agrees(&self, request: &JoinRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        self.members.is_empty()
            || request.protocol_type == self.protocol_type
                && request.protocols.iter().any(|offered| {
                    let others = self.members.iter().filter(|member| member.id != request.member_id);
                    others.into_iter().all(|member| member.offers(&offered.name))
                })
    }

    fn index_of(&self, member_id: &str) -> Option<usize> {
        self.members.iter().position(|member| member.id == member_id)
    }

    fn static_index(&self, instance_id: Option<&str>) -> Option<usize> {
        let instance_id = instance_id?;
        self.members.iter().position(|member| member.instance_id.as_deref() == Some(instance_id))
    }

    fn find_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<usize, ErrorCode> {
        let by_id = self.index_of(member_id);
        if instance_id.is_none() {
            return by_id.ok_or(ErrorCode::UnknownMemberId);
        }
        match self.static_index(instance_id) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(index) if Some(index) == by_id => Ok(index),
            Some(_) => Err(ErrorCode::FencedInstanceId),
        }
    }
}
