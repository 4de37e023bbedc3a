//! Requests about connectors.

use std::sync::Arc;

use hyper::HeaderMap;
use kanat_connect::config::Properties;
use serde_json::{Map, Value, json};

use super::{Herder, RequestError};
use crate::store::config_log::{self, TargetState};
use crate::store::status::{self, Status, WorkId};

type Result<T> = std::result::Result<T, RequestError>;

/// A connector to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnector {
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub config: Properties,
    /// What it should be doing at first; `None` for running.
    pub initial_state: Option<TargetState>,
}

/// A connector as `GET /connectors/{name}` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectorInfo {
    /// Its name.
    pub(crate) name: String,
    /// Its configuration, placeholders kept.
    pub(crate) config: Properties,
    /// Numbers of its tasks.
    pub(crate) tasks: Vec<u32>,
    /// `source`, `sink` or `unknown`.
    pub(crate) type_name: &'static str,
}

impl ConnectorInfo {
    pub(crate) fn to_json(&self) -> Value {
        let task = |task: &u32| json!({ "connector": self.name, "task": task });
        json!({
            "name": self.name,
            "config": properties_json(&self.config),
            "tasks": self.tasks.iter().map(task).collect::<Vec<_>>(),
            "type": self.type_name,
        })
    }
}

fn properties_json(properties: &Properties) -> Value {
    let pairs = properties.iter().map(|(key, value)| (key.clone(), value.clone().map_or(Value::Null, Value::String)));
    Value::Object(pairs.collect())
}

fn status_json(status: &Status) -> Map<String, Value> {
    let mut json = Map::new();
    json.insert("state".to_owned(), status.state.name().into());
    json.insert("worker_id".to_owned(), status.worker_id.clone().into());
    json.insert("version".to_owned(), status.version.clone().into());
    if let Some(trace) = status.trace.as_ref().filter(|trace| !trace.is_empty()) {
        json.insert("trace".to_owned(), trace.clone().into());
    }
    json
}

fn task_json(task: u32, status: &Status) -> Value {
    let mut json = Map::new();
    json.insert("id".to_owned(), task.into());
    json.extend(status_json(status));
    Value::Object(json)
}

impl Herder {
    pub(crate) fn connectors(&self) -> Vec<String> {
        self.configs.read(|state| state.connectors().map(str::to_owned).collect())
    }

    pub(crate) fn info(&self, name: &str) -> Result<ConnectorInfo> {
        let info = self.configs.read(|state| {
            let config = state.connector(name)?.clone();
            Some((config, state.tasks(name).map(|(task, _)| task).collect()))
        });
        let (config, tasks) = info.ok_or_else(|| no_connector(name))?;
        Ok(ConnectorInfo { name: name.to_owned(), type_name: self.type_name(&config), config, tasks })
    }

    pub(crate) fn connector_config(&self, name: &str) -> Result<Value> {
        Ok(properties_json(&self.info(name)?.config))
    }

    pub(crate) fn status(&self, name: &str) -> Result<Value> {
        let (connector, tasks) = self.statuses.read(|state| {
            let tasks: Vec<Value> = state.tasks(name).map(|(task, status)| task_json(task, status)).collect();
            (state.get(&WorkId::connector(name)).map(status_json), tasks)
        });
        let connector =
            connector.ok_or_else(|| RequestError::not_found(format!("No status found for connector {name}")))?;
        let type_name = self.configs.read(|state| state.connector(name).map(|config| self.type_name(config)));
        Ok(json!({ "name": name, "connector": connector, "tasks": tasks, "type": type_name.unwrap_or("unknown") }))
    }

    pub(crate) fn task_status(&self, name: &str, task: i32) -> Result<Value> {
        let id = u32::try_from(task).ok();
        let status = self.statuses.read(|state| {
            let task = id?;
            Some(task_json(task, state.get(&WorkId::task(name, task))?))
        });
        status.ok_or_else(|| RequestError::not_found(format!("No status found for task {name}-{task}")))
    }

    pub(crate) fn tasks(&self, name: &str) -> Result<Value> {
        let tasks = self.configs.read(|state| {
            state.connector(name)?;
            let task = |(task, config)| json!({ "id": { "connector": name, "task": task }, "config": properties_json(config) });
            Some(state.tasks(name).map(task).collect::<Vec<_>>())
        });
        tasks.map(Value::from).ok_or_else(|| no_connector(name))
    }

    /// Creates a connector.
    ///
    /// # Errors
    /// 400 for a configuration that cannot work, 409 when there is one of that name.
    pub(crate) async fn create(self: &Arc<Herder>, new: NewConnector) -> Result<ConnectorInfo> {
        let NewConnector { name, mut config, initial_state } = new;
        take_name(&name, &mut config)?;
        self.validate_for(&name, &config).await?;
        let _writing = self.writes.acquire().await;
        if self.exists(&name) {
            return Err(RequestError::conflict(format!("Connector {name} already exists")));
        }
        // Before the connector, so that nobody starts it for a moment.
        let target = initial_state.map(|state| config_log::target_record(&name, state));
        self.append(target.into_iter().chain([config_log::connector_record(&name, &config)])).await?;
        self.employ(&name);
        Ok(ConnectorInfo { type_name: self.type_name(&config), name, config, tasks: Vec::new() })
    }

    /// Sets a connector's configuration and says whether that created it.
    pub(crate) async fn put_config(
        self: &Arc<Herder>,
        name: &str,
        mut config: Properties,
    ) -> Result<(bool, ConnectorInfo)> {
        take_name(name, &mut config)?;
        self.validate_for(name, &config).await?;
        let _writing = self.writes.acquire().await;
        let created = !self.exists(name);
        self.append([config_log::connector_record(name, &config)]).await?;
        self.employ(name);
        Ok((created, self.info(name)?))
    }

    pub(crate) async fn patch_config(self: &Arc<Herder>, name: &str, patch: Properties) -> Result<ConnectorInfo> {
        let before = self.configs.read(|state| state.connector(name).cloned()).ok_or_else(|| no_connector(name))?;
        let mut config = before.clone();
        for (key, value) in patch {
            match value {
                Some(value) => config.insert(key, Some(value)),
                None => config.remove(&key),
            };
        }
        self.validate_for(name, &config).await?;
        let _writing = self.writes.acquire().await;
        if self.configs.read(|state| state.connector(name) != Some(&before)) {
            return Err(RequestError::conflict(
                "Cannot complete request because of a conflicting operation (e.g. worker rebalance)",
            ));
        }
        self.append([config_log::connector_record(name, &config)]).await?;
        self.info(name)
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        let _writing = self.writes.acquire().await;
        if !self.exists(name) {
            return Err(no_connector(name));
        }
        self.append(config_log::removal_records(name)).await
    }

    pub(crate) async fn set_target(&self, name: &str, target: TargetState) -> Result<()> {
        if !self.exists(name) {
            return Err(RequestError::not_found(format!("Unknown connector {name}")));
        }
        self.append([config_log::target_record(name, target)]).await
    }

    /// Takes away a connector's tasks and stops it.
    pub(crate) async fn stop(&self, name: &str) -> Result<()> {
        let _writing = self.writes.acquire().await;
        if !self.exists(name) {
            return Err(RequestError::not_found(format!("Unknown connector {name}")));
        }
        let mut records = config_log::task_records(name, &[]);
        records.push(config_log::target_record(name, TargetState::Stopped));
        self.append(records).await
    }

    pub(crate) fn topics(&self, name: &str) -> Result<Vec<String>> {
        if !self.config.flag("topic.tracking.enable") {
            return Err(RequestError::new(403, "Topic tracking is disabled."));
        }
        Ok(self.statuses.read(|state| state.topics(name).map(str::to_owned).collect()))
    }

    pub(crate) async fn reset_topics(&self, name: &str) -> Result<()> {
        let topics = self.topics(name)?;
        if !self.config.flag("topic.tracking.allow.reset") {
            return Err(RequestError::new(403, "Topic tracking reset is disabled."));
        }
        self.statuses.append(topics.iter().map(|topic| status::topic_removal_record(topic, name)));
        Ok(())
    }

    pub(crate) async fn set_cluster_level(&self, logger: &str, level: &str) -> Result<()> {
        let level = super::Loggers::level(level)?;
        self.append([config_log::logger_record(logger, level)]).await
    }

    /// Refuses what does not come from a worker of the same cluster.
    pub(crate) fn check_internal(&self, headers: &HeaderMap, _body: &[u8]) -> Result<()> {
        if !headers.contains_key("X-Connect-Authorization") {
            return Err(RequestError::bad("Internal request missing required signature"));
        }
        Err(RequestError::new(503, "a standalone worker has no other workers"))
    }

    pub(crate) async fn put_task_configs(&self, name: &str, configs: Vec<Properties>) -> Result<()> {
        let _writing = self.writes.acquire().await;
        self.append(config_log::task_records(name, &configs)).await
    }

    pub(crate) async fn fence(&self, _name: &str) -> Result<()> {
        Err(RequestError::internal("exactly-once sources are not supported by this worker"))
    }
}

pub(super) fn no_connector(name: &str) -> RequestError {
    RequestError::not_found(format!("Connector {name} not found"))
}

/// The name a configuration gives, which must be the connector's, goes into the configuration.
fn take_name(name: &str, config: &mut Properties) -> Result<()> {
    match config.get("name") {
        Some(given) if given.as_deref() != Some(name) => {
            let given = given.as_deref().unwrap_or("null");
            Err(RequestError::bad(format!(
                "Connector name configuration ({given}) doesn't match connector name in the URL ({name})"
            )))
        }
        Some(_) => Ok(()),
        None => {
            config.insert("name".to_owned(), Some(name.to_owned()));
            Ok(())
        }
    }
}
