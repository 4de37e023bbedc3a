//! The range assignor.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::{Assignor, MemberAssignments, Subscriber, TopicLayout, TopicLayouts, in_order};
use crate::types::TopicPartition;

type NamedLayout<'a> = (&'a Arc<str>, &'a TopicLayout);

/// Consecutive partitions of every topic to consecutive members; the first members get one more when it does not come
/// out even. Topics with the same number of partitions and the same subscribers are cut at the same places, so that
/// partitions of one number meet at one member.
///
/// Where members and brokers name racks, a member gets partitions with a copy in its rack first, within its share
/// (KIP-881).
#[derive(Debug, Clone, Copy, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(&self, topics: &TopicLayouts, members: &[Subscriber]) -> MemberAssignments {
        let members = in_order(members);
        // Topics that are to be cut alike: of the same number of partitions and the same subscribers.
        let mut alike: BTreeMap<(i32, Vec<usize>), Vec<NamedLayout<'_>>> = BTreeMap::new();
        for (topic, subscribers) in subscribers(topics, &members) {
            let layout = &topics[topic];
            alike.entry((layout.partition_count, subscribers)).or_default().push((topic, layout));
        }
        let mut assignments = MemberAssignments::new();
        for ((partition_count, subscribers), topics) in alike {
            let owners = owners(partition_count, &subscribers, &members, &topics);
            for (topic, _) in &topics {
                for (partition, owner) in (0..).zip(&owners) {
                    let share = assignments.entry(members[*owner].member_id.clone()).or_default();
                    share.push(TopicPartition { topic: Arc::clone(topic), partition });
                }
            }
        }
        assignments
    }
}

/// Every topic somebody subscribes to, with the places of its subscribers in `members`.
pub(super) fn subscribers<'a>(topics: &'a TopicLayouts, members: &[&Subscriber]) -> BTreeMap<&'a Arc<str>, Vec<usize>> {
    let mut subscribers: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        for topic in &member.topics {
            if let Some((topic, _)) = topics.get_key_value(topic) {
                let places = subscribers.entry(topic).or_default();
                // A topic named twice counts once.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
    }
    subscribers
}

/// The owner of each partition of topics that are cut alike.
fn owners(
    partition_count: i32,
    subscribers: &[usize],
    members: &[&Subscriber],
    topics: &[NamedLayout<'_>],
) -> Vec<usize> {
    let count = usize::try_from(partition_count).unwrap_or_default();
    let (share, extra) = (count / subscribers.len(), count % subscribers.len());
    let mut rooms: Vec<usize> =
        (0..subscribers.len()).map(|index| if index < extra { share + 1 } else { share }).collect();
    let mut owners: Vec<Option<usize>> = vec![None; count];
    let mut near = partitions_by_rack(count, topics);
    for (index, place) in subscribers.iter().enumerate() {
        let Some(near) = members[*place].rack.as_deref().and_then(|rack| near.get_mut(rack)) else { continue };
        while rooms[index] > 0
            && let Some(partition) = near.pop_front()
        {
            if owners[partition].is_none() {
                owners[partition] = Some(*place);
                rooms[index] -= 1;
            }
        }
    }
    let mut index = 0;
    let fill = |owner: Option<usize>| {
        owner.unwrap_or_else(|| {
            while rooms[index] == 0 {
                index += 1;
            }
            rooms[index] -= 1;
            subscribers[index]
        })
    };
    owners.into_iter().map(fill).collect()
}

/// The partitions with a copy in a rack in every one of these topics, by rack.
fn partitions_by_rack<'a>(count: usize, topics: &[NamedLayout<'a>]) -> HashMap<&'a str, VecDeque<usize>> {
    let mut near: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for partition in 0..count {
        // How many of the topics have a copy there.
        let mut copies: HashMap<&str, usize> = HashMap::new();
        for (_, layout) in topics {
            let racks: BTreeSet<&str> = layout.racks.get(partition).into_iter().flatten().map(|rack| &**rack).collect();
            racks.into_iter().for_each(|rack| *copies.entry(rack).or_default() += 1);
        }
        for (rack, _) in copies.into_iter().filter(|(_, copies)| *copies == topics.len()) {
            near.entry(rack).or_default().push_back(partition);
        }
    }
    near
}
