//! Where a consumer stands: leader epochs, jumps, start positions, leader hints, sessions; and what it fetches for it:
//! connections, bytes and waits. The brokers are reached in memory and the clock is paused, so that time passes only
//! when nothing else is left to do.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::common::{decode, ends, fill, filled, options, read_to, record, within};
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, Dialer, FaultAction, FaultId, FaultRule};
use kanat_client::{
    BoxFuture, BoxedTransport, Client, Codec, Compression, Connector, ConsumerOptions, Decompressor, Error, Gap,
    GapReason, Isolation, OffsetSpec, OutOfRangePolicy, Position, TopicPartition, UnknownTopic,
};
use kanat_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::Instant;

/// Dials the embedded broker in memory; counts connections and the bytes read from them.
#[derive(Debug)]
struct Wire {
    dialer: Dialer,
    connections: AtomicUsize,
    bytes_read: Arc<AtomicUsize>,
}

impl Connector for Wire {
    fn connect(&self, address: String) -> BoxFuture<'_, io::Result<BoxedTransport>> {
        Box::pin(async move {
            let stream = self.dialer.dial(&address)?;
            self.connections.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Counted { stream, bytes_read: Arc::clone(&self.bytes_read) }) as BoxedTransport)
        })
    }
}

struct Counted {
    stream: DuplexStream,
    bytes_read: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.bytes_read.fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A cluster with the topic `t`.
async fn cluster(nodes: i32, partitions: i32) -> BrokerHandle {
    let options = BrokerOptions::default()
        .without_sockets()
        .with_nodes(nodes)
        .with_auto_create_topics(false)
        .with_topic_default("retention.ms", "-1");
    let broker = Broker::start(options).await.unwrap();
    broker.create_topic("t", partitions, &[]).await.unwrap();
    broker
}

async fn connect(broker: &BrokerHandle) -> (Client, Arc<Wire>) {
    let (connections, bytes_read) = (AtomicUsize::new(0), Arc::default());
    let wire = Arc::new(Wire { dialer: broker.dialer(), connections, bytes_read });
    let connector: Arc<dyn Connector> = Arc::clone(&wire) as _;
    let client = Client::connect(options(&broker.addr(0).unwrap()).with_connector(connector));
    (within("connect", client).await.unwrap(), wire)
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn count(broker: &BrokerHandle, api: ApiKey) -> FaultId {
    broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(api))
}

fn policy(out_of_range: OutOfRangePolicy) -> ConsumerOptions {
    ConsumerOptions { out_of_range, ..ConsumerOptions::default() }
}

/// Ten records of epoch 0, then ten of a later leadership. Returns the later epoch.
async fn two_epochs(broker: &BrokerHandle, client: &Client) -> i32 {
    fill(client, "t", 0, 10, 5).await;
    let (leader, _) = broker.leader("t", 0).unwrap().unwrap();
    broker.move_leader("t", 0, 1 - leader).await.unwrap();
    fill(client, "t", 0, 10, 5).await;
    broker.leader("t", 0).unwrap().unwrap().1
}

#[tokio::test(start_paused = true)]
async fn a_position_the_log_does_not_hold_any_more_is_an_error_that_says_where_it_differs() {
    let broker = cluster(2, 1).await;
    let (client, _) = connect(&broker).await;
    two_epochs(&broker, &client).await;
    // Whoever read offset 14 in epoch 0 read it from a leader whose records from 10 on were lost.
    let stale = Position { offset: 15, leader_epoch: 0 };
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), stale)]);
    let error = within("next", consumer.next()).await.unwrap_err();
    let Error::LogTruncated { topic, partition, position, diverged_at } = error else { panic!("{error}") };
    assert_eq!((&*topic, partition, position, diverged_at), ("t", 0, 15, Some(10)));
    consumer.seek(&tp(0), 10).unwrap();
    assert_eq!(within("next", consumer.next()).await.unwrap().first_offset, 10);

    let mut consumer = client.consumer(policy(OutOfRangePolicy::Latest)).unwrap();
    consumer.assign([(tp(0), stale)]);
    let jump = within("next", consumer.next()).await.unwrap();
    assert_eq!(jump.gap, Some(Gap { from: 15, to: 10, reason: GapReason::Truncated }));
    assert_eq!((consumer.gaps().jumps, consumer.gaps().offsets), (1, 0));
    assert_eq!(within("next", consumer.next()).await.unwrap().first_offset, 10);
}

#[tokio::test(start_paused = true)]
async fn committed_epochs_pass_and_every_leader_change_is_checked_once() {
    let broker = cluster(2, 1).await;
    let (client, _) = connect(&broker).await;
    let epoch = two_epochs(&broker, &client).await;
    let asked = count(&broker, ApiKey::OffsetForLeaderEpoch);
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), Position { offset: 5, leader_epoch: 0 })]);
    let mut read = Vec::new();
    while consumer.position(&tp(0)) < Some(20) {
        let fetched = within("next", consumer.next()).await.unwrap();
        read.extend(decode(&fetched).into_iter().map(|(offset, _)| offset));
    }
    assert_eq!(read, (5..20).collect::<Vec<_>>());
    assert_eq!(consumer.position_and_epoch(&tp(0)), Some(Position { offset: 20, leader_epoch: epoch }));
    assert_eq!(broker.faults().hits(asked), 1);
    let (leader, _) = broker.leader("t", 0).unwrap().unwrap();
    broker.move_leader("t", 0, 1 - leader).await.unwrap();
    fill(&client, "t", 0, 5, 5).await;
    assert_eq!(within("next", consumer.next()).await.unwrap().first_offset, 20);
    assert_eq!(broker.faults().hits(asked), 2);
}

#[tokio::test(start_paused = true)]
async fn a_policy_answers_for_offsets_out_of_range_and_the_gap_is_counted() {
    let broker = cluster(1, 1).await;
    let (client, _) = connect(&broker).await;
    fill(&client, "t", 0, 10, 2).await;
    client.admin().delete_records(&tp(0), 4).await.unwrap();
    // The records' timestamps are years old: "by duration" finds none that is young enough.
    let cases = [
        (OutOfRangePolicy::Earliest, 1, 4),
        (OutOfRangePolicy::Earliest, 99, 4),
        (OutOfRangePolicy::Latest, 1, 10),
        (OutOfRangePolicy::ByDurationMs(1_000), 1, 10),
        (OutOfRangePolicy::ByDurationMs(u64::MAX), 1, 4),
    ];
    for (out_of_range, from, to) in cases {
        let mut consumer = client.consumer(policy(out_of_range)).unwrap();
        consumer.assign([(tp(0), from)]);
        let jump = within("next", consumer.next()).await.unwrap();
        assert_eq!(jump.gap, Some(Gap { from, to, reason: GapReason::OutOfRange }), "{out_of_range:?}");
        assert_eq!((jump.first_offset, jump.next_offset, consumer.position(&tp(0))), (from, to, Some(to)));
        assert_eq!(consumer.gaps().offsets, u64::try_from(to - from).unwrap_or(0));
        if to < 10 {
            assert_eq!(within("next", consumer.next()).await.unwrap().first_offset, to);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn start_positions_take_one_request_per_broker() {
    const PARTITIONS: i32 = 12;
    let broker = cluster(2, PARTITIONS).await;
    let (client, _) = connect(&broker).await;
    for partition in 0..PARTITIONS {
        fill(&client, "t", partition, 6, 2).await;
    }
    let asked = count(&broker, ApiKey::ListOffsets);
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    let specs = [OffsetSpec::Earliest, OffsetSpec::Latest, OffsetSpec::Timestamp(0)];
    let wanted = (0..PARTITIONS).map(|partition| (tp(partition), specs[usize::try_from(partition % 3).unwrap()]));
    consumer.assign_at(wanted).await.unwrap();
    assert_eq!(broker.faults().hits(asked), 2);
    for (partition, offset) in consumer.assignment() {
        assert_eq!(offset, if partition.partition % 3 == 1 { 6 } else { 0 }, "{partition}");
    }
    consumer.assign_at([(tp(0), OffsetSpec::Timestamp(i64::MAX))]).await.unwrap();
    assert_eq!(consumer.position(&tp(0)), Some(6), "no record is that young: the end");
}

#[tokio::test(start_paused = true)]
async fn a_leader_hint_spares_asking_for_metadata() {
    let broker = cluster(2, 1).await;
    let (writer, _) = connect(&broker).await;
    let (client, _) = connect(&broker).await;
    fill(&writer, "t", 0, 5, 5).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), 0)]);
    within("next", consumer.next()).await.unwrap();
    let (leader, _) = broker.leader("t", 0).unwrap().unwrap();
    broker.move_leader("t", 0, 1 - leader).await.unwrap();
    fill(&writer, "t", 0, 5, 5).await;
    let asked = count(&broker, ApiKey::Metadata);
    assert_eq!(within("next", consumer.next()).await.unwrap().first_offset, 5);
    assert_eq!(broker.faults().hits(asked), 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_closed_with_the_consumer_and_when_a_broker_serves_nothing() {
    let broker = cluster(2, 2).await;
    let (client, _) = connect(&broker).await;
    let (writer, _) = connect(&broker).await;
    let options = ConsumerOptions { fetch_wait_ms_max: 600_000, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    consumer.assign([(tp(0), 0), (tp(1), 0)]);
    for partition in 0..2 {
        fill(&writer, "t", partition, 1, 1).await;
        within("next", consumer.next()).await.unwrap();
    }
    // Long polls at both brokers are all that is under way; what comes now closes sessions.
    let fetches = count(&broker, ApiKey::Fetch);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = broker.faults().hits(fetches);
    consumer.unassign(&tp(0)).unwrap();
    consumer.close().await;
    assert_eq!(broker.faults().hits(fetches) - before, 2);
}

#[tokio::test(start_paused = true)]
async fn consumers_of_one_client_do_not_wait_for_each_other() {
    let broker = cluster(1, 2).await;
    let (client, wire) = connect(&broker).await;
    fill(&client, "t", 1, 10, 1).await;
    let options = ConsumerOptions { fetch_wait_ms_max: 20_000, ..ConsumerOptions::default() };
    let mut idle = client.consumer(options.clone()).unwrap();
    idle.assign([(tp(0), 0)]);
    assert!(tokio::time::timeout(Duration::from_secs(1), idle.next()).await.is_err());
    let before = wire.connections.load(Ordering::Relaxed);
    assert_eq!(before, 3, "control, produce and fetch");
    let started = Instant::now();
    let mut busy = client.consumer(ConsumerOptions { partition_fetch_bytes_max: 1024, ..options.clone() }).unwrap();
    busy.assign([(tp(1), 0)]);
    while busy.position(&tp(1)) < Some(10) {
        within("next", busy.next()).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(wire.connections.load(Ordering::Relaxed), before + 1);
    drop((idle, busy));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut third = client.consumer(options).unwrap();
    third.assign([(tp(1), 0)]);
    within("next", third.next()).await.unwrap();
    assert!(wire.connections.load(Ordering::Relaxed) <= before + 2, "the client's own connection is free again");
}

/// Over-fetching is what some clients do when answers are larger than what they keep of them.
#[tokio::test(start_paused = true)]
async fn hardly_a_byte_is_fetched_that_is_not_delivered() {
    const PARTITIONS: i32 = 8;
    let broker = cluster(2, PARTITIONS).await;
    let (writer, _) = connect(&broker).await;
    let batch = vec![record(vec![b'v'; 900]); 8];
    for partition in 0..PARTITIONS {
        let partition = writer.partition_client("t", partition, UnknownTopic::Error).await.unwrap();
        for _ in 0..30 {
            partition.produce(batch.clone(), Compression::NONE).await.unwrap();
        }
    }
    let (client, wire) = connect(&broker).await;
    let sizes = [(1 << 20, 16 << 20), (16 << 10, 16 << 20), (16 << 10, 128 << 10)];
    for (partition_fetch_bytes_max, buffer_bytes_max) in sizes {
        let ends = ends(&client, "t", PARTITIONS, Isolation::ReadCommitted).await;
        let options = ConsumerOptions { partition_fetch_bytes_max, buffer_bytes_max, ..ConsumerOptions::default() };
        let mut consumer = client.consumer(options).unwrap();
        let before = wire.bytes_read.load(Ordering::Relaxed);
        consumer.assign((0..PARTITIONS).map(|partition| (tp(partition), 0)));
        let mut delivered = 0;
        while !ends.iter().all(|(partition, end)| consumer.position(partition) >= Some(*end)) {
            delivered += within("next", consumer.next()).await.unwrap().bytes();
        }
        // Small answers: one batch at a time, each while a long poll waits.
        for partition in (0..PARTITIONS).cycle().take(40) {
            let writer = writer.partition_client("t", partition, UnknownTopic::Error).await.unwrap();
            writer.produce(batch.clone(), Compression::NONE).await.unwrap();
            delivered += within("next", consumer.next()).await.unwrap().bytes();
        }
        let fetched = wire.bytes_read.load(Ordering::Relaxed) - before;
        assert!(fetched * 100 <= delivered * 105, "{fetched} bytes for {delivered}, {partition_fetch_bytes_max}");
    }
}

/// A consumer that empties its queue faster than answers come must not be made to wait.
#[tokio::test(start_paused = true)]
async fn reading_small_answers_to_the_end_takes_no_waiting() {
    const PARTITIONS: i32 = 3;
    let broker = cluster(1, PARTITIONS).await;
    let (client, _) = connect(&broker).await;
    for partition in 0..PARTITIONS {
        fill(&client, "t", partition, 500, 5).await;
    }
    let ends = ends(&client, "t", PARTITIONS, Isolation::ReadCommitted).await;
    let options = ConsumerOptions { partition_fetch_bytes_max: 1024, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    let started = Instant::now();
    consumer.assign((0..PARTITIONS).map(|partition| (tp(partition), 0)));
    let read = read_to(&mut consumer, &ends).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    for partition in 0..PARTITIONS {
        assert_eq!(read[&partition], filled(partition, 500));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_ahead_stays_within_its_bound() {
    const PARTITIONS: i32 = 8;
    let broker = cluster(2, PARTITIONS).await;
    let (client, _) = connect(&broker).await;
    for partition in 0..PARTITIONS {
        fill(&client, "t", partition, 4_000, 50).await;
    }
    let buffer_bytes_max = 128 * 1024;
    let options = ConsumerOptions { buffer_bytes_max, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    let ends = ends(&client, "t", PARTITIONS, Isolation::ReadCommitted).await;
    consumer.assign((0..PARTITIONS).map(|partition| (tp(partition), 0)));
    // The clock moves on once every fetch that finds room is answered: what is queued then is the buffer at its fullest.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // Taking items makes room, which must not be filled while they are counted: nothing else runs until the next wait.
    let (mut buffered, mut read) = (0, HashMap::<i32, Vec<_>>::new());
    while let Some(fetched) = consumer.try_next() {
        let fetched = fetched.unwrap();
        buffered += fetched.bytes();
        read.entry(fetched.tp.partition).or_default().extend(decode(&fetched));
    }
    assert!(buffered > 0 && buffered <= buffer_bytes_max, "{buffered} bytes were fetched ahead");
    for (partition, records) in read_to(&mut consumer, &ends).await {
        read.entry(partition).or_default().extend(records);
    }
    for partition in 0..PARTITIONS {
        assert_eq!(read[&partition], filled(partition, 4_000));
    }
}

#[tokio::test]
async fn records_come_out_the_same_in_every_way_of_reading() {
    let broker = cluster(1, 1).await;
    let (client, _) = connect(&broker).await;
    let writer = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    // Large enough to be decompressed on another thread, and not to be compressed away.
    let mut random = fastrand::Rng::with_seed(7);
    let value = |random: &mut fastrand::Rng| (0..1000).map(|_| random.u8(..)).collect::<Vec<_>>();
    for codec in Codec::ALL {
        let records = (0..100).map(|_| record(value(&mut random))).collect();
        writer.produce(records, Compression::new(codec, None).unwrap()).await.unwrap();
    }
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(tp(0), 7)]);
    let fetched = within("next", consumer.next()).await.unwrap();
    assert_eq!(fetched.record_count(), 500);
    let mut decompressor = Decompressor::new(1 << 20);
    let mut visited = Vec::new();
    fetched
        .for_each_record(&mut decompressor, |record| visited.push((record.offset, record.value.unwrap().to_vec())))
        .unwrap();
    assert_eq!(visited.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (7..500).collect::<Vec<_>>());
    let here = fetched.decode(&mut decompressor).unwrap();
    let elsewhere = fetched.clone().decode_async(1 << 20).await.unwrap();
    for decoded in [here, elsewhere] {
        let read = decoded.iter().map(|record| record.map(|record| (record.offset, record.value.unwrap().to_vec())));
        assert_eq!(read.collect::<Result<Vec<_>, _>>().unwrap(), visited);
    }
    let error = fetched.decode_async(1_000).await.unwrap_err();
    assert!(
        matches!(&error, Error::CorruptBatch { topic, partition: 0, offset: 100, .. } if &**topic == "t"),
        "{error}"
    );
}
