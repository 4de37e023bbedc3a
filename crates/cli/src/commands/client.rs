//! A connection for the tools (topic, produce, consume).

use kanat_client::{Client, ClientOptions};
use kanat_sync::{Error, Result};

use super::files;
use crate::args::{ClusterArgs, FileArgs};
use crate::output::Output;

/// Where a cluster is expected when nothing says otherwise: `kanat dev`.
const BOOTSTRAP_DEFAULT: &str = "127.0.0.1:9092";

/// Longest wait for a broker to accept a connection, milliseconds.
const CONNECT_TIMEOUT_MS: u64 = 5_000;

/// Connects to `--bootstrap`, else to what `--config` names, else to the default.
pub(super) async fn connect(files: &FileArgs, cluster: &ClusterArgs) -> Result<Client> {
    let bootstrap = match (&cluster.bootstrap, &files.config) {
        (Some(bootstrap), _) => bootstrap.clone(),
        (None, Some(_)) => files::source(files, Output::detect())?.servers(),
        (None, None) => BOOTSTRAP_DEFAULT.to_owned(),
    };
    connect_to(&bootstrap).await
}

/// Connects to these addresses, separated by commas.
pub(super) async fn connect_to(bootstrap: &str) -> Result<Client> {
    let options = ClientOptions::new([bootstrap]).with_connect_timeout_ms(CONNECT_TIMEOUT_MS);
    Client::connect(options)
        .await
        .map_err(|error| Error::BrokerUnreachable { servers: bootstrap.to_owned(), source: error.into() })
}
