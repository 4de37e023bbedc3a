//! A connection for the tools.

use std::path::Path;

use kanat_client::{Client, ClientOptions};
use kanat_sync::{Error, Result};

use super::files;
use crate::args::{ClusterArgs, FileArgs};
use crate::output::Output;

/// Environment variable with the brokers to contact first.
const BOOTSTRAP_VARIABLE: &str = "KANAT_BOOTSTRAP";

/// Where a cluster is expected when nothing says otherwise: `kanat dev`.
const BOOTSTRAP_DEFAULT: &str = "127.0.0.1:9092";

/// Longest wait for a broker to accept a connection, milliseconds.
const CONNECT_TIMEOUT_MS: u64 = 5_000;

/// Connects to `--bootstrap`, else to what `--config` names, else to what the environment names, else to the default.
pub(super) async fn connect(files: &FileArgs, cluster: &ClusterArgs) -> Result<Client> {
    let mut bootstrap = std::env::var(BOOTSTRAP_VARIABLE).unwrap_or_else(|_| BOOTSTRAP_DEFAULT.to_owned());
    let mut given = Vec::new();
    match &files.config {
        Some(path) if is_properties(path) => given.extend(read_properties(path)?),
        Some(_) => bootstrap = files::source(files, Output::Data)?.servers(),
        None => {}
    }
    given.extend(cluster.properties.iter().cloned());
    let mut options = ClientOptions::new([&bootstrap]).with_connect_timeout_ms(CONNECT_TIMEOUT_MS);
    for (key, value) in given {
        options = with_property(options, &key, &value)?;
    }
    if let Some(servers) = &cluster.bootstrap {
        options.bootstrap = ClientOptions::new([servers]).bootstrap;
    }
    open(options).await
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

/// `key=value` or `key: value` a line; lines that begin with `#` or `!` are comments.
fn read_properties(path: &Path) -> Result<Vec<(String, String)>> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::FileUnreadable { path: path.to_owned(), source })?;
    let mut properties = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
        let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
        properties.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(properties)
}

/// Applies one property of the Java client. One that means nothing here is refused: who sets it relies on it.
fn with_property(options: ClientOptions, key: &str, value: &str) -> Result<ClientOptions> {
    let refused = |reason: &str| Err(Error::kafka(format!("reading property {key}"), reason.to_owned()));
    match key {
        "bootstrap.servers" => Ok(ClientOptions { bootstrap: ClientOptions::new([value]).bootstrap, ..options }),
        "client.id" => Ok(options.with_client_id(value)),
        "request.timeout.ms" => match value.parse() {
            Ok(timeout_ms) => Ok(options.with_request_timeout_ms(timeout_ms)),
            Err(_) => refused("it must be milliseconds, a whole number"),
        },
        "security.protocol" if value.eq_ignore_ascii_case("PLAINTEXT") => Ok(options),
        _ => refused("kanat does not know this property; remove it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_applied_or_refused_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.properties");
        std::fs::write(&path, "# ours\nbootstrap.servers = a:1,b:2\n\nclient.id: me\n").unwrap();
        assert!(is_properties(&path) && !is_properties(Path::new("source.json")));
        let options = read_properties(&path)
            .unwrap()
            .into_iter()
            .fold(ClientOptions::default(), |options, (key, value)| with_property(options, &key, &value).unwrap());
        assert_eq!((options.bootstrap.join(" ").as_str(), options.client_id.as_str()), ("a:1 b:2", "me"));
        let error = with_property(options, "sasl.jaas.config", "hunter2").unwrap_err().to_string();
        assert!(error.contains("sasl.jaas.config") && !error.contains("hunter2"), "{error}");
    }
}
