//! JSON text to values: one pass along the text, led by the schema if there is one.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use kanat_json::{ScanError, Scanner, deeper};

use super::JsonConverterOptions;
use crate::data::{Decimal, Logical, Map, Schema, Struct, Text, Type, Value};
use crate::error::{Error, Result};

const NO_ENVELOPE: &str = "JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not \
     contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your \
     converter configuration.";

const NOT_JSON: &str = "Converting byte[] to Kafka Connect data failed due to serialization error: ";

/// Base64 as Java's decoder takes it, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Objects up to this size find repeated keys by walking.
const WALKED_KEYS_MAX: usize = 16;

/// What stands at a place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// As Jackson's `JsonNodeType`, for messages.
    fn name(self) -> &'static str {
        match self {
            Kind::Null => "NULL",
            Kind::Boolean => "BOOLEAN",
            Kind::Number => "NUMBER",
            Kind::String => "STRING",
            Kind::Array => "ARRAY",
            Kind::Object => "OBJECT",
        }
    }

    fn at(scanner: &Scanner<'_>) -> Result<Kind> {
        Ok(match scanner.peek() {
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b'"') => Kind::String,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ => return Err(not_json(scanner.error())),
        })
    }
}

fn not_json(error: ScanError) -> Error {
    Error::data(format!("{NOT_JSON}{error}"))
}

/// The text of a record, checked to be UTF-8.
fn scanner(text: &[u8]) -> Result<Scanner<'_>> {
    if let Err(error) = simdutf8::compat::from_utf8(text) {
        return Err(Error::data(format!("{NOT_JSON}{error}")));
    }
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    Ok(scanner)
}

/// What a text begins with.
pub(super) fn kind(text: &[u8]) -> Result<Kind> {
    Kind::at(&scanner(text)?)
}

/// The string a text is, `None` when it is something else.
pub(super) fn optional_string(text: &[u8]) -> Result<Option<Text>> {
    let mut scanner = scanner(text)?;
    if Kind::at(&scanner)? == Kind::String { string(&mut scanner).map(Some) } else { Ok(None) }
}

/// Keys and texts of an object; the last of equal keys counts.
pub(super) fn members(text: &[u8]) -> Result<Vec<(Text, &[u8])>> {
    let mut scanner = scanner(text)?;
    let mut members: Vec<(Text, &[u8])> = Vec::new();
    let mut more = scanner.enter_object().map_err(not_json)?;
    while more {
        let key = key(&mut scanner)?;
        let start = scanner.position();
        scanner.skip_value().map_err(not_json)?;
        let value = scanner.since(start);
        match members.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => members.push((key, value)),
        }
        more = scanner.next_member().map_err(not_json)?;
    }
    Ok(members)
}

/// Texts of an array's elements.
pub(super) fn elements(text: &[u8]) -> Result<Vec<&[u8]>> {
    let mut scanner = scanner(text)?;
    let mut elements = Vec::new();
    let mut more = scanner.enter_array().map_err(not_json)?;
    while more {
        let start = scanner.position();
        scanner.skip_value().map_err(not_json)?;
        elements.push(scanner.since(start));
        more = scanner.next_element().map_err(not_json)?;
    }
    Ok(elements)
}

/// The two parts of a record that carries its schema.
pub(super) struct Envelope<'a> {
    pub(super) schema: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// Splits a record that carries its schema.
pub(super) fn envelope(text: &[u8]) -> Result<Envelope<'_>> {
    let no_envelope = || Error::data(NO_ENVELOPE);
    if text.is_empty() || kind(text)? != Kind::Object {
        return Err(no_envelope());
    }
    let members = members(text)?;
    let get = |name: &str| members.iter().find(|(known, _)| known == name).map(|(_, text)| *text);
    match (members.len(), get("schema"), get("payload")) {
        (2, Some(schema), Some(payload)) => Ok(Envelope { schema, payload }),
        _ => Err(no_envelope()),
    }
}

/// Reads a whole text. As in Java, no text at all is null, and what follows the first value is not looked at.
pub(super) fn document(schema: Option<&Schema>, text: &[u8], options: &JsonConverterOptions) -> Result<Value> {
    let mut scanner = scanner(text)?;
    if scanner.peek().is_none() {
        return null(schema, options);
    }
    value(&mut scanner, schema, options, 0)
}

fn value(
    scanner: &mut Scanner<'_>,
    schema: Option<&Schema>,
    options: &JsonConverterOptions,
    depth: usize,
) -> Result<Value> {
    let kind = Kind::at(scanner)?;
    if kind == Kind::Null {
        scanner.word("null").map_err(not_json)?;
        return null(schema, options);
    }
    let Some(schema) = schema else { return schemaless(scanner, kind, options, depth) };
    if let Some(logical) = Logical::of(schema) {
        return logical_value(scanner, kind, schema, logical);
    }
    match (schema.ty(), kind) {
        (Type::Boolean, Kind::Boolean) => boolean(scanner),
        (Type::String, Kind::String) => string(scanner).map(Value::String),
        (Type::Bytes, Kind::String) => bytes(scanner).map(|bytes| Value::Bytes(bytes.into())),
        (Type::Array, Kind::Array) => {
            let items = schema.value_schema();
            array(scanner, depth, |scanner, depth| value(scanner, items, options, depth)).map(Value::Array)
        }
        (Type::Map, _) => map(scanner, kind, schema, options, depth).map(Value::Map),
        (Type::Struct, Kind::Object) => structure(scanner, schema, options, depth),
        (Type::Struct, kind) => {
            Err(Error::data(format!("Structs should be encoded as JSON objects, but found {}", kind.name())))
        }
        (ty, Kind::Number) => number(scanner, ty),
        (ty, kind) => Err(Error::data(format!("Invalid type for {ty}: {}", kind.name()))),
    }
}

/// What null stands for.
fn null(schema: Option<&Schema>, options: &JsonConverterOptions) -> Result<Value> {
    let Some(schema) = schema else { return Ok(Value::Null) };
    match schema.default_value().filter(|_| options.replace_null_with_default) {
        Some(default) => Ok(default.clone()),
        None if schema.is_optional() => Ok(Value::Null),
        None => Err(Error::data(format!("Invalid null value for required {} field", schema.ty()))),
    }
}

/// Objects become maps, integers `int64`, other numbers `float64`.
fn schemaless(scanner: &mut Scanner<'_>, kind: Kind, options: &JsonConverterOptions, depth: usize) -> Result<Value> {
    match kind {
        Kind::Null => Ok(Value::Null),
        Kind::Boolean => boolean(scanner),
        Kind::String => string(scanner).map(Value::String),
        Kind::Number => {
            let number = scanner.number().map_err(not_json)?;
            if let Some(integer) = number.as_i64() {
                return Ok(Value::Int64(integer));
            }
            let literal = String::from_utf8_lossy(number.literal());
            if !literal.contains(['.', 'e', 'E']) {
                return Err(Error::data(format!("the integer {literal} does not fit an int64")));
            }
            literal.parse().map(Value::Float64).map_err(|_| Error::data(format!("{literal} is no float64")))
        }
        Kind::Array => array(scanner, depth, |scanner, depth| value(scanner, None, options, depth)).map(Value::Array),
        Kind::Object => {
            let entries = object(scanner, depth, |scanner, depth| value(scanner, None, options, depth))?;
            Ok(Value::Map(Map::from_distinct(entries.into_iter().map(|(key, value)| (Value::String(key), value)))))
        }
    }
}

fn boolean(scanner: &mut Scanner<'_>) -> Result<Value> {
    let value = scanner.peek() == Some(b't');
    scanner.word(if value { "true" } else { "false" }).map_err(not_json)?;
    Ok(Value::Boolean(value))
}

fn text(raw: kanat_json::Text<'_>) -> Result<Text> {
    match raw.unescape() {
        // Checked as a part of the whole text, so this cannot fail.
        Cow::Borrowed(plain) => std::str::from_utf8(plain).map(Text::from),
        Cow::Owned(resolved) => std::str::from_utf8(&resolved).map(Text::from),
    }
    .map_err(|error| Error::data(format!("{NOT_JSON}{error}")))
}

fn string(scanner: &mut Scanner<'_>) -> Result<Text> {
    text(scanner.string().map_err(not_json)?)
}

fn key(scanner: &mut Scanner<'_>) -> Result<Text> {
    text(scanner.key().map_err(not_json)?)
}

fn bytes(scanner: &mut Scanner<'_>) -> Result<Vec<u8>> {
    let text = scanner.string().map_err(not_json)?;
    BASE64.decode(text.unescape()).map_err(|error| Error::data(format!("Invalid bytes field: {error}")))
}

/// A number of one of the six numeric types. A fraction is cut off for an integer, as in Java.
fn number(scanner: &mut Scanner<'_>, ty: Type) -> Result<Value> {
    let number = scanner.number().map_err(not_json)?;
    let literal = String::from_utf8_lossy(number.literal());
    let misfit = || Error::data(format!("Invalid type for {ty}: the number {literal} does not fit"));
    let float = || literal.parse::<f64>().map_err(|_| misfit());
    let value = match ty {
        Type::Float32 => return literal.parse().map(Value::Float32).map_err(|_| misfit()),
        Type::Float64 => return float().map(Value::Float64),
        Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 => match number.as_i64() {
            Some(integer) => integer,
            None if literal.contains(['.', 'e', 'E']) => whole(float()?).ok_or_else(misfit)?,
            None => return Err(misfit()),
        },
        other => return Err(Error::data(format!("Invalid type for {other}: NUMBER"))),
    };
    match ty {
        Type::Int8 => i8::try_from(value).map(Value::Int8).map_err(|_| misfit()),
        Type::Int16 => i16::try_from(value).map(Value::Int16).map_err(|_| misfit()),
        Type::Int32 => i32::try_from(value).map(Value::Int32).map_err(|_| misfit()),
        _ => Ok(Value::Int64(value)),
    }
}

/// The integer part of a double that an `i64` holds.
fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value > -LIMIT && value < LIMIT).then_some(value as i64)
}

fn array(
    scanner: &mut Scanner<'_>,
    depth: usize,
    mut read: impl FnMut(&mut Scanner<'_>, usize) -> Result<Value>,
) -> Result<Vec<Value>> {
    let depth = deeper(depth).map_err(not_json)?;
    let mut items = Vec::new();
    let mut more = scanner.enter_array().map_err(not_json)?;
    while more {
        items.push(read(scanner, depth)?);
        more = scanner.next_element().map_err(not_json)?;
    }
    Ok(items)
}

/// Entries of an object; of equal keys the first keeps its place and the last its value.
fn object(
    scanner: &mut Scanner<'_>,
    depth: usize,
    mut read: impl FnMut(&mut Scanner<'_>, usize) -> Result<Value>,
) -> Result<Vec<(Text, Value)>> {
    let depth = deeper(depth).map_err(not_json)?;
    let mut entries: Vec<(Text, Value)> = Vec::new();
    let mut places: HashMap<Text, usize> = HashMap::new();
    let mut more = scanner.enter_object().map_err(not_json)?;
    while more {
        let key = key(scanner)?;
        let value = read(scanner, depth)?;
        if entries.len() == WALKED_KEYS_MAX {
            places = entries.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
        }
        let known = if entries.len() < WALKED_KEYS_MAX {
            entries.iter().position(|(known, _)| *known == key)
        } else {
            places.get(&key).copied()
        };
        match known {
            Some(place) => entries[place].1 = value,
            None => {
                if entries.len() >= WALKED_KEYS_MAX {
                    places.insert(key.clone(), entries.len());
                }
                entries.push((key, value));
            }
        }
        more = scanner.next_member().map_err(not_json)?;
    }
    Ok(entries)
}

/// String keys: an object. Other keys: a list of pairs.
fn map(
    scanner: &mut Scanner<'_>,
    kind: Kind,
    schema: &Schema,
    options: &JsonConverterOptions,
    depth: usize,
) -> Result<Map> {
    let (keys, values) = (schema.key_schema(), schema.value_schema());
    if keys.is_none_or(|keys| keys.ty() == Type::String) {
        if kind != Kind::Object {
            let found = kind.name();
            let message = format!("Maps with string fields should be encoded as JSON objects, but found {found}");
            return Err(Error::data(message));
        }
        let entries = object(scanner, depth, |scanner, depth| value(scanner, values, options, depth))?;
        return Ok(Map::from_distinct(entries.into_iter().map(|(key, value)| (Value::String(key), value))));
    }
    if kind != Kind::Array {
        let found = kind.name();
        let message =
            format!("Maps with non-string fields should be encoded as JSON array of tuples, but found {found}");
        return Err(Error::data(message));
    }
    let pairs = array(scanner, depth, |scanner, depth| {
        let kind = Kind::at(scanner)?;
        if kind != Kind::Array {
            return Err(Error::data(format!("Found invalid map entry instead of array tuple: {}", kind.name())));
        }
        let mut place = 0;
        let pair = array(scanner, depth, |scanner, depth| {
            place += 1;
            value(scanner, if place == 1 { keys } else { values }, options, depth)
        })?;
        if pair.len() != 2 {
            return Err(Error::data(format!("Found invalid map entry, expected length 2 but found :{}", pair.len())));
        }
        Ok(Value::Array(pair))
    })?;
    let mut map = Map::with_capacity(pairs.len());
    for pair in pairs {
        if let Value::Array(pair) = pair
            && let Ok([key, value]) = <[Value; 2]>::try_from(pair)
        {
            map.insert(key, value);
        }
    }
    Ok(map)
}

/// Members without a field are not looked at, fields without a member are null.
fn structure(
    scanner: &mut Scanner<'_>,
    schema: &Schema,
    options: &JsonConverterOptions,
    depth: usize,
) -> Result<Value> {
    let depth = deeper(depth).map_err(not_json)?;
    let fields = schema.fields();
    let mut values: Vec<Option<Value>> = vec![None; fields.len()];
    let mut next = 0;
    let mut more = scanner.enter_object().map_err(not_json)?;
    while more {
        let name = scanner.key().map_err(not_json)?;
        let name = name.unescape();
        // Members mostly stand in the order of the fields.
        let guess = fields.get(next).filter(|field| field.name.as_bytes() == &*name);
        let field = guess.or_else(|| std::str::from_utf8(&name).ok().and_then(|name| schema.field(name)));
        match field {
            Some(field) => {
                next = field.index + 1;
                values[field.index] = Some(value(scanner, Some(&field.schema), options, depth)?);
            }
            None => scanner.skip_value().map_err(not_json)?,
        }
        more = scanner.next_member().map_err(not_json)?;
    }
    let complete = values.into_iter().zip(fields).map(|(value, field)| match value {
        Some(value) => Ok(value),
        None => null(Some(&field.schema), options),
    });
    Struct::from_values(schema.clone(), complete.collect::<Result<_>>()?).map(Value::from)
}

fn logical_value(scanner: &mut Scanner<'_>, kind: Kind, schema: &Schema, logical: Logical) -> Result<Value> {
    if logical == Logical::Decimal {
        return decimal(scanner, kind, schema);
    }
    let wide = logical == Logical::Timestamp;
    let number = (kind == Kind::Number).then(|| scanner.number().map_err(not_json)).transpose()?;
    let integer = number.and_then(|number| number.as_i64()).filter(|value| wide || i32::try_from(*value).is_ok());
    let Some(integer) = integer else {
        let (wanted, found) = (if wide { "int64" } else { "int32" }, kind.name());
        return Err(Error::data(format!(
            "Invalid type for {logical:?}, underlying representation should be {wanted} but was {found}"
        )));
    };
    match logical {
        Logical::Date => Ok(Value::Instant(integer * Logical::DAY_MS)),
        Logical::Time if !(0..=Logical::DAY_MS).contains(&integer) => {
            Err(Error::data("Time values must use number of milliseconds greater than 0 and less than 86400000"))
        }
        _ => Ok(Value::Instant(integer)),
    }
}

fn decimal(scanner: &mut Scanner<'_>, kind: Kind, schema: &Schema) -> Result<Value> {
    match kind {
        Kind::Number => {
            let number = scanner.number().map_err(not_json)?;
            let text = String::from_utf8_lossy(number.literal());
            let decimal = Decimal::parse(&text).ok_or_else(|| Error::data(format!("{text} is no decimal")))?;
            Ok(decimal.into())
        }
        Kind::String => {
            let scale = Logical::scale(schema);
            let scale = scale.ok_or_else(|| Error::data("Invalid Decimal schema: scale parameter not found."))?;
            Ok(Decimal::from_bytes(&bytes(scanner)?, scale).into())
        }
        other => Err(Error::data(format!(
            "Invalid type for Decimal, underlying representation should be numeric or bytes but was {}",
            other.name()
        ))),
    }
}
