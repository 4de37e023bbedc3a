//! Commits of a member: one request under way at a time, in the order they were asked for.
//!
//! Two commits under way could overtake each other on a retry and set the group back; so later commits wait, and those
//! that wait leave together. A commit of a partition that was released is refused here, before the coordinator would
//! have to (delivery rule 4).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::core::Core;
use crate::backoff::Retry;
use crate::error::{Error, Result};
use crate::group::classic::MemberId;
use crate::group::offsets;
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Commits that may wait; the next one is refused.
const WAITING_COMMITS_MAX: usize = 10_000;

/// A commit that was asked for. It goes on when this is dropped; awaiting it gives its outcome.
#[derive(Debug)]
pub struct CommitFuture {
    outcome: oneshot::Receiver<Result<()>>,
}

impl Future for CommitFuture {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let closed = |_| Err(Error::Closed { what: "group consumer" });
        Pin::new(&mut self.outcome).poll(context).map(|outcome| outcome.unwrap_or_else(closed))
    }
}

/// An offset to commit.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) partition: TopicPartition,
    pub(super) offset: OffsetAndMetadata,
    /// The ownership of the partition at the time, `None` for a partition of others.
    pub(super) ownership: Option<u64>,
}

#[derive(Debug)]
struct Job {
    offsets: Vec<Asked>,
    outcome: oneshot::Sender<Result<()>>,
}

/// The commits that wait.
#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: Mutex<VecDeque<Job>>,
    wake: Notify,
}

impl Commits {
    /// Queues a commit.
    pub(super) fn push(&self, offsets: Vec<Asked>) -> CommitFuture {
        let (sender, outcome) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        let refusal = if offsets.is_empty() {
            Some(Ok(()))
        } else if waiting.len() >= WAITING_COMMITS_MAX {
            Some(Err(Error::TooManyCommits { waiting_max: WAITING_COMMITS_MAX }))
        } else {
            None
        };
        match refusal {
            // The receiver is right here.
            Some(outcome) => drop(sender.send(outcome)),
            None => waiting.push_back(Job { offsets, outcome: sender }),
        }
        drop(waiting);
        self.wake.notify_one();
        CommitFuture { outcome }
    }

    async fn next(&self) -> Vec<Job> {
        loop {
            let woken = self.wake.notified();
            let jobs = std::mem::take(&mut *self.waiting.lock());
            if !jobs.is_empty() {
                return jobs.into();
            }
            woken.await;
        }
    }
}

/// Commits what is asked for, and by itself what was processed, until the task is aborted.
pub(super) async fn run(core: Arc<Core>) {
    let interval = core.options.auto_commit_interval_ms.map(Duration::from_millis);
    let mut due = interval.map(|interval| Instant::now() + interval);
    loop {
        let automatic = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            jobs = core.commits.next() => commit(&core, jobs).await,
            () = automatic => {
                due = interval.map(|interval| Instant::now() + interval);
                commit_processed(&core, None);
            }
        }
    }
}

/// Queues an automatic commit of these partitions (`None`: of all). What fails is due again.
fn commit_processed(core: &Arc<Core>, of: Option<&[TopicPartition]>) {
    let processed = core.take_processed(of);
    if processed.is_empty() {
        return;
    }
    let commit = core.commit(processed.clone());
    let core = Arc::clone(core);
    tokio::spawn(async move {
        if let Err(error) = commit.await {
            tracing::warn!(%error, group = %core.options.group_id, "the automatic commit failed and is repeated");
            core.give_back(&processed);
        }
    });
}

/// Ends when every commit asked for is done, the automatic one of `of` (`None`: of everything) included.
pub(super) async fn flush(core: &Core, of: Option<&[TopicPartition]>) -> Result<()> {
    let processed = match core.options.auto_commit_interval_ms {
        Some(_) => core.take_processed(of),
        None => Vec::new(),
    };
    if !processed.is_empty() {
        return core.commit(processed).await;
    }
    let (sender, outcome) = oneshot::channel();
    // Nothing to commit, but behind everything that has.
    core.commits.waiting.lock().push_back(Job { offsets: Vec::new(), outcome: sender });
    core.commits.wake.notify_one();
    CommitFuture { outcome }.await
}

/// Commits several jobs as one: of a partition named twice, the later offset counts.
async fn commit(core: &Core, jobs: Vec<Job>) {
    let mut merged: BTreeMap<TopicPartition, Asked> = BTreeMap::new();
    for asked in jobs.iter().flat_map(|job| &job.offsets).filter(|asked| core.may_commit(asked)) {
        merged.insert(asked.partition.clone(), asked.clone());
    }
    let mut outcomes: HashMap<TopicPartition, (Option<u64>, Result<()>)> = HashMap::new();
    if !merged.is_empty() {
        let asked: Vec<Asked> = merged.into_values().collect();
        let decided = attempt_until_decided(core, &asked).await;
        for (place, Asked { partition, ownership, .. }) in asked.into_iter().enumerate() {
            let outcome = match &decided {
                Ok(refused) => refused.get(&place).map_or(Ok(()), |error| Err(error.clone())),
                Err(error) => Err(error.clone()),
            };
            outcomes.insert(partition, (ownership, outcome));
        }
    }
    let outcome = |asked: &Asked| match outcomes.get(&asked.partition) {
        Some((ownership, outcome)) if *ownership == asked.ownership => outcome.clone(),
        _ => Err(not_assigned(asked)),
    };
    for job in jobs {
        // Whoever does not wait for the outcome has dropped the receiver.
        let _ = job.outcome.send(job.offsets.iter().try_for_each(outcome));
    }
}

fn not_assigned(asked: &Asked) -> Error {
    Error::NotAssigned { topic_partition: asked.partition.clone() }
}

/// Errors by place in what was asked; the other offsets are committed.
type Refused = HashMap<usize, Error>;

/// Sends the offsets until the coordinator decides. Between two attempts the member may have lost partitions, and may
/// even own them again, beyond what another has processed since: those are left out.
async fn attempt_until_decided(core: &Core, asked: &[Asked]) -> Result<Refused> {
    let mut retry = core.coordinator.cluster().retry();
    loop {
        // Whoever it is now, it became so after it lost what it owned under another name.
        let identity = core.identity();
        let owned: Vec<bool> = asked.iter().map(|asked| core.may_commit(asked)).collect();
        let Some(first) = asked.iter().zip(&owned).find_map(|(asked, owned)| owned.then_some(asked)) else {
            return Ok(asked.iter().map(not_assigned).enumerate().collect());
        };
        // Out of the group, and about to be told so. Without a generation this would be a commit of no member, which is
        // taken while the group is empty.
        if identity.generation < 0 {
            retry.pause(not_assigned(first)).await?;
            continue;
        }
        let offsets: Vec<_> = asked
            .iter()
            .zip(&owned)
            .filter(|(_, owned)| **owned)
            .map(|(asked, _)| (asked.partition.clone(), asked.offset.clone()))
            .collect();
        let connection = match core.coordinator.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                again(core, &mut retry, error).await?;
                continue;
            }
        };
        let answers = match offsets::commit(&core.coordinator, &connection, &identity, &offsets).await {
            Ok(answers) => answers,
            Err(error) => {
                again(core, &mut retry, error).await?;
                continue;
            }
        };
        let refused = |partition: &TopicPartition, code| {
            let subject = format!("{} of {partition}", core.coordinator.subject());
            connection.server_error(ApiKey::OffsetCommit, subject, code, None)
        };
        let membership = answers.iter().find_map(|(partition, code)| {
            code.filter(|code| concerns_membership(*code)).map(|code| (refused(partition, code), code))
        });
        let Some((error, code)) = membership else {
            let codes: HashMap<_, _> = answers.iter().filter_map(|(name, code)| Some((name, (*code)?))).collect();
            let error = |(asked, owned): (&Asked, &bool)| match codes.get(&asked.partition) {
                _ if !owned => Some(not_assigned(asked)),
                code => code.map(|code| refused(&asked.partition, *code)),
            };
            let errors = asked.iter().zip(&owned).map(error).enumerate();
            return Ok(errors.filter_map(|(place, error)| Some((place, error?))).collect());
        };
        let sent = MemberId { generation: identity.generation, member_id: identity.member_id };
        // The group is about to have, or has by now, another generation in which this member may still own it all.
        let changing = core.seat.is_changing()
            || core.seat.id() != sent
            || matches!(code, ErrorCode::RebalanceInProgress | ErrorCode::StaleMemberEpoch);
        if !changing || !asked.iter().any(|asked| core.may_commit(asked)) {
            core.seat.fenced(&sent, error.clone());
            return Err(error);
        }
        retry.pause(error).await?;
    }
}

/// After a failure of the coordinator or the way to it.
async fn again(core: &Core, retry: &mut Retry, error: Error) -> Result<()> {
    if error.is_retriable() {
        core.coordinator.doubt(error.code());
    }
    retry.wait(error).await
}

/// Codes by which a coordinator says that this member, or this generation of it, may not commit.
fn concerns_membership(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::RebalanceInProgress
            | ErrorCode::FencedInstanceId
            | ErrorCode::StaleMemberEpoch
            | ErrorCode::FencedMemberEpoch
    )
}
