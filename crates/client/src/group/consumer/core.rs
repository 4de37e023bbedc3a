//! What the handle, the group task and the committer share: who owns what, and what the application is to learn.
//!
//! The group task decides, the handle acts: partitions enter and leave the fetching only when the application takes the
//! event, inside `next`. So a revocation comes behind everything delivered before it, and nothing of it comes after.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::commits::{Asked, CommitFuture, Commits};
use crate::coordinator::Coordinator;
use crate::error::Error;
use crate::group::classic::MemberId;
use crate::group::closing::{Closing, LeaveMode};
use crate::group::heartbeats::ModernMember;
use crate::group::membership::Member;
use crate::group::offsets::Identity;
use crate::group::options::{GroupOptions, Subscription};
use crate::types::{GroupMetadata, OffsetAndMetadata, Position, TopicPartition};

/// The membership below the consumer.
#[derive(Debug)]
pub(super) enum Seat {
    Classic(Arc<Member>),
    Modern(Arc<ModernMember>),
}

impl Seat {
    pub(super) fn id(&self) -> MemberId {
        match self {
            Seat::Classic(member) => member.id(),
            Seat::Modern(member) => member.id(),
        }
    }

    /// Whether the generation may change any moment, so that a commit refused for it is worth another attempt. Under
    /// the consumer protocol epochs change with any heartbeat, and only the next one tells.
    pub(super) fn is_changing(&self) -> bool {
        match self {
            Seat::Classic(member) => member.is_rebalancing(),
            Seat::Modern(_) => false,
        }
    }

    pub(super) fn fenced(&self, id: &MemberId, error: Error) {
        match self {
            Seat::Classic(member) => member.fenced(id, error),
            Seat::Modern(member) => member.fenced(id, error),
        }
    }
}

/// A position as it is committed.
fn to_commit(position: Position) -> OffsetAndMetadata {
    OffsetAndMetadata { offset: position.offset, leader_epoch: position.leader_epoch, metadata: String::new() }
}

/// A partition this member owns, from its assignment until it is released.
#[derive(Debug)]
struct Owned {
    /// Tells this time from others at which the member owned the partition.
    ownership: u64,
    /// The application was told of it. What it says before is about an earlier ownership.
    told: bool,
    /// Behind the last record the application came back from.
    processed: Option<Position>,
    /// What of it the automatic commit has handed over.
    handed_over: Option<Position>,
}

/// A partition to start with: its committed or chosen offset, or why there is none.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) partition: TopicPartition,
    pub(super) position: Result<OffsetAndMetadata, Error>,
}

/// What waits for the application's next call.
#[derive(Debug)]
pub(super) enum Pending {
    Assigned(Vec<Start>),
    Revoked(Vec<TopicPartition>, oneshot::Sender<()>),
    Lost(Vec<TopicPartition>),
    Error(Error),
}

#[derive(Debug)]
struct State {
    owned: BTreeMap<TopicPartition, Owned>,
    /// Counts ownerships.
    ownerships: u64,
    pending: VecDeque<Pending>,
    subscription: Subscription,
    /// The application is inside `next`.
    polling: bool,
    /// Since when it is not.
    away_since: Instant,
    /// The group task is gone: there will be no further events.
    ended: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) options: GroupOptions,
    pub(super) seat: Seat,
    pub(super) commits: Commits,
    state: Mutex<State>,
    /// Something is pending for the application.
    pub(super) ready: Notify,
    /// The application called `next`.
    came_back: Notify,
    /// Counts changes of the subscription.
    resubscribed: watch::Sender<u64>,
    pub(super) closing: Closing,
}

impl Core {
    pub(super) fn new(coordinator: Arc<Coordinator>, options: GroupOptions, seat: Seat) -> Core {
        let state = State {
            owned: BTreeMap::new(),
            ownerships: 0,
            pending: VecDeque::new(),
            subscription: options.subscription.clone(),
            polling: false,
            away_since: Instant::now(),
            ended: false,
        };
        Core {
            coordinator,
            options,
            seat,
            commits: Commits::default(),
            state: Mutex::new(state),
            ready: Notify::new(),
            came_back: Notify::new(),
            resubscribed: watch::Sender::new(0),
            closing: Closing::new(),
        }
    }

    /// Who commits now.
    pub(super) fn identity(&self) -> Identity {
        let MemberId { generation, member_id } = self.seat.id();
        Identity { generation, member_id, instance_id: self.options.instance_id.clone() }
    }

    pub(super) fn group_metadata(&self) -> GroupMetadata {
        let MemberId { generation, member_id } = self.seat.id();
        GroupMetadata {
            group_id: self.options.group_id.clone(),
            generation,
            member_id,
            group_instance_id: self.options.instance_id.clone(),
        }
    }

    /// The application came back from everything delivered so far.
    pub(super) fn came_back(&self, delivered: impl IntoIterator<Item = (TopicPartition, Position)>) {
        {
            let mut state = self.state.lock();
            state.polling = true;
            for (partition, position) in delivered {
                if let Some(owned) = state.owned.get_mut(&partition).filter(|owned| owned.told) {
                    owned.processed = Some(position);
                }
            }
        }
        self.came_back.notify_waiters();
    }

    /// The application goes away with what it got.
    pub(super) fn goes_away(&self) {
        let mut state = self.state.lock();
        state.polling = false;
        state.away_since = Instant::now();
    }

    /// Ends when the application has stayed away for `max_poll_interval_ms`.
    pub(super) async fn overdue(&self) {
        let longest = Duration::from_millis(u64::from(self.options.max_poll_interval_ms));
        loop {
            let deadline = {
                let state = self.state.lock();
                if state.polling { Instant::now() + longest } else { state.away_since + longest }
            };
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    /// Ends when the application is inside `next`.
    pub(super) async fn until_back(&self) {
        loop {
            let back = self.came_back.notified();
            if self.state.lock().polling {
                return;
            }
            back.await;
        }
    }

    pub(super) fn pop(&self) -> Option<Pending> {
        let mut state = self.state.lock();
        let pending = state.pending.pop_front()?;
        if let Pending::Assigned(starts) = &pending {
            for start in starts {
                if let Some(owned) = state.owned.get_mut(&start.partition) {
                    owned.told = true;
                }
            }
        }
        Some(pending)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Lets the group task work until the consumer is closed, or until the membership ends with an error. Returns how to
    /// leave.
    pub(super) async fn until_closed(&self, work: impl Future<Output = Error>) -> LeaveMode {
        let working = async {
            let ended = work.await;
            self.lose_everything();
            self.push(Pending::Error(ended));
        };
        let mode = self.closing.run(working).await;
        self.state.lock().ended = true;
        self.ready.notify_one();
        mode
    }

    pub(super) fn push(&self, pending: Pending) {
        self.state.lock().pending.push_back(pending);
        self.ready.notify_one();
    }

    /// Hands partitions to the application; it may commit them from now on.
    pub(super) fn assign(&self, starts: Vec<Start>) {
        let mut state = self.state.lock();
        for start in &starts {
            state.ownerships += 1;
            let owned = Owned { ownership: state.ownerships, told: false, processed: None, handed_over: None };
            state.owned.insert(start.partition.clone(), owned);
        }
        state.pending.push_back(Pending::Assigned(starts));
        drop(state);
        self.ready.notify_one();
    }

    /// Asks the application to release partitions; the receiver ends when it has, or when they are lost.
    pub(super) fn revoke(&self, partitions: Vec<TopicPartition>) -> oneshot::Receiver<()> {
        let (release, released) = oneshot::channel();
        self.push(Pending::Revoked(partitions, release));
        released
    }

    /// Delivery rule 4: from here on nothing is committed for these partitions.
    pub(super) fn release(&self, partitions: &[TopicPartition]) {
        let mut state = self.state.lock();
        for partition in partitions {
            state.owned.remove(partition);
        }
    }

    /// Takes partitions away from an application that does not release them.
    pub(super) fn lose(&self, partitions: &[TopicPartition]) {
        self.release(partitions);
        self.push(Pending::Lost(partitions.to_vec()));
    }

    /// Everything is another member's now. What was pending of it is void.
    pub(super) fn lose_everything(&self) {
        let mut state = self.state.lock();
        let lost: Vec<TopicPartition> = std::mem::take(&mut state.owned).into_keys().collect();
        state.pending.retain(|pending| matches!(pending, Pending::Lost(_) | Pending::Error(_)));
        if !lost.is_empty() {
            state.pending.push_back(Pending::Lost(lost));
        }
        drop(state);
        self.ready.notify_one();
    }

    /// What this member owns, by topic and partition.
    pub(super) fn owned(&self) -> Vec<TopicPartition> {
        self.state.lock().owned.keys().cloned().collect()
    }

    pub(super) fn owns(&self, partition: &TopicPartition) -> bool {
        self.state.lock().owned.contains_key(partition)
    }

    /// Whether the partition is owned since before a commit of it was asked for.
    pub(super) fn may_commit(&self, asked: &Asked) -> bool {
        let state = self.state.lock();
        let now = state.owned.get(&asked.partition).map(|owned| owned.ownership);
        now.is_some() && now == asked.ownership
    }

    /// Queues a commit, which comes to nothing for partitions that are not this member's, or not any more when its turn
    /// comes (delivery rule 4).
    pub(super) fn commit(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> CommitFuture {
        let offsets: Vec<_> = offsets.into_iter().collect();
        let state = self.state.lock();
        let asked = |(partition, offset)| {
            let owned = state.owned.get(&partition).filter(|owned| owned.told);
            let ownership = owned.map(|owned| owned.ownership);
            Asked { partition, offset, ownership }
        };
        let asked: Vec<Asked> = offsets.into_iter().map(asked).collect();
        drop(state);
        self.commits.push(asked)
    }

    /// A seek moves what the automatic commit commits too, as in the Java client.
    pub(super) fn sought(&self, partition: &TopicPartition, offset: i64) {
        if let Some(owned) = self.state.lock().owned.get_mut(partition) {
            owned.processed = Some(Position::from(offset));
        }
    }

    /// What the application came back from since the last automatic commit, of these partitions (`None`: of all).
    pub(super) fn take_processed(&self, of: Option<&[TopicPartition]>) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let mut state = self.state.lock();
        let mut processed = Vec::new();
        for (partition, owned) in &mut state.owned {
            if owned.processed != owned.handed_over && of.is_none_or(|of| of.contains(partition)) {
                owned.handed_over = owned.processed;
                processed.extend(owned.processed.map(|position| (partition.clone(), to_commit(position))));
            }
        }
        processed
    }

    /// Where the application is after `latest`, of all partitions whose position no commit was made for.
    pub(super) fn take_delivered(
        &self,
        latest: &HashMap<TopicPartition, Position>,
    ) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let mut state = self.state.lock();
        let mut delivered = Vec::new();
        for (partition, owned) in &mut state.owned {
            let position = latest.get(partition).filter(|_| owned.told).copied().or(owned.processed);
            if position != owned.handed_over {
                owned.handed_over = position;
                delivered.extend(position.map(|position| (partition.clone(), to_commit(position))));
            }
        }
        delivered
    }

    /// The application has not taken the partition's assignment yet.
    pub(super) fn is_pending(&self, partition: &TopicPartition) -> bool {
        let names = |pending: &Pending| match pending {
            Pending::Assigned(starts) => starts.iter().any(|start| start.partition == *partition),
            _ => false,
        };
        self.state.lock().pending.iter().any(names)
    }

    /// A commit of what was taken failed: its offsets are due again.
    pub(super) fn give_back(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) {
        let mut state = self.state.lock();
        for (partition, _) in offsets {
            if let Some(owned) = state.owned.get_mut(partition) {
                owned.handed_over = None;
            }
        }
    }

    pub(super) fn subscription(&self) -> Subscription {
        self.state.lock().subscription.clone()
    }

    pub(super) fn subscribe(&self, subscription: Subscription) {
        self.state.lock().subscription = subscription;
        self.resubscribed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn resubscriptions(&self) -> watch::Receiver<u64> {
        self.resubscribed.subscribe()
    }
}
