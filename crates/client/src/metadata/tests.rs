use kanat_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition};
use kanat_protocol::messages::{BrokerId, StrBytes, TopicName};

use super::*;

fn broker(node_id: i32, host: &'static str) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(BrokerId(node_id))
        .with_host(StrBytes::from_static_str(host))
        .with_port(9092)
}

fn topic(name: &'static str, leaders: &[(i32, i32)]) -> MetadataResponseTopic {
    let partition = |(index, (leader, epoch)): (i32, &(i32, i32))| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(*leader))
            .with_leader_epoch(*epoch)
    };
    let mut partitions: Vec<_> = (0..).zip(leaders).map(partition).collect();
    partitions.reverse();
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_static_str(name))))
        .with_partitions(partitions)
}

fn answer(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    MetadataResponse::default()
        .with_brokers(vec![broker(1, "one"), broker(2, "two")])
        .with_controller_id(BrokerId(2))
        .with_topics(topics)
}

fn failed(name: &'static str, code: ErrorCode) -> MetadataResponseTopic {
    topic(name, &[]).with_error_code(code.code())
}

#[test]
fn a_partial_answer_keeps_other_topics_and_a_full_one_does_not() {
    let cache = MetadataCache::default();
    cache.merge(&answer(vec![topic("a", &[(1, 0)])]), false);
    let both = cache.merge(&answer(vec![topic("b", &[(2, 0)])]), false);
    assert!(both.topic("a").is_some() && both.topic("b").is_some());
    assert_eq!(both.generation(), 2);
    let only = cache.merge(&answer(vec![topic("b", &[(2, 0)])]), true);
    assert!(only.topic("a").is_none() && only.topic("b").is_some());
    assert!(both.topic("a").is_some(), "a snapshot somebody holds never changes");
}

#[test]
fn an_older_epoch_does_not_bring_the_old_leader_back() {
    let cache = MetadataCache::default();
    cache.merge(&answer(vec![topic("a", &[(2, 7)])]), false);
    let after = cache.merge(&answer(vec![topic("a", &[(1, 6)])]), false);
    assert_eq!(after.leader("a", 0).unwrap().0, 2);
    let after = cache.merge(&answer(vec![topic("a", &[(1, 8)])]), false);
    assert_eq!(after.leader("a", 0).unwrap().0, 1);
}

#[test]
fn a_recreated_topic_starts_its_epochs_anew() {
    let cache = MetadataCache::default();
    let mut old = topic("a", &[(2, 7)]);
    old.topic_id = kanat_protocol::messages::Uuid::from_u128(1);
    cache.merge(&answer(vec![old]), false);
    let mut new = topic("a", &[(1, 0)]);
    new.topic_id = kanat_protocol::messages::Uuid::from_u128(2);
    let after = cache.merge(&answer(vec![new]), false);
    assert_eq!(after.leader("a", 0).unwrap().0, 1);
    assert_eq!(after.topic("a").unwrap().id, Some(TopicId(2)));
}

#[test]
fn what_is_wrong_with_a_partition_is_told_apart() {
    let cache = MetadataCache::default();
    let topics = vec![
        topic("led", &[(1, 0), (-1, 0), (9, 0)]),
        failed("electing", ErrorCode::LeaderNotAvailable),
        failed("denied", ErrorCode::TopicAuthorizationFailed),
        failed("gone", ErrorCode::UnknownTopicOrPartition),
    ];
    let metadata = cache.merge(&answer(topics), false);
    assert_eq!(metadata.leader("led", 0).unwrap().0, 1);
    assert!(matches!(metadata.leader("led", 1), Err(Error::NoLeader { .. })));
    assert!(matches!(metadata.leader("led", 2), Err(Error::NoLeader { .. })), "leader 9 is not a live broker");
    assert!(matches!(metadata.leader("led", 3), Err(Error::UnknownPartition { partition_count: 3, .. })));
    assert!(metadata.leader("electing", 0).unwrap_err().is_retriable());
    let denied = metadata.leader("denied", 0).unwrap_err();
    assert_eq!((denied.code(), denied.is_retriable()), (Some(ErrorCode::TopicAuthorizationFailed), false));
    assert!(matches!(metadata.leader("gone", 0), Err(Error::UnknownTopic { .. })));
    assert!(matches!(metadata.leader("never asked", 0), Err(Error::UnknownTopic { .. })));
}

#[test]
fn ipv6_hosts_become_dialable_addresses() {
    let cache = MetadataCache::default();
    let response = MetadataResponse::default().with_brokers(vec![broker(1, "::1")]);
    assert_eq!(&*cache.merge(&response, false).broker(1).unwrap().address, "[::1]:9092");
}
