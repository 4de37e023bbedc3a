//! A connector that runs here: made from its plugin, asked for task configurations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kanat_connect::config::Properties;
use kanat_connect::connector::{AnySinkConnector, AnySourceConnector, BoxFuture, ConnectorContext};
use kanat_connect::data::Map;
use kanat_connect::plugin::{SinkPlugin, SourcePlugin};
use kanat_connect::{Error, Result};
use tokio::sync::mpsc;

use super::Herder;
use super::actor::Event;
use crate::guard::guarded;
use crate::store::config_log::TargetState;
use crate::task::stored_offsets;

/// A connector by what it does.
enum Instance {
    Source(Box<dyn AnySourceConnector>),
    Sink(Box<dyn AnySinkConnector>),
}

/// Its plugin.
#[derive(Debug, Clone)]
pub(crate) enum ConnectorPlugin {
    Source(SourcePlugin),
    Sink(SinkPlugin),
}

impl ConnectorPlugin {
    pub(crate) fn class(&self) -> &'static str {
        match self {
            ConnectorPlugin::Source(plugin) => plugin.class,
            ConnectorPlugin::Sink(plugin) => plugin.class,
        }
    }

    pub(crate) fn version(&self) -> &'static str {
        match self {
            ConnectorPlugin::Source(plugin) => plugin.version,
            ConnectorPlugin::Sink(plugin) => plugin.version,
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            ConnectorPlugin::Source(_) => "source",
            ConnectorPlugin::Sink(_) => "sink",
        }
    }

    fn task_class(&self) -> &'static str {
        match self {
            ConnectorPlugin::Source(plugin) => plugin.task_class,
            ConnectorPlugin::Sink(plugin) => plugin.task_class,
        }
    }

    fn instance(&self) -> Instance {
        match self {
            ConnectorPlugin::Source(plugin) => Instance::Source((plugin.connector)()),
            ConnectorPlugin::Sink(plugin) => Instance::Sink((plugin.connector)()),
        }
    }
}

impl Instance {
    async fn start(&mut self, context: Arc<dyn ConnectorContext>, config: Properties) -> Result<()> {
        match self {
            Instance::Source(connector) => connector.start(context, config).await,
            Instance::Sink(connector) => connector.start(context, config).await,
        }
    }

    async fn task_configs(&mut self, max: usize) -> Result<Vec<Properties>> {
        match self {
            Instance::Source(connector) => connector.task_configs(max).await,
            Instance::Sink(connector) => connector.task_configs(max).await,
        }
    }

    async fn stop(&mut self) {
        match self {
            Instance::Source(connector) => connector.stop().await,
            Instance::Sink(connector) => connector.stop().await,
        }
    }
}

/// A connector that was to be started.
pub(super) struct RunningConnector {
    plugin: Option<ConnectorPlugin>,
    /// `None` while it is paused or stopped, and after it has failed.
    instance: Option<Instance>,
    /// What it was started with, placeholders kept and replaced.
    raw: Properties,
    resolved: Properties,
    failed: bool,
}

/// How a start went.
pub(super) struct Launched {
    pub(super) connector: RunningConnector,
    /// Why it failed.
    pub(super) error: Option<String>,
}

impl RunningConnector {
    /// Makes a connector and, if it is to run, starts it.
    pub(super) async fn launch(
        herder: &Arc<Herder>,
        name: &str,
        target: TargetState,
        events: mpsc::Sender<Event>,
    ) -> Launched {
        let raw = herder.configs.read(|state| state.connector(name).cloned()).unwrap_or_default();
        let mut connector = RunningConnector {
            plugin: herder.plugin_of(&raw),
            instance: None,
            resolved: Properties::new(),
            raw,
            failed: false,
        };
        let error = connector.start(herder, name, target, events).await.err();
        connector.failed = error.is_some();
        Launched { connector, error: error.map(|error| trace(&error)) }
    }

    async fn start(
        &mut self,
        herder: &Arc<Herder>,
        name: &str,
        target: TargetState,
        events: mpsc::Sender<Event>,
    ) -> Result<()> {
        let Some(plugin) = self.plugin.clone() else {
            let class = self.raw.get("connector.class").cloned().flatten().unwrap_or_default();
            return Err(Error::connect(herder.no_such_connector(&class)));
        };
        self.resolved = herder.resolve(&self.raw)?;
        if target != TargetState::Started {
            return Ok(());
        }
        let context = Context { name: name.to_owned(), herder: Arc::clone(herder), events };
        let config = self.resolved.clone();
        let mut instance = plugin.instance();
        let started = guarded(async move {
            let started = instance.start(Arc::new(context), config).await;
            if started.is_err() {
                instance.stop().await;
            }
            started.map(|()| instance)
        });
        self.instance = Some(started.await.map_err(Error::connect)??);
        Ok(())
    }

    pub(super) fn version(&self) -> Option<&'static str> {
        self.plugin.as_ref().map(ConnectorPlugin::version)
    }

    pub(super) fn is_running(&self) -> bool {
        self.instance.is_some()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Configurations of its tasks as they are stored: with the keys the worker adds, and placeholders put back.
    pub(super) async fn task_configs(&mut self, herder: &Herder, name: &str) -> Result<Vec<Properties>, String> {
        let (Some(mut instance), Some(plugin)) = (self.instance.take(), self.plugin.clone()) else {
            return Ok(Vec::new());
        };
        let max = herder.tasks_max(&self.resolved);
        let asked = guarded(async move {
            let configs = instance.task_configs(max).await;
            (instance, configs)
        });
        let (instance, configs) = asked.await?;
        self.instance = Some(instance);
        let mut configs = configs.map_err(|error| error.to_string())?;
        let enforced = self.resolved.get("tasks.max.enforce").cloned().flatten();
        if configs.len() > max && enforced.as_deref() != Some("false") {
            return Err(format!(
                "The connector {name} has generated {} tasks, which is greater than {max}, the maximum number of \
                 tasks it is configured to create. This behaviour should be considered a bug and is disallowed.",
                configs.len()
            ));
        }
        for config in &mut configs {
            config.insert("task.class".to_owned(), Some(plugin.task_class().to_owned()));
            if let ConnectorPlugin::Sink(_) = plugin {
                for key in ["topics", "topics.regex"] {
                    if let Some(value) = self.resolved.get(key) {
                        config.insert(key.to_owned(), value.clone());
                    }
                }
            }
            self.put_placeholders_back(config);
        }
        Ok(configs)
    }

    /// A value that a placeholder stood for is stored as the placeholder: it may be a secret.
    fn put_placeholders_back(&self, config: &mut Properties) {
        for (key, value) in config {
            let (raw, resolved) = (self.raw.get(key), self.resolved.get(key));
            if let (Some(raw), Some(resolved)) = (raw, resolved)
                && raw != resolved
                && resolved == value
            {
                value.clone_from(raw);
            }
        }
    }

    /// Ends the connector; what takes longer than `timeout` is given up.
    pub(super) async fn stop(&mut self, timeout: Duration) {
        let Some(mut instance) = self.instance.take() else { return };
        let stopping = guarded(async move { instance.stop().await });
        match tokio::time::timeout(timeout, stopping).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error, "a connector failed while it stopped"),
            Err(_) => tracing::error!("a connector did not stop in time and was given up"),
        }
    }
}

/// An error as statuses show it.
pub(crate) fn trace(error: &Error) -> String {
    format!("{}: {error}", error.java_class())
}

/// What a connector asks of its actor.
struct Context {
    name: String,
    herder: Arc<Herder>,
    events: mpsc::Sender<Event>,
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Context").field("connector", &self.name).finish_non_exhaustive()
    }
}

impl ConnectorContext for Context {
    fn connector(&self) -> &str {
        &self.name
    }

    fn request_task_reconfiguration(&self) {
        // A full channel holds the same wish already.
        let _ = self.events.try_send(Event::Reconfigure);
    }

    fn raise_error(&self, error: Error) {
        let _ = self.events.try_send(Event::Failed(trace(&error)));
    }

    fn stored_offsets<'a>(&'a self, partitions: &'a [Map]) -> BoxFuture<'a, Result<Vec<Option<Map>>>> {
        Box::pin(async move { stored_offsets(&self.herder, &self.name, partitions) })
    }
}
