//! What can go wrong with data.

/// An error of a converter, a transform or the data model.
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
}

impl Error {
    /// Data that does not fit.
    pub fn data(message: impl Into<String>) -> Error {
        Error::Data(message.into())
    }

    /// A value of a configuration key that will not do.
    pub fn config_value(name: &str, value: &str, reason: &str) -> Error {
        Error::Config(format!("Invalid value {value} for configuration {name}: {reason}"))
    }

    /// The Java class a JVM worker would name: part of dead-letter headers and stack traces.
    pub fn java_class(&self) -> &'static str {
        match self {
            Error::Config(_) => "org.apache.kafka.common.config.ConfigException",
            Error::Data(_) => "org.apache.kafka.connect.errors.DataException",
            Error::Schema(_) => "org.apache.kafka.connect.errors.SchemaBuilderException",
        }
    }
}

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
