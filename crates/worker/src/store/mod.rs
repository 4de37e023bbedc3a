//! What the internal topics and the offset file hold: records in, state out, and the records to write for a change.
//! No I/O and no clock; the same bytes as a Java worker's.
//!
//! | module | topic or file |
//! |---|---|
//! | [`config_log`] | configuration topic: connectors, tasks, target states, session key |
//! | [`status`] | status topic: who runs what, and which topics connectors use |
//! | [`offsets`] | offset topic: where sources go on |
//! | [`java_map`] | the offset file of a standalone worker |

pub mod config_log;
pub mod java_map;
mod json;
pub mod offsets;
pub mod status;
#[cfg(test)]
mod tests;

pub(crate) use self::json::compact;

/// A record of an internal topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalRecord {
    /// Key.
    pub key: Vec<u8>,
    /// Value; `None` removes what the key stands for.
    pub value: Option<Vec<u8>>,
}

impl InternalRecord {
    fn new(key: impl Into<String>, value: Option<&serde_json::Value>) -> InternalRecord {
        InternalRecord { key: key.into().into_bytes(), value: value.map(compact) }
    }
}
