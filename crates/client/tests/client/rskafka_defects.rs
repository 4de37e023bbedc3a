//! Thirteen defects known of RSKafka 0.6, each a test that this client passes.
//!
//! Number twelve, copies and allocations per record, is also measured where the records are read and written: in
//! `crates/protocol/tests/alloc.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{broker, client, record, within};
use bytes::Bytes;
use kanat_broker::{BrokerHandle, FaultAction, FaultRule};
use kanat_client::{
    BatchProducer, BatchProducerOptions, Codec, Compression, ConsumerOptions, OffsetSpec, PartitionClient, Record,
    RecordAggregator, StartOffset, UnknownTopic,
};
use kanat_protocol::batch::{BatchBuilder, BatchOptions, ControlRecord};
use kanat_protocol::compression::Compressor;
use kanat_protocol::messages::ApiKey;

async fn partition(broker: &BrokerHandle, configs: &[(&str, &str)]) -> PartitionClient {
    broker.create_topic("t", 1, configs).await.unwrap();
    client(broker).await.partition_client("t", 0, UnknownTopic::Error).await.unwrap()
}

async fn write(partition: &PartitionClient, records: &[Record]) -> Vec<i64> {
    within("produce", partition.produce(records.to_vec(), Compression::NONE)).await.unwrap().offsets
}

async fn read(partition: &PartitionClient, offset: i64) -> Vec<Record> {
    let (records, _) = within("fetch", partition.fetch_records(offset, 1..1_000_000, 50)).await.unwrap();
    records.into_iter().map(|record| record.record).collect()
}

async fn append_transactional(broker: &BrokerHandle, producer_id: i64, value: &str) {
    let options = BatchOptions { producer_id, producer_epoch: 0, transactional: true, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(1, None, Some(value.as_bytes()), &[]).unwrap();
    let batch = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
    broker.append_batches("t", 0, batch).await.unwrap();
}

async fn append_marker(broker: &BrokerHandle, producer_id: i64, commits: bool) {
    let (commit, abort) =
        (ControlRecord::Commit { coordinator_epoch: 0 }, ControlRecord::Abort { coordinator_epoch: 0 });
    broker.append_control("t", 0, producer_id, 0, if commits { commit } else { abort }).await.unwrap();
}

/// The values of a stream from the beginning until `count` came.
async fn stream_values(partition: &PartitionClient, count: usize) -> Vec<String> {
    let mut stream = partition.stream(StartOffset::Earliest, ConsumerOptions::default()).unwrap();
    let mut values = Vec::new();
    while values.len() < count {
        let (read, _) = within("next", stream.next()).await.unwrap().unwrap();
        values.push(String::from_utf8(read.record.value.unwrap().to_vec()).unwrap());
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_01_transaction_markers_are_read() {
    let broker = broker().await;
    let partition = partition(&broker, &[]).await;
    append_transactional(&broker, 7, "one").await;
    append_marker(&broker, 7, true).await;
    write(&partition, &[record("two")]).await;
    assert_eq!(stream_values(&partition, 2).await, ["one", "two"]);
    assert_eq!(read(&partition, 0).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_02_aborted_records_are_not_delivered() {
    let broker = broker().await;
    let partition = partition(&broker, &[]).await;
    append_transactional(&broker, 7, "aborted").await;
    append_transactional(&broker, 8, "committed").await;
    append_marker(&broker, 7, false).await;
    append_marker(&broker, 8, true).await;
    write(&partition, &[record("plain")]).await;
    assert_eq!(stream_values(&partition, 2).await, ["committed", "plain"]);
    let values: Vec<_> = read(&partition, 0).await.into_iter().map(|record| record.value.unwrap()).collect();
    assert_eq!(values, ["committed", "plain"]);
}

async fn headers_come_back(headers: Vec<(Bytes, Option<Bytes>)>) {
    let broker = broker().await;
    let partition = partition(&broker, &[]).await;
    let written = Record { headers, ..record("v") };
    write(&partition, std::slice::from_ref(&written)).await;
    assert_eq!(read(&partition, 0).await, [written]);
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_03_a_header_value_may_be_null() {
    headers_come_back(vec![(Bytes::from("null"), None), (Bytes::from("empty"), Some(Bytes::new()))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_04_headers_keep_duplicates_and_order() {
    let pair = |key: &'static str, value: &'static str| (Bytes::from(key), Some(Bytes::from(value)));
    headers_come_back(vec![pair("z", "1"), pair("a", "2"), pair("z", "3"), pair("z", "1")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_05_a_header_key_need_not_be_text() {
    headers_come_back(vec![(Bytes::from_static(&[0xff, 0xfe, 0x00]), Some(Bytes::from("v")))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_06_the_time_of_appending_is_the_time_of_the_record() {
    let broker = broker().await;
    let partition = partition(&broker, &[("message.timestamp.type", "LogAppendTime")]).await;
    write(&partition, &[Record { timestamp: 5, ..record("a") }, Record { timestamp: 9, ..record("b") }]).await;
    let times: BTreeSet<i64> = read(&partition, 0).await.iter().map(|record| record.timestamp).collect();
    assert!(times.len() == 1 && times.first() > Some(&1_600_000_000_000), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_07_a_lost_answer_does_not_double_a_batch() {
    let broker = broker().await;
    let partition = partition(&broker, &[]).await;
    let mut offsets = Vec::new();
    for action in [FaultAction::DropAfter, FaultAction::DropBefore, FaultAction::Truncate { bytes: 3 }] {
        let rule = broker.faults().add(FaultRule::new(action).on(ApiKey::Produce).times(2));
        offsets.extend(write(&partition, &[record("a"), record("b")]).await);
        assert_eq!(broker.faults().hits(rule), 2, "{action:?} struck");
    }
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
    assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), 6);
}

/// The bound on what waits is in the unit tests of the batch producer.
#[tokio::test(flavor = "multi_thread")]
async fn defect_08_batches_of_a_batch_producer_keep_their_order() {
    let broker = broker().await;
    let partition = Arc::new(partition(&broker, &[]).await);
    let slow = FaultAction::DelayBefore(Duration::from_millis(20));
    broker.faults().add(FaultRule::new(slow).on(ApiKey::Produce).probability(0.5));
    broker.faults().add(FaultRule::new(FaultAction::DropAfter).on(ApiKey::Produce).skip(2).times(1));
    let shared: Arc<dyn kanat_client::ProducerClient> = Arc::<PartitionClient>::clone(&partition);
    let options = BatchProducerOptions { linger_ms: 1, ..BatchProducerOptions::default() };
    let producer = Arc::new(BatchProducer::new(shared, RecordAggregator::new(10), options).unwrap());
    let mut calls = Vec::new();
    for number in 0..60 {
        let (one, value) = (Arc::clone(&producer), format!("{number:02}"));
        calls.push(tokio::spawn(async move { one.produce(record(value)).await }));
        tokio::task::yield_now().await;
    }
    let mut by_offset = Vec::new();
    for (number, call) in calls.into_iter().enumerate() {
        by_offset.push((within("produce", call).await.unwrap().unwrap(), format!("{number:02}").into_bytes()));
    }
    by_offset.sort_unstable();
    let written: Vec<_> = read(&partition, 0).await.into_iter().map(|record| record.value.unwrap().to_vec()).collect();
    assert_eq!(written, by_offset.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), "offsets are the records'");
    assert_eq!(written.len(), 60, "nothing lost, nothing doubled");
}

/// A batch without records, as compaction leaves it: a header that goes from `first` to `last`.
fn emptied_batch(first: i64, last: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(1, None, None, &[]).unwrap();
    let mut bytes = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap()[..61].to_vec();
    bytes[8..12].copy_from_slice(&(61_i32 - 12).to_be_bytes());
    bytes[23..27].copy_from_slice(&i32::try_from(last - first).unwrap().to_be_bytes());
    bytes[57..61].copy_from_slice(&0_i32.to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// Bit by bit: one header is all there is to sum.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_09_an_emptied_batch_moves_the_position() {
    let broker = broker().await;
    let partition = partition(&broker, &[]).await;
    write(&partition, &[record("one")]).await;
    broker.append_batches("t", 0, emptied_batch(1, 9)).await.unwrap();
    let fetched = within("fetch", partition.fetch(1, 1..1_000_000, 50)).await.unwrap();
    assert_eq!((fetched.batches.len(), fetched.next_offset), (0, 10), "at the tail, where a loop would be hot");
    let fetches = broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::Fetch));
    let options = ConsumerOptions { fetch_wait_ms_max: 200, ..ConsumerOptions::default() };
    let mut stream = partition.stream(StartOffset::At(1), options).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), stream.next()).await.is_err());
    let asked = broker.faults().hits(fetches);
    assert!(asked <= 6, "{asked} fetches of an end that does not move");
    drop(stream);
    assert_eq!(write(&partition, &[record("two")]).await, [10]);
    assert_eq!(stream_values(&partition, 2).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_10_partition_clients_share_connections() {
    let broker = broker().await;
    broker.create_topic("t", 40, &[]).await.unwrap();
    let connections =
        broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::ApiVersions));
    let client = client(&broker).await;
    let mut partitions = Vec::new();
    for number in 0..40 {
        let partition = client.partition_client("t", number, UnknownTopic::Error).await.unwrap();
        write(&partition, &[record("v")]).await;
        assert_eq!(read(&partition, 0).await.len(), 1);
        partitions.push(partition);
    }
    let opened = broker.faults().hits(connections);
    assert!(opened <= 3, "{opened} connections for 40 partitions");
}

/// The longest time in which nothing else got a turn while `work` was done, and how long it took.
async fn longest_stall<T>(work: impl Future<Output = T>) -> (Duration, Duration, T) {
    let done = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&done);
    let watcher = tokio::spawn(async move {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        while !watched.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest
    });
    tokio::task::yield_now().await;
    let started = Instant::now();
    let output = work.await;
    let took = started.elapsed();
    done.store(true, Ordering::Relaxed);
    (watcher.await.unwrap(), took, output)
}

/// On one thread: what is done inline holds everything else up for as long as it takes.
#[tokio::test(flavor = "current_thread")]
async fn defect_11_compression_does_not_hold_up_the_runtime() {
    // The broker has a runtime of its own, so that it is not what is measured.
    let (broker, runtime) = tokio::task::spawn_blocking(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        (runtime.block_on(broker()), runtime)
    })
    .await
    .unwrap();
    broker.create_topic("t", 1, &[("max.message.bytes", "100000000")]).await.unwrap();
    let partition = client(&broker).await.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let digits = |random: &mut fastrand::Rng| (0..2_000).map(|_| random.digit(10)).collect::<String>();
    let records: Vec<Record> = (0..1_500).map(|_| record(digits(&mut random))).collect();
    let hard = Compression::new(Codec::Zstd, Some(9)).unwrap();
    let (stall, took, produced) = longest_stall(partition.produce(records, hard)).await;
    assert_eq!(produced.unwrap().offsets.len(), 1_500);
    assert!(stall < took / 2, "compressing held everything up for {stall:?} of {took:?}");
    let (stall, took, read) = longest_stall(partition.fetch_records(0, 1..100_000_000, 1_000)).await;
    assert_eq!(read.unwrap().0.len(), 1_500);
    assert!(stall < (took / 2).max(Duration::from_millis(20)), "decompressing: {stall:?} of {took:?}");
    drop(broker);
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_12_records_of_a_batch_share_its_memory() {
    let broker = broker().await;
    let partition = partition(&broker, &[]).await;
    let text = "x".repeat(1_000);
    write(&partition, &vec![record(text.as_str()); 100]).await;
    let addresses: Vec<usize> =
        read(&partition, 0).await.iter().map(|record| record.value.as_ref().unwrap().as_ptr().addr()).collect();
    // Fields between two values: lengths, deltas, key, header count.
    assert!(addresses.windows(2).all(|pair| (1_000..1_020).contains(&(pair[1] - pair[0]))), "{addresses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_13_timestamps_are_exact() {
    let broker = broker().await;
    let partition = partition(&broker, &[]).await;
    let base = 1_700_000_000_123;
    let times: Vec<i64> = [0, -1, 1, 2, -5_184_000_000, 5_184_000_000, 999, 1_000].map(|delta| base + delta).into();
    let records: Vec<Record> = times.iter().map(|timestamp| Record { timestamp: *timestamp, ..record("v") }).collect();
    write(&partition, &records).await;
    let back: Vec<i64> = read(&partition, 0).await.iter().map(|record| record.timestamp).collect();
    assert_eq!(back, times);
}
