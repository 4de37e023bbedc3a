//! One of these per connector: it alone starts and stops the connector and its tasks, one step after the other.
//!
//! A connector that hangs holds up its own actor and nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_connect::config::Properties;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::connector::{Launched, RunningConnector};
use super::plan::{Running, Runs, Step, plan};
use super::{Herder, RequestError};
use crate::store::config_log::{self, TargetState};
use crate::store::status::{self, State, Status, WorkId};
use crate::task::{RunningTask, TaskStart};

/// Requests of users waiting for one connector.
const REQUESTS_MAX: usize = 16;
/// Words of a connector and its tasks that wait to be heard; further ones are the same words again.
const EVENTS_MAX: usize = 16;
/// First and longest wait until task configurations are asked for again.
const GENERATE_RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// What a user asks of a connector here.
#[derive(Debug)]
pub(super) enum Request {
    RestartConnector(oneshot::Sender<Result<(), RequestError>>),
    RestartTask(u32, oneshot::Sender<Result<(), RequestError>>),
    /// Restart the connector and these tasks, whose statuses say so already.
    RestartAll {
        connector: bool,
        tasks: Vec<u32>,
    },
    /// Stop everything and end.
    ShutDown(oneshot::Sender<()>),
}

/// What a connector says by itself.
#[derive(Debug)]
pub(super) enum Event {
    /// Its tasks should be made anew.
    Reconfigure,
    /// It has failed.
    Failed(String),
}

/// The outside of an actor.
#[derive(Debug, Clone)]
pub(super) struct ActorHandle {
    pub(super) wake: Arc<Notify>,
    pub(super) requests: mpsc::Sender<Request>,
}

pub(super) struct Actor {
    name: String,
    herder: Arc<Herder>,
    wake: Arc<Notify>,
    requests: mpsc::Receiver<Request>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    connector: Option<(Runs, RunningConnector)>,
    tasks: BTreeMap<u32, (Runs, RunningTask)>,
    /// Revision of the configuration that the last task configurations were made from.
    generated: Option<u64>,
    /// When to ask for task configurations again, and the wait after that.
    retry: Option<(Instant, Duration)>,
}

impl Actor {
    /// Starts the actor of a connector; it ends when the connector is gone.
    pub(super) fn spawn(name: String, herder: Arc<Herder>) -> ActorHandle {
        let wake = Arc::new(Notify::new());
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let handle = ActorHandle { wake: Arc::clone(&wake), requests: sender };
        let actor = Actor {
            name,
            herder,
            wake,
            requests,
            events: mpsc::channel(EVENTS_MAX),
            connector: None,
            tasks: BTreeMap::new(),
            generated: None,
            retry: None,
        };
        tokio::spawn(actor.run());
        handle
    }

    async fn run(mut self) {
        loop {
            self.reconcile().await;
            if self.connector.is_none() && self.tasks.is_empty() && self.herder.dismiss(&self.name) {
                return;
            }
            let retry = self.retry.map(|(at, _)| at);
            tokio::select! {
                () = self.wake.notified() => {}
                Some(event) = self.events.1.recv() => self.hear(event).await,
                () = tokio::time::sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                    self.generate().await;
                }
                request = self.requests.recv() => match request {
                    Some(Request::ShutDown(done)) => {
                        self.shut_down().await;
                        let _ = done.send(());
                        return;
                    }
                    Some(request) => self.serve(request).await,
                    // The herder has let go of this actor.
                    None => return,
                }
            }
        }
    }

    /// Takes steps until what runs is what should.
    async fn reconcile(&mut self) {
        loop {
            let desired = self.herder.desired(&self.name);
            let tasks = self.tasks.iter().map(|(task, (runs, _))| (*task, *runs)).collect();
            let running = Running { connector: self.connector.as_ref().map(|(runs, _)| *runs), tasks };
            let steps = plan(&desired, &running);
            if steps.is_empty() {
                return;
            }
            for step in steps {
                match step {
                    Step::StopTasks(tasks) => self.stop_tasks(&tasks).await,
                    Step::StopConnector => self.stop_connector().await,
                    Step::StartConnector => {
                        let runs = Runs { revision: desired.connector.unwrap_or_default(), target: desired.target };
                        self.start_connector(runs).await;
                        self.generate_if_running().await;
                    }
                    Step::MoveConnector => self.move_connector(desired.target).await,
                    Step::StartTasks(tasks) => {
                        for task in tasks {
                            // What came meanwhile is for the next round.
                            let Some(revision) = desired.tasks.get(&task) else { continue };
                            self.start_task(task, Runs { revision: *revision, target: desired.target });
                        }
                    }
                    Step::MoveTasks(tasks) => {
                        for task in tasks {
                            if let Some((runs, running)) = self.tasks.get_mut(&task) {
                                runs.target = desired.target;
                                running.set_target(desired.target);
                            }
                        }
                    }
                }
            }
        }
    }

    fn say(&self, task: Option<u32>, state: State, trace: Option<String>, version: Option<&str>) {
        let id = WorkId { connector: self.name.clone(), task };
        self.herder.say(&id, state, trace, version);
    }

    async fn start_connector(&mut self, runs: Runs) {
        let launched = RunningConnector::launch(&self.herder, &self.name, runs.target, self.events.0.clone()).await;
        let Launched { connector, error } = launched;
        let state = match (&error, runs.target) {
            (Some(_), _) => State::Failed,
            (None, TargetState::Started) => State::Running,
            (None, TargetState::Paused) => State::Paused,
            (None, TargetState::Stopped) => State::Stopped,
        };
        if let Some(error) = &error {
            tracing::error!(connector = self.name, error, "the connector could not be started");
        }
        self.say(None, state, error, connector.version());
        self.connector = Some((runs, connector));
    }

    async fn stop_connector(&mut self) {
        self.retry = None;
        let Some((_, mut connector)) = self.connector.take() else { return };
        connector.stop(self.herder.shutdown_timeout()).await;
        self.say(None, State::Unassigned, None, None);
        if !self.herder.exists(&self.name) {
            self.generated = None;
            self.herder.forget(&self.name);
        }
    }

    async fn move_connector(&mut self, target: TargetState) {
        self.retry = None;
        let Some((runs, mut connector)) = self.connector.take() else { return };
        let runs = Runs { target, ..runs };
        connector.stop(self.herder.shutdown_timeout()).await;
        if target == TargetState::Started {
            self.start_connector(runs).await;
            return self.generate_if_running().await;
        }
        let state = if target == TargetState::Paused { State::Paused } else { State::Stopped };
        self.say(None, state, None, connector.version());
        self.connector = Some((runs, connector));
    }

    async fn generate_if_running(&mut self) {
        if self.connector.as_ref().is_some_and(|(_, connector)| connector.is_running()) {
            self.generate().await;
        }
    }

    /// Asks the connector for task configurations, and publishes them if they are new.
    async fn generate(&mut self) {
        let wait = self.retry.take().map_or(GENERATE_RETRY.0, |(_, wait)| wait);
        let Some((runs, connector)) = &mut self.connector else { return };
        let revision = runs.revision;
        let generated = match connector.task_configs(&self.herder, &self.name).await {
            Ok(configs) => {
                // Converters and transforms may differ although the tasks' own keys are the same.
                let is_changed = self.generated.is_some_and(|generated| generated != revision);
                self.herder.publish_tasks(&self.name, configs, is_changed).await.map_err(|error| error.message)
            }
            Err(error) => Err(error),
        };
        match generated {
            Ok(()) => self.generated = Some(revision),
            Err(error) => {
                tracing::error!(connector = self.name, error, "no task configurations, they are asked for again");
                self.retry = Some((Instant::now() + wait, (wait * 2).min(GENERATE_RETRY.1)));
            }
        }
    }

    fn start_task(&mut self, task: u32, runs: Runs) {
        let start = TaskStart { herder: Arc::clone(&self.herder), connector: self.name.clone(), task };
        self.tasks.insert(task, (runs, RunningTask::spawn(start, runs.target)));
    }

    async fn stop_tasks(&mut self, tasks: &[u32]) {
        let mut stopping = Vec::new();
        for task in tasks {
            if let Some((_, running)) = self.tasks.remove(task) {
                running.ask_to_stop();
                stopping.push((*task, running));
            }
        }
        let deadline = Instant::now() + self.herder.shutdown_timeout();
        for (task, running) in stopping {
            running.stopped_by(deadline).await;
            self.say(Some(task), State::Unassigned, None, None);
            if !self.herder.has_task(&self.name, task) {
                self.herder.statuses.append([status::removal_record(&WorkId::task(&self.name, task))]);
            }
        }
    }

    async fn hear(&mut self, event: Event) {
        match event {
            Event::Reconfigure => self.generate_if_running().await,
            Event::Failed(error) => {
                let Some((_, connector)) = &mut self.connector else { return };
                connector.stop(self.herder.shutdown_timeout()).await;
                let version = connector.version().map(str::to_owned);
                self.say(None, State::Failed, Some(error), version.as_deref());
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::RestartConnector(reply) => {
                let _ = reply.send(self.restart_connector().await);
            }
            Request::RestartTask(task, reply) => {
                let _ = reply.send(self.restart_task(task).await);
            }
            Request::RestartAll { connector, tasks } => {
                self.stop_tasks(&tasks).await;
                if connector {
                    // Its status tells how it went.
                    let _ = self.restart_connector().await;
                }
                // Tasks that are missing now are started by the next round.
            }
            Request::ShutDown(done) => {
                self.shut_down().await;
                let _ = done.send(());
            }
        }
    }

    async fn restart_connector(&mut self) -> Result<(), RequestError> {
        let Some((runs, mut connector)) = self.connector.take() else { return Ok(()) };
        connector.stop(self.herder.shutdown_timeout()).await;
        self.say(None, State::Unassigned, None, connector.version());
        self.start_connector(runs).await;
        let failed = self.connector.as_ref().is_some_and(|(_, connector)| connector.has_failed());
        if failed {
            return Err(RequestError::internal(format!("Failed to start connector: {}", self.name)));
        }
        self.generate_if_running().await;
        Ok(())
    }

    async fn restart_task(&mut self, task: u32) -> Result<(), RequestError> {
        let Some((runs, _)) = self.tasks.get(&task) else {
            return Err(RequestError::conflict(super::NO_LEADER));
        };
        let runs = *runs;
        self.stop_tasks(&[task]).await;
        self.start_task(task, runs);
        Ok(())
    }

    async fn shut_down(&mut self) {
        let tasks: Vec<u32> = self.tasks.keys().copied().collect();
        self.stop_tasks(&tasks).await;
        self.stop_connector().await;
    }
}

impl Herder {
    /// Writes task configurations if they differ from those there are, or if they have to be written anyway.
    async fn publish_tasks(&self, name: &str, configs: Vec<Properties>, anyway: bool) -> Result<(), RequestError> {
        let same = self.configs.read(|state| {
            !state.is_incomplete(name)
                && state.task_count(name) as usize == configs.len()
                && state.tasks(name).map(|(_, config)| config).eq(configs.iter())
        });
        if same && !anyway {
            return Ok(());
        }
        self.append(config_log::task_records(name, &configs)).await
    }

    /// Says what a connector or task is doing.
    pub(crate) fn say(&self, id: &WorkId, state: State, trace: Option<String>, version: Option<&str>) {
        let status = Status {
            state,
            trace,
            worker_id: self.worker_id().to_owned(),
            generation: self.generation(),
            version: version.map(str::to_owned),
        };
        self.statuses.append([status::status_record(id, &status)]);
    }
}
