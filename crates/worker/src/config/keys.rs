//! The worker's keys. Names, types and defaults are those of Kafka Connect 4.

use kanat_connect::config::ConfigType::{Boolean, Class, Int, List, Long, Short, String as Text};
use kanat_connect::config::Importance::{High, Low, Medium};

use super::table::Check::{AtLeast, Between, NonEmpty, OneOf, OneOfAnyCase};
use super::table::Default::{Null, Required, Text as By};
use super::table::Row;
use super::table::Support::{NoEffect, Only};

const JVM_METRICS: &str = "metrics are served as Prometheus text and OTLP, not through JMX";
const COMPILED_IN: &str = "connectors are part of the binary, no class path is scanned";
const NO_TLS_LISTENER: &str = "the REST server does not speak TLS yet: put a proxy in front of it";

/// Keys of every worker.
pub(super) const COMMON: &[Row] = &[
    Row::new("bootstrap.servers", List, By("localhost:9092"), High, "Addresses of the Kafka cluster."),
    Row::new("key.converter", Class, Required, High, "Converter of record keys, unless a connector has its own."),
    Row::new("value.converter", Class, Required, High, "Converter of record values, unless a connector has its own."),
    Row::new(
        "header.converter",
        Class,
        By("org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        Low,
        "Converter of record headers, unless a connector has its own.",
    ),
    Row::new(
        "connector.client.config.override.policy",
        Text,
        By("All"),
        Medium,
        "Which client settings a connector may override: All, None or Principal.",
    ),
    Row::new(
        "task.shutdown.graceful.timeout.ms",
        Long,
        By("5000"),
        Low,
        "How long tasks may take to end when the worker stops, all together.",
    ),
    Row::new("offset.flush.interval.ms", Long, By("60000"), Low, "Time between commits of offsets."),
    Row::new("offset.flush.timeout.ms", Long, By("5000"), Low, "How long one commit of offsets may take."),
    Row::new("plugin.path", List, Null, Low, "Folders of plugins.").support(NoEffect(COMPILED_IN)),
    Row::new("plugin.discovery", Text, By("hybrid_warn"), Low, "How plugins are found.")
        .checked(OneOfAnyCase(&["ONLY_SCAN", "SERVICE_LOAD", "HYBRID_WARN", "HYBRID_FAIL"]))
        .support(NoEffect(COMPILED_IN)),
    Row::new("config.providers", List, By(""), Low, "Names of providers for ${name:path:key} in configurations."),
    Row::new("metrics.sample.window.ms", Long, By("30000"), Low, "Window of a metric sample.")
        .checked(AtLeast(0))
        .support(NoEffect(JVM_METRICS)),
    Row::new("metrics.num.samples", Int, By("2"), Low, "Samples kept of a metric.")
        .checked(AtLeast(1))
        .support(NoEffect(JVM_METRICS)),
    Row::new("metrics.recording.level", Text, By("INFO"), Low, "Level of recording.")
        .checked(OneOf(&["INFO", "DEBUG", "TRACE"]))
        .support(NoEffect(JVM_METRICS)),
    Row::new("metric.reporters", List, By("org.apache.kafka.common.metrics.JmxReporter"), Low, "Classes of reporters.")
        .support(NoEffect(JVM_METRICS)),
    Row::new("auto.include.jmx.reporter", Boolean, By("true"), Low, "Whether JMX is among the reporters.")
        .support(NoEffect(JVM_METRICS)),
    Row::new("topic.creation.enable", Boolean, By("true"), Low, "Whether source connectors may create their topics."),
    Row::new("topic.tracking.enable", Boolean, By("true"), Low, "Whether the topics a connector uses are recorded."),
    Row::new("topic.tracking.allow.reset", Boolean, By("true"), Low, "Whether that record may be reset."),
    Row::new("listeners", List, By("http://:8083"), Low, "Addresses of the REST server."),
    Row::new("rest.advertised.host.name", Text, Null, Low, "Host name other workers and users reach this one by."),
    Row::new("rest.advertised.port", Int, Null, Low, "Port other workers and users reach this one by."),
    Row::new("rest.advertised.listener", Text, Null, Low, "Protocol other workers use: http or https.")
        .support(Only(&["http"], NO_TLS_LISTENER)),
    Row::new("access.control.allow.origin", Text, By(""), Low, "Origin for Access-Control-Allow-Origin."),
    Row::new("access.control.allow.methods", Text, By(""), Low, "Methods for Access-Control-Allow-Methods."),
    Row::new("admin.listeners", List, Null, Low, "Addresses of the /admin part of the REST API; empty turns it off."),
    Row::new("rest.extension.classes", List, By(""), Low, "Java classes that extend the REST server.")
        .support(Only(&[""], "REST extensions are Java classes")),
    Row::new("response.http.headers.config", Text, By(""), Low, "Headers added to every answer, with the action each."),
    Row::new("ssl.client.auth", Text, By("none"), Low, "Whether REST clients present a certificate.")
        .checked(OneOf(&["required", "requested", "none"]))
        .support(Only(&["none"], NO_TLS_LISTENER)),
];

/// Keys of a standalone worker.
pub(super) const STANDALONE: &[Row] = &[Row::new(
    "offset.storage.file.filename",
    Text,
    Required,
    High,
    "File that source offsets are kept in, in the format of the Java worker.",
)];

/// Keys of a distributed worker.
pub(super) const DISTRIBUTED: &[Row] = &[
    Row::new("group.id", Text, Required, High, "Name that the workers of one cluster have in common."),
    Row::new("config.storage.topic", Text, Required, High, "Topic of connector configurations."),
    Row::new("offset.storage.topic", Text, Required, High, "Topic of source offsets."),
    Row::new("status.storage.topic", Text, Required, High, "Topic of statuses."),
    Row::new("session.timeout.ms", Int, By("10000"), High, "After how long without a heartbeat a worker is gone."),
    Row::new("heartbeat.interval.ms", Int, By("3000"), High, "Time between heartbeats."),
    Row::new("rebalance.timeout.ms", Int, By("60000"), High, "How long a rebalance waits for a worker."),
    Row::new(
        "exactly.once.source.support",
        Text,
        By("disabled"),
        High,
        "Whether source records and offsets are written in one transaction.",
    )
    .checked(OneOfAnyCase(&["disabled", "preparing", "enabled"])),
    Row::new("worker.sync.timeout.ms", Int, By("3000"), Medium, "How long to read the configuration log to its end."),
    Row::new("worker.unsync.backoff.ms", Int, By("300000"), Medium, "Wait after that has failed."),
    Row::new("offset.storage.partitions", Int, By("25"), Low, "Partitions of a new offset topic."),
    Row::new("status.storage.partitions", Int, By("5"), Low, "Partitions of a new status topic."),
    Row::new("config.storage.replication.factor", Short, By("3"), Low, "Copies of a new configuration topic."),
    Row::new("offset.storage.replication.factor", Short, By("3"), Low, "Copies of a new offset topic."),
    Row::new("status.storage.replication.factor", Short, By("3"), Low, "Copies of a new status topic."),
    Row::new("connect.protocol", Text, By("sessioned"), Low, "Dialect of the group protocol.")
        .checked(OneOfAnyCase(&["EAGER", "COMPATIBLE", "SESSIONED"])),
    Row::new(
        "scheduled.rebalance.max.delay.ms",
        Int,
        By("300000"),
        Low,
        "How long the work of a lost worker waits for that worker.",
    )
    .checked(Between(0, i32::MAX as i64)),
    Row::new("inter.worker.key.ttl.ms", Int, By("3600000"), Low, "Age at which the session key is replaced.")
        .checked(Between(0, i32::MAX as i64)),
    Row::new("inter.worker.key.generation.algorithm", Text, By("HmacSHA256"), Low, "Kind of session key.")
        .checked(NonEmpty)
        .support(Only(&["HmacSHA256"], "session keys are made for HmacSHA256")),
    Row::new("inter.worker.key.size", Int, Null, Low, "Bits of a session key."),
    Row::new("inter.worker.signature.algorithm", Text, By("HmacSHA256"), Low, "How internal requests are signed.")
        .checked(NonEmpty)
        .support(Only(&["HmacSHA256"], "internal requests are signed with HmacSHA256")),
    Row::new(
        "inter.worker.verification.algorithms",
        List,
        By("HmacSHA256"),
        Low,
        "Signatures that internal requests may have.",
    )
    .support(Only(&["HmacSHA256"], "internal requests are signed with HmacSHA256")),
];
