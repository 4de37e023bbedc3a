//! A member under the consumer group protocol: the task that sends the heartbeats of [`super::modern`], and its handle.

use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kanat_protocol::messages::{ApiKey, ConsumerGroupHeartbeatRequest, Uuid};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::classic::{MemberId, Reaction};
use super::closing::{Closing, LeaveMode};
use super::link::Link;
use super::modern::{Beat, BeatAnswer, Event, Interests, Modern, Partitions, Step};
use super::options::GroupOptions;
use crate::cluster::{str_bytes, topic_name};
use crate::connection::Connection;
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};

/// Epoch with which a member leaves for good.
const LEAVE_EPOCH: i32 = -1;
/// Epoch with which a static member leaves and keeps its partitions until its session ends.
const STATIC_LEAVE_EPOCH: i32 = -2;

/// Shared by the handle, the task and whoever commits for the member.
#[derive(Debug)]
pub(crate) struct ModernMember {
    instance_id: Option<String>,
    rack: Option<String>,
    server_assignor: Option<String>,
    rebalance_timeout_ms: u32,
    coordinator: Arc<Coordinator>,
    machine: Mutex<Modern>,
    wake: Notify,
    ready: Notify,
    closing: Closing,
}

impl ModernMember {
    pub(crate) fn id(&self) -> MemberId {
        self.machine.lock().id()
    }

    pub(crate) fn fenced(&self, id: &MemberId, error: Error) {
        self.machine.lock().on_fenced(id, error);
        self.ready.notify_one();
        self.wake.notify_one();
    }

    async fn beat(&self, connection: &Connection, beat: &Beat) -> Result<BeatAnswer> {
        let joins = beat.id.generation == 0;
        let told = beat.interests.as_ref();
        // Null means "as before", so a member that may have had a regular expression takes it back with an empty one.
        let version = connection.version(ApiKey::ConsumerGroupHeartbeat)?;
        let no_regex = if joins || version < 1 { None } else { Some("") };
        let regex = told.and_then(|interests| interests.regex.as_deref().or(no_regex));
        let names = told.map(|interests| interests.topics.iter().map(|name| topic_name(name)).collect());
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.coordinator.group_id())
            .with_member_id(str_bytes(&beat.id.member_id))
            .with_member_epoch(beat.id.generation)
            .with_instance_id(self.instance_id.as_deref().map(str_bytes))
            .with_rack_id(self.rack.as_deref().filter(|_| told.is_some()).map(str_bytes))
            .with_rebalance_timeout_ms(
                told.map_or(-1, |_| i32::try_from(self.rebalance_timeout_ms).unwrap_or(i32::MAX)),
            )
            .with_subscribed_topic_names(names)
            .with_subscribed_topic_regex(regex.map(str_bytes))
            .with_server_assignor(self.server_assignor.as_deref().filter(|_| told.is_some()).map(str_bytes))
            .with_topic_partitions(
                beat.held.as_ref().map(|held| if joins { Vec::new() } else { wire_partitions(held) }),
            );
        let timeout = self.coordinator.cluster().options().request_timeout();
        let response = connection.request_version(ApiKey::ConsumerGroupHeartbeat, version, &request, timeout).await?;
        if let Some(code) = ErrorCode::from_code(response.error_code) {
            let message = response.error_message.map(|message| message.as_str().to_owned());
            let subject = self.coordinator.subject();
            return Err(connection.server_error(ApiKey::ConsumerGroupHeartbeat, subject, code, message));
        }
        let target = response.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.into_iter();
            topics.map(|topic| (topic.topic_id.as_u128(), topic.partitions)).collect()
        });
        Ok(BeatAnswer {
            epoch: response.member_epoch,
            member_id: response.member_id.map(|id| id.as_str().to_owned()),
            heartbeat_interval_ms: u64::try_from(response.heartbeat_interval_ms).unwrap_or_default(),
            target,
        })
    }

    /// Says that the member is gone. The session ends by itself if that cannot be said.
    async fn leave(&self, id: &MemberId, epoch: i32) {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.coordinator.group_id())
            .with_member_id(str_bytes(&id.member_id))
            .with_instance_id(self.instance_id.as_deref().map(str_bytes))
            .with_rebalance_timeout_ms(-1)
            .with_member_epoch(epoch);
        let timeout = self.coordinator.cluster().options().request_timeout();
        let request = &request;
        let leaving = self.coordinator.run(|connection| async move {
            let response = connection.request(ApiKey::ConsumerGroupHeartbeat, request, timeout).await?;
            ErrorCode::from_code(response.error_code).map_or(Ok(()), |code| {
                Err(connection.server_error(ApiKey::ConsumerGroupHeartbeat, self.coordinator.subject(), code, None))
            })
        });
        match tokio::time::timeout(timeout, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the session ends by itself"),
            Err(_) => tracing::debug!("the coordinator did not answer the leave, the session ends by itself"),
        }
    }
}

fn wire_partitions(held: &Partitions) -> Vec<TopicPartitions> {
    let topic = |(id, partitions): (&u128, &Vec<i32>)| {
        TopicPartitions::default().with_topic_id(Uuid::from_u128(*id)).with_partitions(partitions.clone())
    };
    held.iter().map(topic).collect()
}

/// The handle. Dropping it leaves the group without waiting for it.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    member: Arc<ModernMember>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.member.closing.close(LeaveMode::Default);
    }
}

impl Heartbeats {
    pub(crate) fn new(coordinator: Arc<Coordinator>, options: &GroupOptions, interests: Interests) -> Heartbeats {
        let member = Arc::new(ModernMember {
            instance_id: options.instance_id.clone(),
            rack: options.rack.clone(),
            server_assignor: options.server_assignor.clone(),
            rebalance_timeout_ms: options.max_poll_interval_ms,
            coordinator,
            machine: Mutex::new(Modern::new(interests, fastrand::u128(..).to_be_bytes())),
            wake: Notify::new(),
            ready: Notify::new(),
            closing: Closing::new(),
        });
        let task = tokio::spawn(run(Arc::clone(&member)));
        Heartbeats { member, task: Some(task) }
    }

    pub(crate) fn member(&self) -> &Arc<ModernMember> {
        &self.member
    }

    /// Changes the machine and wakes the task.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Modern) -> T) -> T {
        let changed = change(&mut self.member.machine.lock());
        self.member.wake.notify_one();
        changed
    }

    /// The next event; the errors are those of [`Membership::next`](super::Membership::next).
    pub(crate) async fn next(&self) -> Result<Event> {
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

    /// Leaves the group but may join it again.
    pub(crate) async fn step_out(&self) {
        let id = self.member.id();
        self.with(Modern::reset);
        self.member.leave(&id, LEAVE_EPOCH).await;
    }

    pub(crate) async fn leave(mut self, mode: LeaveMode) {
        self.member.closing.close(mode);
        if let Some(task) = self.task.take() {
            // A task that was aborted with the runtime has nothing left to do.
            let _ = task.await;
        }
    }
}

async fn run(member: Arc<ModernMember>) {
    let mut link = Link::new(Arc::clone(&member.coordinator));
    let working = async {
        loop {
            step(&member, &mut link).await;
        }
    };
    let mode = member.closing.run(working).await;
    let id = member.id();
    member.machine.lock().end();
    member.ready.notify_one();
    let epoch = match (mode, &member.instance_id) {
        (LeaveMode::Default, None) | (LeaveMode::Leave, _) => LEAVE_EPOCH,
        (LeaveMode::Default | LeaveMode::Remain, Some(_)) => STATIC_LEAVE_EPOCH,
        // A dynamic member that remains says nothing: its session ends.
        (LeaveMode::Remain, None) => return,
    };
    if id.generation > 0 {
        member.leave(&id, epoch).await;
    }
}

async fn step(member: &ModernMember, link: &mut Link) {
    let step = member.machine.lock().next_step(Instant::now());
    let beat = match step {
        Step::Wait(until) => {
            let woken = member.wake.notified();
            match until {
                None => woken.await,
                // Being woken or being due leads to the same next look at the machine.
                Some(until) => drop(tokio::time::timeout_at(until, woken).await),
            }
            return;
        }
        Step::Beat(beat) => beat,
    };
    let answer = match link.connection().await {
        Ok(connection) => member.beat(&connection, &beat).await,
        Err(error) => Err(error),
    };
    let reaction = member.machine.lock().on_answer(Instant::now(), &beat, answer);
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
