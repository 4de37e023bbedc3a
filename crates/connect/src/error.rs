//! What can go wrong with data and connectors.

/// An error of a connector, a converter, a transform or the data model.
///
/// The messages are those of Kafka Connect where it has one: they show up in REST answers, statuses and dead letters,
/// and people search for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Data does not fit its schema, or cannot be read. Java: `DataException`.
    #[error("{0}")]
    Data(String),
    /// A configuration cannot work. Java: `ConfigException`.
    #[error("{0}")]
    Config(String),
    /// A schema cannot be built. Java: `SchemaBuilderException`.
    #[error("{0}")]
    Schema(String),
    /// Something names what is not there. Java: `IllegalArgumentException`.
    #[error("{0}")]
    Argument(String),
    /// A connector cannot go on. Java: `ConnectException`.
    #[error("{0}")]
    Connect(String),
    /// The same call may do better later, nothing having been lost. Java: `RetriableException`.
    #[error("{0}")]
    Retriable(String),
}

impl Error {
    /// Data that does not fit.
    pub fn data(message: impl Into<String>) -> Error {
        Error::Data(message.into())
    }

    /// What ends a connector or a task.
    pub fn connect(message: impl Into<String>) -> Error {
        Error::Connect(message.into())
    }

    /// What passes by itself: a lost connection, a busy system.
    pub fn retriable(message: impl Into<String>) -> Error {
        Error::Retriable(message.into())
    }

    /// A value of a configuration key that will not do.
    pub fn config_value(name: &str, value: &str, reason: &str) -> Error {
        Error::Config(format!("Invalid value {value} for configuration {name}: {reason}"))
    }

    /// Whether the worker may try again.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Error::Retriable(_))
    }

    /// The Java class a JVM worker would name: part of dead-letter headers and stack traces.
    pub fn java_class(&self) -> &'static str {
        match self {
            Error::Config(_) => "org.apache.kafka.common.config.ConfigException",
            Error::Data(_) => "org.apache.kafka.connect.errors.DataException",
            Error::Schema(_) => "org.apache.kafka.connect.errors.SchemaBuilderException",
            Error::Argument(_) => "java.lang.IllegalArgumentException",
            Error::Connect(_) => "org.apache.kafka.connect.errors.ConnectException",
            Error::Retriable(_) => "org.apache.kafka.connect.errors.RetriableException",
        }
    }
}

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
