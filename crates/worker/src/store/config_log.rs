//! The configuration log: connectors, their tasks and what they should be doing.
//!
//! ```text
//! connector-c ─────> config of c
//! task-c-0, task-c-1, ... ─> set aside ──commit-c {"tasks":n}──> task configs of c, or "incomplete"
//! target-state-c ──> started, paused, stopped
//! ```
//!
//! Records are applied in the order of the log. Task records count from their commit record on, so that no reader
//! sees half of a change. In a compacted log the tasks before a commit may be gone; the connector is then incomplete
//! and has to make its task configurations anew.

use std::collections::{BTreeMap, BTreeSet};

use kanat_connect::config::Properties;
use serde_json::{Map, Value, json};

use super::InternalRecord;
use crate::error::{Error, Result};

/// What a connector should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetState {
    /// Run.
    #[default]
    Started,
    /// Keep tasks, move no records.
    Paused,
    /// Have no tasks.
    Stopped,
}

impl TargetState {
    /// Name in the log.
    pub fn name(self) -> &'static str {
        match self {
            TargetState::Started => "STARTED",
            TargetState::Paused => "PAUSED",
            TargetState::Stopped => "STOPPED",
        }
    }

    fn parse(name: &str) -> Option<TargetState> {
        [TargetState::Started, TargetState::Paused, TargetState::Stopped].into_iter().find(|state| state.name() == name)
    }
}

/// The key with which workers of a cluster sign requests to each other.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    /// The key in base 64.
    pub key: String,
    /// Its algorithm.
    pub algorithm: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: i64,
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SessionKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// What a record changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigEvent {
    /// A connector has this configuration now.
    ConnectorConfigured(String),
    /// A connector is gone.
    ConnectorRemoved(String),
    /// A connector has other tasks now.
    TasksChanged(String),
    /// A connector should do something else now.
    TargetChanged(String),
    /// There is another session key.
    SessionKeyChanged,
    /// A connector, and with `include_tasks` its tasks, shall restart; with `only_failed` those that failed.
    RestartRequested {
        /// Name of the connector.
        connector: String,
        /// Whether its tasks too.
        include_tasks: bool,
        /// Whether only what failed.
        only_failed: bool,
    },
    /// A logger shall have this level on every worker.
    LoggerLevel {
        /// Name of the logger.
        logger: String,
        /// Name of the level.
        level: String,
    },
    /// Nothing.
    Unchanged,
}

/// The state that the log adds up to.
#[derive(Debug, Clone, Default)]
pub struct ConfigState {
    next_offset: Option<i64>,
    connectors: BTreeMap<String, Properties>,
    targets: BTreeMap<String, TargetState>,
    tasks: BTreeMap<String, BTreeMap<u32, Properties>>,
    task_counts: BTreeMap<String, u32>,
    set_aside: BTreeMap<String, BTreeMap<u32, Properties>>,
    incomplete: BTreeSet<String>,
    fenced_task_counts: BTreeMap<String, u32>,
    session_key: Option<SessionKey>,
}

impl ConfigState {
    /// Offset after the last record, -1 before the first: what workers tell each other about how far they have read.
    pub fn offset(&self) -> i64 {
        self.next_offset.unwrap_or(-1)
    }

    /// Names of connectors, in order.
    pub fn connectors(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }

    /// The configuration of a connector, placeholders kept.
    pub fn connector(&self, name: &str) -> Option<&Properties> {
        self.connectors.get(name)
    }

    /// What a connector should be doing; `None` for one that does not exist.
    pub fn target(&self, name: &str) -> Option<TargetState> {
        self.connectors.contains_key(name).then(|| self.targets.get(name).copied().unwrap_or_default())
    }

    /// How many tasks a connector has; 0 while its set is incomplete.
    pub fn task_count(&self, name: &str) -> u32 {
        if self.incomplete.contains(name) {
            return 0;
        }
        self.task_counts.get(name).copied().unwrap_or_default()
    }

    /// The configuration of a task, placeholders kept.
    pub fn task(&self, connector: &str, task: u32) -> Option<&Properties> {
        if task >= self.task_count(connector) {
            return None;
        }
        self.tasks.get(connector)?.get(&task)
    }

    /// Whether a task has ever had a configuration: a stopped connector's tasks are known and run nowhere.
    pub fn knows_task(&self, connector: &str, task: u32) -> bool {
        self.tasks.get(connector).is_some_and(|tasks| tasks.contains_key(&task))
    }

    /// Every task configuration of a connector, in order.
    pub fn tasks(&self, connector: &str) -> impl Iterator<Item = (u32, &Properties)> {
        let count = self.task_count(connector);
        let tasks = self.tasks.get(connector).into_iter().flatten();
        tasks.take_while(move |(task, _)| **task < count).map(|(task, config)| (*task, config))
    }

    /// Whether the log holds a commit of tasks whose configurations are gone: they have to be made anew.
    pub fn is_incomplete(&self, connector: &str) -> bool {
        self.incomplete.contains(connector)
    }

    /// How many tasks of a connector have to be fenced before new ones start; 0 when none ever ran exactly once.
    pub fn fenced_task_count(&self, connector: &str) -> u32 {
        self.fenced_task_counts.get(connector).copied().unwrap_or_default()
    }

    /// The last session key.
    pub fn session_key(&self) -> Option<&SessionKey> {
        self.session_key.as_ref()
    }

    /// Takes the next record of the log; `offset` is its own.
    ///
    /// # Errors
    /// [`Error::Record`] for a record that is not what Connect writes. It has no effect, and the log goes on.
    pub fn apply(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<ConfigEvent> {
        self.next_offset = Some(offset.saturating_add(1));
        let key = std::str::from_utf8(key).map_err(|_| Error::Record("a key is not text".to_owned()))?;
        let value: Option<Value> = value
            .map(serde_json::from_slice)
            .transpose()
            .map_err(|error| Error::Record(format!("the value of {key} is not JSON: {error}")))?;
        let malformed = || Error::Record(format!("the value of {key} is not what Connect writes"));
        let event = if let Some(name) = key.strip_prefix("target-state-") {
            self.apply_target(name, value.as_ref())
        } else if let Some(name) = key.strip_prefix("connector-") {
            self.apply_connector(name, value.as_ref())
        } else if let Some(task) = key.strip_prefix("task-") {
            self.apply_task(task, value.as_ref())
        } else if let Some(name) = key.strip_prefix("commit-") {
            value.as_ref().map_or(Some(ConfigEvent::Unchanged), |value| self.apply_commit(name, value))
        } else if let Some(name) = key.strip_prefix("restart-connector-") {
            value.as_ref().map_or(Some(ConfigEvent::Unchanged), |value| restart(name, value))
        } else if let Some(name) = key.strip_prefix("tasks-fencing-") {
            self.apply_fencing(name, value.as_ref())
        } else if key == "session-key" {
            value.as_ref().map_or(Some(ConfigEvent::Unchanged), |value| self.apply_session_key(value))
        } else if let Some(logger) = key.strip_prefix("logger-cluster-") {
            value.as_ref().map_or(Some(ConfigEvent::Unchanged), |value| logger_level(logger, value))
        } else {
            return Err(Error::Record(format!("the key {key} is not one of Connect")));
        };
        event.ok_or_else(malformed)
    }

    fn apply_connector(&mut self, name: &str, value: Option<&Value>) -> Option<ConfigEvent> {
        let Some(value) = value else {
            self.forget(name);
            return Some(ConfigEvent::ConnectorRemoved(name.to_owned()));
        };
        self.connectors.insert(name.to_owned(), properties(value)?);
        Some(ConfigEvent::ConnectorConfigured(name.to_owned()))
    }

    fn forget(&mut self, name: &str) {
        self.connectors.remove(name);
        self.tasks.remove(name);
        self.task_counts.remove(name);
        self.set_aside.remove(name);
        self.incomplete.remove(name);
    }

    fn apply_target(&mut self, name: &str, value: Option<&Value>) -> Option<ConfigEvent> {
        let before = self.targets.get(name).copied().unwrap_or_default();
        let Some(value) = value else {
            self.targets.remove(name);
            return Some(ConfigEvent::Unchanged);
        };
        // Older workers know `state` alone and cannot stop a connector.
        let state = value.get("state.v2").or_else(|| value.get("state"))?;
        let state = TargetState::parse(state.as_str()?)?;
        self.targets.insert(name.to_owned(), state);
        let changed = state != before && self.connectors.contains_key(name);
        Some(if changed { ConfigEvent::TargetChanged(name.to_owned()) } else { ConfigEvent::Unchanged })
    }

    fn apply_task(&mut self, id: &str, value: Option<&Value>) -> Option<ConfigEvent> {
        // Names of connectors may hold dashes: the number is what stands behind the last.
        let (name, task) = id.rsplit_once('-')?;
        let task = task.parse().ok()?;
        // A task that is removed is so by the count of the next commit.
        if let Some(value) = value {
            self.set_aside.entry(name.to_owned()).or_default().insert(task, properties(value)?);
        }
        Some(ConfigEvent::Unchanged)
    }

    fn apply_commit(&mut self, name: &str, value: &Value) -> Option<ConfigEvent> {
        let count = u32::try_from(value.get("tasks")?.as_i64()?).ok()?;
        let set_aside = self.set_aside.remove(name).unwrap_or_default();
        if !self.connectors.contains_key(name) {
            // The connector was deleted and compaction took its records.
            self.forget(name);
            return Some(ConfigEvent::Unchanged);
        }
        // More than the count is normal: a smaller set came later and compaction left tasks of the larger one.
        let complete = (0..count).all(|task| set_aside.contains_key(&task));
        self.task_counts.insert(name.to_owned(), count);
        if !complete {
            self.incomplete.insert(name.to_owned());
            return Some(ConfigEvent::Unchanged);
        }
        self.incomplete.remove(name);
        self.tasks.entry(name.to_owned()).or_default().extend(set_aside);
        Some(ConfigEvent::TasksChanged(name.to_owned()))
    }

    fn apply_fencing(&mut self, name: &str, value: Option<&Value>) -> Option<ConfigEvent> {
        match value {
            Some(value) => {
                let count = u32::try_from(value.get("task-count")?.as_i64()?).ok()?;
                self.fenced_task_counts.insert(name.to_owned(), count);
            }
            None => {
                self.fenced_task_counts.remove(name);
            }
        }
        Some(ConfigEvent::Unchanged)
    }

    fn apply_session_key(&mut self, value: &Value) -> Option<ConfigEvent> {
        let text = |field: &str| value.get(field)?.as_str().map(str::to_owned);
        let created_ms = value.get("creation-timestamp")?.as_i64()?;
        self.session_key = Some(SessionKey { key: text("key")?, algorithm: text("algorithm")?, created_ms });
        Some(ConfigEvent::SessionKeyChanged)
    }
}

fn properties(value: &Value) -> Option<Properties> {
    let text = |value: &Value| match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    };
    value.get("properties")?.as_object()?.iter().map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

fn restart(name: &str, value: &Value) -> Option<ConfigEvent> {
    // A flag that is missing means its default, as in Connect.
    let flag = |field: &str| value.get(field).and_then(Value::as_bool).unwrap_or_default();
    Some(ConfigEvent::RestartRequested {
        connector: name.to_owned(),
        include_tasks: flag("include-tasks"),
        only_failed: flag("only-failed"),
    })
}

fn logger_level(logger: &str, value: &Value) -> Option<ConfigEvent> {
    let level = value.get("level")?.as_str()?.to_owned();
    Some(ConfigEvent::LoggerLevel { logger: logger.to_owned(), level })
}

fn properties_value(config: &Properties) -> Value {
    let text = |value: &Option<String>| value.clone().map_or(Value::Null, Value::String);
    let object: Map<String, Value> = config.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    json!({ "properties": object })
}

/// Sets a connector's configuration.
pub fn connector_record(name: &str, config: &Properties) -> InternalRecord {
    InternalRecord::new(format!("connector-{name}"), Some(&properties_value(config)))
}

/// Deletes a connector. Its task records stay: without the connector they mean nothing.
pub fn removal_records(name: &str) -> [InternalRecord; 2] {
    [InternalRecord::new(format!("connector-{name}"), None), InternalRecord::new(format!("target-state-{name}"), None)]
}

/// Gives a connector these tasks and no others: their records and the commit.
pub fn task_records(name: &str, configs: &[Properties]) -> Vec<InternalRecord> {
    let task = |(task, config): (usize, &Properties)| {
        InternalRecord::new(format!("task-{name}-{task}"), Some(&properties_value(config)))
    };
    let commit = InternalRecord::new(format!("commit-{name}"), Some(&json!({ "tasks": configs.len() })));
    configs.iter().enumerate().map(task).chain([commit]).collect()
}

/// Says what a connector should be doing. Workers from before Kafka 3.5 see a stopped connector as paused.
pub fn target_record(name: &str, state: TargetState) -> InternalRecord {
    let old = if state == TargetState::Stopped { TargetState::Paused } else { state };
    let value = json!({ "state": old.name(), "state.v2": state.name() });
    InternalRecord::new(format!("target-state-{name}"), Some(&value))
}

/// Publishes a session key.
pub fn session_key_record(key: &SessionKey) -> InternalRecord {
    let value = json!({ "key": key.key, "algorithm": key.algorithm, "creation-timestamp": key.created_ms });
    InternalRecord::new("session-key", Some(&value))
}

/// Asks whoever runs a connector and its tasks to restart them.
pub fn restart_record(connector: &str, include_tasks: bool, only_failed: bool) -> InternalRecord {
    let value = json!({ "include-tasks": include_tasks, "only-failed": only_failed });
    InternalRecord::new(format!("restart-connector-{connector}"), Some(&value))
}

/// Remembers how many tasks may write in transactions.
pub fn fencing_record(connector: &str, tasks: u32) -> InternalRecord {
    InternalRecord::new(format!("tasks-fencing-{connector}"), Some(&json!({ "task-count": tasks })))
}

/// Sets a logger's level on every worker.
pub fn logger_record(logger: &str, level: &str) -> InternalRecord {
    InternalRecord::new(format!("logger-cluster-{logger}"), Some(&json!({ "level": level })))
}
