//! Faults of other clients that show when they are measured: deliveries that fail although the record was written, bytes that
//! are fetched twice, fetches that pause while there is more to read, batches a stock broker refuses, a socket for every
//! partition. None of them is ours.

use std::sync::Arc;
use std::time::Duration;

use kanat_broker::{BrokerHandle, FaultAction, FaultRule};
use kanat_client::{
    BatchProducer, BatchProducerOptions, Client, ConsumerOptions, Error, Isolation, Metrics, OffsetSpec, ProduceRecord,
    Producer, ProducerOptions, RecordAggregator, TopicPartition, UnknownTopic,
};
use kanat_protocol::messages::ApiKey;

use crate::common::{broker, brokers, client, ends, options, read_to, record, within};

fn to(partition: i32, value: &[u8]) -> ProduceRecord<'_> {
    ProduceRecord { topic: "t", partition: Some(partition), value: Some(value), ..ProduceRecord::default() }
}

fn all(partitions: i32) -> impl Iterator<Item = (TopicPartition, i64)> {
    (0..partitions).map(|partition| (TopicPartition::new("t", partition), 0))
}

async fn measured(broker: &BrokerHandle) -> (Client, Metrics) {
    let metrics = Metrics::new();
    let client = Client::connect(options(&broker.bootstrap()).with_metrics(metrics.clone())).await.unwrap();
    (client, metrics)
}

/// Sum of a metric over all its labels.
fn sum(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.render();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Sends `count` records of `bytes` to each partition; returns how many bytes their values are.
async fn fill(producer: &Producer, partitions: i32, count: usize, bytes: usize) -> f64 {
    let value = vec![b'x'; bytes];
    for partition in (0..count).flat_map(|_| 0..partitions) {
        drop(within("send", producer.send(to(partition, &value))).await.unwrap());
    }
    within("flush", producer.flush()).await.unwrap();
    f64::from(partitions) * (count * bytes) as f64
}

/// kacrab fails deliveries under back-pressure whose records the broker has. Here a full buffer refuses a record before it is
/// taken; what is taken is delivered, and what is refused is nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn back_pressure_refuses_before_sending_and_never_after() {
    let broker = broker().await;
    broker.create_topic("t", 4, &[]).await.unwrap();
    let slow = FaultAction::DelayBefore(Duration::from_millis(3));
    broker.faults().add(FaultRule::new(slow).on(ApiKey::Produce));
    let client = client(&broker).await;
    let small = ProducerOptions {
        buffer_bytes_max: 32 * 1024,
        batch_bytes_max: 4 * 1024,
        record_bytes_max: 4 * 1024,
        linger_ms: 0,
        ..ProducerOptions::default()
    };
    let producer = client.producer(small).unwrap();
    // Without waiting nothing is taken before the topic is known.
    let first = within("send", producer.send(to(0, b"first"))).await.unwrap();
    within("delivery", first).await.unwrap();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for index in 0..20_000 {
        match producer.try_send(to(index % 4, &[b'x'; 100])) {
            Ok(delivery) => taken.push(delivery),
            Err(Error::BufferFull { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        if index % 64 == 0 {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }
    let count = i64::try_from(taken.len()).unwrap();
    for delivery in taken {
        within("delivery", delivery).await.expect("what is taken is delivered");
    }
    assert!(refused > 0 && count > 0, "{refused} refused, {count} taken");
    let written: i64 = ends(&client, "t", 4, Isolation::ReadUncommitted).await.values().sum();
    assert_eq!(written, 1 + count, "what is refused is not written");
}

/// kacrab fetches one partition twice over, krafka 64 ten times over. Here every byte comes once, also while the application
/// is slower than the broker.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_is_fetched_once() {
    for (partitions, count, buffer_bytes_max) in [(1, 40_000, 16 << 20), (64, 600, 16 << 20), (64, 600, 256 << 10)] {
        let broker = broker().await;
        broker.create_topic("t", partitions, &[]).await.unwrap();
        let writer = client(&broker).await;
        let producer = writer.producer(ProducerOptions { batch_bytes_max: 16 << 10, ..Default::default() }).unwrap();
        let value_bytes = fill(&producer, partitions, count, 100).await;
        let (reader, metrics) = measured(&broker).await;
        let ends = ends(&reader, "t", partitions, Isolation::ReadCommitted).await;
        let small = ConsumerOptions { buffer_bytes_max, ..ConsumerOptions::default() };
        let mut consumer = reader.consumer(small).unwrap();
        consumer.assign(all(partitions));
        read_to(&mut consumer, &ends).await;
        // A record of 100 bytes takes 108 to 110 in a batch; the rest is batch headers and answers without records.
        let times = sum(&metrics, "kanat_client_received_bytes_total") / value_bytes;
        assert!(times < 1.25, "{partitions} partitions, buffer {buffer_bytes_max}: fetched {times:.2} times");
    }
}

/// librdkafka pauses fetching for a second when its queue was full for a moment. Here the next fetch is under way as soon as
/// there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_fast_reader_is_never_made_to_wait() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer(ProducerOptions { batch_bytes_max: 16 << 10, ..Default::default() }).unwrap();
    fill(&producer, 1, 20_000, 100).await;
    let ends = ends(&client, "t", 1, Isolation::ReadCommitted).await;
    // The buffer is full hundreds of times, and each time for a moment.
    let small =
        ConsumerOptions { buffer_bytes_max: 64 << 10, partition_fetch_bytes_max: 16 << 10, ..Default::default() };
    let mut consumer = client.consumer(small).unwrap();
    consumer.assign(all(1));
    let started = std::time::Instant::now();
    let mut longest = Duration::ZERO;
    while consumer.position(&TopicPartition::new("t", 0)) < ends.values().next().copied() {
        let asked = started.elapsed();
        within("next", consumer.next()).await.unwrap();
        longest = longest.max(started.elapsed() - asked);
    }
    assert!(longest < Duration::from_millis(400), "waited {longest:?} for records that were there");
}

/// RSKafka's batch producer fails with MESSAGE_TOO_LARGE on a broker with default settings as soon as it aggregates as much as
/// its examples do. Here such a batch is split.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_producer_gets_along_with_a_stock_broker() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let partition = client(&broker).await.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let partition = Arc::new(partition);
    // More than the megabyte a broker takes, whatever the overhead of a record.
    let aggregator = RecordAggregator::new(4 << 20);
    let producer =
        BatchProducer::new(Arc::clone(&partition) as _, aggregator, BatchProducerOptions::default()).unwrap();
    let producer = Arc::new(producer);
    let calls: Vec<_> = (0..4_000)
        .map(|_| {
            let producer = Arc::clone(&producer);
            tokio::spawn(async move { producer.produce(record(vec![b'x'; 1_000])).await })
        })
        .collect();
    let mut offsets = Vec::new();
    for call in calls {
        offsets.push(within("produce", call).await.unwrap().unwrap());
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..4_000).collect::<Vec<i64>>());
    assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), 4_000);
}

/// RSKafka opens a socket for every partition: 1,001 of them. Here three for every broker are enough for everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_partitions_share_nine_sockets() {
    const PARTITIONS: i32 = 1_000;
    let broker = brokers(3).await;
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    let (client, metrics) = measured(&broker).await;
    let producer = client.producer(ProducerOptions::default()).unwrap();
    fill(&producer, PARTITIONS, 2, 10).await;
    for number in (0..PARTITIONS).step_by(10) {
        let partition = client.partition_client("t", number, UnknownTopic::Error).await.unwrap();
        assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), 2);
    }
    let ends = ends(&client, "t", PARTITIONS, Isolation::ReadCommitted).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(all(PARTITIONS));
    read_to(&mut consumer, &ends).await;
    let sockets = sum(&metrics, "kanat_client_connections_total");
    assert!((3.0..=9.0).contains(&sockets), "{sockets} sockets");
}
