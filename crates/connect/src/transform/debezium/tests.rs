//! Events of a table, of shards, and of an outbox.

use super::*;
use crate::config::Properties;
use crate::converter::SchemaAndValue;
use crate::data::{Schema, Type};
use crate::transform::{Transformation, Verdict};

fn row_schema() -> Schema {
    Schema::structure()
        .name("db.t.Value")
        .optional()
        .field("id", Schema::of(Type::Int32))
        .field("name", Schema::optional_of(Type::String))
        .build()
        .unwrap()
}

fn row(id: i32, name: &str) -> Value {
    let mut row = Struct::new(row_schema()).unwrap();
    row.put("id", id).unwrap().put("name", name).unwrap();
    row.into()
}

fn event(before: Value, after: Value, op: &str) -> Record {
    event_of(row_schema(), before, after, op)
}

fn event_of(row: Schema, before: Value, after: Value, op: &str) -> Record {
    let source =
        Schema::structure().field("table", Schema::of(Type::String)).field("lsn", Schema::optional_of(Type::Int64));
    let source = source.build().unwrap();
    let schema = Schema::structure()
        .name("db.t.Envelope")
        .field("before", row.clone())
        .field("after", row)
        .field("source", source.clone())
        .field("op", Schema::of(Type::String))
        .field("ts_ms", Schema::optional_of(Type::Int64));
    let schema = schema.build().unwrap();
    let source = Struct::from_values(source, vec!["t".into(), 77_i64.into()]).unwrap();
    let values = vec![before, after, source.into(), op.into(), 1234_i64.into()];
    let value = Struct::from_values(schema.clone(), values).unwrap();
    let key_schema = Schema::structure().field("id", Schema::of(Type::Int32)).build().unwrap();
    let key = Struct::from_values(key_schema.clone(), vec![1.into()]).unwrap();
    Record {
        topic: "db.t_shard1".into(),
        key: SchemaAndValue::new(key_schema, key),
        value: SchemaAndValue::new(schema, value),
        ..Record::default()
    }
}

fn build(class: &str, config: &[(&str, &str)]) -> Box<dyn Transformation> {
    let config: Properties = config.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect();
    (Plugins::builtin().transformation(&format!("io.debezium.transforms.{class}")).unwrap().build)(&config).unwrap()
}

fn changed(class: &str, config: &[(&str, &str)], mut record: Record) -> Option<Record> {
    (build(class, config).apply(&mut record).unwrap() == Verdict::Keep).then_some(record)
}

fn tombstone() -> Record {
    Record { topic: "db.t_shard1".into(), ..Record::default() }
}

#[test]
fn takes_the_row_after_the_change() {
    let config =
        [("add.fields", "op,table:tab,source.lsn"), ("add.headers", "ts_ms,nothing"), ("route.by.field", "name")];
    let record = changed("ExtractNewRecordState", &config, event(Value::Null, row(1, "ann"), "c")).unwrap();
    assert_eq!(record.value.value.to_string(), "Struct{id=1,name=ann,__op=c,__tab=t,__source_lsn=77}");
    let schema = record.value.schema.unwrap();
    assert_eq!((schema.name(), schema.is_optional()), (Some("db.t.Value"), false));
    assert!(schema.field("__op").unwrap().schema.is_optional());
    assert_eq!(record.topic, "ann");
    let headers: Vec<_> =
        record.headers.iter().map(|header| (header.key.as_str(), header.value.value.clone())).collect();
    assert_eq!(headers, [("__ts_ms", 1234_i64.into())]);
}

#[test]
fn deletes_are_handled_in_five_ways() {
    let deleted = || event(row(1, "ann"), Value::Null, "d");
    let cases = [
        ("tombstone", Some("null"), false),
        ("drop", None, false),
        ("rewrite", Some("Struct{id=1,name=ann,__deleted=true}"), false),
        ("rewrite-with-tombstone", Some("Struct{id=1,name=ann,__deleted=true}"), true),
        ("delete-to-tombstone", Some("null"), false),
    ];
    for (mode, value, keeps_tombstone) in cases {
        let config = [("delete.tombstone.handling.mode", mode)];
        let record = changed("ExtractNewRecordState", &config, deleted());
        assert_eq!(record.map(|record| record.value.value.to_string()).as_deref(), value, "{mode}");
        assert_eq!(changed("ExtractNewRecordState", &config, tombstone()).is_some(), keeps_tombstone, "{mode}");
    }
    let older = [("delete.handling.mode", "rewrite"), ("drop.tombstones", "false")];
    let record = changed("ExtractNewRecordState", &older, event(Value::Null, row(2, "bob"), "u")).unwrap();
    assert_eq!(record.value.value.to_string(), "Struct{id=2,name=bob,__deleted=false}");
    assert!(changed("ExtractNewRecordState", &older, tombstone()).is_some());
}

#[test]
fn what_is_no_event_passes() {
    let plain = Record { value: SchemaAndValue::schemaless("x"), ..tombstone() };
    for class in ["ExtractNewRecordState", "outbox.EventRouter"] {
        assert_eq!(changed(class, &[], plain.clone()), Some(plain.clone()));
    }
}

#[test]
fn shards_meet_in_one_topic() {
    let config = [
        ("topic.regex", "(.*)_shard(.*)"),
        ("topic.replacement", "$1"),
        ("key.field.regex", ".*_shard(.*)"),
        ("key.field.replacement", "$1"),
    ];
    let record = changed("ByLogicalTableRouter", &config, event(Value::Null, row(1, "ann"), "c")).unwrap();
    assert_eq!(record.topic, "db.t");
    assert_eq!(record.key.value.to_string(), "Struct{id=1,__dbz__physicalTableIdentifier=1}");
    assert_eq!(record.key.schema.as_ref().and_then(Schema::name), Some("db.t.Key"));
    let Value::Struct(value) = &record.value.value else { unreachable!() };
    assert_eq!(value.schema().name(), Some("db.t.Envelope"));
    assert_eq!(value.get("after").unwrap().inferred_schema().unwrap().name(), Some("db.t.Value"));
    value.validate().unwrap();
    let other =
        changed("ByLogicalTableRouter", &[("topic.regex", "x"), ("topic.replacement", "y")], tombstone()).unwrap();
    assert_eq!(other, tombstone());
}

fn outbox(payload: &str) -> Record {
    let columns = ["id", "aggregatetype", "aggregateid", "type", "payload"];
    let builder = columns.iter().fold(Schema::structure().optional(), |builder, column| {
        builder.field(column, Schema::optional_of(Type::String))
    });
    let schema =
        builder.field("at", Schema::build(Type::Int64).name("io.debezium.time.MicroTimestamp").build().unwrap());
    let schema = schema.build().unwrap();
    let texts = ["e-1", "order", "o-1", "created", payload].map(Value::from);
    let values = texts.into_iter().chain([Value::Int64(5_000_001)]).collect();
    let row = Struct::from_values(schema.clone(), values).unwrap();
    event_of(schema, Value::Null, row.into(), "c")
}

#[test]
fn the_outbox_row_becomes_its_event() {
    let record = changed("outbox.EventRouter", &[], outbox("{\"a\":1}")).unwrap();
    assert_eq!(record.topic, "outbox.event.order");
    assert_eq!((record.key.value, record.value.value), ("o-1".into(), "{\"a\":1}".into()));
    assert_eq!(record.timestamp, Some(1234));
    assert_eq!(record.headers.last("id").unwrap().value.value, "e-1".into());
}

#[test]
fn the_outbox_places_columns_and_expands_json() {
    let config = [
        ("table.fields.additional.placement", "type:header:eventType,aggregatetype:envelope:kind"),
        ("table.field.event.timestamp", "at"),
        ("table.expand.json.payload", "true"),
        ("route.topic.replacement", "events.${routedByValue}"),
    ];
    let record =
        changed("outbox.EventRouter", &config, outbox("{\"a\":1,\"b\":[1,2],\"c\":null,\"d\":{\"e\":5000000000}}"))
            .unwrap();
    assert_eq!((record.topic.as_str(), record.timestamp), ("events.order", Some(5000)));
    assert_eq!(record.headers.last("eventType").unwrap().value.value, "created".into());
    assert_eq!(
        record.value.value.to_string(),
        "Struct{payload=Struct{a=1,b=[1, 2],d=Struct{e=5000000000}},kind=order}"
    );
    let Value::Struct(value) = record.value.value else { unreachable!() };
    value.validate().unwrap();
}

#[test]
fn the_outbox_takes_inserts_only() {
    let of = |op: &str| {
        let mut record = outbox("x");
        let Value::Struct(value) = &mut record.value.value else { unreachable!() };
        value.put("op", op).unwrap();
        record
    };
    assert_eq!(changed("outbox.EventRouter", &[], of("d")), None);
    assert_eq!(changed("outbox.EventRouter", &[], of("u")), None);
    assert_eq!(changed("outbox.EventRouter", &[], tombstone()), None);
    assert!(changed("outbox.EventRouter", &[], of("r")).is_some());
    let mut fatal = build("outbox.EventRouter", &[("table.op.invalid.behavior", "fatal")]);
    assert!(fatal.apply(&mut of("u")).is_err());
    let mut missing = build("outbox.EventRouter", &[("table.fields.additional.placement", "nope:header")]);
    assert!(missing.apply(&mut outbox("x")).is_err());
    let empty = changed("outbox.EventRouter", &[("route.tombstone.on.empty.payload", "true")], outbox("")).unwrap();
    assert_eq!(empty.value, SchemaAndValue::default());
}
