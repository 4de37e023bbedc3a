//! Restarts that users ask for.

use serde_json::Value;
use tokio::sync::oneshot;

use super::actor::Request;
use super::{Herder, NO_LEADER, RequestError};
use crate::store::status::{State, WorkId};

type Result<T> = std::result::Result<T, RequestError>;

impl Herder {
    /// Restarts a connector and none of its tasks; returns when it has started.
    pub(crate) async fn restart_connector(&self, name: &str) -> Result<()> {
        self.known(name)?;
        self.ask(name, Request::RestartConnector).await
    }

    /// Restarts a task.
    pub(crate) async fn restart_task(&self, name: &str, task: i32) -> Result<()> {
        self.known(name)?;
        let id = u32::try_from(task).ok().filter(|task| self.configs.read(|state| state.knows_task(name, *task)));
        let id = id.ok_or_else(|| RequestError::not_found(format!("Unknown task: {name}-{task}")))?;
        if !self.has_task(name, id) {
            // It has a configuration from before and runs nowhere: nobody can restart it.
            return Err(RequestError::conflict(NO_LEADER));
        }
        self.ask(name, |reply| Request::RestartTask(id, reply)).await
    }

    /// Begins to restart a connector and its tasks, or what of them failed. Returns the status that says so.
    pub(crate) async fn restart(&self, name: &str, include_tasks: bool, only_failed: bool) -> Result<Value> {
        self.known(name)?;
        let concerns = |state: State| !only_failed || state == State::Failed;
        let (connector, tasks) = self.statuses.read(|state| {
            let connector = state.get(&WorkId::connector(name)).map(|status| concerns(status.state));
            let tasks = state.tasks(name).filter(|(_, status)| include_tasks && concerns(status.state));
            (connector, tasks.map(|(task, _)| task).collect::<Vec<u32>>())
        });
        let connector =
            connector.ok_or_else(|| RequestError::not_found(format!("Status for connector {name} not found")))?;
        let mut restarting: Vec<WorkId> = tasks.iter().map(|task| WorkId::task(name, *task)).collect();
        restarting.extend(connector.then(|| WorkId::connector(name)));
        for id in &restarting {
            let version = self.statuses.read(|state| state.get(id).and_then(|status| status.version.clone()));
            self.say(id, State::Restarting, None, version.as_deref());
        }
        let answer = self.status(name)?;
        let actor = self.actor(name).ok_or_else(|| RequestError::conflict(NO_LEADER))?;
        let sent = actor.requests.send(Request::RestartAll { connector, tasks }).await;
        sent.map_err(|_| RequestError::conflict(NO_LEADER))?;
        Ok(answer)
    }

    fn known(&self, name: &str) -> Result<()> {
        if self.exists(name) {
            return Ok(());
        }
        Err(RequestError::not_found(format!("Unknown connector: {name}")))
    }

    /// Has an actor do something and waits until it is done.
    async fn ask(&self, name: &str, request: impl FnOnce(oneshot::Sender<Result<()>>) -> Request) -> Result<()> {
        let actor = self.actor(name).ok_or_else(|| RequestError::conflict(NO_LEADER))?;
        let (reply, answer) = oneshot::channel();
        let sent = actor.requests.send(request(reply)).await;
        sent.map_err(|_| RequestError::conflict(NO_LEADER))?;
        answer.await.map_err(|_| RequestError::conflict(NO_LEADER))?
    }
}
