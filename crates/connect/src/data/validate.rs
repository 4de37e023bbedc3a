//! Whether a value fits a schema, with the messages of Connect's `ConnectSchema.validateValue`.

use super::{Logical, Schema, Value};
use crate::error::{Error, Result};

/// Checks a value against a schema, whatever is inside it too. `field` is the field's name for the message.
///
/// # Errors
/// [`Error::Data`] names the field, the type wanted and the Java class of what is there.
pub fn validate(field: Option<&str>, schema: &Schema, value: &Value) -> Result<()> {
    if value.is_null() {
        if schema.is_optional() {
            return Ok(());
        }
        let place = field.map_or_else(|| "null".to_owned(), |name| format!("\"{name}\""));
        let ty = schema.ty();
        return Err(Error::data(format!("Invalid value: null used for required field: {place}, schema type: {ty}")));
    }
    if !fits(schema, value) {
        let name = schema.name().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let place = field.map(|name| format!(" for field: \"{name}\"")).unwrap_or_default();
        let (ty, class) = (schema.ty(), value.java_class());
        return Err(Error::data(format!("Invalid Java object for schema{name} with type {ty}: class {class}{place}")));
    }
    match (value, schema.value_schema(), schema.key_schema()) {
        (Value::Array(items), Some(item_schema), _) => {
            items.iter().try_for_each(|item| validate(None, item_schema, item))
        }
        (Value::Map(map), Some(value_schema), Some(key_schema)) => map.iter().try_for_each(|(key, value)| {
            validate(None, key_schema, key)?;
            validate(None, value_schema, value)
        }),
        (Value::Struct(inner), ..) if inner.schema() != schema => Err(Error::data(format!(
            "Struct schemas do not match: {} is not {}",
            describe(inner.schema()),
            describe(schema)
        ))),
        _ => Ok(()),
    }
}

fn describe(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|field| &*field.name).collect();
    format!("{schema}({})", names.join(", "))
}

/// Whether the outermost type is right. A logical type takes its own value only.
fn fits(schema: &Schema, value: &Value) -> bool {
    match Logical::of(schema) {
        Some(Logical::Decimal) => return matches!(value, Value::Decimal(_)),
        Some(Logical::Date | Logical::Time | Logical::Timestamp) => return matches!(value, Value::Instant(_)),
        None => {}
    }
    value.inferred_type() == Some(schema.ty())
}
