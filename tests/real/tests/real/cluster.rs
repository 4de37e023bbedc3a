//! Three nodes, one of which dies.

use std::time::Duration;

use kanat_bench::Shape;
use kanat_client::{Client, ClientOptions, NewTopic, ProduceRecord, Producer, ProducerOptions};
use kanat_tests::{Job, Kafka, Layout};

const PARTITIONS: i32 = 6;
const RECORDS: u64 = 400_000;
const PATIENCE: Duration = Duration::from_secs(90);

/// Sends the records of `numbers` round-robin and hands out their deliveries' outcome.
async fn send(producer: &Producer, topic: &str, numbers: std::ops::Range<u64>) {
    let mut deliveries = Vec::new();
    let mut value = Vec::new();
    for number in numbers {
        value.clear();
        Shape::Flat10.write(1, number, &mut value);
        let partition = i32::try_from(number % u64::from(PARTITIONS.unsigned_abs())).unwrap();
        let (timestamp, headers) = (Some(1_700_000_000_000), [].as_slice());
        let record =
            ProduceRecord { topic, partition: Some(partition), key: None, value: Some(&value), headers, timestamp };
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

/// Sends all records; `node` is killed when the first quarter is on its way, and comes back before the last.
async fn produce_through_a_death(kafka: &'static Kafka, topic: &str, node: u32) {
    let client = Client::connect(ClientOptions::new(kafka.bootstrap().split(','))).await.unwrap();
    client.admin().create_topic(&NewTopic::new(topic, PARTITIONS).with_config("retention.ms", "-1")).await.unwrap();
    let producer = client.producer(ProducerOptions::default()).unwrap();
    send(&producer, topic, 0..RECORDS / 4).await;
    tokio::join!(
        send(&producer, topic, RECORDS / 4..RECORDS / 2),
        on_a_thread(kafka, move |kafka| kafka.kill_node(node))
    );
    tokio::join!(send(&producer, topic, RECORDS / 2..RECORDS), on_a_thread(kafka, move |kafka| kafka.start_node(node)));
}

/// Runs something that blocks while other futures go on.
async fn on_a_thread(kafka: &'static Kafka, work: impl FnOnce(&Kafka) + Send + 'static) {
    tokio::task::spawn_blocking(move || work(kafka)).await.unwrap();
}

/// A node that is killed while its partitions are written, and others while they are read, cost time and no records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_a_node_costs_no_record() {
    let cluster = Kafka::three().await;
    let kafka: &Kafka = &cluster;
    let topic = "cluster";
    tokio::time::timeout(PATIENCE, produce_through_a_death(&cluster, topic, 1))
        .await
        .expect("records are acknowledged");
    let offsets = kafka.offsets_file(topic);

    let job = Job::new(kafka, topic, Layout::Normalized, 16.0);
    let running = job.spawn_sync();
    kafka.kill_node(2);
    job.finish(running, PATIENCE);
    job.table().assert_holds(&offsets, &[]);
    job.table().assert_ids(RECORDS);
    let order = "SELECT id FROM (SELECT id, lag(id) OVER (PARTITION BY _kafka_partition ORDER BY _kafka_offset) AS before FROM t)
        WHERE id <= before LIMIT 3";
    assert_eq!(job.table().query(order), [] as [serde_json::Value; 0], "ids grow along every partition");

    // The killed node is down when this run begins, and is among the bootstrap servers.
    let job = Job::new(kafka, topic, Layout::Raw, 16.0);
    let running = job.spawn_sync();
    kafka.start_node(2);
    kafka.kill_node(3);
    job.finish(running, PATIENCE);
    job.table().assert_holds(&offsets, &[]);
}
