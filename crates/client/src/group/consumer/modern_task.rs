//! The group task under the consumer protocol: holds what the coordinator says, after giving up what it takes away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::{Core, Pending};
use super::{revoke, starts};
use crate::error::{Error, Result};
use crate::group::heartbeats::Heartbeats;
use crate::group::modern::{Event, Interests, Modern, Partitions};
use crate::group::options::Subscription;
use crate::metadata::Metadata;
use crate::types::TopicPartition;

/// Wait before a topic id that no broker could name is asked for again.
const UNKNOWN_ID_WAIT: Duration = Duration::from_millis(500);

/// What the coordinator is told of a subscription.
pub(super) fn interests(subscription: &Subscription) -> Interests {
    match subscription {
        Subscription::Topics(topics) => {
            let unique: BTreeSet<&String> = topics.iter().collect();
            Interests { topics: unique.into_iter().cloned().collect(), regex: None }
        }
        Subscription::Regex(pattern) => Interests { topics: Vec::new(), regex: Some(pattern.clone()) },
    }
}

/// Runs until the consumer is closed or the membership ends.
pub(super) async fn run(core: Arc<Core>, heartbeats: Heartbeats) {
    let mut task = Task { core: &core, heartbeats: &heartbeats, held: BTreeMap::new(), target: None, retry_at: None };
    let mode = core.until_closed(task.run()).await;
    heartbeats.leave(mode).await;
}

/// A topic of which something is held.
#[derive(Debug)]
struct Held {
    name: Arc<str>,
    partitions: BTreeSet<i32>,
}

struct Task<'a> {
    core: &'a Arc<Core>,
    heartbeats: &'a Heartbeats,
    /// By topic id: a topic created again under the same name is another one.
    held: BTreeMap<u128, Held>,
    /// What to hold, while it is not.
    target: Option<Partitions>,
    /// When to ask again for the name of a topic id.
    retry_at: Option<Instant>,
}

/// How waiting for the application or the brokers ended.
enum Waited<T> {
    Done(T),
    Lost,
}

impl Task<'_> {
    /// Returns what ended the membership.
    async fn run(&mut self) -> Error {
        match self.work().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn work(&mut self) -> Result<std::convert::Infallible> {
        let core = Arc::clone(self.core);
        let mut resubscribed = core.resubscriptions();
        self.heartbeats.with(Modern::join);
        loop {
            if self.target.is_some() && self.retry_at.is_none() {
                self.reconcile().await?;
                continue;
            }
            let retry_at = self.retry_at;
            let retry = async {
                match retry_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = self.heartbeats.next() => match event {
                    Ok(event) => self.handle(event),
                    Err(error) => self.report(error)?,
                },
                () = core.overdue() => self.step_out().await,
                changed = resubscribed.changed() => {
                    // The sender lives in `core`, so this cannot fail.
                    let _ = changed;
                    let interests = interests(&core.subscription());
                    self.heartbeats.with(|machine| machine.subscribe(interests));
                }
                () = retry => self.retry_at = None,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Target(target) => (self.target, self.retry_at) = (Some(target), None),
            Event::Lost(error) => {
                tracing::warn!(%error, group = %self.core.options.group_id, "the group has gone on without this member");
                self.forget_everything();
                self.heartbeats.with(Modern::join);
            }
        }
    }

    fn forget_everything(&mut self) {
        self.held.clear();
        (self.target, self.retry_at) = (None, None);
        self.core.lose_everything();
    }

    /// Passes on what is worth knowing; ends the task with what is final.
    fn report(&self, error: Error) -> Result<()> {
        if !matches!(error, Error::RetryTimeout { .. }) {
            return Err(error);
        }
        self.core.push(Pending::Error(error));
        Ok(())
    }

    /// The application has stayed away for too long: the group shall go on without it until it comes back.
    async fn step_out(&mut self) {
        let max_poll_interval_ms = self.core.options.max_poll_interval_ms;
        tracing::warn!(
            max_poll_interval_ms,
            group = %self.core.options.group_id,
            "the application did not ask for more in time: leaving the group until it does"
        );
        self.forget_everything();
        self.heartbeats.step_out().await;
        self.core.until_back().await;
        self.heartbeats.with(Modern::join);
    }

    /// Waits for something during which the membership may be lost or the application stay away. A newer target is
    /// kept for the next round.
    async fn unless_lost<T>(&mut self, work: impl Future<Output = T>) -> Result<Waited<T>> {
        let core = Arc::clone(self.core);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(Waited::Done(done)),
                event = self.heartbeats.next() => match event {
                    Ok(event) => {
                        let lost = matches!(event, Event::Lost(_));
                        self.handle(event);
                        if lost {
                            return Ok(Waited::Lost);
                        }
                    }
                    Err(error) => self.report(error)?,
                },
                () = core.overdue() => {
                    self.step_out().await;
                    return Ok(Waited::Lost);
                }
            }
        }
    }

    /// Gives up what the target does not name, says so, takes over what it adds, says so.
    async fn reconcile(&mut self) -> Result<()> {
        let Some(target) = self.target.take() else { return Ok(()) };
        let revoked = self.not_in(&target);
        if !revoked.is_empty() {
            if let Waited::Lost = self.revoke(revoked).await? {
                return Ok(());
            }
            self.held.retain(|id, held| {
                let named = target.get(id).map(Vec::as_slice).unwrap_or_default();
                held.partitions.retain(|partition| named.contains(partition));
                !held.partitions.is_empty()
            });
            // Others wait for what was given up.
            self.acknowledge();
        }
        let Waited::Done(names) = self.find_names(&target).await? else { return Ok(()) };
        let mut added: Vec<(u128, TopicPartition)> = Vec::new();
        let mut unnamed = false;
        for (id, partitions) in &target {
            let held = self.held.get(id);
            let Some(name) = held.map(|held| &held.name).or_else(|| names.get(id)) else {
                unnamed = true;
                continue;
            };
            let new = partitions.iter().filter(|number| held.is_none_or(|held| !held.partitions.contains(number)));
            added.extend(new.map(|number| (*id, TopicPartition { topic: Arc::clone(name), partition: *number })));
        }
        if !added.is_empty() {
            let partitions = added.iter().map(|(_, partition)| partition.clone()).collect();
            if let Waited::Lost = self.start(partitions).await? {
                return Ok(());
            }
            for (id, partition) in added {
                let held = Held { name: Arc::clone(&partition.topic), partitions: BTreeSet::new() };
                self.held.entry(id).or_insert(held).partitions.insert(partition.partition);
            }
        }
        if unnamed && self.target.is_none() {
            self.target = Some(target);
            self.retry_at = Some(Instant::now() + UNKNOWN_ID_WAIT);
        }
        self.acknowledge();
        Ok(())
    }

    fn acknowledge(&self) {
        let held = self.held.iter().map(|(id, held)| (*id, held.partitions.iter().copied().collect())).collect();
        self.heartbeats.with(|machine| machine.hold(held));
    }

    fn not_in(&self, target: &Partitions) -> Vec<TopicPartition> {
        let mut gone = Vec::new();
        for (id, held) in &self.held {
            let named = target.get(id).map(Vec::as_slice).unwrap_or_default();
            for partition in held.partitions.iter().filter(|partition| !named.contains(partition)) {
                gone.push(TopicPartition { topic: Arc::clone(&held.name), partition: *partition });
            }
        }
        gone
    }

    /// Names of topic ids, from metadata at hand or asked for once.
    async fn find_names(&mut self, target: &Partitions) -> Result<Waited<BTreeMap<u128, Arc<str>>>> {
        let cluster = Arc::clone(self.core.coordinator.cluster());
        let known = names(&cluster.metadata());
        if target.keys().all(|id| known.contains_key(id)) {
            return Ok(Waited::Done(known));
        }
        let subscription = self.core.subscription();
        let refresh = async {
            match &subscription {
                Subscription::Regex(_) => cluster.all_topics().await,
                Subscription::Topics(topics) => super::topics::named(&cluster, topics, true).await,
            }
        };
        Ok(match self.unless_lost(refresh).await? {
            Waited::Done(Ok(metadata)) => Waited::Done(names(&metadata)),
            Waited::Done(Err(error)) => {
                tracing::debug!(%error, "names of topic ids are asked for again");
                Waited::Done(known)
            }
            Waited::Lost => Waited::Lost,
        })
    }

    /// Waits until the application has released the partitions and their last commits are done.
    async fn revoke(&mut self, partitions: Vec<TopicPartition>) -> Result<Waited<()>> {
        let core = Arc::clone(self.core);
        self.unless_lost(revoke::revoke(&core, &partitions)).await
    }

    /// Looks up where to start, and hands the partitions to the application.
    async fn start(&mut self, partitions: Vec<TopicPartition>) -> Result<Waited<()>> {
        let core = Arc::clone(self.core);
        let Waited::Done(starts) = self.unless_lost(starts::find_all(&core, &partitions)).await? else {
            return Ok(Waited::Lost);
        };
        core.assign(starts);
        Ok(Waited::Done(()))
    }
}

fn names(metadata: &Metadata) -> BTreeMap<u128, Arc<str>> {
    metadata.topics().filter_map(|topic| Some((topic.id?.0, Arc::clone(&topic.name)))).collect()
}
