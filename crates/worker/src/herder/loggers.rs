//! Levels of loggers, changed while the worker runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::RequestError;

/// The logger above all others.
const ROOT: &str = "root";
const LEVELS: [&str; 8] = ["OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL"];

/// Told of every change: names and levels of all loggers, `root` among them.
pub type LevelSink = Arc<dyn Fn(&BTreeMap<String, String>) + Send + Sync>;

/// The loggers of a worker.
pub struct Loggers {
    levels: Mutex<BTreeMap<String, Level>>,
    sink: Option<LevelSink>,
}

struct Level {
    name: String,
    modified_ms: Option<i64>,
}

impl std::fmt::Debug for Loggers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loggers").finish_non_exhaustive()
    }
}

impl Level {
    fn to_json(&self) -> Value {
        json!({ "level": self.name, "last_modified": self.modified_ms })
    }
}

impl Loggers {
    /// Loggers at their first level.
    pub fn new(sink: Option<LevelSink>) -> Loggers {
        let first = |name: &str| (name.to_owned(), Level { name: "INFO".to_owned(), modified_ms: None });
        let names = [ROOT, "kanat_client", "kanat_connect", "kanat_worker"];
        Loggers { levels: Mutex::new(names.into_iter().map(first).collect()), sink }
    }

    /// Every logger with its level.
    pub(crate) fn all(&self) -> Value {
        let levels = self.levels.lock();
        let all: Map<String, Value> = levels.iter().map(|(name, level)| (name.clone(), level.to_json())).collect();
        Value::Object(all)
    }

    pub(crate) fn get(&self, logger: &str) -> Result<Value, RequestError> {
        let levels = self.levels.lock();
        let level = levels.get(logger).map(Level::to_json);
        level.ok_or_else(|| RequestError::new(404, format!("Logger {logger} not found.")))
    }

    /// The level by its name in any case.
    pub(crate) fn level(name: &str) -> Result<&'static str, RequestError> {
        if name.is_empty() {
            return Err(RequestError::internal("Illegal null or empty Level name."));
        }
        let known = LEVELS.into_iter().find(|level| level.eq_ignore_ascii_case(name));
        known.ok_or_else(|| RequestError::new(404, format!("invalid log level '{name}'.")))
    }

    /// Sets the level of a logger, known or not, and of those below it. Returns the names of all, in order.
    pub(crate) fn set(&self, logger: &str, level: &str) -> Result<Vec<String>, RequestError> {
        let level = Loggers::level(level)?;
        let modified_ms = Some(jiff::Timestamp::now().as_millisecond());
        let mut levels = self.levels.lock();
        let below = format!("{logger}.");
        let mut affected: Vec<String> =
            levels.keys().filter(|name| logger == ROOT || name.starts_with(&below)).cloned().collect();
        if !affected.iter().any(|name| name == logger) {
            affected.push(logger.to_owned());
        }
        affected.sort();
        for name in &affected {
            levels.insert(name.clone(), Level { name: level.to_owned(), modified_ms });
        }
        if let Some(sink) = &self.sink {
            sink(&levels.iter().map(|(name, level)| (name.clone(), level.name.clone())).collect());
        }
        Ok(affected)
    }
}
