//! The group consumer: records of the partitions a group gives this member, and word of every change.
//!
//! ```text
//!            handle: next(), commit()             group task: classic or KIP-848
//!                   │      │                         │
//!   fetching <──────┘      └──> core::Core <─────────┘
//!                                   │
//!                               committer ──> coordinator
//! ```
//!
//! Heartbeats have a task of their own below the group task, so they go on whatever the application does.

mod classic_task;
mod commits;
mod core;
mod modern_task;
mod revoke;
mod starts;
mod topics;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use self::commits::CommitFuture;
use self::core::{Core, Pending, Seat};
use super::closing::LeaveMode;
use super::heartbeats::Heartbeats;
use super::membership::Membership;
use super::offsets;
use super::options::{GroupOptions, GroupProtocol, Subscription, validate_subscription};
use crate::cluster::Cluster;
use crate::consumer::{Consumer, Fetched};
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};
use crate::types::{GroupMetadata, OffsetAndMetadata, Position, TopicPartition};

/// What [`GroupConsumer::next`] brings.
#[derive(Debug)]
pub enum GroupEvent {
    /// Records of one partition.
    Fetched(Fetched),
    /// These partitions are read from now on.
    Assigned(Vec<TopicPartition>),
    /// These partitions go to another member. Nothing of them is delivered any more, and they may be committed until
    /// the revocation is released.
    Revoked(Revocation),
    /// These partitions are another member's already: the session ended, or the application stayed away for longer
    /// than `max_poll_interval_ms`. They cannot be committed any more.
    Lost(Vec<TopicPartition>),
}

/// Partitions that go to another member as soon as this is dropped or [released](Self::release). Finish and commit
/// what was delivered of them first; the group waits, for `max_poll_interval_ms` at most.
#[derive(Debug)]
#[must_use = "dropping it releases the partitions at once"]
pub struct Revocation {
    partitions: Vec<TopicPartition>,
    release: Option<oneshot::Sender<()>>,
}

impl Revocation {
    /// The partitions.
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// Lets them go.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Revocation {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            // A group task that is gone has lost the partitions already.
            let _ = release.send(());
        }
    }
}

/// Commits for a [`GroupConsumer`] from other tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GroupCommitter {
    core: Arc<Core>,
}

impl GroupCommitter {
    /// As [`GroupConsumer::commit`].
    pub fn commit(&self, offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>) -> CommitFuture {
        self.core.commit(offsets)
    }

    /// As [`GroupConsumer::commit_sync`].
    ///
    /// # Errors
    /// As there.
    pub async fn commit_sync(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)> + Send,
    ) -> Result<()> {
        let commit = self.commit(offsets);
        commit.await
    }

    /// As [`GroupConsumer::group_metadata`].
    pub fn group_metadata(&self) -> GroupMetadata {
        self.core.group_metadata()
    }
}

/// Reads what a consumer group gives this member. Made by [`Client::group_consumer`](crate::Client::group_consumer);
/// it joins at once.
///
/// Call [`next`](Self::next) in a loop. Each call says that the application is done with what the calls before
/// returned: automatic commits rely on it. Dropping the consumer leaves the group without waiting for it and commits
/// nothing; [`close`](Self::close) does both.
#[derive(Debug)]
pub struct GroupConsumer {
    core: Arc<Core>,
    consumer: Consumer,
    /// Positions after what was delivered since `next` was called last.
    delivered: HashMap<TopicPartition, Position>,
    /// Why partitions that were assigned have no position, to be told in turn.
    without_position: Vec<Error>,
    group_task: Option<JoinHandle<()>>,
    committer: JoinHandle<()>,
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.leave(LeaveMode::Default);
        self.committer.abort();
    }
}

/// Tells the core when the application is inside `next`, also when the future is dropped.
#[derive(Debug)]
struct Polling<'a>(&'a Core);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.goes_away();
    }
}

impl GroupConsumer {
    pub(crate) fn new(cluster: Arc<Cluster>, mut options: GroupOptions) -> Result<GroupConsumer> {
        options.validate()?;
        if options.consumer.client_rack.is_none() {
            options.consumer.client_rack.clone_from(&options.rack);
        }
        // A pattern that cannot work is known here, not at the first rebalance.
        if options.protocol == GroupProtocol::Classic {
            topics::Wanted::new(&options.subscription)?;
        }
        let coordinator = Arc::new(Coordinator::group(Arc::clone(&cluster), &options.group_id));
        let consumer = Consumer::new(cluster, options.consumer.clone())?;
        let (core, group_task) = match options.protocol {
            GroupProtocol::Classic => {
                let membership = Membership::with_coordinator(Arc::clone(&coordinator), options.membership())?;
                let seat = Seat::Classic(Arc::clone(membership.member()));
                let core = Arc::new(Core::new(coordinator, options, seat));
                let task = tokio::spawn(classic_task::run(Arc::clone(&core), membership));
                (core, task)
            }
            GroupProtocol::Consumer => {
                let interests = modern_task::interests(&options.subscription);
                let heartbeats = Heartbeats::new(Arc::clone(&coordinator), &options, interests);
                let seat = Seat::Modern(Arc::clone(heartbeats.member()));
                let core = Arc::new(Core::new(coordinator, options, seat));
                let task = tokio::spawn(modern_task::run(Arc::clone(&core), heartbeats));
                (core, task)
            }
        };
        let committer = tokio::spawn(commits::run(Arc::clone(&core)));
        Ok(GroupConsumer {
            core,
            consumer,
            delivered: HashMap::new(),
            without_position: Vec::new(),
            group_task: Some(group_task),
            committer,
        })
    }

    /// Waits for the next event. Records of one partition come in order, without gap and without overlap. Dropping the
    /// future loses nothing, but the call counts all the same: the application is done with what it got before.
    ///
    /// # Errors
    /// About one partition, which then waits for a [seek](Self::seek) while the others go on: what
    /// [`Consumer::next`] says, [`Error::NoCommittedOffset`], a refused offset look-up. [`Error::RetryTimeout`] when the
    /// coordinator could not be reached for `retry_timeout_ms`; attempts go on. Any other error ends the membership:
    /// another member took this instance id, the group uses other assignors, permission is missing. After it,
    /// [`Error::Closed`].
    pub async fn next(&mut self) -> Result<GroupEvent> {
        self.core.came_back(self.delivered.drain());
        let core = Arc::clone(&self.core);
        let _polling = Polling(&core);
        loop {
            let ready = core.ready.notified();
            // Before the look at the events: the last of them may be put there in between.
            let ended = core.has_ended();
            if let Some(error) = self.without_position.pop() {
                return Err(error);
            }
            // Events first: an assignment may have been waiting for the application for long.
            if let Some(pending) = core.pop() {
                match self.take(pending) {
                    Some(event) => return event,
                    None => continue,
                }
            }
            if let Some(item) = self.consumer.try_next() {
                return self.deliver(item);
            }
            if ended {
                return Err(Error::Closed { what: "group consumer" });
            }
            tokio::select! {
                biased;
                () = ready => {}
                item = self.consumer.next() => match item {
                    Err(Error::NothingAssigned) => core.ready.notified().await,
                    item => return self.deliver(item),
                }
            }
        }
    }

    /// Puts an event into effect. `None` when nothing is left of it.
    fn take(&mut self, pending: Pending) -> Option<Result<GroupEvent>> {
        match pending {
            Pending::Error(error) => Some(Err(error)),
            Pending::Assigned(starts) => {
                let partitions = starts.iter().map(|start| start.partition.clone()).collect();
                let mut positions = Vec::with_capacity(starts.len());
                for start in starts {
                    match start.position {
                        Ok(position) => positions.push((start.partition, Position::from(&position))),
                        Err(error) => self.without_position.push(error),
                    }
                }
                self.consumer.assign(positions);
                Some(Ok(GroupEvent::Assigned(partitions)))
            }
            Pending::Revoked(partitions, release) => {
                self.stop(&partitions);
                Some(Ok(GroupEvent::Revoked(Revocation { partitions, release: Some(release) })))
            }
            Pending::Lost(partitions) => {
                self.stop(&partitions);
                Some(Ok(GroupEvent::Lost(partitions)))
            }
        }
    }

    /// Nothing of these partitions is delivered any more (delivery rule 4).
    fn stop(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            // One that never got a position is not there.
            let _ = self.consumer.unassign(partition);
        }
    }

    fn deliver(&mut self, item: Result<Fetched>) -> Result<GroupEvent> {
        let fetched = item?;
        self.delivered.insert(fetched.tp.clone(), fetched.next_position());
        Ok(GroupEvent::Fetched(fetched))
    }

    /// Commits offsets: for each partition that of the next record to read. Returns at once; commits reach the
    /// coordinator in the order they were asked for. Await the [`CommitFuture`] to learn the outcome, or drop it.
    ///
    /// A commit that meets a rebalance is repeated within `retry_timeout_ms` for as long as the partition is owned.
    ///
    /// # Errors
    /// The future gives [`Error::NotAssigned`] for a partition that is not this member's (delivery rule 4), and
    /// [`Error::Server`] when the coordinator refuses; `ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`
    /// and `FENCED_MEMBER_EPOCH` mean that the partitions are lost, and [`GroupEvent::Lost`] follows.
    pub fn commit(&self, offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>) -> CommitFuture {
        self.core.commit(offsets)
    }

    /// Commits offsets and waits for the outcome.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_sync(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)> + Send,
    ) -> Result<()> {
        let commit = self.commit(offsets);
        commit.await
    }

    /// Commits the position after everything [`next`](Self::next) has returned: call it when all of that is processed.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_delivered(&self) -> Result<()> {
        let delivered = self.core.take_delivered(&self.delivered);
        let committed = self.commit_sync(delivered.clone()).await;
        if committed.is_err() {
            self.core.give_back(&delivered);
        }
        committed
    }

    /// A handle that commits from other tasks.
    pub fn committer(&self) -> GroupCommitter {
        GroupCommitter { core: Arc::clone(&self.core) }
    }

    /// The group's committed offsets of these partitions; partitions without one are absent.
    ///
    /// # Errors
    /// The coordinator's refusal, or what it failed with until `retry_timeout_ms`.
    pub async fn committed(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        offsets::fetch(&self.core.coordinator, Some(partitions)).await
    }

    /// Moves a partition to another offset. Starts it again after an error. Automatic commits follow.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        if self.consumer.position(partition).is_some() {
            self.consumer.seek(partition, offset)?;
        } else if self.core.owns(partition) && !self.core.is_pending(partition) {
            self.consumer.assign([(partition.clone(), offset)]);
        } else {
            return Err(Error::NotAssigned { topic_partition: partition.clone() });
        }
        self.delivered.remove(partition);
        self.core.sought(partition, offset);
        Ok(())
    }

    /// Stops delivering and fetching a partition until [`resume`](Self::resume); it stays this member's.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        self.consumer.pause(partition)
    }

    /// Goes on with a paused partition.
    ///
    /// # Errors
    /// [`Error::NotAssigned`].
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        self.consumer.resume(partition)
    }

    /// The next offset to deliver, `None` for a partition that is not read here.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.consumer.position(partition)
    }

    /// The high watermark of the last answer about a partition: -1 before the first, `None` when it is not read here.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.consumer.high_watermark(partition)
    }

    /// Every partition read here with its position, in no order.
    pub fn assignment(&self) -> Vec<(TopicPartition, i64)> {
        self.consumer.assignment()
    }

    /// Subscribes to something else. What the new subscription does not name is revoked.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an empty name or a pattern that is none.
    pub fn subscribe(&mut self, subscription: impl Into<Subscription>) -> Result<()> {
        let subscription = subscription.into();
        validate_subscription(&subscription)?;
        if self.core.options.protocol == GroupProtocol::Classic {
            topics::Wanted::new(&subscription)?;
        }
        self.core.subscribe(subscription);
        Ok(())
    }

    /// Who this member is: what a transaction needs to commit the group's offsets.
    pub fn group_metadata(&self) -> GroupMetadata {
        self.core.group_metadata()
    }

    /// Commits what the application came back from if commits are automatic, waits for all commits asked for, and
    /// leaves the group at once; a member with an instance id stays for its session, see [`LeaveMode`].
    ///
    /// # Errors
    /// What the last commit failed with; the group is left all the same.
    pub async fn close(self) -> Result<()> {
        self.close_with(LeaveMode::Default).await
    }

    /// As [`close`](Self::close), and says what becomes of the membership.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn close_with(mut self, mode: LeaveMode) -> Result<()> {
        self.core.came_back(self.delivered.drain());
        let committed = if self.core.has_ended() { Ok(()) } else { commits::flush(&self.core, None).await };
        self.leave(mode);
        if let Some(task) = self.group_task.take() {
            // A task that was aborted with the runtime has nothing left to do.
            let _ = task.await;
        }
        committed
    }

    fn leave(&self, mode: LeaveMode) {
        self.core.closing.close(mode);
    }
}
