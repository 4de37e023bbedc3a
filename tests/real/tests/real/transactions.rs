//! Transactions on real Kafka: what was committed is there once, for Kafka's own consumer and for ours, although the
//! application dies in the middle.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kanat_client::{Error, ProducerOptions};
use kanat_tests::{Kafka, peers_dir};

use crate::numbered::{PARTITIONS, PATIENCE, committed, connect, copy, create, producer, record, values, within};

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
