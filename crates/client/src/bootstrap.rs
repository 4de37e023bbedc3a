//! The first connection to a cluster: several addresses raced with a short stagger, so that a dead or unresolvable one
//! costs neither its connect timeout nor the start.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::error::{Error, FailedAddresses, Result};
use crate::options::ClientOptions;

/// Tries the addresses in order, the next one as soon as the one before failed or `bootstrap_stagger_ms` passed, and
/// returns the first connection made. The error names every address and why it failed; if a broker refused TLS or SASL it
/// is that refusal.
pub(crate) async fn bootstrap(options: &Arc<ClientOptions>) -> Result<Connection> {
    let mut failed = Vec::new();
    // A broker that answers and refuses says more than others that do not answer.
    let mut refused = None;
    let mut attempts: JoinSet<(String, Result<Connection>)> = JoinSet::new();
    let mut addresses = options.bootstrap.iter();
    let mut next = addresses.next();
    loop {
        if let Some(address) = next.take() {
            let (address, options) = (address.clone(), Arc::clone(options));
            attempts.spawn(async move {
                let opened = Connection::open(&Arc::from(address.as_str()), &options).await;
                (address, opened)
            });
            next = addresses.next();
        }
        let stagger = Duration::from_millis(options.bootstrap_stagger_ms);
        let finished = if next.is_some() {
            match tokio::time::timeout(stagger, attempts.join_next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            }
        } else {
            attempts.join_next().await
        };
        match finished {
            Some(Ok((_, Ok(connection)))) => return Ok(connection),
            Some(Ok((address, Err(error)))) => {
                if matches!(error, Error::Tls { .. } | Error::Authentication { .. }) {
                    refused.get_or_insert_with(|| error.clone());
                }
                failed.push((address, reason(error)));
            }
            Some(Err(panicked)) => failed.push(("connect task".to_owned(), panicked.to_string())),
            None => return Err(refused.unwrap_or(Error::Bootstrap { failed: FailedAddresses(failed) })),
        }
    }
}

/// The part of the error that does not repeat the address.
fn reason(error: Error) -> String {
    match error {
        Error::Connect { reason, .. } => reason,
        other => other.to_string(),
    }
}
