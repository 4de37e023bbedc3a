//! Runs of a consumer group, under both protocols: members come, work, commit, change what they read and go, in good
//! and bad ways, while partitions are added and requests fail. The rules are in [`history`].

mod history;
mod member;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_client::TopicPartition;
use kanat_protocol::batch::{BatchBuilder, BatchOptions};
use kanat_protocol::compression::{Compression, Compressor};
use tokio::time::{Instant, sleep, timeout};

use self::history::History;
pub(crate) use self::history::Tally;
use self::member::{GROUP, Process};
pub(crate) use self::plan::Plan;
use self::plan::{Disturbance, End, TOPICS};
use crate::world::{RUN_MAX, START_MS, client_options, connect};

/// When nothing goes wrong any more, every partition has an owner who has processed all of it by then.
const SETTLED_MAX: Duration = Duration::from_secs(60);
/// For so long nothing may change after that.
const STEADY: Duration = Duration::from_secs(6);

/// Runs one seed; panics when a rule is broken.
pub(crate) fn run(seed: u64) -> Tally {
    crate::simulate(seed, world(Plan::draw(seed)))
}

async fn world(plan: Plan) -> Tally {
    let broker = start_broker(&plan).await;
    let history = Arc::new(History::new(plan.kind));
    for (topic, count) in TOPICS.iter().zip(plan.partitions) {
        broker.create_topic(topic, count, &[]).await.unwrap();
        (0..count).for_each(|partition| history.added(TopicPartition::new(*topic, partition)));
    }
    broker.faults().reseed(plan.seed);
    for fault in &plan.faults {
        broker.faults().add(fault.clone());
    }
    let run = async {
        let places: Vec<_> = (0..plan.members.len()).map(|place| live(place, &plan, &broker, &history)).collect();
        let (survivors, ()) = tokio::join!(all(places), disturb(&broker, &plan, &history));
        broker.faults().clear();
        settle(&history).await;
        for survivor in survivors.into_iter().flatten() {
            survivor.end(End::Leave).await;
        }
        let client = connect(client_options(&broker)).await;
        let committed = client.group(GROUP).committed_all().await.unwrap();
        let committed: BTreeMap<_, _> = committed.into_iter().map(|(name, position)| (name, position.offset)).collect();
        history.check(&committed);
    };
    timeout(RUN_MAX, run).await.expect("the run comes to its end");
    history.tally()
}

/// Waits for all of these, which run side by side.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in running.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

async fn start_broker(plan: &Plan) -> BrokerHandle {
    let mut options = BrokerOptions::default()
        .without_sockets()
        .with_nodes(plan.nodes)
        .with_seed(plan.seed)
        .with_clock_start_ms(START_MS)
        .with_group_initial_rebalance_delay_ms(plan.rebalance_delay_ms)
        .with_consumer_group_times(i32::try_from(plan.heartbeat_ms).unwrap(), u64::from(plan.session_ms))
        // A group that is forgotten begins with its first generation again.
        .with_maintenance_interval_ms(3_600_000);
    options.auto_create_topics = false;
    Broker::start(options).await.unwrap()
}

/// The lives of one place, one after the other. The one that lives on is returned.
async fn live(place: usize, plan: &Plan, broker: &BrokerHandle, history: &Arc<History>) -> Option<Process> {
    for life in &plan.members[place] {
        sleep(life.begins_after).await;
        let process = Process::start(place, life.clone(), plan, broker, history);
        let Some((after, end)) = life.end else { return Some(process) };
        sleep(after).await;
        process.end(end).await;
    }
    None
}

async fn disturb(broker: &BrokerHandle, plan: &Plan, history: &History) {
    for (wait, disturbance) in &plan.disturbances {
        sleep(*wait).await;
        crate::trace::note(|| format!("{disturbance:?}"));
        match *disturbance {
            // Refused while that node is down.
            Disturbance::MoveLeader { topic, partition, to } => {
                drop(broker.move_leader(TOPICS[topic], partition, to).await);
            }
            Disturbance::MoveCoordinator { to } => drop(broker.move_group_coordinator(GROUP, to)),
            Disturbance::RestartNode { node, down } => {
                broker.stop_node(node).await.unwrap();
                sleep(down).await;
                broker.start_node(node).await.unwrap();
            }
            Disturbance::AddPartitions { topic, count } => {
                // Members may have them before the answer is here.
                (0..count).for_each(|partition| history.added(TopicPartition::new(TOPICS[topic], partition)));
                let client = connect(client_options(broker)).await;
                client.admin().create_partitions(TOPICS[topic], count).await.unwrap();
            }
            Disturbance::Write { topic, partition, records } => {
                let mut builder = BatchBuilder::new(BatchOptions::default());
                for _ in 0..records {
                    builder.append(START_MS, None, Some(b"work"), &[]).unwrap();
                }
                let batch = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
                let base_offsets = broker.append_batches(TOPICS[topic], partition, batch).await.unwrap();
                let end = base_offsets[0] + i64::try_from(records).unwrap();
                history.written(&TopicPartition::new(TOPICS[topic], partition), end);
            }
        }
    }
}

/// Waits until every partition has its owner and everything is processed, and that it stays so.
async fn settle(history: &History) {
    let began = Instant::now();
    loop {
        if let Some(violation) = history.violation() {
            panic!("{violation}");
        }
        let changes = history.changes();
        match history.unsettled() {
            None => {
                sleep(STEADY).await;
                if history.changes() == changes {
                    return;
                }
            }
            Some(why) => {
                assert!(began.elapsed() < SETTLED_MAX, "after {SETTLED_MAX:?} without trouble: {why}");
                sleep(Duration::from_millis(250)).await;
            }
        }
        assert!(began.elapsed() < 2 * SETTLED_MAX, "ownership goes on to change although nothing else does");
    }
}
