//! The consumer's other task: finds a leader for every partition, starts a fetcher per leader, and asks for the log's
//! range when a broker calls an offset out of range.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::state::{Lost, Sent, out_of_range};
use super::{Shared, fetcher};
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::list_offsets::list_offsets;
use crate::metadata::Metadata;
use crate::types::{Isolation, OffsetSpec, TopicPartition};

/// Runs until the task is aborted; the fetchers end with it.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut changes = shared.changes.subscribe();
    let mut fetchers = HashSet::new();
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new(&shared.cluster.options().backoff);
    let max_age = Duration::from_millis(shared.cluster.options().metadata_max_age_ms);
    let mut refresh_at = Instant::now() + max_age;
    loop {
        changes.borrow_and_update();
        for (partition, sent) in shared.state.lock().take_checks() {
            tasks.spawn(check_range(Arc::clone(&shared), partition, sent));
        }
        let leaderless = shared.state.lock().leaderless();
        if !leaderless.is_empty() {
            if leaderless.iter().any(|(_, lost)| lost.as_ref().is_some_and(|lost| lost.attempts > 1)) {
                tokio::time::sleep(backoff.next_wait()).await;
            }
            find_leaders(&shared, leaderless).await;
        }
        for leader in shared.state.lock().leaders() {
            if fetchers.insert(leader) {
                tasks.spawn(fetcher::run(Arc::clone(&shared), leader));
            }
        }
        while tasks.try_join_next().is_some() {}
        if !shared.state.lock().leaderless().is_empty() {
            continue;
        }
        backoff.reset();
        wait(&shared, &mut changes, &mut refresh_at, max_age).await;
    }
}

/// Until something changes; meanwhile metadata is renewed before it is too old to notice moves and recreated topics.
async fn wait(shared: &Shared, changes: &mut watch::Receiver<u64>, refresh_at: &mut Instant, max_age: Duration) {
    tokio::select! {
        _ = changes.changed() => {}
        () = tokio::time::sleep_until(*refresh_at) => {
            *refresh_at = Instant::now() + max_age;
            let partitions: Vec<_> = shared.state.lock().assigned().map(|(partition, _)| partition.clone()).collect();
            if let Ok(metadata) = shared.cluster.topics(&topics(partitions.iter())).await {
                for partition in &partitions {
                    // What is missing from the snapshot shows when the leader refuses the next fetch.
                    let _ = lead(shared, &metadata, partition);
                }
            }
        }
    }
}

fn topics<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> Vec<&'a str> {
    let mut names: Vec<&str> = partitions.map(|partition| &*partition.topic).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// One attempt for all partitions without a leader.
async fn find_leaders(shared: &Shared, leaderless: Vec<(TopicPartition, Option<Lost>)>) {
    let names = topics(leaderless.iter().map(|(partition, _)| partition));
    let wrong = leaderless.iter().filter_map(|(_, lost)| lost.as_ref().map(|lost| lost.generation)).max();
    let metadata = match wrong {
        None => shared.cluster.topics(&names).await,
        Some(generation) => shared.cluster.topics_after(&names, generation).await,
    };
    for (partition, lost) in &leaderless {
        let limit = shared.cluster.options().retry_timeout();
        if let Some(lost) = lost.as_ref().filter(|lost| lost.since.elapsed() > limit) {
            shared.fail(partition, given_up(lost));
            continue;
        }
        let found = match &metadata {
            Ok(metadata) => lead(shared, metadata, partition),
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = found {
            let generation = metadata.as_ref().map_or(0, |metadata| metadata.generation());
            not_found(shared, partition, generation, error);
        }
    }
    shared.changed();
}

fn lead(shared: &Shared, metadata: &Metadata, partition: &TopicPartition) -> Result<()> {
    let leader = shared.cluster.leader_in(metadata, &partition.topic, partition.partition)?;
    let place = (leader.broker.node_id(), leader.epoch);
    let led = shared.state.lock().lead(partition, place, leader.topic_id, leader.generation);
    if let Err(error) = led {
        shared.fail(partition, error);
    }
    Ok(())
}

/// Keeps looking, or stops the partition when it is clear that looking does not help.
fn not_found(shared: &Shared, partition: &TopicPartition, generation: u64, error: Error) {
    let unknown = matches!(error, Error::UnknownTopic { .. } | Error::UnknownPartition { .. });
    if !unknown && !error.is_retriable() {
        return shared.fail(partition, error);
    }
    let since = shared.state.lock().still_leaderless(partition, generation, error.clone());
    let limit = Duration::from_millis(shared.options.unknown_topic_wait_ms);
    if unknown && since.is_some_and(|since| since.elapsed() >= limit) {
        shared.fail(partition, error);
    }
}

fn given_up(lost: &Lost) -> Error {
    let elapsed_ms = u64::try_from(lost.since.elapsed().as_millis()).unwrap_or(u64::MAX);
    Error::RetryTimeout { elapsed_ms, last: Box::new(lost.last.clone()) }
}

/// Asks for both ends of the log. A leader that is only behind its predecessor calls an offset out of range that is
/// not; then the partition goes on.
async fn check_range(shared: Arc<Shared>, partition: TopicPartition, sent: Sent) {
    let ends = [(partition.clone(), OffsetSpec::Earliest), (partition.clone(), OffsetSpec::Latest)];
    let outcome = match list_offsets(&shared.cluster, &ends, Isolation::ReadUncommitted).await {
        Ok(found) => match found.as_slice() {
            [(_, first), (_, end)] if (first.offset..=end.offset).contains(&sent.offset) => Ok(()),
            [(_, first), (_, end)] => Err(out_of_range(&partition, sent.offset, first.offset, end.offset)),
            _ => Err(out_of_range(&partition, sent.offset, -1, -1)),
        },
        Err(error) => Err(error),
    };
    shared.state.lock().checked(&partition, &sent, outcome);
    shared.ready.notify_one();
    shared.changed();
}
