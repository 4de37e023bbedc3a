//! Who gets which partition in a group of KIP-848: the assignors the broker runs itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use kanat_protocol::messages::Uuid;

use super::consumer::{Assignment, TopicView};

/// A server-side assignor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assignor {
    /// Even shares that change as little as possible.
    Uniform,
    /// Contiguous ranges of each topic, the same for topics with as many partitions.
    Range,
}

/// A member as an assignor sees it.
#[derive(Debug)]
pub(crate) struct Subscriber<'a> {
    pub(crate) id: &'a str,
    /// Topics that exist.
    pub(crate) topics: BTreeSet<String>,
    pub(crate) previous: &'a Assignment,
}

impl Assignor {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Range].into_iter().find(|assignor| assignor.as_str() == name)
    }

    /// Kafka's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// Gives every partition of a subscribed topic to one of its subscribers.
    pub(crate) fn assign(self, subscribers: &[Subscriber<'_>], topics: &TopicView) -> BTreeMap<String, Assignment> {
        let assigned = match self {
            Self::Uniform => uniform(subscribers, topics),
            Self::Range => range(subscribers, topics),
        };
        subscribers
            .iter()
            .zip(assigned)
            .map(|(subscriber, partitions)| (subscriber.id.to_owned(), partitions))
            .collect()
    }
}

fn range(subscribers: &[Subscriber<'_>], topics: &TopicView) -> Vec<Assignment> {
    let mut assigned = vec![Assignment::new(); subscribers.len()];
    for (topic, (id, partitions)) in topics {
        let takers: Vec<usize> = takers(subscribers, topic);
        let Ok(count) = i32::try_from(takers.len()) else { continue };
        let mut next = 0;
        for (position, taker) in (0..count).zip(takers) {
            let share = partitions / count + i32::from(position < partitions % count);
            assigned[taker].extend((next..next + share).map(|index| (*id, index)));
            next += share;
        }
    }
    assigned
}

fn takers(subscribers: &[Subscriber<'_>], topic: &str) -> Vec<usize> {
    (0..subscribers.len()).filter(|index| subscribers[*index].topics.contains(topic)).collect()
}

/// Keeps what the members had, hands the rest to those with least, and then evens out.
fn uniform(subscribers: &[Subscriber<'_>], topics: &TopicView) -> Vec<Assignment> {
    let takers: BTreeMap<Uuid, Vec<usize>> =
        topics.iter().map(|(topic, (id, _))| (*id, takers(subscribers, topic))).collect();
    let mut assigned = vec![Assignment::new(); subscribers.len()];
    let counts: BTreeMap<Uuid, i32> = topics.values().copied().collect();
    let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    for (index, subscriber) in subscribers.iter().enumerate() {
        for partition in subscriber.previous {
            let is_taker = takers.get(&partition.0).is_some_and(|takers| takers.binary_search(&index).is_ok());
            if is_taker && counts.get(&partition.0).is_some_and(|count| partition.1 < *count) {
                owners.entry(*partition).or_insert(index);
            }
        }
    }
    for (partition, owner) in &owners {
        assigned[*owner].insert(*partition);
    }
    for (id, count) in topics.values() {
        let free = (0..*count).map(|index| (*id, index)).filter(|partition| !owners.contains_key(partition));
        let mut by_load: BinaryHeap<_> =
            takers[id].iter().map(|taker| Reverse((assigned[*taker].len(), *taker))).collect();
        for partition in free {
            let Some(Reverse((load, taker))) = by_load.pop() else { break };
            assigned[taker].insert(partition);
            by_load.push(Reverse((load + 1, taker)));
        }
    }
    let mut moved = true;
    while moved {
        moved = false;
        for (topic, takers) in &takers {
            moved |= even_out(*topic, takers, &mut assigned);
        }
    }
    assigned
}

/// Moves single partitions of a topic from members with more to members with at least two fewer, until there are none.
/// Tells whether any moved.
fn even_out(topic: Uuid, takers: &[usize], assigned: &mut [Assignment]) -> bool {
    let last = |partitions: &Assignment| partitions.range((topic, 0)..=(topic, i32::MAX)).next_back().copied();
    let mut by_load: BTreeSet<(usize, usize)> = takers.iter().map(|taker| (assigned[*taker].len(), *taker)).collect();
    let mut givers: BTreeSet<(usize, usize)> =
        by_load.iter().filter(|(_, taker)| last(&assigned[*taker]).is_some()).copied().collect();
    let mut moved = false;
    while let (Some((most, from)), Some((least, to))) = (givers.pop_last(), by_load.first().copied()) {
        let Some(partition) = last(&assigned[from]).filter(|_| most >= least + 2) else { break };
        assigned[from].remove(&partition);
        assigned[to].insert(partition);
        for (before, after, member) in [(most, most - 1, from), (least, least + 1, to)] {
            by_load.remove(&(before, member));
            by_load.insert((after, member));
            givers.remove(&(before, member));
            if last(&assigned[member]).is_some() {
                givers.insert((after, member));
            }
        }
        moved = true;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(partitions: &[i32]) -> TopicView {
        let topic = |(number, count): (u128, &i32)| (format!("t{number}"), (Uuid::from_u128(number + 1), *count));
        (0..).zip(partitions).map(topic).collect()
    }

    fn subscribers<'a>(
        ids: &'a [&'a str],
        previous: &'a BTreeMap<String, Assignment>,
        none: &'a Assignment,
        topics: &TopicView,
    ) -> Vec<Subscriber<'a>> {
        let subscriber = |id: &&'a str| Subscriber {
            id,
            topics: topics.keys().cloned().collect(),
            previous: previous.get(*id).unwrap_or(none),
        };
        ids.iter().map(subscriber).collect()
    }

    #[test]
    fn uniform_shares_are_even_and_stick() {
        let (topics, none) = (view(&[7, 4]), Assignment::new());
        let first = Assignor::Uniform.assign(&subscribers(&["a", "b"], &BTreeMap::new(), &none, &topics), &topics);
        assert_eq!((first["a"].len(), first["b"].len()), (6, 5));
        let second = Assignor::Uniform.assign(&subscribers(&["a", "b", "c"], &first, &none, &topics), &topics);
        assert_eq!((second["a"].len(), second["b"].len(), second["c"].len()), (4, 4, 3));
        assert!(second["a"].is_subset(&first["a"]) && second["b"].is_subset(&first["b"]));
        let third = Assignor::Uniform.assign(&subscribers(&["b", "c"], &second, &none, &topics), &topics);
        assert!(third["b"].is_superset(&second["b"]) && third["c"].is_superset(&second["c"]));
    }

    /// 1000 members and 10,000 partitions: from nothing, after one left, and after all but one came. The bound holds
    /// without optimisation.
    #[test]
    fn large_groups_are_assigned_in_time() {
        let none = Assignment::new();
        let ids: Vec<String> = (0..1_000).map(|number| format!("m{number:04}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for topics in [view(&[100; 100]), view(&[10_000])] {
            let assign = |assignor: Assignor, ids: &[&str], previous: &BTreeMap<String, Assignment>| {
                let subscribers = subscribers(ids, previous, &none, &topics);
                let started = std::time::Instant::now();
                let assigned = assignor.assign(&subscribers, &topics);
                assert!(started.elapsed().as_secs() < 5, "{assignor:?} took {:?}", started.elapsed());
                assert_eq!(assigned.values().map(Assignment::len).sum::<usize>(), 10_000);
                assigned
            };
            assign(Assignor::Range, &ids, &BTreeMap::new());
            let even = assign(Assignor::Uniform, &ids, &BTreeMap::new());
            assert!(even.values().all(|share| share.len() == 10));
            let left = assign(Assignor::Uniform, &ids[1..], &even);
            assert!(left.iter().all(|(id, share)| share.is_superset(&even[id])));
            let alone = assign(Assignor::Uniform, &ids[..1], &BTreeMap::new());
            let came = assign(Assignor::Uniform, &ids, &alone);
            assert!(came.values().all(|share| share.len() == 10));
        }
    }

    #[test]
    fn ranges_are_contiguous_and_the_same_across_topics() {
        let (topics, none) = (view(&[5, 5]), Assignment::new());
        let ranges = Assignor::Range.assign(&subscribers(&["a", "b"], &BTreeMap::new(), &none, &topics), &topics);
        let of = |number: u128, member: &str| -> Vec<i32> {
            let id = Uuid::from_u128(number);
            ranges[member].iter().filter(|(topic, _)| *topic == id).map(|(_, index)| *index).collect()
        };
        assert_eq!((of(1, "a"), of(1, "b")), (vec![0, 1, 2], vec![3, 4]));
        assert_eq!((of(2, "a"), of(2, "b")), (vec![0, 1, 2], vec![3, 4]));
    }
}
