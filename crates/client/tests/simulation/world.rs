//! One run: the cluster, the producers, the consumer and what disturbs them, until everything is settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_client::{
    Client, ClientOptions, ConsumerOptions, Error, Fetched, Isolation, ProduceRecord, ProducerOptions, TopicPartition,
    UnknownTopic,
};
use kanat_protocol::compression::Decompressor;
use tokio::time::{Instant, sleep, timeout};

use crate::history::{Fate, History, Sent};
use crate::plan::{Disturbance, Plan};
use crate::wire::{Cable, Plug};

pub(crate) const TOPIC: &str = "t";
/// 2026-01-01.
pub(crate) const START_MS: i64 = 1_767_225_600_000;
/// By then a run is over, in simulated time: longer than any delivery timeout.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(600);

/// Runs a plan to its end.
pub(crate) async fn run(plan: Plan) -> History {
    let started = Instant::now();
    let options = BrokerOptions::default().without_sockets().with_nodes(plan.nodes).with_seed(plan.seed);
    let broker = Broker::start(options.with_clock_start_ms(START_MS)).await.unwrap();
    broker.create_topic(TOPIC, plan.partitions, &[]).await.unwrap();
    broker.faults().reseed(plan.seed);
    for fault in &plan.faults {
        broker.faults().add(fault.clone());
    }
    let settled = async {
        let disturbed = disturb(&broker, &plan.disturbances);
        let producers = (0..plan.producers)
            .map(|producer| tokio::spawn(produce(client_options(&broker), producer, settings(&plan))));
        let producers: Vec<_> = producers.collect();
        let consumer = tokio::spawn(consume(client_options(&broker), plan.partitions));
        disturbed.await;
        let mut fates = BTreeMap::new();
        for producer in producers {
            fates.extend(producer.await.unwrap());
        }
        broker.faults().clear();
        let logs = read_logs(&broker, &plan).await;
        let ends = logs.iter().map(|(partition, log)| (*partition, log.last().map_or(0, |(offset, _)| offset + 1)));
        let consumed = stop_consumer(consumer, ends.collect()).await;
        History { fates, consumed, logs, ended_ms: started.elapsed().as_millis() }
    };
    timeout(RUN_MAX, settled).await.expect("the run comes to its end")
}

pub(crate) fn client_options(broker: &BrokerHandle) -> ClientOptions {
    client_options_over(broker, &Arc::new(Cable::new(broker.dialer(), None)))
}

/// Options of a client that dials over this cable.
pub(crate) fn client_options_over(broker: &BrokerHandle, cable: &Arc<Cable>) -> ClientOptions {
    let every: Vec<String> = (0..9).map_while(|node| broker.addr(node).ok()).collect();
    ClientOptions::new(every)
        .with_connector(Arc::new(Plug(Arc::clone(cable))))
        .with_request_timeout_ms(1_000)
        .with_connect_timeout_ms(1_000)
        .with_retry_timeout_ms(120_000)
}

/// What the producers need of the plan.
#[derive(Debug, Clone)]
struct Settings {
    seed: u64,
    partitions: i32,
    records: u32,
    value_bytes: usize,
    options: ProducerOptions,
}

fn settings(plan: &Plan) -> Settings {
    let options = ProducerOptions {
        linger_ms: plan.linger_ms,
        batch_bytes_max: plan.batch_bytes_max,
        buffer_bytes_max: 1_000_000,
        delivery_timeout_ms: 60_000,
        unknown_topic: UnknownTopic::Retry,
        ..ProducerOptions::default()
    };
    let (partitions, records) = (plan.partitions, plan.records_per_producer);
    Settings { seed: plan.seed, partitions, records, value_bytes: plan.value_bytes, options }
}

pub(crate) async fn connect(options: ClientOptions) -> Client {
    loop {
        // Whoever starts while nothing answers tries again.
        match Client::connect(options.clone()).await {
            Ok(client) => return client,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn fate(error: &Error) -> Fate {
    if error.is_outcome_unknown() { Fate::Unknown(error.to_string()) } else { Fate::Refused(error.to_string()) }
}

async fn produce(options: ClientOptions, producer: usize, settings: Settings) -> Vec<((Sent, i32), Fate)> {
    let mut random = fastrand::Rng::with_seed(settings.seed.wrapping_add(producer as u64));
    let client = connect(options).await;
    let handle = client.producer(settings.options).unwrap();
    let (mut fates, mut waiting) = (Vec::new(), Vec::new());
    for number in 0..settings.records {
        let (sent, partition) = (Sent { producer, number }, random.i32(0..settings.partitions));
        let value = sent.to_value(settings.value_bytes);
        let record = ProduceRecord {
            topic: TOPIC,
            partition: Some(partition),
            value: Some(&value),
            // The machine's clock has no part in a run.
            timestamp: Some(START_MS),
            ..ProduceRecord::default()
        };
        match handle.send(record).await {
            Ok(delivery) => waiting.push(((sent, partition), delivery)),
            Err(error) => fates.push(((sent, partition), fate(&error))),
        }
        if random.u8(0..10) == 0 {
            sleep(Duration::from_millis(random.u64(0..200))).await;
        }
    }
    for (name, delivery) in waiting {
        let fate = match delivery.await {
            Ok(metadata) => Fate::Acknowledged(metadata.offset),
            Err(error) => fate(&error),
        };
        fates.push((name, fate));
    }
    fates
}

pub(crate) async fn disturb(broker: &BrokerHandle, disturbances: &[(Duration, Disturbance)]) {
    for (wait, disturbance) in disturbances {
        sleep(*wait).await;
        match *disturbance {
            // Refused while that node is down.
            Disturbance::MoveLeader { partition, to } => drop(broker.move_leader(TOPIC, partition, to).await),
            Disturbance::RestartNode { node, down } => {
                broker.stop_node(node).await.unwrap();
                sleep(down).await;
                broker.start_node(node).await.unwrap();
            }
        }
    }
}

type Consumed = BTreeMap<i32, Vec<(i64, Sent)>>;

/// A consumer that tells of everything it gets.
struct Consuming {
    items: tokio::sync::mpsc::UnboundedReceiver<Fetched>,
    task: tokio::task::JoinHandle<()>,
}

async fn consume(options: ClientOptions, partitions: i32) -> Consuming {
    let (items, received) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let client = connect(options).await;
        let mut consumer = client
            .consumer(ConsumerOptions { isolation: Isolation::ReadUncommitted, ..ConsumerOptions::default() })
            .unwrap();
        consumer.assign((0..partitions).map(|partition| (TopicPartition::new(TOPIC, partition), 0)));
        loop {
            let fetched = consumer.next().await.expect("nothing here is an error of a partition");
            if items.send(fetched).is_err() {
                return;
            }
        }
    });
    Consuming { items: received, task }
}

/// Takes what the consumer gets until it has everything up to the ends.
async fn stop_consumer(consumer: tokio::task::JoinHandle<Consuming>, ends: BTreeMap<i32, i64>) -> Consumed {
    let mut consuming = consumer.await.unwrap();
    let mut consumed = Consumed::new();
    let mut reached: BTreeMap<i32, i64> = ends.keys().map(|partition| (*partition, 0)).collect();
    while reached.iter().any(|(partition, reached)| *reached < ends[partition]) {
        let fetched = consuming.items.recv().await.expect("the consumer goes on");
        let expected = reached.insert(fetched.tp.partition, fetched.next_offset);
        assert_eq!(expected, Some(fetched.first_offset), "{} has a gap or an overlap", fetched.tp);
        consumed.entry(fetched.tp.partition).or_default().extend(records(&fetched));
    }
    consuming.task.abort();
    consumed
}

fn records(fetched: &Fetched) -> Vec<(i64, Sent)> {
    let mut decompressor = Decompressor::new(1 << 20);
    let mut found = Vec::new();
    for batch in &fetched.batches {
        for record in batch.records(&mut decompressor).unwrap().iter() {
            let record = record.unwrap();
            if record.offset >= fetched.first_offset {
                found.push((record.offset, Sent::from_value(record.value.unwrap())));
            }
        }
    }
    found
}

/// What is in the log once nothing goes wrong any more, read by a new client.
async fn read_logs(broker: &BrokerHandle, plan: &Plan) -> Consumed {
    let ends: BTreeMap<i32, i64> =
        (0..plan.partitions).map(|partition| (partition, broker.offsets(TOPIC, partition).unwrap().2)).collect();
    let consumer = tokio::spawn(consume(client_options(broker), plan.partitions));
    let mut logs = stop_consumer(consumer, ends.clone()).await;
    for partition in ends.into_keys() {
        logs.entry(partition).or_default();
    }
    logs
}
