//! `Flatten`: fields of nested structs and maps become fields of the outermost one.

use super::options::{self, Options};
use super::part::{Part, SchemaCache, copy_basics, require_map, require_struct};
use super::{Parts, Transformation, Verdict};
use crate::config::{ConfigDef, Importance, Properties};
use crate::data::{Map, Schema, SchemaBuilder, Struct, Type, Value};
use crate::error::{Error, Result};
use crate::record::Record;

const PURPOSE: &str = "flattening";

/// See the module.
#[derive(Debug)]
pub(super) struct Flatten {
    part: Part,
    delimiter: String,
    schemas: SchemaCache,
}

impl Flatten {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "What stands between the names of the outer and the inner field.";
        ConfigDef::new().define(options::text("delimiter", Some("."), Importance::Medium, documentation))
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<Flatten> {
        let options = Options::parse(&Flatten::config_def(), config)?;
        let delimiter = options.text("delimiter").unwrap_or(".").to_owned();
        Ok(Flatten { part, delimiter, schemas: SchemaCache::default() })
    }
}

impl Transformation for Flatten {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let delimiter = &self.delimiter;
        let part = self.part.of_mut(record);
        if part.value.is_null() {
            return Ok(Verdict::Keep);
        }
        let value = std::mem::take(&mut part.value);
        let Some(schema) = &part.schema else {
            let mut flat = Map::new();
            flatten_map(require_map(value, PURPOSE)?, "", delimiter, &mut flat)?;
            part.value = flat.into();
            return Ok(Verdict::Keep);
        };
        let fields = require_struct(value, PURPOSE)?;
        let updated = self.schemas.get(schema, |schema| {
            let default = schema.default_value();
            let builder = copy_basics(schema, Schema::structure());
            flatten_schema(schema, "", delimiter, builder, schema.is_optional(), default)?.build()
        })?;
        let mut values = Vec::with_capacity(updated.fields().len());
        flatten_values(fields, &mut values);
        part.value = Struct::from_values(updated.clone(), values)?.into();
        part.schema = Some(updated);
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}

fn full_name(prefix: &str, delimiter: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}{delimiter}{name}") }
}

fn flatten_map(map: Map, prefix: &str, delimiter: &str, flat: &mut Map) -> Result<()> {
    for (key, value) in map {
        let name = full_name(prefix, delimiter, key.as_str().unwrap_or(&key.to_string()));
        match value {
            Value::Map(inner) => flatten_map(inner, &name, delimiter, flat)?,
            Value::Struct(_) => {
                return Err(Error::data(format!(
                    "Flatten transformation does not support STRUCT for record without schemas (for field {name})."
                )));
            }
            Value::Decimal(_) | Value::Instant(_) => {
                let class = value.java_class();
                return Err(Error::data(format!(
                    "Flatten transformation was passed a value of type class {class} which is not supported by \
                     Connect's data API"
                )));
            }
            other => drop(flat.insert(name.into(), other)),
        }
    }
    Ok(())
}

fn flatten_schema(
    schema: &Schema,
    prefix: &str,
    delimiter: &str,
    mut builder: SchemaBuilder,
    optional: bool,
    default: Option<&Value>,
) -> Result<SchemaBuilder> {
    for field in schema.fields() {
        let name = full_name(prefix, delimiter, &field.name);
        let optional = optional || field.schema.is_optional();
        let of_parent = match default {
            Some(Value::Struct(parent)) => Some(parent.get(&field.name)?).filter(|value| !value.is_null()),
            _ => None,
        };
        let default = field.schema.default_value().or(of_parent);
        builder = match field.schema.ty() {
            Type::Struct => flatten_schema(&field.schema, &name, delimiter, builder, optional, default)?,
            Type::Map => {
                return Err(Error::data(format!(
                    "Flatten transformation does not support MAP for record with schemas (for field {name})."
                )));
            }
            ty => {
                let bare = match field.schema.value_schema() {
                    Some(items) => Schema::array(items.clone()),
                    None => Schema::build(ty),
                };
                let mut flat = copy_basics(&field.schema, bare).set_optional(optional);
                if let Some(default) = default {
                    flat = flat.default_value(default.clone());
                }
                builder.field(&name, flat.build()?)
            }
        };
    }
    Ok(builder)
}

/// Values in the order of the flat schema; a struct that is null leaves as many nulls as it has fields.
fn flatten_values(fields: Struct, values: &mut Vec<Value>) {
    let (schema, inner) = fields.into_parts();
    for (field, value) in schema.fields().iter().zip(inner) {
        let value = match field.schema.default_value() {
            Some(default) if value.is_null() => default.clone(),
            _ => value,
        };
        match value {
            Value::Struct(nested) => flatten_values(*nested, values),
            Value::Null if field.schema.ty() == Type::Struct => flatten_nulls(&field.schema, values),
            value => values.push(value),
        }
    }
}

fn flatten_nulls(schema: &Schema, values: &mut Vec<Value>) {
    for field in schema.fields() {
        match field.schema.ty() {
            Type::Struct => flatten_nulls(&field.schema, values),
            _ => values.push(Value::Null),
        }
    }
}
