//! What the integration tests share: a broker in the process, a client of it, and readers that know when to stop.

use std::collections::HashMap;
use std::time::Duration;

use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_client::{
    BackoffOptions, Client, ClientOptions, Compression, Consumer, Fetched, Isolation, OffsetSpec, Record,
    TopicPartition, UnknownTopic,
};
use kanat_protocol::compression::Decompressor;

/// Longest a test may wait for anything: far above what it needs, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a future that must end.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not end within {PATIENCE:?}"),
    }
}

pub(crate) async fn broker() -> BrokerHandle {
    brokers(1).await
}

pub(crate) async fn brokers(nodes: i32) -> BrokerHandle {
    // The records' timestamps are long past; retention would delete them under the test's feet.
    let options = BrokerOptions::default()
        .with_nodes(nodes)
        .with_auto_create_topics(false)
        .with_topic_default("retention.ms", "-1");
    Broker::start(options).await.unwrap()
}

/// Options with short waits, so that retries do not make tests slow.
pub(crate) fn options(bootstrap: &str) -> ClientOptions {
    ClientOptions::new([bootstrap])
        .with_client_id("kanat-test")
        .with_backoff(BackoffOptions { initial_ms: 2, max_ms: 50, base: 3.0 })
        .with_retry_timeout_ms(15_000)
}

pub(crate) async fn client(broker: &BrokerHandle) -> Client {
    within("connect", Client::connect(options(&broker.bootstrap()))).await.unwrap()
}

pub(crate) fn record(value: impl Into<Vec<u8>>) -> Record {
    Record { value: Some(value.into().into()), timestamp: 1_700_000_000_000, ..Record::default() }
}

/// Writes `count` records to a partition, values `{partition}/{index}`, in batches of `batch`.
pub(crate) async fn fill(client: &Client, topic: &str, partition: i32, count: usize, batch: usize) {
    let writer = client.partition_client(topic, partition, UnknownTopic::Error).await.unwrap();
    let records: Vec<Record> = (0..count).map(|index| record(format!("{partition}/{index}"))).collect();
    for chunk in records.chunks(batch) {
        writer.produce(chunk.to_vec(), Compression::NONE).await.unwrap();
    }
}

/// End offsets as a reader of this isolation sees them.
pub(crate) async fn ends(
    client: &Client,
    topic: &str,
    partitions: i32,
    isolation: Isolation,
) -> HashMap<TopicPartition, i64> {
    let wanted: Vec<_> =
        (0..partitions).map(|partition| (TopicPartition::new(topic, partition), OffsetSpec::Latest)).collect();
    let found = client.list_offsets(&wanted, isolation).await.unwrap();
    found.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect()
}

/// Offsets and values of one item, without those below its first offset.
pub(crate) fn decode(fetched: &Fetched) -> Vec<(i64, Vec<u8>)> {
    let mut decompressor = Decompressor::new(64 << 20);
    let mut decoded = Vec::new();
    for batch in &fetched.batches {
        for record in batch.records(&mut decompressor).unwrap().iter() {
            let record = record.unwrap();
            if record.offset >= fetched.first_offset {
                decoded.push((record.offset, record.value.unwrap_or_default().to_vec()));
            }
        }
    }
    decoded
}

/// What was read per partition.
pub(crate) type ReadBack = HashMap<i32, Vec<(i64, Vec<u8>)>>;

/// Reads until every partition's position is at its end; checks that items join without gap or overlap.
pub(crate) async fn read_to(consumer: &mut Consumer, ends: &HashMap<TopicPartition, i64>) -> ReadBack {
    let mut read: ReadBack = HashMap::new();
    while !ends.iter().all(|(partition, end)| consumer.position(partition).is_some_and(|position| position >= *end)) {
        let before: HashMap<_, _> = consumer.assignment().into_iter().collect();
        let fetched = within("next", consumer.next()).await.unwrap();
        assert_eq!(before.get(&fetched.tp), Some(&fetched.first_offset), "an item starts at the position");
        read.entry(fetched.tp.partition).or_default().extend(decode(&fetched));
    }
    read
}

/// The values `fill` wrote to a partition.
pub(crate) fn filled(partition: i32, count: usize) -> Vec<(i64, Vec<u8>)> {
    (0..).zip(0..count).map(|(offset, index)| (offset, format!("{partition}/{index}").into_bytes())).collect()
}
