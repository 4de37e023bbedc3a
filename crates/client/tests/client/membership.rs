//! Membership in groups that are no consumer groups, against the embedded broker.

use std::sync::Arc;

use crate::common::{broker, client, within};
use kanat_client::{Error, JoinProtocol, LeaveMode, Membership, MembershipEvent, MembershipOptions};
use tokio::task::JoinHandle;

fn options() -> MembershipOptions {
    MembershipOptions {
        heartbeat_interval_ms: 30,
        session_timeout_ms: 6_000,
        ..MembershipOptions::new("workers", "connect")
    }
}

fn protocols(metadata: &str) -> Vec<JoinProtocol> {
    ["sessioned", "compatible"]
        .map(|name| JoinProtocol { name: name.to_owned(), metadata: format!("{name} {metadata}").into_bytes().into() })
        .to_vec()
}

/// A worker as Connect's: joins when told to, and as leader gives everybody the list of all members' metadata.
async fn until_assigned(membership: &Membership, metadata: &str) -> String {
    loop {
        match within("event", membership.next()).await.unwrap() {
            MembershipEvent::Lead(leadership) => {
                let mut all: Vec<String> = leadership
                    .members
                    .iter()
                    .map(|member| String::from_utf8(member.metadata.to_vec()).unwrap())
                    .collect();
                all.sort();
                let decided = all.join(", ");
                let assignments =
                    leadership.members.into_iter().map(|member| (member.member_id, decided.clone().into())).collect();
                membership.assign(leadership.generation, assignments);
            }
            MembershipEvent::Assigned(assigned) => return String::from_utf8(assigned.assignment.to_vec()).unwrap(),
            MembershipEvent::Rebalance => membership.join(protocols(metadata)),
            MembershipEvent::Lost(error) => panic!("lost: {error}"),
        }
    }
}

fn work(membership: &Arc<Membership>, metadata: &'static str) -> JoinHandle<String> {
    let membership = Arc::clone(membership);
    tokio::spawn(async move {
        loop {
            let assigned = until_assigned(&membership, metadata).await;
            if assigned.contains(',') {
                return assigned;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_another_kind_of_group_agree_on_their_own_bytes() {
    let broker = broker().await;
    let client = client(&broker).await;
    let first = Arc::new(client.membership(options()).unwrap());
    first.join(protocols("one"));
    assert_eq!(until_assigned(&first, "one").await, "sessioned one");
    assert!(first.is_leader());
    assert_eq!(first.generation(), 1);
    let second = Arc::new(client.membership(options()).unwrap());
    second.join(protocols("two"));
    let (one, two) = (work(&first, "one"), work(&second, "two"));
    assert_eq!(within("first", one).await.unwrap(), "sessioned one, sessioned two");
    assert_eq!(within("second", two).await.unwrap(), "sessioned one, sessioned two");
    let described = client.group("workers").describe().await.unwrap();
    assert_eq!((described.protocol_type.as_str(), described.members.len()), ("connect", 2));

    // The first leaves; the second hears of it by its heartbeat.
    let second_id = second.member_id();
    within("leave", Arc::into_inner(first).unwrap().leave(LeaveMode::Default)).await;
    assert_eq!(until_assigned(&second, "two").await, "sessioned two");
    assert_eq!(second.member_id(), second_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_another_kind_is_refused_with_its_reason() {
    let broker = broker().await;
    let client = client(&broker).await;
    let worker = client.membership(options()).unwrap();
    worker.join(protocols("one"));
    until_assigned(&worker, "one").await;
    let stranger = client.membership(MembershipOptions { protocol_type: "consumer".into(), ..options() }).unwrap();
    stranger.join(protocols("x"));
    let error = within("refusal", stranger.next()).await.unwrap_err();
    assert!(error.to_string().contains("INCONSISTENT_GROUP_PROTOCOL"), "{error}");
    assert!(matches!(stranger.next().await.unwrap_err(), Error::Closed { .. }));
}
