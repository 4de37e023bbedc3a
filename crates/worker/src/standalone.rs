//! A standalone worker: connectors from files, state in memory, source offsets in a file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use kanat_client::JavaProperties;
use kanat_connect::plugin::Plugins;

use crate::config::WorkerConfig;
use crate::error::{Error, Result};
use crate::herder::{Herder, Loggers, NewConnector};
use crate::rest::{RestServer, RunningServer, connector_of_json};

/// A standalone worker that runs. Dropping it ends its REST server; [`stop`](Self::stop) ends its connectors too.
#[derive(Debug)]
pub struct Standalone {
    herder: Arc<Herder>,
    server: RunningServer,
}

impl Standalone {
    /// Starts the REST server and then the connectors.
    ///
    /// # Errors
    /// An address that cannot be listened on, an offset file that cannot be read, and the first connector whose
    /// configuration cannot work.
    pub async fn start(
        config: WorkerConfig,
        plugins: Arc<Plugins>,
        loggers: Loggers,
        connectors: Vec<NewConnector>,
    ) -> Result<Standalone> {
        for note in config.notes() {
            tracing::warn!("{note}");
        }
        let server = RestServer::bind(&config).await?;
        let worker_id = worker_id(&config, server.address());
        let herder = Herder::standalone(config, plugins, worker_id, loggers)?;
        let server = server.serve(&herder)?;
        let asking = Arc::clone(&herder);
        // The REST server answers while the cluster is away.
        tokio::spawn(async move {
            if let Err(error) = asking.learn_cluster_id().await {
                tracing::error!(%error, "the Kafka cluster could not be asked for its id");
            }
        });
        for connector in connectors {
            let name = connector.name.clone();
            herder.create(connector).await.map_err(|error| Error::Connector { name, reason: error.message })?;
        }
        herder.set_ready();
        Ok(Standalone { herder, server })
    }

    /// Address of the REST server.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends connectors and tasks, storing what they have reached.
    pub async fn stop(self) {
        self.herder.shut_down().await;
    }
}

/// `host:port` under which a worker is known.
fn worker_id(config: &WorkerConfig, address: SocketAddr) -> String {
    let listeners = config.listeners();
    let host = listeners.advertised_host.clone().unwrap_or_else(|| {
        let listened = listeners.public.first().map(|listener| listener.host.clone());
        listened.filter(|host| !host.is_empty() && host != "0.0.0.0").unwrap_or_else(|| own_address().to_string())
    });
    format!("{host}:{}", listeners.advertised_port.unwrap_or(address.port()))
}

/// The address from which this machine reaches others. Nothing is sent.
fn own_address() -> IpAddr {
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    asked.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// A connector from a file: properties, a flat JSON object, or a JSON object with `name` and `config`.
///
/// # Errors
/// [`Error::File`] when it cannot be read or names no connector.
pub fn read_connector(path: &Path) -> Result<NewConnector> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let connector = if text.trim_start().starts_with('{') {
        connector_of_json(text.as_bytes()).map_err(|error| failed(error.message))?
    } else {
        let properties = JavaProperties::parse(&text).map_err(|error| failed(error.to_string()))?;
        let config = properties.into_iter().map(|(key, value)| (key, Some(value.reveal().to_owned())));
        NewConnector { name: String::new(), config: config.collect(), initial_state: None }
    };
    let own = connector.config.get("name").cloned().flatten().unwrap_or_default();
    let name = if connector.name.is_empty() { own } else { connector.name };
    if name.is_empty() {
        return Err(failed("has no name of a connector".to_owned()));
    }
    Ok(NewConnector { name, ..connector })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::config_log::TargetState;

    #[test]
    fn connectors_come_in_three_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("connector");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read_connector(&file)
        };
        for text in ["name=c\ntasks.max=2", r#"{"name":"c","tasks.max":2}"#, r#"{"name":"c","config":{"tasks.max":2}}"#]
        {
            let connector = read(text).unwrap();
            assert_eq!((&*connector.name, connector.config["tasks.max"].as_deref()), ("c", Some("2")), "{text}");
        }
        let paused = read(r#"{"name":"c","config":{},"initial_state":"PAUSED"}"#).unwrap();
        assert_eq!(paused.initial_state, Some(TargetState::Paused));
        for text in ["tasks.max=2", "{\"a\":1}", "{"] {
            assert!(read(text).unwrap_err().to_string().contains("connector"), "{text}");
        }
    }
}
