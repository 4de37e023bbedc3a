//! Transactions on real Kafka: what was committed is there once, for Kafka's own consumer and for ours, although the
//! application dies in the middle.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kanat_client::{
    Client, ClientOptions, ConsumerOptions, Error, GroupConsumer, GroupEvent, GroupOptions, Isolation, NewTopic,
    OffsetAndMetadata, OffsetSpec, ProduceRecord, ProducerOptions, TopicPartition, TransactionalOptions,
    TransactionalProducer,
};
use kanat_protocol::compression::Decompressor;
use kanat_tests::{Kafka, peers_dir};
use serde_json::Value;

use crate::seen::seen_by_java;

const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(120);

/// Partition, offset and value of records, partition by partition.
type Read = Vec<(i32, i64, String)>;

async fn connect(kafka: &Kafka) -> Client {
    Client::connect(ClientOptions::new(kafka.bootstrap().split(','))).await.unwrap()
}

async fn create(client: &Client, topic: &str) {
    client.admin().create_topic(&NewTopic::new(topic, PARTITIONS).with_config("retention.ms", "-1")).await.unwrap();
}

async fn producer(client: &Client, id: &str) -> TransactionalProducer {
    client.transactional_producer(TransactionalOptions::new(id)).await.unwrap()
}

fn record<'a>(topic: &'a str, partition: i32, value: &'a str) -> ProduceRecord<'a> {
    ProduceRecord { topic, partition: Some(partition), value: Some(value.as_bytes()), ..ProduceRecord::default() }
}

/// Waits at most as long as a test may for anything.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not end within {PATIENCE:?}"))
}

/// Offset and value of every record of an item that lies behind its start.
fn decode(fetched: &kanat_client::Fetched) -> Vec<(i64, String)> {
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
async fn committed(kafka: &Kafka, client: &Client, topic: &str) -> Read {
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

fn values(read: Read) -> BTreeMap<i32, Vec<String>> {
    let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for (partition, _, value) in read {
        values.entry(partition).or_default().push(value);
    }
    values
}

/// Commits, aborts and transactions that were just dropped: both makes of consumer see what was committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_consumers_see_what_was_committed() {
    let (kafka, topic) = (Kafka::shared(), "tx-ends");
    let client = connect(kafka).await;
    create(&client, topic).await;
    let mut producer = producer(&client, topic).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut expected: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for round in 0..60 {
        let transaction = within("begin", producer.begin()).await.unwrap();
        let mut sent = Vec::new();
        for index in 0..random.usize(1..40) {
            let (partition, value) = (random.i32(0..PARTITIONS), format!("{round}/{index}"));
            drop(transaction.send(record(topic, partition, &value)).await.unwrap());
            sent.push((partition, value));
        }
        match random.u8(0..4) {
            0 => within("abort", transaction.abort()).await.unwrap(),
            1 => drop(transaction),
            _ => {
                within("commit", transaction.commit()).await.unwrap();
                sent.into_iter().for_each(|(partition, value)| expected.entry(partition).or_default().push(value));
            }
        }
    }
    within("commit", producer.begin().await.unwrap().commit()).await.unwrap();
    assert_eq!(values(committed(kafka, &client, topic).await), expected);
}

/// A producer of Kafka's Java client with an open transaction.
struct JavaProducer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl JavaProducer {
    /// Returns when its transaction has a record.
    fn open(kafka: &Kafka, id: &str, topic: &str, value: &str) -> JavaProducer {
        let mut command = Command::new(peers_dir().join("java.sh"));
        command.args(["Transaction", kafka.bootstrap(), id, topic, value]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "open");
        JavaProducer { child, lines }
    }

    /// Commits; returns "committed" or the name of the exception.
    fn commit(mut self) -> String {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let said = self.lines.next().unwrap().unwrap();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

/// Whoever comes later with the same id takes over, whichever client it is, and the one before is told by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_and_ours_fence_each_other() {
    let (kafka, topic) = (Kafka::shared(), "tx-fence");
    let client = connect(kafka).await;
    create(&client, topic).await;
    let java = tokio::task::spawn_blocking(move || JavaProducer::open(kafka, topic, topic, "lost by Java"));
    let java = java.await.unwrap();
    let mut ours = within("init", producer(&client, topic)).await;
    let transaction = ours.begin().await.unwrap();
    within("delivery", transaction.send(record(topic, 0, "ours")).await.unwrap()).await.unwrap();
    let said = tokio::task::spawn_blocking(move || java.commit()).await.unwrap();
    assert!(["ProducerFencedException", "InvalidProducerEpochException"].contains(&said.as_str()), "Java says {said}");
    within("commit", transaction.commit()).await.unwrap();

    let transaction = ours.begin().await.unwrap();
    within("delivery", transaction.send(record(topic, 0, "lost by ours")).await.unwrap()).await.unwrap();
    let java = tokio::task::spawn_blocking(move || JavaProducer::open(kafka, topic, topic, "Java's").commit());
    assert_eq!(java.await.unwrap(), "committed");
    let error = within("commit", transaction.commit()).await.unwrap_err();
    assert!(matches!(&error, Error::ProducerFenced { transactional_id } if &**transactional_id == topic), "{error}");
    let error = ours.begin().await.map(drop).unwrap_err();
    assert!(matches!(error, Error::ProducerFenced { .. }), "for good: {error}");

    let mut newest = within("init", producer(&client, topic)).await;
    let mut newer = within("init", producer(&client, topic)).await;
    let transaction = newest.begin().await.unwrap();
    drop(transaction.send(record(topic, 0, "never")).await.unwrap());
    // The leader only says that the epoch is old; the coordinator knows why.
    let error = within("commit", transaction.commit()).await.unwrap_err();
    let expected = matches!(error, Error::TransactionMustAbort { .. } | Error::ProducerFenced { .. });
    assert!(expected, "ours by ours: {error}");
    let error = within("begin", newest.begin()).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::ProducerFenced { .. }), "ours by ours: {error}");
    within("commit", newer.begin().await.unwrap().commit()).await.unwrap();
    let seen = values(committed(kafka, &client, topic).await);
    assert_eq!(seen, BTreeMap::from([(0, vec!["ours".to_owned(), "Java's".to_owned()])]));
}

/// Copies from one topic to another in transactions until it is killed or fails; counts the copies.
async fn copy(client: Client, from: &'static str, to: &'static str, copied: Arc<AtomicUsize>) -> Result<(), Error> {
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

/// The application is killed again and again between reading, writing and committing, and started anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_exact_however_often_the_application_dies() {
    const RECORDS: usize = 9_000;
    const KILLS: usize = 5;
    let (kafka, from, to) = (Kafka::shared(), "tx-copy-from", "tx-copy-to");
    let client = connect(kafka).await;
    create(&client, from).await;
    create(&client, to).await;
    let source = client.producer(ProducerOptions::default()).unwrap();
    let mut expected: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for (number, partition) in (0..RECORDS).zip((0..PARTITIONS).cycle()) {
        let value = number.to_string();
        drop(source.send(record(from, partition, &value)).await.unwrap());
        expected.entry(partition).or_default().push(value);
    }
    source.flush().await.unwrap();
    let copied = Arc::new(AtomicUsize::new(0));
    let end_offsets = || async {
        let committed = client.group(to).committed_all().await.unwrap();
        committed.values().map(|position| usize::try_from(position.offset).unwrap()).sum::<usize>()
    };
    let started = Instant::now();
    for kill in 0..=KILLS {
        // An application has a client of its own, which dies with it.
        let application = tokio::spawn(copy(connect(kafka).await, from, to, Arc::clone(&copied)));
        let target = if kill == KILLS { RECORDS } else { RECORDS * (kill + 1) / (KILLS + 2) };
        loop {
            let done = if kill == KILLS { end_offsets().await } else { copied.load(Ordering::Relaxed) };
            if done >= target {
                break;
            }
            assert!(!application.is_finished(), "the application failed: {:?}", application.await);
            assert!(started.elapsed() < PATIENCE, "{done} of {target} records are copied");
            tokio::time::sleep(Duration::from_millis(if kill == KILLS { 100 } else { 1 })).await;
        }
        application.abort();
        assert!(application.await.unwrap_err().is_cancelled());
    }
    // Whatever the last one left open is ended by whoever comes next.
    drop(producer(&client, to).await);
    assert_eq!(values(committed(kafka, &client, to).await), expected);
}
