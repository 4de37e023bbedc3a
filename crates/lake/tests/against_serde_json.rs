//! The scanner, the raw writer and the shredder beside serde_json and a slow model built on it, over made-up documents.
//!
//! Bolero makes the bytes that steer the generator; it prints the seed of a failure, and `BOLERO_RANDOM_SEED` replays it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use common::{Shown, shown};
use kanat_lake::DataType;
use kanat_lake::json::BadReason;
use kanat_lake::raw::RawWriter;
use kanat_lake::shred::{ShredOptions, Shredder};
use kanat_lake::timestamp;
use kanat_lake::types::common_ancestor;
use serde_json::Value;

/// Choices for the generator, taken from bytes; zeros when they run out.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % bound
    }

    fn one<'b>(&mut self, of: &[&'b str]) -> &'b str {
        of[self.below(of.len())]
    }
}

const SPACES: [&str; 8] = ["", "", "", "", "", " ", "\n\t", "\r  "];
const KEYS: [&str; 12] =
    ["a", "b", "c", "a b", "A", "", "k\\u0061", "long_key_number_1", "long_key_number_2", "\\\"", "<", "é"];
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-7",
    "42",
    "1.5",
    "-0.0",
    "1e3",
    "1e+2",
    "2.50",
    "1e400",
    "-1e-400",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "123456789012345678",
    "0.1000000000000000055",
    "1e22",
    "1e23",
    "100000000000000000000000000000000000000000",
    "3.141592653589793238462643",
];
const STRINGS: [&str; 16] = [
    "",
    "x",
    "plain text of some length",
    "é\u{540d}\u{1f600}",
    "\\n\\t\\\"\\\\\\/",
    "\\u00e9\\ud83d\\ude00",
    "<a>&</a>",
    "\u{2028}\u{2030}",
    "\\u0000\\u001f",
    "2024-01-02",
    "2024-01-02T03:04:05Z",
    "2024-01-02 03:04:05.123456",
    "2024-02-30",
    "12",
    "eight888",
    "seven77\\b",
];

fn value(choices: &mut Choices<'_>, depth: usize, out: &mut String) {
    match choices.below(if depth < 4 { 9 } else { 7 }) {
        0 => out.push_str("null"),
        1 => out.push_str(choices.one(&["true", "false"])),
        2 | 3 => out.push_str(choices.one(&NUMBERS)),
        4 => write!(out, "{}.{}", choices.below(256), choices.below(256)).unwrap(),
        5 | 6 => write!(out, "\"{}{}\"", choices.one(&STRINGS), choices.one(&["", "", "tail"])).unwrap(),
        7 => object(choices, depth + 1, out),
        _ => {
            out.push('[');
            for at in 0..choices.below(4) {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(choices.one(&SPACES));
                value(choices, depth + 1, out);
            }
            out.push_str(choices.one(&SPACES));
            out.push(']');
        }
    }
}

fn object(choices: &mut Choices<'_>, depth: usize, out: &mut String) {
    out.push('{');
    for at in 0..choices.below(6) {
        out.push_str(if at > 0 { "," } else { "" });
        out.push_str(choices.one(&SPACES));
        write!(out, "\"{}\"{}:{}", choices.one(&KEYS), choices.one(&SPACES), choices.one(&SPACES)).unwrap();
        value(choices, depth, out);
        out.push_str(choices.one(&SPACES));
    }
    out.push('}');
}

/// A record: mostly a valid object, now and then damaged in one byte, cut, or followed by more.
fn record(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut text = choices.one(&SPACES).to_owned();
    object(choices, 0, &mut text);
    let mut record = text.into_bytes();
    let at = choices.below(256) * 256 + choices.below(256);
    match choices.below(12) {
        0 => record.truncate(at % (record.len() + 1)),
        1 if !record.is_empty() => {
            let at = at % record.len();
            record[at] = b"\"\\{}[]:,0-.eu\x00\xFF\xC3\x1F "[choices.below(18)];
        }
        2 => record.extend_from_slice(b" {\"more\":1}"),
        _ => {}
    }
    record
}

/// What serde_json reads as the first value; `None` where only the two differ by design.
fn serde_first(record: &[u8]) -> Option<Result<Value, String>> {
    if std::str::from_utf8(record).is_err() {
        return Some(Err("not UTF-8".to_owned()));
    }
    let first = serde_json::Deserializer::from_slice(record).into_iter::<Value>().next();
    let first = first.unwrap_or_else(|| Err(serde::de::Error::custom("empty")));
    match first.map_err(|error| error.to_string()) {
        Err(error) if ["surrogate", "hex escape", "recursion"].iter().any(|word| error.contains(word)) => None,
        first => Some(first),
    }
}

fn raw_is_what_serde_reads(record: &[u8]) {
    let mut out = Vec::new();
    let ours = RawWriter::new(&[]).write(record, &[], &mut out);
    let Some(theirs) = serde_first(record) else { return };
    let name = record.escape_ascii();
    match (ours, theirs) {
        (Ok(_), Ok(Value::Object(theirs))) => {
            let text = String::from_utf8(out).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(theirs.clone()), "{name}");
            assert_eq!(plain_exponents(&text), plain_exponents(&canonical(&Value::Object(theirs))), "{name}");
        }
        (Err(BadReason::NotObject | BadReason::Null), Ok(theirs)) => assert!(!theirs.is_object(), "{name}"),
        (Err(BadReason::NotJson { .. } | BadReason::NotUtf8 { .. } | BadReason::Empty), Err(_)) => {}
        // serde_json asks for a delimiter after a scalar, which we do not read on from.
        (Err(BadReason::NotObject | BadReason::Null), Err(error)) if error.contains("trailing") => {}
        (ours, theirs) => panic!("{name}: ours {ours:?}, serde_json {theirs:?}"),
    }
}

/// serde_json writes `1E2` as `1e+2`; we keep what came. Both without the difference.
fn plain_exponents(text: &str) -> String {
    text.replace('E', "e").replace("e+", "e")
}

/// Canonical text the slow way.
fn canonical(value: &Value) -> String {
    let string = |text: &str| {
        let quoted = serde_json::to_string(text).unwrap();
        let escapes =
            [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
        escapes.iter().fold(quoted, |text, (character, escape)| text.replace(*character, escape))
    };
    match value {
        Value::String(text) => string(text),
        Value::Array(elements) => format!("[{}]", elements.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let members = sorted.into_iter().map(|(key, value)| format!("{}:{}", string(key), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// Type of one value, and whether it is a number no double may stand for.
fn model_type(value: &Value) -> (DataType, bool) {
    match value {
        Value::Null => (DataType::Null, false),
        Value::Bool(_) => (DataType::Boolean, false),
        Value::Array(_) => (DataType::Array, false),
        Value::Object(_) => (DataType::Object, false),
        Value::String(text) => (timestamp::parse(text.as_bytes()).map_or(DataType::String, |t| t.precision), false),
        Value::Number(number) => {
            let literal = number.to_string();
            let double: f64 = literal.parse().unwrap();
            let is_integer = !literal.contains(['.', 'e', 'E']);
            // Rust prints every digit of the double, so a rounded integer shows. Beyond 38 digits none is taken.
            let rounded = is_integer && (format!("{double:.0}") != literal || literal.len() > 38);
            let data_type = if literal.parse::<i64>().is_ok() { DataType::Integer } else { DataType::Number };
            (data_type, rounded || double.is_infinite())
        }
    }
}

/// What stands in a column of type `data_type` for a value.
fn model_value(value: &Value, data_type: DataType) -> Option<String> {
    let text = match (value, data_type) {
        (Value::Null, _) => return None,
        (Value::Bool(flag), DataType::Integer) => i64::from(*flag).to_string(),
        (Value::Bool(flag), DataType::Number) => format!("{:?}", f64::from(u8::from(*flag))),
        (Value::Number(number), DataType::Integer) => number.to_string().parse::<i64>().unwrap().to_string(),
        (Value::Number(number), DataType::Number) => format!("{:?}", number.to_string().parse::<f64>().unwrap()),
        (Value::String(text), data_type) if data_type.is_timestamp() => {
            timestamp::parse(text.as_bytes()).unwrap().micros.to_string()
        }
        (Value::String(text), _) => text.clone(),
        (other, _) => canonical(other),
    };
    Some(text)
}

/// The shredder, the slow way: types of a chunk first, then its values.
#[derive(Default)]
struct Model {
    types: BTreeMap<String, DataType>,
}

impl Model {
    fn chunk(&mut self, rows: &[Value]) -> BTreeMap<String, (DataType, Vec<Option<String>>)> {
        let mut not_double: BTreeMap<&str, bool> = BTreeMap::new();
        for (key, value) in rows.iter().flat_map(|row| row.as_object().unwrap()) {
            let (seen, misses) = model_type(value);
            if seen != DataType::Null {
                let data_type = self.types.entry(key.clone()).or_insert(DataType::Null);
                *data_type = common_ancestor(*data_type, seen);
                *not_double.entry(key).or_default() |= misses;
            }
        }
        for (key, _) in not_double.into_iter().filter(|(_, misses)| *misses) {
            let data_type = self.types.get_mut(key).unwrap();
            if *data_type == DataType::Number {
                *data_type = DataType::String;
            }
        }
        let column = |(key, data_type): (&String, &DataType)| {
            let values = rows.iter().map(|row| row.get(key).and_then(|value| model_value(value, *data_type)));
            (key.clone(), (*data_type, values.collect()))
        };
        self.types.iter().map(column).collect()
    }
}

fn shredding_is_what_the_model_says(chunks: &[Vec<Vec<u8>>]) {
    let mut shredder = Shredder::new(ShredOptions::default()).unwrap();
    let mut model = Model::default();
    for chunk in chunks {
        let records: Vec<_> = chunk.iter().map(Vec::as_slice).collect();
        let shredded = shredder.shred_chunk(&records).unwrap();
        let rows: Vec<_> = shredded.kept().map(|index| serde_first(records[index])).collect();
        // Records with halves of surrogate pairs are rows to us and errors to serde_json.
        let Some(rows) = rows.into_iter().collect::<Option<Result<Vec<_>, _>>>() else { return };
        let rows = rows.unwrap();
        assert_eq!(shredded.rows + shredded.bad.len(), records.len());
        for bad in &shredded.bad {
            assert!(!matches!(serde_first(records[bad.index]), Some(Ok(Value::Object(_)))), "{bad:?}");
        }
        let mut expected = model.chunk(&rows);
        let found =
            shown(&shredded).into_iter().map(|Shown { source, data_type, values, .. }| (source, (data_type, values)));
        let mut found: BTreeMap<_, _> = found.collect();
        for (_, values) in found.values_mut().chain(expected.values_mut()) {
            for value in values.iter_mut().flatten() {
                *value = plain_exponents(value);
            }
        }
        let text = || records.iter().map(|record| String::from_utf8_lossy(record)).collect::<Vec<_>>();
        assert_eq!(found, expected, "{:#?}", text());
    }
}

#[test]
fn raw_text_of_any_bytes() {
    bolero::check!().with_iterations(20_000).for_each(raw_is_what_serde_reads);
}

#[test]
fn raw_text_of_made_up_records() {
    bolero::check!().with_iterations(20_000).with_max_len(512).for_each(|bytes: &[u8]| {
        raw_is_what_serde_reads(&record(&mut Choices(bytes)));
    });
}

/// A writer remembers keys and their order; what it writes must not depend on what it wrote before.
fn a_used_raw_writer_is_like_a_new_one(chunks: &[Vec<Vec<u8>>]) {
    let keys = ["a", "a_2", "c"];
    let values: [&[u8]; 3] = [b"1", b"\"x\"", b"null"];
    let mut used = RawWriter::new(&keys);
    for (at, record) in chunks.iter().flatten().enumerate() {
        // Each record twice, now and then with fewer extra members.
        for values in [&values[..], &values[..at % 4 % 3 + 1]] {
            let (mut from_used, mut from_new) = (Vec::new(), Vec::new());
            let results = (
                used.write(record, values, &mut from_used),
                RawWriter::new(&keys).write(record, values, &mut from_new),
            );
            assert_eq!(results.0, results.1);
            assert_eq!(from_used.escape_ascii().to_string(), from_new.escape_ascii().to_string());
            if results.0.is_ok() {
                let members: Value = serde_json::from_slice(&from_used).unwrap();
                assert_eq!(members["a"], Value::from(1));
            }
        }
    }
}

#[test]
fn shredding_made_up_chunks() {
    bolero::check!().with_iterations(4_000).with_max_len(4096).for_each(|bytes: &[u8]| {
        let mut choices = Choices(bytes);
        let mut chunk = |_| (0..=choices.below(8)).map(|_| record(&mut choices)).collect();
        let chunks: Vec<Vec<Vec<u8>>> = (0..3).map(&mut chunk).collect();
        shredding_is_what_the_model_says(&chunks);
        a_used_raw_writer_is_like_a_new_one(&chunks);
    });
}

#[test]
fn duplicates_that_do_not_fit_do_not_widen() {
    let records = [r#"{"a":1}"#, r#"{"a":"x","a":2}"#, r#"{"n":1,"n":null,"a":[],"a":3}"#, r#"{"a":"x","a":4"#];
    let chunk = records.map(|record| record.as_bytes().to_vec()).to_vec();
    shredding_is_what_the_model_says(&[chunk.clone(), chunk]);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1)).into_bytes();
    let deepest = kanat_lake::json::DEPTH_MAX;
    let mut shredder = Shredder::new(ShredOptions::default()).unwrap();
    for record in [nested(deepest), nested(deepest + 1), nested(100_000)] {
        let fits = record == nested(deepest);
        let chunk = shredder.shred_chunk(&[&record]).unwrap();
        assert_eq!(chunk.bad.first().map(|bad| bad.reason), (!fits).then_some(BadReason::TooDeep));
        let raw = RawWriter::new(&[]).write(&record, &[], &mut Vec::new());
        assert_eq!(raw, if fits { Ok(None) } else { Err(BadReason::TooDeep) });
    }
}

/// 1,508 columns in all: 1,000 at first, then 500 new ones, while of the first half turns to text and half to doubles.
#[test]
fn fifteen_hundred_columns() {
    let make = |row: usize| {
        let member = |column: usize| match (row < 20, column) {
            (true, _) => format!("\"c{column}\":{}", row + column),
            (false, column) if column >= 1000 => format!("\"c{column}\":true"),
            (false, column) if column % 2 == 0 => format!("\"c{column}\":\"text {row}\""),
            (false, column) => format!("\"c{column}\":{row}.25"),
        };
        let columns = if row < 20 { 0..1000 } else { 0..1508 };
        format!("{{{}}}", columns.map(member).collect::<Vec<_>>().join(",")).into_bytes()
    };
    let rows: Vec<_> = (0..60).map(make).collect();
    shredding_is_what_the_model_says(std::slice::from_ref(&rows));
    let chunks: Vec<_> = rows.chunks(7).map(<[Vec<u8>]>::to_vec).collect();
    shredding_is_what_the_model_says(&chunks);
}

#[test]
fn more_keys_than_columns_max_is_an_error_that_names_it() {
    let mut shredder = Shredder::new(ShredOptions { columns_max: 3, ..ShredOptions::default() }).unwrap();
    shredder.shred_chunk(&[br#"{"a":1,"b":1,"n":null}"#]).unwrap();
    let error = shredder.shred_chunk(&[br#"{"c":1}"#, br#"{"d":1}"#]).unwrap_err();
    assert_eq!(error.to_string(), "more than 3 columns (columns_max): key \"d\" would be one more");
    // Without new columns any number of keys may pass by.
    let mut shredder =
        Shredder::new(ShredOptions { columns_max: 1, sync_new_columns: false, ..ShredOptions::default() }).unwrap();
    assert_eq!(shredder.shred_chunk(&[br#"{"c":1,"d":1,"e":2}"#]).unwrap().rows, 1);
}
