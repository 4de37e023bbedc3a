//! All consumer groups of the cluster: finds the group, lets its state machine decide, and delivers the answers.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::consumer::ConsumerGroup;
use super::offsets::{CommittedOffset, Offsets};
use super::state::{Answer, Group, GroupOptions, JoinAnswer, JoinRequest, State, SyncAnswer, SyncRequest, Ticket};
use super::subscription;
use crate::journal::{Entry, Journal};

/// First version of OffsetCommit whose clients can be told that a group does not exist.
const GROUP_NOT_FOUND_VERSION_MIN: i16 = 9;

/// First version of OffsetCommit that carries a member epoch.
const MEMBER_EPOCH_VERSION_MIN: i16 = 9;

/// Who commits, and what the commit claims to know of the group.
#[derive(Debug)]
pub(crate) struct CommitRequest<'a> {
    pub(crate) group_id: &'a str,
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// -1 from outside the group.
    pub(crate) generation: i32,
    /// The offsets belong to a transaction.
    pub(crate) transactional: bool,
    /// Version of the request.
    pub(crate) version: i16,
}

/// Protocol of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupType {
    Classic,
    Consumer,
}

impl GroupType {
    /// Kafka's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// What ListGroups and DescribeGroups tell of a group.
#[derive(Debug, Clone)]
pub(crate) struct DescribedGroup {
    pub(crate) id: String,
    pub(crate) group_type: GroupType,
    /// With Kafka's names.
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    pub(crate) protocol_name: String,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member as DescribeGroups shows it.
#[derive(Debug, Clone)]
pub(crate) struct DescribedMember {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Coordinator {
    options: GroupOptions,
    pub(super) groups_max: usize,
    pub(super) journal: Arc<Journal>,
    /// Zero of the milliseconds the state machines see.
    started: Instant,
    pub(super) inner: Mutex<Inner>,
    random: Mutex<fastrand::Rng>,
    /// A deadline may have moved.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) groups: BTreeMap<String, GroupEntry>,
    joins: HashMap<Ticket, oneshot::Sender<JoinAnswer>>,
    syncs: HashMap<Ticket, oneshot::Sender<SyncAnswer>>,
    next_ticket: Ticket,
}

#[derive(Debug, Default)]
pub(super) struct GroupEntry {
    pub(super) group: Group,
    /// The group, once it uses the protocol of KIP-848.
    pub(super) consumer: Option<ConsumerGroup>,
    offsets: Offsets,
}

impl Inner {
    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn deliver(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            match answer {
                Answer::Join(ticket, answer) => send(self.joins.remove(&ticket), answer),
                Answer::Sync(ticket, answer) => send(self.syncs.remove(&ticket), answer),
            }
        }
    }
}

/// A receiver that is gone belongs to a closed connection; its member's session will end.
fn send<T>(waiting: Option<oneshot::Sender<T>>, answer: T) {
    if let Some(waiting) = waiting {
        let _ = waiting.send(answer);
    }
}

impl Coordinator {
    pub(crate) fn new(options: GroupOptions, groups_max: usize, journal: Arc<Journal>, random: fastrand::Rng) -> Self {
        Self {
            options,
            groups_max,
            journal,
            started: Instant::now(),
            inner: Mutex::default(),
            random: Mutex::new(random),
            changed: Notify::new(),
        }
    }

    /// Takes a committed offset from the journal.
    pub(crate) fn restore(&self, group_id: &str, topic: &str, partition: i32, offset: CommittedOffset) {
        let mut inner = self.inner.lock();
        inner.groups.entry(group_id.to_owned()).or_default().offsets.set(topic, partition, offset);
    }

    /// Ends sessions and phases when their time is up, until the broker stops.
    pub(crate) async fn run(&self) {
        loop {
            let changed = self.changed.notified();
            match self.tick() {
                None => changed.await,
                Some(deadline_ms) => {
                    let deadline = self.started + Duration::from_millis(deadline_ms);
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = sleep_until(deadline) => {}
                    }
                }
            }
        }
    }

    fn tick(&self) -> Option<u64> {
        let now_ms = self.now_ms();
        let mut inner = self.inner.lock();
        let mut answers = Vec::new();
        let mut entries = Vec::new();
        for (id, entry) in &mut inner.groups {
            if entry.group.next_deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
                answers.extend(entry.group.tick(now_ms));
            }
            if let Some(consumer) = &mut entry.consumer
                && consumer.tick(now_ms)
                && self.journal.is_kept()
            {
                entries.push(Entry::ConsumerGroup { group: id.clone(), stored: consumer.to_stored() });
            }
        }
        if let Err(error) = self.journal.append(&entries) {
            tracing::warn!(%error, "the end of group members could not be written down");
        }
        inner.deliver(answers);
        inner.groups.values().filter_map(GroupEntry::next_deadline_ms).min()
    }

    /// Makes member ids unique, also across restarts of the broker.
    pub(super) fn member_token(&self) -> String {
        format!("{:032x}", self.random.lock().u128(..))
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// JoinGroup; comes back when the rebalance lets the member in.
    pub(crate) async fn join(&self, group_id: &str, request: JoinRequest) -> JoinAnswer {
        let member_id = request.member_id.clone();
        let refuse = |code| Err((code, member_id.clone()));
        if group_id.is_empty() {
            return refuse(ErrorCode::InvalidGroupId);
        }
        let receiver = {
            let mut inner = self.inner.lock();
            if !inner.groups.contains_key(group_id) {
                if !member_id.is_empty() {
                    return refuse(ErrorCode::UnknownMemberId);
                }
                if inner.groups.len() >= self.groups_max {
                    return refuse(ErrorCode::GroupMaxSizeReached);
                }
            }
            if !inner.groups.get_mut(group_id).is_none_or(GroupEntry::become_classic) {
                return refuse(ErrorCode::InconsistentGroupProtocol);
            }
            let ticket = inner.ticket();
            let (sender, receiver) = oneshot::channel();
            inner.joins.insert(ticket, sender);
            let token = self.member_token();
            let entry = inner.groups.entry(group_id.to_owned()).or_default();
            let answers = entry.group.join(self.now_ms(), ticket, request, &self.options, &token);
            inner.deliver(answers);
            receiver
        };
        self.changed.notify_one();
        receiver.await.unwrap_or_else(|_| refuse(ErrorCode::CoordinatorNotAvailable))
    }

    /// SyncGroup; comes back when the leader's assignment is there.
    pub(crate) async fn sync(&self, group_id: &str, request: SyncRequest) -> SyncAnswer {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let receiver = {
            let mut inner = self.inner.lock();
            let ticket = inner.ticket();
            let now_ms = self.now_ms();
            let Some(entry) = inner.groups.get_mut(group_id) else { return Err(ErrorCode::UnknownMemberId) };
            let answers = entry.group.sync(now_ms, ticket, request);
            let (sender, receiver) = oneshot::channel();
            inner.syncs.insert(ticket, sender);
            inner.deliver(answers);
            receiver
        };
        self.changed.notify_one();
        receiver.await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(
        &self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let now_ms = self.now_ms();
        let mut inner = self.inner.lock();
        let entry = inner.groups.get_mut(group_id).ok_or(ErrorCode::UnknownMemberId)?;
        entry.group.heartbeat(now_ms, member_id, instance_id, generation)
    }

    /// LeaveGroup of one member.
    pub(crate) fn leave(&self, group_id: &str, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        let now_ms = self.now_ms();
        let mut inner = self.inner.lock();
        let entry = inner.groups.get_mut(group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let (result, answers) = entry.group.leave(now_ms, member_id, instance_id);
        inner.deliver(answers);
        drop(inner);
        self.changed.notify_one();
        result
    }

    /// Whether this commit may be stored; makes the group when the commit comes from outside any group.
    pub(crate) fn check_commit(&self, request: &CommitRequest<'_>) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() && (request.generation >= 0 || request.transactional) {
            return Err(ErrorCode::InvalidGroupId);
        }
        let now_ms = self.now_ms();
        let mut inner = self.inner.lock();
        let has_room = inner.groups.len() < self.groups_max;
        match inner.groups.get_mut(request.group_id) {
            Some(GroupEntry { consumer: Some(consumer), .. }) => {
                let knows_epochs = request.version >= MEMBER_EPOCH_VERSION_MIN;
                consumer.check_commit(request.member_id, request.generation, request.transactional, knows_epochs)
            }
            Some(entry) => {
                let (member_id, instance_id) = (request.member_id, request.instance_id);
                entry.group.check_commit(now_ms, member_id, instance_id, request.generation, request.transactional)
            }
            None if request.generation >= 0 => match request.transactional {
                false if request.version >= GROUP_NOT_FOUND_VERSION_MIN => Err(ErrorCode::GroupIdNotFound),
                _ => Err(ErrorCode::IllegalGeneration),
            },
            None if !has_room => Err(ErrorCode::CoordinatorNotAvailable),
            None => {
                inner.groups.insert(request.group_id.to_owned(), GroupEntry::default());
                Ok(())
            }
        }
    }

    /// Stores checked offsets.
    pub(crate) fn commit(&self, group_id: &str, offsets: Vec<(String, i32, CommittedOffset)>) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let entry = inner.groups.entry(group_id.to_owned()).or_default();
        let mut entries = Vec::with_capacity(offsets.len());
        for (topic, partition, committed) in offsets {
            entries.push(offset_entry(group_id, &topic, partition, &committed));
            entry.offsets.set(&topic, partition, committed);
        }
        self.journal.append(&entries)
    }

    /// Keeps checked offsets of a transaction until it ends.
    pub(crate) fn commit_pending(
        &self,
        group_id: &str,
        producer_id: i64,
        offsets: Vec<(String, i32, CommittedOffset)>,
    ) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let entry = inner.groups.entry(group_id.to_owned()).or_default();
        let mut entries = Vec::with_capacity(offsets.len());
        for (topic, partition, committed) in offsets {
            entries.push(pending_entry(group_id, producer_id, &topic, partition, &committed));
            entry.offsets.set_pending(producer_id, &topic, partition, committed);
        }
        self.journal.append(&entries)
    }

    /// Takes a transaction's offset from the journal.
    pub(crate) fn restore_pending(
        &self,
        group_id: &str,
        producer_id: i64,
        (topic, partition): (&str, i32),
        offset: CommittedOffset,
    ) {
        let mut inner = self.inner.lock();
        let entry = inner.groups.entry(group_id.to_owned()).or_default();
        entry.offsets.set_pending(producer_id, topic, partition, offset);
    }

    /// Commits or forgets the offsets of a transaction.
    pub(crate) fn end_transaction(&self, group_id: &str, producer_id: i64, commit: bool) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.groups.get_mut(group_id) else { return Ok(()) };
        let mut entries = Vec::new();
        for ((topic, partition), offset) in entry.offsets.take_pending(producer_id) {
            if commit {
                entries.push(offset_entry(group_id, &topic, partition, &offset));
                entry.offsets.set(&topic, partition, offset);
            }
        }
        entries.push(Entry::PendingEnded { group: group_id.to_owned(), producer_id });
        self.journal.append(&entries)
    }

    /// Lets `read` look at the offsets of a group; a group that does not exist has none.
    pub(crate) fn with_offsets<T>(&self, group_id: &str, read: impl FnOnce(&Offsets) -> T) -> T {
        let inner = self.inner.lock();
        match inner.groups.get(group_id) {
            Some(entry) => read(&entry.offsets),
            None => read(&Offsets::default()),
        }
    }

    /// OffsetDelete: one result per partition, or an error for all.
    pub(crate) fn delete_offsets(
        &self,
        group_id: &str,
        partitions: &[(String, i32)],
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let mut inner = self.inner.lock();
        let entry = inner.groups.get_mut(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        let consumers = entry.group.protocol_type() == subscription::CONSUMER_PROTOCOL_TYPE;
        if entry.consumer.is_none() && entry.group.state() != State::Empty && !consumers {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let subscribed = subscription::topics(&entry.group);
        let mut results = Vec::with_capacity(partitions.len());
        let mut entries = Vec::new();
        for (topic, partition) in partitions {
            if subscribed.contains(topic) || entry.consumer.as_ref().is_some_and(|group| group.is_subscribed(topic)) {
                results.push(Err(ErrorCode::GroupSubscribedToTopic));
                continue;
            }
            if entry.offsets.remove(topic, *partition) {
                let (group, topic) = (group_id.to_owned(), topic.clone());
                entries.push(Entry::OffsetDeleted { group, topic, partition: *partition });
            }
            results.push(Ok(()));
        }
        self.journal.append(&entries).map_err(|_| ErrorCode::KafkaStorageError)?;
        Ok(results)
    }

    /// DeleteGroups of one group.
    pub(crate) fn delete(&self, group_id: &str) -> Result<(), ErrorCode> {
        let mut inner = self.inner.lock();
        let entry = inner.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if entry.group.state() != State::Empty || entry.consumer.as_ref().is_some_and(|group| !group.is_empty()) {
            return Err(ErrorCode::NonEmptyGroup);
        }
        inner.groups.remove(group_id);
        let deleted = Entry::GroupDeleted { group: group_id.to_owned() };
        self.journal.append(&[deleted]).map_err(|_| ErrorCode::KafkaStorageError)
    }

    /// Forgets the offsets of a deleted topic.
    pub(crate) fn forget_topic(&self, topic: &str) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let mut entries = Vec::new();
        for (group, entry) in &mut inner.groups {
            for (_, partitions) in entry.offsets.topics().filter(|(name, _)| *name == topic) {
                entries.extend(partitions.keys().map(|partition| Entry::OffsetDeleted {
                    group: group.clone(),
                    topic: topic.to_owned(),
                    partition: *partition,
                }));
            }
            entry.offsets.remove_topic(topic);
        }
        self.journal.append(&entries)
    }

    /// Groups that are in use or hold offsets.
    pub(crate) fn list(&self) -> Vec<DescribedGroup> {
        let inner = self.inner.lock();
        let listed = inner.groups.iter().filter(|(_, entry)| !entry.is_dead());
        listed.map(|(id, entry)| entry.describe(id, false)).collect()
    }

    /// One group with its members.
    pub(crate) fn describe(&self, group_id: &str) -> Option<DescribedGroup> {
        let inner = self.inner.lock();
        let entry = inner.groups.get(group_id).filter(|entry| !entry.is_dead())?;
        Some(entry.describe(group_id, true))
    }

    /// Drops groups nobody uses. Called now and then.
    pub(crate) fn forget_dead_groups(&self) {
        self.inner.lock().groups.retain(|_, entry| !entry.is_dead());
    }

    /// All offsets, for a new journal.
    pub(crate) fn snapshot(&self) -> Vec<Entry> {
        let inner = self.inner.lock();
        let mut entries = Vec::new();
        for (group_id, entry) in &inner.groups {
            for (topic, partitions) in entry.offsets.topics() {
                let offsets = partitions.iter();
                entries.extend(offsets.map(|(partition, offset)| offset_entry(group_id, topic, *partition, offset)));
            }
            entries.extend(entry.offsets.pending().map(|(producer_id, topic, partition, offset)| {
                pending_entry(group_id, producer_id, topic, partition, offset)
            }));
            entries.extend(entry.consumer.as_ref().map(|consumer| {
                let (group, stored) = (group_id.clone(), consumer.to_stored());
                Entry::ConsumerGroup { group, stored }
            }));
        }
        entries
    }
}

impl GroupEntry {
    fn next_deadline_ms(&self) -> Option<u64> {
        let consumer = self.consumer.as_ref().and_then(ConsumerGroup::next_deadline_ms);
        self.group.next_deadline_ms().into_iter().chain(consumer).min()
    }

    /// Makes room for the classic protocol; tells whether that could be.
    fn become_classic(&mut self) -> bool {
        if self.consumer.as_ref().is_some_and(|group| !group.is_empty()) {
            return false;
        }
        self.consumer = None;
        true
    }

    fn is_dead(&self) -> bool {
        let unused = self.consumer.as_ref().is_none_or(ConsumerGroup::is_empty);
        unused && self.group.is_unused() && self.offsets.is_empty()
    }

    fn describe(&self, id: &str, with_members: bool) -> DescribedGroup {
        if let Some(consumer) = &self.consumer {
            return DescribedGroup {
                id: id.to_owned(),
                group_type: GroupType::Consumer,
                state: consumer.state(),
                protocol_type: subscription::CONSUMER_PROTOCOL_TYPE.to_owned(),
                protocol_name: consumer.assignor().as_str().to_owned(),
                members: Vec::new(),
            };
        }
        let group = &self.group;
        let members = if with_members { group.members() } else { &[] };
        let metadata_visible = !group.protocol_name().is_empty();
        DescribedGroup {
            id: id.to_owned(),
            group_type: GroupType::Classic,
            state: group.state().as_str(),
            protocol_type: group.protocol_type().to_owned(),
            protocol_name: group.protocol_name().to_owned(),
            members: members
                .iter()
                .map(|member| DescribedMember {
                    id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    metadata: member.metadata(group.protocol_name()),
                    assignment: if metadata_visible { member.assignment.clone() } else { Bytes::new() },
                })
                .collect(),
        }
    }
}

fn pending_entry(group: &str, producer_id: i64, topic: &str, partition: i32, committed: &CommittedOffset) -> Entry {
    Entry::PendingOffset {
        group: group.to_owned(),
        producer_id,
        topic: topic.to_owned(),
        partition,
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.clone(),
    }
}

fn offset_entry(group: &str, topic: &str, partition: i32, committed: &CommittedOffset) -> Entry {
    Entry::Offset {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition,
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.clone(),
    }
}
