//! Topics, configurations, consumer groups.

use crate::common::{broker, brokers, client, within};
use kanat_broker::{BrokerHandle, FaultAction, FaultRule};
use kanat_client::{Error, NewTopic, OffsetAndMetadata, TopicPartition};
use kanat_protocol::ErrorCode;
use kanat_protocol::frame;
use kanat_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kanat_protocol::messages::{ApiKey, Decodable, GroupId, JoinGroupRequest, JoinGroupResponse, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_listed_described_and_deleted() {
    let broker = brokers(2).await;
    let client = client(&broker).await;
    let admin = client.admin();
    let topics = [NewTopic::new("a", 3).with_config("cleanup.policy", "compact"), NewTopic::new("b", 1)];
    for (name, created) in admin.create_topics(&topics).await.unwrap() {
        created.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let again = admin.create_topic(&NewTopic::new("a", 1)).await.unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists), "{again}");
    assert!(again.to_string().contains("topic a"), "{again}");
    let listed = client.list_topics().await.unwrap();
    let names: Vec<(&str, usize)> = listed.iter().map(|topic| (&*topic.name, topic.partitions.len())).collect();
    assert_eq!(names, [("a", 3), ("b", 1)]);
    assert!(listed.iter().all(|topic| topic.id.is_some() && !topic.internal));
    let configs = admin.describe_topic_configs("a").await.unwrap();
    let policy = configs.iter().find(|config| config.name == "cleanup.policy").unwrap();
    assert_eq!(policy.value.as_deref(), Some("compact"));
    admin.alter_topic_configs("a", &[("cleanup.policy", None), ("retention.ms", Some("1000"))]).await.unwrap();
    let configs = admin.describe_topic_configs("a").await.unwrap();
    let value = |name: &str| configs.iter().find(|config| config.name == name).and_then(|config| config.value.clone());
    assert_eq!(value("cleanup.policy").as_deref(), Some("delete"));
    assert_eq!(value("retention.ms").as_deref(), Some("1000"));
    admin.create_partitions("b", 4).await.unwrap();
    assert_eq!(admin.describe_topics(&["b"]).await.unwrap()[0].partitions.len(), 4);
    for (_, deleted) in admin.delete_topics(&["a", "b"]).await.unwrap() {
        deleted.unwrap();
    }
    assert!(client.list_topics().await.unwrap().is_empty());
    assert!(admin.describe_topics(&["a"]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_offsets_come_back() {
    let broker = brokers(2).await;
    broker.create_topic("t", 3, &[]).await.unwrap();
    let client = client(&broker).await;
    let group = client.group("readers");
    let asked = [tp("t", 0), tp("t", 1)];
    assert!(within("fetch", group.committed(&asked)).await.unwrap().is_empty());
    let noted = OffsetAndMetadata { offset: 42, leader_epoch: -1, metadata: "a note".to_owned() };
    group.commit(&[(tp("t", 0), noted.clone()), (tp("t", 2), OffsetAndMetadata::new(7))]).await.unwrap();
    let committed = group.committed(&asked).await.unwrap();
    assert_eq!(committed.len(), 1);
    assert_eq!(committed[&tp("t", 0)], noted);
    assert_eq!(group.committed_all().await.unwrap().len(), 2);
    let described = group.describe().await.unwrap();
    assert_eq!((described.state.as_str(), described.members.len()), ("Empty", 0));
    group.delete().await.unwrap();
    assert!(group.committed_all().await.unwrap().is_empty());
    let error = client.group("never seen").describe().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::GroupIdNotFound), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_loads_moves_or_hangs_up_is_found_again() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let group = client.group("readers");
    let faults = broker.faults();
    let fail = |api, action| FaultRule::new(action).on(api).times(1);
    faults.add(fail(ApiKey::FindCoordinator, FaultAction::Error(ErrorCode::CoordinatorNotAvailable)));
    faults.add(fail(ApiKey::OffsetCommit, FaultAction::Error(ErrorCode::CoordinatorLoadInProgress)));
    within("commit", group.commit(&[(tp("t", 0), OffsetAndMetadata::new(1))])).await.unwrap();
    faults.add(fail(ApiKey::OffsetCommit, FaultAction::Error(ErrorCode::NotCoordinator)));
    within("commit", group.commit(&[(tp("t", 0), OffsetAndMetadata::new(2))])).await.unwrap();
    faults.add(fail(ApiKey::OffsetFetch, FaultAction::DropBefore));
    let committed = within("fetch", group.committed(&[tp("t", 0)])).await.unwrap();
    assert_eq!(committed[&tp("t", 0)].offset, 2);
}

/// Joins a group over a plain socket and keeps the connection, as a consumer that is running.
async fn join(broker: &BrokerHandle, group: &'static str) -> tokio::net::TcpStream {
    let mut socket = tokio::net::TcpStream::connect(broker.addr(0).unwrap()).await.unwrap();
    let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str(group)))
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    // Version 2 lets a member join without being sent back for an id first.
    let frame = frame::encode_request(2, 1, "somebody", &request).unwrap();
    socket.write_all(&frame).await.unwrap();
    let length = usize::try_from(socket.read_i32().await.unwrap()).unwrap();
    let mut answer = vec![0; length];
    socket.read_exact(&mut answer).await.unwrap();
    let (_, mut body) = frame::decode_response_header(answer.into(), ApiKey::JoinGroup, 2).unwrap();
    assert_eq!(JoinGroupResponse::decode(&mut body, 2).unwrap().error_code, 0);
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_members_is_not_written_to() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let _member = within("join", join(&broker, "busy")).await;
    let group = client.group("busy");
    let error = within("commit", group.commit(&[(tp("t", 0), OffsetAndMetadata::new(1))])).await.unwrap_err();
    assert!(matches!(error, Error::GroupActive { .. }), "{error}");
    assert!(error.to_string().contains("consumer group busy has active members"), "{error}");
    let described = group.describe().await.unwrap();
    assert_eq!(described.members.len(), 1);
    assert_eq!(described.members[0].client_id, "somebody");
    assert!(described.members[0].client_host.contains("127.0.0.1"), "{described:?}");
    assert!(matches!(group.delete().await.unwrap_err(), Error::GroupActive { .. }));
}
