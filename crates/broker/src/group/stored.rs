//! A KIP-848 group as the broker directory keeps it: everything but the deadlines, which begin anew after a restart.

use super::assignors::Assignor;
use super::consumer::{Assignment, ConsumerGroup, ConsumerMember, ConsumerOptions, Progress, TopicView};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    pub(crate) epoch: i32,
    pub(crate) assignment_epoch: i32,
    /// Subscribed topics as the target assignment saw them.
    pub(crate) topics: TopicView,
    pub(crate) members: Vec<StoredMember>,
}

/// A member of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredMember {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) rebalance_timeout_ms: u64,
    pub(crate) topics: Vec<String>,
    pub(crate) regex: Option<String>,
    /// Kafka's name of the assignor it asks for.
    pub(crate) assignor: Option<String>,
    pub(crate) assigned: Assignment,
    pub(crate) revoking: Assignment,
    pub(crate) target: Assignment,
}

impl ConsumerGroup {
    /// What to write down.
    pub(super) fn to_stored(&self) -> StoredGroup {
        let member = |member: &ConsumerMember| StoredMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            epoch: member.epoch,
            previous_epoch: member.previous_epoch,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            topics: member.topics.iter().cloned().collect(),
            regex: member.regex.clone(),
            assignor: member.assignor.map(|assignor| assignor.as_str().to_owned()),
            assigned: member.assigned.clone(),
            revoking: member.revoking.clone(),
            target: self.target(&member.id),
        };
        StoredGroup {
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            topics: self.topics.clone(),
            members: self.members().map(member).collect(),
        }
    }

    /// The group that was written down; its members have their whole session and rebalance timeouts again.
    pub(super) fn from_stored(stored: StoredGroup, now_ms: u64, options: &ConsumerOptions) -> Self {
        let mut group = Self {
            epoch: stored.epoch,
            assignment_epoch: stored.assignment_epoch,
            topics: stored.topics,
            ..Self::default()
        };
        for stored in stored.members {
            group.targets.insert(stored.id.clone(), stored.target.clone());
            group.members.insert(stored.id.clone(), member(stored, now_ms, options));
        }
        group
    }
}

fn member(stored: StoredMember, now_ms: u64, options: &ConsumerOptions) -> ConsumerMember {
    let progress = if !stored.revoking.is_empty() {
        Progress::Unrevoked
    } else if stored.assigned == stored.target {
        Progress::Stable
    } else {
        Progress::Unreleased
    };
    let revocation_ends_ms = now_ms.saturating_add(stored.rebalance_timeout_ms);
    ConsumerMember {
        epoch: stored.epoch,
        previous_epoch: stored.previous_epoch,
        rack_id: stored.rack_id,
        client_id: stored.client_id,
        client_host: stored.client_host,
        rebalance_timeout_ms: stored.rebalance_timeout_ms,
        topics: stored.topics.into_iter().collect(),
        regex: stored.regex,
        assignor: stored.assignor.as_deref().and_then(Assignor::from_name),
        assigned: stored.assigned,
        revoking: stored.revoking,
        progress,
        session_ends_ms: now_ms.saturating_add(options.session_timeout_ms),
        revocation_ends_ms: (progress == Progress::Unrevoked).then_some(revocation_ends_ms),
        ..ConsumerMember::new(stored.id, stored.instance_id)
    }
}
