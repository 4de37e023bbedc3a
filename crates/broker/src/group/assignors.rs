//! Who gets which partition in a group of KIP-848: the assignors the broker runs itself.

use std::collections::{BTreeMap, BTreeSet};

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
    let mut free = Vec::new();
    for (id, count) in topics.values() {
        for index in 0..*count {
            let had = |taker: &&usize| subscribers[**taker].previous.contains(&(*id, index));
            match takers[id].iter().find(had) {
                Some(taker) => {
                    assigned[*taker].insert((*id, index));
                }
                None => free.push((*id, index)),
            }
        }
    }
    for partition in free {
        if let Some(taker) = least(&takers[&partition.0], &assigned) {
            assigned[taker].insert(partition);
        }
    }
    even_out(&takers, &mut assigned);
    assigned
}

fn least(takers: &[usize], assigned: &[Assignment]) -> Option<usize> {
    takers.iter().copied().min_by_key(|taker| (assigned[*taker].len(), *taker))
}

/// Moves single partitions from members with more to members with at least two fewer, until there are none.
fn even_out(takers: &BTreeMap<Uuid, Vec<usize>>, assigned: &mut [Assignment]) {
    while let Some((from, to, partition)) = next_move(takers, assigned) {
        assigned[from].remove(&partition);
        assigned[to].insert(partition);
    }
}

fn next_move(takers: &BTreeMap<Uuid, Vec<usize>>, assigned: &[Assignment]) -> Option<(usize, usize, (Uuid, i32))> {
    let mut by_load: Vec<usize> = (0..assigned.len()).collect();
    by_load.sort_by_key(|index| std::cmp::Reverse(assigned[*index].len()));
    by_load.into_iter().find_map(|from| {
        let topics: BTreeSet<Uuid> = assigned[from].iter().map(|(topic, _)| *topic).collect();
        topics.into_iter().find_map(|topic| {
            let to = least(&takers[&topic], assigned)?;
            let last = assigned[from].range((topic, 0)..=(topic, i32::MAX)).next_back().copied()?;
            (assigned[to].len() + 1 < assigned[from].len()).then_some((from, to, last))
        })
    })
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
