//! What becomes of header texts.

use super::*;
use crate::data::Map;

fn read(text: &str) -> SchemaAndValue {
    SimpleHeaderConverter.read_header("t", "h", Some(&Bytes::copy_from_slice(text.as_bytes()))).unwrap()
}

fn of(ty: Type, value: impl Into<Value>) -> SchemaAndValue {
    SchemaAndValue::new(Schema::of(ty), value)
}

#[test]
fn scalars_take_the_smallest_type() {
    let cases = [
        ("", of(Type::String, "")),
        ("text", of(Type::String, "text")),
        ("null", SchemaAndValue::default()),
        ("true", of(Type::Boolean, true)),
        (" false ", of(Type::Boolean, false)),
        ("truest", of(Type::String, "truest")),
        ("1", of(Type::Int8, Value::Int8(1))),
        ("-129", of(Type::Int16, Value::Int16(-129))),
        ("40000", of(Type::Int32, 40_000)),
        ("-3000000000", of(Type::Int64, -3_000_000_000_i64)),
        ("1.50", of(Type::Float32, Value::Float32(1.5))),
        ("2.0", of(Type::Int8, Value::Int8(2))),
        ("1e100", of(Type::Float64, 1e100)),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn times_are_known_by_their_form() {
    let cases = [
        ("2019-08-23", date(), 1_566_518_400_000),
        ("14:34:54.346Z", time(), 52_494_346),
        ("2019-08-23T14:34:54.346Z", timestamp(), 1_566_570_894_346),
    ];
    for (text, schema, ms) in cases {
        let expected = SchemaAndValue::new(schema, Value::Instant(ms));
        assert_eq!(read(text), expected, "{text}");
        let mut out = Vec::new();
        SimpleHeaderConverter.write_header("t", "h", &expected, &mut out).unwrap();
        assert_eq!(out, text.as_bytes());
    }
}

fn date() -> Schema {
    crate::data::date_schema().build().unwrap()
}

fn time() -> Schema {
    crate::data::time_schema().build().unwrap()
}

fn timestamp() -> Schema {
    crate::data::timestamp_schema().build().unwrap()
}

#[test]
fn collections_find_a_common_type() {
    let array = |ty, items: Vec<Value>| {
        SchemaAndValue::new(Schema::array(Schema::of(ty)).build().unwrap(), Value::Array(items))
    };
    assert_eq!(read("[1, 300]"), array(Type::Int16, vec![Value::Int16(1), Value::Int16(300)]));
    assert_eq!(read("[\"a\", \"b,c\"]"), array(Type::String, vec!["a".into(), "b,c".into()]));
    assert_eq!(read("[1, \"a\"]"), SchemaAndValue::schemaless(Value::Array(vec![Value::Int8(1), "a".into()])));
    let map: Map = [("k".into(), Value::Int8(1))].into_iter().collect();
    let schema = Schema::map(Schema::of(Type::String), Schema::of(Type::Int8)).build().unwrap();
    assert_eq!(read("{\"k\": 1}"), SchemaAndValue::new(schema, map));
    for broken in ["[1, 2", "[,]", "[a]", "{a:1}", "{\"a\"}", "{null:1}", "[1,null]", "]["] {
        assert_eq!(read(broken), of(Type::String, broken), "{broken}");
    }
}

#[test]
fn what_cannot_be_read_stays_bytes() {
    let deep = "[".repeat(5000);
    let read = read(&deep);
    assert_eq!(read.schema, Some(Schema::of(Type::Bytes)));
    assert_eq!(read.value, Value::Bytes(Bytes::from(deep)));
}

#[test]
fn writes_nested_values_in_quotes() {
    let map: Map = [("a\"b".into(), Value::Array(vec![1.into(), "x\\y".into(), Value::Null]))].into_iter().collect();
    let mut out = Vec::new();
    assert!(SimpleHeaderConverter.write_header("t", "h", &SchemaAndValue::schemaless(map), &mut out).unwrap());
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"a\"b":[1,"x\\y",null]}"#);
    assert!(!SimpleHeaderConverter.write_header("t", "h", &SchemaAndValue::default(), &mut Vec::new()).unwrap());
}
