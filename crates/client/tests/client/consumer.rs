//! Reading many partitions: exactness under both isolation levels, faults, bounds, cancellation.

use std::collections::HashMap;
use std::time::Duration;

use crate::common::{broker, brokers, client, decode, ends, fill, filled, options, read_to, within};
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, FaultAction, FaultRule};
use kanat_client::{
    Client, Codec, Compression, ConsumerOptions, Error, Isolation, NewTopic, ProduceRecord, ProducerOptions,
    TopicPartition, UnknownTopic,
};
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, ControlRecord};
use kanat_protocol::compression::Compressor;
use kanat_protocol::messages::ApiKey;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn from_start(partitions: i32) -> Vec<(TopicPartition, i64)> {
    (0..partitions).map(|partition| (tp(partition), 0)).collect()
}

/// Counts connections: each begins with one ApiVersions request.
fn count_connections(broker: &BrokerHandle) -> kanat_broker::FaultId {
    broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::ApiVersions))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_partitions_on_two_brokers_over_three_connections_each() {
    const PARTITIONS: i32 = 200;
    let broker = brokers(2).await;
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    let writer = client(&broker).await;
    let producer = writer.producer(ProducerOptions::default()).unwrap();
    for index in 0..50 {
        for partition in 0..PARTITIONS {
            let value = format!("{partition}/{index}");
            let record = ProduceRecord {
                topic: "t",
                partition: Some(partition),
                value: Some(value.as_bytes()),
                ..ProduceRecord::default()
            };
            drop(producer.send(record).await.unwrap());
        }
    }
    within("flush", producer.flush()).await.unwrap();
    let connections = count_connections(&broker);
    let reader = client(&broker).await;
    let ends = ends(&reader, "t", PARTITIONS, Isolation::ReadCommitted).await;
    let mut consumer = reader.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(from_start(PARTITIONS));
    let read = read_to(&mut consumer, &ends).await;
    for partition in 0..PARTITIONS {
        assert_eq!(read[&partition], filled(partition, 50));
    }
    let opened = broker.faults().hits(connections);
    assert!(opened <= 2 * 3, "{opened} connections for two brokers");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_in_one_partition() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let writer = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let mut expected = Vec::new();
    for codec in Codec::ALL {
        let records: Vec<_> = (0..100).map(|index| crate::common::record(format!("{codec} {index}"))).collect();
        let written = writer.produce(records.clone(), Compression::new(codec, None).unwrap()).await.unwrap();
        expected
            .extend(written.offsets.into_iter().zip(records.into_iter().map(|record| record.value.unwrap().to_vec())));
    }
    let ends = ends(&client, "t", 1, Isolation::ReadCommitted).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), 250)]);
    let read = read_to(&mut consumer, &ends).await;
    assert_eq!(read[&0], expected[250..], "from the middle of a batch");
}

async fn transactional_batch(broker: &BrokerHandle, producer_id: i64, values: &[&str]) {
    let options = BatchOptions { producer_id, producer_epoch: 0, transactional: true, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(1, None, Some(value.as_bytes()), &[]).unwrap();
    }
    let batch = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
    broker.append_batches("t", 0, batch).await.unwrap();
}

/// Offsets 0..=9: two interleaved transactions, one aborted and one committed, plain records around, and at the end an
/// open transaction.
async fn transactional_log(broker: &BrokerHandle, client: &Client) {
    fill(client, "t", 0, 1, 1).await; // 0
    transactional_batch(broker, 101, &["aborted 1", "aborted 2"]).await; // 1, 2
    transactional_batch(broker, 102, &["committed"]).await; // 3
    let abort = ControlRecord::Abort { coordinator_epoch: 0 };
    let commit = ControlRecord::Commit { coordinator_epoch: 0 };
    broker.append_control("t", 0, 101, 0, abort).await.unwrap(); // 4
    transactional_batch(broker, 101, &["committed after an abort"]).await; // 5
    broker.append_control("t", 0, 101, 0, commit).await.unwrap(); // 6
    broker.append_control("t", 0, 102, 0, commit).await.unwrap(); // 7
    transactional_batch(broker, 103, &["open"]).await; // 8
    fill(client, "t", 0, 1, 1).await; // 9
}

#[tokio::test(flavor = "multi_thread")]
async fn read_committed_is_exact_and_stops_at_the_open_transaction() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    transactional_log(&broker, &client).await;
    let committed_ends = ends(&client, "t", 1, Isolation::ReadCommitted).await;
    assert_eq!(committed_ends[&tp(0)], 8, "the last stable offset");
    for start in 0..=8 {
        let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
        consumer.assign([(tp(0), start)]);
        let read = read_to(&mut consumer, &committed_ends).await.remove(&0).unwrap_or_default();
        let expected = [(0, "0/0"), (3, "committed"), (5, "committed after an abort")];
        let expected: Vec<_> = expected.into_iter().filter(|(offset, _)| *offset >= start).collect();
        let read: Vec<_> = read.iter().map(|(offset, value)| (*offset, std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(read, expected, "from {start}");
    }
    let all_ends = ends(&client, "t", 1, Isolation::ReadUncommitted).await;
    let options = ConsumerOptions { isolation: Isolation::ReadUncommitted, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    consumer.assign([(tp(0), 0)]);
    let read = read_to(&mut consumer, &all_ends).await;
    let offsets: Vec<i64> = read[&0].iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 5, 8, 9], "everything but the markers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_in_markers_is_read_to_its_end() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    transactional_batch(&broker, 7, &["gone"]).await;
    broker.append_control("t", 0, 7, 0, ControlRecord::Abort { coordinator_epoch: 0 }).await.unwrap();
    let ends = ends(&client, "t", 1, Isolation::ReadCommitted).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), 0)]);
    let fetched = within("next", consumer.next()).await.unwrap();
    assert_eq!((fetched.batches.len(), fetched.next_offset), (0, ends[&tp(0)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_gaps_do_not_stop_the_position() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[("cleanup.policy", "compact")]).await.unwrap();
    let client = client(&broker).await;
    let writer = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    for index in 0..31 {
        let key = Some(format!("key {}", index % 3).into());
        let record = kanat_client::Record { key, ..crate::common::record(format!("{index}")) };
        if index == 30 {
            broker.compact("t", 0).await.unwrap();
        }
        writer.produce(vec![record], Compression::NONE).await.unwrap();
    }
    let ends = ends(&client, "t", 1, Isolation::ReadCommitted).await;
    assert_eq!(ends[&tp(0)], 31);
    for start in [0, 5, 27] {
        let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
        consumer.assign([(tp(0), start)]);
        let read = read_to(&mut consumer, &ends).await;
        let offsets: Vec<i64> = read[&0].iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [27, 28, 29, 30]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_range_stops_the_partition_says_the_range_and_a_seek_goes_on() {
    let broker = broker().await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let client = client(&broker).await;
    fill(&client, "t", 0, 10, 2).await;
    fill(&client, "t", 1, 10, 2).await;
    client.admin().delete_records(&tp(0), 4).await.unwrap();
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), 1), (tp(1), 99)]);
    for _ in 0..2 {
        let error = within("next", consumer.next()).await.unwrap_err();
        let Error::OffsetOutOfRange { topic, partition, offset, log_start, high_watermark } = error else {
            panic!("{error}");
        };
        assert_eq!(&*topic, "t");
        let expected = if partition == 0 { (1, 4, 10) } else { (99, 0, 10) };
        assert_eq!((offset, log_start, high_watermark), expected);
    }
    consumer.seek(&tp(0), 4).unwrap();
    let fetched = within("next", consumer.next()).await.unwrap();
    assert_eq!((fetched.tp, fetched.first_offset), (tp(0), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_moves_drops_and_odd_answers_cost_nothing_but_time() {
    const PARTITIONS: i32 = 6;
    let broker = brokers(3).await;
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    let writer = client(&broker).await;
    for partition in 0..PARTITIONS {
        fill(&writer, "t", partition, 2_000, 20).await;
    }
    let faults = broker.faults();
    let fetch = |action| FaultRule::new(action).on(ApiKey::Fetch);
    let struck = [
        faults.add(fetch(FaultAction::MoveLeader { to: 1 }).partition(0).skip(1).times(1)),
        faults.add(fetch(FaultAction::DropBefore).skip(2).times(2)),
        faults.add(fetch(FaultAction::DropAfter).skip(5).times(2)),
        faults.add(fetch(FaultAction::Truncate { bytes: 100 }).skip(8).times(1)),
        faults.add(fetch(FaultAction::Error(ErrorCode::FetchSessionIdNotFound)).skip(10).times(1)),
        faults.add(fetch(FaultAction::Error(ErrorCode::InvalidFetchSessionEpoch)).skip(12).times(1)),
    ];
    let reader = client(&broker).await;
    let ends = ends(&reader, "t", PARTITIONS, Isolation::ReadCommitted).await;
    let options = ConsumerOptions { partition_fetch_bytes_max: 2_048, ..ConsumerOptions::default() };
    let mut consumer = reader.consumer(options).unwrap();
    consumer.assign(from_start(PARTITIONS));
    let read = read_to(&mut consumer, &ends).await;
    for partition in 0..PARTITIONS {
        assert_eq!(read[&partition], filled(partition, 2_000));
    }
    for rule in struck {
        assert!(faults.hits(rule) > 0, "{rule:?} never struck");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_and_its_return_are_survived() {
    const PARTITIONS: i32 = 4;
    let broker = brokers(2).await;
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    let writer = client(&broker).await;
    for partition in 0..PARTITIONS {
        fill(&writer, "t", partition, 1_000, 10).await;
    }
    let reader = client(&broker).await;
    let ends = ends(&reader, "t", PARTITIONS, Isolation::ReadCommitted).await;
    let options = ConsumerOptions { partition_fetch_bytes_max: 2_048, ..ConsumerOptions::default() };
    let mut consumer = reader.consumer(options).unwrap();
    consumer.assign(from_start(PARTITIONS));
    let mut read: HashMap<i32, Vec<_>> = HashMap::new();
    let mut items = 0;
    while !ends.iter().all(|(partition, end)| consumer.position(partition) >= Some(*end)) {
        let fetched = within("next", consumer.next()).await.unwrap();
        read.entry(fetched.tp.partition).or_default().extend(decode(&fetched));
        items += 1;
        match items {
            3 => broker.stop_node(1).await.unwrap(),
            12 => broker.start_node(1).await.unwrap(),
            16 => broker.move_leader("t", 0, 1).await.unwrap(),
            _ => {}
        }
    }
    for partition in 0..PARTITIONS {
        assert_eq!(read[&partition], filled(partition, 1_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_an_error_not_other_data() {
    let broker = broker().await;
    let client = client(&broker).await;
    let admin = client.admin();
    admin.create_topic(&NewTopic::new("t", 1)).await.unwrap();
    fill(&client, "t", 0, 10, 5).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), 0)]);
    while consumer.position(&tp(0)) != Some(10) {
        within("next", consumer.next()).await.unwrap();
    }
    let other = crate::common::client(&broker).await;
    other.admin().delete_topics(&["t"]).await.unwrap().remove(0).1.unwrap();
    other.admin().create_topic(&NewTopic::new("t", 1)).await.unwrap();
    fill(&other, "t", 0, 20, 5).await;
    let error = within("next", consumer.next()).await.unwrap_err();
    assert!(
        matches!(&error, Error::TopicRecreated { topic, partition: 0, offset: 10, .. } if &**topic == "t"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_an_error() {
    let broker = broker().await;
    let client = client(&broker).await;
    let options = ConsumerOptions { unknown_topic_wait_ms: 50, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    assert!(matches!(consumer.next().await, Err(Error::NothingAssigned)));
    consumer.assign([(TopicPartition::new("nope", 0), 0)]);
    let error = within("next", consumer.next()).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownTopic { topic } if &**topic == "nope"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_next_loses_nothing() {
    let broker = broker().await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let client = client(&broker).await;
    for partition in 0..2 {
        fill(&client, "t", partition, 3_000, 10).await;
    }
    let ends = ends(&client, "t", 2, Isolation::ReadCommitted).await;
    let options = ConsumerOptions { partition_fetch_bytes_max: 1_024, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    consumer.assign(from_start(2));
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read: HashMap<i32, Vec<_>> = HashMap::new();
    within("the end", async {
        while !ends.iter().all(|(partition, end)| consumer.position(partition) >= Some(*end)) {
            let patience = Duration::from_micros(random.u64(..300));
            if let Ok(fetched) = tokio::time::timeout(patience, consumer.next()).await {
                let fetched = fetched.unwrap();
                read.entry(fetched.tp.partition).or_default().extend(decode(&fetched));
            }
        }
    })
    .await;
    for partition in 0..2 {
        assert_eq!(read[&partition], filled(partition, 3_000), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_seek_and_unassign_take_effect_at_once() {
    let broker = broker().await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let client = client(&broker).await;
    for partition in 0..2 {
        fill(&client, "t", partition, 100, 1).await;
    }
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(from_start(2));
    within("next", consumer.next()).await.unwrap();
    consumer.pause(&tp(0)).unwrap();
    consumer.seek(&tp(1), 90).unwrap();
    let fetched = within("next", consumer.next()).await.unwrap();
    assert_eq!((fetched.tp.partition, fetched.first_offset), (1, 90));
    assert_eq!(consumer.unassign(&tp(1)).unwrap(), 100);
    assert!(matches!(consumer.seek(&tp(1), 0), Err(Error::NotAssigned { .. })));
    consumer.seek(&tp(0), 40).unwrap();
    consumer.resume(&tp(0)).unwrap();
    let fetched = within("next", consumer.next()).await.unwrap();
    assert_eq!((fetched.tp.partition, fetched.first_offset), (0, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_records_end_a_long_poll() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = Client::connect(options(&broker.bootstrap())).await.unwrap();
    let mut consumer =
        client.consumer(ConsumerOptions { fetch_wait_ms_max: 20_000, ..ConsumerOptions::default() }).unwrap();
    consumer.assign([(tp(0), 0)]);
    let (fetched, ()) = tokio::join!(within("next", consumer.next()), fill(&client, "t", 0, 3, 3));
    assert_eq!(fetched.unwrap().next_offset, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_in_the_rack_is_read_from_for_as_long_as_it_runs() {
    let options =
        BrokerOptions::default().with_nodes(3).with_racks(["a", "b"]).with_topic_default("retention.ms", "-1");
    let broker = Broker::start(options).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    broker.move_leader("t", 0, 0).await.unwrap();
    let fetches = |node| {
        let watch = FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::Fetch).node(node);
        broker.faults().add(watch)
    };
    let (leader, near, other) = (fetches(0), fetches(1), fetches(2));
    let client = client(&broker).await;
    fill(&client, "t", 0, 60, 10).await;
    let options = ConsumerOptions { client_rack: Some("b".to_owned()), ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    consumer.assign(from_start(1));
    let first = read_to(&mut consumer, &ends(&client, "t", 1, Isolation::ReadCommitted).await).await;
    assert_eq!(first[&0], filled(0, 60));
    let hits = |rule| broker.faults().hits(rule);
    assert!(hits(near) >= 1 && hits(leader) >= 1 && hits(other) == 0, "the leader only shows the way");
    broker.stop_node(1).await.unwrap();
    fill(&client, "t", 0, 60, 10).await;
    let end = HashMap::from([(tp(0), 120)]);
    assert_eq!(within("failover", read_to(&mut consumer, &end)).await[&0].len(), 60, "the leader takes over");
}
