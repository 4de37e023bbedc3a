//! Source partitions and offsets between connectors and their stored JSON.

use kanat_connect::data::{Map, Value};
use serde_json::Value as Json;

use crate::store::offsets::JsonObject;

/// What a connector gets of a stored object: whole numbers as 64-bit integers, other numbers as doubles.
pub(crate) fn to_map(object: &JsonObject) -> Map {
    object.iter().map(|(key, value)| (Value::from(key.as_str()), to_value(value))).collect()
}

fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::from(*value),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::from(integer),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Array(items) => Value::Array(items.iter().map(to_value).collect()),
        Json::Object(object) => Value::from(to_map(object)),
    }
}

/// What is stored of a connector's object, its entries in the same order.
///
/// # Errors
/// What of it cannot be stored: anything but null, booleans, numbers, text, and lists and maps of them.
pub(crate) fn from_map(map: &Map) -> Result<JsonObject, String> {
    map.iter()
        .map(|(key, value)| {
            let key =
                key.as_str().ok_or_else(|| format!("the key {key:?} of a source partition or offset is not text"))?;
            Ok((key.to_owned(), from_value(value)?))
        })
        .collect()
}

fn from_value(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::String(text) => Json::String(text.to_string()),
        Value::Array(items) => Json::Array(items.iter().map(from_value).collect::<Result<_, _>>()?),
        Value::Map(map) => Json::Object(from_map(map)?),
        Value::Float64(value) => double(*value)?,
        Value::Float32(value) => double(f64::from(*value))?,
        other => match other.as_i64() {
            Some(integer) => Json::from(integer),
            None => return Err(format!("a source partition or offset cannot hold {}", other.java_class())),
        },
    })
}

fn double(value: f64) -> Result<Json, String> {
    let number = serde_json::Number::from_f64(value);
    number.map(Json::Number).ok_or_else(|| format!("a source partition or offset cannot hold {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back_in_order() {
        let text = r#"{"z":1,"a":"x","b":[true,null,1.5],"c":{"y":-9223372036854775808}}"#;
        let object: JsonObject = serde_json::from_str(text).unwrap();
        let back = from_map(&to_map(&object)).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn what_has_no_json_is_refused() {
        let map = |key: Value, value: Value| [(key, value)].into_iter().collect::<Map>();
        assert!(from_map(&map(Value::from(1_i64), Value::Null)).unwrap_err().contains("not text"));
        assert!(from_map(&map(Value::from("x"), Value::from(f64::NAN))).unwrap_err().contains("NaN"));
    }
}
