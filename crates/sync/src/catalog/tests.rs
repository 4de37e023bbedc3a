//! What `streams.json` may say, what we write, and what a sync makes of it.

use super::*;
use crate::config::Warning;
use crate::error::Result;

/// A discovered catalog of topics with integer columns.
pub(crate) fn catalog_of(topics: &[(&str, &[&str])]) -> Catalog {
    let discovered: Vec<DiscoveredStream> = topics
        .iter()
        .map(|(topic, columns)| DiscoveredStream {
            topic: (*topic).to_owned(),
            columns: columns
                .iter()
                .map(|name| DiscoveredColumn {
                    source_key: (*name).to_owned(),
                    types: TypeSet::from_iter([DataType::Integer]),
                    destination_name: reformat(name),
                })
                .collect(),
        })
        .collect();
    Catalog::from_discovered(&discovered, "")
}

/// Gives a column the types named.
pub(crate) fn set_types(catalog: &mut Catalog, topic: &str, column: &str, types: &[&str]) {
    let stream = catalog.streams.iter_mut().find(|stream| stream.name == topic).unwrap();
    stream.properties.get_mut(column).unwrap().types =
        types.iter().map(|name| name.parse::<DataType>().unwrap()).collect();
}

fn parse(text: &str) -> Result<(Catalog, Vec<Warning>)> {
    Catalog::parse(text, "streams.json")
}

/// A catalog file of one topic `t`: keys of its selection and of its stream.
fn one(selected: &str, stream: &str) -> String {
    format!(
        r#"{{"selected_streams":{{"topics":[{{"stream_name":"t"{selected}}}]}},
            "streams":[{{"stream":{{"name":"t","namespace":"topics"{stream}}}}}]}}"#
    )
}

/// Written by OLake for a topic with one column.
const OLAKE: &str = r#"{"selected_streams":{"topics":[{"partition_regex":"","stream_name":"t1","append_mode":true,
    "normalization":false,"use_source_column_names":false,
    "selected_columns":{"columns":["_olake_id","_kafka_key","Int Value"],"sync_new_columns":true}}]},
 "streams":[{"stream":{"name":"t1","namespace":"topics",
   "type_schema":{"properties":{
     "_kafka_key":{"type":["string"],"destination_column_name":"_kafka_key"},
     "_kafka_timestamp":{"type":["timestamp_milli","timestamp"],"destination_column_name":"_kafka_timestamp"},
     "_olake_id":{"type":["string","null"],"destination_column_name":"_olake_id","olake_column":true},
     "":{"type":["null"]},
     "Int Value":{"type":["integer"],"destination_column_name":"int_value"}}},
   "supported_sync_modes":["strict_cdc"],"source_defined_primary_key":["_kafka_offset","_kafka_partition"],
   "available_cursor_fields":[],"sync_mode":"strict_cdc","destination_database":"kafka:topics","destination_table":"t1",
   "default_stream_properties":{"normalization":false,"append_mode":true}}}]}"#;

#[test]
fn a_file_of_olake_is_read_without_a_warning_and_written_with_the_same_content() {
    let (catalog, warnings) = parse(OLAKE).unwrap();
    assert_eq!(warnings, []);
    let mut written = catalog.to_json();
    let mut expected: Value = serde_json::from_str(OLAKE).unwrap();
    for value in [&mut written, &mut expected] {
        sort_lists(value);
    }
    assert_eq!(written, expected);
    assert_eq!(parse(&catalog.to_json().to_string()).unwrap().0, catalog);
}

/// OLake writes its sets in any order.
fn sort_lists(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort_lists);
            items.sort_by_key(Value::to_string);
        }
        Value::Object(members) => members.values_mut().for_each(sort_lists),
        _ => {}
    }
}

#[test]
fn discovery_writes_olakes_shape_in_a_fixed_order() {
    let mut columns = kafka_columns(TypeSet::from_iter([DataType::TimestampMilli]));
    columns.push(DiscoveredColumn {
        source_key: "id".to_owned(),
        types: TypeSet::from_iter([DataType::Integer, DataType::Null]),
        destination_name: "id".to_owned(),
    });
    let stream = DiscoveredStream { topic: "bench-a".to_owned(), columns };
    let catalog = Catalog::from_discovered(&[stream], "");
    let expected = concat!(
        r#"{"selected_streams":{"topics":[{"partition_regex":"","stream_name":"bench-a","append_mode":true,"#,
        r#""normalization":false,"use_source_column_names":false,"selected_columns":{"columns":["_kafka_key","#,
        r#""_kafka_offset","_kafka_partition","_kafka_timestamp","_olake_id","_olake_timestamp","_op_type","id"],"#,
        r#""sync_new_columns":true}}]},"streams":[{"stream":{"name":"bench-a","namespace":"topics","#,
        r#""type_schema":{"properties":{"_kafka_key":{"type":["string"],"destination_column_name":"_kafka_key"},"#,
        r#""_kafka_offset":{"type":["integer"],"destination_column_name":"_kafka_offset"},"#,
        r#""_kafka_partition":{"type":["integer_small"],"destination_column_name":"_kafka_partition"},"#,
        r#""_kafka_timestamp":{"type":["timestamp_milli"],"destination_column_name":"_kafka_timestamp"},"#,
        r#""_olake_id":{"type":["null","string"],"destination_column_name":"_olake_id","olake_column":true},"#,
        r#""_olake_timestamp":{"type":["null","timestamp_micro"],"destination_column_name":"_olake_timestamp","#,
        r#""olake_column":true},"_op_type":{"type":["null","string"],"destination_column_name":"_op_type","#,
        r#""olake_column":true},"id":{"type":["null","integer"],"destination_column_name":"id"}}},"#,
        r#""supported_sync_modes":["strict_cdc"],"source_defined_primary_key":["_kafka_offset","_kafka_partition"],"#,
        r#""available_cursor_fields":[],"sync_mode":"strict_cdc","destination_database":"kafka:topics","#,
        r#""destination_table":"bench_a","default_stream_properties":{"normalization":false,"append_mode":true}}}]}"#,
    );
    assert_eq!(catalog.to_json().to_string(), expected);
}

#[test]
fn topics_are_sorted_and_never_share_a_table() {
    let catalog = catalog_of(&[("b", &[]), ("a_b", &[]), ("a.b", &[])]);
    let tables: Vec<(&str, &str)> =
        catalog.streams.iter().map(|it| (it.name.as_str(), it.destination_table.as_str())).collect();
    assert_eq!(tables, [("a.b", "a_b"), ("a_b", "a_b_2"), ("b", "b")]);
    let prefixed = Catalog::from_discovered(&[DiscoveredStream { topic: "t".to_owned(), columns: vec![] }], "shop");
    assert_eq!(prefixed.streams[0].destination_database, "shop:topics");
    assert_eq!(prefixed.streams[0].database_folder(), "shop_topics");
}

#[test]
fn the_seed_form_reads_wrapped_and_in_any_namespace() {
    for namespace in ["", "topics", "namespace"] {
        let text = format!(
            r#"{{"type":"CATALOG","catalog":{{"selected_streams":{{"{namespace}":[{{"partition_regex":"",
                "stream_name":"Test-Topic1","normalization":false,"append_only":true}}]}},
                "streams":[{{"stream":{{"name":"Test-Topic1","namespace":"topics","type_schema":{{"properties":{{}}}},
                "sync_mode":"cdc"}}}}]}}}}"#
        );
        let (catalog, warnings) = parse(&text).unwrap();
        assert_eq!(warnings, []);
        let (plans, warnings) = catalog.plan("streams.json").unwrap();
        assert_eq!(warnings, []);
        let plan = &plans[0];
        assert_eq!((plan.topic.as_str(), plan.id.as_str()), ("Test-Topic1", "topics.Test-Topic1"));
        assert_eq!((plan.database.as_str(), plan.table.as_str()), ("kafka_topics", "test_topic1"));
    }
}

#[test]
fn both_spellings_of_the_append_flag_are_one_setting() {
    for (keys, expected) in [
        ("", true),
        (r#","append_mode":false"#, false),
        (r#","append_only":false"#, false),
        (r#","append_only":true,"append_mode":true"#, true),
    ] {
        let (catalog, warnings) = parse(&one(keys, "")).unwrap();
        assert_eq!((catalog.selected("t").unwrap().append_mode, warnings.len()), (expected, 0), "{keys}");
    }
    let error = parse(&one(r#","append_only":true,"append_mode":false"#, "")).unwrap_err();
    assert_eq!(error.code().to_string(), "KN-1005");
}

#[test]
fn unknown_keys_are_reported_and_kept() {
    let text = one(r#","normalisation":true"#, r#","colour":"red""#);
    let (catalog, warnings) = parse(&text).unwrap();
    let warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        warnings,
        [
            "streams.json: streams[0].stream.colour is not a known key and has no effect",
            "streams.json: selected_streams.topics[0].normalisation is not a known key and has no effect; did you mean normalization?",
        ]
    );
    let written = catalog.to_json();
    assert_eq!(written["streams"][0]["stream"]["colour"], "red");
    assert_eq!(written["selected_streams"]["topics"][0]["normalisation"], true);
}

#[test]
fn wrong_values_are_one_sentence_with_the_key() {
    for (text, sentence) in [
        ("{}".to_owned(), "streams.json: streams is required"),
        (r#"{"streams":{}}"#.to_owned(), "streams.json: streams must be a list, not an object"),
        (r#"{"streams":[{}]}"#.to_owned(), "streams.json: streams[0].stream is required"),
        (
            one(r#","normalization":"yes""#, ""),
            "streams.json: selected_streams.topics[0].normalization must be true or false, not a string",
        ),
        (
            one("", r#","type_schema":{"properties":{"a":{"type":["decimal"]}}}"#),
            "streams.json: streams[0].stream.type_schema.properties.a.type holds an unknown column type \"decimal\"",
        ),
        (
            one("", r#","type_schema":{"properties":{"a":{"type":[]}}}"#),
            "streams.json: streams[0].stream.type_schema.properties.a.type must name at least one type",
        ),
        (
            r#"{"streams":[{"stream":{"name":"t"}},{"stream":{"name":"t"}}]}"#.to_owned(),
            "streams.json: streams holds topic t twice",
        ),
        (
            r#"{"streams":[],"selected_streams":{"":[{"stream_name":"t"}],"topics":[{"stream_name":"t"}]}}"#.to_owned(),
            "streams.json: selected_streams selects topic t twice",
        ),
    ] {
        assert_eq!(parse(&text).unwrap_err().to_string(), sentence);
    }
}

#[test]
fn plans_refuse_what_would_go_wrong_later() {
    for (text, sentence) in [
        (
            one("", r#","sync_mode":"full_refresh""#),
            "streams.json: streams[0].stream.sync_mode must be strict_cdc or cdc for a Kafka topic, not full_refresh",
        ),
        (
            one("", r#","destination_table":"../etc""#),
            "streams.json: streams[0].stream.destination_table must be a plain folder name, not ../etc",
        ),
        (r#"{"streams":[]}"#.to_owned(), "no valid streams found in catalog streams.json: streams is empty"),
        (
            r#"{"streams":[{"stream":{"name":"t"}}],"selected_streams":{"topics":[{"stream_name":"u"}]}}"#.to_owned(),
            "no valid streams found in catalog streams.json: selected_streams names none of its 1 streams",
        ),
        (
            r#"{"streams":[{"stream":{"name":"a.b","sync_mode":"cdc"}},{"stream":{"name":"a_b","sync_mode":"cdc"}}]}"#
                .to_owned(),
            "streams a.b and a_b both write to table kafka_topics/a_b; change destination_table of one of them in the catalog",
        ),
    ] {
        let (catalog, _) = parse(&text).unwrap();
        assert_eq!(catalog.plan("streams.json").unwrap_err().to_string(), sentence);
    }
}

#[test]
fn settings_without_effect_are_reported() {
    let selected = r#","filter":"a > 1","filter_config":{"conditions":[{"column":"a","operator":"=","value":1}]}"#;
    let (catalog, _) = parse(&one(selected, "")).unwrap();
    let (plans, warnings) = catalog.plan("streams.json").unwrap();
    assert_eq!(plans[0].filter, None);
    let warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        warnings,
        [
            "streams.json: streams[0].stream.sync_mode of topic t is absent; strict_cdc is used",
            "streams.json: selected_streams.t.filter has no effect on Kafka; use filter_config",
            "streams.json: selected_streams.t.filter_config has no effect without normalization",
        ]
    );
    let normalized = one(&format!(r#"{selected},"normalization":true"#), "");
    let (plans, _) = parse(&normalized).unwrap().0.plan("streams.json").unwrap();
    assert_eq!(plans[0].filter.as_ref().unwrap().conditions[0].column, "a");
}

#[test]
fn column_selection_drops_what_is_known_and_not_selected() {
    for (sync_new, unknown_kept) in [(true, true), (false, false)] {
        let mut catalog = catalog_of(&[("t", &["kept", "dropped"])]);
        let selected = &mut catalog.selected_streams.as_mut().unwrap().get_mut("topics").unwrap()[0];
        selected.selected_columns =
            Some(SelectedColumns { columns: ["kept".to_owned()].into(), sync_new_columns: sync_new });
        let (plans, _) = catalog.plan("streams.json").unwrap();
        let selection = &plans[0].selection;
        assert!(selection.keeps("kept") && !selection.keeps("dropped"));
        assert_eq!(selection.keeps("never seen"), unknown_kept);
        assert!(OLAKE_COLUMNS.iter().all(|name| selection.keeps(name)));
    }
}
