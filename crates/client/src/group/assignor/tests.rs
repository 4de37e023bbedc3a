use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn layout(partition_count: i32) -> TopicLayout {
    TopicLayout { partition_count, racks: Vec::new() }
}

fn topics(counts: &[(&str, i32)]) -> TopicLayouts {
    counts.iter().map(|(name, count)| ((*name).into(), layout(*count))).collect()
}

fn member(id: &str, topics: &[&str]) -> Subscriber {
    Subscriber {
        member_id: id.to_owned(),
        topics: topics.iter().map(|topic| (*topic).into()).collect(),
        generation: -1,
        ..Subscriber::default()
    }
}

fn of(assignments: &MemberAssignments, id: &str) -> Vec<String> {
    let mut share: Vec<String> =
        assignments.get(id).into_iter().flatten().map(|partition| partition.to_string()).collect();
    share.sort();
    share
}

/// The members after an assignment: everybody owns their share.
fn holding(members: &[Subscriber], assignments: &MemberAssignments, generation: i32) -> Vec<Subscriber> {
    let with = |member: &Subscriber| {
        let owned = assignments.get(&member.member_id).cloned().unwrap_or_default();
        let user_data = protocol::encode_sticky(&owned, generation);
        Subscriber { owned, generation, user_data, ..member.clone() }
    };
    members.iter().map(with).collect()
}

/// Cooperative rounds until nothing moves any more, as a group runs through them.
fn settle(topics: &TopicLayouts, members: &[Subscriber], generation: i32) -> MemberAssignments {
    let mut members = members.to_vec();
    for round in 0..3 {
        let assignments = CooperativeStickyAssignor.assign(topics, &members);
        let next = holding(&members, &assignments, generation + round);
        let same = next.iter().zip(&members).all(|(after, before)| {
            after.owned.iter().collect::<HashSet<_>>() == before.owned.iter().collect::<HashSet<_>>()
        });
        members = next;
        if same {
            return assignments;
        }
    }
    panic!("a cooperative group settles in two rounds");
}

#[test]
fn range_cuts_every_topic_alike() {
    let topics = topics(&[("a", 5), ("b", 5), ("c", 1)]);
    let members = [member("m2", &["a", "b", "c"]), member("m1", &["a", "b"])];
    let assignments = RangeAssignor.assign(&topics, &members);
    assert_eq!(of(&assignments, "m1"), ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]);
    assert_eq!(of(&assignments, "m2"), ["a-3", "a-4", "b-3", "b-4", "c-0"]);
}

#[test]
fn range_puts_static_members_first_by_their_instance_id() {
    let topics = topics(&[("a", 3)]);
    let named = |id: &str, instance: &str| Subscriber { instance_id: Some(instance.into()), ..member(id, &["a"]) };
    let members = [member("0", &["a"]), named("9", "i1"), named("1", "i2")];
    let assignments = RangeAssignor.assign(&topics, &members);
    assert_eq!(of(&assignments, "9"), ["a-0"]);
    assert_eq!(of(&assignments, "1"), ["a-1"]);
    assert_eq!(of(&assignments, "0"), ["a-2"]);
}

#[test]
fn range_prefers_copies_in_the_members_rack_within_its_share() {
    let racks = [["r2"], ["r1"], ["r2"], ["r1"]].map(|racks| racks.map(Arc::<str>::from).to_vec()).to_vec();
    let topics = TopicLayouts::from([("a".into(), TopicLayout { partition_count: 4, racks })]);
    let in_rack = |id: &str, rack: &str| Subscriber { rack: Some(rack.into()), ..member(id, &["a"]) };
    let assignments = RangeAssignor.assign(&topics, &[in_rack("m1", "r1"), in_rack("m2", "r2")]);
    assert_eq!(of(&assignments, "m1"), ["a-1", "a-3"]);
    assert_eq!(of(&assignments, "m2"), ["a-0", "a-2"]);
}

#[test]
fn round_robin_deals_in_turn_and_passes_over_who_does_not_read() {
    let topics = topics(&[("a", 3), ("b", 3)]);
    let members = [member("m1", &["a", "b"]), member("m2", &["a"]), member("m3", &["a", "b"])];
    let assignments = RoundRobinAssignor.assign(&topics, &members);
    assert_eq!(of(&assignments, "m1"), ["a-0", "b-0", "b-2"]);
    assert_eq!(of(&assignments, "m2"), ["a-1"]);
    assert_eq!(of(&assignments, "m3"), ["a-2", "b-1"]);
}

#[test]
fn a_cooperative_move_takes_two_rounds() {
    let topics = topics(&[("a", 4)]);
    let alone = [member("m1", &["a"])];
    let first = holding(&alone, &CooperativeStickyAssignor.assign(&topics, &alone), 1);
    let both = [first[0].clone(), member("m2", &["a"])];
    let assignments = CooperativeStickyAssignor.assign(&topics, &both);
    assert_eq!(of(&assignments, "m1").len(), 2, "the owner gives two up");
    assert!(of(&assignments, "m2").is_empty(), "nobody gets what another still reads");
    let settled = settle(&topics, &both, 2);
    assert_eq!((of(&settled, "m1").len(), of(&settled, "m2").len()), (2, 2));
}

#[test]
fn the_later_generation_wins_a_disputed_partition() {
    let topics = topics(&[("a", 2)]);
    let owned = |id: &str, generation: i32| Subscriber {
        owned: vec![TopicPartition::new("a", 0)],
        generation,
        ..member(id, &["a"])
    };
    let zombie_and_owner = [owned("m1", 3), owned("m2", 4)];
    let claim = |member: &Subscriber| protocol::encode_sticky(&member.owned, member.generation);
    let eager: Vec<Subscriber> = zombie_and_owner
        .iter()
        .map(|member| Subscriber { user_data: claim(member), owned: Vec::new(), ..member.clone() })
        .collect();
    let assignments = StickyAssignor.assign(&topics, &eager);
    assert_eq!(of(&assignments, "m2"), ["a-0"]);
    assert_eq!(of(&assignments, "m1"), ["a-1"]);
}

/// Bytes of `ConsumerProtocolSubscription` version 3, written down from the schema.
#[test]
fn subscriptions_have_the_bytes_of_the_java_client() {
    let owned = [TopicPartition::new("ab", 1), TopicPartition::new("ab", 0)];
    let bytes = protocol::encode_subscription(&["ab".into()], Some(b"u"), &owned, 7, Some("r"));
    let expected: &[u8] = &[
        0, 3, // version
        0, 0, 0, 1, 0, 2, b'a', b'b', // topics
        0, 0, 0, 1, b'u', // user data
        0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, // owned partitions
        0, 0, 0, 7, // generation
        0, 1, b'r', // rack
    ];
    assert_eq!(bytes, expected);
    let read = protocol::decode_subscription(bytes).unwrap();
    assert_eq!((read.topics, read.generation, read.rack.as_deref()), (vec!["ab".into()], 7, Some("r")));
    assert_eq!(read.owned.len(), 2);
    // Versions 0 to 2 end earlier.
    let version = |version: u8, end: usize| {
        let mut bytes = expected[..end].to_vec();
        bytes[1] = version;
        protocol::decode_subscription(bytes.into()).unwrap()
    };
    assert_eq!((version(0, 15).owned.len(), version(1, 35).owned.len()), (0, 2));
    assert_eq!((version(1, 35).generation, version(2, 39).generation), (-1, 7));
    let assignment = protocol::encode_assignment(&owned);
    assert_eq!(assignment[..2], [0, 3]);
    assert_eq!(assignment[assignment.len() - 4..], [0xff; 4], "no user data");
    assert_eq!(
        protocol::decode_assignment(assignment).unwrap(),
        [TopicPartition::new("ab", 0), TopicPartition::new("ab", 1)]
    );
}

/// Members and partitions of a large group.
const MANY_MEMBERS: usize = 1_000;
const MANY_PARTITIONS: usize = 10_000;

/// What an assignment of that size may take without optimisation; the assignors need a tenth of it.
const LARGE_ASSIGNMENT_MAX: Duration = Duration::from_secs(5);

/// Assigns and checks that everything went out, evenly, and in time.
fn assign_many(
    assignor: &dyn Assignor,
    topics: &TopicLayouts,
    members: &[Subscriber],
    what: &str,
) -> MemberAssignments {
    let started = Instant::now();
    let assignments = assignor.assign(topics, members);
    let elapsed = started.elapsed();
    assert!(elapsed < LARGE_ASSIGNMENT_MAX, "{} took {elapsed:?}: {what}", assignor.name());
    assert_eq!(assignments.values().map(Vec::len).sum::<usize>(), MANY_PARTITIONS, "{what}");
    assignments
}

/// 100 topics of 100 partitions, and one of 10,000: from nothing, after one member left, after half of the members came,
/// and after all came but one, which had everything.
#[test]
fn large_groups_are_assigned_in_time() {
    let names: Vec<String> = (0..100).map(|index| format!("t{index:03}")).collect();
    let many: TopicLayouts = names.iter().map(|name| (name.as_str().into(), layout(100))).collect();
    let one = topics(&[("t", i32::try_from(MANY_PARTITIONS).unwrap())]);
    let (range, round_robin): (&dyn Assignor, &dyn Assignor) = (&RangeAssignor, &RoundRobinAssignor);
    for topics in [&many, &one] {
        let all: Vec<&str> = topics.keys().map(|name| &**name).collect();
        let members: Vec<Subscriber> = (0..MANY_MEMBERS).map(|index| member(&format!("m{index:04}"), &all)).collect();
        assign_many(range, topics, &members, "from nothing");
        assign_many(round_robin, topics, &members, "from nothing");
        let first = assign_many(&StickyAssignor, topics, &members, "from nothing");
        let left = holding(&members[1..], &first, 1);
        assert_balanced_loads(&assign_many(&StickyAssignor, topics, &left, "one left"));
        for stay in [1, MANY_MEMBERS / 2] {
            let before = StickyAssignor.assign(topics, &members[..stay]);
            let came = holding(&members, &before, 1);
            assert_balanced_loads(&assign_many(&StickyAssignor, topics, &came, "many came"));
            let given_up = CooperativeStickyAssignor.assign(topics, &came);
            assert_eq!(given_up.values().map(Vec::len).sum::<usize>(), stay * MANY_PARTITIONS / MANY_MEMBERS);
        }
    }
}

fn assert_balanced_loads(assignments: &MemberAssignments) {
    let loads = || assignments.values().map(Vec::len);
    assert!(loads().max() <= loads().min().map(|least| least + 1), "{:?} to {:?}", loads().min(), loads().max());
}

#[test]
fn large_groups_in_racks_are_assigned_in_time() {
    let racks: Vec<Arc<str>> = (0..3).map(|rack| format!("r{rack}").into()).collect();
    let copies = |partition: usize| vec![Arc::clone(&racks[partition % 3]), Arc::clone(&racks[(partition + 1) % 3])];
    let layout = TopicLayout { partition_count: 100, racks: (0..100).map(copies).collect() };
    let topics: TopicLayouts = (0..100).map(|index| (format!("t{index:03}").into(), layout.clone())).collect();
    let all: Vec<&str> = topics.keys().map(|name| &**name).collect();
    let in_rack =
        |index: usize| Subscriber { rack: Some(racks[index % 3].to_string()), ..member(&format!("m{index:04}"), &all) };
    let members: Vec<Subscriber> = (0..MANY_MEMBERS).map(in_rack).collect();
    let assignments = assign_many(&RangeAssignor, &topics, &members, "in racks");
    let near = |member: &Subscriber, partition: &TopicPartition| {
        let copies = copies(usize::try_from(partition.partition).unwrap());
        copies.iter().any(|copy| Some(&**copy) == member.rack.as_deref())
    };
    let far: usize = members
        .iter()
        .filter_map(|member| Some((member, assignments.get(&member.member_id)?)))
        .map(|(member, share)| share.iter().filter(|partition| !near(member, partition)).count())
        .sum();
    assert_eq!(far, 0, "every member finds enough in its own rack");
}

/// Topics with their partitions, and members with the topics they read.
fn groups() -> impl Strategy<Value = (TopicLayouts, Vec<Subscriber>)> {
    let topics = prop::collection::vec(0..12i32, 1..6);
    let members = prop::collection::vec((any::<u8>(), any::<bool>()), 1..9);
    (topics, members, any::<bool>()).prop_map(|(counts, members, alike)| {
        let names: Vec<Arc<str>> = (0..counts.len()).map(|index| format!("t{index}").into()).collect();
        let layouts = names.iter().cloned().zip(counts.into_iter().map(layout)).collect();
        let member = |(index, (mask, named)): (usize, (u8, bool))| {
            let reads = |topic: &usize| alike || mask & (1 << topic) != 0;
            let topics = (0..names.len()).filter(reads).map(|topic| Arc::clone(&names[topic])).collect();
            Subscriber {
                member_id: format!("m{index}"),
                instance_id: named.then(|| format!("i{}", 100 - index)),
                topics,
                generation: -1,
                ..Subscriber::default()
            }
        };
        (layouts, members.into_iter().enumerate().map(member).collect())
    })
}

/// Every partition that somebody reads is with exactly one member who reads it.
fn assert_complete(topics: &TopicLayouts, members: &[Subscriber], assignments: &MemberAssignments) {
    let mut seen = HashSet::new();
    for (id, share) in assignments {
        let member = members.iter().find(|member| member.member_id == *id).expect("a member of the group");
        for partition in share {
            assert!(member.topics.contains(&partition.topic), "{id} does not read {partition}");
            assert!(seen.insert(partition.clone()), "{partition} is assigned twice");
        }
    }
    for (topic, layout) in topics {
        if members.iter().any(|member| member.topics.contains(topic)) {
            for partition in 0..layout.partition_count {
                assert!(seen.contains(&TopicPartition { topic: Arc::clone(topic), partition }), "{topic}-{partition}");
            }
        }
    }
}

/// Nobody could take a partition from somebody who has at least two more.
fn assert_balanced(members: &[Subscriber], assignments: &MemberAssignments) {
    let load = |member: &Subscriber| assignments.get(&member.member_id).map_or(0, Vec::len);
    for giver in members {
        for receiver in members {
            let movable = assignments
                .get(&giver.member_id)
                .into_iter()
                .flatten()
                .any(|partition| receiver.topics.contains(&partition.topic));
            assert!(!movable || load(giver) < load(receiver) + 2, "{giver:?} should give to {receiver:?}");
        }
    }
}

/// Partitions whose owner stays in the group and yet changed.
fn moves(before: &MemberAssignments, after: &MemberAssignments) -> usize {
    let lost = |(id, share): (&String, &Vec<TopicPartition>)| {
        after.get(id).map(|now| share.iter().filter(|partition| !now.contains(partition)).count())
    };
    before.iter().filter_map(lost).sum()
}

fn sorted(assignments: MemberAssignments) -> BTreeMap<String, Vec<TopicPartition>> {
    assignments
        .into_iter()
        .filter(|(_, share)| !share.is_empty())
        .map(|(id, mut share)| {
            share.sort();
            (id, share)
        })
        .collect()
}

proptest! {
    #[test]
    fn every_partition_goes_to_exactly_one_reader((topics, members) in groups()) {
        let assignors: [&dyn Assignor; 4] =
            [&RangeAssignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor];
        for assignor in assignors {
            let assignments = assignor.assign(&topics, &members);
            assert_complete(&topics, &members, &assignments);
            let mut reversed = members.clone();
            reversed.reverse();
            prop_assert_eq!(sorted(assignor.assign(&topics, &reversed)), sorted(assignments), "{}", assignor.name());
        }
    }

    #[test]
    fn sticky_is_balanced_and_stays((topics, members) in groups()) {
        let assignments = StickyAssignor.assign(&topics, &members);
        assert_balanced(&members, &assignments);
        let again = StickyAssignor.assign(&topics, &holding(&members, &assignments, 1));
        prop_assert_eq!(sorted(again), sorted(assignments));
    }

    #[test]
    fn one_member_less_moves_only_what_it_had((topics, members) in groups(), leaver: prop::sample::Index) {
        prop_assume!(members.len() > 1);
        let before = settle(&topics, &members, 1);
        let mut rest = holding(&members, &before, 5);
        rest.remove(leaver.index(members.len()));
        let after = settle(&topics, &rest, 6);
        assert_complete(&topics, &rest, &after);
        assert_balanced(&rest, &after);
        let alike = rest.iter().all(|member| member.topics == rest[0].topics);
        if alike {
            let gone = |id: &&String| !rest.iter().any(|member| member.member_id == **id);
            let stayed: MemberAssignments = before.iter().filter(|(id, _)| !gone(id)).map(|(id, share)| (id.clone(), share.clone())).collect();
            prop_assert_eq!(moves(&stayed, &after), 0);
        }
    }

    #[test]
    fn one_member_more_takes_no_more_than_its_share(count in 1..60i32, members in 1..9usize) {
        let topics = topics(&[("a", count)]);
        let members: Vec<Subscriber> = (0..members).map(|index| member(&format!("m{index}"), &["a"])).collect();
        let before = settle(&topics, &members, 1);
        let mut joined = holding(&members, &before, 5);
        joined.push(member("new", &["a"]));
        let after = settle(&topics, &joined, 6);
        assert_complete(&topics, &joined, &after);
        assert_balanced(&joined, &after);
        prop_assert_eq!(moves(&before, &after), of(&after, "new").len());
        prop_assert!(of(&after, "new").len() <= usize::try_from(count).unwrap() / joined.len());
    }

    #[test]
    fn bytes_of_others_never_panic(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let _ = protocol::decode_subscription(bytes.clone());
        let _ = protocol::decode_assignment(bytes.clone());
        let _ = protocol::decode_sticky(bytes);
    }
}
