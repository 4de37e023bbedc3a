//! Consumer groups over the wire: joining, rebalancing, committing, looking at them.

use crate::common::*;
use bytes::Bytes;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kanat_protocol::messages::leave_group_request::MemberIdentity;
use kanat_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kanat_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kanat_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kanat_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kanat_protocol::messages::*;

fn group() -> GroupId {
    GroupId(text("g"))
}

fn join(member_id: &str) -> JoinGroupRequest {
    // Version 0, one topic "t", no user data.
    let subscription = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription);
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member_id))
        .with_group_instance_id(None)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
        .with_reason(None)
}

fn sync(member_id: &str, generation: i32, assignments: &[(&str, &'static str)]) -> SyncGroupRequest {
    let assignments = assignments.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(Bytes::from(*assignment))
    });
    SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(text(member_id))
        .with_group_instance_id(None)
        .with_protocol_type(None)
        .with_protocol_name(None)
        .with_assignments(assignments.collect())
}

fn heartbeat(member_id: &str, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(text(member_id))
        .with_group_instance_id(None)
}

fn commit(member_id: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_metadata(None);
    let topic = OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member_id))
        .with_group_instance_id(None)
        .with_topics(vec![topic])
}

async fn commit_code(client: &mut Client, request: OffsetCommitRequest) -> Option<ErrorCode> {
    error(client.call(8, &request).await.topics[0].partitions[0].error_code)
}

async fn committed(client: &mut Client) -> i64 {
    let topic = OffsetFetchRequestTopic::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic]));
    client.call(7, &request).await.topics[0].partitions[0].committed_offset
}

/// Joins as a fresh member the way clients do: first without an id, then with the one that was given out.
async fn join_fresh(client: &mut Client) -> JoinGroupResponse {
    let first = client.call(7, &join("")).await;
    assert_eq!(error(first.error_code), Some(ErrorCode::MemberIdRequired));
    client.call(7, &join(&first.member_id)).await
}

async fn describe(client: &mut Client) -> describe_groups_response::DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
    client.call(5, &request).await.groups.remove(0)
}

async fn start_with_topic() -> BrokerHandle {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.expect("topic is created");
    broker
}

/// A stable group of one; returns its member id and generation.
async fn group_of_one(client: &mut Client) -> (String, i32) {
    let joined = join_fresh(client).await;
    assert_eq!((error(joined.error_code), &joined.leader), (None, &joined.member_id));
    let member = joined.member_id.to_string();
    let synced = client.call(5, &sync(&member, joined.generation_id, &[(&member, "all")])).await;
    assert_eq!((error(synced.error_code), &synced.assignment[..]), (None, &b"all"[..]));
    (member, joined.generation_id)
}

#[tokio::test]
async fn a_second_member_makes_the_first_join_again() {
    let broker = start_with_topic().await;
    let (mut one, mut two) = (Client::connect(&broker.bootstrap()).await, Client::connect(&broker.bootstrap()).await);
    let (first, generation) = group_of_one(&mut one).await;
    assert_eq!(error(one.call(4, &heartbeat(&first, generation)).await.error_code), None);

    let promised = two.call(7, &join("")).await.member_id.to_string();
    two.send(7, &join(&promised)).await;
    // The rebalance shows in a heartbeat as soon as the broker has read the join.
    let mut told = None;
    while told.is_none() {
        told = error(one.call(4, &heartbeat(&first, generation)).await.error_code);
    }
    assert_eq!(told, Some(ErrorCode::RebalanceInProgress));
    assert_eq!(commit_code(&mut one, commit(&first, generation, 5)).await, None);
    let leader = one.call(7, &join(&first)).await;
    assert_eq!((error(leader.error_code), leader.generation_id, leader.members.len()), (None, generation + 1, 2));
    let frame = two.receive_frame().await.unwrap();
    let (_, body) = kanat_protocol::frame::decode_response_header(frame, ApiKey::JoinGroup, 7).unwrap();
    let follower: JoinGroupResponse = kanat_protocol::frame::decode_body(ApiKey::JoinGroup, 7, body).unwrap();
    assert_eq!((&follower.leader, follower.members.len()), (&leader.member_id, 0));

    let second = follower.member_id.to_string();
    two.send(5, &sync(&second, generation + 1, &[])).await;
    one.call(5, &sync(&first, generation + 1, &[(&first, "left"), (&second, "right")])).await;
    let frame = two.receive_frame().await.unwrap();
    let (_, body) = kanat_protocol::frame::decode_response_header(frame, ApiKey::SyncGroup, 5).unwrap();
    let synced: SyncGroupResponse = kanat_protocol::frame::decode_body(ApiKey::SyncGroup, 5, body).unwrap();
    assert_eq!(&synced.assignment[..], b"right");
    let described = describe(&mut one).await;
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Stable", 2));

    let leaving =
        MemberIdentity::default().with_member_id(text(&second)).with_group_instance_id(None).with_reason(None);
    two.call(5, &LeaveGroupRequest::default().with_group_id(group()).with_members(vec![leaving])).await;
    let told = one.call(4, &heartbeat(&first, generation + 1)).await;
    assert_eq!(error(told.error_code), Some(ErrorCode::RebalanceInProgress));
}

#[tokio::test]
async fn commits_are_fenced_by_membership_and_generation() {
    let broker = start_with_topic().await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(commit_code(&mut client, commit("", -1, 1)).await, None);
    assert_eq!(committed(&mut client).await, 1);
    let (member, generation) = group_of_one(&mut client).await;
    assert_eq!(commit_code(&mut client, commit("", -1, 9)).await, Some(ErrorCode::UnknownMemberId));
    assert_eq!(commit_code(&mut client, commit("nobody", generation, 9)).await, Some(ErrorCode::UnknownMemberId));
    assert_eq!(commit_code(&mut client, commit(&member, generation - 1, 9)).await, Some(ErrorCode::IllegalGeneration));
    assert_eq!(committed(&mut client).await, 1);
    assert_eq!(commit_code(&mut client, commit(&member, generation, 2)).await, None);
    assert_eq!(committed(&mut client).await, 2);
}

#[tokio::test]
async fn a_silent_member_is_taken_out() {
    let broker = start_with_topic().await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    let request = join("").with_session_timeout_ms(100);
    let member = client.call(7, &request).await.member_id;
    let joined = client.call(7, &request.with_member_id(member.clone())).await;
    assert_eq!(error(joined.error_code), None);
    while describe(&mut client).await.group_state.as_str() != "Dead" {}
    let told = client.call(4, &heartbeat(&member, joined.generation_id)).await;
    assert_eq!(error(told.error_code), Some(ErrorCode::UnknownMemberId));
}

#[tokio::test]
async fn a_static_member_returns_without_a_rebalance() {
    let broker = start_with_topic().await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    let static_join = join("").with_group_instance_id(Some(text("i")));
    let joined = client.call(9, &static_join).await;
    assert_eq!(error(joined.error_code), None);
    let request = sync(&joined.member_id, joined.generation_id, &[(&joined.member_id, "all")]);
    client.call(5, &request.with_group_instance_id(Some(text("i")))).await;

    let mut restarted = Client::connect(&broker.bootstrap()).await;
    let again = restarted.call(9, &static_join).await;
    assert_eq!(
        (error(again.error_code), again.generation_id, again.skip_assignment),
        (None, joined.generation_id, true)
    );
    assert_ne!(again.member_id, joined.member_id);
    let request = sync(&again.member_id, again.generation_id, &[]).with_group_instance_id(Some(text("i")));
    assert_eq!(&restarted.call(5, &request).await.assignment[..], b"all");
    let old = heartbeat(&joined.member_id, joined.generation_id).with_group_instance_id(Some(text("i")));
    assert_eq!(error(client.call(4, &old).await.error_code), Some(ErrorCode::FencedInstanceId));
}

#[tokio::test]
async fn groups_are_listed_described_and_deleted() {
    let broker = start_with_topic().await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    let missing = describe(&mut client).await;
    assert_eq!((error(missing.error_code), missing.group_state.as_str()), (None, "Dead"));
    let (member, generation) = group_of_one(&mut client).await;
    commit_code(&mut client, commit(&member, generation, 2)).await;
    let listed = client.call(5, &ListGroupsRequest::default()).await;
    assert_eq!(listed.groups.len(), 1);
    assert_eq!((listed.groups[0].group_state.as_str(), listed.groups[0].group_type.as_str()), ("Stable", "classic"));
    let filtered = client.call(5, &ListGroupsRequest::default().with_states_filter(vec![text("Empty")])).await;
    assert!(filtered.groups.is_empty());

    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let delete_offset = OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic]);
    let refused = client.call(0, &delete_offset).await;
    assert_eq!(error(refused.topics[0].partitions[0].error_code), Some(ErrorCode::GroupSubscribedToTopic));
    let delete_group = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    let refused = client.call(2, &delete_group).await;
    assert_eq!(error(refused.results[0].error_code), Some(ErrorCode::NonEmptyGroup));

    client.call(2, &LeaveGroupRequest::default().with_group_id(group()).with_member_id(text(&member))).await;
    assert_eq!(describe(&mut client).await.group_state.as_str(), "Empty");
    let deleted = client.call(0, &delete_offset).await;
    assert_eq!((error(deleted.error_code), error(deleted.topics[0].partitions[0].error_code)), (None, None));
    assert_eq!(committed(&mut client).await, -1);
    commit_code(&mut client, commit("", -1, 2)).await;
    let deleted = client.call(2, &delete_group).await;
    assert_eq!(error(deleted.results[0].error_code), None);
    let deleted = client.call(2, &delete_group).await;
    assert_eq!(error(deleted.results[0].error_code), Some(ErrorCode::GroupIdNotFound));
}

#[tokio::test]
async fn only_the_coordinator_answers_for_a_group() {
    let broker = Broker::start(BrokerOptions::default().with_nodes(2)).await.unwrap();
    let mut client = Client::connect(&broker.addr(0).unwrap()).await;
    let find = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text("g")]);
    let found = client.call(4, &find).await.coordinators.remove(0);
    assert_eq!(Some(found.node_id.0), broker.group_coordinator("g"));
    let mut other = Client::connect(&broker.addr(1 - found.node_id.0).unwrap()).await;
    let refused = other.call(7, &join("")).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::NotCoordinator));
    broker.stop_node(found.node_id.0).await.unwrap();
    assert_eq!(broker.group_coordinator("g"), Some(1 - found.node_id.0));
    assert_eq!(error(other.call(7, &join("")).await.error_code), Some(ErrorCode::MemberIdRequired));

    let transactional = find.with_key_type(1);
    let found = other.call(4, &transactional).await.coordinators.remove(0);
    assert_eq!(Some(found.node_id.0), broker.transaction_coordinator("g"));
    let share = other.call(4, &transactional.with_key_type(2)).await.coordinators.remove(0);
    assert_eq!(error(share.error_code), Some(ErrorCode::InvalidRequest));
}
