//! Groups of both protocols, and their offsets.

use bytes::Bytes;
use kanat_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kanat_protocol::messages::leave_group_request::MemberIdentity;
use kanat_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kanat_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kanat_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kanat_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kanat_protocol::messages::*;

use super::peer::{Peer, group, is_passing, name, text};
use super::topics::{ABSENT, TOPIC};

pub(super) const CLASSIC: &str = "refusals-classic";
const MODERN: &str = "refusals-modern";
const PENDING: &str = "refusals-pending";
/// A group that has nothing but offsets.
pub(super) const OFFSETS: &str = "refusals-offsets";
const INSTANCE: &str = "one";
const JOIN: i16 = 9;

pub(super) async fn ask(peer: &mut Peer) {
    coordinators(peer).await;
    joins(peer).await;
    let member = join(peer).await;
    memberships(peer, &member).await;
    commits(peer, &member).await;
    deletions(peer).await;
    heartbeats(peer).await;
}

/// Waits until the coordinators of all groups of the rows have loaded them.
async fn coordinators(peer: &mut Peer) {
    let groups = [CLASSIC, MODERN, PENDING, OFFSETS, ABSENT];
    let request = FindCoordinatorRequest::default().with_coordinator_keys(groups.map(text).into());
    peer.prepare(4, request, |answer| answer.coordinators.iter().all(|one| one.error_code == 0)).await;
    let request = DescribeGroupsRequest::default().with_groups(groups.map(group).into());
    peer.prepare(6, request, |answer| !answer.groups.iter().any(|group| is_passing(group.error_code))).await;
}

/// The member that the group of the rows has.
struct Member {
    id: StrBytes,
    generation: i32,
}

fn joining(id: &str) -> JoinGroupRequest {
    // A subscription of version 0 to the topic of the rows.
    let mut metadata = vec![0, 0, 0, 0, 0, 1, 0, u8::try_from(TOPIC.len()).unwrap()];
    metadata.extend(TOPIC.as_bytes());
    metadata.extend([0xff; 4]);
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from(metadata));
    JoinGroupRequest::default()
        .with_group_id(group(id))
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

async fn joins(peer: &mut Peer) {
    for (what, request) in [
        ("join: no group", joining("")),
        ("join: a session too short", joining(CLASSIC).with_session_timeout_ms(1)),
        ("join: a session too long", joining(CLASSIC).with_session_timeout_ms(i32::MAX)),
        ("join: no assignors", joining(CLASSIC).with_protocols(Vec::new())),
        ("join: no protocol", joining(CLASSIC).with_protocol_type(text(""))),
        ("join: a member nobody knows", joining(CLASSIC).with_member_id(text("nobody"))),
        // It is waited for, which nobody in the group of the rows may be.
        ("join: without an id", joining(PENDING)),
    ] {
        peer.row(what, JOIN, request, |answer| vec![answer.error_code]).await;
    }
}

/// Joins the group as a static member, whose id needs no second round.
async fn join(peer: &mut Peer) -> Member {
    let request = joining(CLASSIC).with_group_instance_id(Some(text(INSTANCE)));
    let joined = peer.prepare(JOIN, request, |answer| answer.error_code == 0).await;
    let member = Member { id: joined.member_id, generation: joined.generation_id };
    // The topic's first partition, as an assignment of version 0.
    let mut assignment = vec![0, 0, 0, 0, 0, 1, 0, u8::try_from(TOPIC.len()).unwrap()];
    assignment.extend(TOPIC.as_bytes());
    assignment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(member.id.clone())
        .with_assignment(Bytes::from(assignment));
    let request = syncing(CLASSIC, &member).with_assignments(vec![assignment]);
    peer.prepare(5, request, |answer| answer.error_code == 0).await;
    member
}

fn syncing(id: &str, member: &Member) -> SyncGroupRequest {
    SyncGroupRequest::default()
        .with_group_id(group(id))
        .with_member_id(member.id.clone())
        .with_generation_id(member.generation)
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
}

fn beating(id: &str, member: &Member) -> HeartbeatRequest {
    let request = HeartbeatRequest::default().with_group_id(group(id)).with_member_id(member.id.clone());
    request.with_generation_id(member.generation)
}

async fn memberships(peer: &mut Peer, member: &Member) {
    let old = Member { id: member.id.clone(), generation: member.generation - 1 };
    let unknown = Member { id: text("nobody"), generation: member.generation };
    for (what, request) in [
        ("join: another kind of protocol", joining(CLASSIC).with_protocol_type(text("connect"))),
        (
            "join: an instance with another id",
            joining(CLASSIC).with_member_id(text("x")).with_group_instance_id(Some(text(INSTANCE))),
        ),
        (
            "join: an unknown instance with an id",
            joining(CLASSIC).with_member_id(text("x")).with_group_instance_id(Some(text("two"))),
        ),
    ] {
        peer.row(what, JOIN, request, |answer| vec![answer.error_code]).await;
    }
    for (what, request) in [
        ("sync: unknown group", syncing(ABSENT, member)),
        ("sync: unknown member", syncing(CLASSIC, &unknown)),
        ("sync: old generation", syncing(CLASSIC, &old)),
        ("sync: another assignor", syncing(CLASSIC, member).with_protocol_name(Some(text("sticky")))),
        ("sync: another instance", syncing(CLASSIC, member).with_group_instance_id(Some(text("two")))),
        ("sync: no group", syncing("", member)),
    ] {
        peer.row(what, 5, request, |answer| vec![answer.error_code]).await;
    }
    for (what, request) in [
        ("heartbeat: unknown group", beating(ABSENT, member)),
        ("heartbeat: no group", beating("", member)),
        ("heartbeat: unknown member", beating(CLASSIC, &unknown)),
        ("heartbeat: old generation", beating(CLASSIC, &old)),
        ("heartbeat: fenced instance", beating(CLASSIC, &unknown).with_group_instance_id(Some(text(INSTANCE)))),
        ("heartbeat: unknown instance", beating(CLASSIC, member).with_group_instance_id(Some(text("two")))),
    ] {
        peer.row(what, 4, request, |answer| vec![answer.error_code]).await;
    }
    let identity = |id: &str| MemberIdentity::default().with_member_id(text(id));
    for (what, id, identity) in [
        ("leave: unknown group", ABSENT, identity("nobody")),
        ("leave: unknown member", CLASSIC, identity("nobody")),
        ("leave: fenced instance", CLASSIC, identity("nobody").with_group_instance_id(Some(text(INSTANCE)))),
        ("leave: unknown instance", CLASSIC, identity("").with_group_instance_id(Some(text("two")))),
    ] {
        let request = LeaveGroupRequest::default().with_group_id(group(id)).with_members(vec![identity]);
        let codes = |answer: &LeaveGroupResponse| {
            [answer.error_code].into_iter().chain(answer.members.iter().map(|member| member.error_code)).collect()
        };
        peer.row(what, 5, request, codes).await;
    }
}

fn committing(id: &str, topic: &str, partition: i32, metadata: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(1)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text(metadata)));
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group(id))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

async fn commits(peer: &mut Peer, member: &Member) {
    let of = |request: OffsetCommitRequest, id: &str, generation| {
        request.with_member_id(text(id)).with_generation_id_or_member_epoch(generation)
    };
    let (id, generation) = (member.id.as_str(), member.generation);
    let plain = || committing(CLASSIC, TOPIC, 0, "");
    for (what, request) in [
        ("commit: from outside a group with members", plain()),
        ("commit: unknown member", of(plain(), "nobody", generation)),
        ("commit: old generation", of(plain(), id, generation - 1)),
        ("commit: fenced instance", of(plain(), "nobody", generation).with_group_instance_id(Some(text(INSTANCE)))),
        ("commit: metadata too long", of(committing(CLASSIC, TOPIC, 0, &"x".repeat(5_000)), id, generation)),
        ("commit: unknown topic", of(committing(CLASSIC, ABSENT, 0, ""), id, generation)),
        ("commit: unknown partition", of(committing(CLASSIC, TOPIC, 9, ""), id, generation)),
        ("commit: a generation of an unknown group", of(committing(ABSENT, TOPIC, 0, ""), "nobody", 3)),
        ("commit: no group", committing("", TOPIC, 0, "")),
    ] {
        let codes = |answer: &OffsetCommitResponse| {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
        };
        peer.row(what, 8, request, codes).await;
    }
    let fetch = |id: &str| OffsetFetchRequestGroup::default().with_group_id(group(id)).with_topics(None);
    for (what, fetch) in [
        (
            "fetch offsets: of an unknown member",
            fetch(MODERN).with_member_id(Some(text("nobody"))).with_member_epoch(3),
        ),
        ("fetch offsets: no group", fetch("")),
    ] {
        let request = OffsetFetchRequest::default().with_groups(vec![fetch]);
        peer.row(what, 9, request, |answer| answer.groups.iter().map(|group| group.error_code).collect()).await;
    }
}

async fn deletions(peer: &mut Peer) {
    for (what, id) in
        [("delete group: with members", CLASSIC), ("delete group: unknown", ABSENT), ("delete group: no name", "")]
    {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group(id)]);
        peer.row(what, 2, request, |answer| answer.results.iter().map(|group| group.error_code).collect()).await;
    }
    for (what, id) in [("describe group: unknown", ABSENT), ("describe group: no name", "")] {
        let request = DescribeGroupsRequest::default().with_groups(vec![group(id)]);
        peer.row(what, 6, request, |answer| answer.groups.iter().map(|group| group.error_code).collect()).await;
    }
    for (what, id, topic, partition) in [
        ("delete offsets: subscribed topic", CLASSIC, TOPIC, 0),
        ("delete offsets: unknown topic", CLASSIC, ABSENT, 0),
        ("delete offsets: unknown partition", CLASSIC, TOPIC, 9),
        ("delete offsets: unknown group", ABSENT, TOPIC, 0),
        ("delete offsets: no group", "", TOPIC, 0),
    ] {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
        let topic = OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let request = OffsetDeleteRequest::default().with_group_id(group(id)).with_topics(vec![topic]);
        let codes = |answer: &OffsetDeleteResponse| {
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            [answer.error_code].into_iter().chain(partitions.map(|partition| partition.error_code)).collect()
        };
        peer.row(what, 0, request, codes).await;
    }
    let request = FindCoordinatorRequest::default().with_key_type(9).with_coordinator_keys(vec![text("x")]);
    let codes = |answer: &FindCoordinatorResponse| answer.coordinators.iter().map(|one| one.error_code).collect();
    peer.row("find coordinator: unknown kind", 4, request, codes).await;
}

fn modern(id: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(id))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![name(TOPIC)]))
        .with_topic_partitions(Some(Vec::new()))
}

async fn heartbeats(peer: &mut Peer) {
    let owned = consumer_group_heartbeat_request::TopicPartitions::default()
        .with_topic_id(Uuid::from_u128(7))
        .with_partitions(vec![0]);
    let there = modern(MODERN, "member", 0);
    peer.prepare(1, there, |answer| answer.error_code == 0).await;
    for (what, request) in [
        ("consumer heartbeat: no group", modern("", "member", 0)),
        ("consumer heartbeat: no member", modern(MODERN, "", 0)),
        ("consumer heartbeat: unknown member", modern(MODERN, "nobody", 3)),
        ("consumer heartbeat: unknown group", modern(ABSENT, "nobody", 3)),
        ("consumer heartbeat: epoch of the future", modern(MODERN, "member", 99)),
        ("consumer heartbeat: epoch below all", modern(MODERN, "member", -5)),
        ("consumer heartbeat: leaves without being there", modern(MODERN, "nobody", -1)),
        ("consumer heartbeat: no subscription", modern(MODERN, "new", 0).with_subscribed_topic_names(None)),
        ("consumer heartbeat: no rebalance timeout", modern(MODERN, "new", 0).with_rebalance_timeout_ms(-1)),
        ("consumer heartbeat: owns before it joins", modern(MODERN, "new", 0).with_topic_partitions(Some(vec![owned]))),
        ("consumer heartbeat: unknown assignor", modern(MODERN, "new", 0).with_server_assignor(Some(text("best")))),
        ("consumer heartbeat: empty assignor", modern(MODERN, "new", 0).with_server_assignor(Some(text("")))),
        (
            "consumer heartbeat: bad pattern",
            modern(MODERN, "new", 0).with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("("))),
        ),
        ("consumer heartbeat: static leave without an instance", modern(MODERN, "member", -2)),
        ("consumer heartbeat: empty instance", modern(MODERN, "new", 0).with_instance_id(Some(text("")))),
    ] {
        peer.row(what, 1, request, |answer| vec![answer.error_code]).await;
    }
    let stale = committing(MODERN, TOPIC, 0, "").with_member_id(text("member")).with_generation_id_or_member_epoch(99);
    let codes = |answer: &OffsetCommitResponse| answer.topics[0].partitions.iter().map(|one| one.error_code).collect();
    peer.row("commit: an epoch of the future", 9, stale, codes).await;
    let stale = committing(MODERN, TOPIC, 0, "").with_member_id(text("member")).with_generation_id_or_member_epoch(0);
    peer.row("commit: an epoch of the past", 9, stale, codes).await;
    peer.row("join: a group of the other protocol", JOIN, joining(MODERN).with_member_id(text("x")), |answer| {
        vec![answer.error_code]
    })
    .await;
    let leave = modern(MODERN, "member", -1);
    peer.prepare(1, leave, |answer| answer.error_code == 0).await;
}
