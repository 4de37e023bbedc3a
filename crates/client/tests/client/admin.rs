//! Administration: who is asked what, how often, and what comes back for each thing asked about.

use crate::common::{broker, brokers, client, fill, within};
use kanat_broker::{FaultAction, FaultRule};
use kanat_client::{
    AlterConfig, ConfigOperation, ConfigResource, DescribeConfigsOptions, Error, ListGroupsOptions,
    ListTransactionsOptions, NewPartitions, NewTopic, OffsetAndMetadata, TopicPartition,
};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn once(api: ApiKey, action: FaultAction) -> FaultRule {
    FaultRule::new(action).on(api).times(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_has_its_own_outcome() {
    let broker = brokers(3).await;
    let client = client(&broker).await;
    let admin = client.admin();
    let new = [NewTopic::new("a", 2), NewTopic::new("bad/name", 1), NewTopic::new("b", 1)];
    let valid = admin.validate_topics(&new).await.unwrap();
    assert_eq!(valid.iter().map(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>(), [true, false, true]);
    assert!(client.list_topics().await.unwrap().is_empty(), "validation creates nothing");
    let created = admin.create_topics(&new).await.unwrap();
    assert!(created[0].1.is_ok() && created[2].1.is_ok());
    assert!(created[1].1.as_ref().unwrap_err().to_string().contains("bad/name"), "{created:?}");

    let described = admin.describe_topic_partitions(&["b", "absent", "a"]).await.unwrap();
    assert_eq!(described[2].1.as_ref().unwrap().partitions.len(), 2);
    assert!(matches!(described[1].1, Err(Error::UnknownTopic { .. })), "{described:?}");

    let grow = |topic: &str, count| NewPartitions { topic: topic.to_owned(), count, assignments: Vec::new() };
    let grown = admin.create_partitions_of(&[grow("a", 1), grow("b", 3)], false).await.unwrap();
    assert_eq!(grown[0].1.as_ref().unwrap_err().code(), Some(ErrorCode::InvalidPartitions));
    assert!(grown[1].1.is_ok());

    let id = described[2].1.as_ref().unwrap().id.unwrap();
    let deleted = admin.delete_topics_by_id(&[id]).await.unwrap();
    assert!(deleted[0].1.is_ok(), "{deleted:?}");
    let deleted = admin.delete_topics(&["a", "b"]).await.unwrap();
    assert_eq!(deleted[0].1.as_ref().unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert!(deleted[1].1.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_at_their_leaders_wherever_those_move() {
    let broker = brokers(3).await;
    broker.create_topic("t", 6, &[]).await.unwrap();
    let client = client(&broker).await;
    let admin = client.admin();
    for partition in 0..6 {
        fill(&client, "t", partition, 10, 10).await;
    }
    broker.faults().add(once(ApiKey::DeleteRecords, FaultAction::MoveLeader { to: 2 }));
    broker.faults().add(once(ApiKey::DeleteRecords, FaultAction::DropBefore));
    let mut wanted: Vec<_> = (0..6).map(|partition| (tp("t", partition), i64::from(partition))).collect();
    wanted.extend([(tp("t", 9), 1), (tp("absent", 0), 1)]);
    let deleted = within("deletion", admin.delete_records_of(&wanted)).await.unwrap();
    for (partition, (name, outcome)) in (0..6).zip(&deleted) {
        assert_eq!((name, outcome.as_ref().unwrap()), (&tp("t", partition), &i64::from(partition)));
    }
    assert!(matches!(deleted[6].1, Err(Error::UnknownPartition { .. })), "{deleted:?}");
    assert!(matches!(deleted[7].1, Err(Error::UnknownTopic { .. })), "{deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_not_done_again() {
    let broker = broker().await;
    let client = client(&broker).await;
    let admin = client.admin();
    broker.faults().add(once(ApiKey::CreateTopics, FaultAction::Error(ErrorCode::NotController)));
    admin.create_topic(&NewTopic::new("a", 1)).await.unwrap();
    broker.faults().add(once(ApiKey::CreateTopics, FaultAction::DropAfter));
    let error = within("creation", admin.create_topics(&[NewTopic::new("b", 1)])).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(client.list_topics().await.unwrap().len(), 2, "it was done");
    // Validation does nothing, so it may be asked again.
    broker.faults().add(once(ApiKey::CreateTopics, FaultAction::DropAfter));
    within("validation", admin.validate_topics(&[NewTopic::new("c", 1)])).await.unwrap().remove(0).1.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_set_grown_and_taken_back() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let admin = client(&broker).await.admin();
    let topic = ConfigResource::topic("t");
    let change = |operation| AlterConfig { name: "cleanup.policy".to_owned(), operation };
    for (operation, expected) in [
        (ConfigOperation::Append("compact".to_owned()), "delete,compact"),
        (ConfigOperation::Subtract("delete".to_owned()), "compact"),
        (ConfigOperation::Delete, "delete"),
    ] {
        admin.alter_configs(&[(topic.clone(), vec![change(operation)])], false).await.unwrap().remove(0).1.unwrap();
        let entries = admin.describe_topic_configs("t").await.unwrap();
        let entry = entries.iter().find(|entry| entry.name == "cleanup.policy").unwrap();
        assert_eq!(entry.value.as_deref(), Some(expected));
        assert!(entries.is_sorted_by(|left, right| left.name < right.name));
    }
    let set = AlterConfig::set("retention.ms", "5");
    admin.alter_configs(&[(topic.clone(), vec![set])], true).await.unwrap().remove(0).1.unwrap();
    let wanted = [topic, ConfigResource::topic("absent")];
    let described = admin.describe_configs(&wanted, DescribeConfigsOptions::default()).await.unwrap();
    let entries = described[0].1.as_ref().unwrap();
    assert!(entries.iter().all(|entry| entry.value.as_deref() != Some("5")), "validation changes nothing");
    assert_eq!(described[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_asked_about_at_their_coordinators() {
    let broker = brokers(3).await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let admin = client(&broker).await.admin();
    let names: Vec<String> = (0..8).map(|index| format!("group-{index}")).collect();
    let groups: Vec<&str> = names.iter().map(String::as_str).collect();
    for (offset, group) in (1..).zip(&groups) {
        let offsets = [(tp("t", 0), OffsetAndMetadata::new(offset)), (tp("t", 1), OffsetAndMetadata::new(offset))];
        for (_, outcome) in admin.alter_group_offsets(group, &offsets).await.unwrap() {
            outcome.unwrap();
        }
    }
    let listed = admin.list_groups(&ListGroupsOptions::default()).await.unwrap();
    assert_eq!(listed.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), groups);
    assert!(listed.iter().any(|group| group.coordinator != listed[0].coordinator), "several nodes coordinate");
    let faults = broker.faults();
    faults.add(once(ApiKey::DescribeGroups, FaultAction::Error(ErrorCode::NotCoordinator)));
    faults.add(once(ApiKey::DescribeGroups, FaultAction::DropBefore));
    let described = within("description", admin.describe_groups(&groups)).await.unwrap();
    assert!(described.iter().all(|(_, outcome)| outcome.as_ref().unwrap().state == "Empty"), "{described:?}");
    let offsets = admin.list_group_offsets(&groups).await.unwrap();
    let offset = |index: usize| offsets[index].1.as_ref().unwrap()[&tp("t", 1)].offset;
    assert_eq!((offset(0), offset(7)), (1, 8));
    assert!(admin.delete_group_offsets(groups[0], &[tp("t", 1)]).await.unwrap()[0].1.is_ok());
    assert_eq!(admin.list_group_offsets(&groups[..1]).await.unwrap()[0].1.as_ref().unwrap().len(), 1);
    let deleted = admin.delete_groups(&[groups[0], "absent", groups[1]]).await.unwrap();
    assert!(deleted[0].1.is_ok() && deleted[2].1.is_ok(), "{deleted:?}");
    assert_eq!(deleted[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::GroupIdNotFound));
    assert_eq!(admin.list_groups(&ListGroupsOptions::default()).await.unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_and_its_transactions_are_described() {
    let broker = brokers(3).await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let admin = client(&broker).await.admin();
    let cluster = admin.describe_cluster().await.unwrap();
    assert_eq!(cluster.brokers.len(), 3);
    assert!(cluster.brokers.iter().all(|broker| broker.host == "127.0.0.1" && broker.port > 0), "{cluster:?}");
    admin.describe_features().await.unwrap();

    let fenced = admin.fence_producers(&["payments"]).await.unwrap().remove(0).1.unwrap();
    let again = admin.fence_producers(&["payments"]).await.unwrap().remove(0).1.unwrap();
    assert!((again.producer_id, again.producer_epoch) > (fenced.producer_id, fenced.producer_epoch));
    let listed = admin.list_transactions(&ListTransactionsOptions::default()).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.transactional_id.as_str()).collect::<Vec<_>>(), ["payments"]);
    let described = admin.describe_transactions(&["payments", "absent"]).await.unwrap();
    assert_eq!(described[0].1.as_ref().unwrap().state, "Empty");
    assert_eq!(described[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::TransactionalIdNotFound));
    assert!(admin.describe_producers(&[tp("t", 0)]).await.unwrap()[0].1.as_ref().unwrap().is_empty());
}
