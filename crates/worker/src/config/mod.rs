//! The worker's own configuration: `.properties`, the environment, and what of it this worker does not do.
//!
//! ```text
//! file ──┐
//!        ├─> keys and texts ── placeholders replaced ──> rows of keys ──> WorkerConfig + notes for the log
//! env  ──┘
//! ```
//!
//! Every key Kafka Connect knows is a row in `keys`; client keys are those of `kanat-client`. What has no effect or
//! is not known is told in [`WorkerConfig::notes`], what would change the outcome is refused: nothing is dropped in
//! silence (delivery rule 11).

mod clients;
mod environment;
mod keys;
mod listener;
mod providers;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use kanat_client::JavaProperties;
use kanat_connect::config::{ClassNames, Parsed, Properties};

pub use self::clients::OverridePolicy;
pub(crate) use self::clients::{ClientKind, overrides};
pub use self::listener::{Listener, Listeners};
pub use self::providers::ConfigProviders;
use self::table::{Row, Support};
use crate::error::{Error, Result};

/// How workers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One worker, its connectors given at start, its offsets in a file.
    Standalone,
    /// Workers that share connectors through Kafka.
    Distributed,
}

/// A worker's configuration, checked. `Debug` shows no values, they may be secrets.
#[derive(Clone)]
pub struct WorkerConfig {
    mode: Mode,
    properties: BTreeMap<String, String>,
    parsed: Parsed,
    providers: ConfigProviders,
    listeners: Listeners,
    override_policy: OverridePolicy,
    notes: Vec<String>,
}

impl fmt::Debug for WorkerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.properties.keys().collect();
        formatter.debug_struct("WorkerConfig").field("mode", &self.mode).field("keys", &keys).finish_non_exhaustive()
    }
}

/// The keys and texts of a properties file.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Client`] with the line that is damaged.
pub fn read_properties(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })?;
    let properties = JavaProperties::parse(&text)?;
    Ok(properties.into_iter().map(|(key, value)| (key, value.reveal().to_owned())).collect())
}

/// The keys that these variables of the environment set, by the rules of the Connect images: `CONNECT_REST_PORT` is
/// `rest.port`, and some names work without the prefix, such as `BOOTSTRAP_SERVERS`.
pub fn environment_properties(variables: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    environment::properties(variables)
}

impl WorkerConfig {
    /// Checks keys and texts. `classes` tells which converters there are.
    ///
    /// # Errors
    /// [`Error::Config`] with the first key that cannot work, or that asks for something this worker does not do.
    pub fn new(mode: Mode, properties: BTreeMap<String, String>, classes: &dyn ClassNames) -> Result<WorkerConfig> {
        let providers = ConfigProviders::from_properties(&properties)?;
        let resolved: Result<BTreeMap<String, String>> =
            properties.into_iter().map(|(key, value)| Ok((key, providers.replace(&value)?))).collect();
        let properties = resolved?;
        let given: Properties = properties.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        let parsed = table::definition(rows(mode)).parse(&given, classes)?;
        let mut config = WorkerConfig {
            mode,
            override_policy: OverridePolicy::Any,
            listeners: Listeners::default(),
            properties,
            parsed,
            providers,
            notes: Vec::new(),
        };
        config.refuse_unsupported()?;
        config.override_policy = OverridePolicy::parse(config.text("connector.client.config.override.policy"))?;
        config.listeners = Listeners::new(&config)?;
        config.notes = config.collect_notes();
        // Client keys are checked now, not when the first connector starts.
        kanat_client::ClientOptions::from_properties(&config.internal_client("check"))?;
        Ok(config)
    }

    /// How the worker runs.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Keys that were given and have no effect, with the reason, and keys nobody knows. For the log at start.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The providers of `${provider:path:key}`.
    pub fn providers(&self) -> &ConfigProviders {
        &self.providers
    }

    /// Where the REST server listens and how it is reached.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// What connectors may override of their clients.
    pub fn override_policy(&self) -> OverridePolicy {
        self.override_policy
    }

    /// A text; empty for a key without one.
    pub fn text(&self, key: &str) -> &str {
        self.parsed.get(key).and_then(|value| value.as_str()).unwrap_or_default()
    }

    /// A list; empty for a key without one.
    pub fn list(&self, key: &str) -> &[String] {
        self.parsed.get(key).and_then(|value| value.as_list()).unwrap_or_default()
    }

    /// A switch.
    pub fn flag(&self, key: &str) -> bool {
        self.parsed.get(key).and_then(|value| value.as_bool()).unwrap_or_default()
    }

    /// A whole number; `None` for a key without one.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.parsed.get(key).and_then(|value| value.as_i64())
    }

    /// A time in milliseconds; a negative one is none.
    pub fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(self.number(key).and_then(|number| u64::try_from(number).ok()).unwrap_or_default())
    }

    /// The texts of keys that start with `prefix`, without it.
    pub fn with_prefix(&self, prefix: &str) -> Properties {
        let keys = self.properties.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        keys.map(|(key, value)| (key[prefix.len()..].to_owned(), Some(value.clone()))).collect()
    }

    /// The text of a key as it was given.
    pub fn given(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    fn refuse_unsupported(&self) -> Result<()> {
        for row in rows(self.mode) {
            let (Support::Only(values, reason), Some(given)) = (row.support, self.given(row.name)) else { continue };
            if !values.iter().any(|value| value.eq_ignore_ascii_case(given.trim())) {
                let name = row.name;
                return Err(Error::Config(format!("Invalid value {given} for configuration {name}: {reason}")));
            }
        }
        Ok(())
    }

    fn collect_notes(&self) -> Vec<String> {
        let known: Vec<&Row> = rows(self.mode).collect();
        let mut notes = Vec::new();
        let mut clients = BTreeMap::new();
        for (key, value) in &self.properties {
            match known.iter().find(|row| row.name == key) {
                Some(Row { support: Support::NoEffect(reason), .. }) => {
                    notes.push(format!("{key} has no effect: {reason}"));
                }
                Some(_) => {}
                None if self.mode == Mode::Standalone && is_of(key, keys::DISTRIBUTED) => {
                    notes.push(format!("{key} has no effect in a standalone worker"));
                }
                None if self.mode == Mode::Distributed && is_of(key, keys::STANDALONE) => {
                    notes.push(format!("{key} has no effect in a distributed worker"));
                }
                None if key.starts_with("listeners.https.") || key.starts_with("admin.listeners.https.") => {
                    notes.push(format!("{key} has no effect: the REST server does not speak TLS"));
                }
                None if has_open_prefix(key) => {}
                None => {
                    clients.insert(key.clone(), value.clone());
                }
            }
        }
        notes.extend(client_notes(clients));
        notes
    }
}

/// Keys that belong to something else: providers, converters, internal topics.
fn has_open_prefix(key: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "config.providers.",
        "config.storage.",
        "header.converter.",
        "key.converter.",
        "metrics.context.",
        "offset.storage.",
        "status.storage.",
        "value.converter.",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// What is to be said about keys of clients, prefixed or not.
fn client_notes(keys: BTreeMap<String, String>) -> Vec<String> {
    let bare = |key: &str| {
        let prefixes = ["producer.", "consumer.", "admin."];
        prefixes.iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key).to_owned()
    };
    let mut notes = Vec::new();
    for (key, value) in keys {
        let one: JavaProperties = [(bare(&key), value)].into_iter().collect();
        if !one.unknown_keys().is_empty() {
            notes.push(format!("{key} is not a known key"));
        }
        notes.extend(one.keys_without_effect().iter().map(|(_, reason)| format!("{key} has no effect: {reason}")));
    }
    notes
}

fn is_of(key: &str, rows: &[Row]) -> bool {
    rows.iter().any(|row| row.name == key)
}

fn rows(mode: Mode) -> impl Iterator<Item = &'static Row> {
    let own = match mode {
        Mode::Standalone => keys::STANDALONE,
        Mode::Distributed => keys::DISTRIBUTED,
    };
    keys::COMMON.iter().chain(own)
}

#[cfg(test)]
mod tests;
