//! What can keep a worker from starting or going on.

use std::path::PathBuf;

/// Result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in a worker outside of a single request or task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The worker's own configuration cannot work. Messages are Kafka's `ConfigException`s where it has one.
    #[error("{0}")]
    Config(String),
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// `host:port`.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// A connector given at start cannot be created.
    #[error("connector {name}: {reason}")]
    Connector {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record of an internal topic or file that is not what Connect writes.
    #[error("{0}")]
    Record(String),
    /// The Kafka cluster could not be used.
    #[error(transparent)]
    Client(#[from] kanat_client::Error),
}

impl From<kanat_connect::Error> for Error {
    fn from(error: kanat_connect::Error) -> Error {
        Error::Config(error.to_string())
    }
}
