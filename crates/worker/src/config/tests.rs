//! Worker configurations as people write them.

use kanat_client::{ClientOptions, ProducerOptions};

use super::clients::ClientKind;
use super::*;

#[derive(Debug)]
struct AnyClass;

impl ClassNames for AnyClass {
    fn resolve(&self, name: &str) -> Option<String> {
        (!name.contains("Nope")).then(|| name.to_owned())
    }
}

const BASE: [(&str, &str); 3] =
    [("key.converter", "K"), ("value.converter", "V"), ("offset.storage.file.filename", "/tmp/o")];

fn config(pairs: &[(&str, &str)]) -> Result<WorkerConfig> {
    let pairs = BASE.iter().chain(pairs).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    WorkerConfig::new(Mode::Standalone, pairs.collect(), &AnyClass)
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    config(pairs).unwrap_err().to_string()
}

#[test]
fn defaults_are_those_of_connect() {
    let config = config(&[]).unwrap();
    assert_eq!(config.millis("offset.flush.interval.ms"), Duration::from_secs(60));
    assert_eq!(config.list("bootstrap.servers"), ["localhost:9092"]);
    assert_eq!(config.listeners().public, [Listener { host: String::new(), port: 8083 }]);
    assert_eq!((config.listeners().admin.as_ref(), config.flag("topic.creation.enable")), (None, true));
    assert!(config.notes().is_empty());
}

#[test]
fn distributed_workers_need_their_topics() {
    let pairs = BASE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let error = WorkerConfig::new(Mode::Distributed, pairs.collect(), &AnyClass).unwrap_err().to_string();
    assert_eq!(error, "Missing required configuration \"group.id\" which has no default value.");
}

#[test]
fn wrong_values_name_key_and_value() {
    let wrong = refusal(&[("offset.flush.interval.ms", "often")]);
    assert_eq!(wrong, "Invalid value often for configuration offset.flush.interval.ms: Not a number of type LONG");
    assert!(refusal(&[("key.converter", "Nope")]).contains("Class Nope could not be found."));
    assert!(refusal(&[("listeners", "https://:8443")]).contains("does not speak TLS"));
    assert!(refusal(&[("listeners", "ftp://:1")]).contains("Listener protocol must be one of: http, https"));
    assert!(refusal(&[("rest.extension.classes", "x.Y")]).contains("REST extensions are Java classes"));
    assert!(refusal(&[("connector.client.config.override.policy", "Some")]).contains("All, None or Principal"));
    assert!(refusal(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "GSSAPI")]).contains("sasl"));
}

#[test]
fn nothing_is_dropped_in_silence() {
    let config = config(&[
        ("plugin.path", "/plugins"),
        ("status.storage.topic", "s"),
        ("producer.linger.ms", "5"),
        ("producer.lingerr.ms", "5"),
        ("bootstrap.server", "typo"),
        ("key.converter.schemas.enable", "false"),
    ]);
    assert_eq!(
        config.unwrap().notes(),
        [
            "plugin.path has no effect: connectors are part of the binary, no class path is scanned",
            "status.storage.topic has no effect in a standalone worker",
            "bootstrap.server is not a known key",
            "producer.lingerr.ms is not a known key",
        ]
    );
}

#[test]
fn clients_inherit_as_in_connect() {
    let config = config(&[
        ("bootstrap.servers", "b:1, c:2"),
        ("client.id", "w"),
        ("request.timeout.ms", "7000"),
        ("producer.linger.ms", "5"),
        ("producer.acks", "1"),
        ("admin.request.timeout.ms", "9000"),
    ]);
    let config = config.unwrap();
    let internal = ClientOptions::from_properties(&config.internal_client("offsets")).unwrap();
    assert_eq!((&*internal.client_id, internal.request_timeout_ms), ("w-offsets", 7000));

    let overrides: Properties =
        [("producer.override.linger.ms", "6"), ("consumer.override.group.id", "other"), ("linger.ms", "99")]
            .map(|(key, value)| (key.to_owned(), Some(value.to_owned())))
            .into();
    let producer = config.connector_client(ClientKind::Producer, "c", Some(0), &overrides);
    let client = ClientOptions::from_properties(&producer).unwrap();
    // Connectors do not inherit the worker's own client keys, except for the addresses.
    assert_eq!((client.bootstrap, &*client.client_id), (vec!["b:1".into(), "c:2".into()], "connector-producer-c-0"));
    assert_ne!(client.request_timeout_ms, 7000);
    assert_eq!(ProducerOptions::from_properties(&producer).unwrap().linger_ms, 6);

    let admin = ClientOptions::from_properties(&config.connector_client(ClientKind::Admin, "c", None, &overrides));
    assert_eq!(admin.unwrap().request_timeout_ms, 9000);
    let consumer: BTreeMap<_, _> =
        config.connector_client(ClientKind::Consumer, "c", Some(1), &overrides).into_iter().collect();
    assert_eq!(consumer["group.id"].reveal(), "other");
    assert_eq!(consumer["auto.offset.reset"].reveal(), "earliest");
}

#[test]
fn policies_speak_like_connect() {
    let principal = OverridePolicy::parse("Principal").unwrap();
    assert_eq!(principal.refusal("sasl.mechanism"), None);
    assert_eq!(
        principal.refusal("acks").unwrap(),
        "The 'Principal' policy does not allow 'acks' to be overridden in the connector configuration."
    );
    assert_eq!(OverridePolicy::Any.refusal("acks"), None);
}

#[test]
fn placeholders_of_the_worker_are_replaced() {
    let config = config(&[
        ("config.providers", "env"),
        ("config.providers.env.class", "org.apache.kafka.common.config.provider.EnvVarConfigProvider"),
        ("rest.advertised.host.name", "${env:PATH}"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.listeners().advertised_host, std::env::var("PATH").ok());
    assert!(!format!("{config:?}").contains(&std::env::var("PATH").unwrap()));
}
