//! Topics and configs over the wire, retention and compaction.

use crate::common::*;
use kanat_broker::{Broker, BrokerOptions};
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{BatchOptions, Batches, ControlRecord};
use kanat_protocol::compression::{Codec, Compression};
use kanat_protocol::messages::alter_configs_request::{
    AlterConfigsResource as Replaced, AlterableConfig as Replacement,
};
use kanat_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kanat_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kanat_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kanat_protocol::messages::metadata_request::MetadataRequestTopic;
use kanat_protocol::messages::*;

fn new_topic(topic: &str, partitions: i32, replicas: i16, configs: &[(&str, &str)]) -> CreatableTopic {
    let configs = configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(configs.collect())
}

async fn config(client: &mut Client, topic: &str, wanted: &str) -> (String, i8) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text(wanted)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let response = client.call(4, &request).await;
    let found = &response.results[0].configs[0];
    assert_eq!(found.synonyms[0].value, found.value);
    (found.value.as_deref().expect("config has a value").to_owned(), found.config_source)
}

#[tokio::test]
async fn topics_are_created_grown_and_deleted() {
    let broker = Broker::start(BrokerOptions::default().with_nodes(3)).await.unwrap();
    let mut client = Client::connect(&broker.addr(0).unwrap()).await;
    let topics = vec![
        new_topic("a", 4, 2, &[("retention.ms", "1000")]),
        new_topic("bad name", 1, 1, &[]),
        new_topic("many-replicas", 1, 4, &[]),
        new_topic("no-partitions", 0, 1, &[]),
        new_topic("bad-config", 1, 1, &[("retention.ms", "soon")]),
        new_topic("unknown-config", 1, 1, &[("retention", "1")]),
    ];
    let created = client.call(7, &CreateTopicsRequest::default().with_topics(topics)).await;
    let codes: Vec<_> = created.topics.iter().map(|topic| error(topic.error_code)).collect();
    let expected = [
        None,
        Some(ErrorCode::InvalidTopicException),
        Some(ErrorCode::InvalidReplicationFactor),
        Some(ErrorCode::InvalidPartitions),
        Some(ErrorCode::InvalidConfig),
        Some(ErrorCode::InvalidConfig),
    ];
    assert_eq!(codes, expected);
    assert_eq!((created.topics[0].num_partitions, created.topics[0].replication_factor), (4, 2));

    let validated =
        CreateTopicsRequest::default().with_topics(vec![new_topic("b", 1, 1, &[])]).with_validate_only(true);
    assert_eq!(error(client.call(7, &validated).await.topics[0].error_code), None);
    let metadata = client.call(12, &MetadataRequest::default().with_topics(None)).await;
    assert_eq!(metadata.topics.len(), 1);
    let leaders: Vec<_> = metadata.topics[0].partitions.iter().map(|partition| partition.leader_id.0).collect();
    assert_eq!(leaders, [0, 1, 2, 0], "leaders go round robin");

    let grow = |count| {
        let topic = CreatePartitionsTopic::default().with_name(name("a")).with_count(count).with_assignments(None);
        CreatePartitionsRequest::default().with_topics(vec![topic])
    };
    assert_eq!(error(client.call(3, &grow(6)).await.results[0].error_code), None);
    assert_eq!(error(client.call(3, &grow(6)).await.results[0].error_code), Some(ErrorCode::InvalidPartitions));
    let described = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![TopicRequest::default().with_name(name("a"))])
        .with_response_partition_limit(4)
        .with_cursor(None);
    let page = client.call(0, &described).await;
    assert_eq!(page.topics[0].partitions.len(), 4);
    let cursor = page.next_cursor.unwrap();
    let cursor = Cursor::default().with_topic_name(cursor.topic_name).with_partition_index(cursor.partition_index);
    let page = client.call(0, &described.with_cursor(Some(cursor))).await;
    assert_eq!((page.topics[0].partitions.len(), page.next_cursor), (2, None));

    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("a"), name("unknown")]);
    let deleted = client.call(5, &delete).await;
    let codes: Vec<_> = deleted.responses.iter().map(|topic| error(topic.error_code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::UnknownTopicOrPartition)]);
}

#[tokio::test]
async fn metadata_creates_topics_where_it_may() {
    for (allowed_here, allowed_there) in [(true, true), (true, false), (false, true)] {
        let broker =
            Broker::start(BrokerOptions::default().with_auto_create_topics(allowed_here).with_default_partitions(3));
        let broker = broker.await.unwrap();
        let mut client = Client::connect(&broker.bootstrap()).await;
        let wanted = vec![MetadataRequestTopic::default().with_name(Some(name("t")))];
        let request =
            MetadataRequest::default().with_topics(Some(wanted)).with_allow_auto_topic_creation(allowed_there);
        let topic = client.call(12, &request).await.topics.remove(0);
        if allowed_here && allowed_there {
            assert_eq!((error(topic.error_code), topic.partitions.len()), (None, 3));
        } else {
            assert_eq!(error(topic.error_code), Some(ErrorCode::UnknownTopicOrPartition));
        }
    }
}

#[tokio::test]
async fn configs_are_changed_step_by_step_and_as_a_whole() {
    let options = BrokerOptions::default().with_topic_default("retention.ms", "5000");
    let broker = Broker::start(options).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(config(&mut client, "t", "retention.ms").await, ("5000".to_owned(), 4));
    assert_eq!(config(&mut client, "t", "segment.ms").await, ("604800000".to_owned(), 5));
    let alter = |config: &str, operation, value: Option<&str>| {
        let config = AlterableConfig::default()
            .with_name(text(config))
            .with_config_operation(operation)
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("t"));
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config])])
    };
    for (request, code, config_name, value) in [
        (alter("retention.ms", 0, Some("7")), None, "retention.ms", "7"),
        (alter("cleanup.policy", 2, Some("compact")), None, "cleanup.policy", "delete,compact"),
        (alter("cleanup.policy", 3, Some("delete")), None, "cleanup.policy", "compact"),
        (alter("retention.ms", 2, Some("7")), Some(ErrorCode::InvalidConfig), "retention.ms", "7"),
        (alter("retention.ms", 0, Some("x")), Some(ErrorCode::InvalidConfig), "retention.ms", "7"),
        (alter("retention.ms", 1, None), None, "retention.ms", "5000"),
    ] {
        let altered = client.call(1, &request).await;
        assert_eq!(error(altered.responses[0].error_code), code);
        assert_eq!(config(&mut client, "t", config_name).await.0, value);
    }
    let replacement = Replacement::default().with_name(text("segment.ms")).with_value(Some(text("9")));
    let resource = Replaced::default().with_resource_type(2).with_resource_name(text("t"));
    let request = AlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![replacement])]);
    assert_eq!(error(client.call(2, &request).await.responses[0].error_code), None);
    assert_eq!(config(&mut client, "t", "segment.ms").await, ("9".to_owned(), 1));
    assert_eq!(config(&mut client, "t", "cleanup.policy").await, ("delete".to_owned(), 5));
}

#[tokio::test]
async fn the_cluster_describes_itself() {
    let broker = Broker::start(BrokerOptions::default().with_nodes(2)).await.unwrap();
    let mut client = Client::connect(&broker.addr(0).unwrap()).await;
    let described = client.call(1, &DescribeClusterRequest::default().with_endpoint_type(1)).await;
    assert_eq!((described.brokers.len(), described.controller_id.0), (2, 0));
    let addresses: Vec<_> =
        described.brokers.iter().map(|node| format!("{}:{}", node.host.as_str(), node.port)).collect();
    assert_eq!(addresses.join(","), broker.bootstrap());
}

#[tokio::test]
async fn retention_drops_old_segments_by_size_and_by_age() {
    let broker = start().await;
    let batch_bytes = batch_of(&["x"]).len();
    let segment_bytes = (2 * batch_bytes).to_string();
    let retention_bytes = (4 * batch_bytes).to_string();
    broker
        .create_topic("size", 1, &[("segment.bytes", &segment_bytes), ("retention.bytes", &retention_bytes)])
        .await
        .unwrap();
    broker.create_topic("age", 1, &[("retention.ms", "1000")]).await.unwrap();
    broker.create_topic("open", 1, &[("retention.ms", "1000"), ("segment.bytes", "80")]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    for _ in 0..9 {
        client.produce_values("size", 0, &["x"]).await;
        client.produce_values("age", 0, &["x"]).await;
    }
    let open = batch(producer(1, 0, 0, true), Compression::NONE, &[(None, Some("x"))]);
    broker.append_batches("open", 0, open).await.unwrap();
    client.produce_values("open", 0, &["x"]).await;
    broker.maintain().await;
    assert_eq!(broker.offsets("size", 0).unwrap().0, 4);
    assert_eq!(broker.offsets("age", 0).unwrap(), (9, 9, 9));
    assert_eq!(broker.offsets("open", 0).unwrap(), (0, 0, 2), "an open transaction keeps its records");
    assert_eq!(client.read_all("size", 0, 4).await.len(), 5);
    assert_eq!(client.produce_values("age", 0, &["x"]).await, 9);
}

#[tokio::test]
async fn compaction_keeps_offsets_and_the_newest_record_of_a_key() {
    let broker = start().await;
    broker.create_topic("t", 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "0")]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let zstd = Compression::new(Codec::Zstd, None).unwrap();
    let write = |records: &[(&'static str, Option<&'static str>)]| {
        let records: Vec<_> = records.iter().map(|(key, value)| (Some(*key), *value)).collect();
        batch(BatchOptions::default(), zstd, &records)
    };
    client.produce("t", 0, write(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))])).await;
    client.produce("t", 0, write(&[("a", Some("2")), ("d", Some("1"))])).await;
    client.produce("t", 0, write(&[("a", Some("3")), ("c", None)])).await;
    // Only the header of this producer's newest batch will stay.
    client.produce("t", 0, batch(producer(5, 0, 0, false), zstd, &[(Some("d"), Some("2"))])).await;
    let aborted = batch(producer(6, 0, 0, true), Compression::NONE, &[(Some("b"), Some("aborted"))]);
    broker.append_batches("t", 0, aborted).await.unwrap();
    broker.append_control("t", 0, 6, 0, ControlRecord::Abort { coordinator_epoch: 0 }).await.unwrap();
    client.produce("t", 0, write(&[("d", Some("3"))])).await;
    broker.compact("t", 0).await.unwrap();

    let owned = |offset: i64, key: &str, value: &str| (offset, key.to_owned(), value.to_owned());
    let expected = [owned(1, "b", "1"), owned(5, "a", "3"), owned(10, "d", "3")];
    assert_eq!(client.read_all("t", 0, 0).await, expected);
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 11, 11));
    let stored = client.fetch("t", 0, 0, 0).await.records.unwrap();
    let headers: Vec<_> = Batches::new(stored).map(|batch| *batch.unwrap().header()).collect();
    let covered: Vec<_> =
        headers.iter().map(|header| (header.base_offset, header.last_offset(), header.record_count)).collect();
    assert_eq!(covered, [(0, 2, 1), (5, 6, 1), (7, 7, 0), (9, 9, 1), (10, 10, 1)]);
    let again = batch(producer(5, 0, 0, false), zstd, &[(Some("d"), Some("2"))]);
    assert_eq!(client.produce("t", 0, again).await.base_offset, 7, "its sequence is still known");
    // A fetch into a gap goes on behind it.
    assert_eq!(decode(client.fetch("t", 0, 3, 0).await.records.unwrap()).0[0].0, 5);
    broker.compact("t", 0).await.unwrap();
    assert_eq!(client.read_all("t", 0, 0).await, expected);
}
