//! One method per path: arguments out of the request, the herder asked, its answer in Connect's shape.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::body;
use super::route::{Query, Route, encode_segment};
use crate::herder::{ConnectorInfo, Herder, RequestError};
use crate::store::config_log::TargetState;

type Result<T = Answer> = std::result::Result<T, RequestError>;

/// A request that names a path and a method there are.
pub(super) struct Call<'a> {
    pub(super) herder: &'a Arc<Herder>,
    pub(super) query: Query,
    pub(super) host: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) method: Method,
    pub(super) body: Bytes,
}

impl Call<'_> {
    pub(super) async fn handle(&self, route: &Route) -> Result {
        let herder = self.herder;
        match route {
            Route::Root => Ok(Answer::ok(&herder.root())),
            Route::Health => Ok(self.health()),
            Route::Connectors if self.method == Method::POST => self.create().await,
            Route::Connectors => Ok(self.list()),
            Route::Connector(name) if self.method == Method::DELETE => {
                herder.delete(name).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            Route::Connector(name) => Ok(Answer::ok(&herder.info(name)?.to_json())),
            Route::Config(name) => self.config(name).await,
            Route::Status(name) => Ok(Answer::ok(&herder.status(name)?)),
            Route::Restart(name) => self.restart(name).await,
            Route::Pause(name) => self.target(name, TargetState::Paused).await,
            Route::Resume(name) => self.target(name, TargetState::Started).await,
            Route::Stop(name) => {
                herder.stop(name).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            Route::Tasks(name) if self.method == Method::POST => {
                herder.check_internal(self.headers, &self.body)?;
                herder.put_task_configs(name, body::task_configs(&self.body)?).await?;
                Ok(Answer::empty(StatusCode::OK))
            }
            Route::Tasks(name) => Ok(Answer::ok(&herder.tasks(name)?)),
            Route::Fence(name) => {
                herder.check_internal(self.headers, &self.body)?;
                herder.fence(name).await?;
                Ok(Answer::empty(StatusCode::OK))
            }
            Route::TaskStatus(_, None) | Route::TaskRestart(_, None) => Ok(Answer::no_such_parameter()),
            Route::TaskStatus(name, Some(task)) => Ok(Answer::ok(&herder.task_status(name, *task)?)),
            Route::TaskRestart(name, Some(task)) => {
                herder.restart_task(name, *task).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            Route::Offsets(name) => self.offsets(name).await,
            Route::Topics(name) => Ok(Answer::ok(&json!({ name: { "topics": herder.topics(name)? } }))),
            Route::TopicsReset(name) => {
                herder.reset_topics(name).await?;
                Ok(Answer::empty(StatusCode::ACCEPTED))
            }
            Route::Plugins => Ok(Answer::ok(&herder.plugins_json(self.query.flag("connectorsOnly").unwrap_or(true)))),
            Route::PluginConfig(name) => Ok(Answer::ok(&herder.plugin_config(name, self.query.get("version"))?)),
            Route::PluginValidate(name) => {
                let config = body::properties(&self.body)?;
                Ok(Answer::ok(&herder.validate_plugin(name, config).await?))
            }
            Route::Loggers => Ok(Answer::ok(&herder.loggers().all())),
            Route::Logger(name) => self.logger(name).await,
        }
    }

    fn health(&self) -> Answer {
        let body = |status: &str, message: String| json!({ "status": status, "message": message });
        if self.herder.is_ready() {
            let ready = "Worker has completed startup and is ready to handle requests.".to_owned();
            return Answer::ok(&body("healthy", ready));
        }
        let starting = format!("Worker is still starting up. {}", self.herder.stage());
        Answer::json(StatusCode::SERVICE_UNAVAILABLE, &body("starting", starting))
    }

    fn list(&self) -> Answer {
        let herder = self.herder;
        let expansions = self.query.all("expand");
        if expansions.is_empty() {
            return Answer::ok(&herder.connectors().into());
        }
        let mut all = Map::new();
        for name in herder.connectors() {
            let mut expanded = Map::new();
            let mut found = true;
            for expansion in &expansions {
                let part = match *expansion {
                    "status" => herder.status(&name),
                    "info" => herder.info(&name).map(|info| info.to_json()),
                    other => {
                        tracing::info!(expansion = other, "unknown expansion ignored");
                        continue;
                    }
                };
                match part {
                    Ok(part) => {
                        expanded.insert((*expansion).to_owned(), part);
                    }
                    // Deleted or not yet started meanwhile.
                    Err(_) => found = false,
                }
            }
            if found {
                all.insert(name, Value::Object(expanded));
            }
        }
        Answer::ok(&Value::Object(all))
    }

    async fn create(&self) -> Result {
        let info = self.herder.create(body::new_connector(&self.body)?).await?;
        Ok(self.created(&info))
    }

    fn created(&self, info: &ConnectorInfo) -> Answer {
        let host = self.host.map_or_else(|| self.herder.worker_id().to_owned(), str::to_owned);
        let location = format!("http://{host}/connectors/{}", encode_segment(&info.name));
        Answer::created(location, &info.to_json())
    }

    async fn config(&self, name: &str) -> Result {
        match self.method {
            Method::PUT => {
                let (created, info) = self.herder.put_config(name, body::properties(&self.body)?).await?;
                Ok(if created { self.created(&info) } else { Answer::ok(&info.to_json()) })
            }
            Method::PATCH => {
                let info = self.herder.patch_config(name, body::properties(&self.body)?).await?;
                Ok(Answer::ok(&info.to_json()))
            }
            _ => Ok(Answer::ok(&self.herder.connector_config(name)?)),
        }
    }

    async fn restart(&self, name: &str) -> Result {
        let flag = |name| self.query.flag(name).unwrap_or_default();
        let (include_tasks, only_failed) = (flag("includeTasks"), flag("onlyFailed"));
        if !include_tasks && !only_failed {
            self.herder.restart_connector(name).await?;
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        let state = self.herder.restart(name, include_tasks, only_failed).await?;
        Ok(Answer::json(StatusCode::ACCEPTED, &state))
    }

    async fn target(&self, name: &str, target: TargetState) -> Result {
        self.herder.set_target(name, target).await?;
        Ok(Answer::empty(StatusCode::ACCEPTED))
    }

    async fn offsets(&self, name: &str) -> Result {
        match self.method {
            Method::PATCH => {
                let message = self.herder.alter_offsets(name, Some(body::offsets(&self.body)?)).await?;
                Ok(Answer::ok(&json!({ "message": message })))
            }
            Method::DELETE => {
                let message = self.herder.alter_offsets(name, None).await?;
                Ok(Answer::ok(&json!({ "message": message })))
            }
            _ => Ok(Answer::ok(&json!({ "offsets": self.herder.offsets(name).await? }))),
        }
    }

    async fn logger(&self, name: &str) -> Result {
        if self.method == Method::GET {
            return Ok(Answer::ok(&self.herder.loggers().get(name)?));
        }
        let levels = body::properties(&self.body)?;
        let Some(Some(level)) = levels.get("level") else {
            return Err(RequestError::bad("Desired 'level' parameter was not specified in request."));
        };
        if self.query.get("scope").is_some_and(|scope| scope.eq_ignore_ascii_case("cluster")) {
            self.herder.set_cluster_level(name, level).await?;
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        Ok(Answer::ok(&self.herder.loggers().set(name, level)?.into()))
    }
}
