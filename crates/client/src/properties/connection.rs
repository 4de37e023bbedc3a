//! Keys of every client: where the cluster is, how long to wait for it.

use super::row::{LONG_MAX, Row};
use crate::options::ClientOptions;

/// Why keys of the Java virtual machine's own metrics change nothing.
const METRICS: &str = "metrics are `ClientOptions::with_metrics`";
const SOCKET_BUFFERS: &str = "the system sizes the buffers of sockets";
const ONE_BACKOFF: &str = "connections wait as retries do, by `retry.backoff.ms`";

pub(super) const ROWS: &[Row<ClientOptions>] = &[
    Row::sets("bootstrap.servers", "`ClientOptions::bootstrap`", |options, value| {
        // Java passes over a protocol in front: `SASL_SSL://host:port`.
        let addresses = value.list().map(|address| address.split_once("://").map_or(address, |(_, behind)| behind));
        options.bootstrap = addresses.map(str::to_owned).collect();
        if options.bootstrap.is_empty() { value.wrong("holds no address: give host:port") } else { Ok(()) }
    }),
    Row::sets("client.id", "`ClientOptions::client_id`", |options, value| {
        options.client_id = value.0.to_owned();
        Ok(())
    }),
    Row::sets("request.timeout.ms", "`ClientOptions::request_timeout_ms`", |options, value| {
        value.some_millis(&mut options.request_timeout_ms)
    }),
    Row::sets("default.api.timeout.ms", "`ClientOptions::retry_timeout_ms`", |options, value| {
        value.millis(&mut options.retry_timeout_ms)
    }),
    Row::sets(
        "socket.connection.setup.timeout.ms",
        "`ClientOptions::connect_timeout_ms`; TLS and SASL are part of it",
        |options, value| value.some_millis(&mut options.connect_timeout_ms),
    ),
    Row::nothing("socket.connection.setup.timeout.max.ms", "the time-out of a connection does not grow"),
    Row::sets("retry.backoff.ms", "`ClientOptions::backoff.initial_ms`, at least 1", |options, value| {
        value.millis(&mut options.backoff.initial_ms)?;
        options.backoff.initial_ms = options.backoff.initial_ms.max(1);
        Ok(())
    }),
    Row::sets(
        "retry.backoff.max.ms",
        "`ClientOptions::backoff.max_ms`, at least `retry.backoff.ms`",
        |options, value| value.millis(&mut options.backoff.max_ms),
    ),
    Row::nothing("reconnect.backoff.ms", ONE_BACKOFF),
    Row::nothing("reconnect.backoff.max.ms", ONE_BACKOFF),
    Row::nothing("retries", "retries end by time: `delivery.timeout.ms`, `default.api.timeout.ms`"),
    Row::sets("metadata.max.age.ms", "`ClientOptions::metadata_max_age_ms`", |options, value| {
        value.number(&mut options.metadata_max_age_ms, 0..=LONG_MAX)
    }),
    Row::nothing("metadata.max.idle.ms", "metadata of a topic is kept while the client is used"),
    Row::sets("metadata.recovery.strategy", "`rebootstrap`, which is what happens; `none` is refused", |_, value| {
        value.choice(&[("rebootstrap", ())])
    }),
    Row::nothing(
        "metadata.recovery.rebootstrap.trigger.ms",
        "the bootstrap addresses are asked when no broker answers",
    ),
    Row::sets(
        "connections.max.idle.ms",
        "`ClientOptions::connections_max_idle_ms`; -1 is forever",
        |options, value| match value.0 {
            "-1" => {
                options.connections_max_idle_ms = LONG_MAX;
                Ok(())
            }
            _ => value.number(&mut options.connections_max_idle_ms, 0..=LONG_MAX),
        },
    ),
    Row::sets(
        "client.dns.lookup",
        "`use_all_dns_ips`, which is what happens; the other value is refused",
        |_, value| value.choice(&[("use_all_dns_ips", ())]),
    ),
    Row::nothing("send.buffer.bytes", SOCKET_BUFFERS),
    Row::nothing("receive.buffer.bytes", SOCKET_BUFFERS),
    Row::nothing("metric.reporters", METRICS),
    Row::nothing("metrics.num.samples", METRICS),
    Row::nothing("metrics.recording.level", METRICS),
    Row::nothing("metrics.sample.window.ms", METRICS),
    Row::nothing("auto.include.jmx.reporter", METRICS),
    Row::nothing("enable.metrics.push", "metrics are not pushed to brokers (KIP-714)"),
    Row::nothing("interceptor.classes", "classes are Java's: do in your code what they do"),
];
