//! JSON text to a struct, for payloads that are stored as text.

use bytes::Bytes;

use super::super::part::copy_basics;
use crate::converter::{Converter, JsonConverter, JsonConverterOptions, SchemaAndValue};
use crate::data::{Field, Map, Schema, Struct, Type, Value};
use crate::error::Result;

/// Reads a text that is a JSON object or array, and makes up its schema: integers are `int32` where they fit, structs are
/// named by their path, every field is optional, and members that are null, or empty lists, are left out. `None` for any
/// other text, and for a list of different types.
pub(super) fn expand(text: &str) -> Result<Option<SchemaAndValue>> {
    if !text.trim_start().starts_with(['{', '[']) {
        return Ok(None);
    }
    let converter = JsonConverter::new(JsonConverterOptions { schemas_enable: false, ..Default::default() });
    let Ok(read) = converter.read("", Some(&Bytes::copy_from_slice(text.as_bytes()))) else { return Ok(None) };
    match schema_of("payload", &read.value)? {
        Inferred::Schema(schema) => {
            let value = shape(&schema, read.value)?;
            Ok(Some(SchemaAndValue { schema: Some(schema), value }))
        }
        Inferred::Nothing | Inferred::Mixed => Ok(None),
    }
}

/// What can be said of a value.
enum Inferred {
    Schema(Schema),
    /// It has no type: null, or an empty list.
    Nothing,
    /// It holds a list of different types.
    Mixed,
}

fn schema_of(path: &str, value: &Value) -> Result<Inferred> {
    let schema = match value {
        Value::Int64(number) if i32::try_from(*number).is_ok() => Some(Schema::optional_of(Type::Int32)),
        Value::Array(items) => return array_schema(path, items),
        Value::Map(map) => {
            let mut builder = Schema::structure().name(path).optional();
            for (name, member) in map.iter() {
                let Some(name) = name.as_str() else { continue };
                match schema_of(&format!("{path}.{name}"), member)? {
                    Inferred::Schema(schema) => builder = builder.field(name, schema),
                    Inferred::Nothing => {}
                    Inferred::Mixed => return Ok(Inferred::Mixed),
                }
            }
            Some(builder.build()?)
        }
        other => other.inferred_schema(),
    };
    Ok(schema.map_or(Inferred::Nothing, Inferred::Schema))
}

fn array_schema(path: &str, items: &[Value]) -> Result<Inferred> {
    let mut common: Option<Schema> = None;
    for item in items {
        let schema = match schema_of(path, item)? {
            Inferred::Schema(schema) if schema.ty() == Type::Struct => {
                schema.to_builder().set_optional(false).build()?
            }
            Inferred::Schema(schema) => schema,
            Inferred::Nothing | Inferred::Mixed => return Ok(Inferred::Mixed),
        };
        common = match common {
            None => Some(schema),
            Some(known) => match union(&known, &schema)? {
                Some(both) => Some(both),
                None => return Ok(Inferred::Mixed),
            },
        };
    }
    let Some(common) = common else { return Ok(Inferred::Nothing) };
    Ok(Inferred::Schema(Schema::array(common).optional().build()?))
}

/// The schema of both, if there is one: structs may have different fields.
fn union(left: &Schema, right: &Schema) -> Result<Option<Schema>> {
    if left.ty() != Type::Struct || right.ty() != Type::Struct {
        return Ok((left == right).then(|| left.clone()));
    }
    let mut builder = copy_basics(left, Schema::structure()).set_optional(left.is_optional());
    for field in left.fields() {
        let schema = match right.field(&field.name) {
            Some(other) => union(&field.schema, &other.schema)?,
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
        (Type::Array, Value::Array(items)) => {
            let Some(item_schema) = schema.value_schema() else { return Ok(Value::Null) };
            Value::Array(items.into_iter().map(|item| shape(item_schema, item)).collect::<Result<_>>()?)
        }
        (Type::Struct, Value::Map(map)) => shape_struct(schema, &map)?,
        (_, value) => value,
    })
}

fn shape_struct(schema: &Schema, map: &Map) -> Result<Value> {
    let field = |field: &Field| match map.get_str(&field.name) {
        Some(value) => shape(&field.schema, value.clone()),
        None => Ok(Value::Null),
    };
    let values = schema.fields().iter().map(field).collect::<Result<_>>()?;
    Ok(Struct::from_values(schema.clone(), values)?.into())
}
