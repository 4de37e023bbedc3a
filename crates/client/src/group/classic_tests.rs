//! The classic member driven directly: what it asks for, and what it makes of the answers.

use kanat_protocol::messages::ApiKey;
use proptest::prelude::*;

use super::*;

fn refusal(code: ErrorCode) -> Error {
    Error::Server { address: "b:1".into(), api: ApiKey::JoinGroup, subject: "g".into(), code, message: None }
}

fn protocols(metadata: &'static str) -> Vec<JoinProtocol> {
    vec![JoinProtocol { name: "p".to_owned(), metadata: metadata.into() }]
}

fn joined(generation: i32, leader_id: &str) -> JoinAnswer {
    JoinAnswer {
        generation,
        protocol: "p".to_owned(),
        leader_id: leader_id.to_owned(),
        member_id: "m".to_owned(),
        skip_assignment: false,
        members: Vec::new(),
    }
}

fn machine() -> (Classic, Instant) {
    (Classic::new(&MembershipOptions::new("g", "consumer")), Instant::now())
}

fn attempt(machine: &mut Classic, now: Instant) -> u64 {
    match machine.next_step(now) {
        Step::Join { attempt, .. } => attempt,
        other => panic!("expected a join, got {other:?}"),
    }
}

/// A member with an assignment of generation 1.
fn stable(leader_id: &str) -> (Classic, Instant) {
    let (mut machine, now) = machine();
    machine.join(protocols("a"));
    let attempt = attempt(&mut machine, now);
    let _ = machine.on_joined(now, attempt, Ok(joined(1, leader_id)));
    machine.assign(1, Vec::new());
    let id = machine.id();
    let _ = machine.on_synced(now, &id, Ok("mine".into()));
    while let Some(event) = machine.pop_event() {
        event.unwrap();
    }
    (machine, now)
}

#[test]
fn a_member_comes_back_with_the_id_it_was_given() {
    let (mut machine, now) = machine();
    assert_eq!(machine.next_step(now), Step::Wait(None));
    machine.join(protocols("a"));
    let first = attempt(&mut machine, now);
    let refused = Err((refusal(ErrorCode::MemberIdRequired), Some("m".to_owned())));
    assert!(matches!(machine.on_joined(now, first, refused), Reaction::Go));
    assert!(matches!(machine.next_step(now), Step::Join { member_id, .. } if member_id == "m"));
}

#[test]
fn a_leader_syncs_what_it_was_told_and_a_follower_nothing() {
    let (mut machine, now) = machine();
    machine.join(protocols("a"));
    let first = attempt(&mut machine, now);
    let _ = machine.on_joined(now, first, Ok(joined(1, "m")));
    assert!(machine.is_leader());
    assert!(matches!(machine.pop_event(), Some(Ok(MembershipEvent::Lead(_)))));
    assert!(matches!(machine.next_step(now), Step::Wait(Some(_))), "heartbeats go on while the leader thinks");
    machine.assign(0, vec![("m".to_owned(), "old".into())]);
    assert!(matches!(machine.next_step(now), Step::Wait(_)), "the group has moved on from generation 0");
    machine.assign(1, vec![("m".to_owned(), "x".into())]);
    assert!(matches!(machine.next_step(now), Step::Sync { assignments, .. } if assignments.len() == 1));

    machine.join(protocols("b"));
    let second = attempt(&mut machine, now);
    let _ = machine.on_joined(now, second, Ok(joined(2, "other")));
    assert!(matches!(machine.next_step(now), Step::Sync { assignments, .. } if assignments.is_empty()));
}

#[test]
fn a_rebalance_is_announced_once_and_heartbeats_go_on() {
    let (mut machine, now) = stable("other");
    let due = now + Duration::from_secs(3);
    assert_eq!(machine.next_step(now), Step::Wait(Some(due)));
    let id = machine.id();
    assert_eq!(machine.next_step(due), Step::Heartbeat(id.clone()));
    for _ in 0..2 {
        let _ = machine.on_heartbeat(due, &id, Err(refusal(ErrorCode::RebalanceInProgress)));
    }
    assert!(matches!(machine.pop_event(), Some(Ok(MembershipEvent::Rebalance))));
    assert!(machine.pop_event().is_none());
    assert!(matches!(machine.next_step(due + Duration::from_secs(3)), Step::Heartbeat(_)));
}

#[test]
fn losing_the_membership_says_so_and_waits_for_the_application() {
    for (code, member_id) in [(ErrorCode::UnknownMemberId, ""), (ErrorCode::IllegalGeneration, "m")] {
        let (mut machine, now) = stable("other");
        let id = machine.id();
        let _ = machine.on_heartbeat(now, &id, Err(refusal(code)));
        assert!(matches!(machine.pop_event(), Some(Ok(MembershipEvent::Lost(_)))));
        assert_eq!(machine.id(), MemberId { generation: -1, member_id: member_id.to_owned() });
        assert_eq!(machine.next_step(now), Step::Wait(None));
    }
}

#[test]
fn an_answer_to_older_metadata_is_followed_by_another_join() {
    let (mut machine, now) = machine();
    machine.join(protocols("a"));
    let first = attempt(&mut machine, now);
    machine.join(protocols("b"));
    let _ = machine.on_joined(now, first, Ok(joined(1, "m")));
    assert!(machine.pop_event().is_none());
    assert!(matches!(machine.next_step(now), Step::Join { member_id, protocols, .. }
        if member_id == "m" && protocols[0].metadata == "b"));
}

#[test]
fn a_coordinator_that_moves_costs_a_wait_and_nothing_else() {
    let (mut machine, now) = stable("other");
    let id = machine.id();
    let reaction = machine.on_heartbeat(now, &id, Err(refusal(ErrorCode::NotCoordinator)));
    assert!(matches!(reaction, Reaction::BackOff(_)));
    assert_eq!(machine.id(), id);
    assert!(machine.pop_event().is_none());
}

#[test]
fn a_member_fenced_by_its_instance_id_ends() {
    let (mut machine, now) = stable("other");
    let id = machine.id();
    let _ = machine.on_heartbeat(now, &id, Err(refusal(ErrorCode::FencedInstanceId)));
    assert!(matches!(machine.pop_event(), Some(Ok(MembershipEvent::Lost(_)))));
    assert!(matches!(machine.pop_event(), Some(Err(_))));
    assert!(machine.has_ended());
    machine.join(protocols("a"));
    assert_eq!(machine.next_step(now), Step::Wait(None));
}

const CODES: [ErrorCode; 9] = [
    ErrorCode::UnknownMemberId,
    ErrorCode::IllegalGeneration,
    ErrorCode::RebalanceInProgress,
    ErrorCode::MemberIdRequired,
    ErrorCode::NotCoordinator,
    ErrorCode::CoordinatorLoadInProgress,
    ErrorCode::FencedInstanceId,
    ErrorCode::GroupAuthorizationFailed,
    ErrorCode::UnknownServerError,
];

proptest! {
    /// Whatever a coordinator answers, a member that was not ended is led back to an assignment by good answers,
    /// and is never told twice of one assignment without having joined in between.
    #[test]
    fn good_answers_lead_back_to_an_assignment(answers in prop::collection::vec(0..14usize, 0..60)) {
        let (mut machine, mut now) = machine();
        let mut generation = 0;
        machine.join(protocols("a"));
        let mut good = std::iter::repeat_n(13, 20);
        let mut answers = answers.into_iter();
        let mut assigned = false;
        while !machine.has_ended() {
            let Some(answer) = answers.next().or_else(|| good.next()) else { break };
            let code = CODES.get(answer).copied();
            let outcome = || code.map_or(Ok(()), |code| Err(refusal(code)));
            match machine.next_step(now) {
                Step::Join { attempt, .. } => {
                    assigned = false;
                    generation += 1;
                    let leader_id = if answer % 2 == 0 { "m" } else { "other" };
                    let outcome = outcome().map(|()| joined(generation, leader_id));
                    let _ = machine.on_joined(now, attempt, outcome.map_err(|error| (error, Some("m".into()))));
                }
                Step::Sync { id, .. } => {
                    let _ = machine.on_synced(now, &id, outcome().map(|()| "x".into()));
                }
                Step::Heartbeat(id) => {
                    let _ = machine.on_heartbeat(now, &id, outcome());
                }
                Step::Wait(until) => now = until.unwrap_or(now) + Duration::from_millis(1),
            }
            while let Some(event) = machine.pop_event() {
                match event {
                    Ok(MembershipEvent::Lead(leadership)) => machine.assign(leadership.generation, Vec::new()),
                    Ok(MembershipEvent::Assigned(_)) => {
                        prop_assert!(!assigned);
                        assigned = true;
                    }
                    Ok(MembershipEvent::Rebalance | MembershipEvent::Lost(_)) => machine.join(protocols("a")),
                    Err(_) => prop_assert!(machine.has_ended()),
                }
            }
        }
        prop_assert!(assigned || machine.has_ended());
    }
}
