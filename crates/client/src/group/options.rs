//! Options of a group consumer and of a bare membership.

use std::sync::Arc;

use super::assignor::{Assignor, CooperativeStickyAssignor, RebalanceMode};
use crate::consumer::ConsumerOptions;
use crate::error::{Error, Result};

/// What a group consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// These topics; one that does not exist yet is picked up when it does.
    Topics(Vec<String>),
    /// Every topic whose whole name matches, as in the Java client; topics created later too. Under the classic
    /// protocol the client matches (look-around works, internal topics never match), under the consumer protocol the
    /// coordinator does, in RE2 syntax.
    Regex(String),
}

impl<S: Into<String>, const N: usize> From<[S; N]> for Subscription {
    fn from(topics: [S; N]) -> Self {
        Subscription::Topics(topics.into_iter().map(Into::into).collect())
    }
}

impl<S: Into<String>> From<Vec<S>> for Subscription {
    fn from(topics: Vec<S>) -> Self {
        Subscription::Topics(topics.into_iter().map(Into::into).collect())
    }
}

/// Who decides over the assignment: Kafka's `group.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// One of the members (`classic`): every broker speaks it.
    #[default]
    Classic,
    /// The coordinator (`consumer`, KIP-848): Kafka 4.0 and later.
    Consumer,
}

/// Where to start in a partition for which the group has committed nothing: Kafka's `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupStart {
    /// At the first record in the log. The default: nothing is skipped.
    #[default]
    Earliest,
    /// Behind the last record, as the Java client does by default.
    Latest,
    /// At the first record of this time (milliseconds since the epoch) or later; behind the last record if none is.
    Timestamp(i64),
    /// Nowhere: [`GroupConsumer::next`](crate::GroupConsumer::next) fails with
    /// [`Error::NoCommittedOffset`](crate::Error::NoCommittedOffset), and the partition waits for a seek.
    Error,
}

/// Options of a [`GroupConsumer`](crate::GroupConsumer).
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// Name of the group: Kafka's `group.id`.
    pub group_id: String,
    /// What to read.
    pub subscription: Subscription,
    /// Which group protocol to speak.
    pub protocol: GroupProtocol,
    /// Assignors offered under the classic protocol, the preferred one first. The group uses one that all its members
    /// offer. The consumer is cooperative when all of them are. Default: cooperative-sticky.
    pub assignors: Vec<Arc<dyn Assignor>>,
    /// Assignor the coordinator shall use under the consumer protocol (`uniform`, `range`); `None`: its own choice.
    pub server_assignor: Option<String>,
    /// Fixed name of this member (`group.instance.id`): it may restart within the session timeout without a rebalance.
    pub instance_id: Option<String>,
    /// Rack this member reads from (`client.rack`), for assignors that look at it and, unless `consumer` names another,
    /// for fetching from the closest replica.
    pub rack: Option<String>,
    /// How long the coordinator keeps a member it hears nothing from, in milliseconds. Under the consumer protocol the
    /// coordinator decides.
    pub session_timeout_ms: u32,
    /// Time between heartbeats under the classic protocol, in milliseconds.
    pub heartbeat_interval_ms: u32,
    /// Longest time between two calls of [`next`](crate::GroupConsumer::next), in milliseconds; a member that takes
    /// longer leaves the group, and loses its partitions. Also how long a rebalance waits for a member to finish its
    /// work and release what is revoked.
    pub max_poll_interval_ms: u32,
    /// Where to start when nothing is committed.
    pub start: GroupStart,
    /// Commits by itself every so many milliseconds, on revocation and on close, what the application came back from:
    /// an item counts as processed when [`next`](crate::GroupConsumer::next) is called again. `None`: only what the
    /// application commits.
    pub auto_commit_interval_ms: Option<u64>,
    /// How often topics are looked at for new partitions and new matches, in milliseconds; `None`: as often as the
    /// client's `metadata_max_age_ms`. A subscribed topic that does not exist is looked for every second at least.
    pub topics_refresh_ms: Option<u64>,
    /// Options of the fetching.
    pub consumer: ConsumerOptions,
}

impl GroupOptions {
    /// Default options for this group and these topics.
    pub fn new(group_id: impl Into<String>, subscription: impl Into<Subscription>) -> Self {
        GroupOptions {
            group_id: group_id.into(),
            subscription: subscription.into(),
            protocol: GroupProtocol::Classic,
            assignors: vec![Arc::new(CooperativeStickyAssignor)],
            server_assignor: None,
            instance_id: None,
            rack: None,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            max_poll_interval_ms: 300_000,
            start: GroupStart::Earliest,
            auto_commit_interval_ms: None,
            topics_refresh_ms: None,
            consumer: ConsumerOptions::default(),
        }
    }

    /// Sets [`protocol`](Self::protocol).
    pub fn with_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets [`assignors`](Self::assignors).
    pub fn with_assignors(mut self, assignors: impl IntoIterator<Item = Arc<dyn Assignor>>) -> Self {
        self.assignors = assignors.into_iter().collect();
        self
    }

    /// Sets [`server_assignor`](Self::server_assignor).
    pub fn with_server_assignor(mut self, server_assignor: impl Into<String>) -> Self {
        self.server_assignor = Some(server_assignor.into());
        self
    }

    /// Sets [`instance_id`](Self::instance_id).
    pub fn with_instance_id(mut self, instance_id: impl Into<String>) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// Sets [`rack`](Self::rack).
    pub fn with_rack(mut self, rack: impl Into<String>) -> Self {
        self.rack = Some(rack.into());
        self
    }

    /// Sets [`session_timeout_ms`](Self::session_timeout_ms).
    pub fn with_session_timeout_ms(mut self, session_timeout_ms: u32) -> Self {
        self.session_timeout_ms = session_timeout_ms;
        self
    }

    /// Sets [`heartbeat_interval_ms`](Self::heartbeat_interval_ms).
    pub fn with_heartbeat_interval_ms(mut self, heartbeat_interval_ms: u32) -> Self {
        self.heartbeat_interval_ms = heartbeat_interval_ms;
        self
    }

    /// Sets [`max_poll_interval_ms`](Self::max_poll_interval_ms).
    pub fn with_max_poll_interval_ms(mut self, max_poll_interval_ms: u32) -> Self {
        self.max_poll_interval_ms = max_poll_interval_ms;
        self
    }

    /// Sets [`start`](Self::start).
    pub fn with_start(mut self, start: GroupStart) -> Self {
        self.start = start;
        self
    }

    /// Sets [`auto_commit_interval_ms`](Self::auto_commit_interval_ms).
    pub fn with_auto_commit_interval_ms(mut self, auto_commit_interval_ms: u64) -> Self {
        self.auto_commit_interval_ms = Some(auto_commit_interval_ms);
        self
    }

    /// Sets [`topics_refresh_ms`](Self::topics_refresh_ms).
    pub fn with_topics_refresh_ms(mut self, topics_refresh_ms: u64) -> Self {
        self.topics_refresh_ms = Some(topics_refresh_ms);
        self
    }

    /// Sets [`consumer`](Self::consumer).
    pub fn with_consumer(mut self, consumer: ConsumerOptions) -> Self {
        self.consumer = consumer;
        self
    }

    /// Cooperative when every assignor is.
    pub(crate) fn mode(&self) -> RebalanceMode {
        let cooperative = self.assignors.iter().all(|assignor| assignor.mode() == RebalanceMode::Cooperative);
        if cooperative { RebalanceMode::Cooperative } else { RebalanceMode::Eager }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.membership().validate()?;
        if self.protocol == GroupProtocol::Classic && self.assignors.is_empty() {
            return invalid("assignors", "needs at least one under the classic protocol");
        }
        if self.auto_commit_interval_ms == Some(0) || self.topics_refresh_ms == Some(0) {
            return invalid("auto_commit_interval_ms, topics_refresh_ms", "must be above 0");
        }
        validate_subscription(&self.subscription)
    }

    /// The membership below the consumer.
    pub(crate) fn membership(&self) -> MembershipOptions {
        MembershipOptions {
            group_id: self.group_id.clone(),
            protocol_type: "consumer".to_owned(),
            instance_id: self.instance_id.clone(),
            session_timeout_ms: self.session_timeout_ms,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            rebalance_timeout_ms: self.max_poll_interval_ms,
        }
    }
}

/// Checks what [`GroupOptions::validate`] and a later change of the subscription have in common.
pub(crate) fn validate_subscription(subscription: &Subscription) -> Result<()> {
    match subscription {
        Subscription::Topics(topics) if topics.iter().any(String::is_empty) => {
            invalid("subscription", "a topic name is empty")
        }
        Subscription::Topics(_) => Ok(()),
        Subscription::Regex(pattern) if pattern.is_empty() => invalid("subscription", "the pattern is empty"),
        Subscription::Regex(_) => Ok(()),
    }
}

/// Options of a [`Membership`](crate::Membership).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipOptions {
    /// Name of the group.
    pub group_id: String,
    /// Kind of group, `consumer` for consumers; all members must have the same.
    pub protocol_type: String,
    /// Fixed name of this member: it may restart within the session timeout without a rebalance.
    pub instance_id: Option<String>,
    /// How long the coordinator keeps a member it hears nothing from, in milliseconds.
    pub session_timeout_ms: u32,
    /// Time between heartbeats, in milliseconds.
    pub heartbeat_interval_ms: u32,
    /// How long a rebalance waits for a member to join again, in milliseconds.
    pub rebalance_timeout_ms: u32,
}

impl MembershipOptions {
    /// Default options for this group and kind of group.
    pub fn new(group_id: impl Into<String>, protocol_type: impl Into<String>) -> Self {
        MembershipOptions {
            group_id: group_id.into(),
            protocol_type: protocol_type.into(),
            instance_id: None,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            rebalance_timeout_ms: 300_000,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.group_id.is_empty() {
            return invalid("group_id", "must not be empty");
        }
        let times = [
            ("session_timeout_ms", self.session_timeout_ms),
            ("heartbeat_interval_ms", self.heartbeat_interval_ms),
            ("rebalance_timeout_ms, max_poll_interval_ms", self.rebalance_timeout_ms),
        ];
        for (name, time_ms) in times {
            if time_ms == 0 || i32::try_from(time_ms).is_err() {
                return invalid(name, "must be between 1 and 2147483647");
            }
        }
        if self.heartbeat_interval_ms >= self.session_timeout_ms {
            return invalid("heartbeat_interval_ms", "must be below session_timeout_ms");
        }
        Ok(())
    }
}

fn invalid(option: &str, reason: &str) -> Result<()> {
    Err(Error::InvalidOption { option: option.to_owned(), reason: reason.to_owned() })
}
