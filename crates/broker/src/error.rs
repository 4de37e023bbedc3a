//! What can go wrong when the broker starts or is driven through its handle.
//!
//! Errors a *client* sees travel as Kafka error codes inside answers; they are [`Refusal`] values until then.

use std::io;
use std::path::PathBuf;

use kanat_protocol::ErrorCode;

/// Result with the broker's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure of a call on [`Broker`](crate::Broker) or [`BrokerHandle`](crate::BrokerHandle).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of [`BrokerOptions::listen`](crate::BrokerOptions) cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address as configured.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file or folder of the broker directory cannot be read or written.
    #[error("broker directory: {path}: {source}")]
    Storage {
        /// File or folder that failed.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another broker holds the directory.
    #[error("broker directory {path} is in use by another broker")]
    DirectoryInUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the broker directory was written by something else, or by a newer version.
    #[error("broker directory: {path}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An option is out of its range.
    #[error("option {option}: {reason}")]
    InvalidOption {
        /// Field of [`BrokerOptions`](crate::BrokerOptions).
        option: &'static str,
        /// What is accepted.
        reason: String,
    },
    /// No such node in this broker.
    #[error("node {node} does not exist: nodes are 0 to {last}")]
    UnknownNode {
        /// Node asked for.
        node: i32,
        /// Highest node id.
        last: i32,
    },
    /// No such topic or partition.
    #[error("topic {topic}, partition {partition}: does not exist")]
    UnknownPartition {
        /// Topic name.
        topic: String,
        /// Partition index.
        partition: i32,
    },
    /// The cluster refused the call with the Kafka error a client would have seen.
    #[error("{code}: {reason}")]
    Refused {
        /// Kafka error code.
        code: ErrorCode,
        /// Sentence naming what was refused and why.
        reason: String,
    },
    /// Bytes given to the handle are not valid record batches.
    #[error("record batches: {0}")]
    Protocol(#[from] kanat_protocol::Error),
}

impl Error {
    pub(crate) fn storage(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Storage { path: path.into(), source }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { code: refusal.code, reason: refusal.reason }
    }
}

/// A request, or one partition of it, turned down: the code for the wire and a sentence for people.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The answer to a failing disk.
    pub(crate) fn storage(error: &io::Error) -> Self {
        Self::new(ErrorCode::KafkaStorageError, format!("the broker directory cannot be used: {error}"))
    }
}

/// Numeric code for the wire: zero for success.
pub(crate) fn wire_code<T>(result: &std::result::Result<T, Refusal>) -> i16 {
    match result {
        Ok(_) => 0,
        Err(refusal) => refusal.code.code(),
    }
}
