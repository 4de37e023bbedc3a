//! Values to JSON text, as Jackson writes it: no white space, text escaped only where it must be.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kanat_json::write_plain_string;

use super::{DecimalFormat, JsonConverterOptions};
use crate::data::{Decimal, Logical, Map, Schema, Struct, Type, Value, double_to_string, float_to_string};
use crate::error::{Error, Result};

/// Appends a value. Without a schema its own type counts.
pub(super) fn value(
    schema: Option<&Schema>,
    value: &Value,
    options: &JsonConverterOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    if value.is_null() {
        return null(schema, options, out);
    }
    if let Some((schema, logical)) = schema.and_then(|schema| Logical::of(schema).map(|logical| (schema, logical))) {
        return logical_value(schema, logical, value, options, out);
    }
    if let Some(schema) = schema
        && value.inferred_type() != Some(schema.ty())
    {
        let (ty, class) = (schema.ty(), value.java_class());
        return Err(Error::data(format!("Invalid type for {ty}: class {class}")));
    }
    match value {
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int8(value) => integer(*value, out),
        Value::Int16(value) => integer(*value, out),
        Value::Int32(value) => integer(*value, out),
        Value::Int64(value) => integer(*value, out),
        Value::Float32(value) => float(value.is_finite(), &float_to_string(*value), out),
        Value::Float64(value) => float(value.is_finite(), &double_to_string(*value), out),
        Value::String(text) => write_plain_string(text.as_bytes(), out),
        Value::Bytes(bytes) => base64_string(bytes, out),
        Value::Array(items) => array(schema, items, options, out)?,
        Value::Map(map) => map_value(schema, map, options, out)?,
        Value::Struct(value) => structure(schema, value, options, out)?,
        Value::Null | Value::Decimal(_) | Value::Instant(_) => {
            let class = value.java_class();
            return Err(Error::data(format!("Java class class {class} does not have corresponding schema type.")));
        }
    }
    Ok(())
}

fn null(schema: Option<&Schema>, options: &JsonConverterOptions, out: &mut Vec<u8>) -> Result<()> {
    let default = schema.and_then(Schema::default_value).filter(|_| options.replace_null_with_default);
    if let Some(default) = default {
        return value(schema, default, options, out);
    }
    if schema.is_some_and(|schema| !schema.is_optional()) {
        let message = "Conversion error: null value for field that is required and has no default value";
        return Err(Error::data(message));
    }
    out.extend_from_slice(b"null");
    Ok(())
}

fn integer<I: itoa::Integer>(value: I, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// NaN and the infinities are no JSON numbers and become text.
fn float(finite: bool, text: &str, out: &mut Vec<u8>) {
    if finite {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_plain_string(text.as_bytes(), out);
    }
}

fn base64_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what the padded form needs.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

fn array(schema: Option<&Schema>, items: &[Value], options: &JsonConverterOptions, out: &mut Vec<u8>) -> Result<()> {
    let item_schema = schema.and_then(Schema::value_schema);
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        value(item_schema, item, options, out)?;
    }
    out.push(b']');
    Ok(())
}

/// A map with string keys is an object, any other a list of pairs.
fn map_value(schema: Option<&Schema>, map: &Map, options: &JsonConverterOptions, out: &mut Vec<u8>) -> Result<()> {
    let key_schema = schema.and_then(Schema::key_schema);
    let value_schema = schema.and_then(Schema::value_schema);
    let as_object = match key_schema {
        Some(keys) => keys.ty() == Type::String,
        None => map.iter().all(|(key, _)| matches!(key, Value::String(_))),
    };
    out.push(if as_object { b'{' } else { b'[' });
    for (index, (key, item)) in map.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if as_object {
            let key =
                key.as_str().ok_or_else(|| Error::data(format!("Invalid type for STRING: {}", key.java_class())))?;
            write_plain_string(key.as_bytes(), out);
            out.push(b':');
            value(value_schema, item, options, out)?;
        } else {
            out.push(b'[');
            value(key_schema, key, options, out)?;
            out.push(b',');
            value(value_schema, item, options, out)?;
            out.push(b']');
        }
    }
    out.push(if as_object { b'}' } else { b']' });
    Ok(())
}

fn structure(
    schema: Option<&Schema>,
    structure: &Struct,
    options: &JsonConverterOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    if schema.is_some_and(|schema| schema != structure.schema()) {
        return Err(Error::data("Mismatching schema."));
    }
    out.push(b'{');
    for (field, item) in structure.schema().fields().iter().zip(structure.values()) {
        if field.index > 0 {
            out.push(b',');
        }
        write_plain_string(field.name.as_bytes(), out);
        out.push(b':');
        value(Some(&field.schema), item, options, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn logical_value(
    schema: &Schema,
    logical: Logical,
    value: &Value,
    options: &JsonConverterOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    match (logical, value) {
        (Logical::Decimal, Value::Decimal(value)) => return decimal(schema, value, options, out),
        (Logical::Decimal, other) => {
            let class = other.java_class();
            return Err(Error::data(format!("Invalid type for Decimal, expected BigDecimal but was class {class}")));
        }
        (Logical::Date, Value::Instant(ms)) => {
            if ms.rem_euclid(Logical::DAY_MS) != 0 {
                let message = "Kafka Connect Date type should not have any time fields set to non-zero values.";
                return Err(Error::data(message));
            }
            integer(ms.div_euclid(Logical::DAY_MS), out);
        }
        (Logical::Time, Value::Instant(ms)) => {
            if !(0..Logical::DAY_MS).contains(ms) {
                let message = "Kafka Connect Time type should not have any date fields set to non-zero values.";
                return Err(Error::data(message));
            }
            integer(*ms, out);
        }
        (Logical::Timestamp, Value::Instant(ms)) => integer(*ms, out),
        (logical, other) => {
            let class = other.java_class();
            return Err(Error::data(format!("Invalid type for {logical:?}, expected Date but was class {class}")));
        }
    }
    Ok(())
}

fn decimal(schema: &Schema, value: &Decimal, options: &JsonConverterOptions, out: &mut Vec<u8>) -> Result<()> {
    match options.decimal_format {
        DecimalFormat::Numeric => out.extend_from_slice(value.to_string().as_bytes()),
        DecimalFormat::Base64 => {
            let scale = Logical::scale(schema);
            if scale != Some(value.scale) {
                let wanted = scale.map_or_else(|| "no scale".to_owned(), |scale| scale.to_string());
                return Err(Error::data(format!(
                    "Decimal value has mismatching scale for given Decimal schema. Schema has scale {wanted}, value \
                     has scale {}.",
                    value.scale
                )));
            }
            base64_string(&value.to_bytes(), out);
        }
    }
    Ok(())
}
