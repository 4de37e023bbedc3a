//! Worker keys from the environment, by the rules of the Connect images: `CONNECT_OFFSET_FLUSH_INTERVAL_MS` is
//! `offset.flush.interval.ms`.

use std::collections::BTreeMap;

/// Start of the variables that are keys.
const PREFIX: &str = "CONNECT_";

/// Variables the images take without the prefix. They win over the prefixed ones.
const SHORT: &[(&str, &str)] = &[
    ("ADVERTISED_HOST_NAME", "rest.advertised.host.name"),
    ("ADVERTISED_PORT", "rest.advertised.port"),
    ("BOOTSTRAP_SERVERS", "bootstrap.servers"),
    ("CONFIG_STORAGE_TOPIC", "config.storage.topic"),
    ("GROUP_ID", "group.id"),
    ("KEY_CONVERTER", "key.converter"),
    ("OFFSET_FLUSH_INTERVAL_MS", "offset.flush.interval.ms"),
    ("OFFSET_FLUSH_TIMEOUT_MS", "offset.flush.timeout.ms"),
    ("OFFSET_STORAGE_TOPIC", "offset.storage.topic"),
    ("SHUTDOWN_TIMEOUT", "task.shutdown.graceful.timeout.ms"),
    ("STATUS_STORAGE_TOPIC", "status.storage.topic"),
    ("VALUE_CONVERTER", "value.converter"),
];

/// Variables with the prefix that configure the image's logging or start-up script, not the worker.
const NOT_KEYS: &[&str] = &["CONNECT_LOG4J", "CONNECT_LOG_", "CONNECT_TOOLS_"];

/// The keys that these variables set.
pub(super) fn properties(variables: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut short = BTreeMap::new();
    for (name, value) in variables {
        if let Some((_, key)) = SHORT.iter().find(|(variable, _)| *variable == name) {
            short.insert((*key).to_owned(), value);
        } else if let Some(rest) = name.strip_prefix(PREFIX)
            && !NOT_KEYS.iter().any(|other| name.starts_with(other))
        {
            keys.insert(rest.to_lowercase().replace('_', "."), value);
        }
    }
    keys.extend(short.into_iter().filter(|(_, value)| !value.is_empty()));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_keys() {
        let variables = [
            ("CONNECT_PRODUCER_SASL_JAAS_CONFIG", "x y"),
            ("CONNECT_GROUP_ID", "prefixed"),
            ("GROUP_ID", "short"),
            ("BOOTSTRAP_SERVERS", ""),
            ("CONNECT_BOOTSTRAP_SERVERS", "b:1"),
            ("CONNECT_LOG4J_LOGGERS", "org.reflections=ERROR"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let keys: Vec<_> = properties(variables).into_iter().collect();
        let expected = [("bootstrap.servers", "b:1"), ("group.id", "short"), ("producer.sasl.jaas.config", "x y")];
        assert_eq!(keys, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
