//! The round-robin assignor.

use std::sync::Arc;

use super::range::subscribers;
use super::{Assignor, MemberAssignments, Subscriber, TopicLayouts, in_order};
use crate::types::TopicPartition;

/// All partitions of all topics dealt to the members in turn; a member is passed over for topics it does not read.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn assign(&self, topics: &TopicLayouts, members: &[Subscriber]) -> MemberAssignments {
        let members = in_order(members);
        let mut assignments = MemberAssignments::new();
        let mut turn = 0;
        for (topic, subscribers) in subscribers(topics, &members) {
            for partition in 0..topics[topic].partition_count {
                // The subscriber whose turn is next: the first at or behind `turn`, else the first of all.
                let next = subscribers.partition_point(|place| *place < turn);
                let place = subscribers.get(next).copied().unwrap_or(subscribers[0]);
                turn = (place + 1) % members.len();
                let share = assignments.entry(members[place].member_id.clone()).or_default();
                share.push(TopicPartition { topic: Arc::clone(topic), partition });
            }
        }
        assignments
    }
}
