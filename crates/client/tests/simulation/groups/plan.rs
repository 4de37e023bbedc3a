//! What a seed decides before a run of a group: the cluster, the members' lives, the work and what goes wrong.

use std::time::Duration;

use kanat_broker::{FaultAction, FaultRule};
use kanat_client::GroupProtocol;
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

pub(crate) const TOPICS: [&str; 2] = ["t", "u"];

/// How much may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Members come and go in peace: nothing is processed twice, and no two members ever own one partition.
    Clean,
    /// Requests fail, nodes restart, coordinators move, but for less time than any session lasts.
    Disturbed,
    /// Also, members crash, fall silent and go on after their session: what is processed may be processed again.
    Rough,
}

/// When a member commits what it processed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Commits {
    /// By itself, every so many milliseconds.
    Auto(u64),
    /// After every item, waiting for the outcome.
    Sync,
    /// After every item, without waiting.
    Async,
    /// Everything delivered, after every so many items.
    Delivered(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// The topics with these places.
    One(usize),
    All,
    Pattern,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Closes; a static member stays for its session.
    Close,
    /// Closes and leaves, static or not.
    Leave,
    /// Drops the consumer.
    Drop,
    /// The process dies, its connections with it.
    Crash,
    /// The machine dies: nobody hears anything any more.
    Vanish,
}

/// One life of a member: a process that joins, works and ends.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// After the end of the life before in this place.
    pub(crate) begins_after: Duration,
    pub(crate) assignors: Vec<&'static str>,
    pub(crate) server_assignor: Option<&'static str>,
    pub(crate) is_static: bool,
    pub(crate) commits: Commits,
    /// Longest work on an item and on a revocation, ms.
    pub(crate) work_ms_max: u64,
    /// What it subscribes to at first, and later, each after its wait.
    pub(crate) interests: Vec<(Duration, Interest)>,
    /// The application does not come back for a while.
    pub(crate) stall: Option<(Duration, Duration)>,
    /// Nothing gets through to the brokers for a while.
    pub(crate) freeze: Option<(Duration, Duration)>,
    /// `None`: it lives to the end of the run.
    pub(crate) end: Option<(Duration, End)>,
}

/// Something that happens to the cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disturbance {
    MoveLeader { topic: usize, partition: i32, to: i32 },
    MoveCoordinator { to: i32 },
    RestartNode { node: i32, down: Duration },
    AddPartitions { topic: usize, count: i32 },
    Write { topic: usize, partition: i32, records: usize },
}

/// One run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) protocol: GroupProtocol,
    pub(crate) kind: Kind,
    pub(crate) nodes: i32,
    pub(crate) partitions: [i32; 2],
    /// Lives one after the other, by place.
    pub(crate) members: Vec<Vec<Life>>,
    pub(crate) session_ms: u32,
    pub(crate) heartbeat_ms: u32,
    pub(crate) max_poll_ms: u32,
    pub(crate) rebalance_delay_ms: u64,
    pub(crate) faults: Vec<FaultRule>,
    /// In order; each after its wait.
    pub(crate) disturbances: Vec<(Duration, Disturbance)>,
}

/// Assignors that members of one group may offer side by side. A group may move from eager to cooperative members by
/// way of some that offer both.
const FAMILIES: [&[&[&str]]; 7] = [
    &[&["range"]],
    &[&["roundrobin"]],
    &[&["sticky"]],
    &[&["cooperative-sticky"]],
    &[&["cooperative-sticky"]],
    &[&["range", "roundrobin"], &["roundrobin", "range"], &["roundrobin", "sticky", "range"]],
    &[&["cooperative-sticky"], &["cooperative-sticky", "range"], &["range", "cooperative-sticky"]],
];

impl Plan {
    /// Even seeds are of the classic protocol, odd ones of the consumer protocol.
    pub(crate) fn draw(seed: u64) -> Plan {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x6772_6f75_7073);
        let protocol = if seed.is_multiple_of(2) { GroupProtocol::Classic } else { GroupProtocol::Consumer };
        let kind = match random.u32(0..10) {
            0..3 => Kind::Clean,
            3..6 => Kind::Disturbed,
            _ => Kind::Rough,
        };
        let (nodes, partitions) = (random.i32(1..=3), [random.i32(1..=6), random.i32(1..=3)]);
        let family = FAMILIES[random.usize(0..FAMILIES.len())];
        let places = random.usize(1..=4);
        let members = (0..places).map(|place| draw_place(&mut random, kind, family, place == 0)).collect();
        let is_rough = kind == Kind::Rough;
        Plan {
            seed,
            protocol,
            kind,
            nodes,
            partitions,
            members,
            session_ms: if is_rough { 3_000 } else { 15_000 },
            heartbeat_ms: if is_rough { 700 } else { 1_000 },
            max_poll_ms: if is_rough { 4_000 } else { 20_000 },
            rebalance_delay_ms: if random.bool() { 0 } else { random.u64(0..500) },
            faults: match kind {
                Kind::Clean => Vec::new(),
                _ => (0..random.usize(0..=6)).map(|_| draw_fault(&mut random)).collect(),
            },
            disturbances: draw_disturbances(&mut random, kind, nodes, partitions),
        }
    }
}

fn millis(random: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

fn draw_place(random: &mut fastrand::Rng, kind: Kind, family: &[&[&'static str]], lives_on: bool) -> Vec<Life> {
    let is_static = random.u8(0..4) == 0;
    let count = random.usize(1..=3);
    let lives_on = lives_on || random.bool();
    (0..count).map(|number| draw_life(random, kind, family, is_static, lives_on && number + 1 == count)).collect()
}

fn draw_life(
    random: &mut fastrand::Rng,
    kind: Kind,
    family: &[&[&'static str]],
    is_static: bool,
    lives_on: bool,
) -> Life {
    let is_rough = kind == Kind::Rough;
    let commits = match random.u8(0..4) {
        0 => Commits::Auto(random.u64(100..2_000)),
        1 => Commits::Sync,
        2 => Commits::Async,
        _ => Commits::Delivered(random.u32(1..6)),
    };
    let ends = match kind {
        Kind::Rough => &[End::Close, End::Leave, End::Drop, End::Crash, End::Vanish][..],
        _ => &[End::Close, End::Leave],
    };
    let end = (!lives_on).then(|| (millis(random, 0..6_000), ends[random.usize(0..ends.len())]));
    Life {
        begins_after: millis(random, 0..2_500),
        assignors: family[random.usize(0..family.len())].to_vec(),
        server_assignor: [None, Some("uniform"), Some("range")][random.usize(0..3)],
        is_static,
        commits,
        work_ms_max: random.u64(1..60),
        interests: draw_interests(random),
        stall: (is_rough && random.u8(0..5) == 0).then(|| (millis(random, 0..3_000), millis(random, 1_000..9_000))),
        freeze: (is_rough && random.u8(0..5) == 0).then(|| (millis(random, 0..4_000), millis(random, 500..7_000))),
        end,
    }
}

/// Whatever comes in between, a member reads everything in the end.
fn draw_interests(random: &mut fastrand::Rng) -> Vec<(Duration, Interest)> {
    let mut interests = Vec::new();
    if random.u8(0..3) == 0 {
        for _ in 0..random.usize(1..=2) {
            let interest = [Interest::One(0), Interest::One(1), Interest::Pattern][random.usize(0..3)];
            interests.push((millis(random, 0..2_500), interest));
        }
    }
    let whole = if random.u8(0..4) == 0 { Interest::Pattern } else { Interest::All };
    interests.push((millis(random, 0..2_500), whole));
    interests
}

fn draw_disturbances(
    random: &mut fastrand::Rng,
    kind: Kind,
    nodes: i32,
    partitions: [i32; 2],
) -> Vec<(Duration, Disturbance)> {
    let mut counts = partitions;
    let mut disturbances = Vec::new();
    for _ in 0..random.usize(5..25) {
        let topic = random.usize(0..2);
        let partition = random.i32(0..counts[topic]);
        let happens = match random.u32(0..20) {
            0 => Disturbance::MoveLeader { topic, partition, to: random.i32(0..nodes) },
            1 if kind != Kind::Clean => Disturbance::MoveCoordinator { to: random.i32(0..nodes) },
            2 if kind != Kind::Clean => {
                Disturbance::RestartNode { node: random.i32(0..nodes), down: millis(random, 0..1_500) }
            }
            3 if counts[topic] < 8 => {
                counts[topic] += random.i32(1..=2);
                Disturbance::AddPartitions { topic, count: counts[topic] }
            }
            _ => Disturbance::Write { topic, partition, records: random.usize(1..20) },
        };
        disturbances.push((millis(random, 0..700), happens));
    }
    disturbances
}

/// Requests the faults strike, with the codes that a member has to live with.
const STRUCK: [(ApiKey, &[ErrorCode]); 10] = [
    (ApiKey::JoinGroup, &[ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator]),
    (ApiKey::SyncGroup, &[ErrorCode::RebalanceInProgress, ErrorCode::NotCoordinator]),
    (ApiKey::Heartbeat, &[ErrorCode::NotCoordinator, ErrorCode::CoordinatorNotAvailable]),
    (ApiKey::LeaveGroup, &[ErrorCode::NotCoordinator]),
    (ApiKey::ConsumerGroupHeartbeat, &[ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator]),
    (ApiKey::OffsetCommit, &[ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator]),
    (ApiKey::OffsetFetch, &[ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress]),
    (ApiKey::FindCoordinator, &[ErrorCode::CoordinatorNotAvailable]),
    (ApiKey::Metadata, &[]),
    (ApiKey::Fetch, &[ErrorCode::NotLeaderOrFollower]),
];

fn draw_fault(random: &mut fastrand::Rng) -> FaultRule {
    let (api, codes) = STRUCK[random.usize(0..STRUCK.len())];
    let delay = millis(random, 1..1_500);
    let action = match random.u32(0..10) {
        0 | 1 => FaultAction::DropBefore,
        2 | 3 => FaultAction::DropAfter,
        // A commit that reaches the broker after the next one is nothing a client can prevent.
        4 if api == ApiKey::OffsetCommit => FaultAction::DelayBefore(delay.min(Duration::from_millis(900))),
        4 => FaultAction::DelayBefore(delay),
        5 => FaultAction::DelayAfter(delay),
        6 => FaultAction::Truncate { bytes: random.usize(0..40) },
        7 => FaultAction::Reorder { hold: delay },
        _ if codes.is_empty() => FaultAction::DropAfter,
        _ => FaultAction::Error(codes[random.usize(0..codes.len())]),
    };
    FaultRule::new(action).on(api).skip(random.u64(0..8)).times(random.u64(1..5)).probability(random.f64().max(0.2))
}
