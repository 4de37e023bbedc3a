//! Properties of the Kafka clients a worker makes, in the order in which Connect merges them: defaults, the worker's
//! prefixed keys, the connector's overrides.

use std::collections::BTreeMap;

use kanat_client::JavaProperties;
use kanat_connect::config::Properties;

use super::{Mode, WorkerConfig, keys};
use crate::error::{Error, Result};

/// What connectors may override of their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverridePolicy {
    /// Anything.
    Any,
    /// Nothing.
    Nothing,
    /// Who they are: `sasl.jaas.config`, `sasl.mechanism` and `security.protocol`.
    Principal,
}

impl OverridePolicy {
    pub(super) fn parse(text: &str) -> Result<OverridePolicy> {
        let package = "org.apache.kafka.connect.connector.policy.";
        let name = text.strip_prefix(package).unwrap_or(text);
        match name.strip_suffix("ConnectorClientConfigOverridePolicy").unwrap_or(name) {
            "All" => Ok(OverridePolicy::Any),
            "None" => Ok(OverridePolicy::Nothing),
            "Principal" => Ok(OverridePolicy::Principal),
            _ => Err(Error::Config(format!(
                "Invalid value {text} for configuration connector.client.config.override.policy: \
                 must be All, None or Principal"
            ))),
        }
    }

    /// What is wrong with overriding this client key, in Connect's words; `None` when it may be overridden.
    pub fn refusal(self, key: &str) -> Option<String> {
        let name = match self {
            OverridePolicy::Any => return None,
            OverridePolicy::Nothing => "None",
            OverridePolicy::Principal if matches!(key, "sasl.jaas.config" | "sasl.mechanism" | "security.protocol") => {
                return None;
            }
            OverridePolicy::Principal => "Principal",
        };
        Some(format!("The '{name}' policy does not allow '{key}' to be overridden in the connector configuration."))
    }
}

/// The kind of client a connector has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Producer,
    Consumer,
    Admin,
}

impl ClientKind {
    /// Name in client ids and start of the worker's keys.
    fn name(self) -> &'static str {
        match self {
            ClientKind::Producer => "producer",
            ClientKind::Consumer => "consumer",
            ClientKind::Admin => "admin",
        }
    }

    /// Start of a connector's keys for this client.
    pub(crate) fn override_prefix(self) -> &'static str {
        match self {
            ClientKind::Producer => "producer.override.",
            ClientKind::Consumer => "consumer.override.",
            ClientKind::Admin => "admin.override.",
        }
    }

    /// What differs from a client's own defaults.
    fn defaults(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Nothing is given up while the cluster is away. Unlike Connect's, the producer stays idempotent: it then
            // repeats what had no answer without doubling it, and keeps order with several requests under way.
            ClientKind::Producer => &[("acks", "all"), ("delivery.timeout.ms", "2147483647")],
            ClientKind::Consumer => &[("enable.auto.commit", "false"), ("auto.offset.reset", "earliest")],
            ClientKind::Admin => &[],
        }
    }
}

impl WorkerConfig {
    /// Properties of a client of the internal topics: every key of the worker.
    pub fn internal_client(&self, role: &str) -> JavaProperties {
        let mut merged = self.top_level();
        let own = merged.remove("client.id").filter(|id| !id.is_empty());
        let group = merged.remove("group.id").filter(|_| self.mode == Mode::Distributed);
        let id: Vec<String> = group.into_iter().chain(own).chain([role.to_owned()]).collect();
        merged.insert("client.id".to_owned(), id.join("-"));
        merged.into_iter().collect()
    }

    /// Properties of a client of connector `name`; `config` holds its overrides, placeholders replaced.
    pub(crate) fn connector_client(
        &self,
        kind: ClientKind,
        name: &str,
        task: Option<u32>,
        config: &Properties,
    ) -> JavaProperties {
        let mut merged = match kind {
            ClientKind::Admin => self.top_level(),
            ClientKind::Producer | ClientKind::Consumer => BTreeMap::new(),
        };
        let bootstrap = self.list("bootstrap.servers").join(",");
        merged.insert("bootstrap.servers".to_owned(), bootstrap);
        let task = task.map(|task| format!("-{task}")).unwrap_or_default();
        merged.insert("client.id".to_owned(), format!("connector-{}-{name}{task}", kind.name()));
        if kind == ClientKind::Consumer {
            merged.insert("group.id".to_owned(), format!("connect-{name}"));
        }
        merged.extend(kind.defaults().iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let prefixed = self.with_prefix(&format!("{}.", kind.name()));
        merged.extend(prefixed.into_iter().filter_map(|(key, value)| Some((key, value?))));
        merged.extend(overrides(kind, config).map(|(key, value)| (key.to_owned(), value.to_owned())));
        merged.into_iter().collect()
    }

    /// Keys of clients as the worker has them: its own and prefixed keys left out.
    fn top_level(&self) -> BTreeMap<String, String> {
        let own = |key: &str| {
            let rows = keys::COMMON.iter().chain(keys::DISTRIBUTED).chain(keys::STANDALONE);
            let of_clients = ["bootstrap.servers", "group.id"];
            !of_clients.contains(&key) && rows.into_iter().any(|row| row.name == key)
        };
        let prefixed = |key: &str| {
            let prefixes = ["producer.", "consumer.", "admin."];
            super::has_open_prefix(key) || prefixes.iter().any(|prefix| key.starts_with(prefix))
        };
        let mut top: BTreeMap<String, String> = self
            .properties
            .iter()
            .filter(|(key, _)| !own(key) && !prefixed(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        // Connect's default is not the clients'.
        top.insert("bootstrap.servers".to_owned(), self.list("bootstrap.servers").join(","));
        top
    }
}

/// A connector's overrides for a kind of client, without their prefix.
pub(crate) fn overrides(kind: ClientKind, config: &Properties) -> impl Iterator<Item = (&str, &str)> {
    let prefix = kind.override_prefix();
    config.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_deref()?)))
}
