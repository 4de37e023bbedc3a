//! Writing across partitions: nothing lost, nothing doubled, nothing out of order, whatever breaks.

use std::collections::HashMap;
use std::time::Duration;

use crate::common::{broker, brokers, client, ends, options, read_to, within};
use kanat_broker::{FaultAction, FaultRule};
use kanat_client::{
    Acks, Client, Codec, Compression, ConsumerOptions, Error, Isolation, ProduceRecord, ProducerOptions,
    TopicPartition, UnknownTopic,
};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

fn to(partition: i32, value: &str) -> ProduceRecord<'_> {
    ProduceRecord { topic: "t", partition: Some(partition), value: Some(value.as_bytes()), ..ProduceRecord::default() }
}

async fn read_all(client: &Client, partitions: i32) -> crate::common::ReadBack {
    let ends = ends(client, "t", partitions, Isolation::ReadCommitted).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign((0..partitions).map(|partition| (TopicPartition::new("t", partition), 0)));
    read_to(&mut consumer, &ends).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_learn_their_offsets_in_every_codec() {
    let broker = broker().await;
    broker.create_topic("t", 3, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut expected: HashMap<i32, Vec<(i64, Vec<u8>)>> = HashMap::new();
    for codec in Codec::ALL {
        let compression = Compression::new(codec, None).unwrap();
        let producer = client.producer(ProducerOptions { compression, ..ProducerOptions::default() }).unwrap();
        let mut sent = Vec::new();
        for index in 0..3_000 {
            let value = format!("{codec} {index} {}", "x".repeat(100));
            sent.push((producer.send(to(index % 3, &value)).await.unwrap(), value));
        }
        within("flush", producer.flush()).await.unwrap();
        for (delivery, value) in sent {
            let written = delivery.await.unwrap();
            expected.entry(written.tp.partition).or_default().push((written.offset, value.into_bytes()));
        }
        assert_eq!(producer.buffered_bytes(), 0);
    }
    assert_eq!(read_all(&client, 3).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_whatever_breaks() {
    const PARTITIONS: i32 = 6;
    let seed = fastrand::u64(..);
    let broker = brokers(3).await;
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    let faults = broker.faults();
    faults.reseed(seed);
    let produce = |action| FaultRule::new(action).on(ApiKey::Produce);
    faults.add(produce(FaultAction::DropBefore).probability(0.05));
    faults.add(produce(FaultAction::DropAfter).probability(0.05));
    faults.add(produce(FaultAction::Truncate { bytes: 9 }).probability(0.03));
    faults.add(produce(FaultAction::Error(ErrorCode::NotEnoughReplicas)).partition(2).probability(0.1));
    faults.add(produce(FaultAction::MoveLeader { to: 1 }).partition(3).probability(0.05));
    faults.add(produce(FaultAction::MoveLeader { to: 2 }).partition(3).probability(0.05));
    let client = client(&broker).await;
    let small = ProducerOptions { batch_bytes_max: 1_024, linger_ms: 1, ..ProducerOptions::default() };
    let producer = client.producer(small).unwrap();
    let mut expected: HashMap<i32, Vec<Vec<u8>>> = HashMap::new();
    let mut deliveries = Vec::new();
    for index in 0..6_000 {
        let partition = index % PARTITIONS;
        let value = format!("{index}");
        expected.entry(partition).or_default().push(value.clone().into_bytes());
        deliveries.push(within("send", producer.send(to(partition, &value))).await.unwrap());
        match index {
            2_000 => broker.stop_node(2).await.unwrap(),
            4_000 => broker.start_node(2).await.unwrap(),
            _ => {}
        }
    }
    within("flush", producer.flush()).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    for delivery in deliveries {
        delivery.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    faults.clear();
    let read = read_all(&client, PARTITIONS).await;
    for (partition, values) in expected {
        let read: Vec<_> = read[&partition].iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(read, values, "partition {partition}, seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_leave_in_one_request() {
    const PARTITIONS: i32 = 100;
    let broker = broker().await;
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    let client = client(&broker).await;
    // Long enough that everything is there before the flush ends the wait.
    let producer = client.producer(ProducerOptions { linger_ms: 10_000, ..ProducerOptions::default() }).unwrap();
    let requests = broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::Produce));
    for partition in 0..PARTITIONS {
        drop(producer.send(to(partition, "v")).await.unwrap());
    }
    within("flush", producer.flush()).await.unwrap();
    assert_eq!(broker.faults().hits(requests), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_idempotence_an_unknown_outcome_is_told_and_not_repeated() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer(ProducerOptions { idempotent: false, ..ProducerOptions::default() }).unwrap();
    broker.faults().add(FaultRule::new(FaultAction::DropAfter).on(ApiKey::Produce).times(1));
    let lost = producer.send(to(0, "maybe")).await.unwrap();
    let error = within("delivery", lost).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    let kept = producer.send(to(0, "surely")).await.unwrap();
    assert_eq!(within("delivery", kept).await.unwrap().offset, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_holds_up_send_and_refuses_try_send() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let small = ProducerOptions {
        buffer_bytes_max: 64 * 1024,
        batch_bytes_max: 16 * 1024,
        record_bytes_max: 16 * 1024,
        ..ProducerOptions::default()
    };
    let producer = client.producer(small).unwrap();
    let value = "x".repeat(1_000);
    let first = producer.send(to(0, &value)).await.unwrap();
    within("delivery", first).await.unwrap();
    let stall = broker
        .faults()
        .add(FaultRule::new(FaultAction::DelayBefore(Duration::from_millis(300))).on(ApiKey::Produce).times(1));
    let refused = loop {
        match producer.try_send(to(0, &value)) {
            Ok(_) => assert!(producer.buffered_bytes() <= 64 * 1024),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::BufferFull { buffer_bytes_max: 65_536 }), "{refused}");
    let waited = within("send", producer.send(to(0, &value))).await.unwrap();
    assert_eq!(broker.faults().hits(stall), 1);
    within("flush", producer.flush()).await.unwrap();
    waited.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_in_time_says_so_and_the_next_record_goes() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let hurried = ProducerOptions { delivery_timeout_ms: 200, ..ProducerOptions::default() };
    let producer = client.producer(hurried).unwrap();
    let refuse = FaultRule::new(FaultAction::Error(ErrorCode::NotEnoughReplicas)).on(ApiKey::Produce);
    let rule = broker.faults().add(refuse);
    let lost = producer.send(to(0, "late")).await.unwrap();
    let error = within("delivery", lost).await.unwrap_err();
    assert!(matches!(&error, Error::DeliveryTimeout { delivery_timeout_ms: 200, last: Some(_), .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::NotEnoughReplicas));
    broker.faults().remove(rule);
    let kept = producer.send(to(0, "in time")).await.unwrap();
    assert_eq!(within("delivery", kept).await.unwrap().offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_records_are_refused_one_by_one() {
    let broker = broker().await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer(ProducerOptions::default()).unwrap();
    let good = producer.send(to(0, "good")).await.unwrap();
    let large = "x".repeat(1_100_000);
    let error = producer.send(to(0, &large)).await.unwrap_err();
    assert!(matches!(error, Error::RecordTooLarge { partition: 0, record_bytes_max: 1_000_000, .. }), "{error}");
    let error = producer.send(to(9, "x")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownPartition { partition: 9, partition_count: 2, .. }), "{error}");
    let nowhere = ProduceRecord { topic: "nope", value: Some(b"x"), ..ProduceRecord::default() };
    let error = within("send", producer.send(nowhere)).await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }), "{error}");
    within("delivery", good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_keep_their_partition() {
    let broker = broker().await;
    broker.create_topic("t", 5, &[]).await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer(ProducerOptions::default()).unwrap();
    let mut partitions: HashMap<String, i32> = HashMap::new();
    for index in 0..100 {
        let key = format!("key {}", index % 10);
        let record =
            ProduceRecord { topic: "t", key: Some(key.as_bytes()), value: Some(b"v"), ..ProduceRecord::default() };
        let delivery = producer.send(record).await.unwrap();
        producer.flush().await.unwrap();
        let partition = delivery.await.unwrap().tp.partition;
        assert_eq!(*partitions.entry(key).or_insert(partition), partition);
    }
    assert!(partitions.values().collect::<std::collections::HashSet<_>>().len() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_producer_tells_its_records() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = Client::connect(options(&broker.bootstrap())).await.unwrap();
    let producer = client.producer(ProducerOptions { linger_ms: 60_000, ..ProducerOptions::default() }).unwrap();
    let delivery = producer.send(to(0, "v")).await.unwrap();
    drop(producer);
    assert!(matches!(within("delivery", delivery).await, Err(Error::Closed { what: "producer" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_nobody_acknowledges_are_written_and_have_no_offset() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let options = ProducerOptions { acks: Acks::None, idempotent: false, ..ProducerOptions::default() };
    let producer = client.producer(options).unwrap();
    let mut expected = Vec::new();
    for index in 0..500 {
        let value = index.to_string();
        let delivery = producer.send(to(0, &value)).await.unwrap();
        if index % 100 == 0 {
            assert_eq!(within("delivery", delivery).await.unwrap().offset, -1);
        }
        expected.push((index, value.into_bytes()));
    }
    within("flush", producer.flush()).await.unwrap();
    // Nothing tells when the broker is done but the log itself.
    let written = async {
        while broker.offsets("t", 0).unwrap().2 < 500 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("writing", written).await;
    assert_eq!(read_all(&client, 1).await[&0], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_moved_is_followed_by_the_hint_in_the_answer() {
    let broker = brokers(3).await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let producer = client.producer(ProducerOptions { linger_ms: 0, ..ProducerOptions::default() }).unwrap();
    let first = producer.send(to(0, "first")).await.unwrap();
    assert_eq!(within("delivery", first).await.unwrap().offset, 0);
    let asked = broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::Metadata));
    for (offset, node) in [(1, 1), (2, 2), (3, 0)] {
        broker.move_leader("t", 0, node).await.unwrap();
        let moved = producer.send(to(0, "moved")).await.unwrap();
        assert_eq!(within("delivery", moved).await.unwrap().offset, offset);
    }
    assert_eq!(broker.faults().hits(asked), 0, "nobody had to ask for metadata");
}

/// A partition that is being created may refuse the first batch and take the second one, and then never the first.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_still_being_created_get_their_first_batch_first() {
    const PARTITIONS: i32 = 8;
    let broker = broker().await;
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    let client = client(&broker).await;
    let refuse = |code| FaultRule::new(FaultAction::Error(code)).on(ApiKey::Produce).topic("t");
    for partition in 0..PARTITIONS {
        let code = if partition % 2 == 0 { ErrorCode::NotLeaderOrFollower } else { ErrorCode::UnknownTopicOrPartition };
        broker.faults().add(refuse(code).partition(partition).times(1));
    }
    let requests = broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::Produce));
    let options = ProducerOptions { batch_bytes_max: 1_024, linger_ms: 0, ..ProducerOptions::default() };
    let producer = client.producer(ProducerOptions { unknown_topic: UnknownTopic::Retry, ..options }).unwrap();
    let mut expected: HashMap<i32, Vec<(i64, Vec<u8>)>> = HashMap::new();
    for index in 0..200 {
        for partition in 0..PARTITIONS {
            let value = format!("{index} {}", "x".repeat(100));
            drop(producer.send(to(partition, &value)).await.unwrap());
            expected.entry(partition).or_default().push((index, value.into_bytes()));
        }
    }
    within("flush", producer.flush()).await.unwrap();
    assert_eq!(read_all(&client, PARTITIONS).await, expected);
    let batches = 200 * PARTITIONS.unsigned_abs();
    assert!(broker.faults().hits(requests) <= u64::from(batches), "refusals are not answered by a loop of requests");
    let partitions: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new("t", partition)).collect();
    for (partition, producers) in client.admin().describe_producers(&partitions).await.unwrap() {
        let epochs: Vec<_> = producers.unwrap().iter().map(|producer| producer.producer_epoch).collect();
        assert_eq!(epochs, [0], "{partition} never lost a batch");
    }
}
