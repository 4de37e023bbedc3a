//! The status log: what connectors and tasks are doing, on which worker, and which topics connectors use.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::InternalRecord;
use crate::error::{Error, Result};

/// What a connector or task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody runs it.
    Unassigned,
    /// It runs.
    Running,
    /// It is kept and moves no records.
    Paused,
    /// It ended with an error.
    Failed,
    /// It is gone.
    Destroyed,
    /// It is about to start again.
    Restarting,
    /// It has no tasks. Connectors only.
    Stopped,
}

impl State {
    /// Name in the log and in REST answers.
    pub fn name(self) -> &'static str {
        match self {
            State::Unassigned => "UNASSIGNED",
            State::Running => "RUNNING",
            State::Paused => "PAUSED",
            State::Failed => "FAILED",
            State::Destroyed => "DESTROYED",
            State::Restarting => "RESTARTING",
            State::Stopped => "STOPPED",
        }
    }

    fn parse(name: &str) -> Option<State> {
        use State::{Destroyed, Failed, Paused, Restarting, Running, Stopped, Unassigned};
        let all = [Unassigned, Running, Paused, Failed, Destroyed, Restarting, Stopped];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// A connector, or one of its tasks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId {
    /// Name of the connector.
    pub connector: String,
    /// Number of the task; `None` for the connector itself.
    pub task: Option<u32>,
}

impl WorkId {
    /// A connector.
    pub fn connector(name: impl Into<String>) -> WorkId {
        WorkId { connector: name.into(), task: None }
    }

    /// A task.
    pub fn task(connector: impl Into<String>, task: u32) -> WorkId {
        WorkId { connector: connector.into(), task: Some(task) }
    }

    fn key(&self) -> String {
        match self.task {
            Some(task) => format!("status-task-{}-{task}", self.connector),
            None => format!("status-connector-{}", self.connector),
        }
    }
}

impl std::fmt::Display for WorkId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.task {
            Some(task) => write!(formatter, "{}-{task}", self.connector),
            None => formatter.write_str(&self.connector),
        }
    }
}

/// The status of a connector or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Why it failed.
    pub trace: Option<String>,
    /// `host:port` of the worker that says so.
    pub worker_id: String,
    /// Generation of the group at that worker.
    pub generation: i32,
    /// Version of the plugin; `None` when it was never made.
    pub version: Option<String>,
}

/// A topic that a connector uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicUse {
    /// Name of the topic.
    pub topic: String,
    /// Name of the connector.
    pub connector: String,
    /// Number of the task that used it first.
    pub task: u32,
    /// When, in milliseconds since the epoch.
    pub discovered_ms: i64,
}

/// The state that the status log adds up to.
#[derive(Debug, Clone, Default)]
pub struct StatusState {
    statuses: BTreeMap<String, BTreeMap<Option<u32>, Status>>,
    topics: BTreeMap<String, BTreeSet<String>>,
}

impl StatusState {
    /// A status.
    pub fn get(&self, id: &WorkId) -> Option<&Status> {
        self.statuses.get(&id.connector)?.get(&id.task)
    }

    /// The statuses of a connector's tasks, by number.
    pub fn tasks(&self, connector: &str) -> impl Iterator<Item = (u32, &Status)> {
        let all = self.statuses.get(connector).into_iter().flatten();
        all.filter_map(|(task, status)| Some(((*task)?, status)))
    }

    /// Topics a connector uses, in order.
    pub fn topics(&self, connector: &str) -> impl Iterator<Item = &str> {
        self.topics.get(connector).into_iter().flatten().map(String::as_str)
    }

    /// Whether a status of `worker_id` may replace what is there without undoing what another worker has said since.
    pub fn may_replace(&self, id: &WorkId, worker_id: &str, generation: i32) -> bool {
        self.get(id).is_none_or(|last| last.worker_id == worker_id || last.generation <= generation)
    }

    /// Takes a record of the log.
    ///
    /// # Errors
    /// [`Error::Record`] for a record that is not what Connect writes. It has no effect.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let key = std::str::from_utf8(key).map_err(|_| Error::Record("a key is not text".to_owned()))?;
        let value: Option<Value> = value
            .map(serde_json::from_slice)
            .transpose()
            .map_err(|error| Error::Record(format!("the value of {key} is not JSON: {error}")))?;
        if let Some(topic) = key.strip_prefix("status-topic-") {
            let (topic, connector) = topic
                .split_once(":connector-")
                .ok_or_else(|| Error::Record(format!("the key {key} is not one of Connect")))?;
            self.apply_topic(topic, connector, value.is_some());
            return Ok(());
        }
        let id = if let Some(name) = key.strip_prefix("status-connector-") {
            WorkId::connector(name)
        } else {
            let task = key.strip_prefix("status-task-").and_then(|id| {
                let (name, task) = id.rsplit_once('-')?;
                Some(WorkId::task(name, task.parse().ok()?))
            });
            task.ok_or_else(|| Error::Record(format!("the key {key} is not one of Connect")))?
        };
        let status = match value {
            Some(value) => Some(
                parse(&value).ok_or_else(|| Error::Record(format!("the value of {key} is not what Connect writes")))?,
            ),
            None => None,
        };
        self.apply_status(&id, status);
        Ok(())
    }

    fn apply_status(&mut self, id: &WorkId, status: Option<Status>) {
        let Some(status) = status else {
            if let Some(statuses) = self.statuses.get_mut(&id.connector) {
                statuses.remove(&id.task);
                if statuses.is_empty() {
                    self.statuses.remove(&id.connector);
                }
            }
            return;
        };
        // In quick rebalances the word of the old owner may come behind that of the new one.
        let late = status.state == State::Unassigned
            && self.get(id).is_some_and(|now| {
                now.state == State::Running && now.generation >= status.generation && now.worker_id != status.worker_id
            });
        if !late {
            self.statuses.entry(id.connector.clone()).or_default().insert(id.task, status);
        }
    }

    fn apply_topic(&mut self, topic: &str, connector: &str, used: bool) {
        if used {
            self.topics.entry(connector.to_owned()).or_default().insert(topic.to_owned());
        } else if let Some(topics) = self.topics.get_mut(connector) {
            topics.remove(topic);
        }
    }
}

fn parse(value: &Value) -> Option<Status> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    Some(Status {
        state: State::parse(value.get("state")?.as_str()?)?,
        trace: text("trace"),
        worker_id: text("worker_id")?,
        generation: i32::try_from(value.get("generation")?.as_i64()?).ok()?,
        version: text("version"),
    })
}

/// Says what a connector or task is doing.
pub fn status_record(id: &WorkId, status: &Status) -> InternalRecord {
    let value = json!({
        "state": status.state.name(),
        "trace": status.trace,
        "worker_id": status.worker_id,
        "generation": status.generation,
        "version": status.version,
    });
    InternalRecord::new(id.key(), Some(&value))
}

/// Forgets a connector or task.
pub fn removal_record(id: &WorkId) -> InternalRecord {
    InternalRecord::new(id.key(), None)
}

/// Says that a connector uses a topic.
pub fn topic_record(usage: &TopicUse) -> InternalRecord {
    let value = json!({ "topic": {
        "name": usage.topic,
        "connector": usage.connector,
        "task": usage.task,
        "discoverTimestamp": usage.discovered_ms,
    }});
    InternalRecord::new(format!("status-topic-{}:connector-{}", usage.topic, usage.connector), Some(&value))
}

/// Forgets that a connector uses a topic.
pub fn topic_removal_record(topic: &str, connector: &str) -> InternalRecord {
    InternalRecord::new(format!("status-topic-{topic}:connector-{connector}"), None)
}
