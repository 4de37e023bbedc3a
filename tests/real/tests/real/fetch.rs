//! What our consumer hands out, byte for byte, beside what Kafka's own consumer read from the same topics.

use std::collections::HashMap;

use bytes::Bytes;
use kanat_client::{
    Client, ClientOptions, Compression, ConsumerOptions, Isolation, NewTopic, PartitionClient, Record, TopicPartition,
    UnknownTopic,
};
use kanat_protocol::batch::{RecordBatch, TimestampType};
use kanat_protocol::compression::{Codec, Decompressor};
use kanat_tests::Kafka;
use serde_json::Value;

use crate::seen::{Seen, seen_by_java};

const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
const READ_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn unpack(partition: i32, batch: &RecordBatch, from: i64, decompressor: &mut Decompressor) -> Vec<Seen> {
    let records = batch.records(decompressor).unwrap();
    let by_broker = batch.header().attributes.timestamp_type() == TimestampType::LogAppendTime;
    let seen = records.iter().map(|record| {
        let record = record.unwrap();
        let header = |(key, value): (&[u8], Option<&[u8]>)| (key.to_vec(), value.map(<[u8]>::to_vec));
        Seen {
            partition,
            offset: record.offset,
            timestamp: record.timestamp,
            by_broker,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers().map(|pair| header(pair.unwrap())).collect(),
        }
    });
    seen.filter(|record| record.offset >= from).collect()
}

/// Everything our consumer hands out of `topic` until its positions are exactly `end_offsets`.
async fn read(client: &Client, topic: &str, isolation: Isolation, end_offsets: &[i64]) -> Vec<Seen> {
    let partitions = (0..).zip(end_offsets).map(|(partition, _)| (TopicPartition::new(topic, partition), 0));
    let mut consumer = client.consumer(ConsumerOptions { isolation, ..ConsumerOptions::default() }).unwrap();
    consumer.assign(partitions);
    let mut positions = vec![0; end_offsets.len()];
    let mut decompressor = Decompressor::new(DECOMPRESSED_BYTES_MAX);
    let mut seen = Vec::new();
    while positions != end_offsets {
        let fetched = consumer.next().await.unwrap();
        let partition = fetched.tp.partition;
        for batch in &fetched.batches {
            seen.extend(unpack(partition, batch, fetched.first_offset, &mut decompressor));
        }
        positions[usize::try_from(partition).unwrap()] = fetched.next_offset;
    }
    seen
}

#[tokio::test]
async fn every_codec_transaction_header_timestamp_and_gap_is_exact() {
    let kafka = Kafka::shared();
    let expected: Value = serde_json::from_str(&kafka.java("FetchMatrix", &["matrix", "7"])).unwrap();
    let client = Client::connect(ClientOptions::new(kafka.bootstrap().split(','))).await.unwrap();
    for (topic, by_isolation) in expected.as_object().unwrap() {
        for (name, isolation) in
            [("read_committed", Isolation::ReadCommitted), ("read_uncommitted", Isolation::ReadUncommitted)]
        {
            let expected = &by_isolation[name];
            let ends: Vec<i64> =
                expected["end_offsets"].as_array().unwrap().iter().map(|end| end.as_i64().unwrap()).collect();
            let wanted = seen_by_java(expected);
            let reading = tokio::time::timeout(READ_PATIENCE, read(&client, topic, isolation, &ends));
            let mut seen = reading.await.unwrap_or_else(|_| panic!("{topic} {name} does not end"));
            // A stable sort: the order within a partition is part of what is compared.
            seen.sort_by_key(|record| record.partition);
            for (seen, wanted) in seen.iter().zip(&wanted) {
                assert_eq!(seen, wanted, "{topic} {name}");
            }
            assert_eq!(seen.len(), wanted.len(), "{topic} {name}");
        }
    }
}

async fn partition_zero(client: &Client, topic: &str) -> PartitionClient {
    client.partition_client(topic, 0, UnknownTopic::Retry).await.unwrap()
}

/// Kafka's Java client cannot write a header whose key is not UTF-8, but others can.
#[tokio::test]
async fn header_keys_are_bytes() {
    let kafka = Kafka::shared();
    let client = Client::connect(ClientOptions::new(kafka.bootstrap().split(','))).await.unwrap();
    client.admin().create_topic(&NewTopic::new("headers", 1)).await.unwrap();
    let partition = partition_zero(&client, "headers").await;
    let headers = vec![
        (Bytes::from_static(b"\xff\xfe"), Some(Bytes::from_static(b"\x00\x80"))),
        (Bytes::from_static(b"same"), None),
        (Bytes::from_static(b"same"), Some(Bytes::new())),
        (Bytes::new(), None),
    ];
    let wanted: Vec<_> =
        headers.iter().map(|(key, value)| (key.to_vec(), value.as_ref().map(|bytes| bytes.to_vec()))).collect();
    for codec in Codec::ALL {
        let record = Record { key: None, value: None, headers: headers.clone(), timestamp: 1 };
        partition.produce(vec![record], Compression::new(codec, None).unwrap()).await.unwrap();
    }
    let ends = [i64::try_from(Codec::ALL.len()).unwrap()];
    let seen =
        tokio::time::timeout(READ_PATIENCE, read(&client, "headers", Isolation::ReadCommitted, &ends)).await.unwrap();
    let by_offset: HashMap<i64, &Seen> = seen.iter().map(|record| (record.offset, record)).collect();
    assert_eq!(by_offset.len(), Codec::ALL.len());
    assert!(seen.iter().all(|record| record.headers == wanted), "{seen:?}");
}
