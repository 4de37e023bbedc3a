//! State machine of one consumer group with the protocol of KIP-848.
//!
//! Members say in heartbeats what they subscribe to and which partitions they own. Each change of members,
//! subscriptions or topics raises the group epoch; the next heartbeat then computes a target assignment for that epoch.
//! A member walks to its target on its own: it first gives up what it must lose (`Unrevoked`), then takes over what
//! others have let go of (`Unreleased` while some of it is still held), and carries the epoch of its target from then
//! on. Nobody waits for the slowest member. Time comes in as milliseconds of a monotonic clock.

use std::collections::{BTreeMap, BTreeSet};

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::Uuid;

use super::assignors::{Assignor, Subscriber};
use crate::error::Refusal;
use crate::pattern::Pattern;

/// Epoch of a request that joins.
const JOIN_EPOCH: i32 = 0;
/// Epoch of a request that leaves for good.
const LEAVE_EPOCH: i32 = -1;
/// Epoch of a request of a static member that will be back.
const STATIC_LEAVE_EPOCH: i32 = -2;

/// Partitions, by topic id.
pub(crate) type Assignment = BTreeSet<(Uuid, i32)>;
/// Id and number of partitions of topics by name.
pub(crate) type TopicView = BTreeMap<String, (Uuid, i32)>;

/// Waits and bounds of groups.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerOptions {
    pub(crate) session_timeout_ms: u64,
    pub(crate) heartbeat_interval_ms: i32,
    pub(crate) members_max: usize,
}

/// ConsumerGroupHeartbeat as the state machine sees it. `None` means that nothing changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConsumerHeartbeat {
    pub(crate) member_id: String,
    pub(crate) member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) rebalance_timeout_ms: Option<u64>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) topics: Option<BTreeSet<String>>,
    pub(crate) regex: Option<String>,
    pub(crate) assignor: Option<String>,
    pub(crate) owned: Option<Assignment>,
}

/// Good news for a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerAnswer {
    pub(crate) member_id: String,
    pub(crate) member_epoch: i32,
    pub(crate) heartbeat_interval_ms: i32,
    /// What the member shall own, when that is news to it.
    pub(crate) assignment: Option<Assignment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Stable,
    /// Holds partitions it must give up.
    Unrevoked,
    /// Waits for partitions that others hold.
    Unreleased,
}

/// A member.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerMember {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) epoch: i32,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) regex: Option<String>,
    pub(crate) assigned: Assignment,
    pub(super) assignor: Option<Assignor>,
    pub(super) previous_epoch: i32,
    pub(super) revoking: Assignment,
    pub(super) progress: Progress,
    pub(super) rebalance_timeout_ms: u64,
    pub(super) session_ends_ms: u64,
    pub(super) revocation_ends_ms: Option<u64>,
}

impl ConsumerMember {
    pub(super) fn new(id: String, instance_id: Option<String>) -> Self {
        Self {
            id,
            instance_id,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            epoch: JOIN_EPOCH,
            topics: BTreeSet::new(),
            regex: None,
            assigned: Assignment::new(),
            assignor: None,
            previous_epoch: JOIN_EPOCH,
            revoking: Assignment::new(),
            progress: Progress::Stable,
            rebalance_timeout_ms: 0,
            session_ends_ms: 0,
            revocation_ends_ms: None,
        }
    }

    /// Takes over what a heartbeat says; tells whether the group has to assign anew.
    fn update(&mut self, request: &ConsumerHeartbeat) -> Result<bool, Refusal> {
        self.client_id.clone_from(&request.client_id);
        self.client_host.clone_from(&request.client_host);
        if request.rack_id.is_some() {
            self.rack_id.clone_from(&request.rack_id);
        }
        self.rebalance_timeout_ms = request.rebalance_timeout_ms.unwrap_or(self.rebalance_timeout_ms);
        let mut changed = false;
        if let Some(topics) = &request.topics {
            changed |= self.topics != *topics;
            self.topics.clone_from(topics);
        }
        if let Some(regex) = &request.regex {
            let regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
            changed |= self.regex != regex;
            self.regex = regex;
        }
        if let Some(name) = &request.assignor {
            let assignor = Assignor::from_name(name).ok_or_else(|| {
                Refusal::new(ErrorCode::UnsupportedAssignor, format!("server assignor {name} is not supported"))
            })?;
            changed |= self.assignor != Some(assignor);
            self.assignor = Some(assignor);
        }
        Ok(changed)
    }

    fn subscribed(&self, topics: &TopicView) -> BTreeSet<String> {
        let mut subscribed = self.topics.clone();
        // Checked when it was set.
        if let Some(pattern) = self.regex.as_ref().and_then(|regex| Pattern::new(regex).ok()) {
            subscribed.extend(topics.keys().filter(|topic| pattern.is_match(topic)).cloned());
        }
        subscribed.retain(|topic| topics.contains_key(topic));
        subscribed
    }

    fn deadline_ms(&self) -> u64 {
        self.revocation_ends_ms.map_or(self.session_ends_ms, |ends_ms| ends_ms.min(self.session_ends_ms))
    }
}

/// One group.
#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {
    pub(crate) epoch: i32,
    pub(crate) assignment_epoch: i32,
    pub(super) members: BTreeMap<String, ConsumerMember>,
    pub(super) targets: BTreeMap<String, Assignment>,
    /// Subscribed topics as the target assignment saw them.
    pub(super) topics: TopicView,
    /// All topics when the subscriptions were last looked through, which takes long in a large group.
    pub(super) seen: TopicView,
}

impl ConsumerGroup {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Phase of the group, with Kafka's names.
    pub(crate) fn state(&self) -> &'static str {
        let settled = |member: &ConsumerMember| {
            member.progress == Progress::Stable
                && (member.epoch == self.assignment_epoch || member.epoch == STATIC_LEAVE_EPOCH)
        };
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(settled) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Members by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = &ConsumerMember> {
        self.members.values()
    }

    /// What a member shall own in the end.
    pub(crate) fn target(&self, member_id: &str) -> Assignment {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// The assignor most members ask for.
    pub(crate) fn assignor(&self) -> Assignor {
        let votes = |assignor| self.members.values().filter(|member| member.assignor == Some(assignor)).count();
        if votes(Assignor::Range) > votes(Assignor::Uniform) { Assignor::Range } else { Assignor::Uniform }
    }

    /// Topics somebody subscribes to.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        let matches = |regex: &String| Pattern::new(regex).is_ok_and(|pattern| pattern.is_match(topic));
        self.members.values().any(|member| member.topics.contains(topic) || member.regex.as_ref().is_some_and(matches))
    }

    /// Handles a heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        now_ms: u64,
        request: &ConsumerHeartbeat,
        topics: &TopicView,
        options: &ConsumerOptions,
    ) -> Result<ConsumerAnswer, Refusal> {
        if request.member_epoch < JOIN_EPOCH {
            return self.leave(request);
        }
        if let Some(regex) = request.regex.as_ref().filter(|regex| !regex.is_empty()) {
            Pattern::new(regex)?;
        }
        let (mut member, is_new) = self.find_or_create(request, options)?;
        let told = member.assigned.clone();
        let changed = member.update(request)?;
        member.session_ends_ms = now_ms.saturating_add(options.session_timeout_ms);
        self.members.insert(member.id.clone(), member);
        self.assign_if_due(is_new || changed, topics);
        let member = self.reconcile(now_ms, &request.member_id, request.owned.as_ref());
        let full = request.rebalance_timeout_ms.is_some()
            && (request.topics.is_some() || request.regex.is_some())
            && request.owned.is_some();
        let news = request.member_epoch == JOIN_EPOCH || full || member.assigned != told;
        let answer = ConsumerAnswer {
            member_id: member.id.clone(),
            member_epoch: member.epoch,
            heartbeat_interval_ms: options.heartbeat_interval_ms,
            assignment: news.then(|| member.assigned.clone()),
        };
        self.members.insert(member.id.clone(), member);
        Ok(answer)
    }

    /// The member of a heartbeat, and whether it is new.
    fn find_or_create(
        &mut self,
        request: &ConsumerHeartbeat,
        options: &ConsumerOptions,
    ) -> Result<(ConsumerMember, bool), Refusal> {
        let joins = request.member_epoch == JOIN_EPOCH;
        let unknown = || Refusal::new(ErrorCode::UnknownMemberId, "the member is not in the group");
        if let Some(instance_id) = &request.instance_id {
            let holder = self.members.values().find(|member| member.instance_id.as_ref() == Some(instance_id));
            match holder.map(|holder| (holder.id.clone(), holder.epoch)) {
                Some((id, epoch)) if id != request.member_id => {
                    if !joins {
                        return Err(Refusal::new(ErrorCode::FencedInstanceId, "another member has the instance id"));
                    }
                    if epoch != STATIC_LEAVE_EPOCH {
                        let reason = format!("instance id {instance_id} is held by another member");
                        return Err(Refusal::new(ErrorCode::UnreleasedInstanceId, reason));
                    }
                    return Ok((self.replace(&id, &request.member_id), false));
                }
                None if !joins => return Err(unknown()),
                _ => {}
            }
        }
        let Some(member) = self.members.get(&request.member_id) else {
            if !joins {
                return Err(unknown());
            }
            if self.members.len() >= options.members_max {
                return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, "the group has its most members"));
            }
            return Ok((ConsumerMember::new(request.member_id.clone(), request.instance_id.clone()), true));
        };
        let mut member = member.clone();
        if joins {
            // It starts over and owns nothing.
            member.epoch = JOIN_EPOCH;
            member.assigned.clear();
            member.revoking.clear();
            member.progress = Progress::Stable;
            return Ok((member, false));
        }
        let fenced = |reason: String| Err(Refusal::new(ErrorCode::FencedMemberEpoch, reason));
        if request.member_epoch > member.epoch {
            return fenced(format!("the member epoch is {}, not {} yet", member.epoch, request.member_epoch));
        }
        // The answer with the newer epoch may have been lost.
        let missed = request.member_epoch == member.previous_epoch
            && request.owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned));
        if request.member_epoch < member.epoch && !missed {
            return fenced(format!("the member epoch is {} by now", member.epoch));
        }
        Ok((member, false))
    }

    /// A static member came back under another member id.
    fn replace(&mut self, old_id: &str, new_id: &str) -> ConsumerMember {
        let instance_id = self.members.get(old_id).and_then(|member| member.instance_id.clone());
        let mut member = self.members.remove(old_id).unwrap_or_else(|| ConsumerMember::new(String::new(), instance_id));
        member.id = new_id.to_owned();
        member.epoch = JOIN_EPOCH;
        member.previous_epoch = JOIN_EPOCH;
        if let Some(target) = self.targets.remove(old_id) {
            self.targets.insert(new_id.to_owned(), target);
        }
        member
    }

    fn leave(&mut self, request: &ConsumerHeartbeat) -> Result<ConsumerAnswer, Refusal> {
        let unknown = || Refusal::new(ErrorCode::UnknownMemberId, "the member is not in the group");
        let member = self.members.get_mut(&request.member_id).ok_or_else(unknown)?;
        if request.instance_id.is_some() && request.instance_id != member.instance_id {
            return Err(Refusal::new(ErrorCode::UnknownMemberId, "the member has no such instance id"));
        }
        if request.member_epoch == STATIC_LEAVE_EPOCH {
            // It keeps its partitions until its session ends.
            member.epoch = STATIC_LEAVE_EPOCH;
        } else {
            self.remove(&request.member_id);
        }
        Ok(ConsumerAnswer {
            member_id: request.member_id.clone(),
            member_epoch: if request.member_epoch == STATIC_LEAVE_EPOCH { STATIC_LEAVE_EPOCH } else { LEAVE_EPOCH },
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    fn remove(&mut self, member_id: &str) {
        self.members.remove(member_id);
        self.targets.remove(member_id);
        self.epoch += 1;
        if self.members.is_empty() {
            self.assignment_epoch = self.epoch;
        }
    }

    /// Computes a new target when members, subscriptions or topics changed.
    fn assign_if_due(&mut self, changed: bool, topics: &TopicView) {
        if !changed && self.epoch == self.assignment_epoch && self.seen == *topics {
            return;
        }
        self.seen.clone_from(topics);
        let subscriptions: BTreeMap<&String, BTreeSet<String>> =
            self.members.iter().map(|(id, member)| (id, member.subscribed(topics))).collect();
        let names: BTreeSet<&String> = subscriptions.values().flatten().collect();
        let view: TopicView = names.into_iter().map(|name| (name.clone(), topics[name])).collect();
        if changed || view != self.topics {
            self.epoch += 1;
        }
        if self.epoch == self.assignment_epoch {
            return;
        }
        let none = Assignment::new();
        let subscribers = subscriptions.into_iter().map(|(id, topics)| Subscriber {
            id,
            topics,
            previous: self.targets.get(id).unwrap_or(&none),
        });
        let targets = self.assignor().assign(&subscribers.collect::<Vec<_>>(), &view);
        self.targets = targets;
        self.topics = view;
        self.assignment_epoch = self.epoch;
    }

    /// Moves a member one step towards its target.
    fn reconcile(&self, now_ms: u64, member_id: &str, owned: Option<&Assignment>) -> ConsumerMember {
        let mut member = self.members.get(member_id).cloned().unwrap_or_else(|| {
            // The caller has just put it there.
            ConsumerMember::new(member_id.to_owned(), None)
        });
        let holds = |partitions: &Assignment| owned.is_none_or(|owned| !owned.is_disjoint(partitions));
        match member.progress {
            Progress::Stable if member.epoch == self.assignment_epoch => return member,
            Progress::Unrevoked if holds(&member.revoking) => return member,
            Progress::Stable | Progress::Unrevoked | Progress::Unreleased => {}
        }
        let target = self.target(member_id);
        let revoking: Assignment = member.assigned.difference(&target).copied().collect();
        member.assigned.retain(|partition| target.contains(partition));
        if !revoking.is_empty() && holds(&revoking) {
            member.revoking = revoking;
            member.progress = Progress::Unrevoked;
            let ends_ms = now_ms.saturating_add(member.rebalance_timeout_ms);
            member.revocation_ends_ms = Some(member.revocation_ends_ms.unwrap_or(ends_ms));
            return member;
        }
        member.revoking.clear();
        member.revocation_ends_ms = None;
        let is_held = |partition: &(Uuid, i32)| {
            let mut others = self.members.values().filter(|other| other.id != member_id);
            others.any(|other| other.assigned.contains(partition) || other.revoking.contains(partition))
        };
        let free: Vec<_> = target.iter().filter(|partition| !is_held(partition)).copied().collect();
        member.assigned.extend(free);
        let complete = member.assigned.len() == target.len();
        member.progress = if complete { Progress::Stable } else { Progress::Unreleased };
        if member.epoch != self.assignment_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = self.assignment_epoch;
        }
        member
    }

    /// Whether a commit by this member may be stored.
    pub(crate) fn check_commit(
        &self,
        member_id: &str,
        member_epoch: i32,
        transactional: bool,
        knows_epochs: bool,
    ) -> Result<(), ErrorCode> {
        let anonymous = member_epoch < 0 && member_id.is_empty();
        if member_epoch < 0 && self.members.is_empty() || anonymous && transactional {
            return Ok(());
        }
        if !transactional && !knows_epochs && self.members.contains_key(member_id) {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match self.check_epoch(member_id, member_epoch) {
            Err(ErrorCode::StaleMemberEpoch) if transactional => Err(ErrorCode::IllegalGeneration),
            checked => checked,
        }
    }

    /// Whether a member has this epoch.
    pub(crate) fn check_epoch(&self, member_id: &str, member_epoch: i32) -> Result<(), ErrorCode> {
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch == member_epoch { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }

    /// Earliest time at which [`ConsumerGroup::tick`] has something to do.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.members.values().map(ConsumerMember::deadline_ms).min()
    }

    /// Takes out members that fell silent or did not give up their partitions in time; tells whether there were any.
    pub(crate) fn tick(&mut self, now_ms: u64) -> bool {
        let late = self.members.values().filter(|member| member.deadline_ms() <= now_ms);
        let late: Vec<String> = late.map(|member| member.id.clone()).collect();
        for member_id in &late {
            self.remove(member_id);
        }
        !late.is_empty()
    }
}
