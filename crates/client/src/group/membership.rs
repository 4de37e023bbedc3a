//! Membership in a group of any kind over the classic protocol: what Kafka Connect's workers use, and consumers.
//!
//! The handle and a background task share the state machine of [`super::classic`]. The task does what the machine says
//! and sleeps until its next heartbeat; the handle changes the machine and wakes the task.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::classic::{Classic, JoinProtocol, MemberId, MembershipEvent, Reaction, Step};
use super::closing::{Closing, LeaveMode};
use super::link::Link;
use super::options::MembershipOptions;
use super::wire::Requests;
use crate::cluster::Cluster;
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};

/// Shared by the handle, the task and whoever commits for the member.
#[derive(Debug)]
pub(crate) struct Member {
    options: MembershipOptions,
    coordinator: Arc<Coordinator>,
    machine: Mutex<Classic>,
    /// The machine was changed from outside the task.
    wake: Notify,
    /// An event was queued.
    ready: Notify,
    closing: Closing,
}

impl Member {
    pub(crate) fn id(&self) -> MemberId {
        self.machine.lock().id()
    }

    pub(crate) fn is_rebalancing(&self) -> bool {
        self.machine.lock().is_rebalancing()
    }

    /// A commit was refused because the coordinator does not know this member or generation.
    pub(crate) fn fenced(&self, id: &MemberId, error: Error) {
        self.machine.lock().on_fenced(id, error);
        self.ready.notify_one();
        self.wake.notify_one();
    }
}

/// Membership in a group. Made by [`Client::membership`](crate::Client::membership).
///
/// ```text
/// join(protocols) ─> next(): Lead ─> assign(assignments) ─┐
///        ^           next(): Assigned <───────────────────┘
///        └────────── next(): Rebalance, Lost
/// ```
///
/// Heartbeats go on in the background from the first join on, whatever the application does. Dropping the membership
/// leaves the group without waiting for it; [`leave`](Self::leave) waits.
#[derive(Debug)]
pub struct Membership {
    member: Arc<Member>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.member.closing.close(LeaveMode::Default);
    }
}

impl Membership {
    pub(crate) fn new(cluster: Arc<Cluster>, options: MembershipOptions) -> Result<Membership> {
        let coordinator = Arc::new(Coordinator::group(cluster, &options.group_id));
        Membership::with_coordinator(coordinator, options)
    }

    pub(crate) fn with_coordinator(coordinator: Arc<Coordinator>, options: MembershipOptions) -> Result<Membership> {
        options.validate()?;
        let member = Arc::new(Member {
            machine: Mutex::new(Classic::new(&options)),
            options,
            coordinator,
            wake: Notify::new(),
            ready: Notify::new(),
            closing: Closing::new(),
        });
        let task = tokio::spawn(run(Arc::clone(&member)));
        Ok(Membership { member, task: Some(task) })
    }

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Joins the group, or joins it again with other metadata. Returns at once: what comes of it is an event.
    pub fn join(&self, protocols: Vec<JoinProtocol>) {
        self.member.machine.lock().join(protocols);
        self.member.wake.notify_one();
    }

    /// The leader's answer to [`MembershipEvent::Lead`]: bytes per member id. A member that is absent gets none. An
    /// answer for another generation than the present one comes to nothing, the group has moved on.
    pub fn assign(&self, generation: i32, assignments: Vec<(String, Bytes)>) {
        self.member.machine.lock().assign(generation, assignments);
        self.member.wake.notify_one();
    }

    /// The next event. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::RetryTimeout`] when the coordinator could not be reached for `retry_timeout_ms`; attempts go on.
    /// Any other error ends the membership: another member took this instance id, the group uses other protocols,
    /// permission is missing. After it, [`Error::Closed`].
    pub async fn next(&self) -> Result<MembershipEvent> {
        loop {
            let ready = self.member.ready.notified();
            {
                let mut machine = self.member.machine.lock();
                if let Some(event) = machine.pop_event() {
                    return event;
                }
                if machine.has_ended() {
                    return Err(Error::Closed { what: "membership" });
                }
            }
            ready.await;
        }
    }

    /// This member's id, empty while the coordinator has given none.
    pub fn member_id(&self) -> String {
        self.member.id().member_id
    }

    /// The generation this member belongs to, -1 while it belongs to none.
    pub fn generation(&self) -> i32 {
        self.member.id().generation
    }

    /// Whether this member leads the present generation.
    pub fn is_leader(&self) -> bool {
        self.member.machine.lock().is_leader()
    }

    /// Ends the membership, and waits until the coordinator knows or `request_timeout_ms` has passed.
    pub async fn leave(mut self, mode: LeaveMode) {
        self.member.closing.close(mode);
        if let Some(task) = self.task.take() {
            // A task that was aborted with the runtime has nothing left to do.
            let _ = task.await;
        }
    }

    /// Leaves the group but may join it again.
    pub(crate) async fn step_out(&self) {
        let id = self.member.id();
        self.member.machine.lock().reset();
        self.member.wake.notify_one();
        if !id.member_id.is_empty() {
            leave(&self.member, &id).await;
        }
    }
}

/// Does what the machine says until the membership is closed.
async fn run(member: Arc<Member>) {
    let mut link = Link::new(Arc::clone(&member.coordinator));
    let working = async {
        loop {
            step(&member, &mut link).await;
        }
    };
    let mode = member.closing.run(working).await;
    let id = member.id();
    let leaves = match mode {
        LeaveMode::Default => !member.machine.lock().is_static(),
        LeaveMode::Leave => true,
        LeaveMode::Remain => false,
    };
    member.machine.lock().end();
    member.ready.notify_one();
    if leaves && !id.member_id.is_empty() {
        leave(&member, &id).await;
    }
}

/// A join may be held on the member's own connection: the leave takes the shared one.
async fn leave(member: &Member, id: &MemberId) {
    let coordinator = &*member.coordinator;
    let leaving = coordinator.run(|connection| async move {
        Requests { coordinator, options: &member.options, connection: &connection }.leave(&id.member_id).await
    });
    let timeout = coordinator.cluster().options().request_timeout();
    match tokio::time::timeout(timeout, leaving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the session ends by itself"),
        Err(_) => tracing::debug!("the coordinator did not answer the leave, the session ends by itself"),
    }
}

async fn step(member: &Member, link: &mut Link) {
    let step = member.machine.lock().next_step(Instant::now());
    let reaction = match step {
        Step::Wait(until) => return wait(member, until).await,
        step => send(member, link, step).await,
    };
    member.ready.notify_one();
    match reaction {
        Reaction::Go => link.succeeded(),
        Reaction::BackOff(error) => {
            if let Some(error) = link.back_off(error).await {
                member.machine.lock().push_error(error);
                member.ready.notify_one();
            }
        }
    }
}

async fn wait(member: &Member, until: Option<Instant>) {
    let woken = member.wake.notified();
    match until {
        None => woken.await,
        // Being woken or being due leads to the same next look at the machine.
        Some(until) => drop(tokio::time::timeout_at(until, woken).await),
    }
}

/// Sends what a step says and hands the answer to the machine. A connection that cannot be made is a failed request.
async fn send(member: &Member, link: &mut Link, step: Step) -> Reaction {
    let connection = link.connection().await;
    let requests = connection.as_ref().map(|connection| Requests {
        coordinator: &member.coordinator,
        options: &member.options,
        connection,
    });
    match step {
        Step::Wait(_) => Reaction::Go,
        Step::Join { member_id, protocols, attempt } => {
            let answer = match requests {
                Ok(requests) => requests.join(&member_id, protocols).await,
                Err(error) => Err((error.clone(), None)),
            };
            member.machine.lock().on_joined(Instant::now(), attempt, answer)
        }
        Step::Sync { id, protocol, assignments } => {
            let answer = match requests {
                Ok(requests) => requests.sync(&id, &protocol, assignments).await,
                Err(error) => Err(error.clone()),
            };
            member.machine.lock().on_synced(Instant::now(), &id, answer)
        }
        Step::Heartbeat(id) => {
            let answer = match requests {
                Ok(requests) => requests.heartbeat(&id).await,
                Err(error) => Err(error.clone()),
            };
            member.machine.lock().on_heartbeat(Instant::now(), &id, answer)
        }
    }
}
