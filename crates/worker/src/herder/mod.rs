//! The herder: knows every connector and its state, answers requests, and has an actor per connector do the work.
//!
//! ```text
//! REST ──> requests ──> configuration log ──event──> actor of the connector ──> connector, tasks ──> statuses
//!              └──────────── reads ──────────────────────────────────────────────────────────────────┘
//! ```

mod actor;
mod connector;
mod connector_keys;
mod error;
mod java_order;
mod loggers;
mod offsets;
mod plan;
mod plugins;
mod report;
mod requests;
mod restart;
mod stores;
mod validation;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kanat_client::{Client, ClientOptions};
use kanat_connect::config::Properties;
use kanat_connect::plugin::Plugins;
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use self::actor::{Actor, ActorHandle, Request};
pub(crate) use self::connector::{ConnectorPlugin, trace};
pub(crate) use self::error::RequestError;
pub use self::loggers::{LevelSink, Loggers};
use self::plan::Desired;
pub(crate) use self::requests::ConnectorInfo;
pub use self::requests::NewConnector;
use self::stores::{ConfigStore, OffsetStore, StatusStore};
use crate::config::WorkerConfig;
use crate::error::Result;
use crate::store::InternalRecord;
use crate::store::config_log::ConfigEvent;
use crate::store::status::{self, TopicUse, WorkId};

/// What Connect answers when it does not know who could do something.
const NO_LEADER: &str =
    "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.";

/// A worker's herder.
#[derive(Debug)]
pub(crate) struct Herder {
    config: WorkerConfig,
    plugins: Arc<Plugins>,
    worker_id: String,
    cluster_id: RwLock<Option<String>>,
    ready: AtomicBool,
    stage: RwLock<&'static str>,
    loggers: Loggers,
    configs: ConfigStore,
    statuses: StatusStore,
    offsets: OffsetStore,
    actors: Mutex<BTreeMap<String, ActorHandle>>,
    /// Held while a configuration is checked against the others and written.
    writes: Semaphore,
}

impl Herder {
    /// The herder of a standalone worker, reached as `worker_id` (`host:port`).
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) when the offset file cannot be read.
    pub(crate) fn standalone(
        config: WorkerConfig,
        plugins: Arc<Plugins>,
        worker_id: String,
        loggers: Loggers,
    ) -> Result<Arc<Herder>> {
        let offsets = OffsetStore::open(Path::new(config.text("offset.storage.file.filename")))?;
        Ok(Arc::new(Herder {
            config,
            plugins,
            worker_id,
            cluster_id: RwLock::new(None),
            ready: AtomicBool::new(false),
            stage: RwLock::new("starting"),
            loggers,
            configs: ConfigStore::default(),
            statuses: StatusStore::default(),
            offsets,
            actors: Mutex::new(BTreeMap::new()),
            writes: Semaphore::new(1),
        }))
    }

    /// The worker's configuration.
    pub(crate) fn config(&self) -> &WorkerConfig {
        &self.config
    }

    /// `host:port` under which others know this worker.
    pub(crate) fn worker_id(&self) -> &str {
        &self.worker_id
    }

    /// Whether the worker has started.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// What the worker is doing as a whole, for people.
    pub(crate) fn stage(&self) -> &'static str {
        *self.stage.read()
    }

    /// The worker has started.
    pub(crate) fn set_ready(&self) {
        *self.stage.write() = "ready to handle requests";
        self.ready.store(true, Ordering::Release);
    }

    pub(crate) fn loggers(&self) -> &Loggers {
        &self.loggers
    }

    pub(crate) fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    pub(crate) fn offset_store(&self) -> &OffsetStore {
        &self.offsets
    }

    /// Generation of the group of workers; a standalone worker has none.
    fn generation(&self) -> i32 {
        0
    }

    pub(crate) fn root(&self) -> Value {
        json!({
            "version": kanat_connect::VERSION,
            "commit": env!("CARGO_PKG_VERSION"),
            "kafka_cluster_id": *self.cluster_id.read(),
        })
    }

    /// Asks the cluster for its id, which `GET /` shows.
    ///
    /// # Errors
    /// What the cluster could not be reached with.
    pub(crate) async fn learn_cluster_id(&self) -> Result<()> {
        let options = ClientOptions::from_properties(&self.config.internal_client("shared-admin"))?;
        let client = Client::connect(options).await?;
        let cluster = client.admin().describe_cluster().await?;
        *self.cluster_id.write() = Some(cluster.cluster_id);
        Ok(())
    }

    /// How long connectors and tasks may take to stop.
    fn shutdown_timeout(&self) -> Duration {
        self.config.millis("task.shutdown.graceful.timeout.ms")
    }

    /// Ends every connector and task.
    pub(crate) async fn shut_down(&self) {
        let actors: Vec<ActorHandle> = self.actors.lock().values().cloned().collect();
        let mut ending = Vec::new();
        for actor in actors {
            let (done, ended) = oneshot::channel();
            if actor.requests.send(Request::ShutDown(done)).await.is_ok() {
                ending.push(ended);
            }
        }
        for ended in ending {
            // An actor that is gone has ended.
            let _ = ended.await;
        }
    }

    /// Writes records of the configuration log, in order, and has their effects begin.
    async fn append(&self, records: impl IntoIterator<Item = InternalRecord>) -> Result<(), RequestError> {
        for record in records {
            let event = self.configs.append(&record)?;
            self.notice(event);
        }
        Ok(())
    }

    /// Wakes whoever an event concerns.
    fn notice(&self, event: ConfigEvent) {
        match event {
            ConfigEvent::ConnectorConfigured(name)
            | ConfigEvent::ConnectorRemoved(name)
            | ConfigEvent::TasksChanged(name)
            | ConfigEvent::TargetChanged(name) => {
                if let Some(actor) = self.actors.lock().get(&name) {
                    actor.wake.notify_one();
                }
            }
            ConfigEvent::LoggerLevel { logger, level } => {
                if let Err(error) = self.loggers.set(&logger, &level) {
                    tracing::warn!(%error, logger, "a level for all workers was not set");
                }
            }
            ConfigEvent::RestartRequested { .. } | ConfigEvent::SessionKeyChanged | ConfigEvent::Unchanged => {}
        }
    }

    /// Makes sure that a connector has an actor.
    fn employ(self: &Arc<Herder>, name: &str) {
        let mut actors = self.actors.lock();
        if !actors.contains_key(name) {
            actors.insert(name.to_owned(), Actor::spawn(name.to_owned(), Arc::clone(self)));
        }
    }

    fn actor(&self, name: &str) -> Option<ActorHandle> {
        self.actors.lock().get(name).cloned()
    }

    /// Lets go of the actor of a connector that is gone. `false` when it is there again.
    fn dismiss(&self, name: &str) -> bool {
        let mut actors = self.actors.lock();
        if self.exists(name) {
            return false;
        }
        actors.remove(name);
        true
    }

    /// What should run here of a connector.
    fn desired(&self, name: &str) -> Desired {
        self.configs.desired(name)
    }

    fn exists(&self, name: &str) -> bool {
        self.configs.read(|state| state.connector(name).is_some())
    }

    fn has_task(&self, name: &str, task: u32) -> bool {
        self.configs.read(|state| task < state.task_count(name))
    }

    /// Removes what is known of a connector that is gone.
    fn forget(&self, name: &str) {
        let mut records = vec![status::removal_record(&WorkId::connector(name))];
        self.statuses.read(|state| {
            records.extend(state.tasks(name).map(|(task, _)| status::removal_record(&WorkId::task(name, task))));
            records.extend(state.topics(name).map(|topic| status::topic_removal_record(topic, name)));
        });
        self.statuses.append(records);
    }

    /// A configuration with its placeholders replaced, and without nulls, which no connector can read.
    pub(crate) fn resolve(&self, raw: &Properties) -> kanat_connect::Result<Properties> {
        if let Some((key, _)) = raw.iter().find(|(_, value)| value.is_none()) {
            let reason = format!("Non-string value found in original settings for key {key}: null");
            return Err(kanat_connect::Error::Config(reason));
        }
        self.config.providers().resolve(raw).map_err(|error| kanat_connect::Error::Config(error.to_string()))
    }

    /// The configurations of a connector and one of its tasks, placeholders kept.
    pub(crate) fn task_start(&self, name: &str, task: u32) -> Option<(Properties, Properties)> {
        self.configs.read(|state| Some((state.connector(name)?.clone(), state.task(name, task)?.clone())))
    }

    /// Remembers that a connector uses a topic.
    pub(crate) fn uses_topic(&self, name: &str, task: u32, topic: &str) {
        if !self.config.flag("topic.tracking.enable") {
            return;
        }
        let known = self.statuses.read(|state| state.topics(name).any(|known| known == topic));
        if !known {
            let discovered_ms = jiff::Timestamp::now().as_millisecond();
            let usage = TopicUse { topic: topic.to_owned(), connector: name.to_owned(), task, discovered_ms };
            self.statuses.append([status::topic_record(&usage)]);
        }
    }

    /// `tasks.max` of a configuration that has been checked.
    fn tasks_max(&self, config: &Properties) -> usize {
        let text = config.get("tasks.max").cloned().flatten();
        text.and_then(|text| text.trim().parse().ok()).filter(|max| *max > 0).unwrap_or(1)
    }
}
