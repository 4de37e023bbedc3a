//! KIP-848 groups over the wire: joining, committing with member epochs, and the border to classic groups.

use crate::common::*;
use kanat_broker::{Broker, BrokerOptions};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kanat_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kanat_protocol::messages::*;

fn group() -> GroupId {
    GroupId(text("g"))
}

fn join(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text(member))
        .with_rebalance_timeout_ms(1_000)
        .with_subscribed_topic_names(Some(vec![name("t")]))
        .with_topic_partitions(Some(Vec::new()))
}

fn commit(member: &str, epoch: i32) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(4);
    let topic = OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![topic])
}

fn fetch_offsets(member: &str, epoch: i32) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopics::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group())
        .with_member_id(Some(text(member)))
        .with_member_epoch(epoch)
        .with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![group])
}

#[tokio::test(start_paused = true)]
async fn a_member_joins_commits_and_is_described() {
    let broker =
        Broker::start(BrokerOptions::default().without_sockets().with_consumer_group_times(10, 500)).await.unwrap();
    broker.create_topic("t", 3, &[]).await.unwrap();
    let mut client = Client::dial(&broker, 0);
    let joined = client.call(1, &join("m")).await;
    assert_eq!((error(joined.error_code), joined.member_epoch, joined.heartbeat_interval_ms), (None, 1, 10));
    assert_eq!(joined.assignment.unwrap().topic_partitions[0].partitions, [0, 1, 2]);

    let code = |response: OffsetCommitResponse| error(response.topics[0].partitions[0].error_code);
    assert_eq!(code(client.call(9, &commit("m", 1)).await), None);
    assert_eq!(code(client.call(9, &commit("m", 0)).await), Some(ErrorCode::StaleMemberEpoch));
    assert_eq!(code(client.call(9, &commit("n", 1)).await), Some(ErrorCode::UnknownMemberId));
    assert_eq!(code(client.call(8, &commit("m", 1)).await), Some(ErrorCode::UnsupportedVersion));
    let fetched = client.call(9, &fetch_offsets("m", 1)).await;
    assert_eq!(fetched.groups[0].topics[0].partitions[0].committed_offset, 4);
    let stale = client.call(9, &fetch_offsets("m", 7)).await;
    assert_eq!(error(stale.groups[0].error_code), Some(ErrorCode::StaleMemberEpoch));

    let listed = client.call(5, &ListGroupsRequest::default().with_types_filter(vec![text("Consumer")])).await;
    assert_eq!((&*listed.groups[0].group_state, &*listed.groups[0].group_type), ("Stable", "consumer"));
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let described = client.call(1, &request).await.groups.remove(0);
    assert_eq!((described.group_epoch, described.assignment_epoch, &*described.assignor_name), (1, 1, "uniform"));
    assert_eq!(&*described.members[0].assignment.topic_partitions[0].topic_name, "t");
    let classic = client.call(6, &DescribeGroupsRequest::default().with_groups(vec![group()])).await;
    assert_eq!(error(classic.groups[0].error_code), Some(ErrorCode::GroupIdNotFound));

    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let gone = client.call(1, &join("m").with_member_epoch(1)).await;
    assert_eq!(error(gone.error_code), Some(ErrorCode::UnknownMemberId), "its session ended");
}

#[tokio::test(start_paused = true)]
async fn a_group_has_one_protocol_at_a_time() {
    let broker = Broker::start(BrokerOptions::default().without_sockets()).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::dial(&broker, 0);
    let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(text("range"));
    let classic = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    assert_eq!(error(client.call(1, &join("m")).await.error_code), None);
    let refused = client.call(3, &classic).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::InconsistentGroupProtocol));
    client.call(1, &join("m").with_member_epoch(-1)).await;
    assert_eq!(error(client.call(3, &classic).await.error_code), None, "an empty group changes over");
    let refused = client.call(1, &join("m")).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::GroupIdNotFound));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_checked() {
    let broker = Broker::start(BrokerOptions::default().without_sockets()).await.unwrap();
    let mut client = Client::dial(&broker, 0);
    for wrong in [
        join(""),
        join("m").with_rebalance_timeout_ms(-1),
        join("m").with_topic_partitions(None),
        join("m").with_subscribed_topic_names(None),
        join("m").with_member_epoch(-2),
        join("m").with_instance_id(Some(text(""))),
        join("m").with_group_id(GroupId(text(""))),
    ] {
        assert_eq!(error(client.call(1, &wrong).await.error_code), Some(ErrorCode::InvalidRequest), "{wrong:?}");
    }
    let named = client.call(0, &join("")).await;
    assert!(!named.member_id.unwrap().is_empty(), "the broker makes an id for old clients");
    let off = Broker::start(BrokerOptions::default().without_sockets().with_group_version(0)).await.unwrap();
    let refused = Client::dial(&off, 0).call(1, &join("m")).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::UnsupportedVersion));
}
