//! The rebalance itself: how a group moves between its states. The requests that cause it are in
//! [`state`](super::state).

use bytes::Bytes;
use kanat_protocol::ErrorCode;

use super::member::Member;
use super::state::{Answer, Group, GroupOptions, JoinRequest, Joined, State, Synced, Ticket};

/// The first members of a group wait for more, until nobody new came for a whole delay.
#[derive(Debug, Clone, Copy)]
pub(super) struct InitialJoin {
    delay_ms: u64,
    ends_ms: u64,
    joined_since: bool,
}

impl Group {
    pub(super) fn add_member(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        member_id: String,
        request: JoinRequest,
        options: &GroupOptions,
    ) -> Vec<Answer> {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
            self.leader.clone_from(&member_id);
        }
        let mut member = Member::new(now_ms, member_id, request);
        member.parked_join = Some(ticket);
        self.members.push(member);
        if let Some(initial) = &mut self.initial_join {
            initial.joined_since = true;
        }
        match self.state {
            State::Joining => self.complete_join_if_all_joined(now_ms),
            State::Empty | State::Syncing | State::Stable => self.start_join(now_ms, options),
        }
    }

    /// A known member joins again.
    pub(super) fn rejoin(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        index: usize,
        request: JoinRequest,
        options: &GroupOptions,
    ) -> Vec<Answer> {
        let member = &mut self.members[index];
        let unchanged = member.protocols == request.protocols;
        let is_leader = member.id == self.leader;
        member.update(now_ms, request);
        match self.state {
            // It missed our answer, or asks without a reason to rebalance.
            State::Syncing if unchanged => vec![Answer::Join(ticket, Ok(self.joined(index, false)))],
            State::Stable if unchanged && !is_leader => vec![Answer::Join(ticket, Ok(self.joined(index, false)))],
            State::Joining => {
                let mut answers = self.park_join(index, ticket);
                answers.extend(self.complete_join_if_all_joined(now_ms));
                answers
            }
            State::Empty | State::Syncing | State::Stable => {
                let mut answers = self.park_join(index, ticket);
                answers.extend(self.start_join(now_ms, options));
                answers
            }
        }
    }

    /// A join under a known instance id: the same member, or a restarted one that takes its place.
    pub(super) fn rejoin_static(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        index: usize,
        request: JoinRequest,
        options: &GroupOptions,
        token: &str,
    ) -> Vec<Answer> {
        if !request.member_id.is_empty() {
            if request.member_id != self.members[index].id {
                return vec![Answer::Join(ticket, Err((ErrorCode::FencedInstanceId, request.member_id)))];
            }
            return self.rejoin(now_ms, ticket, index, request, options);
        }
        let mut answers = self.answer_parked(index, ErrorCode::FencedInstanceId);
        let member_id = Self::new_member_id(&request, token);
        let was_leader = self.members[index].id == self.leader;
        if was_leader {
            self.leader.clone_from(&member_id);
        }
        self.members[index].id = member_id;
        let skip_assignment = was_leader && request.can_skip_assignment;
        self.members[index].update(now_ms, request);
        // As in Kafka, the choice of protocol must stand; what the member sends along for it is not compared.
        let same_protocol = self.vote() == self.protocol_name;
        if self.state == State::Stable && same_protocol && (!was_leader || skip_assignment) {
            answers.push(Answer::Join(ticket, Ok(self.joined(index, skip_assignment))));
            return answers;
        }
        answers.extend(self.park_join(index, ticket));
        answers.extend(match self.state {
            State::Joining => self.complete_join_if_all_joined(now_ms),
            State::Empty | State::Syncing | State::Stable => self.start_join(now_ms, options),
        });
        answers
    }

    /// Calls all members to join again.
    fn start_join(&mut self, now_ms: u64, options: &GroupOptions) -> Vec<Answer> {
        let rebalance_ms = self.rebalance_timeout_ms();
        let delay_ms = options.initial_rebalance_delay_ms.min(rebalance_ms);
        if self.state == State::Empty && delay_ms > 0 {
            let ends_ms = now_ms + rebalance_ms;
            self.initial_join = Some(InitialJoin { delay_ms, ends_ms, joined_since: false });
            self.state = State::Joining;
            self.phase_ends_ms = now_ms + delay_ms;
            return Vec::new();
        }
        let mut answers = self.answer_parked_syncs(ErrorCode::RebalanceInProgress);
        self.state = State::Joining;
        self.phase_ends_ms = now_ms + rebalance_ms;
        answers.extend(self.complete_join_if_all_joined(now_ms));
        answers
    }

    fn complete_join_if_all_joined(&mut self, now_ms: u64) -> Vec<Answer> {
        let all_joined = self.members.iter().all(|member| member.parked_join.is_some());
        if all_joined && self.promised.is_empty() && self.initial_join.is_none() {
            self.complete_join(now_ms)
        } else {
            Vec::new()
        }
    }

    /// The time of a phase is up.
    pub(super) fn end_phase(&mut self, now_ms: u64) -> Vec<Answer> {
        match self.state {
            State::Joining => match &mut self.initial_join {
                Some(initial) if initial.joined_since && now_ms < initial.ends_ms => {
                    initial.joined_since = false;
                    self.phase_ends_ms = initial.ends_ms.min(now_ms + initial.delay_ms);
                    Vec::new()
                }
                _ => self.complete_join(now_ms),
            },
            State::Syncing => {
                let mut answers = Vec::new();
                while let Some(index) = self.members.iter().position(|member| member.parked_sync.is_none()) {
                    answers.extend(self.take_out(index));
                }
                answers.extend(self.rebalance_without_new_members(now_ms));
                answers
            }
            State::Empty | State::Stable => Vec::new(),
        }
    }

    /// Ends the join phase: who did not come is out (static members may return until their session ends).
    fn complete_join(&mut self, now_ms: u64) -> Vec<Answer> {
        self.initial_join = None;
        self.members.retain(|member| member.parked_join.is_some() || member.instance_id.is_some());
        if self.members.is_empty() {
            self.become_empty();
            return Vec::new();
        }
        let has_joined = |member: &&Member| member.parked_join.is_some();
        let leader_joined = self.members.iter().filter(has_joined).any(|member| member.id == self.leader);
        if !leader_joined {
            match self.members.iter().find(has_joined) {
                Some(member) => self.leader = member.id.clone(),
                None => {
                    self.phase_ends_ms = now_ms + self.rebalance_timeout_ms();
                    return Vec::new();
                }
            }
        }
        self.generation += 1;
        self.protocol_name = self.vote();
        self.state = State::Syncing;
        self.phase_ends_ms = now_ms + self.rebalance_timeout_ms();
        let mut answers = Vec::with_capacity(self.members.len());
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            member.touch(now_ms);
            if let Some(ticket) = member.parked_join.take() {
                answers.push(Answer::Join(ticket, Ok(self.joined(index, false))));
            }
        }
        answers
    }

    /// The leader's assignment arrived.
    pub(super) fn assign(&mut self, now_ms: u64, assignments: Vec<(String, Bytes)>) -> Vec<Answer> {
        for member in &mut self.members {
            let assigned = assignments.iter().find(|(member_id, _)| *member_id == member.id);
            member.assignment = assigned.map(|(_, assignment)| assignment.clone()).unwrap_or_default();
        }
        self.state = State::Stable;
        let mut answers = Vec::new();
        for index in 0..self.members.len() {
            if let Some(ticket) = self.members[index].parked_sync.take() {
                self.members[index].touch(now_ms);
                answers.push(Answer::Sync(ticket, Ok(self.synced(index))));
            }
        }
        answers
    }

    pub(super) fn remove_member(&mut self, now_ms: u64, index: usize) -> Vec<Answer> {
        let mut answers = self.take_out(index);
        answers.extend(self.rebalance_without_new_members(now_ms));
        answers
    }

    fn take_out(&mut self, index: usize) -> Vec<Answer> {
        let answers = self.answer_parked(index, ErrorCode::UnknownMemberId);
        let member = self.members.remove(index);
        if member.id == self.leader {
            self.leader = self.members.first().map(|member| member.id.clone()).unwrap_or_default();
        }
        answers
    }

    /// A promised member id will not be used: the others need not wait for it.
    pub(super) fn on_promise_gone(&mut self, now_ms: u64) -> Vec<Answer> {
        match self.state {
            State::Joining if !self.members.is_empty() => self.complete_join_if_all_joined(now_ms),
            State::Empty | State::Joining | State::Syncing | State::Stable => Vec::new(),
        }
    }

    fn rebalance_without_new_members(&mut self, now_ms: u64) -> Vec<Answer> {
        if self.members.is_empty() {
            self.become_empty();
            return Vec::new();
        }
        match self.state {
            State::Empty => Vec::new(),
            State::Joining => self.complete_join_if_all_joined(now_ms),
            State::Syncing | State::Stable => {
                let mut answers = self.answer_parked_syncs(ErrorCode::RebalanceInProgress);
                self.state = State::Joining;
                self.phase_ends_ms = now_ms + self.rebalance_timeout_ms();
                answers.extend(self.complete_join_if_all_joined(now_ms));
                answers
            }
        }
    }

    fn become_empty(&mut self) {
        self.initial_join = None;
        self.generation += 1;
        self.state = State::Empty;
        self.protocol_name.clear();
        self.leader.clear();
    }

    fn park_join(&mut self, index: usize, ticket: Ticket) -> Vec<Answer> {
        let member = &mut self.members[index];
        let member_id = member.id.clone();
        let replaced = member.parked_join.replace(ticket);
        replaced.map(|old| Answer::Join(old, Err((ErrorCode::RebalanceInProgress, member_id)))).into_iter().collect()
    }

    fn answer_parked(&mut self, index: usize, code: ErrorCode) -> Vec<Answer> {
        let member = &mut self.members[index];
        let join = member.parked_join.take().map(|ticket| Answer::Join(ticket, Err((code, member.id.clone()))));
        let sync = member.parked_sync.take().map(|ticket| Answer::Sync(ticket, Err(code)));
        join.into_iter().chain(sync).collect()
    }

    fn answer_parked_syncs(&mut self, code: ErrorCode) -> Vec<Answer> {
        let parked = self.members.iter_mut().filter_map(|member| member.parked_sync.take());
        parked.map(|ticket| Answer::Sync(ticket, Err(code))).collect()
    }

    pub(super) fn joined(&self, index: usize, skip_assignment: bool) -> Joined {
        let member = &self.members[index];
        let listed = if member.id == self.leader { self.members.as_slice() } else { &[] };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            member_id: member.id.clone(),
            skip_assignment,
            members: listed
                .iter()
                .map(|member| (member.id.clone(), member.instance_id.clone(), member.metadata(&self.protocol_name)))
                .collect(),
        }
    }

    pub(super) fn synced(&self, index: usize) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.members[index].assignment.clone(),
        }
    }

    /// Each member votes for the first of its protocols that everybody offers.
    fn vote(&self) -> String {
        let common = |name: &str| self.members.iter().all(|member| member.offers(name));
        let votes: Vec<&str> = self
            .members
            .iter()
            .filter_map(|member| member.protocols.iter().map(|offered| offered.name.as_str()).find(|name| common(name)))
            .collect();
        let count = |name: &str| votes.iter().filter(|vote| **vote == name).count();
        let winner = votes.iter().copied().rev().max_by_key(|name| count(name));
        winner.unwrap_or_default().to_owned()
    }

    fn rebalance_timeout_ms(&self) -> u64 {
        self.members.iter().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    pub(super) fn new_member_id(request: &JoinRequest, token: &str) -> String {
        format!("{}-{token}", request.instance_id.as_deref().unwrap_or(&request.client_id))
    }
}
