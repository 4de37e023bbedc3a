//! A broker directory survives a kill: what was acknowledged is there, a torn tail is not.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::common::*;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, Error};
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::ControlRecord;
use kanat_protocol::compression::Compression;
use kanat_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kanat_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kanat_protocol::messages::*;

async fn open(dir: &Path) -> BrokerHandle {
    Broker::start(BrokerOptions::default().with_dir(dir)).await.expect("broker opens its directory")
}

/// The newest segment file below `dir`.
fn newest_segment(dir: &Path) -> PathBuf {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("folder is readable") {
            let path = entry.expect("entry is readable").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "log") => found.push(path),
                false => {}
            }
        }
    }
    found.into_iter().max().expect("there is a segment")
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("file exists");
    file.write_all(bytes).expect("file is writable");
}

async fn commit(client: &mut Client, group: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_group_instance_id(None)
        .with_topics(vec![topic]);
    let response = client.call(8, &request).await;
    assert_eq!(error(response.topics[0].partitions[0].error_code), None);
}

async fn committed(client: &mut Client, group: &str) -> Vec<(i64, String)> {
    let group =
        OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_member_id(None).with_topics(None);
    let response = client.call(8, &OffsetFetchRequest::default().with_groups(vec![group])).await;
    let partitions = response.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| (partition.committed_offset, partition.metadata.as_deref().unwrap_or_default().to_owned()))
        .collect()
}

#[tokio::test]
async fn everything_acknowledged_survives() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path()).await;
    broker.create_topic("t", 2, &[("segment.bytes", "300")]).await.unwrap();
    broker.create_topic("gone", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let id = client.call(4, &InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    let send = |sequence| batch(producer(id, 0, sequence, false), Compression::NONE, &[(None, Some("x"))]);
    for sequence in 0..10 {
        assert_eq!(client.produce("t", 0, send(sequence)).await.base_offset, i64::from(sequence));
    }
    client.produce_values("t", 1, &["other"]).await;
    let transactional = batch(producer(900, 0, 0, true), Compression::NONE, &[(None, Some("aborted"))]);
    broker.append_batches("t", 1, transactional.clone()).await.unwrap();
    broker.append_control("t", 1, 900, 0, ControlRecord::Abort { coordinator_epoch: 0 }).await.unwrap();
    broker.append_batches("t", 1, transactional).await.unwrap();
    commit(&mut client, "g", 3).await;
    commit(&mut client, "g", 4).await;
    let deleted = DeleteTopicsRequest::default().with_topic_names(vec![name("gone")]);
    assert_eq!(error(client.call(5, &deleted).await.responses[0].error_code), None);
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(2);
    let topic = DeleteRecordsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    client.call(2, &DeleteRecordsRequest::default().with_topics(vec![topic])).await;
    // No orderly stop: the handle is dropped like a process that is killed.
    drop(broker);

    let broker = reopen(dir.path()).await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    let topics = client.call(12, &MetadataRequest::default().with_topics(None)).await.topics;
    assert_eq!(topics.iter().map(|topic| topic.name.as_ref().unwrap().to_string()).collect::<Vec<_>>(), ["t"]);
    assert_eq!(topics[0].partitions.len(), 2);
    assert_eq!(broker.offsets("t", 0).unwrap(), (2, 10, 10));
    assert_eq!(client.read_all("t", 0, 2).await.len(), 8);
    assert_eq!(broker.offsets("t", 1).unwrap(), (0, 3, 4));
    assert_eq!(client.fetch("t", 1, 0, 1).await.aborted_transactions.unwrap().len(), 1);
    assert_eq!(committed(&mut client, "g").await, [(4, "note".to_owned())]);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_configuration_keys(None);
    let configs = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await;
    let config = configs.results[0].configs.iter().find(|config| config.name.as_str() == "segment.bytes").unwrap();
    assert_eq!(config.value.as_deref(), Some("300"));

    // Producer state: a repeated batch keeps its offset, a gap is refused, and ids are not given out twice.
    assert_eq!(client.produce("t", 0, send(9)).await.base_offset, 9);
    assert_eq!(error(client.produce("t", 0, send(11)).await.error_code), Some(ErrorCode::OutOfOrderSequenceNumber));
    let fresh = client.call(4, &InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    assert!(fresh > id);
}

/// Dropping a handle frees the directory once its tasks have ended.
async fn reopen(dir: &Path) -> BrokerHandle {
    loop {
        match Broker::start(BrokerOptions::default().with_dir(dir)).await {
            Ok(broker) => return broker,
            Err(Error::DirectoryInUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_the_last_valid_batch() {
    let whole = batch_of(&["torn"]);
    let mut flipped = whole.to_vec();
    flipped[80 % whole.len()] ^= 0xff;
    let tails: [&[u8]; 5] = [b"x", &whole[..20], &whole[..whole.len() - 1], &flipped, &[0; 200]];
    for tail in tails {
        let dir = tempfile::tempdir().unwrap();
        let broker = open(dir.path()).await;
        broker.create_topic("t", 1, &[]).await.unwrap();
        let mut client = Client::connect(&broker.bootstrap()).await;
        client.produce_values("t", 0, &["a", "b"]).await;
        client.produce_values("t", 0, &["c"]).await;
        broker.stop().await;
        let segment = newest_segment(dir.path());
        let valid_bytes = fs::metadata(&segment).unwrap().len();
        append(&segment, tail);
        append(&dir.path().join("cluster.journal"), &[0, 0, 0, 9, 1]);

        let broker = open(dir.path()).await;
        assert_eq!(fs::metadata(&segment).unwrap().len(), valid_bytes);
        let mut client = Client::connect(&broker.bootstrap()).await;
        assert_eq!(client.produce_values("t", 0, &["d"]).await, 3);
        assert_eq!(values(&client.read_all("t", 0, 0).await), ["a", "b", "c", "d"]);
    }
}

#[tokio::test]
async fn every_truncation_of_a_log_opens() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path()).await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    for value in ["a", "b", "c"] {
        client.produce_values("t", 0, &[value]).await;
    }
    broker.stop().await;
    let segment = newest_segment(dir.path());
    let bytes = fs::read(&segment).unwrap();
    let batch_bytes = bytes.len() / 3;
    for len in (0..=bytes.len()).rev().step_by(7) {
        fs::write(&segment, &bytes[..len]).unwrap();
        let broker = open(dir.path()).await;
        assert_eq!(broker.offsets("t", 0).unwrap().2, (len / batch_bytes) as i64);
        broker.stop().await;
    }
}

#[tokio::test]
async fn damage_in_a_closed_segment_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path()).await;
    broker.create_topic("t", 1, &[("segment.bytes", "100")]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    for value in ["a", "b", "c"] {
        client.produce_values("t", 0, &[value]).await;
    }
    broker.stop().await;
    let oldest = newest_segment(dir.path()).with_file_name("00000000000000000000.log");
    append(&oldest, b"damage");
    let refused = Broker::start(BrokerOptions::default().with_dir(dir.path())).await;
    assert!(matches!(refused, Err(Error::Corrupt { path, .. }) if path == oldest));
}

#[tokio::test]
async fn one_directory_serves_one_broker() {
    let dir = tempfile::tempdir().unwrap();
    let _broker = open(dir.path()).await;
    let refused = Broker::start(BrokerOptions::default().with_dir(dir.path())).await;
    assert!(matches!(refused, Err(Error::DirectoryInUse { .. })));
}

#[tokio::test]
async fn compacted_segments_survive() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path()).await;
    let configs = [("cleanup.policy", "compact"), ("segment.bytes", "200")];
    broker.create_topic("t", 1, &configs).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    for round in ["1", "2", "3"] {
        let records = [(Some("a"), Some(round)), (Some("b"), Some(round))];
        client.produce("t", 0, batch(Default::default(), Compression::NONE, &records)).await;
    }
    broker.compact("t", 0).await.unwrap();
    let expected = [(4, "a".to_owned(), "3".to_owned()), (5, "b".to_owned(), "3".to_owned())];
    assert_eq!(client.read_all("t", 0, 0).await, expected);
    broker.stop().await;
    let broker = open(dir.path()).await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 6, 6));
    assert_eq!(client.read_all("t", 0, 0).await, expected);
    assert_eq!(
        client
            .produce("t", 0, batch(Default::default(), Compression::NONE, &[(Some("c"), Some("4"))]))
            .await
            .base_offset,
        6
    );
}
