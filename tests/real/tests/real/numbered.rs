//! Topics of three partitions whose values tell what was sent: written, copied in transactions, and read back by both makes of
//! consumer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kanat_client::{
    Client, ClientOptions, ConsumerOptions, Error, GroupConsumer, GroupEvent, GroupOptions, Isolation, NewTopic,
    OffsetAndMetadata, OffsetSpec, ProduceRecord, TopicPartition, TransactionalOptions, TransactionalProducer,
};
use kanat_protocol::compression::Decompressor;
use kanat_tests::Kafka;
use serde_json::Value;

use crate::seen::seen_by_java;

pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Partition, offset and value of records, partition by partition.
pub(crate) type Read = Vec<(i32, i64, String)>;

pub(crate) async fn connect(kafka: &Kafka) -> Client {
    Client::connect(ClientOptions::new(kafka.bootstrap().split(','))).await.unwrap()
}

pub(crate) async fn create(client: &Client, topic: &str) {
    client.admin().create_topic(&NewTopic::new(topic, PARTITIONS).with_config("retention.ms", "-1")).await.unwrap();
}

pub(crate) async fn producer(client: &Client, id: &str) -> TransactionalProducer {
    client.transactional_producer(TransactionalOptions::new(id)).await.unwrap()
}

pub(crate) fn record<'a>(topic: &'a str, partition: i32, value: &'a str) -> ProduceRecord<'a> {
    ProduceRecord { topic, partition: Some(partition), value: Some(value.as_bytes()), ..ProduceRecord::default() }
}

/// Waits at most as long as a test may for anything.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not end within {PATIENCE:?}"))
}

/// Offset and value of every record of an item that lies behind its start.
pub(crate) fn decode(fetched: &kanat_client::Fetched) -> Vec<(i64, String)> {
    let mut decompressor = Decompressor::new(64 << 20);
    let mut decoded = Vec::new();
    for batch in &fetched.batches {
        for record in batch.records(&mut decompressor).unwrap().iter() {
            let record = record.unwrap();
            if record.offset >= fetched.first_offset {
                decoded.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
            }
        }
    }
    decoded
}

/// All committed records of a topic as our consumer reads them, which must be as Kafka's own does.
pub(crate) async fn committed(kafka: &Kafka, client: &Client, topic: &str) -> Read {
    let wanted: Vec<_> = (0..PARTITIONS).map(|index| (TopicPartition::new(topic, index), OffsetSpec::Latest)).collect();
    let ends = settled(client, &wanted).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(wanted.iter().map(|(partition, _)| (partition.clone(), 0)));
    let mut ours = Read::new();
    while !ends.iter().all(|(partition, end)| consumer.position(partition).is_some_and(|at| at >= *end)) {
        let fetched = within("next", consumer.next()).await.unwrap();
        ours.extend(decode(&fetched).into_iter().map(|(offset, value)| (fetched.tp.partition, offset, value)));
    }
    ours.sort_by_key(|(partition, ..)| *partition);
    let dump: Value = serde_json::from_str(&kafka.java("Dump", &[topic])).unwrap();
    let java = seen_by_java(&dump["read_committed"]);
    let text = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap()).unwrap();
    let java: Read = java.into_iter().map(|seen| (seen.partition, seen.offset, text(seen.value))).collect();
    assert_eq!(ours, java, "both consumers see the same");
    ours
}

/// Where the partitions end once no transaction is open in them.
async fn settled(client: &Client, wanted: &[(TopicPartition, OffsetSpec)]) -> Vec<(TopicPartition, i64)> {
    let started = Instant::now();
    loop {
        let ends = async |isolation| {
            let mut listed = client.list_offsets(wanted, isolation).await.unwrap();
            listed.sort_by_key(|(partition, _)| partition.partition);
            listed.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect::<Vec<_>>()
        };
        let (stable, written) = (ends(Isolation::ReadCommitted).await, ends(Isolation::ReadUncommitted).await);
        if stable == written {
            return stable;
        }
        assert!(started.elapsed() < PATIENCE, "a transaction stays open: {stable:?} of {written:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) fn values(read: Read) -> BTreeMap<i32, Vec<String>> {
    let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for (partition, _, value) in read {
        values.entry(partition).or_default().push(value);
    }
    values
}

/// Copies from one topic to another in transactions until it is killed or fails; counts the copies.
pub(crate) async fn copy(
    client: Client,
    from: &'static str,
    to: &'static str,
    copied: Arc<AtomicUsize>,
) -> Result<Infallible, Error> {
    let options = GroupOptions::new(to, [from]).with_session_timeout_ms(6_000).with_heartbeat_interval_ms(200);
    let mut producer = client.transactional_producer(TransactionalOptions::new(to)).await?;
    let mut consumer: GroupConsumer = client.group_consumer(options)?;
    loop {
        let GroupEvent::Fetched(fetched) = consumer.next().await? else { continue };
        let records = decode(&fetched);
        for chunk in records.chunks(50) {
            let transaction = producer.begin().await?;
            for (_, value) in chunk {
                drop(transaction.send(record(to, fetched.tp.partition, value)).await?);
            }
            let next_offset = chunk.last().map_or(0, |(offset, _)| offset + 1);
            let offsets = [(fetched.tp.clone(), OffsetAndMetadata::new(next_offset))];
            transaction.send_offsets(&offsets, &consumer.group_metadata()).await?;
            transaction.commit().await?;
            copied.fetch_add(chunk.len(), Ordering::Relaxed);
        }
    }
}
