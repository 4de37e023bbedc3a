//! The group state machine, driven without sockets and clocks.

use std::collections::HashSet;

use bytes::Bytes;
use kanat_protocol::ErrorCode;

use super::member::Protocol;
use super::state::{Answer, Group, GroupOptions, JoinAnswer, JoinRequest, Joined, State, SyncAnswer, SyncRequest};

fn options(initial_rebalance_delay_ms: u64) -> GroupOptions {
    GroupOptions {
        initial_rebalance_delay_ms,
        session_timeout_ms_min: 10,
        session_timeout_ms_max: 100_000,
        members_max: 8,
    }
}

fn join_request(member_id: &str, protocols: &[&str]) -> JoinRequest {
    let offered =
        protocols.iter().map(|name| Protocol { name: (*name).to_owned(), metadata: Bytes::from_static(b"m") });
    JoinRequest {
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 1_000,
        rebalance_timeout_ms: 5_000,
        protocol_type: "consumer".to_owned(),
        protocols: offered.collect(),
        member_id_required: false,
        can_skip_assignment: true,
    }
}

fn sync_request(member_id: &str, generation: i32, assignments: &[(&str, &'static [u8])]) -> SyncRequest {
    let owned = assignments.iter().map(|(member, assignment)| ((*member).to_owned(), Bytes::from_static(assignment)));
    SyncRequest {
        member_id: member_id.to_owned(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol_name: None,
        assignments: owned.collect(),
    }
}

fn join_answer(answers: &[Answer], wanted: u64) -> JoinAnswer {
    let found = answers.iter().find_map(|answer| match answer {
        Answer::Join(ticket, answer) if *ticket == wanted => Some(answer.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no answer to join {wanted} in {answers:?}"))
}

fn joined(answers: &[Answer], wanted: u64) -> Joined {
    join_answer(answers, wanted).expect("the join succeeds")
}

fn sync_answer(answers: &[Answer], wanted: u64) -> SyncAnswer {
    let found = answers.iter().find_map(|answer| match answer {
        Answer::Sync(ticket, answer) if *ticket == wanted => Some(answer.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no answer to sync {wanted} in {answers:?}"))
}

/// A stable group of members "c-0" and "c-1" in generation 2.
fn stable_pair() -> Group {
    let (mut group, options) = (Group::default(), options(0));
    assert_eq!(joined(&group.join(0, 1, join_request("", &["range"]), &options, "0"), 1).generation, 1);
    assert_eq!(group.join(0, 2, join_request("", &["range"]), &options, "1"), []);
    let answers = group.join(0, 3, join_request("c-0", &["range"]), &options, "x");
    let (leader, follower) = (joined(&answers, 3), joined(&answers, 2));
    assert_eq!((leader.leader.as_str(), leader.members.len(), follower.members.len()), ("c-0", 2, 0));
    assert_eq!(group.sync(0, 4, sync_request("c-1", 2, &[])), []);
    let answers = group.sync(0, 5, sync_request("c-0", 2, &[("c-0", b"left"), ("c-1", b"right")]));
    assert_eq!(&sync_answer(&answers, 4).unwrap().assignment[..], b"right");
    assert_eq!(&sync_answer(&answers, 5).unwrap().assignment[..], b"left");
    assert_eq!(group.state(), State::Stable);
    group
}

#[test]
fn the_first_members_are_waited_for() {
    let (mut group, options) = (Group::default(), options(100));
    assert_eq!(group.join(0, 1, join_request("", &["range"]), &options, "0"), []);
    assert_eq!(group.join(50, 2, join_request("", &["range"]), &options, "1"), []);
    assert_eq!(group.next_deadline_ms(), Some(100));
    assert_eq!(group.tick(100), [], "somebody came, so another delay begins");
    let answers = group.tick(200);
    assert_eq!((joined(&answers, 1).generation, joined(&answers, 2).generation), (1, 1));
}

#[test]
fn a_promised_member_is_waited_for_until_its_promise_ends() {
    let (mut group, options) = (Group::default(), options(0));
    let mut first = join_request("", &["range"]);
    first.member_id_required = true;
    let answers = group.join(0, 1, first, &options, "0");
    assert_eq!(join_answer(&answers, 1), Err((ErrorCode::MemberIdRequired, "c-0".to_owned())));
    assert_eq!(group.join(0, 2, join_request("", &["range"]), &options, "1"), []);
    assert_eq!(joined(&group.tick(1_000), 2).generation, 1);
    let late = group.join(1_001, 3, join_request("c-0", &["range"]), &options, "x");
    assert_eq!(join_answer(&late, 3), Err((ErrorCode::UnknownMemberId, "c-0".to_owned())));
}

#[test]
fn the_protocol_is_one_that_everybody_offers() {
    let (mut group, options) = (Group::default(), options(100));
    group.join(0, 1, join_request("", &["sticky", "range", "roundrobin"]), &options, "0");
    group.join(0, 2, join_request("", &["roundrobin", "range"]), &options, "1");
    group.join(0, 3, join_request("", &["range", "roundrobin"]), &options, "2");
    let other = group.join(0, 4, join_request("", &["sticky"]), &options, "3");
    assert_eq!(join_answer(&other, 4), Err((ErrorCode::InconsistentGroupProtocol, String::new())));
    group.tick(100);
    let answers = group.tick(200);
    assert_eq!(joined(&answers, 1).protocol_name, "range");
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let (mut group, options) = (stable_pair(), options(0));
    assert_eq!(group.join(10, 6, join_request("", &["range"]), &options, "2"), []);
    assert_eq!(group.heartbeat(900, "c-0", None, 2), Err(ErrorCode::RebalanceInProgress));
    group.join(900, 7, join_request("c-1", &["range"]), &options, "x");
    assert_eq!(group.tick(1_890), [], "c-0 still has a session");
    let answers = group.tick(1_900);
    let leader = joined(&answers, 7);
    assert_eq!((leader.generation, leader.leader.as_str(), leader.members.len()), (3, "c-1", 2));
    assert_eq!(joined(&answers, 6).member_id, "c-2");
}

#[test]
fn a_leader_that_never_syncs_does_not_hold_the_group() {
    let (mut group, options) = (Group::default(), options(0));
    group.join(0, 1, join_request("", &["range"]), &options, "0");
    group.join(0, 2, join_request("", &["range"]), &options, "1");
    group.join(0, 3, join_request("c-0", &["range"]), &options, "x");
    group.sync(0, 4, sync_request("c-1", 2, &[]));
    for now_ms in [900, 1_800, 2_700, 3_600, 4_500] {
        assert_eq!(group.heartbeat(now_ms, "c-0", None, 2), Ok(()));
    }
    let answers = group.tick(5_000);
    assert_eq!(sync_answer(&answers, 4), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(group.heartbeat(5_000, "c-0", None, 2), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn the_last_one_out_leaves_an_empty_group() {
    let mut group = stable_pair();
    let (left, answers) = group.leave(10, "c-0", None);
    assert_eq!((left, answers), (Ok(()), vec![]));
    assert_eq!(group.leave(10, "c-0", None).0, Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.leave(10, "c-1", None).0, Ok(()));
    assert_eq!(group.state(), State::Empty);
    assert_eq!(group.next_deadline_ms(), None);
    assert_eq!(group.check_commit(10, "", None, -1, false), Ok(()));
    assert_eq!(group.check_commit(10, "c-0", None, 2, false), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn a_follower_that_asks_again_gets_the_same_answer() {
    let (mut group, options) = (stable_pair(), options(0));
    let again = joined(&group.join(10, 6, join_request("c-1", &["range"]), &options, "x"), 6);
    assert_eq!((again.generation, group.state()), (2, State::Stable));
    assert_eq!(group.join(10, 7, join_request("c-0", &["range"]), &options, "x"), [], "a leader may want a rebalance");
}

#[test]
fn bounds_of_a_join_hold() {
    let (mut group, options) = (Group::default(), options(0));
    let mut hasty = join_request("", &["range"]);
    hasty.session_timeout_ms = 1;
    assert_eq!(
        join_answer(&group.join(0, 1, hasty, &options, "0"), 1).unwrap_err().0,
        ErrorCode::InvalidSessionTimeout
    );
    let nothing = group.join(0, 2, join_request("", &[]), &options, "0");
    assert_eq!(join_answer(&nothing, 2).unwrap_err().0, ErrorCode::InconsistentGroupProtocol);
    for member in 0..8 {
        group.join(0, 10 + member, join_request("", &["range"]), &options, &member.to_string());
    }
    let over = group.join(0, 30, join_request("", &["range"]), &options, "8");
    assert_eq!(join_answer(&over, 30).unwrap_err().0, ErrorCode::GroupMaxSizeReached);
}

/// Whatever clients do, each request is answered once, generations only grow, and when everybody falls silent the
/// group empties.
#[test]
fn random_clients_cannot_wedge_a_group() {
    let seed = std::env::var("KANAT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let options = options([0, 50][random.usize(0..2)]);
        let (mut group, mut now_ms, mut ticket) = (Group::default(), 0, 0);
        let mut waiting = HashSet::new();
        let mut known: Vec<String> = vec![String::new()];
        let mut generation = 0;
        for _ in 0..100 {
            now_ms += random.u64(0..400);
            ticket += 1;
            let member = known[random.usize(0..known.len())].clone();
            let answers = match random.u8(0..6) {
                0 | 1 => {
                    let mut request = join_request(&member, &["range"]);
                    request.member_id_required = random.bool();
                    request.instance_id = (random.u8(0..4) == 0).then(|| "i".to_owned());
                    waiting.insert(ticket);
                    group.join(now_ms, ticket, request, &options, &ticket.to_string())
                }
                2 => {
                    waiting.insert(ticket);
                    group.sync(now_ms, ticket, sync_request(&member, generation, &[]))
                }
                3 => {
                    let _ = group.heartbeat(now_ms, &member, None, generation);
                    Vec::new()
                }
                4 => group.leave(now_ms, &member, None).1,
                _ => group.tick(now_ms),
            };
            settle(answers, &mut waiting, &mut known, &mut generation, seed);
        }
        for _ in 0..1_000 {
            let Some(deadline_ms) = group.next_deadline_ms() else { break };
            now_ms = now_ms.max(deadline_ms);
            settle(group.tick(now_ms), &mut waiting, &mut known, &mut generation, seed);
        }
        assert!(waiting.is_empty(), "seed {seed}: {waiting:?} were never answered");
        assert!(group.is_unused(), "seed {seed}: silent members stayed");
    }
}

fn settle(answers: Vec<Answer>, waiting: &mut HashSet<u64>, known: &mut Vec<String>, generation: &mut i32, seed: u64) {
    for answer in answers {
        let ticket = match answer {
            Answer::Join(ticket, Ok(joined)) => {
                assert!(joined.generation >= *generation, "seed {seed}: the generation went back");
                *generation = joined.generation;
                known.push(joined.member_id);
                ticket
            }
            Answer::Join(ticket, Err((_, member_id))) => {
                known.push(member_id);
                ticket
            }
            Answer::Sync(ticket, _) => ticket,
        };
        assert!(waiting.remove(&ticket), "seed {seed}: request {ticket} was answered twice");
    }
}
