//! Runs of one transactional producer, under both protocols: what becomes of each transaction is checked against what
//! readers of committed records see in the end.
//!
//! * A transaction reported as committed is seen whole, in order, and its offsets count.
//! * One that was aborted or dropped is not seen at all.
//! * One whose commit has an unknown outcome is seen whole or not at all.
//! * No transaction stays open, and the producer is never fenced: there is no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kanat_broker::{Broker, BrokerHandle, BrokerOptions, FaultAction, FaultRule};
use kanat_client::{
    Client, ConsumerOptions, Error, GroupMetadata, Isolation, OffsetAndMetadata, OffsetSpec, ProduceRecord,
    ProducerOptions, TopicPartition, Transaction, TransactionalOptions, TransactionalProducer,
};
use kanat_protocol::ErrorCode;
use kanat_protocol::compression::Decompressor;
use kanat_protocol::messages::ApiKey;
use tokio::time::{sleep, timeout};

use crate::plan::{Disturbance, draw_disturbances};
use crate::world::{RUN_MAX, START_MS, TOPIC, client_options, connect, disturb};

const GROUP: &str = "g";
/// Requests the faults strike.
const STRUCK: [ApiKey; 7] = [
    ApiKey::Produce,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
    ApiKey::InitProducerId,
    ApiKey::FindCoordinator,
];

/// One run.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    nodes: i32,
    partitions: i32,
    /// Level of `transaction.version`: 1, the client enrols partitions; 2, the broker does and bumps epochs.
    level: i16,
    marker_delay_ms: u64,
    transactions: u32,
    records_max: u32,
    batch_bytes_max: usize,
    faults: Vec<FaultRule>,
    disturbances: Vec<(Duration, Disturbance)>,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Plan {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x7478_6e73);
        let (nodes, partitions, level) = (random.i32(1..=3), random.i32(1..=4), random.i16(1..=2));
        Plan {
            seed,
            nodes,
            partitions,
            level,
            marker_delay_ms: if random.bool() { 0 } else { random.u64(1..200) },
            transactions: random.u32(5..30),
            records_max: random.u32(1..30),
            batch_bytes_max: random.usize(1_024..2_048),
            faults: (0..random.usize(0..=6)).map(|_| draw_fault(&mut random, level)).collect(),
            disturbances: draw_disturbances(&mut random, nodes, partitions),
        }
    }
}

fn draw_fault(random: &mut fastrand::Rng, level: i16) -> FaultRule {
    let api = STRUCK[random.usize(0..STRUCK.len())];
    let delay = Duration::from_millis(random.u64(1..2_000));
    // A request that arrives after its repetition is something only the newer protocol can tell apart, and nobody can
    // tell a late first request for the id from a second producer.
    let may_be_late = level >= 2 && api != ApiKey::InitProducerId;
    let action = match random.u32(0..6) {
        0 => FaultAction::DelayBefore(if may_be_late { delay } else { delay.min(Duration::from_millis(900)) }),
        1 => FaultAction::DelayAfter(delay),
        2 if api == ApiKey::Produce => FaultAction::Error(ErrorCode::NotLeaderOrFollower),
        3 if api == ApiKey::EndTxn => FaultAction::Error(ErrorCode::CoordinatorLoadInProgress),
        2 | 3 => FaultAction::DropBefore,
        _ => FaultAction::DropAfter,
    };
    FaultRule::new(action).on(api).skip(random.u64(0..10)).times(random.u64(1..10)).probability(random.f64().max(0.05))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
    /// The commit was not answered.
    Unknown,
}

/// One transaction as its producer knows it.
#[derive(Debug)]
struct Ended {
    fate: Fate,
    /// Partitions its records went to, in order.
    sent: Vec<i32>,
    /// Whether it committed its own number as the group's offset.
    with_offset: bool,
}

/// What one run led to.
#[derive(Debug)]
pub(crate) struct Outcome {
    ended: Vec<Ended>,
    /// Transaction and place in it of each record seen, by partition, in order.
    seen: BTreeMap<i32, Vec<(usize, usize)>>,
    offset: Option<i64>,
}

/// Runs one seed; panics when a rule is broken.
pub(crate) fn run(seed: u64) -> Outcome {
    let outcome = crate::simulate(seed, world(Plan::draw(seed)));
    outcome.check();
    outcome
}

impl Outcome {
    pub(crate) fn committed(&self) -> usize {
        self.ended.iter().filter(|ended| ended.fate == Fate::Committed).count()
    }

    fn check(&self) {
        let seen_of: BTreeSet<usize> = self.seen.values().flatten().map(|(transaction, _)| *transaction).collect();
        let mut expected: BTreeMap<i32, Vec<(usize, usize)>> = BTreeMap::new();
        let mut offset = None;
        for (number, ended) in self.ended.iter().enumerate() {
            let counts = match ended.fate {
                Fate::Committed => true,
                Fate::Aborted => false,
                Fate::Unknown => seen_of.contains(&number),
            };
            if !counts {
                continue;
            }
            for (place, partition) in ended.sent.iter().enumerate() {
                expected.entry(*partition).or_default().push((number, place));
            }
            if ended.with_offset {
                offset = i64::try_from(number).ok();
            }
        }
        assert_eq!(self.seen, expected, "what is seen is what was committed: {:#?}", self.ended);
        assert_eq!(self.offset, offset, "the offset is that of the last transaction committed: {:#?}", self.ended);
    }
}

async fn world(plan: Plan) -> Outcome {
    let options = BrokerOptions::default()
        .without_sockets()
        .with_nodes(plan.nodes)
        .with_seed(plan.seed)
        .with_clock_start_ms(START_MS)
        .with_transaction_version(plan.level)
        .with_transaction_marker_delay_ms(plan.marker_delay_ms);
    let broker = Broker::start(options).await.unwrap();
    broker.create_topic(TOPIC, plan.partitions, &[]).await.unwrap();
    broker.faults().reseed(plan.seed);
    for fault in &plan.faults {
        broker.faults().add(fault.clone());
    }
    let settled = async {
        let client = connect(client_options(&broker)).await;
        let producing = async {
            let mut producer = register(&client, &plan).await;
            let ended = produce(&mut producer, &plan).await;
            (producer, ended)
        };
        let ((mut producer, ended), ()) = tokio::join!(producing, disturb(&broker, &plan.disturbances));
        broker.faults().clear();
        // Decides what is undecided.
        begin(&mut producer).await.abort().await.unwrap();
        let seen = read(&broker, &plan).await;
        let committed = client.group(GROUP).committed_all().await.unwrap();
        let offset = committed.get(&TopicPartition::new(TOPIC, 0)).map(|position| position.offset);
        Outcome { ended, seen, offset }
    };
    timeout(RUN_MAX, settled).await.expect("the run comes to its end")
}

async fn register(client: &Client, plan: &Plan) -> TransactionalProducer {
    let producer =
        ProducerOptions { batch_bytes_max: plan.batch_bytes_max, linger_ms: 1, ..ProducerOptions::default() };
    // No transaction may run into the coordinator's own timeout: that is a fence.
    let transaction_timeout_ms = u32::try_from(RUN_MAX.as_millis()).unwrap();
    let options = TransactionalOptions { producer, transaction_timeout_ms, ..TransactionalOptions::new("tx") };
    loop {
        match client.transactional_producer(options.clone()).await {
            Ok(producer) => return producer,
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Begins the next transaction, however often that takes.
async fn begin(producer: &mut TransactionalProducer) -> Transaction<'_> {
    loop {
        match producer.begin().await {
            Ok(empty) => break empty.commit().await.unwrap(),
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    producer.begin().await.unwrap()
}

async fn produce(producer: &mut TransactionalProducer, plan: &Plan) -> Vec<Ended> {
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut all = Vec::new();
    for number in 0..plan.transactions {
        let transaction = begin(producer).await;
        let mut sent = Vec::new();
        for place in 0..random.u32(1..=plan.records_max) {
            let (partition, value) = (random.i32(0..plan.partitions), format!("{number} {place}"));
            let record = ProduceRecord {
                topic: TOPIC,
                partition: Some(partition),
                value: Some(value.as_bytes()),
                timestamp: Some(START_MS),
                ..ProduceRecord::default()
            };
            match transaction.send(record).await {
                Ok(delivery) => drop(delivery),
                Err(error) => refuse_fence(&error),
            }
            sent.push(partition);
            if random.u8(0..10) == 0 {
                sleep(Duration::from_millis(random.u64(0..100))).await;
            }
        }
        let with_offset = random.bool() && send_offset(&transaction, number).await;
        let fate = match random.u8(0..4) {
            0 => {
                if let Err(error) = transaction.abort().await {
                    refuse_fence(&error);
                }
                Fate::Aborted
            }
            1 => {
                drop(transaction);
                Fate::Aborted
            }
            _ => match transaction.commit().await {
                Ok(()) => Fate::Committed,
                Err(error) if error.is_outcome_unknown() => Fate::Unknown,
                Err(error) => {
                    assert!(matches!(error, Error::TransactionMustAbort { .. }), "{error}");
                    Fate::Aborted
                }
            },
        };
        all.push(Ended { fate, sent, with_offset });
    }
    all
}

fn refuse_fence(error: &Error) {
    assert!(!matches!(error, Error::ProducerFenced { .. }), "{error}");
}

async fn send_offset(transaction: &Transaction<'_>, number: u32) -> bool {
    let group =
        GroupMetadata { group_id: GROUP.to_owned(), generation: -1, member_id: String::new(), group_instance_id: None };
    let offsets = [(TopicPartition::new(TOPIC, 0), OffsetAndMetadata::new(i64::from(number)))];
    let sent = transaction.send_offsets(&offsets, &group).await;
    sent.inspect_err(refuse_fence).is_ok()
}

/// What a new client reads of committed records, once no transaction is open any more.
async fn read(broker: &BrokerHandle, plan: &Plan) -> BTreeMap<i32, Vec<(usize, usize)>> {
    let client = connect(client_options(broker)).await;
    let wanted: Vec<_> =
        (0..plan.partitions).map(|index| (TopicPartition::new(TOPIC, index), OffsetSpec::Latest)).collect();
    let ends = loop {
        let stable = client.list_offsets(&wanted, Isolation::ReadCommitted).await.unwrap();
        let written = client.list_offsets(&wanted, Isolation::ReadUncommitted).await.unwrap();
        if stable.iter().all(|(partition, listed)| {
            written.iter().any(|(of, other)| (of, other.offset) == (partition, listed.offset))
        }) {
            break stable;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(wanted.iter().map(|(partition, _)| (partition.clone(), 0)));
    let (mut seen, mut decompressor) = (BTreeMap::new(), Decompressor::new(1 << 20));
    while !ends.iter().all(|(partition, end)| consumer.position(partition).is_some_and(|at| at >= end.offset)) {
        let fetched = consumer.next().await.unwrap();
        let of_partition: &mut Vec<_> = seen.entry(fetched.tp.partition).or_default();
        for batch in &fetched.batches {
            for record in batch.records(&mut decompressor).unwrap().iter() {
                let value = String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap();
                let (transaction, place) = value.split_once(' ').unwrap();
                of_partition.push((transaction.parse().unwrap(), place.parse().unwrap()));
            }
        }
    }
    seen.retain(|_, records| !records.is_empty());
    seen
}
