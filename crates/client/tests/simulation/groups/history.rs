//! What members and brokers did in a run, and the rules it has to obey:
//!
//! * What a member gets is a partition's records in order, from where it was assigned on, and nothing of a partition it
//!   released.
//! * No partition has two members in one generation. A member that goes on with a partition that is another's already
//!   loses it.
//! * What is committed was processed by whoever commits it, and no commit that was answered is undone.
//! * In the end every record was processed; exactly once if nothing went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use kanat_client::{Fetched, TopicPartition};
use kanat_protocol::compression::Decompressor;
use kanat_protocol::frame::{RequestFrame, decode_body, decode_response_header};
use kanat_protocol::messages::{
    ApiKey, ConsumerProtocolAssignment, Decodable, OffsetCommitRequest, OffsetCommitResponse, SyncGroupRequest,
    SyncGroupResponse,
};

use super::plan::Kind;
use crate::trace;
use crate::wire::Tap;

/// One time a member owned a partition.
#[derive(Debug, Clone)]
struct Owned {
    start: i64,
    /// Behind what was delivered.
    next: i64,
    /// Behind what was processed.
    processed: i64,
    /// It is another member's already, without this one having released it.
    taken: bool,
}

#[derive(Debug, Default)]
struct Life {
    owned: BTreeMap<TopicPartition, Owned>,
    /// The last ownership of what is not owned any more: its commits may still be under way.
    before: BTreeMap<TopicPartition, Owned>,
}

#[derive(Debug, Default)]
struct Partition {
    /// How often each record was processed.
    counts: Vec<u32>,
    /// Behind the last record processed.
    processed: i64,
    /// The largest offset whose commit was answered.
    committed: i64,
    /// Behind the last record written.
    end: i64,
}

/// How much of what the rules are about happened.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Commits that were answered.
    pub(crate) commits: usize,
    /// Partitions that were given up in order, that were lost, and that others had before their owners knew.
    pub(crate) released: usize,
    pub(crate) lost: usize,
    pub(crate) taken: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.commits += other.commits;
        self.released += other.released;
        self.lost += other.lost;
        self.taken += other.taken;
    }
}

#[derive(Debug, Default)]
struct Inner {
    violation: Option<String>,
    lives: Vec<Life>,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Who has what, by generation of the classic protocol.
    generations: BTreeMap<i32, BTreeMap<TopicPartition, String>>,
    /// Counts changes of ownership.
    changes: usize,
    tally: Tally,
}

#[derive(Debug)]
pub(crate) struct History {
    kind: Kind,
    inner: Mutex<Inner>,
}

impl History {
    pub(crate) fn new(kind: Kind) -> History {
        History { kind, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A violation found while it was locked is reported where it was found.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A new life; returns its number.
    pub(crate) fn begin(&self) -> usize {
        let mut inner = self.lock();
        inner.lives.push(Life::default());
        inner.lives.len() - 1
    }

    pub(crate) fn added(&self, partition: TopicPartition) {
        self.lock().partitions.entry(partition).or_default();
    }

    pub(crate) fn written(&self, partition: &TopicPartition, end: i64) {
        let mut inner = self.lock();
        let known = inner.partitions.get_mut(partition).expect("it was added");
        known.end = end;
        known.counts.resize(usize::try_from(end).unwrap(), 0);
    }

    pub(crate) fn assigned(&self, life: usize, partition: &TopicPartition, start: i64) {
        trace::note(|| format!("member {life} has {partition} from {start} on"));
        let mut inner = self.lock();
        inner.changes += 1;
        let known = &inner.partitions[partition];
        let (processed, committed) = (known.processed, known.committed);
        if start > processed {
            inner.violate(format!("{partition} is assigned from {start} on, and {processed} is not processed"));
        }
        if start < committed {
            inner.violate(format!("{partition} is assigned from {start} on after a commit of {committed}"));
        }
        for other in 0..inner.lives.len() {
            let Some(owned) = inner.lives[other].owned.get_mut(partition) else { continue };
            owned.taken = true;
            inner.tally.taken += 1;
            if other == life || self.kind == Kind::Clean {
                inner.violate(format!("{partition} is assigned to {life} while {other} has it"));
            }
        }
        let owned = Owned { start, next: start, processed: start, taken: false };
        let life = &mut inner.lives[life];
        life.before.remove(partition);
        life.owned.insert(partition.clone(), owned);
    }

    pub(crate) fn delivered(&self, life: usize, fetched: &Fetched) {
        let mut inner = self.lock();
        let (partition, first, next) = (&fetched.tp, fetched.first_offset, fetched.next_offset);
        trace::note(|| format!("member {life} gets {partition} {first}..{next}"));
        let mut decompressor = Decompressor::new(1 << 20);
        let mut count = 0;
        for batch in &fetched.batches {
            let records = batch.records(&mut decompressor).unwrap();
            count += records.iter().filter(|record| record.as_ref().unwrap().offset >= first).count();
        }
        if i64::try_from(count) != Ok(next - first) {
            inner.violate(format!("{partition} {first}..{next} came with {count} records"));
        }
        let expected = inner.lives[life].owned.get_mut(partition).map(|owned| std::mem::replace(&mut owned.next, next));
        if expected != Some(first) {
            inner.violate(format!("member {life} gets {partition} from {first} on and not from {expected:?}"));
        }
    }

    pub(crate) fn processed(&self, life: usize, fetched: &Fetched) {
        let mut inner = self.lock();
        let (partition, first, next) = (&fetched.tp, fetched.first_offset, fetched.next_offset);
        if let Some(owned) = inner.lives[life].owned.get_mut(partition) {
            owned.processed = next;
        }
        let known = inner.partitions.get_mut(partition).expect("it was added");
        let range = usize::try_from(first).unwrap()..usize::try_from(next).unwrap();
        known.counts[range].iter_mut().for_each(|count| *count += 1);
        known.processed = known.processed.max(next);
    }

    pub(crate) fn released(&self, life: usize, partitions: &[TopicPartition]) {
        trace::note(|| format!("member {life} releases {partitions:?}"));
        let mut inner = self.lock();
        for partition in partitions {
            let Some(owned) = inner.give_up(life, partition) else { continue };
            inner.tally.released += 1;
            if owned.taken && self.kind != Kind::Rough {
                inner.violate(format!("member {life} releases {partition} after another has got it"));
            }
        }
    }

    pub(crate) fn lost(&self, life: usize, partitions: &[TopicPartition]) {
        trace::note(|| format!("member {life} loses {partitions:?}"));
        let mut inner = self.lock();
        if self.kind == Kind::Clean {
            inner.violate(format!("member {life} loses {partitions:?}"));
        }
        for partition in partitions {
            inner.give_up(life, partition);
            inner.tally.lost += 1;
        }
    }

    /// The process is gone, or is about to leave.
    pub(crate) fn over(&self, life: usize) {
        trace::note(|| format!("member {life} is over"));
        let mut inner = self.lock();
        let owned = std::mem::take(&mut inner.lives[life].owned);
        inner.lives[life].before.extend(owned);
        inner.changes += 1;
    }

    pub(crate) fn failed(&self, life: usize, what: &str, error: &kanat_client::Error) {
        trace::note(|| format!("member {life}: {what}: {error}"));
        let is_passing = matches!(error, kanat_client::Error::RetryTimeout { .. });
        if self.kind == Kind::Clean || (what == "next" && !is_passing) {
            self.lock().violate(format!("member {life}: {what}: {error}"));
        }
    }

    /// Changes of ownership so far.
    pub(crate) fn changes(&self) -> usize {
        self.lock().changes
    }

    pub(crate) fn tally(&self) -> Tally {
        self.lock().tally
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// What is missing before every partition has one owner who has processed all of it.
    pub(crate) fn unsettled(&self) -> Option<String> {
        let inner = self.lock();
        for (partition, known) in &inner.partitions {
            let owners = inner.lives.iter().enumerate().filter(|(_, life)| life.owned.contains_key(partition));
            let owners: Vec<usize> = owners.map(|(number, _)| number).collect();
            if owners.len() != 1 {
                return Some(format!("{partition} has the owners {owners:?}"));
            }
            if known.processed < known.end {
                return Some(format!("{partition} is processed to {} of {} by {owners:?}", known.processed, known.end));
            }
        }
        None
    }

    /// The end of the run: what was committed, by the broker.
    pub(crate) fn check(&self, committed: &BTreeMap<TopicPartition, i64>) {
        let inner = self.lock();
        assert_eq!(inner.violation, None);
        for (partition, known) in &inner.partitions {
            let committed = committed.get(partition).copied().unwrap_or(0);
            assert!(
                committed <= known.processed,
                "{partition}: {committed} is committed, {} processed",
                known.processed
            );
            assert!(committed >= known.committed, "{partition}: {committed} is committed after {}", known.committed);
            let wrong: BTreeSet<u32> = match self.kind {
                Kind::Clean => known.counts.iter().copied().filter(|count| *count != 1).collect(),
                _ => known.counts.iter().copied().filter(|count| *count == 0).collect(),
            };
            assert!(wrong.is_empty(), "{partition}: records were processed {:?} times", known.counts);
        }
    }
}

impl Inner {
    fn violate(&mut self, what: String) {
        trace::note(|| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    fn give_up(&mut self, life: usize, partition: &TopicPartition) -> Option<Owned> {
        self.changes += 1;
        let owned = self.lives[life].owned.remove(partition)?;
        self.lives[life].before.insert(partition.clone(), owned.clone());
        Some(owned)
    }

    fn commit_asked(&mut self, life: usize, partition: &TopicPartition, offset: i64) {
        let known = self.lives[life].owned.get(partition).or_else(|| self.lives[life].before.get(partition));
        match known.map(|owned| (owned.start, owned.processed)) {
            None => self.violate(format!("member {life} commits {offset} of {partition}, which it never had")),
            Some((_, processed)) if offset > processed => {
                self.violate(format!("member {life} commits {offset} of {partition}, and processed {processed}"));
            }
            Some((start, _)) if offset < start => {
                self.violate(format!("member {life} commits {offset} of {partition}, and began at {start}"));
            }
            Some(_) => {}
        }
    }

    fn synced(&mut self, generation: i32, member: &str, assignment: &Bytes) {
        if assignment.is_empty() {
            return;
        }
        let version = i16::from_be_bytes(assignment[..2].try_into().unwrap());
        let assigned = ConsumerProtocolAssignment::decode(&mut assignment.slice(2..), version).unwrap();
        for topic in assigned.assigned_partitions {
            for partition in topic.partitions {
                let partition = TopicPartition::new(topic.topic.0.as_str(), partition);
                let members = self.generations.entry(generation).or_default();
                let before = members.insert(partition.clone(), member.to_owned());
                if before.as_ref().is_some_and(|before| before != member) {
                    self.violate(format!("{partition} is {before:?}'s and {member}'s in generation {generation}"));
                }
            }
        }
    }
}

/// Watches what one life says to the brokers.
#[derive(Debug)]
pub(crate) struct LifeTap {
    pub(crate) life: usize,
    pub(crate) history: std::sync::Arc<History>,
}

fn body<M: kanat_protocol::messages::Body>(request: &RequestFrame) -> M {
    decode_body(request.api_key, request.api_version, request.body.clone()).unwrap()
}

fn answer_body<M: kanat_protocol::messages::Body>(request: &RequestFrame, answer: &Bytes) -> M {
    let (api, version) = (request.api_key, request.api_version);
    let (_, body) = decode_response_header(answer.clone(), api, version).unwrap();
    decode_body(api, version, body).unwrap()
}

impl Tap for LifeTap {
    fn requested(&self, request: &RequestFrame) {
        if request.api_key != ApiKey::OffsetCommit {
            return;
        }
        for topic in body::<OffsetCommitRequest>(request).topics {
            for row in topic.partitions {
                let partition = TopicPartition::new(topic.name.0.as_str(), row.partition_index);
                trace::note(|| format!("member {} commits {} of {partition}", self.life, row.committed_offset));
                self.history.lock().commit_asked(self.life, &partition, row.committed_offset);
            }
        }
    }

    fn answered(&self, request: &RequestFrame, answer: &Bytes) {
        match request.api_key {
            ApiKey::OffsetCommit => {
                let asked = body::<OffsetCommitRequest>(request);
                let asked = asked.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |row| (topic, row)));
                let offsets: BTreeMap<_, _> = asked
                    .map(|(topic, row)| ((topic.name.0.as_str(), row.partition_index), row.committed_offset))
                    .collect();
                let mut inner = self.history.lock();
                for topic in answer_body::<OffsetCommitResponse>(request, answer).topics {
                    for row in topic.partitions.iter().filter(|row| row.error_code == 0) {
                        let offset = offsets[&(topic.name.0.as_str(), row.partition_index)];
                        let partition = TopicPartition::new(topic.name.0.as_str(), row.partition_index);
                        let known = inner.partitions.get_mut(&partition).expect("it was added");
                        known.committed = known.committed.max(offset);
                        inner.tally.commits += 1;
                    }
                }
            }
            ApiKey::SyncGroup => {
                let response = answer_body::<SyncGroupResponse>(request, answer);
                if response.error_code == 0 {
                    let asked = body::<SyncGroupRequest>(request);
                    let mut inner = self.history.lock();
                    // A static member that comes back in its generation has another member id.
                    let member = asked.group_instance_id.as_ref().unwrap_or(&asked.member_id);
                    inner.synced(asked.generation_id, member.as_str(), &response.assignment);
                }
            }
            _ => {}
        }
    }
}
