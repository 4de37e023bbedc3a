//! Calls on one partition.

use crate::common::{broker, client, record, within};
use bytes::Bytes;
use kanat_broker::{FaultAction, FaultRule};
use kanat_client::{Codec, Compression, Error, OffsetSpec, Record, TopicPartition, UnknownTopic};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

fn every_codec() -> Vec<Compression> {
    Codec::ALL.into_iter().map(|codec| Compression::new(codec, None).unwrap()).collect()
}

/// A record with everything that is easily lost: null key, null header value, duplicate and non-UTF-8 header keys.
fn odd_record(index: i64) -> Record {
    Record {
        key: (index % 2 == 0).then(|| Bytes::from(format!("key-{index}"))),
        value: (index % 3 != 0).then(|| Bytes::from(vec![b'x'; 300])),
        headers: vec![
            (Bytes::from_static(b"same"), Some(Bytes::from_static(b"1"))),
            (Bytes::from_static(b"same"), Some(Bytes::from_static(b"2"))),
            (Bytes::from_static(b"null"), None),
            (Bytes::from_static(&[0xff, 0xfe]), Some(Bytes::new())),
        ],
        // Out of order and more than 32 bits of delta apart.
        timestamp: 1_700_000_000_000 - index * 5_184_000_000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_brings_back_exactly_what_was_written() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let mut written = Vec::new();
    for compression in every_codec() {
        let records: Vec<Record> = (0..500).map(odd_record).collect();
        let offsets = within("produce", partition.produce(records.clone(), compression)).await.unwrap().offsets;
        written.extend(offsets.into_iter().zip(records));
    }
    let (mut offset, mut read) = (0, Vec::new());
    while offset < i64::try_from(written.len()).unwrap() {
        let (records, high_watermark) = partition.fetch_records(offset, 1..100_000, 1_000).await.unwrap();
        assert_eq!(high_watermark, 2_500);
        offset = records.last().unwrap().offset + 1;
        read.extend(records.into_iter().map(|record| (record.offset, record.record)));
    }
    assert_eq!(read, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_by_end_and_by_time() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), 0);
    for timestamp in [1_000, 2_000, 3_000] {
        let record = Record { timestamp, ..record("v") };
        partition.produce(vec![record], Compression::NONE).await.unwrap();
    }
    assert_eq!(partition.get_offset(OffsetSpec::Earliest).await.unwrap(), 0);
    assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), 3);
    assert_eq!(partition.get_offset(OffsetSpec::Timestamp(1_500)).await.unwrap(), 1);
    assert_eq!(partition.get_offset(OffsetSpec::Timestamp(9_000)).await.unwrap(), -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_are_out_of_range_and_the_error_says_what_there_is() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    crate::common::fill(&client, "t", 0, 10, 5).await;
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    assert_eq!(partition.delete_records(7, 1_000).await.unwrap(), 7);
    let error = partition.fetch_records(3, 1..1_000, 100).await.unwrap_err();
    assert!(
        matches!(error, Error::OffsetOutOfRange { offset: 3, log_start: 7, high_watermark: 10, partition: 0, .. }),
        "{error}"
    );
    let (records, _) = partition.fetch_records(7, 1..100_000, 100).await.unwrap();
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [7, 8, 9], "the middle of a batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_topics_and_partitions_are_told_apart() {
    let broker = broker().await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let client = client(&broker).await;
    let error = client.partition_client("nope", 0, UnknownTopic::Error).await.unwrap_err();
    assert_eq!(error.to_string(), "topic nope does not exist");
    let error = client.partition_client("t", 2, UnknownTopic::Error).await.unwrap_err();
    assert_eq!(error.to_string(), "topic t has no partition 2: it has 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_being_created_can_be_waited_for() {
    let broker = broker().await;
    let client = client(&broker).await;
    let (waited, ()) = tokio::join!(within("wait", client.partition_client("late", 0, UnknownTopic::Retry)), async {
        broker.create_topic("late", 1, &[]).await.unwrap()
    });
    assert_eq!(waited.unwrap().topic(), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_produce_does_not_break_the_next_one() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    partition.produce(vec![record("first")], Compression::NONE).await.unwrap();
    let slow = FaultAction::DelayBefore(std::time::Duration::from_millis(100));
    broker.faults().add(FaultRule::new(slow).on(ApiKey::Produce).times(1));
    let abandoned = tokio::time::timeout(
        std::time::Duration::from_millis(5),
        partition.produce(vec![record("x")], Compression::NONE),
    );
    assert!(abandoned.await.is_err());
    let offsets = within("produce", partition.produce(vec![record("last")], Compression::NONE)).await.unwrap().offsets;
    assert_eq!(offsets, [2], "the abandoned record was on the wire already and was written once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_is_an_error_with_its_code_and_not_repeated() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[("max.message.bytes", "1000")]).await.unwrap();
    let client = client(&broker).await;
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let error = partition.produce(vec![record(vec![b'x'; 5_000])], Compression::NONE).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge), "{error}");
    assert!(!error.is_outcome_unknown());
    assert!(error.to_string().contains("t-0"), "{error}");
    assert_eq!(partition.produce(vec![record("small")], Compression::NONE).await.unwrap().offsets, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_deletes_records_too() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    crate::common::fill(&client, "t", 0, 4, 4).await;
    let left = client.admin().delete_records(&TopicPartition::new("t", 0), -1).await.unwrap();
    assert_eq!(left, 4);
}
