//! Consumer groups on real Kafka: members of three makes in one group, and a group on a cluster whose nodes die in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kanat_client::{
    Assignor, Client, ClientOptions, CooperativeStickyAssignor, GroupConsumer, GroupEvent, GroupOptions, GroupProtocol,
    NewTopic, ProduceRecord, ProducerOptions, RangeAssignor, Subscription,
};
use kanat_tests::{Kafka, peers_dir};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PARTITIONS: i32 = 6;
const PATIENCE: Duration = Duration::from_secs(90);

/// What each member holds, and which records were read by whom.
#[derive(Debug, Default)]
struct Seen {
    held: BTreeMap<&'static str, BTreeSet<i32>>,
    read: BTreeMap<(i32, i64), Vec<&'static str>>,
}

type Shared = Arc<Mutex<Seen>>;

impl Seen {
    fn take(&mut self, member: &'static str, partitions: impl IntoIterator<Item = i32>) {
        self.held.entry(member).or_default().extend(partitions);
    }

    fn give(&mut self, member: &'static str, partitions: impl IntoIterator<Item = i32>) {
        let held = self.held.entry(member).or_default();
        let given: BTreeSet<i32> = partitions.into_iter().collect();
        held.retain(|partition| !given.contains(partition));
    }

    /// Each member holds as many partitions as it should, and together all of them once.
    fn is_shared(&self, counts: &[(&'static str, usize)]) -> bool {
        let counted = counts.iter().all(|(member, count)| self.held.get(member).map_or(0, BTreeSet::len) == *count);
        let all: Vec<i32> = self.held.values().flatten().copied().collect();
        counted && all.len() == all.iter().collect::<BTreeSet<_>>().len()
    }
}

async fn until(what: &str, seen: &Shared, mut condition: impl FnMut(&Seen) -> bool) {
    let started = Instant::now();
    while !condition(&seen.lock().unwrap()) {
        assert!(started.elapsed() < PATIENCE, "{what}: {:?}", seen.lock().unwrap().held);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A member of another make, as a child process that tells what it does.
struct Foreign {
    child: Child,
    name: &'static str,
    seen: Shared,
}

impl Foreign {
    fn start(name: &'static str, mut command: Command, seen: &Shared) -> Foreign {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = Arc::clone(seen);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut words = line.split(' ');
                let word = words.next().unwrap_or_default();
                let numbers: Vec<i64> = words.map(|number| number.parse().unwrap()).collect();
                let partitions = || numbers.iter().map(|number| i32::try_from(*number).unwrap());
                let mut seen = told.lock().unwrap();
                match word {
                    "takes" => seen.take(name, partitions()),
                    "gives" => seen.give(name, partitions()),
                    _ => {
                        let place = (i32::try_from(numbers[0]).unwrap(), numbers[1]);
                        seen.read.entry(place).or_default().push(name);
                    }
                }
            }
        });
        Foreign { child, name, seen: Arc::clone(seen) }
    }

    /// Tells it to close and waits until it has.
    fn close(mut self) {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(self.child.wait().unwrap().success(), "{} closes", self.name);
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.seen.lock().unwrap().held.remove(self.name);
    }
}

/// A member of ours in a task.
struct Ours {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Ours {
    fn start(name: &'static str, mut consumer: GroupConsumer, seen: &Shared) -> Ours {
        let (stop, mut stopped) = watch::channel(false);
        let seen = Arc::clone(seen);
        let task = tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped) => break,
                    event = consumer.next() => event.unwrap(),
                };
                let mut seen = seen.lock().unwrap();
                match event {
                    GroupEvent::Fetched(fetched) => {
                        for offset in fetched.first_offset..fetched.next_offset {
                            seen.read.entry((fetched.tp.partition, offset)).or_default().push(name);
                        }
                    }
                    GroupEvent::Assigned(taken) => seen.take(name, taken.into_iter().map(|tp| tp.partition)),
                    GroupEvent::Revoked(given) => seen.give(name, given.partitions().iter().map(|tp| tp.partition)),
                    GroupEvent::Lost(lost) => seen.give(name, lost.into_iter().map(|tp| tp.partition)),
                }
            }
            seen.lock().unwrap().held.remove(name);
            consumer.close().await.unwrap();
        });
        Ours { stop, task }
    }

    async fn close(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

async fn connect(kafka: &Kafka) -> Client {
    Client::connect(ClientOptions::new(kafka.bootstrap().split(','))).await.unwrap()
}

/// Writes `count` records to every partition and waits for the acknowledgements.
async fn write(client: &Client, topic: &str, partitions: i32, count: usize) {
    let producer = client.producer(ProducerOptions::default()).unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..count {
        for partition in 0..partitions {
            let record = ProduceRecord {
                topic,
                partition: Some(partition),
                key: None,
                value: Some(b"x"),
                headers: [].as_slice(),
                timestamp: None,
            };
            deliveries.push(producer.send(record).await.unwrap());
        }
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

/// Names under which the other makes know a protocol and an assignor.
struct Makes {
    options: GroupOptions,
    protocol: &'static str,
    java: Option<&'static str>,
    librdkafka: Option<&'static str>,
}

/// Three makes share a topic; ours leaves and comes back; all records are read, none by two members.
async fn three_makes_share_a_group(topic: &'static str, makes: Makes) {
    let kafka = Kafka::shared();
    let client = connect(kafka).await;
    client.admin().create_topic(&NewTopic::new(topic, PARTITIONS)).await.unwrap();
    let seen = Shared::default();
    let options = GroupOptions { subscription: Subscription::from([topic]), ..makes.options };
    let options = GroupOptions { group_id: topic.to_owned(), ..options }.with_auto_commit_interval_ms(100);
    let ours = Ours::start("ours", client.group_consumer(options.clone()).unwrap(), &seen);
    until("ours holds everything", &seen, |seen| seen.is_shared(&[("ours", 6)])).await;

    let mut java = Command::new(peers_dir().join("java.sh"));
    java.args(["GroupMember", kafka.bootstrap(), topic, topic, makes.protocol]).args(makes.java);
    let java = Foreign::start("java", java, &seen);
    until("Java joins", &seen, |seen| seen.is_shared(&[("ours", 3), ("java", 3)])).await;
    let mut python = Command::new(peers_dir().join("python.sh"));
    python.arg(peers_dir().join("group_member.py"));
    python.args([kafka.bootstrap(), topic, topic, makes.protocol]).args(makes.librdkafka);
    let python = Foreign::start("librdkafka", python, &seen);
    let all = [("ours", 2), ("java", 2), ("librdkafka", 2)];
    until("all three share", &seen, |seen| seen.is_shared(&all)).await;

    write(&client, topic, PARTITIONS, 20).await;
    until("all three read", &seen, |seen| seen.read.len() == 120).await;
    ours.close().await;
    until("the others take over", &seen, |seen| seen.is_shared(&[("java", 3), ("librdkafka", 3)])).await;
    write(&client, topic, PARTITIONS, 20).await;
    until("the others read", &seen, |seen| seen.read.len() == 240).await;
    // Somebody else leads now, and has to make sense of what our member says.
    let ours = Ours::start("ours", client.group_consumer(options).unwrap(), &seen);
    until("ours comes back", &seen, |seen| seen.is_shared(&all)).await;
    write(&client, topic, PARTITIONS, 20).await;
    until("all three read again", &seen, |seen| seen.read.len() == 360).await;
    if makes.java.is_some() {
        java.kill();
        until("Java dies", &seen, |seen| seen.is_shared(&[("ours", 3), ("librdkafka", 3)])).await;
    } else {
        java.close();
        until("Java leaves", &seen, |seen| seen.is_shared(&[("ours", 3), ("librdkafka", 3)])).await;
    }
    python.close();
    until("ours is left", &seen, |seen| seen.held["ours"].len() == 6).await;
    ours.close().await;
    let doubled: Vec<_> = seen
        .lock()
        .unwrap()
        .read
        .iter()
        .filter(|(_, by)| by.len() > 1)
        .map(|(place, by)| (*place, by.clone()))
        .collect();
    assert!(doubled.is_empty(), "read more than once: {doubled:?}");
}

fn classic(assignor: Arc<dyn Assignor>) -> GroupOptions {
    GroupOptions::new("", [""; 0])
        .with_assignors([assignor])
        .with_session_timeout_ms(6_000)
        .with_heartbeat_interval_ms(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_librdkafka_and_ours_share_a_cooperative_group() {
    let makes = Makes {
        options: classic(Arc::new(CooperativeStickyAssignor)),
        protocol: "classic",
        java: Some("org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
        librdkafka: Some("cooperative-sticky"),
    };
    three_makes_share_a_group("mixed-cooperative", makes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_librdkafka_and_ours_share_a_range_group() {
    let makes = Makes {
        options: classic(Arc::new(RangeAssignor)),
        protocol: "classic",
        java: Some("org.apache.kafka.clients.consumer.RangeAssignor"),
        librdkafka: Some("range"),
    };
    three_makes_share_a_group("mixed-range", makes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_librdkafka_and_ours_share_a_group_of_the_consumer_protocol() {
    let options = GroupOptions::new("", [""; 0]).with_protocol(GroupProtocol::Consumer);
    let makes = Makes { options, protocol: "consumer", java: None, librdkafka: None };
    three_makes_share_a_group("mixed-consumer", makes).await;
}

/// Both protocols pick up a topic that starts to match, and partitions that are added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_and_expansions_are_picked_up() {
    let client = connect(Kafka::shared()).await;
    for (name, protocol) in [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)] {
        let topic = |number: u32| format!("grows-{name}-{number}");
        client.admin().create_topic(&NewTopic::new(topic(1), 1)).await.unwrap();
        let options = GroupOptions::new(format!("grows-{name}"), Subscription::Regex(format!("grows-{name}-.*")))
            .with_protocol(protocol)
            .with_topics_refresh_ms(300);
        let mut consumer = client.group_consumer(options).unwrap();
        let mut held = BTreeSet::new();
        let mut hold = async |count: usize| {
            let holding = async {
                while held.len() < count {
                    match consumer.next().await.unwrap() {
                        GroupEvent::Assigned(partitions) => held.extend(partitions),
                        GroupEvent::Revoked(given) => held.retain(|tp| !given.partitions().contains(tp)),
                        GroupEvent::Fetched(_) => {}
                        GroupEvent::Lost(lost) => panic!("lost {lost:?}"),
                    }
                }
            };
            tokio::time::timeout(PATIENCE, holding).await.unwrap_or_else(|_| panic!("{name}: {count} partitions"));
        };
        hold(1).await;
        client.admin().create_partitions(&topic(1), 3).await.unwrap();
        hold(3).await;
        client.admin().create_topic(&NewTopic::new(topic(2), 2)).await.unwrap();
        hold(5).await;
    }
}

/// Every node of three is killed and comes back in turn, the coordinators among them, while the members of two groups,
/// one of each protocol, read what is written all the time: every record is read, and the commits end where the topic
/// does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_outlive_every_node() {
    let cluster = Kafka::three().await;
    let client = connect(&cluster).await;
    let mut groups = Vec::new();
    for (topic, protocol) in [("rolling-1", GroupProtocol::Classic), ("rolling-2", GroupProtocol::Consumer)] {
        client.admin().create_topic(&NewTopic::new(topic, PARTITIONS)).await.unwrap();
        let options = GroupOptions::new(topic, [topic]).with_protocol(protocol).with_auto_commit_interval_ms(200);
        let seen = Shared::default();
        let members =
            ["one", "two"].map(|name| Ours::start(name, client.group_consumer(options.clone()).unwrap(), &seen));
        until("both join", &seen, |seen| seen.is_shared(&[("one", 3), ("two", 3)])).await;
        groups.push((topic, members, seen));
    }
    for node in 1..=3_u32 {
        let blocking = |work: fn(&Kafka, u32)| {
            let kafka = *cluster;
            tokio::task::spawn_blocking(move || work(kafka, node))
        };
        blocking(Kafka::kill_node).await.unwrap();
        for (topic, ..) in &groups {
            write(&client, topic, PARTITIONS, 200).await;
        }
        blocking(Kafka::start_node).await.unwrap();
        let written = 200 * usize::try_from(PARTITIONS).unwrap() * usize::try_from(node).unwrap();
        for (topic, _, seen) in &groups {
            until(topic, seen, |seen| seen.read.len() == written).await;
        }
    }
    for (topic, members, seen) in groups {
        until("both are members", &seen, |seen| seen.is_shared(&[("one", 3), ("two", 3)])).await;
        for member in members {
            member.close().await;
        }
        let committed = client.group(topic).committed_all().await.unwrap();
        assert_eq!(committed.len(), usize::try_from(PARTITIONS).unwrap());
        assert!(committed.values().all(|position| position.offset == 600), "{topic}: {committed:?}");
    }
}
