//! A connection for the tools.

use std::path::Path;

use kanat_client::{Client, ClientOptions, JavaProperties};
use kanat_sync::{Error, Result};

use super::files;
use crate::args::{ClusterArgs, FileArgs};
use crate::output::Output;

/// Environment variable with the brokers to contact first.
const BOOTSTRAP_VARIABLE: &str = "KANAT_BOOTSTRAP";

/// Where a cluster is expected when nothing says otherwise: `kanat dev`.
const BOOTSTRAP_DEFAULT: &str = "127.0.0.1:9092";

/// Property with the brokers to contact first.
const BOOTSTRAP: &str = "bootstrap.servers";

/// Property with the longest wait for a connection.
const CONNECT_TIMEOUT: &str = "socket.connection.setup.timeout.ms";

/// Longest wait for a broker to accept a connection, milliseconds.
const CONNECT_TIMEOUT_MS: u64 = 5_000;

/// A cluster, and the properties it was found with: those of its producers and consumers are among them.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) properties: JavaProperties,
}

/// Connects to `--bootstrap`, else to what `--config` names, else to what the environment names, else to the default.
pub(super) async fn connect(files: &FileArgs, cluster: &ClusterArgs) -> Result<Client> {
    connect_with_properties(files, cluster).await.map(|cluster| cluster.client)
}

/// As [`connect`], for tools that produce or consume.
pub(super) async fn connect_with_properties(files: &FileArgs, cluster: &ClusterArgs) -> Result<Cluster> {
    let bootstrap = std::env::var(BOOTSTRAP_VARIABLE).unwrap_or_else(|_| BOOTSTRAP_DEFAULT.to_owned());
    let mut properties: JavaProperties =
        [(BOOTSTRAP, bootstrap), (CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS.to_string())].into_iter().collect();
    let mut security = None;
    match &files.config {
        Some(path) if is_properties(path) => {
            let given = read_properties(path)?;
            for key in given.unknown_keys() {
                Output::Data.warn(&format!("{}: {key} is not a property of a Kafka client", path.display()));
            }
            properties.extend(given);
        }
        Some(_) => {
            let source = files::source(files, Output::Data)?;
            properties.extend([(BOOTSTRAP, source.servers())]);
            security = Some(source.protocol.security());
        }
        None => {}
    }
    let given: JavaProperties = cluster.properties.iter().cloned().collect();
    if let Some(key) = given.unknown_keys().first() {
        return Err(wrong_property(format!("-X {key} is not a property of a Kafka client")));
    }
    properties.extend(given);
    properties.extend(cluster.bootstrap.iter().map(|servers| (BOOTSTRAP, servers.as_str())));
    let options = ClientOptions::from_properties(&properties).map_err(wrong_property)?;
    let options = match security {
        Some(security) => options.with_security(security),
        None => options,
    };
    Ok(Cluster { client: open(options).await?, properties })
}

/// A property that cannot be used.
pub(super) fn wrong_property(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::kafka("reading properties", error)
}

/// Connects to these addresses, separated by commas.
pub(super) async fn connect_to(bootstrap: &str) -> Result<Client> {
    open(ClientOptions::new([bootstrap]).with_connect_timeout_ms(CONNECT_TIMEOUT_MS)).await
}

async fn open(options: ClientOptions) -> Result<Client> {
    let servers = options.bootstrap.join(",");
    Client::connect(options).await.map_err(|error| Error::BrokerUnreachable { servers, source: error.into() })
}

/// Whether a configuration is one of the Java client. Ours is JSON.
fn is_properties(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension != "json")
}

fn read_properties(path: &Path) -> Result<JavaProperties> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::FileUnreadable { path: path.to_owned(), source })?;
    JavaProperties::parse(&text).map_err(wrong_property)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_but_json_is_one_of_the_java_client() {
        assert!(is_properties(Path::new("client.properties")) && is_properties(Path::new("kcat.conf")));
        assert!(!is_properties(Path::new("source.json")));
    }
}
