//! The one schema of several values.

use crate::data::{Schema, Type, Value};

/// A schema that every one of these fits after widening numbers; `None` when there is no such, or none at all. Nulls
/// have no schema and fit any.
pub(super) fn common<'a>(schemas: impl Iterator<Item = Option<&'a Schema>>) -> Option<Schema> {
    let mut found: Option<Schema> = None;
    for schema in schemas.flatten() {
        found = Some(match found {
            None => schema.clone(),
            Some(known) => wider(&known, schema)?,
        });
    }
    found
}

/// Numbers from narrow to wide.
fn width(ty: Type) -> Option<usize> {
    [Type::Int8, Type::Int16, Type::Int32, Type::Int64, Type::Float32, Type::Float64].iter().position(|of| *of == ty)
}

fn wider(left: &Schema, right: &Schema) -> Option<Schema> {
    match (width(left.ty()), width(right.ty())) {
        // A name gives a number another meaning: a date is no wider integer.
        (Some(_), Some(_)) if left.name() != right.name() => None,
        (Some(left_width), Some(right_width)) => Some(if left_width > right_width { left } else { right }.clone()),
        // Lists of different things are taken for lists of the last, as in Java.
        _ => (left.ty() == right.ty()).then(|| right.clone()),
    }
}

/// A number as the wider type of a schema; everything else as it is.
pub(super) fn align(schema: Option<&Schema>, value: Value) -> Value {
    let Some(schema) = schema.filter(|schema| schema.name().is_none()) else { return value };
    let widened = match (schema.ty(), &value) {
        // Integers below become floats as Java casts them, to the nearest.
        (Type::Float64, Value::Float32(single)) => Some(Value::Float64(f64::from(*single))),
        (Type::Float64, integer) => integer.as_i64().map(|integer| Value::Float64(integer as f64)),
        (Type::Float32, integer) => integer.as_i64().map(|integer| Value::Float32(integer as f32)),
        (Type::Int64, integer) => integer.as_i64().map(Value::Int64),
        (Type::Int32, integer) => integer.as_i64().and_then(|integer| i32::try_from(integer).ok()).map(Value::Int32),
        (Type::Int16, integer) => integer.as_i64().and_then(|integer| i16::try_from(integer).ok()).map(Value::Int16),
        _ => None,
    };
    widened.unwrap_or(value)
}
