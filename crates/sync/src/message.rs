//! The messages a verb prints for another program: one JSON object a line, in OLake's envelope.
//!
//! ```text
//! {"type":"CONNECTION_STATUS","connectionStatus":{"status":"FAILED","message":"..."}}
//! {"type":"CATALOG","catalog":{...}}   {"type":"STATE","state":{...}}   {"type":"SPEC","spec":{...}}
//! {"type":"LOG","log":{"level":"info","message":"..."}}
//! ```

use serde_json::{Map, Value, json};

use crate::catalog::Catalog;
use crate::error::Error;
use crate::state::State;

/// How much a log message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What is going on.
    Info,
    /// Something its reader may want to change.
    Warn,
    /// Why the verb failed.
    Error,
}

impl Level {
    /// The name in the message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub enum Message<'a> {
    /// Whether source or destination can be used; the failure, if they cannot.
    ConnectionStatus(Option<&'a Error>),
    /// What discovery found.
    Catalog(&'a Catalog),
    /// What the next sync continues from.
    State(&'a State),
    /// What a configuration file may hold.
    Spec(&'a Value),
    /// Something said to a person.
    Log(Level, &'a str),
    /// Why the verb failed, with its code.
    Failure(&'a Error),
}

impl Message<'_> {
    /// The message as one JSON object.
    pub fn to_json(self) -> Value {
        let (kind, name, body) = match self {
            Self::ConnectionStatus(None) => ("CONNECTION_STATUS", "connectionStatus", json!({"status": "SUCCEEDED"})),
            Self::ConnectionStatus(Some(error)) => {
                let body = json!({"status": "FAILED", "message": error.to_string(), "code": error.code().to_string()});
                ("CONNECTION_STATUS", "connectionStatus", body)
            }
            Self::Catalog(catalog) => ("CATALOG", "catalog", catalog.to_json()),
            Self::State(state) => ("STATE", "state", state.to_json()),
            Self::Spec(spec) => ("SPEC", "spec", spec.clone()),
            Self::Log(level, text) => ("LOG", "log", json!({"level": level.as_str(), "message": text})),
            Self::Failure(error) => {
                let code = error.code().to_string();
                ("LOG", "log", json!({"level": "fatal", "message": error.to_string(), "code": code}))
            }
        };
        Value::Object(Map::from_iter([("type".to_owned(), Value::from(kind)), (name.to_owned(), body)]))
    }

    /// The message as one line without its end.
    pub fn to_line(self) -> String {
        self.to_json().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_olakes_envelope() {
        let error = Error::MissingKey { file: "source.json".to_owned(), key: "protocol".to_owned() };
        let spec = json!({"jsonschema": {}});
        for (message, line) in [
            (
                Message::ConnectionStatus(None),
                r#"{"type":"CONNECTION_STATUS","connectionStatus":{"status":"SUCCEEDED"}}"#,
            ),
            (
                Message::ConnectionStatus(Some(&error)),
                r#"{"type":"CONNECTION_STATUS","connectionStatus":{"status":"FAILED","message":"source.json: protocol is required","code":"KN-1003"}}"#,
            ),
            (Message::Catalog(&Catalog::default()), r#"{"type":"CATALOG","catalog":{"streams":[]}}"#),
            (
                Message::State(&State::default()),
                r#"{"type":"STATE","state":{"type":"STREAM","version":7,"global":{"state":null,"streams":[]}}}"#,
            ),
            (Message::Spec(&spec), r#"{"type":"SPEC","spec":{"jsonschema":{}}}"#),
            (
                Message::Log(Level::Warn, "two\nlines"),
                r#"{"type":"LOG","log":{"level":"warn","message":"two\nlines"}}"#,
            ),
            (
                Message::Failure(&error),
                r#"{"type":"LOG","log":{"level":"fatal","message":"source.json: protocol is required","code":"KN-1003"}}"#,
            ),
        ] {
            assert_eq!(message.to_line(), line);
            assert!(!message.to_line().contains('\n'));
        }
    }
}
