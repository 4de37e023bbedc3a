//! Text to values.

use std::sync::LazyLock;

use num_bigint::Sign;

use super::merge::{align, common};
use super::tokens::{Tokens, is_blank, trim};
use crate::converter::SchemaAndValue;
use crate::data::{Decimal, Map, Schema, Type, Value, date_schema, decimal_schema, time_schema, timestamp_schema};
use crate::error::{Error, Result};
use crate::java::DateFormat;

/// How deep lists and maps may nest. It bounds the stack.
const DEPTH_MAX: usize = 100;

/// Digits that an integer of 64 bits and a bit more can have.
const LONG_DIGITS_MAX: i64 = 20;

/// Reads a text.
///
/// # Errors
/// When it nests too deep. Everything else is at least a string.
pub(crate) fn parse(text: &str) -> Result<SchemaAndValue> {
    if text.is_empty() {
        return Ok(SchemaAndValue::new(Schema::of(Type::String), ""));
    }
    let mut depth = 0;
    let mut nesting = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => nesting += 1,
            b']' | b'}' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        depth = depth.max(nesting);
    }
    if depth > DEPTH_MAX {
        return Err(Error::data(format!("the header nests deeper than {DEPTH_MAX} levels")));
    }
    value(&mut Tokens::new(text), false)
}

fn value(tokens: &mut Tokens<'_>, embedded: bool) -> Result<SchemaAndValue> {
    if !tokens.has_next() {
        return Ok(SchemaAndValue::default());
    }
    if embedded && tokens.consume("\"") {
        return Ok(quoted(tokens));
    }
    if literal(tokens, embedded, "null") {
        return Ok(SchemaAndValue::default());
    }
    for truth in [true, false] {
        if literal(tokens, embedded, if truth { "true" } else { "false" }) {
            return Ok(SchemaAndValue::new(Schema::of(Type::Boolean), truth));
        }
    }
    let start = tokens.position();
    let collection = if tokens.consume("[") {
        Some(array(tokens))
    } else if tokens.consume("{") {
        Some(map(tokens))
    } else {
        None
    };
    match collection {
        Some(Ok(collection)) => return Ok(collection),
        Some(Err(_)) => tokens.rewind(start),
        None => {}
    }
    let token = tokens.next();
    if is_blank(token) {
        return Ok(SchemaAndValue::new(Schema::of(Type::String), token));
    }
    scalar(tokens, embedded, trim(token))
}

/// A word that is the whole of the text, or one element of it.
fn literal(tokens: &mut Tokens<'_>, embedded: bool, word: &str) -> bool {
    let start = tokens.position();
    if tokens.consume(word) && (embedded || !tokens.has_next()) {
        return true;
    }
    tokens.rewind(start);
    false
}

fn scalar(tokens: &mut Tokens<'_>, embedded: bool, token: &str) -> Result<SchemaAndValue> {
    let digit = token.starts_with(|first: char| first.is_ascii_digit());
    if digit {
        // Colons of a time have cut it into five tokens.
        let start = tokens.position();
        let whole = tokens.take(4).and_then(|rest| temporal(&format!("{token}{rest}")));
        if let Some(time) = whole {
            return Ok(time);
        }
        tokens.rewind(start);
        if let Some(time) = temporal(token) {
            return Ok(time);
        }
    }
    if (digit || token.starts_with(['+', '-']))
        && let Some(number) = Decimal::parse(token)
    {
        return number_value(number);
    }
    if embedded {
        return Err(Error::data("Failed to parse embedded value"));
    }
    Ok(SchemaAndValue::new(Schema::of(Type::String), tokens.text()))
}

fn quoted(tokens: &mut Tokens<'_>) -> SchemaAndValue {
    let mut text = String::new();
    while tokens.has_next() && !tokens.consume("\"") {
        text.push_str(tokens.next());
    }
    temporal(&text).unwrap_or_else(|| SchemaAndValue::new(Schema::of(Type::String), text))
}

fn array(tokens: &mut Tokens<'_>) -> Result<SchemaAndValue> {
    let mut elements = Vec::new();
    while tokens.has_next() {
        if tokens.consume("]") {
            return list_of(elements);
        }
        if tokens.consume(",") {
            return Err(Error::data(format!("Unable to parse an empty array element: {}", tokens.text())));
        }
        elements.push(value(tokens, true)?);
        let start = tokens.position();
        if tokens.consume("]") {
            tokens.rewind(start);
        } else if !tokens.consume(",") {
            return Err(Error::data("Array elements missing ',' delimiter"));
        }
    }
    Err(Error::data(format!("Array is missing terminating ']': {}", tokens.text())))
}

/// Elements without a type in common stay without schema.
fn list_of(elements: Vec<SchemaAndValue>) -> Result<SchemaAndValue> {
    let schema = common(elements.iter().map(|element| element.schema.as_ref()));
    no_nulls(schema.as_ref(), elements.iter())?;
    let values = elements.into_iter().map(|element| align(schema.as_ref(), element.value)).collect();
    let schema = schema.map(|schema| Schema::array(schema).build()).transpose()?;
    Ok(SchemaAndValue { schema, value: Value::Array(values) })
}

fn map(tokens: &mut Tokens<'_>) -> Result<SchemaAndValue> {
    let mut entries: Vec<(SchemaAndValue, SchemaAndValue)> = Vec::new();
    while tokens.has_next() {
        if tokens.consume("}") {
            return map_of(entries);
        }
        if tokens.consume(",") {
            return Err(Error::data(format!("Unable to parse a map entry with no key or value: {}", tokens.text())));
        }
        let key = value(tokens, true)?;
        if key.value.is_null() {
            return Err(Error::data(format!("Map entry may not have a null key: {}", tokens.text())));
        }
        if !tokens.consume(":") {
            return Err(Error::data(format!("Map entry is missing ':': {}", tokens.text())));
        }
        let value = value(tokens, true)?;
        tokens.consume(",");
        entries.push((key, value));
    }
    let what = if tokens.previous() == "," { "element after ','" } else { "terminating '}'" };
    Err(Error::data(format!("Map is missing {what}: {}", tokens.text())))
}

/// With a type in common there are no nulls, since that type does not allow them.
fn no_nulls<'a>(schema: Option<&Schema>, mut values: impl Iterator<Item = &'a SchemaAndValue>) -> Result<()> {
    if schema.is_some() && values.any(|value| value.value.is_null()) {
        return Err(Error::data("Unable to convert a null value to a schema that requires a value"));
    }
    Ok(())
}

fn map_of(entries: Vec<(SchemaAndValue, SchemaAndValue)>) -> Result<SchemaAndValue> {
    let keys = common(entries.iter().map(|(key, _)| key.schema.as_ref()));
    let values = common(entries.iter().map(|(_, value)| value.schema.as_ref()));
    no_nulls(values.as_ref(), entries.iter().map(|(_, value)| value))?;
    let aligned = |(key, value): (SchemaAndValue, SchemaAndValue)| {
        (align(keys.as_ref(), key.value), align(values.as_ref().filter(|_| keys.is_some()), value.value))
    };
    let map: Map = entries.into_iter().map(aligned).collect();
    let schema = keys.zip(values).map(|(keys, values)| Schema::map(keys, values).build()).transpose()?;
    Ok(SchemaAndValue { schema, value: Value::Map(map) })
}

fn temporal(text: &str) -> Option<SchemaAndValue> {
    static FORMATS: LazyLock<[Option<DateFormat>; 3]> = LazyLock::new(|| {
        ["HH:mm:ss.SSS'Z'", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "yyyy-MM-dd"].map(|pattern| DateFormat::new(pattern).ok())
    });
    let text = text.replace("\\:", ":");
    // Java measures characters of UTF-16; text with any other than ASCII is no time.
    let (format, schema) = match text.len() {
        13 => (&FORMATS[0], time_schema()),
        24 => (&FORMATS[1], timestamp_schema()),
        10 => (&FORMATS[2], date_schema()),
        _ => return None,
    };
    let ms = format.as_ref()?.parse(&text, 0)?;
    Some(SchemaAndValue::new(schema.build().ok()?, Value::Instant(ms)))
}

fn number_value(number: Decimal) -> Result<SchemaAndValue> {
    if let Some(integer) = whole(&number) {
        let value = if let Ok(small) = i8::try_from(integer) {
            Value::Int8(small)
        } else if let Ok(small) = i16::try_from(integer) {
            Value::Int16(small)
        } else if let Ok(small) = i32::try_from(integer) {
            Value::Int32(small)
        } else {
            Value::Int64(integer)
        };
        let ty = value.inferred_type().unwrap_or(Type::Int64);
        return Ok(SchemaAndValue::new(Schema::of(ty), value));
    }
    if number.scale != 0 {
        let scientific = format!("{}e{}", number.unscaled, -i64::from(number.scale));
        if let Some(single) = scientific.parse::<f32>().ok().filter(|single| single.is_finite()) {
            return Ok(SchemaAndValue::new(Schema::of(Type::Float32), Value::Float32(single)));
        }
        if let Some(double) = scientific.parse::<f64>().ok().filter(|double| double.is_finite()) {
            return Ok(SchemaAndValue::new(Schema::of(Type::Float64), Value::Float64(double)));
        }
    }
    Ok(SchemaAndValue::new(decimal_schema(number.scale).build()?, number))
}

/// The integer that a number is, if it has no fraction and fits 64 bits.
fn whole(number: &Decimal) -> Option<i64> {
    if number.unscaled.sign() == Sign::NoSign {
        return Some(0);
    }
    let digits = number.unscaled.to_string();
    let count = i64::try_from(digits.trim_start_matches('-').len()).ok()?;
    let before_point = count - i64::from(number.scale);
    if !(1..=LONG_DIGITS_MAX).contains(&before_point) {
        return None;
    }
    match usize::try_from(number.scale) {
        Ok(scale) => {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            fraction.bytes().all(|digit| digit == b'0').then(|| whole.parse().ok())?
        }
        Err(_) => {
            let zeros = usize::try_from(-i64::from(number.scale)).ok()?;
            format!("{digits}{}", "0".repeat(zeros)).parse().ok()
        }
    }
}
