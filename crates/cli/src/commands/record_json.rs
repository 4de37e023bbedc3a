//! Records as JSON lines: what `consume --json` prints and `produce --json` reads.
//!
//! ```text
//! {"partition":0,"offset":7,"timestamp":1769846400000,"key":"k","value":"v","headers":[["h","1"]]}
//! ```
//!
//! Bytes that are no UTF-8 stand as base64 under another name: `key_base64`, `value_base64`, and a header that has some is
//! an object with `key` or `key_base64` and `value` or `value_base64`. So nothing is lost on the way through a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kanat_protocol::batch::Record;
use serde_json::{Map, Value, json};

/// A header: its key and its value, null or bytes.
pub(super) type Header = (Vec<u8>, Option<Vec<u8>>);

/// One record to send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<Header>,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
}

/// One record as a JSON object; with `topic` when it could be of several.
pub(super) fn to_json(topic: Option<&str>, partition: i32, record: &Record<'_>) -> kanat_protocol::Result<Value> {
    let mut object = Map::new();
    if let Some(topic) = topic {
        object.insert("topic".to_owned(), json!(topic));
    }
    object.insert("partition".to_owned(), json!(partition));
    object.insert("offset".to_owned(), json!(record.offset));
    object.insert("timestamp".to_owned(), json!(record.timestamp));
    insert(&mut object, "key", record.key);
    insert(&mut object, "value", record.value);
    let mut headers = Vec::new();
    for header in record.headers() {
        let (key, value) = header?;
        headers.push(header_to_json(key, value));
    }
    if !headers.is_empty() {
        object.insert("headers".to_owned(), Value::from(headers));
    }
    Ok(Value::Object(object))
}

fn insert(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), json!(text)),
        Some(Err(bytes)) => object.insert(format!("{name}_base64"), json!(STANDARD.encode(bytes))),
    };
}

fn header_to_json(key: &[u8], value: Option<&[u8]>) -> Value {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    match (text(key), value.map(text)) {
        (Some(key), None) => json!([key, null]),
        (Some(key), Some(Some(value))) => json!([key, value]),
        _ => {
            let mut object = Map::new();
            insert(&mut object, "key", Some(key));
            insert(&mut object, "value", value);
            Value::Object(object)
        }
    }
}

/// Reads a line that [`to_json`] wrote. Values may be any JSON, which is sent as its text.
pub(super) fn parse(line: &[u8]) -> Result<Input, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let Value::Object(object) = value else { return Err("must be a JSON object".to_owned()) };
    let mut input = Input::default();
    for (key, value) in &object {
        match key.as_str() {
            "key" => input.key = to_bytes(value),
            "value" => input.value = to_bytes(value),
            "key_base64" => input.key = Some(decode(key, value)?),
            "value_base64" => input.value = Some(decode(key, value)?),
            "headers" => input.headers = headers(value)?,
            "partition" => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                input.partition = Some(number.ok_or("partition must be a whole number")?);
            }
            "timestamp" => {
                input.timestamp = Some(value.as_i64().ok_or("timestamp must be milliseconds, a whole number")?);
            }
            // Printed by consume; the command line and the broker choose them anew.
            "topic" | "offset" => {}
            other => return Err(format!("unknown key {other}")),
        }
    }
    Ok(input)
}

fn decode(name: &str, value: &Value) -> Result<Vec<u8>, String> {
    let invalid = || format!("{name} must be base64");
    STANDARD.decode(value.as_str().ok_or_else(invalid)?).map_err(|_| invalid())
}

fn headers(value: &Value) -> Result<Vec<Header>, String> {
    const SHAPE: &str = "headers must be a list of [key, value]";
    let mut headers = Vec::new();
    for header in value.as_array().ok_or(SHAPE)? {
        match header {
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(key), value] => headers.push((key.clone().into_bytes(), to_bytes(value))),
                _ => return Err(SHAPE.to_owned()),
            },
            Value::Object(object) => headers.push(header_of_object(object)?),
            _ => return Err(SHAPE.to_owned()),
        }
    }
    Ok(headers)
}

fn header_of_object(object: &Map<String, Value>) -> Result<Header, String> {
    let (mut key, mut value) = (None, None);
    for (name, part) in object {
        match name.as_str() {
            "key" => key = to_bytes(part),
            "key_base64" => key = Some(decode(name, part)?),
            "value" => value = to_bytes(part),
            "value_base64" => value = Some(decode(name, part)?),
            other => return Err(format!("unknown key {other} of a header")),
        }
    }
    Ok((key.ok_or("a header needs a key")?, value))
}

/// Text as it is, null as null, anything else as JSON.
fn to_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_hold_every_part_of_a_record() {
        let line = r#"{"key":"k","value":{"id":1},"headers":[["h",null]],"partition":2,"timestamp":5,"offset":9}"#;
        let input = parse(line.as_bytes()).unwrap();
        assert_eq!((input.key.as_deref(), input.value.as_deref()), (Some(&b"k"[..]), Some(&br#"{"id":1}"#[..])));
        assert_eq!((input.partition, input.timestamp), (Some(2), Some(5)));
        assert_eq!(input.headers, [(b"h".to_vec(), None)]);
        assert_eq!(parse(br#"{"key":null,"value":null}"#), Ok(Input::default()));
        for line in [
            "[]",
            "{",
            r#"{"colour":1}"#,
            r#"{"headers":{}}"#,
            r#"{"headers":[{}]}"#,
            r#"{"partition":"x"}"#,
            r#"{"value_base64":"!"}"#,
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_come_back_as_they_were() {
        let mut object = Map::new();
        insert(&mut object, "key", Some(b"\xff\0"));
        insert(&mut object, "value", Some(b"text"));
        let odd = header_to_json(b"\xfe", Some(b"\xfd"));
        object.insert("headers".to_owned(), json!([odd, header_to_json(b"h", Some(b"\xff"))]));
        let line = Value::Object(object).to_string();
        assert!(line.starts_with(r#"{"key_base64":"/wA=","value":"text""#), "{line}");
        let input = parse(line.as_bytes()).unwrap();
        assert_eq!((input.key.as_deref(), input.value.as_deref()), (Some(&b"\xff\0"[..]), Some(&b"text"[..])));
        let expected = [(b"\xfe".to_vec(), Some(b"\xfd".to_vec())), (b"h".to_vec(), Some(b"\xff".to_vec()))];
        assert_eq!(input.headers, expected);
    }
}
