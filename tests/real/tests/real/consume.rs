//! Consumers of real clusters that change under them: a leader dies, an election loses records, a topic is deleted and
//! made again, partitions are added, replicas are closer than leaders.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_client::{
    Client, ClientOptions, Compression, Consumer, ConsumerOptions, Decompressor, Error, NewTopic, Record,
    TopicPartition, UnknownTopic,
};
use kanat_tests::Kafka;

const PATIENCE: Duration = Duration::from_secs(90);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not end within {PATIENCE:?}"))
}

async fn connect(kafka: &Kafka) -> Client {
    let options = ClientOptions::new(kafka.bootstrap().split(',')).with_retry_timeout_ms(60_000);
    within("connect", Client::connect(options)).await.unwrap()
}

/// Records whose values are their numbers.
async fn fill(client: &Client, topic: &str, partition: i32, numbers: std::ops::Range<u64>) {
    let writer = client.partition_client(topic, partition, UnknownTopic::Retry).await.unwrap();
    for batch in numbers.collect::<Vec<_>>().chunks(500) {
        let record = |number: &u64| Record { value: Some(number.to_string().into()), ..Record::default() };
        writer.produce(batch.iter().map(record).collect(), Compression::NONE).await.unwrap();
    }
}

/// Takes items until every partition's position is `end`; returns the numbers read of each.
async fn read_to(consumer: &mut Consumer, end: i64) -> HashMap<i32, Vec<u64>> {
    let mut read: HashMap<i32, Vec<u64>> = HashMap::new();
    let mut decompressor = Decompressor::new(1 << 20);
    while consumer.assignment().iter().any(|(_, position)| *position < end) {
        let fetched = within("next", consumer.next()).await.unwrap();
        let numbers = read.entry(fetched.tp.partition).or_default();
        let number = |value: Option<&[u8]>| std::str::from_utf8(value.unwrap()).unwrap().parse().unwrap();
        fetched.for_each_record(&mut decompressor, |record| numbers.push(number(record.value))).unwrap();
    }
    read
}

async fn on_a_thread(kafka: &Arc<Kafka>, work: impl FnOnce(&Kafka) + Send + 'static) {
    let kafka = Arc::clone(kafka);
    tokio::task::spawn_blocking(move || work(&kafka)).await.unwrap();
}

async fn leader(client: &Client, topic: &str, partition: i32) -> Option<i32> {
    let metadata = client.metadata(None).await.ok()?;
    metadata.topic(topic)?.partition(partition)?.leader
}

async fn until_led_by_other(client: &Client, topic: &str, old: i32) {
    within("another leader", async {
        while leader(client, topic, 0).await.is_none_or(|leader| leader == old) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_killed_while_it_is_read_from_costs_no_record_and_repeats_none() {
    const PARTITIONS: i32 = 3;
    const RECORDS: u64 = 20_000;
    let kafka = Arc::new(Kafka::start(3));
    let client = connect(&kafka).await;
    client.admin().create_topic(&NewTopic::new("killed", PARTITIONS)).await.unwrap();
    for partition in 0..PARTITIONS {
        fill(&client, "killed", partition, 0..RECORDS).await;
    }
    let options = ConsumerOptions { partition_fetch_bytes_max: 4096, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).unwrap();
    consumer.assign((0..PARTITIONS).map(|partition| (TopicPartition::new("killed", partition), 0)));
    let mut read = read_to(&mut consumer, 2_000).await;
    on_a_thread(&kafka, |kafka| kafka.kill_node(1)).await;
    for (partition, numbers) in read_to(&mut consumer, i64::try_from(RECORDS).unwrap()).await {
        read.entry(partition).or_default().extend(numbers);
    }
    for partition in 0..PARTITIONS {
        assert_eq!(read[&partition], (0..RECORDS).collect::<Vec<_>>());
    }
}

/// The only replica left does not hold the newest records; the cluster is allowed to elect it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_lost_by_an_unclean_election_are_noticed() {
    let kafka = Arc::new(Kafka::start_with(3, &["unclean.leader.election.enable=true", "min.insync.replicas=1"]));
    let client = connect(&kafka).await;
    let topic = NewTopic::new("truncated", 1).with_assignments(vec![vec![1, 2]]);
    client.admin().create_topic(&topic).await.unwrap();
    fill(&client, "truncated", 0, 0..100).await;
    // Node 2 misses what node 1 takes alone; then node 1 goes and node 2 comes back.
    on_a_thread(&kafka, |kafka| kafka.kill_node(2)).await;
    fill(&client, "truncated", 0, 100..200).await;
    let name = TopicPartition::new("truncated", 0);
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(name.clone(), 0)]);
    let read = read_to(&mut consumer, 200).await;
    assert_eq!(read[&0].len(), 200);
    on_a_thread(&kafka, |kafka| kafka.kill_node(1)).await;
    on_a_thread(&kafka, |kafka| kafka.start_node(2)).await;
    until_led_by_other(&client, "truncated", 1).await;
    fill(&client, "truncated", 0, 1_000..1_300).await;
    let error = within("the error", consumer.next()).await.unwrap_err();
    assert!(
        matches!(error, Error::LogTruncated { partition: 0, position: 200, diverged_at: Some(100), .. }),
        "{error}"
    );
    consumer.seek(&name, 100).unwrap();
    assert_eq!(read_to(&mut consumer, 400).await[&0], (1_000..1_300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_is_not_taken_for_the_old_one() {
    let kafka = Kafka::shared();
    let (client, other) = (connect(kafka).await, connect(kafka).await);
    client.admin().create_topic(&NewTopic::new("recreated", 1)).await.unwrap();
    fill(&client, "recreated", 0, 0..10).await;
    let name = TopicPartition::new("recreated", 0);
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(name.clone(), 0)]);
    read_to(&mut consumer, 10).await;
    other.admin().delete_topics(&["recreated"]).await.unwrap().remove(0).1.unwrap();
    within("creation", async {
        while other.admin().create_topic(&NewTopic::new("recreated", 1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    fill(&connect(kafka).await, "recreated", 0, 0..50).await;
    let error = within("the error", consumer.next()).await.unwrap_err();
    assert!(matches!(error, Error::TopicRecreated { partition: 0, offset: 10, .. }), "{error}");
    consumer.seek(&name, 0).unwrap();
    assert_eq!(read_to(&mut consumer, 50).await[&0], (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_partitions_are_read_beside_the_old_ones() {
    let kafka = Kafka::shared();
    let client = connect(kafka).await;
    client.admin().create_topic(&NewTopic::new("expanded", 1)).await.unwrap();
    fill(&client, "expanded", 0, 0..10).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(TopicPartition::new("expanded", 0), 0)]);
    read_to(&mut consumer, 10).await;
    client.admin().create_partitions("expanded", 3).await.unwrap();
    consumer.assign((1..3).map(|partition| (TopicPartition::new("expanded", partition), 0)));
    let writer = connect(kafka).await;
    for partition in 0..3 {
        fill(&writer, "expanded", partition, 0..20).await;
    }
    let read = within("the end", read_to(&mut consumer, 20)).await;
    assert_eq!((read[&1].len(), read[&2].len()), (20, 20));
}

/// Every broker is in its own rack, and the leader sends the reader to the one in its rack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_closest_replica_is_read_from_and_the_leader_when_it_dies() {
    let selector = "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let kafka = Arc::new(Kafka::start_with(3, &[selector, "broker.rack=rack-@NODE@"]));
    let client = connect(&kafka).await;
    client.admin().create_topic(&NewTopic::new("near", 1).with_assignments(vec![vec![1, 2, 3]])).await.unwrap();
    fill(&client, "near", 0, 0..1_000).await;
    let reader = connect(&kafka).await;
    let options = ConsumerOptions { client_rack: Some("rack-3".to_owned()), ..ConsumerOptions::default() };
    let mut consumer = reader.consumer(options).unwrap();
    let name = TopicPartition::new("near", 0);
    consumer.assign([(name.clone(), 0)]);
    assert_eq!(read_to(&mut consumer, 1_000).await[&0].len(), 1_000);
    assert_eq!(consumer.source(&name), Some(3));
    on_a_thread(&kafka, |kafka| kafka.kill_node(3)).await;
    fill(&client, "near", 0, 1_000..1_500).await;
    assert_eq!(read_to(&mut consumer, 1_500).await[&0], (1_000..1_500).collect::<Vec<_>>());
    assert_ne!(consumer.source(&name), Some(3));
}
