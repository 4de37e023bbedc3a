//! The KIP-848 state machine, driven without sockets and clocks.

use std::collections::BTreeMap;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::Uuid;

use super::consumer::{Assignment, ConsumerAnswer, ConsumerGroup, ConsumerHeartbeat, ConsumerOptions, TopicView};

const TOPIC: Uuid = Uuid::from_u128(7);

fn options() -> ConsumerOptions {
    ConsumerOptions { session_timeout_ms: 1_000, heartbeat_interval_ms: 10, members_max: 8 }
}

fn topics(partitions: i32) -> TopicView {
    BTreeMap::from([("t".to_owned(), (TOPIC, partitions))])
}

fn partitions(indexes: &[i32]) -> Assignment {
    indexes.iter().map(|index| (TOPIC, *index)).collect()
}

fn join(member: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: member.to_owned(),
        rebalance_timeout_ms: Some(500),
        topics: Some(std::iter::once("t".to_owned()).collect()),
        owned: Some(Assignment::new()),
        ..ConsumerHeartbeat::default()
    }
}

fn beat(member: &str, epoch: i32, owned: Option<&[i32]>) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: member.to_owned(),
        member_epoch: epoch,
        owned: owned.map(partitions),
        ..ConsumerHeartbeat::default()
    }
}

fn send(group: &mut ConsumerGroup, now_ms: u64, request: &ConsumerHeartbeat) -> Result<ConsumerAnswer, ErrorCode> {
    group.heartbeat(now_ms, request, &topics(4), &options()).map_err(|refusal| refusal.code)
}

#[test]
fn a_second_member_gets_what_the_first_lets_go() {
    let mut group = ConsumerGroup::default();
    let first = send(&mut group, 0, &join("a")).unwrap();
    assert_eq!((first.member_epoch, first.assignment), (1, Some(partitions(&[0, 1, 2, 3]))));
    assert_eq!(group.state(), "Stable");
    let second = send(&mut group, 0, &join("b")).unwrap();
    assert_eq!((second.member_epoch, second.assignment), (2, Some(Assignment::new())), "all are held");
    assert_eq!(group.state(), "Reconciling");
    let revoke = send(&mut group, 0, &beat("a", 1, None)).unwrap();
    let kept = revoke.assignment.unwrap();
    assert_eq!((revoke.member_epoch, kept.len()), (1, 2));
    assert_eq!(send(&mut group, 0, &beat("b", 2, None)).unwrap().assignment, None, "still held");
    let all = beat("a", 1, Some(&[0, 1, 2, 3]));
    assert_eq!(send(&mut group, 0, &all).unwrap().member_epoch, 1, "not revoked yet");
    let owned: Vec<i32> = kept.iter().map(|(_, index)| *index).collect();
    assert_eq!(send(&mut group, 0, &beat("a", 1, Some(&owned))).unwrap().member_epoch, 2);
    let taken = send(&mut group, 0, &beat("b", 2, None)).unwrap().assignment.unwrap();
    assert!(taken.is_disjoint(&kept) && taken.len() == 2);
    assert_eq!(group.state(), "Stable");
}

#[test]
fn epochs_fence() {
    let mut group = ConsumerGroup::default();
    send(&mut group, 0, &join("a")).unwrap();
    assert_eq!(send(&mut group, 0, &beat("a", 2, None)), Err(ErrorCode::FencedMemberEpoch));
    assert_eq!(send(&mut group, 0, &beat("b", 1, None)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.check_commit("a", 1, false, true), Ok(()));
    assert_eq!(group.check_commit("a", 0, false, true), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(group.check_commit("a", 0, true, true), Err(ErrorCode::IllegalGeneration));
    assert_eq!(group.check_commit("", -1, false, true), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.check_commit("", -1, true, true), Ok(()));
    assert_eq!(group.check_commit("a", 1, false, false), Err(ErrorCode::UnsupportedVersion));
    assert_eq!(send(&mut group, 0, &join("a")).unwrap().member_epoch, 1, "it may start over");
    let unknown = ConsumerHeartbeat { assignor: Some("best".to_owned()), ..join("c") };
    assert_eq!(send(&mut group, 0, &unknown), Err(ErrorCode::UnsupportedAssignor));
    let broken = ConsumerHeartbeat { regex: Some("(".to_owned()), ..join("c") };
    assert_eq!(send(&mut group, 0, &broken), Err(ErrorCode::InvalidRegularExpression));
}

#[test]
fn silent_and_stubborn_members_are_taken_out() {
    let mut group = ConsumerGroup::default();
    send(&mut group, 0, &join("a")).unwrap();
    send(&mut group, 0, &join("b")).unwrap();
    send(&mut group, 0, &beat("a", 1, None)).unwrap();
    assert_eq!(group.next_deadline_ms(), Some(500), "a has to give up partitions by then");
    group.tick(500);
    assert_eq!(group.members().count(), 1);
    let all = send(&mut group, 600, &beat("b", 2, None)).unwrap();
    assert_eq!(all.assignment, Some(partitions(&[0, 1, 2, 3])));
    group.tick(1_600);
    assert!(group.is_empty());
}

#[test]
fn a_static_member_returns_to_its_partitions() {
    let mut group = ConsumerGroup::default();
    let with_instance = |request: ConsumerHeartbeat| ConsumerHeartbeat { instance_id: Some("i".to_owned()), ..request };
    send(&mut group, 0, &with_instance(join("a"))).unwrap();
    assert_eq!(send(&mut group, 0, &with_instance(join("b"))), Err(ErrorCode::UnreleasedInstanceId));
    assert_eq!(send(&mut group, 0, &with_instance(beat("a", -2, None))).unwrap().member_epoch, -2);
    let back = send(&mut group, 10, &with_instance(join("b"))).unwrap();
    assert_eq!((back.member_epoch, back.assignment), (1, Some(partitions(&[0, 1, 2, 3]))));
    assert_eq!(send(&mut group, 10, &with_instance(beat("a", 1, None))), Err(ErrorCode::FencedInstanceId));
    assert_eq!(send(&mut group, 10, &with_instance(beat("b", -1, None))).unwrap().member_epoch, -1);
    assert!(group.is_empty());
}

#[test]
fn grown_topics_and_patterns_are_followed() {
    let mut group = ConsumerGroup::default();
    let pattern = ConsumerHeartbeat { topics: None, regex: Some("t|u.*".to_owned()), ..join("a") };
    let joined = group.heartbeat(0, &pattern, &topics(1), &options()).unwrap();
    assert_eq!(joined.assignment, Some(partitions(&[0])));
    let grown = group.heartbeat(0, &beat("a", 1, None), &topics(2), &options()).unwrap();
    assert_eq!((grown.member_epoch, grown.assignment), (2, Some(partitions(&[0, 1]))));
    let mut more = topics(2);
    more.insert("u1".to_owned(), (Uuid::from_u128(9), 1));
    let more = group.heartbeat(0, &beat("a", 2, None), &more, &options()).unwrap();
    assert_eq!(more.assignment.unwrap().len(), 3);
}
