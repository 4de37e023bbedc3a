//! What a seed decides before a run: the cluster, the workload and the faults.

use std::time::Duration;

use kanat_broker::{FaultAction, FaultRule};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

/// Requests the faults strike.
const STRUCK: [ApiKey; 6] = [
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::Metadata,
    ApiKey::InitProducerId,
    ApiKey::ListOffsets,
    ApiKey::ApiVersions,
];
/// Codes that a client has to live with.
const PRODUCE_CODES: [ErrorCode; 4] = [
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::RequestTimedOut,
    ErrorCode::NotEnoughReplicas,
    ErrorCode::UnknownTopicOrPartition,
];
const FETCH_CODES: [ErrorCode; 3] =
    [ErrorCode::NotLeaderOrFollower, ErrorCode::FencedLeaderEpoch, ErrorCode::UnknownLeaderEpoch];

/// A disturbance of the cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disturbance {
    MoveLeader { partition: i32, to: i32 },
    RestartNode { node: i32, down: Duration },
}

/// One run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: i32,
    pub(crate) partitions: i32,
    pub(crate) producers: usize,
    pub(crate) records_per_producer: u32,
    pub(crate) value_bytes: usize,
    pub(crate) linger_ms: u64,
    pub(crate) batch_bytes_max: usize,
    pub(crate) faults: Vec<FaultRule>,
    /// In order; each after its wait.
    pub(crate) disturbances: Vec<(Duration, Disturbance)>,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Plan {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x6b61_6e61_7421);
        let (nodes, partitions) = (random.i32(1..=3), random.i32(1..=6));
        let disturbances = draw_disturbances(&mut random, nodes, partitions);
        Plan {
            seed,
            nodes,
            partitions,
            producers: random.usize(1..=3),
            records_per_producer: random.u32(1..=60),
            value_bytes: random.usize(8..400),
            linger_ms: random.u64(0..20),
            batch_bytes_max: random.usize(1_024..4_096),
            faults: (0..random.usize(0..=5)).map(|_| draw_fault(&mut random)).collect(),
            disturbances,
        }
    }
}

/// What disturbs a cluster, in order, each after its wait.
pub(crate) fn draw_disturbances(
    random: &mut fastrand::Rng,
    nodes: i32,
    partitions: i32,
) -> Vec<(Duration, Disturbance)> {
    let disturbances = (0..random.usize(0..=6)).map(|_| {
        let wait = Duration::from_millis(random.u64(0..400));
        let disturbance = if random.bool() {
            Disturbance::MoveLeader { partition: random.i32(0..partitions), to: random.i32(0..nodes) }
        } else {
            let down = Duration::from_millis(random.u64(0..1_500));
            Disturbance::RestartNode { node: random.i32(0..nodes), down }
        };
        (wait, disturbance)
    });
    disturbances.collect()
}

fn draw_fault(random: &mut fastrand::Rng) -> FaultRule {
    let api = STRUCK[random.usize(0..STRUCK.len())];
    let delay = Duration::from_millis(random.u64(1..2_000));
    let action = match random.u32(0..8) {
        0 => FaultAction::DropBefore,
        1 | 2 => FaultAction::DropAfter,
        3 => FaultAction::DelayBefore(delay),
        4 => FaultAction::DelayAfter(delay),
        5 => FaultAction::Truncate { bytes: random.usize(0..64) },
        _ => match api {
            ApiKey::Produce => FaultAction::Error(PRODUCE_CODES[random.usize(0..PRODUCE_CODES.len())]),
            ApiKey::Fetch => FaultAction::Error(FETCH_CODES[random.usize(0..FETCH_CODES.len())]),
            _ => FaultAction::DropBefore,
        },
    };
    FaultRule::new(action).on(api).skip(random.u64(0..6)).times(random.u64(1..8)).probability(random.f64().max(0.1))
}
