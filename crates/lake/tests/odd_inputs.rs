//! The odd inputs that were run through OLake, one table each: the same result, or the better one that docs/types.md
//! names as a deviation.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Shown, shown, shred};
use kanat_lake::DataType::{
    self, Array, Boolean, Integer, IntegerSmall, Null, Number, NumberSmall, Object, String as Text, Timestamp,
    TimestampMicro, TimestampMilli, TimestampNano, Unknown,
};
use kanat_lake::infer::Inference;
use kanat_lake::json::BadReason;
use kanat_lake::raw::RawWriter;
use kanat_lake::shred::{ColumnSpec, ShredOptions, Shredder, TrailingBytes};
use kanat_lake::timestamp;

fn raw(record: &[u8]) -> Result<String, BadReason> {
    let mut out = Vec::new();
    RawWriter::new(&[]).write(record, &[], &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn texts(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

#[test]
fn whole_records_that_are_no_rows() {
    let not_json = |offset| BadReason::NotJson { offset };
    let table: [(&[u8], BadReason); 17] = [
        (b"", BadReason::Empty),
        (b" \n", BadReason::Empty),
        (b"null", BadReason::Null),
        (b"not json", not_json(0)),
        (b"[1,2,3]", BadReason::NotObject),
        (b"\"str\"", BadReason::NotObject),
        (b"42", BadReason::NotObject),
        (b"true", BadReason::NotObject),
        (b"[1,2", not_json(4)),
        (br#"{"id":6,"#, not_json(8)),
        (b"\xEF\xBB\xBF{\"id\":1}", not_json(0)),
        (b"{id:18}", not_json(1)),
        (b"{'id':19}", not_json(1)),
        (br#"{"id":20,}"#, not_json(9)),
        (br#"{"id":NaN}"#, not_json(6)),
        (b"{\"s\":\"a\xFFb\"}", BadReason::NotUtf8 { offset: 7 }),
        (b"{\"s\":\"a\nb\"}", not_json(7)),
    ];
    for (record, reason) in table {
        let mut shredder = Shredder::new(ShredOptions::default()).unwrap();
        let chunk = shredder.shred_chunk(&[br#"{"k":1}"#, record, br#"{"k":2}"#]).unwrap();
        let name = record.escape_ascii();
        assert_eq!(chunk.bad.iter().map(|bad| (bad.index, bad.reason)).collect::<Vec<_>>(), [(1, reason)], "{name}");
        assert_eq!(chunk.kept().collect::<Vec<_>>(), [0, 2], "{name}");
        let columns = shown(&chunk);
        assert_eq!(columns.len(), 1, "{name}");
        assert_eq!(columns[0].values, texts(&["1", "2"]), "{name}");
        assert_eq!(raw(record), Err(reason), "{name}");
        let mut inference = Inference::new(10);
        assert!(inference.observe(record).is_err(), "{name}");
        assert_eq!(inference.columns().len(), 0, "{name}");
    }
}

#[test]
fn only_the_first_value_of_a_record_counts_and_the_rest_is_reported() {
    let records = [
        r#"{"id":2,"name":"trailing"} garbage"#,
        r#"{"id":3}{"id":4}"#,
        "  {\"id\":5}\n",
        "{}",
        r#"{"id":7,"n":"\ud800x\u0000"}"#,
    ];
    let (chunk, columns) = shred(&records);
    assert_eq!(chunk.rows, 5);
    assert_eq!(chunk.trailing, [TrailingBytes { index: 0, offset: 27 }, TrailingBytes { index: 1, offset: 8 }]);
    assert_eq!(columns[0].values, [Some("2"), Some("3"), Some("5"), None, Some("7")].map(|v| v.map(str::to_owned)));
    assert_eq!(columns[2].values[4].as_deref(), Some("\u{FFFD}x\0"));
    let rewritten: Vec<_> = records.iter().map(|record| raw(record.as_bytes()).unwrap()).collect();
    let expected =
        [r#"{"id":2,"name":"trailing"}"#, r#"{"id":3}"#, r#"{"id":5}"#, "{}", "{\"id\":7,\"n\":\"\u{FFFD}x\\u0000\"}"];
    assert_eq!(rewritten, expected);
}

/// Values of one column `v`, the type it gets, and what stands in it.
#[test]
fn values() {
    let table: &[(&[&str], DataType, &[&str])] = &[
        (&["9223372036854775807", "-9223372036854775808"], Integer, &["9223372036854775807", "-9223372036854775808"]),
        // A double holds it exactly.
        (&["9223372036854775808"], Number, &["9.223372036854776e18"]),
        // Better: OLake rounds these three to doubles.
        (&["18446744073709551615"], Text, &["18446744073709551615"]),
        (&["-9223372036854775809", "1"], Text, &["-9223372036854775809", "1"]),
        (&["9007199254740993", "1.5"], Text, &["9007199254740993", "1.5"]),
        (&["1.5", "9007199254740993"], Text, &["1.5", "9007199254740993"]),
        (&["9007199254740992", "1.5"], Number, &["9007199254740992.0", "1.5"]),
        (&["1.0", "1e3", "-0.0"], Number, &["1.0", "1000.0", "-0.0"]),
        (&["-0"], Integer, &["0"]),
        (&["1e-400"], Number, &["0.0"]),
        (&["0.1000000000000000055511151231257827"], Number, &["0.1"]),
        (&["123456789012345678901234567890.123"], Number, &["1.2345678901234568e29"]),
        (&["1.7976931348623157e308"], Number, &["1.7976931348623157e308"]),
        // Better: OLake ends the sync with an error and writes other streams twice.
        (&["1e400"], Text, &["1e400"]),
        (&["1.50", "-1e400", "2"], Text, &["1.50", "-1e400", "2"]),
        (&["1", "\"3\""], Text, &["1", "3"]),
        (&["1.5", "2", "\"x\""], Text, &["1.5", "2", "x"]),
        (&["1.50", "1e3", "1E+2", "\"x\""], Text, &["1.50", "1e3", "1E+2", "x"]),
        (&["1E+2"], Number, &["100.0"]),
        (&["1", "1.5", "true"], Number, &["1.0", "1.5", "1.0"]),
        (&["true", "5", "0"], Integer, &["1", "5", "0"]),
        (&["true", "1.5"], Number, &["1.0", "1.5"]),
        (&["true", "\"yes\"", "false"], Text, &["true", "yes", "false"]),
        (&["true", "false"], Boolean, &["true", "false"]),
        (
            &[r#"{"b":1,"a":{"c":[1,2,{"d":null}]}}"#, r#"{ "z" : 1.50 , "y" : "<&>" }"#, "{}"],
            Object,
            &[r#"{"a":{"c":[1,2,{"d":null}]},"b":1}"#, r#"{"y":"\u003c\u0026\u003e","z":1.50}"#, "{}"],
        ),
        (&[r#"[1,"x",null,1.50]"#, "[]"], Array, &[r#"[1,"x",null,1.50]"#, "[]"]),
        (&[r#"{"a":1}"#, "\"s\""], Text, &[r#"{"a":1}"#, "s"]),
        (&["[1]", r#"{"a":1}"#], Text, &["[1]", r#"{"a":1}"#]),
        (&["[1]", "7"], Text, &["[1]", "7"]),
        (&[r#""<a href='x'>&</a>""#], Text, &["<a href='x'>&</a>"]),
        (&["1700000000", r#""2024-01-02""#], Text, &["1700000000", "2024-01-02"]),
    ];
    for (values, data_type, expected) in table {
        let records: Vec<_> = values.iter().map(|value| format!("{{\"v\":{value}}}")).collect();
        let (chunk, columns) = shred(&records.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(chunk.bad, [], "{values:?}");
        assert_eq!(columns[0].data_type, *data_type, "{values:?}");
        assert_eq!(columns[0].values, texts(expected), "{values:?}");
    }
}

#[test]
fn raw_keeps_every_literal_and_escapes_for_html() {
    let table = [
        (r#"{"z":1e400,"a":18446744073709551615,"m":1.50}"#, r#"{"a":18446744073709551615,"m":1.50,"z":1e400}"#),
        (r#"{"s":"<a>&</a>"}"#, r#"{"s":"\u003ca\u003e\u0026\u003c/a\u003e"}"#),
        (r#"{"Upper":1,"upper":2,"UPPER":3}"#, r#"{"UPPER":3,"Upper":1,"upper":2}"#),
        (r#"{"a":{"x":1},"b":0,"a":7}"#, r#"{"a":7,"b":0}"#),
        (
            r#"{"":1,"\"q\"":2,"a\u0062":"\u00e9\/\t\b\f\u001f"}"#,
            "{\"\":1,\"\\\"q\\\"\":2,\"ab\":\"\u{e9}/\\t\\b\\f\\u001f\"}",
        ),
        ("{\"l\":\"\u{2028}\u{2029}\u{2030}\u{7f}\"}", "{\"l\":\"\\u2028\\u2029\u{2030}\u{7f}\"}"),
        (" { \"b\" : [ 1 , { \"d\" : 1 , \"c\" : 2 } ] , \"a\" : true } ", r#"{"a":true,"b":[1,{"c":2,"d":1}]}"#),
        (r#"{"\ud83d\ude00":"\ud800\ud801","\u003c":1}"#, "{\"\\u003c\":1,\"\u{1f600}\":\"\u{fffd}\u{fffd}\"}"),
    ];
    for (record, expected) in table {
        assert_eq!(raw(record.as_bytes()).unwrap(), expected, "{record}");
    }
}

#[test]
fn extra_members_win_and_the_payload_moves_aside() {
    let mut writer = RawWriter::new(&["_kafka_key", "_kafka_offset"]);
    let mut write = |record: &str, extras: &[&[u8]]| {
        let mut out = b"before".to_vec();
        writer.write(record.as_bytes(), extras, &mut out).unwrap();
        String::from_utf8(out.split_off(6)).unwrap()
    };
    let extras: [&[u8]; 2] = [b"\"k\"", b"42"];
    assert_eq!(write(r#"{"z":1,"A":2}"#, &extras), r#"{"A":2,"_kafka_key":"k","_kafka_offset":42,"z":1}"#);
    assert_eq!(write(r#"{"A":1,"z":2}"#, &extras), r#"{"A":1,"_kafka_key":"k","_kafka_offset":42,"z":2}"#);
    assert_eq!(
        write(r#"{"_kafka_offset":1,"_kafka_offset":{"b":1,"a":2},"_kafka_offset_2":3}"#, &extras),
        r#"{"_kafka_key":"k","_kafka_offset":42,"_kafka_offset_2":3,"_kafka_offset_3":{"a":2,"b":1}}"#
    );
    assert_eq!(write(r#"{"_kafka_\u006bey": "<" }"#, &extras[..1]), r#"{"_kafka_key":"k","_kafka_key_2":"\u003c"}"#);
    assert_eq!(write("{}", &[]), "{}");
}

/// The date-like strings that were measured: type, and microseconds since 1970 UTC; `None` is text.
#[test]
fn date_like_strings() {
    const DAY: i64 = 1_704_153_600_000_000; // 2024-01-02
    const T: i64 = DAY + (3 * 3600 + 4 * 60 + 5) * 1_000_000;
    const HOUR: i64 = 3_600_000_000;
    let table: [(&str, Option<(DataType, i64)>); 51] = [
        ("2024-01-02", Some((Timestamp, DAY))),
        ("2024-01-02 03:04:05", Some((Timestamp, T))),
        ("2024-01-02T03:04:05", Some((Timestamp, T))),
        ("2024-01-02T03:04:05Z", Some((Timestamp, T))),
        ("2024-01-02T03:04:05+0000", Some((Timestamp, T))),
        ("2024-01-02T03:04:05.000Z", Some((Timestamp, T))),
        ("2024-01-02T03:04:05.1Z", Some((TimestampMilli, T + 100_000))),
        ("2024-01-02T03:04:05.123Z", Some((TimestampMilli, T + 123_000))),
        ("2024-01-02T03:04:05.5+0000", Some((TimestampMilli, T + 500_000))),
        ("2024-01-02 03:04:05.123", Some((TimestampMilli, T + 123_000))),
        ("2024-01-02T03:04:05.123456Z", Some((TimestampMicro, T + 123_456))),
        ("2024-01-02T03:04:05.123000Z", Some((TimestampMilli, T + 123_000))),
        ("2024-01-02 03:04:05.123456+00", Some((TimestampMicro, T + 123_456))),
        ("2024-01-02 03:04:05.999999-07", Some((TimestampMicro, T + 7 * HOUR + 999_999))),
        ("2024-01-02T03:04:05.123456789Z", Some((TimestampNano, T + 123_456))),
        ("2024-01-02T03:04:05+02:00", Some((Timestamp, T - 2 * HOUR))),
        ("2024-01-02 03:04:05 -07:00", Some((Timestamp, T + 7 * HOUR))),
        ("2024-01-02 03:04:05-07:00", Some((Timestamp, T + 7 * HOUR))),
        ("2024-01-02 03:04:05 -0700 MST", Some((Timestamp, T + 7 * HOUR))),
        ("2024-01-02-15.04.05.000000", Some((Timestamp, T + 12 * HOUR))),
        ("0001-01-01", Some((Timestamp, -62_135_596_800_000_000))),
        ("9999-12-31T23:59:59Z", Some((Timestamp, 253_402_300_799_000_000))),
        ("1969-12-31T23:59:59.999Z", Some((TimestampMilli, -1000))),
        // Better: OLake makes it 1970-01-01.
        ("0000-01-01", Some((Timestamp, -62_167_219_200_000_000))),
        ("2024-02-29", Some((Timestamp, DAY + 58 * 24 * HOUR))),
        ("2024-01-02 3:04:05", Some((Timestamp, T))),
        ("2024-01-02T03:04:05,5Z", Some((TimestampMilli, T + 500_000))),
        ("2024-01-02 03:04:05 +0200", None),
        ("2024-02-30", None),
        ("2023-02-29", None),
        ("2024-13-01", None),
        ("0000-00-00", None),
        ("10000-01-01", None),
        ("12/31/2024", None),
        ("20240102", None),
        ("2024-1-2", None),
        ("2024-01-02T", None),
        ("2024-01-02T03:04", None),
        ("2024-01-02T25:00:00Z", None),
        ("2024-01-02T23:59:60Z", None),
        ("2024-01-02 notes", None),
        (" 2024-01-02", None),
        ("2024-01-02 ", None),
        ("2024-01-02t03:04:05z", None),
        ("2024-01-02T03:04:05z", None),
        ("2024-W01-1", None),
        ("03:04:05", None),
        ("1700000000", None),
        ("Jan 2, 2024", None),
        ("2024-01-02T03:04:05.Z", None),
        ("", None),
    ];
    for (text, expected) in table {
        let parsed = timestamp::parse(text.as_bytes()).map(|parsed| (parsed.precision, parsed.micros));
        assert_eq!(parsed, expected, "{text:?}");
        let (_, columns) = shred(&[&format!("{{\"d\":{text:?}}}")]);
        let (data_type, value) = expected.map_or((Text, text.to_owned()), |(t, micros)| (t, micros.to_string()));
        assert_eq!((columns[0].data_type, &columns[0].values[0]), (data_type, &Some(value)), "{text:?}");
    }
}

#[test]
fn column_names() {
    let record = r#"{"Upper":1,"upper":2,"UPPER":3,"with space":4,"dot.ted":5,"da-sh":6,"a b":7,"a_b":8,"A_B":9,
        "a$b":18,"h\u00e9llo":10,"名前":11,"😀":12,"":13,"1st":14,"_lead":15,"__x":16,"data":17,"select":19,
        "_kafka_key":20,"_olake_id":"mine","a":1,"a":{"last":"wins"}}"#;
    let reserved = ["_kafka_key", "_kafka_offset", "_olake_id", "_op_type"].map(str::to_owned).to_vec();
    let mut shredder = Shredder::new(ShredOptions { reserved, ..ShredOptions::default() }).unwrap();
    let chunk = shredder.shred_chunk(&[record.as_bytes()]).unwrap();
    let found: Vec<_> = shown(&chunk).into_iter().map(|c| (c.name, c.values[0].clone().unwrap())).collect();
    let expected = [
        ("upper", "1"),
        ("upper_2", "2"),
        ("upper_3", "3"),
        ("with_space", "4"),
        ("dot_ted", "5"),
        ("da_sh", "6"),
        ("a_b", "7"),
        ("a_b_2", "8"),
        ("a_b_3", "9"),
        ("a_b_4", "18"),
        ("h_llo", "10"),
        ("__", "11"),
        ("_", "12"),
        ("__2", "13"),
        ("1st", "14"),
        ("_lead", "15"),
        ("__x", "16"),
        ("data", "17"),
        ("select", "19"),
        ("_kafka_key_2", "20"),
        ("_olake_id_2", "mine"),
        ("a", r#"{"last":"wins"}"#),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

fn spec(source: &str, data_type: DataType) -> ColumnSpec {
    ColumnSpec { source: source.to_owned(), name: kanat_lake::naming::reformat(source), data_type }
}

/// The columns after each chunk of a table that was discovered with `columns`.
fn after_discover(columns: &[(&str, DataType)], chunks: &[&[&str]]) -> Vec<(bool, Vec<Shown>)> {
    let columns = columns.iter().map(|(source, data_type)| spec(source, *data_type)).collect();
    let mut shredder = Shredder::new(ShredOptions { columns, ..ShredOptions::default() }).unwrap();
    let chunks = chunks.iter().map(|records| {
        let records: Vec<_> = records.iter().map(|record| record.as_bytes()).collect();
        let chunk = shredder.shred_chunk(&records).unwrap();
        assert_eq!(chunk.bad, []);
        (chunk.schema_changed, shown(&chunk))
    });
    chunks.collect()
}

/// Discovered type of `a`, the values of later records one chunk each, and the type after each chunk with its value.
#[test]
fn types_that_change_after_discover_chunk_by_chunk() {
    type Row = (DataType, &'static [(&'static str, DataType, &'static str)]);
    let table: &[Row] = &[
        (Integer, &[("1", Integer, "1"), ("2.5", Number, "2.5"), ("3", Number, "3.0")]),
        (Integer, &[("\"str\"", Text, "str"), ("\"7\"", Text, "7"), ("5", Text, "5")]),
        (Integer, &[("9223372036854775808", Number, "9.223372036854776e18")]),
        (Boolean, &[("true", Boolean, "true"), ("1", Integer, "1"), ("\"true\"", Text, "true")]),
        (
            Timestamp,
            &[
                (r#""2024-01-02T00:00:00.5Z""#, TimestampMilli, "1704153600500000"),
                (r#""2024-13-45""#, Text, "2024-13-45"),
                (r#""2024-02-30T00:00:00Z""#, Text, "2024-02-30T00:00:00Z"),
                ("\"\"", Text, ""),
                ("\"free text\"", Text, "free text"),
            ],
        ),
        (Timestamp, &[("1700000000", Text, "1700000000"), ("1.5", Text, "1.5"), ("true", Text, "true")]),
        (
            Object,
            &[
                (r#"{"x":1}"#, Object, r#"{"x":1}"#),
                ("\"s\"", Text, "s"),
                ("[1]", Text, "[1]"),
                ("5", Text, "5"),
                ("1.50", Text, "1.50"),
                ("true", Text, "true"),
            ],
        ),
        (Null, &[("7", Integer, "7")]),
        (Unknown, &[("7", Text, "7")]),
        (IntegerSmall, &[("true", IntegerSmall, "1"), ("7", Integer, "7")]),
        (NumberSmall, &[("1.5", Number, "1.5")]),
        (Text, &[("1.50", Text, "1.50"), (r#""2024-01-02""#, Text, "2024-01-02")]),
    ];
    for (discovered, steps) in table {
        let records: Vec<_> = steps.iter().map(|(value, ..)| format!("{{\"a\":{value}}}")).collect();
        let chunks: Vec<_> = records.iter().map(|record| [record.as_str()]).collect();
        let chunks: Vec<_> = chunks.iter().map(<[&str; 1]>::as_slice).collect();
        let mut before = discovered.to_arrow();
        for ((changed, columns), (value, data_type, text)) in
            after_discover(&[("a", *discovered)], &chunks).into_iter().zip(*steps)
        {
            let name = format!("{discovered} with {value}");
            assert_eq!((columns[0].data_type, &columns[0].values), (*data_type, &texts(&[text])), "{name}");
            assert_eq!(changed, before != data_type.to_arrow(), "{name}");
            before = data_type.to_arrow();
        }
    }
}

#[test]
fn types_of_one_chunk_are_merged_before_they_are_applied() {
    let records = [
        r#"{"a":9007199254740993,"f":1.0,"s":"x","n":1,"i":1}"#,
        r#"{"a":"12","f":"2.5","s":5,"n":2,"i":true}"#,
        r#"{"a":" 7","f":3,"s":{"k":1},"n":2.5,"i":null}"#,
        r#"{"a":1.0,"f":9007199254740993,"s":[1,2],"n":true}"#,
        r#"{"a":true,"f":true,"s":1e3,"new":1.5}"#,
    ];
    let discovered = [("a", Integer), ("f", Number), ("s", Text), ("n", Integer), ("i", Integer)];
    let [(changed, columns)] = after_discover(&discovered, &[&records]).try_into().unwrap();
    assert!(changed);
    let found: Vec<_> = columns.iter().map(|c| (c.name.as_str(), c.data_type, c.values.clone())).collect();
    let optional = |values: [Option<&str>; 5]| values.map(|v| v.map(str::to_owned)).to_vec();
    let expected = [
        ("a", Text, texts(&["9007199254740993", "12", " 7", "1.0", "true"])),
        ("f", Text, texts(&["1.0", "2.5", "3", "9007199254740993", "true"])),
        ("s", Text, texts(&["x", "5", r#"{"k":1}"#, "[1,2]", "1e3"])),
        ("n", Number, optional([Some("1.0"), Some("2.0"), Some("2.5"), Some("1.0"), None])),
        ("i", Integer, optional([Some("1"), Some("1"), None, None, None])),
        ("new", Number, optional([None, None, None, None, Some("1.5")])),
    ];
    assert_eq!(found, expected);
}

#[test]
fn new_keys_become_columns_of_their_own() {
    let chunks: [&[&str]; 3] = [
        &[r#"{"a":1}"#],
        &[r#"{"a":2,"b":null,"c":null}"#, r#"{"b":"x","c":1.5,"d":"2024-01-02","B":5}"#],
        &[r#"{"a":3,"e":null}"#],
    ];
    let [first, second, third] = after_discover(&[("a", Integer)], &chunks).try_into().unwrap();
    assert!(!first.0 && second.0 && !third.0);
    let found: Vec<_> = second.1.iter().map(|c| (c.name.as_str(), c.data_type)).collect();
    assert_eq!(found, [("a", Integer), ("b", Text), ("c", Number), ("d", Timestamp), ("b_2", Integer)]);
    // A key that has only ever been null has no type yet: it waits for a value.
    assert_eq!(third.1.len(), 5);
    assert_eq!(third.1[1].values, [None]);
}

#[test]
fn a_column_of_nulls_stays_as_discovered() {
    let [(changed, columns)] = after_discover(&[("a", Null)], &[&[r#"{"a":null}"#, "{}"]]).try_into().unwrap();
    assert!(!changed);
    assert_eq!((columns[0].data_type, &columns[0].values), (Null, &vec![None, None]));
}

#[test]
fn selected_columns_follow_the_catalog() {
    let columns = vec![spec("a", Integer), spec("b", Integer), spec("c", Integer)];
    let selected = Some(["a", "c"].map(str::to_owned).into());
    let record: &[u8] = br#"{"a":1,"b":{"not":"wanted"},"c":3,"d":4}"#;
    for (sync_new_columns, expected) in [(true, vec!["a", "c", "d"]), (false, vec!["a", "c"])] {
        let options = ShredOptions {
            columns: columns.clone(),
            selected: selected.clone(),
            sync_new_columns,
            ..ShredOptions::default()
        };
        let mut shredder = Shredder::new(options).unwrap();
        let chunk = shredder.shred_chunk(&[record, record]).unwrap();
        assert_eq!(shown(&chunk).iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(shredder.columns().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!((chunk.rows, chunk.schema_changed), (2, sync_new_columns));
    }
}
