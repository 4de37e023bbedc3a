//! Random fault plans.

use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

use super::{FaultAction, FaultRule};

/// Nodes that leaders and coordinators move to: 0 up to this, exclusive.
const NODES: i32 = 3;
/// Longest delay of a plan, ms.
const DELAY_MS_MAX: u64 = 200;

/// Errors a client meets in a cluster that changes, by the request that answers with them.
const ERRORS: &[(ApiKey, ErrorCode)] = &[
    (ApiKey::Produce, ErrorCode::NotLeaderOrFollower),
    (ApiKey::Produce, ErrorCode::NotEnoughReplicas),
    (ApiKey::Fetch, ErrorCode::FetchSessionIdNotFound),
    (ApiKey::ListOffsets, ErrorCode::NotLeaderOrFollower),
    (ApiKey::Metadata, ErrorCode::LeaderNotAvailable),
    (ApiKey::FindCoordinator, ErrorCode::CoordinatorNotAvailable),
    (ApiKey::OffsetCommit, ErrorCode::CoordinatorLoadInProgress),
    (ApiKey::OffsetFetch, ErrorCode::NotCoordinator),
    (ApiKey::JoinGroup, ErrorCode::CoordinatorLoadInProgress),
    (ApiKey::SyncGroup, ErrorCode::RebalanceInProgress),
    (ApiKey::Heartbeat, ErrorCode::NotCoordinator),
    (ApiKey::ConsumerGroupHeartbeat, ErrorCode::CoordinatorLoadInProgress),
    (ApiKey::InitProducerId, ErrorCode::CoordinatorLoadInProgress),
    (ApiKey::AddPartitionsToTxn, ErrorCode::ConcurrentTransactions),
    (ApiKey::AddOffsetsToTxn, ErrorCode::CoordinatorNotAvailable),
    (ApiKey::TxnOffsetCommit, ErrorCode::CoordinatorLoadInProgress),
    (ApiKey::EndTxn, ErrorCode::NotCoordinator),
];

/// Rules in a fixed order, with parameters and probabilities drawn from `seed`.
pub(super) fn rules(seed: u64, intensity: f64) -> Vec<FaultRule> {
    let mut random = fastrand::Rng::with_seed(seed);
    let intensity = intensity.clamp(0.0, 1.0);
    let mut rules = Vec::new();
    for share in [0.08, 0.04] {
        let delay = Duration::from_millis(random.u64(1..=DELAY_MS_MAX));
        rules.push((FaultAction::DelayBefore(delay), share));
        let delay = Duration::from_millis(random.u64(1..=DELAY_MS_MAX));
        rules.push((FaultAction::DelayAfter(delay), share));
    }
    let hold = Duration::from_millis(random.u64(1..=DELAY_MS_MAX));
    let throttle = Duration::from_millis(random.u64(1..=DELAY_MS_MAX));
    rules.extend([
        (FaultAction::DropBefore, 0.15),
        (FaultAction::DropAfter, 0.15),
        (FaultAction::Truncate { bytes: random.usize(0..40) }, 0.05),
        (FaultAction::Reorder { hold }, 0.05),
        (FaultAction::Throttle(throttle), 0.05),
        (FaultAction::MoveLeader { to: random.i32(0..NODES) }, 0.03),
        (FaultAction::MoveCoordinator { to: random.i32(0..NODES) }, 0.03),
    ]);
    // Uneven weights, so that seeds differ in what they are about.
    let mut weight = || 2.0 * random.f64();
    let mut rules: Vec<FaultRule> = rules
        .into_iter()
        .map(|(action, share)| FaultRule::new(action).probability(intensity * share * weight()))
        .collect();
    let errors = ERRORS
        .iter()
        .map(|(api, code)| FaultRule::new(FaultAction::Error(*code)).on(*api).probability(intensity * 0.2 * weight()));
    rules.extend(errors);
    rules
}
