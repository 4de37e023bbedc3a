//! Texts as a JVM's converter writes and reads them.

use super::*;
use crate::data::{Decimal, Struct, Type, date_schema, decimal_schema, time_schema, timestamp_schema};

fn with_schemas() -> JsonConverter {
    JsonConverter::default()
}

fn plain() -> JsonConverter {
    JsonConverter::new(JsonConverterOptions { schemas_enable: false, ..JsonConverterOptions::default() })
}

fn write(converter: &JsonConverter, schema: Option<&Schema>, value: &Value) -> String {
    let mut out = Vec::new();
    assert!(converter.write("t", schema, value, &mut out).unwrap());
    String::from_utf8(out).unwrap()
}

fn read(converter: &JsonConverter, text: &str) -> Result<SchemaAndValue> {
    converter.read("t", Some(&Bytes::copy_from_slice(text.as_bytes())))
}

fn payload(schema: &str, payload: &str) -> Result<Value> {
    read(&with_schemas(), &format!(r#"{{"schema":{schema},"payload":{payload}}}"#)).map(|read| read.value)
}

/// Each with the text of its schema and of its payload.
fn samples() -> Vec<(Schema, Value, &'static str, &'static str)> {
    let list = Schema::array(Schema::of(Type::Int32)).build().unwrap();
    let by_name = Schema::map(Schema::of(Type::String), Schema::of(Type::Int32)).build().unwrap();
    let by_number = Schema::map(Schema::of(Type::Int32), Schema::of(Type::Int32)).build().unwrap();
    let entries = |pairs: Vec<(Value, Value)>| Value::Map(pairs.into_iter().collect());
    vec![
        (Schema::of(Type::Boolean), true.into(), r#"{"type":"boolean","optional":false}"#, "true"),
        (Schema::of(Type::Int8), Value::Int8(-12), r#"{"type":"int8","optional":false}"#, "-12"),
        (Schema::of(Type::Int16), Value::Int16(12), r#"{"type":"int16","optional":false}"#, "12"),
        (Schema::optional_of(Type::Int32), 12.into(), r#"{"type":"int32","optional":true}"#, "12"),
        (
            Schema::of(Type::Int64),
            Value::Int64(4_398_046_511_104),
            r#"{"type":"int64","optional":false}"#,
            "4398046511104",
        ),
        (Schema::of(Type::Float32), Value::Float32(12.34), r#"{"type":"float","optional":false}"#, "12.34"),
        (Schema::of(Type::Float64), 12.34.into(), r#"{"type":"double","optional":false}"#, "12.34"),
        (
            Schema::of(Type::Bytes),
            Value::Bytes(Bytes::from_static(b"test-string")),
            r#"{"type":"bytes","optional":false}"#,
            r#""dGVzdC1zdHJpbmc=""#,
        ),
        (
            Schema::of(Type::String),
            "a \"b\"\u{1f}<é>".into(),
            r#"{"type":"string","optional":false}"#,
            r#""a \"b\"\u001F<é>""#,
        ),
        (
            list,
            Value::Array(vec![1.into(), 2.into()]),
            r#"{"type":"array","items":{"type":"int32","optional":false},"optional":false}"#,
            "[1,2]",
        ),
        (
            by_name,
            entries(vec![("k".into(), 12.into())]),
            r#"{"type":"map","keys":{"type":"string","optional":false},"values":{"type":"int32","optional":false},"optional":false}"#,
            r#"{"k":12}"#,
        ),
        (
            by_number,
            entries(vec![(1.into(), 15.into()), (2.into(), 14.into())]),
            r#"{"type":"map","keys":{"type":"int32","optional":false},"values":{"type":"int32","optional":false},"optional":false}"#,
            "[[1,15],[2,14]]",
        ),
        (
            decimal_schema(2).build().unwrap(),
            Decimal { unscaled: 156.into(), scale: 2 }.into(),
            r#"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}}"#,
            r#""AJw=""#,
        ),
        (
            date_schema().build().unwrap(),
            Value::Instant(10_000 * 86_400_000),
            r#"{"type":"int32","optional":false,"name":"org.apache.kafka.connect.data.Date","version":1}"#,
            "10000",
        ),
        (
            time_schema().build().unwrap(),
            Value::Instant(14_400_000),
            r#"{"type":"int32","optional":false,"name":"org.apache.kafka.connect.data.Time","version":1}"#,
            "14400000",
        ),
        (
            timestamp_schema().build().unwrap(),
            Value::Instant(4_000_000_000),
            r#"{"type":"int64","optional":false,"name":"org.apache.kafka.connect.data.Timestamp","version":1}"#,
            "4000000000",
        ),
    ]
}

#[test]
fn every_type_is_written_and_read() {
    for (schema, value, schema_text, payload_text) in samples() {
        let text = format!(r#"{{"schema":{schema_text},"payload":{payload_text}}}"#);
        assert_eq!(write(&with_schemas(), Some(&schema), &value), text);
        assert_eq!(write(&plain(), Some(&schema), &value), payload_text);
        let back = read(&with_schemas(), &text).unwrap();
        assert_eq!((back.schema, back.value), (Some(schema), value), "{text}");
    }
}

#[test]
fn structs_carry_everything_a_schema_has() {
    let schema = Schema::structure()
        .name("io.kanat.Order")
        .version(3)
        .doc("an order")
        .field("id", Schema::of(Type::Int64))
        .field("note", Schema::build(Type::String).optional().default_value("-").doc("free text").build().unwrap())
        .build()
        .unwrap();
    let mut value = Struct::new(schema.clone()).unwrap();
    value.put("id", 7_i64).unwrap();
    let text = concat!(
        r#"{"schema":{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"},"#,
        r#"{"type":"string","optional":true,"doc":"free text","default":"-","field":"note"}],"#,
        r#""optional":false,"name":"io.kanat.Order","version":3,"doc":"an order"},"payload":{"id":7,"note":"-"}}"#
    );
    assert_eq!(write(&with_schemas(), Some(&schema), &Value::from(value)), text);
    let read = read(&with_schemas(), text).unwrap();
    assert_eq!(read.schema, Some(schema));
    let Value::Struct(back) = read.value else { panic!("a struct") };
    assert_eq!(back.get("note").unwrap().as_str(), Some("-"));
}

#[test]
fn nulls() {
    let optional = Schema::optional_of(Type::String);
    let defaulted = Schema::build(Type::Boolean).optional().default_value(true).build().unwrap();
    assert!(!with_schemas().write("t", None, &Value::Null, &mut Vec::new()).unwrap());
    let text = r#"{"schema":{"type":"string","optional":true},"payload":null}"#;
    assert_eq!(write(&with_schemas(), Some(&optional), &Value::Null), text);
    assert_eq!(write(&plain(), Some(&optional), &Value::Null), "null");
    assert_eq!(write(&plain(), Some(&defaulted), &Value::Null), "true");
    let keep = JsonConverter::new(JsonConverterOptions {
        schemas_enable: false,
        replace_null_with_default: false,
        ..JsonConverterOptions::default()
    });
    assert_eq!(write(&keep, Some(&defaulted), &Value::Null), "null");
    let error = plain().write("t", Some(&Schema::of(Type::String)), &Value::Null, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "Conversion error: null value for field that is required and has no default value");
    assert_eq!(with_schemas().read("t", None).unwrap(), SchemaAndValue::default());
    assert_eq!(read(&plain(), "null").unwrap(), SchemaAndValue::default());
    assert_eq!(read(&plain(), "").unwrap(), SchemaAndValue::default());
    let error = payload(r#"{"type":"boolean"}"#, "null").unwrap_err();
    assert_eq!(error.to_string(), "Invalid null value for required BOOLEAN field");
    assert_eq!(payload(r#"{"type":"boolean","default":true}"#, "null").unwrap(), true.into());
}

#[test]
fn schemaless_text() {
    let text = r#" {"a": [1, 2.5, "x", null, true], "b": {"c": -1}, "a2": 1e3, "b": {}} "#;
    let value = read(&plain(), text).unwrap().value;
    assert_eq!(write(&plain(), None, &value), r#"{"a":[1,2.5,"x",null,true],"b":{},"a2":1000.0}"#);
    let entries = (0..40).map(|n| format!(r#""k{}":{n}"#, n % 30)).collect::<Vec<_>>().join(",");
    let Value::Map(map) = read(&plain(), &format!("{{{entries}}}")).unwrap().value else { panic!("a map") };
    assert_eq!((map.len(), map.get_str("k3"), map.get_str("k13")), (30, Some(&33_i64.into()), Some(&13_i64.into())));
    assert_eq!(write(&plain(), None, &Value::Float64(f64::NAN)), r#""NaN""#);
    assert!(read(&plain(), "9223372036854775808").is_err());
}

#[test]
fn envelopes_must_be_whole() {
    for text in ["", "1", "{}", r#"{"payload":1}"#, r#"{"schema":null,"payload":1,"more":2}"#] {
        let error = read(&with_schemas(), text).unwrap_err().to_string();
        assert!(
            error.starts_with(r#"JsonConverter with schemas.enable requires "schema" and "payload" fields"#),
            "{text}"
        );
    }
    assert_eq!(read(&with_schemas(), r#"{"payload":[1],"schema":null}"#).unwrap().schema, None);
    for text in ["{", "{'a':1}", "nul", "\"\\x\"", "[1,]"] {
        let error = read(&plain(), text).unwrap_err().to_string();
        assert!(
            error.starts_with("Converting byte[] to Kafka Connect data failed due to serialization error: "),
            "{text}"
        );
    }
    let deep = "[".repeat(100_000);
    assert!(read(&plain(), &deep).is_err());
}

#[test]
fn bad_schemas_are_named() {
    let cases = [
        (r#"{"optional":true}"#, "Schema must contain 'type' field"),
        (r#"{"type":7}"#, "Schema must contain 'type' field"),
        (r#"{"type":"decimal"}"#, "Unknown schema type: decimal"),
        (r#"{"type":"array"}"#, "Array schema did not specify the element type"),
        (r#"{"type":"map","keys":{"type":"string"}}"#, "Map schema did not specify the value type"),
        (r#"{"type":"struct","fields":7}"#, "Struct schema's \"fields\" argument is not an array."),
        (r#"{"type":"struct","fields":[{"type":"int8"}]}"#, "Struct schema's field name not specified properly"),
        (r#"{"type":"int8","parameters":{"a":1}}"#, "Schema parameters must have string values."),
    ];
    for (schema, message) in cases {
        assert_eq!(payload(schema, "1").unwrap_err().to_string(), message);
    }
}

#[test]
fn values_of_a_wrong_type_are_refused() {
    let cases = [
        (r#"{"type":"int8"}"#, "300"),
        (r#"{"type":"int32"}"#, "\"7\""),
        (r#"{"type":"boolean"}"#, "1"),
        (r#"{"type":"string"}"#, "1"),
        (r#"{"type":"bytes"}"#, "\"%\""),
        (r#"{"type":"array","items":{"type":"int8"}}"#, "{}"),
        (r#"{"type":"map","keys":{"type":"int8"},"values":{"type":"int8"}}"#, "[[1]]"),
        (r#"{"type":"struct","fields":[{"type":"int8","field":"a"}]}"#, "{}"),
    ];
    for (schema, text) in cases {
        assert!(payload(schema, text).is_err(), "{schema} {text}");
    }
    assert_eq!(payload(r#"{"type":"int32"}"#, "5.9").unwrap(), 5.into());
    let error = payload(r#"{"type":"struct","fields":[]}"#, "[]").unwrap_err();
    assert_eq!(error.to_string(), "Structs should be encoded as JSON objects, but found ARRAY");
}

#[test]
fn decimals_as_numbers() {
    let numeric = JsonConverter::new(JsonConverterOptions {
        schemas_enable: false,
        decimal_format: DecimalFormat::Numeric,
        ..JsonConverterOptions::default()
    });
    let schema = decimal_schema(2).build().unwrap();
    assert_eq!(write(&numeric, Some(&schema), &Decimal::parse("1.56").unwrap().into()), "1.56");
    let text = write(&with_schemas(), Some(&schema), &Decimal::parse("1.56").unwrap().into());
    let text = text.replace(r#""AJw=""#, "1.560");
    assert_eq!(read(&with_schemas(), &text).unwrap().value, Decimal::parse("1.560").unwrap().into());
    let error = with_schemas().write("t", Some(&schema), &Decimal::parse("1.5").unwrap().into(), &mut Vec::new());
    assert_eq!(
        error.unwrap_err().to_string(),
        "Decimal value has mismatching scale for given Decimal schema. Schema has scale 2, value has scale 1."
    );
}
