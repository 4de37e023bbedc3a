//! Tasks: the loops that move records, each on a tokio task of its own.
//!
//! ```text
//! source: poll ──> transforms, converters (pipeline) ──> producer ──acks──> source offsets
//! sink:   group consumer ──> converters, transforms ──> put ──pre-commit──> group offsets
//! ```

mod dead_letters;
mod errors;
mod pipeline;
mod sink;
mod sink_context;
mod source;
mod submitted;
mod topics;

use std::sync::Arc;

use kanat_connect::data::Map;
use kanat_connect::{Error, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::guard::guarded;
use crate::herder::{ConnectorPlugin, Herder, trace};
use crate::json_map::{from_map, to_map};
use crate::store::config_log::TargetState;
use crate::store::status::{State, WorkId};

/// What a task is to be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    Pause,
    Stop,
}

/// What a task starts from.
#[derive(Debug, Clone)]
pub(crate) struct TaskStart {
    pub(crate) herder: Arc<Herder>,
    pub(crate) connector: String,
    pub(crate) task: u32,
}

impl TaskStart {
    fn id(&self) -> WorkId {
        WorkId::task(&self.connector, self.task)
    }

    fn say(&self, state: State, trace: Option<String>, version: &str) {
        self.herder.say(&self.id(), state, trace, Some(version));
    }
}

/// A task that was started. After a failure it stays, so that nobody starts it again by itself.
#[derive(Debug)]
pub(crate) struct RunningTask {
    wish: watch::Sender<Wish>,
    done: JoinHandle<()>,
}

impl RunningTask {
    /// Starts a task.
    pub(crate) fn spawn(start: TaskStart, target: TargetState) -> RunningTask {
        let (wish, wishes) = watch::channel(of_target(target));
        RunningTask { wish, done: tokio::spawn(supervise(start, wishes)) }
    }

    /// Tells the task what to be doing.
    pub(crate) fn set_target(&self, target: TargetState) {
        self.wish.send_replace(of_target(target));
    }

    /// Asks the task to end.
    pub(crate) fn ask_to_stop(&self) {
        self.wish.send_replace(Wish::Stop);
    }

    /// Waits for the end of the task, and gives it up at the deadline.
    pub(crate) async fn stopped_by(mut self, deadline: Instant) {
        if tokio::time::timeout_at(deadline, &mut self.done).await.is_err() {
            tracing::error!("a task did not stop in time and was given up");
            self.done.abort();
        }
    }
}

fn of_target(target: TargetState) -> Wish {
    match target {
        TargetState::Started => Wish::Run,
        TargetState::Paused | TargetState::Stopped => Wish::Pause,
    }
}

/// Runs a task and says how it ended.
async fn supervise(start: TaskStart, wishes: watch::Receiver<Wish>) {
    let Some((connector, task)) = start.herder.task_start(&start.connector, start.task) else { return };
    let Some(plugin) = start.herder.plugin_of(&connector) else { return };
    let version = plugin.version();
    let inner = start.clone();
    let ended = guarded(async move {
        let herder = &inner.herder;
        let (connector, task) = (herder.resolve(&connector)?, herder.resolve(&task)?);
        match plugin {
            ConnectorPlugin::Source(plugin) => source::run(&inner, &plugin, &connector, task, wishes).await,
            ConnectorPlugin::Sink(plugin) => sink::run(&inner, &plugin, &connector, task, wishes).await,
        }
    });
    let error = match ended.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => trace(&error),
        Err(panic) => panic,
    };
    tracing::error!(task = %start.id(), error, "the task has failed and stays so until it is restarted");
    start.say(State::Failed, Some(error), version);
}

/// Waits while a task is to be paused, before its first start. `false` when it is to stop.
async fn may_start(start: &TaskStart, version: &str, wishes: &mut watch::Receiver<Wish>) -> bool {
    loop {
        match *wishes.borrow_and_update() {
            Wish::Run => return true,
            Wish::Stop => return false,
            Wish::Pause => start.say(State::Paused, None, version),
        }
        if wishes.changed().await.is_err() {
            return false;
        }
    }
}

/// What is stored for source partitions, in the order asked.
pub(crate) fn stored_offsets(herder: &Herder, connector: &str, partitions: &[Map]) -> Result<Vec<Option<Map>>> {
    let stored = |partition: &Map| {
        let partition = from_map(partition).map_err(Error::connect)?;
        let offset = herder.offset_store().read(|state| state.get(connector, &partition));
        let offset = offset.map_err(|error| Error::connect(error.to_string()))?;
        Ok(offset.as_ref().map(to_map))
    };
    partitions.iter().map(stored).collect()
}

/// An error of the Kafka client as the reason why a task ends.
fn client_error(error: kanat_client::Error) -> Error {
    Error::connect(error.to_string())
}
