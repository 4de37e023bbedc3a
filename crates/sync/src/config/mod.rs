//! The configuration files: `source.json` and `destination.json`.
//!
//! A file is read whole, decrypted if a key was given, parsed as JSON and walked section by section.
//! Each key is asked for by name and type; what is left over at the end is reported with the nearest
//! name that would have been understood. A wrong value is one sentence with the file and the key.

pub mod destination;
pub(crate) mod section;
pub mod source;

use std::fmt;
use std::path::Path;

pub use destination::{DestinationConfig, ParquetCompression, ParquetConfig};
pub use kanat_client::{Secret, SecurityProtocol};
pub use source::{
    ProtocolConfig, SaslConfig, SaslMechanism, SchemaRegistryConfig, SourceConfig, TlsConfig, TopicPattern,
};

use crate::encryption;
use crate::error::Result;
use crate::files;

/// Something in a file that does not stop a verb but that its author should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// The key, with its path inside the file.
    pub key: String,
    /// What is the matter with it.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(file: &str, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} {}", self.file, self.key, self.message)
    }
}

/// Text of a configuration file, decrypted when `encryption_key` is given.
fn read(path: &Path, encryption_key: Option<&str>) -> Result<(String, String)> {
    let file = path.display().to_string();
    let text = files::read_text(path)?;
    let text = match encryption_key.filter(|key| !key.is_empty()) {
        Some(key) => encryption::decrypt(&text, key, &file)?,
        None => text,
    };
    Ok((file, text))
}
