//! Questions to a partition's leader that have to be answered before the partition is fetched again: is the offset in
//! the log, and does the log still hold what was read (KIP-320)?

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kanat_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kanat_protocol::messages::{ApiKey, BrokerId, OffsetForLeaderEpochRequest};

use super::Shared;
use super::fetched::GapReason;
use super::options::OutOfRangePolicy;
use super::partition::Sent;
use super::state::{Verdict, no_leader, out_of_range};
use crate::broker::ConnectionClass;
use crate::cluster::{moves_leader, topic_name};
use crate::error::{Error, Result};
use crate::list_offsets::list_offsets;
use crate::types::{Isolation, ListedOffset, OffsetSpec, Position, TopicPartition};

type Asked = (TopicPartition, Sent);

/// Asks for both ends of the log. A leader that is only behind its predecessor calls an offset out of range that is
/// not; then the partition goes on.
pub(super) async fn check_range(shared: Arc<Shared>, (partition, sent): Asked) {
    let verdict = judge_range(&shared, &partition, &sent).await;
    shared.state.lock().range_checked(&partition, &sent, verdict);
    shared.ready.notify_one();
    shared.changed();
}

async fn judge_range(shared: &Shared, partition: &TopicPartition, sent: &Sent) -> Verdict {
    let offset = sent.position.offset;
    let ends = [(partition.clone(), OffsetSpec::Earliest), (partition.clone(), OffsetSpec::Latest)];
    match list_offsets(&shared.cluster, &ends, Isolation::ReadUncommitted).await.as_deref() {
        Ok([(_, first), (_, end)]) if (first.offset..=end.offset).contains(&offset) => Verdict::Holds,
        Ok([(_, first), (_, end)]) if shared.options.out_of_range == OutOfRangePolicy::Fail => {
            Verdict::Fail(out_of_range(partition, offset, first.offset, end.offset))
        }
        Ok([_, _]) => go_on_elsewhere(shared, partition, GapReason::OutOfRange).await,
        Ok(_) => Verdict::Fail(out_of_range(partition, offset, -1, -1)),
        Err(error) => Verdict::Fail(error.clone()),
    }
}

/// Where the policy wants a partition to go on that cannot go on where it is.
async fn go_on_elsewhere(shared: &Shared, partition: &TopicPartition, reason: GapReason) -> Verdict {
    let wanted = match shared.options.out_of_range {
        OutOfRangePolicy::Earliest => OffsetSpec::Earliest,
        OutOfRangePolicy::Fail | OutOfRangePolicy::Latest => OffsetSpec::Latest,
        OutOfRangePolicy::ByDurationMs(age_ms) => OffsetSpec::Timestamp(before_now(age_ms)),
    };
    let isolation = shared.options.isolation;
    let found = start_positions(shared, vec![(partition.clone(), wanted)], isolation).await;
    match found.map(|mut found| found.pop()) {
        Ok(Some((_, to))) => {
            tracing::warn!(%partition, to = to.offset, ?reason, "the position is not in the log; going on elsewhere");
            Verdict::Jump(to, reason)
        }
        Ok(None) => Verdict::AskAgain(out_of_range(partition, -1, -1, -1)),
        Err(error) => Verdict::Fail(error),
    }
}

fn before_now(age_ms: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = now.saturating_sub(Duration::from_millis(age_ms));
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

/// Turns offset specifications into positions: one request per broker, and a second one for partitions that have no
/// record as young as asked for, which start at their end.
pub(super) async fn start_positions(
    shared: &Shared,
    wanted: Vec<(TopicPartition, OffsetSpec)>,
    isolation: Isolation,
) -> Result<Vec<(TopicPartition, Position)>> {
    let found = list_offsets(&shared.cluster, &wanted, isolation).await?;
    let none = |(_, listed): &&(TopicPartition, ListedOffset)| listed.offset < 0;
    let missing: Vec<_> =
        found.iter().filter(none).map(|(partition, _)| (partition.clone(), OffsetSpec::Latest)).collect();
    let mut known: Vec<_> = found.into_iter().filter(|(_, listed)| listed.offset >= 0).collect();
    if !missing.is_empty() {
        known.extend(list_offsets(&shared.cluster, &missing, isolation).await?);
    }
    // The epoch listed is that of the record at the offset; a position has that of the record before it.
    Ok(known.into_iter().map(|(partition, listed)| (partition, Position::from(listed.offset))).collect())
}

/// Asks the leaders of partitions where the epoch of the last record read ends: one request per leader.
pub(super) async fn check_epochs(shared: Arc<Shared>, leader: i32, asked: Vec<Asked>) {
    let answers = ask_epoch_ends(&shared, leader, &asked).await;
    let mut verdicts = Vec::with_capacity(asked.len());
    for (partition, sent) in &asked {
        verdicts.push(match &answers {
            Ok(answers) => judge_epoch(&shared, partition, sent, answers).await,
            Err(error) => judge_error(error),
        });
    }
    {
        let mut state = shared.state.lock();
        for ((partition, sent), verdict) in asked.iter().zip(verdicts) {
            state.epoch_checked(partition, sent, verdict);
        }
    }
    shared.ready.notify_one();
    shared.changed();
}

fn judge_error(error: &Error) -> Verdict {
    match error {
        // A broker that cannot tell leaves nothing to go by, as before Kafka 2.1.
        Error::UnsupportedApi { .. } => Verdict::Holds,
        error if error.is_retriable() || moves_leader(error) => Verdict::AskAgain(error.clone()),
        error => Verdict::Fail(error.clone()),
    }
}

type EpochEnds = HashMap<TopicPartition, Result<EpochEndOffset>>;

async fn judge_epoch(shared: &Shared, partition: &TopicPartition, sent: &Sent, answers: &EpochEnds) -> Verdict {
    let end = match answers.get(partition) {
        Some(Ok(end)) => end,
        Some(Err(error)) => return judge_error(error),
        None => {
            return Verdict::AskAgain(no_leader(partition));
        }
    };
    let known = end.end_offset >= 0 && end.leader_epoch >= 0;
    if known && end.end_offset >= sent.position.offset {
        return Verdict::Holds;
    }
    if shared.options.out_of_range == OutOfRangePolicy::Fail {
        return Verdict::Fail(Error::LogTruncated {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            position: sent.position.offset,
            diverged_at: known.then_some(end.end_offset),
        });
    }
    if known {
        let to = Position { offset: end.end_offset, leader_epoch: end.leader_epoch };
        tracing::warn!(%partition, from = sent.position.offset, to = to.offset, "the log was truncated; going back");
        return Verdict::Jump(to, GapReason::Truncated);
    }
    go_on_elsewhere(shared, partition, GapReason::Truncated).await
}

async fn ask_epoch_ends(shared: &Shared, leader: i32, asked: &[Asked]) -> Result<EpochEnds> {
    let gone = || asked.first().map_or(Error::NothingAssigned, |(partition, _)| no_leader(partition));
    let broker = shared.cluster.broker(leader).ok_or_else(gone)?;
    let connection = broker.connection(ConnectionClass::Control).await?;
    let mut topics: BTreeMap<&str, Vec<OffsetForLeaderPartition>> = BTreeMap::new();
    for (partition, sent) in asked {
        topics.entry(&partition.topic).or_default().push(
            OffsetForLeaderPartition::default()
                .with_partition(partition.partition)
                .with_current_leader_epoch(sent.leader_epoch)
                .with_leader_epoch(sent.position.leader_epoch),
        );
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| {
            OffsetForLeaderTopic::default().with_topic(topic_name(name)).with_partitions(partitions)
        })
        .collect();
    let mut request = OffsetForLeaderEpochRequest::default().with_topics(topics);
    let version = connection.version(ApiKey::OffsetForLeaderEpoch)?;
    if version >= 3 {
        request = request.with_replica_id(BrokerId(-1));
    }
    let timeout = shared.cluster.options().request_timeout();
    let response = connection.request_version(ApiKey::OffsetForLeaderEpoch, version, &request, timeout).await?;
    let mut ends = HashMap::new();
    for topic in response.topics {
        let name: Arc<str> = topic.topic.0.as_str().into();
        for end in topic.partitions {
            let partition = TopicPartition { topic: Arc::clone(&name), partition: end.partition };
            let answer = match ErrorCode::from_code(end.error_code) {
                None => Ok(end),
                Some(code) => {
                    let subject = partition.to_string();
                    Err(connection.server_error(ApiKey::OffsetForLeaderEpoch, subject, code, None))
                }
            };
            ends.insert(partition, answer);
        }
    }
    Ok(ends)
}
