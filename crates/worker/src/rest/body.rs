//! Bodies of requests, read as Connect's Jackson reads them: scalars become text, anything else is an error 500.

use std::collections::BTreeMap;

use kanat_connect::config::Properties;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::herder::{NewConnector, RequestError};
use crate::store::config_log::TargetState;
use crate::store::offsets::JsonObject;

type Result<T> = std::result::Result<T, RequestError>;

/// The first JSON value of a body, its text untouched; what stands behind it is ignored, as Jackson does. `None` for an
/// empty body or null.
fn value(body: &[u8]) -> Result<Option<Box<RawValue>>> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    match Box::<RawValue>::deserialize(&mut deserializer) {
        Ok(value) if value.get() == "null" => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(not_json(&error)),
    }
}

fn not_json(error: &serde_json::Error) -> RequestError {
    RequestError::internal(format!("The request body is not JSON: {error}"))
}

fn parse<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T> {
    serde_json::from_str(value.get()).map_err(|error| not_json(&error))
}

fn first(value: &RawValue) -> u8 {
    value.get().as_bytes().first().copied().unwrap_or_default()
}

fn mismatch(class: &str, value: &RawValue) -> RequestError {
    let token = match first(value) {
        b'{' => "Object value (token `JsonToken.START_OBJECT`)",
        b'[' => "Array value (token `JsonToken.START_ARRAY`)",
        b'"' => "String value (token `JsonToken.VALUE_STRING`)",
        b't' | b'f' => "Boolean value (token `JsonToken.VALUE_TRUE`)",
        _ => "Number value (token `JsonToken.VALUE_NUMBER_INT`)",
    };
    RequestError::internal(format!("Cannot deserialize value of type `{class}` from {token}"))
}

/// Members by name.
type Members = BTreeMap<String, Box<RawValue>>;

fn members(value: &RawValue, class: &str) -> Result<Members> {
    if first(value) == b'{' { parse(value) } else { Err(mismatch(class, value)) }
}

/// The text of a scalar, as it was written; `None` for null.
fn scalar(value: &RawValue) -> Result<Option<String>> {
    match first(value) {
        b'n' => Ok(None),
        b'"' => parse(value).map(Some),
        b'{' | b'[' => Err(mismatch("java.lang.String", value)),
        _ => Ok(Some(value.get().to_owned())),
    }
}

fn flat(value: &RawValue) -> Result<Properties> {
    let members = members(value, "java.util.LinkedHashMap<java.lang.String,java.lang.String>")?;
    members.into_iter().map(|(key, value)| Ok((key, scalar(&value)?))).collect()
}

/// A flat map.
pub(super) fn properties(body: &[u8]) -> Result<Properties> {
    match value(body)? {
        Some(value) => flat(&value),
        None => Err(RequestError::internal("The request has no body: a JSON object with configuration keys is needed")),
    }
}

/// `{"name", "config", "initial_state"}`.
pub(super) fn new_connector(body: &[u8]) -> Result<NewConnector> {
    const CLASS: &str = "org.apache.kafka.connect.runtime.rest.entities.CreateConnectorRequest";
    let Some(value) = value(body)? else {
        return Err(RequestError::internal("The request has no body: {\"name\", \"config\"} is needed"));
    };
    let members = members(&value, CLASS)?;
    known_fields(&members, CLASS, &["name", "config", "initial_state"])?;
    let text = |field: &str| members.get(field).map_or(Ok(None), |value| scalar(value));
    let config = match members.get("config").filter(|config| config.get() != "null") {
        Some(config) => flat(config)?,
        None => return Err(RequestError::internal("The request has no \"config\": a JSON object is needed")),
    };
    let state = text("initial_state")?;
    let initial_state = match state.as_deref().map(str::to_uppercase).as_deref() {
        None => None,
        Some("RUNNING") => Some(TargetState::Started),
        Some("PAUSED") => Some(TargetState::Paused),
        Some("STOPPED") => Some(TargetState::Stopped),
        Some(_) => {
            let state = state.unwrap_or_default();
            return Err(RequestError::internal(format!(
                "\"initial_state\" is {state}: it can be RUNNING, PAUSED or STOPPED"
            )));
        }
    };
    Ok(NewConnector { name: text("name")?.unwrap_or_default().trim().to_owned(), config, initial_state })
}

/// A connector of a file: a flat map that holds its name, or what [`new_connector`] reads.
pub(crate) fn connector_of_json(text: &[u8]) -> Result<NewConnector> {
    let is_request = match value(text)? {
        Some(value) if first(&value) == b'{' => {
            let members: Members = parse(&value)?;
            members.get("config").is_some_and(|config| first(config) == b'{')
        }
        _ => false,
    };
    if is_request {
        return new_connector(text);
    }
    Ok(NewConnector { name: String::new(), config: properties(text)?, initial_state: None })
}

fn known_fields(members: &Members, class: &str, known: &[&str]) -> Result<()> {
    match members.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(RequestError::internal(format!(
            "Unrecognized field \"{field}\" (class {class}), not marked as ignorable ({} known properties: {})",
            known.len(),
            known.iter().map(|field| format!("\"{field}\"")).collect::<Vec<_>>().join(", ")
        ))),
        None => Ok(()),
    }
}

/// One of the offsets of a request: a partition, null if it has none, and its offset, null to reset it.
pub(crate) type GivenOffset = (Option<JsonObject>, Option<JsonObject>);

/// `{"offsets": [{"partition", "offset"}, ...]}`.
pub(super) fn offsets(body: &[u8]) -> Result<Vec<GivenOffset>> {
    const ONE: &str = "org.apache.kafka.connect.runtime.rest.entities.ConnectorOffset";
    const ALL: &str = "org.apache.kafka.connect.runtime.rest.entities.ConnectorOffsets";
    let Some(value) = value(body)? else {
        return Err(RequestError::internal("The request has no body: {\"offsets\": [...]} is needed"));
    };
    let body = members(&value, ALL)?;
    known_fields(&body, ALL, &["offsets"])?;
    let list: Vec<Box<RawValue>> = match body.get("offsets") {
        None => Vec::new(),
        Some(list) => match first(list) {
            b'n' => Vec::new(),
            b'[' => parse(list)?,
            _ => return Err(mismatch(&format!("java.util.ArrayList<{ONE}>"), list)),
        },
    };
    let map = |value: Option<&Box<RawValue>>| match value {
        Some(value) if first(value) == b'{' => parse(value).map(Some),
        Some(value) if first(value) != b'n' => {
            Err(mismatch("java.util.LinkedHashMap<java.lang.String,java.lang.Object>", value))
        }
        _ => Ok(None),
    };
    let one = |item: &RawValue| {
        let item = members(item, ONE)?;
        known_fields(&item, ONE, &["partition", "offset"])?;
        Ok((map(item.get("partition"))?, map(item.get("offset"))?))
    };
    list.iter().map(|item| one(item)).collect()
}

/// The list of task configurations of an internal request.
pub(super) fn task_configs(body: &[u8]) -> Result<Vec<Properties>> {
    match value(body)? {
        Some(value) if first(&value) == b'[' => {
            let tasks: Vec<Box<RawValue>> = parse(&value)?;
            tasks.iter().map(|task| flat(task)).collect()
        }
        Some(other) => Err(mismatch("java.util.ArrayList", &other)),
        None => Err(RequestError::internal("The request has no body: a list of task configurations is needed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_their_text() {
        let body = br#"{"a":1,"b":1.50,"c":1e3,"d":12345678901234567890,"e":true,"f":null,"g":"x"} trailing"#;
        let read: Vec<_> =
            properties(body).unwrap().into_values().map(|value| value.unwrap_or("null".into())).collect();
        assert_eq!(read, ["1", "1.50", "1e3", "12345678901234567890", "true", "null", "x"]);
    }

    #[test]
    fn what_is_not_flat_is_an_internal_error() {
        for body in ["", "null", "[]", "{\"a\":{}}", "{\"a\":[1]}", "{\"a\"", "\"x\""] {
            assert_eq!(properties(body.as_bytes()).unwrap_err().status, 500, "{body}");
        }
        let error = properties(b"[]").unwrap_err().message;
        assert!(error.starts_with("Cannot deserialize value of type `java.util.LinkedHashMap"), "{error}");
    }

    #[test]
    fn a_new_connector_has_known_fields_only() {
        let new = new_connector(br#"{"name":" n ","config":{"a":1},"initial_state":"paused"}"#).unwrap();
        assert_eq!((&*new.name, new.initial_state), ("n", Some(TargetState::Paused)));
        for body in [r#"{"config":{},"x":1}"#, r#"{"name":"n"}"#, r#"{"config":{},"initial_state":"GONE"}"#, "[]", ""] {
            assert_eq!(new_connector(body.as_bytes()).unwrap_err().status, 500, "{body}");
        }
    }

    #[test]
    fn offsets_may_lack_anything() {
        assert_eq!(offsets(b"{}").unwrap(), []);
        assert_eq!(offsets(br#"{"offsets":[{}]}"#).unwrap(), [(None, None)]);
        let both = offsets(br#"{"offsets":[{"partition":{"f":"x"},"offset":{"p":7}}]}"#).unwrap();
        assert_eq!(both[0].1.as_ref().unwrap()["p"], 7);
        for body in ["", "[]", r#"{"offsets":{}}"#, r#"{"offset":[]}"#, r#"{"offsets":[1]}"#] {
            assert_eq!(offsets(body.as_bytes()).unwrap_err().status, 500, "{body}");
        }
    }
}
