//! The group task under the classic protocol: turns what happens to the member into assignments and revocations.
//!
//! Eager members release everything before they join again; cooperative ones join with what they own, release what the
//! next assignment takes away, and join once more so that it can be given to others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::core::{Core, Pending};
use super::topics::{Found, Wanted, named};
use super::{revoke, starts};
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::group::assignor::{Assignor, RebalanceMode, Subscriber, TopicLayouts, layouts, protocol};
use crate::group::classic::{JoinProtocol, Leadership, MemberAssignment, MembershipEvent};
use crate::group::membership::Membership;
use crate::types::TopicPartition;

/// Longest wait before a subscribed topic that does not exist is looked for again.
const MISSING_TOPIC_WAIT: Duration = Duration::from_secs(1);

/// Partitions times members up to which an assignment is made on the spot; larger ones go to a blocking thread.
const SMALL_ASSIGNMENT: usize = 4_096;

/// Runs until the consumer is closed or the membership ends.
pub(super) async fn run(core: Arc<Core>, membership: Membership) {
    let mut task = Task::new(&core, &membership);
    let mode = core.until_closed(task.run()).await;
    membership.leave(mode).await;
}

struct Task<'a> {
    core: &'a Arc<Core>,
    membership: &'a Membership,
    mode: RebalanceMode,
    /// What the last join named, and when to look at the topics again.
    joined: Found,
    refresh_at: Instant,
    /// As leader: partition counts the last assignment was made from.
    assigned_counts: BTreeMap<Arc<str>, i32>,
    /// The last assignment, for assignors that want everybody to keep it.
    last_assignment: (Vec<TopicPartition>, i32),
    /// Topics whose refusal was reported.
    refused: HashSet<Arc<str>>,
    /// An event that came while something else was waited for.
    next_event: Option<MembershipEvent>,
    backoff: Backoff,
}

/// How waiting for the application or the brokers ended.
enum Waited<T> {
    Done(T),
    /// The member lost everything, or has something else to do first.
    Interrupted,
}

impl<'a> Task<'a> {
    fn new(core: &'a Arc<Core>, membership: &'a Membership) -> Task<'a> {
        Task {
            core,
            membership,
            mode: core.options.mode(),
            joined: Found::default(),
            refresh_at: Instant::now(),
            assigned_counts: BTreeMap::new(),
            last_assignment: (Vec::new(), -1),
            refused: HashSet::new(),
            next_event: None,
            backoff: Backoff::new(&core.coordinator.cluster().options().backoff),
        }
    }

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
        self.join(false).await?;
        loop {
            if let Some(event) = self.next_event.take() {
                self.handle(event).await?;
                continue;
            }
            tokio::select! {
                biased;
                event = self.membership.next() => match event {
                    Ok(event) => self.handle(event).await?,
                    Err(error) => self.report(error)?,
                },
                () = core.overdue() => self.step_out().await?,
                changed = resubscribed.changed() => {
                    // The sender lives in `core`, so this cannot fail.
                    let _ = changed;
                    self.resubscribe().await?;
                }
                () = tokio::time::sleep_until(self.refresh_at) => self.refresh().await?,
            }
        }
    }

    async fn handle(&mut self, event: MembershipEvent) -> Result<()> {
        match event {
            MembershipEvent::Lead(leadership) => self.lead(leadership).await,
            MembershipEvent::Assigned(assignment) => self.assigned(assignment).await,
            MembershipEvent::Rebalance => self.rejoin().await,
            MembershipEvent::Lost(error) => {
                tracing::warn!(%error, group = %self.core.options.group_id, "the group has gone on without this member");
                self.core.lose_everything();
                self.last_assignment = (Vec::new(), -1);
                self.join(false).await
            }
        }
    }

    /// Passes on what is worth knowing; ends the task with what is final.
    fn report(&self, error: Error) -> Result<()> {
        if !matches!(error, Error::RetryTimeout { .. }) {
            return Err(error);
        }
        self.core.push(Pending::Error(error));
        Ok(())
    }

    /// Waits for something during which the membership may be lost or the application stay away.
    async fn interruptible<T>(&mut self, work: impl Future<Output = T>) -> Result<Waited<T>> {
        let core = Arc::clone(self.core);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(Waited::Done(done)),
                event = self.membership.next() => match event {
                    Ok(event @ MembershipEvent::Lost(_)) => {
                        self.next_event = Some(event);
                        return Ok(Waited::Interrupted);
                    }
                    Ok(event @ MembershipEvent::Rebalance) => self.next_event = Some(event),
                    // The group's last round; the join that follows opens another.
                    Ok(MembershipEvent::Lead(_) | MembershipEvent::Assigned(_)) => {}
                    Err(error) => self.report(error)?,
                },
                () = core.overdue() => {
                    self.step_out().await?;
                    return Ok(Waited::Interrupted);
                }
            }
        }
    }

    /// The application has stayed away for too long: the group shall go on without it until it comes back.
    async fn step_out(&mut self) -> Result<()> {
        let max_poll_interval_ms = self.core.options.max_poll_interval_ms;
        tracing::warn!(
            max_poll_interval_ms,
            group = %self.core.options.group_id,
            "the application did not ask for more in time: leaving the group until it does"
        );
        self.core.lose_everything();
        self.last_assignment = (Vec::new(), -1);
        self.membership.step_out().await;
        self.core.until_back().await;
        self.join(false).await
    }

    /// Joins with what is owned now.
    async fn join(&mut self, fresh: bool) -> Result<()> {
        let wanted = Wanted::new(&self.core.subscription())?;
        let found = loop {
            match wanted.find(self.core.coordinator.cluster(), fresh).await {
                Ok((found, metadata)) => {
                    self.report_refused(&found, &metadata);
                    break found;
                }
                Err(error) if error.is_retriable() => {
                    tracing::debug!(%error, "topics are looked up again");
                    tokio::time::sleep(self.backoff.next_wait()).await;
                }
                Err(error) => return Err(error),
            }
        };
        self.backoff.reset();
        self.join_with(found);
        Ok(())
    }

    fn join_with(&mut self, found: Found) {
        let options = &self.core.options;
        let owned = match self.mode {
            RebalanceMode::Eager => Vec::new(),
            RebalanceMode::Cooperative => self.core.owned(),
        };
        let (last, generation) = &self.last_assignment;
        let offer = |assignor: &Arc<dyn Assignor>| {
            let user_data = assignor.user_data(last, *generation);
            let rack = options.rack.as_deref();
            let metadata =
                protocol::encode_subscription(&found.topics, user_data.as_deref(), &owned, *generation, rack);
            JoinProtocol { name: assignor.name().to_owned(), metadata }
        };
        self.membership.join(options.assignors.iter().map(offer).collect());
        // A rebalance that was announced is the one this join takes part in.
        self.next_event.take_if(|event| matches!(event, MembershipEvent::Rebalance));
        self.schedule_refresh(found.incomplete);
        self.joined = found;
    }

    fn schedule_refresh(&mut self, incomplete: bool) {
        let cluster = self.core.coordinator.cluster();
        let every = self.core.options.topics_refresh_ms.unwrap_or(cluster.options().metadata_max_age_ms);
        let every = Duration::from_millis(every);
        let wait = if incomplete { every.min(MISSING_TOPIC_WAIT) } else { every };
        self.refresh_at = Instant::now() + wait;
    }

    /// A topic this client may not read is no reason to stop, and none to be silent.
    fn report_refused(&mut self, found: &Found, metadata: &crate::metadata::Metadata) {
        for topic in &found.topics {
            match metadata.require_topic(topic) {
                Err(error @ Error::Server { .. }) => {
                    if self.refused.insert(Arc::clone(topic)) {
                        self.core.push(Pending::Error(error));
                    }
                }
                _ => {
                    self.refused.remove(topic);
                }
            }
        }
    }

    /// Releases what the mode asks for, then joins.
    async fn rejoin(&mut self) -> Result<()> {
        if self.mode == RebalanceMode::Eager {
            let owned = self.core.owned();
            if let Waited::Interrupted = self.revoke(owned).await? {
                return Ok(());
            }
        }
        self.join(false).await
    }

    async fn resubscribe(&mut self) -> Result<()> {
        if self.mode == RebalanceMode::Cooperative {
            let wanted = Wanted::new(&self.core.subscription())?;
            match wanted.find(self.core.coordinator.cluster(), false).await {
                Ok((found, _)) => {
                    let unwanted = |partition: &TopicPartition| !found.topics.contains(&partition.topic);
                    let gone: Vec<TopicPartition> = self.core.owned().into_iter().filter(unwanted).collect();
                    if let Waited::Interrupted = self.revoke(gone).await? {
                        return Ok(());
                    }
                }
                // The join looks again, and the next assignment takes away what it does not name.
                Err(error) => tracing::debug!(%error, "topics could not be looked at"),
            }
        }
        self.rejoin().await
    }

    /// Looks for new topics and partitions.
    async fn refresh(&mut self) -> Result<()> {
        let cluster = Arc::clone(self.core.coordinator.cluster());
        let wanted = Wanted::new(&self.core.subscription())?;
        let found = match wanted.find(&cluster, true).await {
            Ok((found, _)) => found,
            Err(error) => {
                tracing::debug!(%error, "topics could not be looked at");
                self.schedule_refresh(self.joined.incomplete);
                return Ok(());
            }
        };
        self.schedule_refresh(found.incomplete);
        let mut changed = found.topics != self.joined.topics;
        self.joined.incomplete = found.incomplete;
        if self.membership.is_leader() {
            let names: Vec<&Arc<str>> = self.assigned_counts.keys().collect();
            if let Ok(metadata) = named(&cluster, &names, true).await {
                changed |= counts(&layouts(&metadata, names.iter().map(|name| &***name))) != self.existing_counts();
            }
        }
        if changed { self.rejoin().await } else { Ok(()) }
    }

    /// The counts of topics that existed.
    fn existing_counts(&self) -> BTreeMap<Arc<str>, i32> {
        let existing = self.assigned_counts.iter().filter(|(_, count)| **count >= 0);
        existing.map(|(name, count)| (Arc::clone(name), *count)).collect()
    }

    /// Waits until the application has released the partitions and their last commits are done.
    async fn revoke(&mut self, partitions: Vec<TopicPartition>) -> Result<Waited<()>> {
        if partitions.is_empty() {
            return Ok(Waited::Done(()));
        }
        let core = Arc::clone(self.core);
        self.interruptible(revoke::revoke(&core, &partitions)).await
    }

    async fn lead(&mut self, leadership: Leadership) -> Result<()> {
        let members: Vec<Subscriber> = leadership.members.into_iter().map(subscriber).collect();
        let mut names: Vec<Arc<str>> = members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        let metadata = match named(self.core.coordinator.cluster(), &names, false).await {
            Ok(metadata) => metadata,
            Err(error) => {
                tracing::debug!(%error, "the group's topics are looked up in another round");
                tokio::time::sleep(self.backoff.next_wait()).await;
                return self.join(true).await;
            }
        };
        let topics = layouts(&metadata, names.iter().map(|name| &**name));
        self.assigned_counts = names.into_iter().map(|name| (name, -1)).collect();
        self.assigned_counts.extend(counts(&topics));
        let chosen = self.core.options.assignors.iter().find(|assignor| assignor.name() == leadership.protocol);
        let Some(assignor) = chosen.filter(|_| !leadership.skip_assignment).cloned() else {
            self.membership.assign(leadership.generation, Vec::new());
            return Ok(());
        };
        let assignments = assign(assignor, topics, members).await?;
        self.membership.assign(leadership.generation, assignments);
        Ok(())
    }

    async fn assigned(&mut self, assignment: MemberAssignment) -> Result<()> {
        let generation = assignment.generation;
        let Some(target) = protocol::decode_assignment(assignment.assignment) else {
            return Err(Error::MalformedAssignment { group: self.core.options.group_id.as_str().into() });
        };
        self.last_assignment = (target.clone(), generation);
        let target: BTreeSet<TopicPartition> = target.into_iter().collect();
        let owned: BTreeSet<TopicPartition> = self.core.owned().into_iter().collect();
        let revoked: Vec<TopicPartition> = owned.difference(&target).cloned().collect();
        let added: Vec<TopicPartition> = target.difference(&owned).cloned().collect();
        let gives_up = !revoked.is_empty();
        if let Waited::Interrupted = self.revoke(revoked).await? {
            return Ok(());
        }
        if let Waited::Interrupted = self.start(added).await? {
            return Ok(());
        }
        if gives_up { self.join(false).await } else { Ok(()) }
    }

    /// Looks up where to start, and hands the partitions to the application.
    async fn start(&mut self, partitions: Vec<TopicPartition>) -> Result<Waited<()>> {
        let core = Arc::clone(self.core);
        let Waited::Done(starts) = self.interruptible(starts::find_all(&core, &partitions)).await? else {
            return Ok(Waited::Interrupted);
        };
        if !starts.is_empty() {
            self.core.assign(starts);
        }
        Ok(Waited::Done(()))
    }
}

/// A member whose metadata cannot be read subscribes to nothing.
fn subscriber(member: crate::group::classic::JoinedMember) -> Subscriber {
    let read = protocol::decode_subscription(member.metadata);
    if read.is_none() {
        tracing::warn!(member = member.member_id, "the member's subscription cannot be read, it gets nothing");
    }
    Subscriber { member_id: member.member_id, instance_id: member.instance_id, ..read.unwrap_or_default() }
}

fn counts(topics: &TopicLayouts) -> BTreeMap<Arc<str>, i32> {
    topics.iter().map(|(name, layout)| (Arc::clone(name), layout.partition_count)).collect()
}

/// One entry for every member, as Java leaders send: members without partitions get an empty assignment.
async fn assign(
    assignor: Arc<dyn Assignor>,
    topics: TopicLayouts,
    members: Vec<Subscriber>,
) -> Result<Vec<(String, Bytes)>> {
    let partitions: usize = topics.values().filter_map(|layout| usize::try_from(layout.partition_count).ok()).sum();
    let small = partitions.saturating_mul(members.len()) <= SMALL_ASSIGNMENT;
    let work = move || {
        let assigned = assignor.assign(&topics, &members);
        let of = |member: &Subscriber| {
            let share = assigned.get(&member.member_id).map(Vec::as_slice).unwrap_or_default();
            (member.member_id.clone(), protocol::encode_assignment(share))
        };
        members.iter().map(of).collect()
    };
    if small {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed { what: "runtime" })
}
