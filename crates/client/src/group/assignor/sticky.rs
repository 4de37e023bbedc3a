//! The sticky assignors: balanced, and otherwise everybody keeps what they have.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::range::subscribers;
use super::{Assignor, MemberAssignments, RebalanceMode, Subscriber, TopicLayouts, in_order, protocol};
use crate::types::TopicPartition;

/// Balanced and sticky, eager: everybody gives up everything and gets most of it back.
#[derive(Debug, Clone, Copy, Default)]
pub struct StickyAssignor;

/// Balanced and sticky, cooperative: only what moves is given up. A partition that moves is left out of the first
/// assignment, its owner gives it up and joins again, and the second assignment hands it over.
#[derive(Debug, Clone, Copy, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn user_data(&self, owned: &[TopicPartition], generation: i32) -> Option<Bytes> {
        (!owned.is_empty()).then(|| protocol::encode_sticky(owned, generation))
    }

    fn assign(&self, topics: &TopicLayouts, members: &[Subscriber]) -> MemberAssignments {
        // The subscription of an eager member names no owned partitions, its user data does.
        let claim = |member: &Subscriber| match protocol::decode_sticky(member.user_data.clone()) {
            Some((owned, generation)) if member.owned.is_empty() => (owned, generation),
            _ => (member.owned.clone(), member.generation),
        };
        Board::new(topics, members, claim).settle()
    }
}

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn mode(&self) -> RebalanceMode {
        RebalanceMode::Cooperative
    }

    fn user_data(&self, _: &[TopicPartition], generation: i32) -> Option<Bytes> {
        Some(protocol::encode_generation(generation))
    }

    fn assign(&self, topics: &TopicLayouts, members: &[Subscriber]) -> MemberAssignments {
        let claim = |member: &Subscriber| {
            let told = if member.generation >= 0 { None } else { protocol::decode_generation(&member.user_data) };
            (member.owned.clone(), told.unwrap_or(member.generation))
        };
        let mut assignments = Board::new(topics, members, claim).settle();
        withhold_moves(&mut assignments, members);
        assignments
    }
}

/// Leaves out what another member still owns.
fn withhold_moves(assignments: &mut MemberAssignments, members: &[Subscriber]) {
    let mut owners: HashMap<&TopicPartition, HashSet<&str>> = HashMap::new();
    for member in members {
        for partition in &member.owned {
            owners.entry(partition).or_default().insert(&member.member_id);
        }
    }
    for (member, share) in assignments {
        let free = |partition: &TopicPartition| {
            owners.get(partition).is_none_or(|owners| owners.iter().all(|owner| owner == member))
        };
        share.retain(free);
    }
}

/// Who has a partition while the assignment is made.
#[derive(Debug, Clone, Copy)]
struct Held {
    owner: Option<usize>,
    /// Generation of the claim the owner comes from, -1 for a partition handed out now.
    generation: i32,
    /// The owner did not have it before: it moves first.
    fresh: bool,
}

#[derive(Debug)]
struct Topic<'a> {
    name: &'a Arc<str>,
    /// Places of the members that read it.
    subscribers: Vec<usize>,
    held: Vec<Held>,
}

/// The assignment in the making. Members are named by their place in `members`.
#[derive(Debug)]
struct Board<'a> {
    members: Vec<&'a Subscriber>,
    topics: Vec<Topic<'a>>,
    /// Partitions per member.
    loads: Vec<usize>,
}

impl<'a> Board<'a> {
    /// Starts with the members' claims. A later generation wins over an earlier one; two claims of one generation
    /// cannot both be right, and neither counts.
    fn new(
        topics: &'a TopicLayouts,
        members: &'a [Subscriber],
        claim: impl Fn(&Subscriber) -> (Vec<TopicPartition>, i32),
    ) -> Board<'a> {
        let members = in_order(members);
        let none = Held { owner: None, generation: i32::MIN, fresh: true };
        let topics: Vec<Topic<'a>> = subscribers(topics, &members)
            .into_iter()
            .map(|(name, subscribers)| {
                let count = usize::try_from(topics[name].partition_count).unwrap_or_default();
                Topic { name, subscribers, held: vec![none; count] }
            })
            .collect();
        let mut board = Board { loads: vec![0; members.len()], members, topics };
        let places: HashMap<Arc<str>, usize> =
            board.topics.iter().enumerate().map(|(index, topic)| (Arc::clone(topic.name), index)).collect();
        for place in 0..board.members.len() {
            let (owned, generation) = claim(board.members[place]);
            for partition in owned {
                if let Some(topic) = places.get(&partition.topic) {
                    board.topics[*topic].claim(place, partition.partition, generation);
                }
            }
        }
        for topic in &board.topics {
            topic.held.iter().filter_map(|held| held.owner).for_each(|owner| board.loads[owner] += 1);
        }
        board
    }

    fn settle(mut self) -> MemberAssignments {
        self.hand_out();
        self.balance();
        let mut assignments = MemberAssignments::new();
        for topic in &self.topics {
            for (partition, held) in (0..).zip(&topic.held) {
                let Some(owner) = held.owner else { continue };
                let share = assignments.entry(self.members[owner].member_id.clone()).or_default();
                share.push(TopicPartition { topic: Arc::clone(topic.name), partition });
            }
        }
        assignments
    }

    /// Gives every free partition to the reader with the fewest, beginning with the topics that have the fewest
    /// readers.
    fn hand_out(&mut self) {
        let mut order: Vec<usize> = (0..self.topics.len()).collect();
        order.sort_by_key(|index| self.topics[*index].subscribers.len());
        for index in order {
            let topic = &mut self.topics[index];
            let readers = topic.subscribers.iter().map(|place| Reverse((self.loads[*place], *place)));
            let mut readers: BinaryHeap<_> = readers.collect();
            for held in topic.held.iter_mut().filter(|held| held.owner.is_none()) {
                let Some(Reverse((load, place))) = readers.pop() else { break };
                *held = Held { owner: Some(place), generation: -1, fresh: true };
                self.loads[place] = load + 1;
                readers.push(Reverse((load + 1, place)));
            }
        }
    }

    /// Moves single partitions from a member to one that has at least two fewer, until there is no such pair. Each
    /// move makes the loads more even, so it ends.
    fn balance(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for topic in &mut self.topics {
                moved |= topic.balance(&mut self.loads);
            }
        }
    }
}

/// The readers of one topic while its partitions move between them. Each move costs a few look-ups in ordered sets.
#[derive(Debug, Default)]
struct Exchange {
    /// Partitions by owner. Those the owner did not have before come last and move first.
    shares: BTreeMap<usize, Vec<usize>>,
    /// Owners by load, whether they would give what they did not have before, and place.
    givers: BTreeSet<(usize, bool, usize)>,
    /// All readers by load and place.
    receivers: BTreeSet<(usize, usize)>,
}

impl Exchange {
    fn new(topic: &Topic<'_>, loads: &[usize]) -> Exchange {
        let mut exchange = Exchange::default();
        for fresh in [false, true] {
            for (partition, held) in topic.held.iter().enumerate().filter(|(_, held)| held.fresh == fresh) {
                if let Some(owner) = held.owner {
                    exchange.shares.entry(owner).or_default().push(partition);
                }
            }
        }
        exchange.receivers = topic.subscribers.iter().map(|place| (loads[*place], *place)).collect();
        exchange.givers = exchange.shares.keys().filter_map(|owner| exchange.giver(topic, loads, *owner)).collect();
        exchange
    }

    fn giver(&self, topic: &Topic<'_>, loads: &[usize], owner: usize) -> Option<(usize, bool, usize)> {
        let last = self.shares.get(&owner)?.last()?;
        Some((loads[owner], topic.held[*last].fresh, owner))
    }

    /// Changes a member's load, and with `change` what it has of the topic.
    fn update(
        &mut self,
        topic: &Topic<'_>,
        loads: &mut [usize],
        place: usize,
        load: usize,
        change: impl FnOnce(&mut Vec<usize>),
    ) {
        if let Some(giver) = self.giver(topic, loads, place) {
            self.givers.remove(&giver);
        }
        self.receivers.remove(&(loads[place], place));
        loads[place] = load;
        change(self.shares.entry(place).or_default());
        self.receivers.insert((load, place));
        self.givers.extend(self.giver(topic, loads, place));
    }
}

impl Topic<'_> {
    fn claim(&mut self, place: usize, partition: i32, generation: i32) {
        let held = usize::try_from(partition).ok().and_then(|partition| self.held.get_mut(partition));
        let Some(held) = held else { return };
        if self.subscribers.binary_search(&place).is_err() {
            return;
        }
        if held.generation < generation {
            *held = Held { owner: Some(place), generation, fresh: false };
        } else if held.generation == generation && held.owner != Some(place) {
            held.owner = None;
        }
    }

    /// Moves partitions from the owners with the most to the readers with the fewest. Tells whether any moved.
    fn balance(&mut self, loads: &mut [usize]) -> bool {
        let mut exchange = Exchange::new(self, loads);
        let mut moved = false;
        while let (Some((most, _, giver)), Some((least, receiver))) =
            (exchange.givers.last().copied(), exchange.receivers.first().copied())
        {
            let partition = exchange.shares.get(&giver).and_then(|share| share.last()).copied();
            let Some(partition) = partition.filter(|_| most >= least + 2) else { break };
            exchange.update(self, loads, giver, most - 1, |share| share.truncate(share.len().saturating_sub(1)));
            let held = &mut self.held[partition];
            (held.owner, held.fresh) = (Some(receiver), true);
            exchange.update(self, loads, receiver, least + 1, |share| share.push(partition));
            moved = true;
        }
        moved
    }
}
