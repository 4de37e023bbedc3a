//! JSON text to a struct, for payloads that are stored as text.

use bytes::Bytes;

use crate::converter::{Converter, JsonConverter, JsonConverterOptions, SchemaAndValue};
use crate::data::{Map, Schema, Struct, Type, Value};
use crate::error::Result;

/// Reads a text that is a JSON object or array, and makes up its schema: integers are `int32` where they fit, every
/// field is optional, and members that are null, or arrays without a type, are left out. `None` for any other text.
pub(super) fn expand(text: &str) -> Result<Option<SchemaAndValue>> {
    if !text.trim_start().starts_with(['{', '[']) {
        return Ok(None);
    }
    let converter = JsonConverter::new(JsonConverterOptions { schemas_enable: false, ..Default::default() });
    let value = converter.read("", Some(&Bytes::copy_from_slice(text.as_bytes())))?.value;
    let Some(schema) = schema_of(&value)? else { return Ok(None) };
    let value = shape(&schema, value)?;
    Ok(Some(SchemaAndValue { schema: Some(schema), value }))
}

fn schema_of(value: &Value) -> Result<Option<Schema>> {
    Ok(match value {
        Value::Int64(number) if i32::try_from(*number).is_ok() => Some(Schema::optional_of(Type::Int32)),
        Value::Array(items) => {
            let mut items = items.iter().filter(|item| !item.is_null());
            let Some(first) = items.next().map(schema_of).transpose()?.flatten() else { return Ok(None) };
            let mut common = first;
            for item in items {
                match schema_of(item)? {
                    Some(schema) if schema == common => {}
                    Some(schema) => match wider(&common, &schema)? {
                        Some(both) => common = both,
                        None => return Ok(None),
                    },
                    None => return Ok(None),
                }
            }
            Some(Schema::array(common).optional().build()?)
        }
        Value::Map(map) => {
            let mut builder = Schema::structure().optional();
            for (name, member) in map.iter() {
                if let (Some(name), Some(schema)) = (name.as_str(), schema_of(member)?) {
                    builder = builder.field(name, schema);
                }
            }
            Some(builder.build()?)
        }
        other => other.inferred_schema(),
    })
}

/// A schema for values of both, if there is one.
fn wider(left: &Schema, right: &Schema) -> Result<Option<Schema>> {
    let number = |ty| [Type::Int32, Type::Int64, Type::Float64].iter().position(|known| *known == ty);
    if let (Some(left_width), Some(right_width)) = (number(left.ty()), number(right.ty())) {
        return Ok(Some(if left_width > right_width { left } else { right }.clone()));
    }
    if left.ty() != Type::Struct || right.ty() != Type::Struct {
        return Ok((left == right).then(|| left.clone()));
    }
    let mut builder = Schema::structure().optional();
    for field in left.fields() {
        let schema = match right.field(&field.name) {
            Some(other) => wider(&field.schema, &other.schema)?,
            None => Some(field.schema.clone()),
        };
        let Some(schema) = schema else { return Ok(None) };
        builder = builder.field(&field.name, schema);
    }
    for field in right.fields().iter().filter(|field| left.field(&field.name).is_none()) {
        builder = builder.field(&field.name, field.schema.clone());
    }
    builder.build().map(Some)
}

/// A value in the form of its schema.
fn shape(schema: &Schema, value: Value) -> Result<Value> {
    Ok(match (schema.ty(), value) {
        (Type::Int32, Value::Int64(number)) => i32::try_from(number).map_or(Value::Null, Value::Int32),
        // Up to 53 bits are exact, as in every reader of JSON numbers that takes them for doubles.
        (Type::Float64, Value::Int64(number)) => Value::Float64(number as f64),
        (Type::Array, Value::Array(items)) => {
            let Some(item_schema) = schema.value_schema() else { return Ok(Value::Null) };
            Value::Array(items.into_iter().map(|item| shape(item_schema, item)).collect::<Result<_>>()?)
        }
        (Type::Struct, Value::Map(map)) => shape_struct(schema, &map)?,
        (_, value) => value,
    })
}

fn shape_struct(schema: &Schema, map: &Map) -> Result<Value> {
    let field = |field: &crate::data::Field| match map.get_str(&field.name) {
        Some(value) => shape(&field.schema, value.clone()),
        None => Ok(Value::Null),
    };
    let values = schema.fields().iter().map(field).collect::<Result<_>>()?;
    Ok(Struct::from_values(schema.clone(), values)?.into())
}
