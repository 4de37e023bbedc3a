//! Group consumers against the embedded broker: joining, leaving, crashing, stalling, and what is committed when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{client, decode, fill, within};
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, FaultAction, FaultRule};
use kanat_client::{
    Assignor, Client, CooperativeStickyAssignor, Error, GroupConsumer, GroupEvent, GroupOptions, GroupProtocol,
    GroupStart, OffsetAndMetadata, RangeAssignor, RoundRobinAssignor, StickyAssignor, Subscription, TopicPartition,
};
use kanat_protocol::messages::ApiKey;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const TOPIC: &str = "t";

async fn broker() -> BrokerHandle {
    brokers(1, 6_000).await
}

/// Nodes that expect a heartbeat of the consumer protocol every 50 ms.
async fn brokers(nodes: i32, session_timeout_ms: u64) -> BrokerHandle {
    // The records' timestamps are long past; retention would delete them under the test's feet.
    let options = BrokerOptions::default()
        .with_nodes(nodes)
        .with_auto_create_topics(false)
        .with_topic_default("retention.ms", "-1")
        .with_consumer_group_times(50, session_timeout_ms);
    Broker::start(options).await.unwrap()
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

/// Options with short times, so that nothing waits for long.
fn group(protocol: GroupProtocol) -> GroupOptions {
    GroupOptions::new("g", [TOPIC])
        .with_protocol(protocol)
        .with_session_timeout_ms(6_000)
        .with_heartbeat_interval_ms(50)
        .with_topics_refresh_ms(100)
}

fn classic() -> GroupOptions {
    group(GroupProtocol::Classic)
}

/// The coordinator decides (KIP-848).
fn modern() -> GroupOptions {
    group(GroupProtocol::Consumer)
}

fn with_assignor(assignor: Arc<dyn Assignor>) -> GroupOptions {
    classic().with_assignors([assignor])
}

/// What all members of a test did, and the checks on it.
#[derive(Debug, Default)]
struct History {
    owners: HashMap<TopicPartition, String>,
    /// How often each record was processed, by partition and offset.
    processed: BTreeMap<(i32, i64), usize>,
    violations: Vec<String>,
}

impl History {
    fn assigned(&mut self, member: &str, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(other) = self.owners.insert(partition.clone(), member.to_owned()) {
                self.violations.push(format!("{partition} went to {member} while {other} had it"));
            }
        }
    }

    fn released(&mut self, member: &str, partitions: &[TopicPartition]) {
        for partition in partitions {
            if self.owners.get(partition).is_some_and(|owner| owner == member) {
                self.owners.remove(partition);
            }
        }
    }

    fn process(&mut self, member: &str, partition: &TopicPartition, offsets: impl Iterator<Item = i64>) {
        if self.owners.get(partition).is_none_or(|owner| owner != member) {
            self.violations.push(format!("{member} got records of {partition}, which is not its own"));
        }
        for offset in offsets {
            *self.processed.entry((partition.partition, offset)).or_default() += 1;
        }
    }

    fn check(&self) {
        assert_eq!(self.violations, [] as [String; 0]);
        let doubled: Vec<_> = self.processed.iter().filter(|(_, times)| **times != 1).collect();
        assert!(doubled.is_empty(), "processed more than once: {doubled:?}");
    }

    fn count(&self) -> usize {
        self.processed.len()
    }
}

/// A member that works in a task of its own until it is told to stop.
struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<GroupConsumer>,
}

impl Worker {
    fn start(name: &'static str, consumer: GroupConsumer, history: &Arc<Mutex<History>>) -> Worker {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(work(name, consumer, Arc::clone(history), stopped));
        Worker { stop, task }
    }

    /// Stops working and hands the consumer out, still a member.
    async fn stop(self) -> GroupConsumer {
        self.stop.send_replace(true);
        within("worker", self.task).await.unwrap()
    }

    async fn close(self, name: &str, history: &Arc<Mutex<History>>) {
        let consumer = self.stop().await;
        let owned: Vec<TopicPartition> = history.lock().owners.keys().cloned().collect();
        history.lock().released(name, &owned);
        within("close", consumer.close()).await.unwrap();
    }
}

async fn work(
    name: &'static str,
    mut consumer: GroupConsumer,
    history: Arc<Mutex<History>>,
    mut stopped: watch::Receiver<bool>,
) -> GroupConsumer {
    loop {
        let event = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return consumer,
            event = consumer.next() => event.unwrap(),
        };
        match event {
            GroupEvent::Fetched(fetched) => {
                let offsets = decode(&fetched).into_iter().map(|(offset, _)| offset);
                history.lock().process(name, &fetched.tp, offsets);
            }
            GroupEvent::Assigned(partitions) => history.lock().assigned(name, &partitions),
            GroupEvent::Revoked(revocation) => {
                history.lock().released(name, revocation.partitions());
                revocation.release();
            }
            GroupEvent::Lost(partitions) => history.lock().released(name, &partitions),
        }
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(what, waiting).await;
}

/// Waits for the next event that is not records.
async fn next_change(consumer: &mut GroupConsumer) -> GroupEvent {
    loop {
        match within("event", consumer.next()).await.unwrap() {
            GroupEvent::Fetched(_) => {}
            event => return event,
        }
    }
}

async fn next_assigned(consumer: &mut GroupConsumer) -> Vec<TopicPartition> {
    match next_change(consumer).await {
        GroupEvent::Assigned(partitions) => partitions,
        other => panic!("expected an assignment, got {other:?}"),
    }
}

async fn next_fetched(consumer: &mut GroupConsumer) -> kanat_client::Fetched {
    loop {
        if let GroupEvent::Fetched(fetched) = within("records", consumer.next()).await.unwrap() {
            return fetched;
        }
    }
}

/// One member, then two, then the first leaves: with commits on revocation and on close every record is processed
/// exactly once, and no partition has two owners.
async fn members_come_and_go(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 6, &[]).await.unwrap();
    let client = client(&broker).await;
    let options = options.with_auto_commit_interval_ms(20);
    let history = Arc::new(Mutex::new(History::default()));
    let write = async || {
        for partition in 0..6 {
            fill(&client, TOPIC, partition, 50, 5).await;
        }
    };
    write().await;
    let first = Worker::start("first", client.group_consumer(options.clone()).unwrap(), &history);
    until("first records", || history.lock().count() == 300).await;
    let second = Worker::start("second", client.group_consumer(options).unwrap(), &history);
    write().await;
    let shared = |history: &History| {
        let of = |name: &str| history.owners.values().filter(|owner| *owner == name).count();
        (of("first"), of("second")) == (3, 3)
    };
    until("both work", || shared(&history.lock())).await;
    write().await;
    until("records of both", || history.lock().count() == 900).await;
    first.close("first", &history).await;
    write().await;
    until("the second has everything", || {
        let history = history.lock();
        history.count() == 1200 && history.owners.values().all(|owner| owner == "second")
    })
    .await;
    second.close("second", &history).await;
    history.lock().check();
    let committed = client.group("g").committed_all().await.unwrap();
    assert_eq!(committed.len(), 6);
    assert!(committed.values().all(|position| position.offset == 200), "{committed:?}");
    assert_eq!(client.group("g").describe().await.unwrap().members, [], "both left at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn cooperative_members_come_and_go() {
    members_come_and_go(classic()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn range_members_come_and_go() {
    members_come_and_go(with_assignor(Arc::new(RangeAssignor))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_members_come_and_go() {
    members_come_and_go(with_assignor(Arc::new(RoundRobinAssignor))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sticky_members_come_and_go() {
    members_come_and_go(with_assignor(Arc::new(StickyAssignor))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_consumer_protocol_come_and_go() {
    members_come_and_go(modern()).await;
}

/// A cooperative member keeps what stays, and what was fetched ahead of it.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_moves_is_revoked() {
    for options in [classic(), modern()] {
        one_of_two_moves(options).await;
    }
}

async fn one_of_two_moves(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 4, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut first = client.group_consumer(options.clone()).unwrap();
    assert_eq!(next_assigned(&mut first).await.len(), 4);
    let second = client.group_consumer(options.clone()).unwrap();
    let history = Arc::new(Mutex::new(History::default()));
    let second = Worker::start("second", second, &history);
    let GroupEvent::Revoked(revocation) = next_change(&mut first).await else { panic!("a revocation") };
    assert_eq!(revocation.partitions().len(), 2);
    assert_eq!(first.assignment().len(), 2, "the other two are read on");
    assert!(history.lock().owners.is_empty(), "nobody has what is not released");
    revocation.release();
    let polling = tokio::spawn(async move {
        let event = first.next().await;
        panic!("nothing else happens to the first member, but {event:?}");
    });
    until("the second has two", || history.lock().owners.len() == 2).await;
    polling.abort();
    drop(second.stop().await);
}

/// The application commits while it holds the revocation; the next owner goes on exactly there.
#[tokio::test(flavor = "multi_thread")]
async fn work_is_finished_before_release() {
    for options in [with_assignor(Arc::new(RangeAssignor)), classic(), modern()] {
        commit_before_release(options).await;
    }
}

async fn commit_before_release(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 2, &[]).await.unwrap();
    let client = client(&broker).await;
    for partition in 0..2 {
        fill(&client, TOPIC, partition, 10, 10).await;
    }
    let mut first = client.group_consumer(options.clone()).unwrap();
    for _ in 0..2 {
        assert_eq!(next_fetched(&mut first).await.next_offset, 10);
    }
    let mut second = client.group_consumer(options).unwrap();
    let GroupEvent::Revoked(revocation) = next_change(&mut first).await else { panic!("a revocation") };
    let heir = tokio::spawn(async move { next_fetched(&mut second).await });
    // Nothing is committed yet: a group that does not wait has this long to let the second member begin at 0.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let processed = revocation.partitions().iter().map(|partition| (partition.clone(), OffsetAndMetadata::new(7)));
    first.commit_sync(processed).await.unwrap();
    revocation.release();
    let polling = tokio::spawn(async move { while first.next().await.is_ok() {} });
    assert_eq!(within("records of the second member", heir).await.unwrap().first_offset, 7);
    polling.abort();
}

/// The coordinator assigns partitions that this client's metadata does not know yet.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_were_just_added_are_read() {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let (own, other) = (client(&broker).await, client(&broker).await);
    let mut consumer = own.group_consumer(modern()).unwrap();
    assert_eq!(next_assigned(&mut consumer).await, [tp(0)]);
    other.admin().create_partitions(TOPIC, 3).await.unwrap();
    assert_eq!(next_assigned(&mut consumer).await, [tp(1), tp(2)]);
    fill(&other, TOPIC, 2, 10, 10).await;
    let fetched = next_fetched(&mut consumer).await;
    assert_eq!((fetched.tp.clone(), fetched.next_offset), (tp(2), 10));
}

/// An application that holds on to a revocation for longer than it may loses the partitions; the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_held_too_long_ends() {
    for options in [classic(), modern()] {
        let broker = broker().await;
        broker.create_topic(TOPIC, 2, &[]).await.unwrap();
        let client = client(&broker).await;
        let mut first = client.group_consumer(options.clone().with_max_poll_interval_ms(300)).unwrap();
        next_assigned(&mut first).await;
        let history = Arc::new(Mutex::new(History::default()));
        let second = Worker::start("second", client.group_consumer(options).unwrap(), &history);
        let GroupEvent::Revoked(held) = next_change(&mut first).await else { panic!("a revocation") };
        let GroupEvent::Lost(lost) = next_change(&mut first).await else { panic!("the partitions are lost") };
        assert_eq!(lost, held.partitions());
        let polling = Worker::start("first", first, &Arc::new(Mutex::new(History::default())));
        until("the second has it", || history.lock().owners.contains_key(&lost[0])).await;
        drop((held, polling.stop().await, second.stop().await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_released_cannot_be_committed() {
    for options in [classic(), modern()] {
        commit_too_late(options).await;
    }
}

async fn commit_too_late(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 2, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut first = client.group_consumer(options.clone()).unwrap();
    next_assigned(&mut first).await;
    let history = Arc::new(Mutex::new(History::default()));
    let second = Worker::start("second", client.group_consumer(options.clone()).unwrap(), &history);
    let GroupEvent::Revoked(revocation) = next_change(&mut first).await else { panic!("a revocation") };
    let gone = revocation.partitions()[0].clone();
    first.commit_sync([(gone.clone(), OffsetAndMetadata::new(0))]).await.unwrap();
    revocation.release();
    let polling = tokio::spawn(async move {
        let committer = first.committer();
        let first = Worker::start("first", first, &Arc::new(Mutex::new(History::default())));
        (committer, first)
    });
    let (committer, first) = polling.await.unwrap();
    until("the second has it", || history.lock().owners.contains_key(&gone)).await;
    let refused = committer.commit_sync([(gone.clone(), OffsetAndMetadata::new(1))]).await.unwrap_err();
    assert!(matches!(refused, Error::NotAssigned { .. }), "{refused}");
    drop((first.stop().await, second.stop().await));
}

/// A process that dies says nothing: its session ends, and another member goes on at its last commit.
#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_crashed_member_go_to_another() {
    crash(classic().with_session_timeout_ms(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_crashed_member_of_the_consumer_protocol_go_to_another() {
    crash(modern()).await;
}

async fn crash(options: GroupOptions) {
    let broker = brokers(1, 300).await;
    broker.create_topic(TOPIC, 2, &[]).await.unwrap();
    let client = client(&broker).await;
    fill(&client, TOPIC, 0, 10, 10).await;
    let doomed_options = options.clone();
    let bootstrap = broker.bootstrap();
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let consumer = runtime.block_on(async {
            let client = Client::connect(crate::common::options(&bootstrap)).await.unwrap();
            let mut consumer = client.group_consumer(doomed_options).unwrap();
            let fetched = next_fetched(&mut consumer).await;
            let half = OffsetAndMetadata::new(4);
            consumer.commit_sync([(fetched.tp.clone(), half)]).await.unwrap();
            consumer
        });
        // Nothing runs any more when the consumer is dropped: it can say no goodbye.
        runtime.shutdown_background();
        drop(consumer);
    });
    process.join().unwrap();
    let mut heir = client.group_consumer(options).unwrap();
    let fetched = next_fetched(&mut heir).await;
    assert_eq!(fetched.first_offset, 4);
}

/// A static member that comes back within its session gets its partitions back, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_restarts_without_a_rebalance() {
    for options in [classic(), modern()] {
        static_restart(options).await;
    }
}

async fn static_restart(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 4, &[]).await.unwrap();
    let client = client(&broker).await;
    let named = || options.clone().with_instance_id("i1").with_auto_commit_interval_ms(50);
    let history = Arc::new(Mutex::new(History::default()));
    let one = Worker::start("one", client.group_consumer(named()).unwrap(), &history);
    let two = Worker::start("two", client.group_consumer(options.clone()).unwrap(), &history);
    let of = |name: &str| {
        let mut owned: Vec<TopicPartition> = history
            .lock()
            .owners
            .iter()
            .filter(|(_, owner)| *owner == name)
            .map(|(partition, _)| partition.clone())
            .collect();
        owned.sort();
        owned
    };
    until("both work", || of("one").len() == 2 && of("two").len() == 2).await;
    let (before, bystander) = (of("one"), of("two"));
    let consumer = one.stop().await;
    let generation = consumer.group_metadata().generation;
    within("close", consumer.close()).await.unwrap();
    history.lock().owners.retain(|_, owner| owner != "one");
    let mut again = client.group_consumer(named()).unwrap();
    let mut assigned = next_assigned(&mut again).await;
    assigned.sort();
    assert_eq!(assigned, before);
    assert_eq!(again.group_metadata().generation, generation, "no rebalance");
    assert_eq!(of("two"), bystander);
    drop(two.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_cannot_share_an_instance_id() {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut first = client.group_consumer(classic().with_instance_id("i1")).unwrap();
    next_assigned(&mut first).await;
    let mut second = client.group_consumer(classic().with_instance_id("i1")).unwrap();
    next_assigned(&mut second).await;
    assert!(matches!(next_change(&mut first).await, GroupEvent::Lost(_)));
    let error = within("fencing", first.next()).await.unwrap_err();
    assert!(error.to_string().contains("FENCED_INSTANCE_ID"), "{error}");
    assert!(matches!(first.next().await.unwrap_err(), Error::Closed { .. }));
}

/// Under the consumer protocol the newcomer waits for the other to go.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_id_in_use_is_waited_for() {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut first = client.group_consumer(modern().with_instance_id("i1")).unwrap();
    next_assigned(&mut first).await;
    let mut second = client.group_consumer(modern().with_instance_id("i1")).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), second.next()).await.is_err());
    within("close", first.close()).await.unwrap();
    assert_eq!(next_assigned(&mut second).await, [tp(0)]);
}

/// The node that coordinates the group goes away: members find the next one and stay members.
#[tokio::test(flavor = "multi_thread")]
async fn the_group_outlives_its_coordinator() {
    for options in [classic(), modern()] {
        coordinator_stops(options).await;
    }
}

async fn coordinator_stops(options: GroupOptions) {
    let broker = brokers(3, 6_000).await;
    broker.create_topic(TOPIC, 3, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut consumer = client.group_consumer(options).unwrap();
    next_assigned(&mut consumer).await;
    let generation = consumer.group_metadata().generation;
    let coordinator = broker.group_coordinator("g").unwrap();
    broker.stop_node(coordinator).await.unwrap();
    consumer.commit_sync([(tp(0), OffsetAndMetadata::new(3))]).await.unwrap();
    assert_ne!(broker.group_coordinator("g"), Some(coordinator));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(consumer.group_metadata().generation, generation);
    assert_eq!(consumer.committed(&[tp(0)]).await.unwrap()[&tp(0)].offset, 3);
}

/// Whoever does not come back leaves the group until it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_application_loses_its_partitions() {
    for options in [classic(), modern()] {
        stuck(options).await;
    }
}

async fn stuck(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 2, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut slow = client.group_consumer(options.clone().with_max_poll_interval_ms(200)).unwrap();
    assert_eq!(next_assigned(&mut slow).await.len(), 2);
    let history = Arc::new(Mutex::new(History::default()));
    let quick = Worker::start("quick", client.group_consumer(options).unwrap(), &history);
    until("the other member has everything", || history.lock().owners.len() == 2).await;
    let refused = slow.commit_sync([(tp(0), OffsetAndMetadata::new(0))]).await.unwrap_err();
    assert!(matches!(refused, Error::NotAssigned { .. }), "{refused}");
    let GroupEvent::Lost(lost) = next_change(&mut slow).await else { panic!("the partitions are lost") };
    assert_eq!(lost.len(), 2);
    assert_eq!(next_assigned(&mut slow).await.len(), 1, "it is a member again");
    drop(quick.stop().await);
}

/// A member the coordinator does not hear learns from its commit that it is none any more.
#[tokio::test(flavor = "multi_thread")]
async fn the_commit_of_a_zombie_is_refused_and_its_partitions_are_lost() {
    for options in [classic().with_session_timeout_ms(300), modern()] {
        zombie(options).await;
    }
}

async fn zombie(options: GroupOptions) {
    let broker = brokers(1, 300).await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let zombie_client =
        Client::connect(crate::common::options(&broker.bootstrap()).with_client_id("zombie")).await.unwrap();
    let mut zombie = zombie_client.group_consumer(options.clone()).unwrap();
    next_assigned(&mut zombie).await;
    for api in [ApiKey::Heartbeat, ApiKey::ConsumerGroupHeartbeat] {
        broker.faults().add(FaultRule::new(FaultAction::DropBefore).on(api).client("zombie"));
    }
    let mut heir = client.group_consumer(options).unwrap();
    assert_eq!(next_assigned(&mut heir).await, [tp(0)]);
    let refused = zombie.commit_sync([(tp(0), OffsetAndMetadata::new(1))]).await.unwrap_err();
    assert!(refused.to_string().contains("UNKNOWN_MEMBER_ID"), "{refused}");
    assert!(matches!(next_change(&mut zombie).await, GroupEvent::Lost(lost) if lost == [tp(0)]));
    assert!(heir.committed(&[tp(0)]).await.unwrap().is_empty());
}

/// Commits reach the coordinator in order, whatever has to be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_commit_is_never_overtaken() {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut consumer = client.group_consumer(classic()).unwrap();
    next_assigned(&mut consumer).await;
    let faults = broker.faults();
    let actions = [FaultAction::DropBefore, FaultAction::Error(kanat_protocol::ErrorCode::CoordinatorLoadInProgress)];
    for action in actions {
        faults.add(FaultRule::new(action).on(ApiKey::OffsetCommit).probability(0.4).times(20));
    }
    let mut last = None;
    for offset in 1..=200 {
        last = Some(consumer.commit([(tp(0), OffsetAndMetadata::new(offset))]));
        if offset % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    within("commits", last.unwrap()).await.unwrap();
    assert_eq!(consumer.committed(&[tp(0)]).await.unwrap()[&tp(0)].offset, 200);
}

/// Only what the application came back from is committed by itself.
#[tokio::test(flavor = "multi_thread")]
async fn automatic_commits_follow_the_application() {
    for options in [classic(), modern()] {
        automatic(options).await;
    }
}

async fn automatic(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    fill(&client, TOPIC, 0, 10, 10).await;
    let mut consumer = client.group_consumer(options.with_auto_commit_interval_ms(10)).unwrap();
    assert_eq!(next_fetched(&mut consumer).await.next_offset, 10);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(consumer.committed(&[tp(0)]).await.unwrap().is_empty(), "the application is not back yet");
    // Coming back is enough, there need not be anything new.
    assert!(tokio::time::timeout(Duration::from_millis(100), consumer.next()).await.is_err());
    assert_eq!(consumer.committed(&[tp(0)]).await.unwrap()[&tp(0)].offset, 10);
    fill(&client, TOPIC, 0, 5, 5).await;
    assert_eq!(next_fetched(&mut consumer).await.next_offset, 15);
    within("close", consumer.close()).await.unwrap();
    assert_eq!(client.group("g").committed(&[tp(0)]).await.unwrap()[&tp(0)].offset, 15, "close comes back too");
}

async fn grow(client: &Client, broker: &BrokerHandle, group: &str, options: GroupOptions) {
    let topic = |number: u32| format!("{group}-{number}");
    let options = GroupOptions {
        group_id: group.to_owned(),
        subscription: Subscription::Regex(format!("{group}-.*")),
        ..options
    };
    broker.create_topic(&format!("other-{}", topic(1)), 1, &[]).await.unwrap();
    broker.create_topic(&topic(1), 1, &[]).await.unwrap();
    let mut consumer = client.group_consumer(options).unwrap();
    assert_eq!(next_assigned(&mut consumer).await, [TopicPartition::new(topic(1), 0)]);
    broker.create_topic(&topic(2), 2, &[]).await.unwrap();
    let mut seen: HashSet<TopicPartition> = HashSet::new();
    while seen.len() < 2 {
        seen.extend(next_assigned(&mut consumer).await);
    }
    assert!(seen.iter().all(|partition| *partition.topic == *topic(2)), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_picks_up_new_topics() {
    let broker = broker().await;
    let client = client(&broker).await;
    for (group, options) in [("classic", classic()), ("modern", modern())] {
        grow(&client, &broker, group, options).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_yet_is_picked_up() {
    let broker = broker().await;
    let client = client(&broker).await;
    let mut consumer = client.group_consumer(classic()).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), consumer.next()).await.is_err());
    broker.create_topic(TOPIC, 2, &[]).await.unwrap();
    assert_eq!(next_assigned(&mut consumer).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_subscription_takes_over() {
    for options in [classic(), modern()] {
        resubscribe(options).await;
    }
}

async fn resubscribe(options: GroupOptions) {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    broker.create_topic("u", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut consumer = client.group_consumer(options).unwrap();
    assert_eq!(next_assigned(&mut consumer).await, [tp(0)]);
    consumer.subscribe(["u"]).unwrap();
    assert!(matches!(next_change(&mut consumer).await, GroupEvent::Revoked(gone) if gone.partitions() == [tp(0)]));
    assert_eq!(next_assigned(&mut consumer).await, [TopicPartition::new("u", 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_commit_the_options_say_where_to_start() {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    fill(&client, TOPIC, 0, 4, 4).await;
    let starts = [
        (GroupStart::Earliest, Some(0)),
        (GroupStart::Latest, Some(4)),
        (GroupStart::Timestamp(0), Some(0)),
        (GroupStart::Timestamp(i64::MAX), Some(4)),
        (GroupStart::Error, None),
    ];
    for (index, (start, expected)) in starts.into_iter().enumerate() {
        let mut options = classic().with_start(start);
        options.group_id = format!("g{index}");
        let mut consumer = client.group_consumer(options).unwrap();
        next_assigned(&mut consumer).await;
        assert_eq!(consumer.position(&tp(0)), expected, "{start:?}");
        if expected.is_none() {
            let error = within("refusal", consumer.next()).await.unwrap_err();
            assert!(matches!(error, Error::NoCommittedOffset { .. }), "{error}");
            consumer.seek(&tp(0), 2).unwrap();
            assert_eq!(next_fetched(&mut consumer).await.first_offset, 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_without_a_common_assignor_do_not_mix() {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut first =
        client.group_consumer(classic().with_assignors([Arc::new(CooperativeStickyAssignor) as _])).unwrap();
    next_assigned(&mut first).await;
    let mut second = client.group_consumer(with_assignor(Arc::new(RangeAssignor))).unwrap();
    let error = within("refusal", second.next()).await.unwrap_err();
    assert!(error.to_string().contains("INCONSISTENT_GROUP_PROTOCOL"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_partition_rests_and_stays() {
    let broker = broker().await;
    broker.create_topic(TOPIC, 1, &[]).await.unwrap();
    let client = client(&broker).await;
    let mut consumer = client.group_consumer(classic()).unwrap();
    next_assigned(&mut consumer).await;
    consumer.pause(&tp(0)).unwrap();
    fill(&client, TOPIC, 0, 3, 3).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), consumer.next()).await.is_err());
    consumer.resume(&tp(0)).unwrap();
    assert_eq!(next_fetched(&mut consumer).await.next_offset, 3);
}
