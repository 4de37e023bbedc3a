//! The consumer's other task: finds a leader for every partition, starts a fetcher per broker that serves one, and has
//! the questions asked that hold partitions up.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::partition::Lost;
use super::state::no_leader;
use super::{Shared, checks, fetcher};
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::types::TopicPartition;

/// Runs until the task is aborted; the fetchers end with it.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut fetchers = HashSet::new();
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new(&shared.cluster.options().backoff);
    let max_age = Duration::from_millis(shared.cluster.options().metadata_max_age_ms);
    let mut refresh_at = Instant::now() + max_age;
    loop {
        let seen = shared.changes.seen();
        ask_leaders(&shared, &mut tasks);
        let leaderless = shared.state.lock().leaderless();
        if !leaderless.is_empty() {
            if leaderless.iter().any(|(_, lost)| lost.as_ref().is_some_and(|lost| lost.attempts > 1)) {
                tokio::time::sleep(backoff.next_wait()).await;
            }
            find_leaders(&shared, leaderless).await;
        }
        for source in shared.state.lock().sources() {
            if fetchers.insert(source) {
                tasks.spawn(fetcher::run(Arc::clone(&shared), source));
            }
        }
        ask_leaders(&shared, &mut tasks);
        while tasks.try_join_next().is_some() {}
        if !shared.state.lock().leaderless().is_empty() {
            continue;
        }
        backoff.reset();
        wait(&shared, seen, &mut refresh_at, max_age).await;
    }
}

/// Starts the questions that partitions wait for: one task per offset, one per leader whose epochs are in doubt.
fn ask_leaders(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let (ranges, epochs) = {
        let mut state = shared.state.lock();
        (state.take_range_checks(), state.take_epoch_checks())
    };
    for asked in ranges {
        tasks.spawn(checks::check_range(Arc::clone(shared), asked));
    }
    let mut by_leader: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    for asked in epochs {
        by_leader.entry(asked.1.source).or_default().push(asked);
    }
    for (leader, asked) in by_leader {
        tasks.spawn(checks::check_epochs(Arc::clone(shared), leader, asked));
    }
}

/// Until something changes; meanwhile metadata is renewed before it is too old to notice moves and recreated topics.
async fn wait(shared: &Shared, seen: u64, refresh_at: &mut Instant, max_age: Duration) {
    tokio::select! {
        biased;
        () = shared.changes.since(seen) => {}
        () = tokio::time::sleep_until(*refresh_at) => {
            *refresh_at = Instant::now() + max_age;
            shared.state.lock().forget_preferred();
            let mut partitions: Vec<_> =
                shared.state.lock().assigned().map(|(partition, _)| partition.clone()).collect();
            partitions.sort_unstable();
            if let Ok(metadata) = shared.cluster.topics(&topics(partitions.iter())).await {
                for partition in &partitions {
                    // What is missing from the snapshot shows when the leader refuses the next fetch.
                    let _ = lead(shared, &metadata, partition);
                }
            }
            shared.changed();
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
    match led {
        Ok(true) => Ok(()),
        Ok(false) => Err(no_leader(partition)),
        Err(error) => {
            shared.fail(partition, error);
            Ok(())
        }
    }
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
