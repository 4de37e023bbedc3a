//! Transforms, predicates and header texts against what Kafka Connect makes of them.
//!
//! Each line of `tables/*.jsonl` is a case together with what Kafka Connect 4.2 did, as `tests/peers/java/Transforms.java`
//! printed it. Where something else is right here it stands under `here`; `docs/transforms.md` says why.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

use base64::Engine;
use bytes::Bytes;
use kanat_connect::converter::{
    Converter, HeaderConverter, JsonConverter, JsonConverterOptions, SchemaAndValue, SimpleHeaderConverter,
};
use kanat_connect::data::{Schema, Value};
use kanat_connect::plugin::Plugins;
use kanat_connect::record::{Header, Record};
use kanat_connect::transform::Verdict;
use serde_json::{Value as Json, json};

fn read(from: &Json) -> SchemaAndValue {
    if from.is_null() {
        return SchemaAndValue::default();
    }
    if let Some(text) = from.get("parse") {
        let mut read = parse(text.as_str().unwrap());
        if from["schemaless"] == true {
            read.schema = None;
        }
        return read;
    }
    let bytes = Bytes::from(from.to_string());
    JsonConverter::default().read("t", Some(&bytes)).unwrap()
}

fn parse(text: &str) -> SchemaAndValue {
    SimpleHeaderConverter.read_header("t", "h", Some(&Bytes::copy_from_slice(text.as_bytes()))).unwrap()
}

fn header(from: &Json) -> Header {
    Header { key: from[0].as_str().unwrap().into(), value: read(&from[1]) }
}

fn record(from: &Json) -> Record {
    Record {
        topic: from["topic"].as_str().unwrap_or("t").into(),
        partition: from["partition"]
            .as_i64()
            .map(|partition| partition.try_into().unwrap())
            .or(from.get("offset").map(|_| 0)),
        offset: from["offset"].as_i64(),
        timestamp: from["timestamp"].as_i64(),
        key: read(&from["key"]),
        value: read(&from["value"]),
        headers: from["headers"].as_array().into_iter().flatten().map(header).collect(),
    }
}

fn part(of: &SchemaAndValue) -> Json {
    json!([of.schema.as_ref().map_or(Json::Null, schema), text(&of.value)])
}

/// A schema as JSON. The converter writes it beside a value, so the value is one of which nothing is asked.
fn schema(schema: &Schema) -> Json {
    let optional = schema.to_builder().optional().build().unwrap();
    let mut out = Vec::new();
    JsonConverter::new(JsonConverterOptions::default()).write("t", Some(&optional), &Value::Null, &mut out).unwrap();
    let mut envelope: Json = serde_json::from_slice(&out).unwrap();
    envelope["schema"]["optional"] = schema.is_optional().into();
    envelope["schema"].take()
}

/// A value with its type, so that 1 of 8 and of 64 bits differ.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Int8(value) => format!("int8 {value}"),
        Value::Int16(value) => format!("int16 {value}"),
        Value::Int32(value) => format!("int32 {value}"),
        Value::Int64(value) => format!("int64 {value}"),
        Value::Float32(value) => format!("float32 {:x}", value.to_bits()),
        Value::Float64(value) => format!("float64 {:x}", value.to_bits()),
        Value::String(value) => format!("'{value}'"),
        Value::Bytes(bytes) => format!("bytes {}", base64::engine::general_purpose::STANDARD.encode(bytes)),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let mut entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{}: {}", text(key), text(value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Struct(fields) => {
            let fields = fields.schema().fields().iter().zip(fields.values());
            let fields: Vec<_> = fields.map(|(field, value)| format!("{}: {}", field.name, text(value))).collect();
            format!("struct{{{}}}", fields.join(", "))
        }
        Value::Decimal(value) => format!("decimal {value}"),
        Value::Instant(ms) => format!("instant {ms}"),
    }
}

fn outcome(case: &Json, plugins: &Plugins) -> kanat_connect::Result<Json> {
    if let Some(text) = case.get("parse") {
        return Ok(json!({ "read": part(&parse(text.as_str().unwrap())) }));
    }
    let name = case["class"].as_str().unwrap();
    let class =
        if name.starts_with("io.") { name.to_owned() } else { format!("org.apache.kafka.connect.transforms.{name}") };
    let config = case["config"].as_object().unwrap().iter();
    let config = config.map(|(key, value)| (key.clone(), Some(value.as_str().unwrap().to_owned()))).collect();
    let mut record = record(&case["record"]);
    if let Some(plugin) = plugins.predicate(&class) {
        return Ok(json!({ "holds": (plugin.build)(&config)?.test(&record)? }));
    }
    let mut transformation = (plugins.transformation(&class).unwrap().build)(&config)?;
    if transformation.apply(&mut record)? == Verdict::Drop {
        return Ok(json!({ "dropped": true }));
    }
    let mut outcome = json!({});
    if record.topic != "t" {
        outcome["topic"] = record.topic.as_str().into();
    }
    for (name, of) in [("key", &record.key), ("value", &record.value)] {
        if of.schema.is_some() || !of.value.is_null() {
            outcome[name] = part(of);
        }
    }
    if !record.headers.is_empty() {
        let headers = record.headers.iter().map(|header| json!([header.key.as_str(), part(&header.value)]));
        outcome["headers"] = headers.collect();
    }
    Ok(outcome)
}

/// Runs a table and says which of its cases differ.
fn run(table: &str) {
    let plugins = Plugins::builtin();
    let (mut count, mut different) = (0, Vec::new());
    for line in table.lines() {
        let mut case: Json = serde_json::from_str(line).unwrap();
        let expected = case["expect"].take();
        let wanted = case.get("here").cloned().unwrap_or(expected);
        let got = outcome(&case, &plugins)
            .unwrap_or_else(|error| json!({ "error": format!("{}: {error}", error.java_class()) }));
        count += 1;
        if got != wanted {
            case.as_object_mut().unwrap().remove("expect");
            different.push(format!("{case}\n  wanted {wanted}\n  got    {got}"));
        }
    }
    assert!(different.is_empty(), "{} of {count} cases differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn transforms_do_what_kafka_connects_do() {
    run(include_str!("tables/transforms.jsonl"));
}

#[test]
fn header_texts_are_read_as_by_kafka_connect() {
    run(include_str!("tables/header_texts.jsonl"));
}

/// With Debezium 3.0.8.
#[test]
fn debeziums_transforms_do_what_they_do_in_java() {
    run(include_str!("tables/debezium.jsonl"));
}
