//! `Cast`: fields, or the whole of a key or value, to another primitive type.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::options::{self, Options, invalid_mapping, split};
use super::part::{Part, SchemaCache, copy_basics, or_default, require_map, require_struct};
use super::{Parts, Transformation, Verdict};
use crate::config::{ConfigDef, ConfigType, ConfigValue, Importance, Properties, Validator};
use crate::converter::write_header;
use crate::data::{Decimal, Logical, Schema, SchemaBuilder, Struct, Type, Value};
use crate::error::{Error, Result};
use crate::record::Record;

const PURPOSE: &str = "cast types";

/// Types a value can be cast to, in the order in which messages list them.
const OUTPUTS: [Type; 8] =
    [Type::Int8, Type::Int16, Type::Int32, Type::Int64, Type::Float32, Type::Float64, Type::Boolean, Type::String];

/// What `spec` says.
#[derive(Debug, Clone, PartialEq)]
enum Spec {
    /// The whole of the key or value.
    Whole(Type),
    /// Fields by name.
    Fields(Vec<(String, Type)>),
}

impl Spec {
    fn parse(entries: &[String]) -> Result<Spec> {
        let mut fields = Vec::new();
        let mut whole = None;
        for entry in entries {
            match split(entry).as_slice() {
                [ty] => whole = Some(output_type(ty.trim())?),
                [field, ty] => fields.push((field.trim().to_owned(), output_type(ty.trim())?)),
                _ => return Err(invalid_mapping(entries, entry)),
            }
        }
        match whole {
            Some(_) if entries.len() > 1 => Err(Error::Config(
                "Cast transformations that specify a type to cast the entire value to may only specify a single cast \
                 in their spec"
                    .to_owned(),
            )),
            Some(ty) => Ok(Spec::Whole(ty)),
            None => Ok(Spec::Fields(fields)),
        }
    }
}

fn output_type(name: &str) -> Result<Type> {
    let upper = name.to_uppercase();
    let all = OUTPUTS.into_iter().chain([Type::Bytes, Type::Array, Type::Map, Type::Struct]);
    let Some(ty) = all.into_iter().find(|ty| ty.java_name() == upper) else {
        // A Java worker swaps the name of the key and the reason here; people search for its text.
        return Err(Error::Config(format!(
            "Invalid value java.lang.IllegalArgumentException: No enum constant \
             org.apache.kafka.connect.data.Schema.Type.{upper} for configuration Invalid type found in casting spec: \
             {name}"
        )));
    };
    if OUTPUTS.contains(&ty) {
        return Ok(ty);
    }
    Err(Error::Config(unsupported("to", ty, &OUTPUTS)))
}

/// What a Java worker says of a type.
fn unsupported(direction: &str, ty: Type, supported: &[Type]) -> String {
    let supported: Vec<&str> = supported.iter().map(|ty| ty.java_name()).collect();
    let supported = supported.join(", ");
    format!("Cast transformation does not support casting {direction} {ty}; supported types are [{supported}]")
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cast {
    part: Part,
    spec: Spec,
    replace_null: bool,
    schemas: SchemaCache<(Schema, Vec<Option<Type>>)>,
}

impl Cast {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "What to cast to what: field1:type,field2:type, or one type for the whole. Types are \
             int8, int16, int32, int64, float32, float64, boolean and string; bytes become base64 text.";
        let spec = options::required("spec", ConfigType::List, Importance::High, documentation);
        options::with_replace_null(ConfigDef::new().define(spec.validated(valid_spec())))
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<Cast> {
        let options = Options::parse(&Cast::config_def(), config)?;
        let spec = Spec::parse(options.list("spec"))?;
        Ok(Cast { part, spec, replace_null: options.replace_null(), schemas: SchemaCache::default() })
    }
}

fn valid_spec() -> Arc<dyn Validator> {
    Arc::new(|_name: &str, value: &ConfigValue| match value.as_list() {
        Some([]) | None => Err(Error::Config("Must specify at least one field to cast.".to_owned())),
        Some(entries) => Spec::parse(entries).map(|_| ()),
    })
}

impl Transformation for Cast {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let part = self.part.of_mut(record);
        if part.value.is_null() {
            return Ok(Verdict::Keep);
        }
        let value = std::mem::take(&mut part.value);
        match (&self.spec, &part.schema) {
            (Spec::Whole(ty), None) => part.value = cast(None, value, *ty)?,
            (Spec::Whole(ty), Some(schema)) => {
                let ty = *ty;
                let (to, _) = self.schemas.get(schema, |schema| Ok((whole_schema(schema, ty)?, Vec::new())))?;
                part.value = cast(Some(schema), value, ty)?;
                part.schema = Some(to);
            }
            (Spec::Fields(fields), None) => {
                let mut map = require_map(value, PURPOSE)?;
                for (name, ty) in fields {
                    // A field that is not there appears as null, as in Java.
                    let value = map.get_str(name).cloned().unwrap_or_default();
                    map.insert(Value::from(name.as_str()), cast(None, value, *ty)?);
                }
                part.value = map.into();
            }
            (Spec::Fields(fields), Some(schema)) => {
                let (to, types) = self.schemas.get(schema, |schema| struct_schema(schema, fields))?;
                let (from, values) = require_struct(value, PURPOSE)?.into_parts();
                let cast_field = |((field, value), ty): ((&crate::data::Field, Value), &Option<Type>)| {
                    let value = or_default(field, value, self.replace_null);
                    match ty {
                        Some(ty) => cast(Some(&field.schema), value, *ty),
                        None => Ok(value),
                    }
                };
                let values = from.fields().iter().zip(values).zip(&types).map(cast_field).collect::<Result<_>>()?;
                part.value = Struct::from_values(to.clone(), values)?.into();
                part.schema = Some(to);
            }
        }
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}

fn whole_schema(schema: &Schema, ty: Type) -> Result<Schema> {
    let mut builder = copy_basics(schema, Schema::build(ty));
    if schema.is_optional() {
        builder = builder.optional();
    }
    with_default(schema, builder, ty)?.build()
}

/// The default of the old schema, cast too.
fn with_default(schema: &Schema, builder: SchemaBuilder, ty: Type) -> Result<SchemaBuilder> {
    match schema.default_value() {
        Some(default) => Ok(builder.default_value(cast(Some(schema), default.clone(), ty)?)),
        None => Ok(builder),
    }
}

fn struct_schema(schema: &Schema, fields: &[(String, Type)]) -> Result<(Schema, Vec<Option<Type>>)> {
    if schema.ty() != Type::Struct {
        return Err(Error::data("Cannot list fields on non-struct type"));
    }
    let mut builder = copy_basics(schema, Schema::structure());
    let mut types = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let ty = fields.iter().find(|(name, _)| **name == *field.name).map(|(_, ty)| *ty);
        let field_schema = match ty {
            Some(ty) => {
                let to = Schema::build(ty).set_optional(field.schema.is_optional());
                with_default(&field.schema, to, ty)?.build()?
            }
            None => field.schema.clone(),
        };
        builder = builder.field(&field.name, field_schema);
        types.push(ty);
    }
    if schema.is_optional() {
        builder = builder.optional();
    }
    Ok((builder.build()?, types))
}

fn cast(schema: Option<&Schema>, value: Value, to: Type) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let from = match schema {
        Some(schema) => schema.ty(),
        None => value.inferred_type().ok_or_else(|| {
            let class = value.java_class();
            Error::data(format!(
                "Cast transformation was passed a value of type class {class} which is not supported by Connect's \
                 data API"
            ))
        })?,
    };
    if !OUTPUTS.contains(&from) && from != Type::Bytes {
        let inputs: Vec<Type> = OUTPUTS.into_iter().chain([Type::Bytes]).collect();
        return Err(Error::data(unsupported("from", from, &inputs)));
    }
    if to == Type::String {
        return Ok(text(value));
    }
    let number = Number::of(schema, &value).map_err(|problem| match problem {
        Problem::Type => Error::data(format!("Unexpected type in Cast transformation: class {}", value.java_class())),
        Problem::Range => Error::data(format!("Value ({value}) was out of range for requested data type")),
    });
    if let Value::String(text) = &value {
        return from_text(text, to);
    }
    Ok(number?.to(to))
}

fn text(value: Value) -> Value {
    match value {
        Value::String(_) => value,
        Value::Bytes(bytes) => STANDARD.encode(&bytes).into(),
        Value::Instant(_) => write_header(&value).into(),
        other => other.to_string().into(),
    }
}

enum Problem {
    Type,
    Range,
}

/// A number as Java's `Number` sees it.
enum Number {
    Integer(i64),
    Single(f32),
    Double(f64),
    Decimal(Decimal),
    Truth(bool),
}

impl Number {
    fn of(schema: Option<&Schema>, value: &Value) -> Result<Number, Problem> {
        Ok(match value {
            Value::Boolean(truth) => Number::Truth(*truth),
            Value::Float32(single) => Number::Single(*single),
            Value::Float64(double) => Number::Double(*double),
            Value::Decimal(decimal) => Number::Decimal(Decimal::clone(decimal)),
            Value::Instant(ms) => match schema.and_then(Logical::of) {
                Some(Logical::Date) => Number::Integer(ms.div_euclid(Logical::DAY_MS)),
                Some(_) => Number::Integer(*ms),
                None => return Err(Problem::Type),
            },
            other => Number::Integer(other.as_i64().ok_or(if other.as_str().is_some() {
                Problem::Range
            } else {
                Problem::Type
            })?),
        })
    }

    /// As Java's narrowing does it: floats stop at the ends of `int` or `long`, integers lose their high bits.
    fn to(&self, ty: Type) -> Value {
        match ty {
            Type::Int8 => Value::Int8(self.int() as i8),
            Type::Int16 => Value::Int16(self.int() as i16),
            Type::Int32 => Value::Int32(self.int()),
            Type::Int64 => Value::Int64(self.long()),
            Type::Float32 => Value::Float32(match self {
                Number::Integer(value) => *value as f32,
                Number::Single(value) => *value,
                Number::Double(value) => *value as f32,
                Number::Decimal(value) => value.to_f64() as f32,
                Number::Truth(value) => f32::from(u8::from(*value)),
            }),
            Type::Float64 => Value::Float64(match self {
                Number::Integer(value) => *value as f64,
                Number::Single(value) => f64::from(*value),
                Number::Double(value) => *value,
                Number::Decimal(value) => value.to_f64(),
                Number::Truth(value) => f64::from(u8::from(*value)),
            }),
            _ => Value::Boolean(self.long() != 0),
        }
    }

    fn int(&self) -> i32 {
        match self {
            Number::Single(value) => *value as i32,
            Number::Double(value) => *value as i32,
            other => other.long() as i32,
        }
    }

    fn long(&self) -> i64 {
        match self {
            Number::Integer(value) => *value,
            Number::Single(value) => *value as i64,
            Number::Double(value) => *value as i64,
            Number::Decimal(value) => value.low_bits(),
            Number::Truth(value) => i64::from(*value),
        }
    }
}

fn from_text(text: &str, ty: Type) -> Result<Value> {
    let out_of_range = || Error::data(format!("Value ({text}) was out of range for requested data type"));
    // Java takes space around the digits of floats only, and a letter that says which float it is.
    let float = || text.trim().trim_end_matches(['f', 'F', 'd', 'D']);
    let value = match ty {
        Type::Int8 => text.parse().ok().map(Value::Int8),
        Type::Int16 => text.parse().ok().map(Value::Int16),
        Type::Int32 => text.parse().ok().map(Value::Int32),
        Type::Int64 => text.parse().ok().map(Value::Int64),
        Type::Float32 => java_float(float()).then(|| float().parse().ok().map(Value::Float32)).flatten(),
        Type::Float64 => java_float(float()).then(|| float().parse().ok().map(Value::Float64)).flatten(),
        _ => Some(Value::Boolean(text.eq_ignore_ascii_case("true"))),
    };
    value.ok_or_else(out_of_range)
}

/// Whether Java takes a text for a float: the words for what is no number are few, and have their case.
fn java_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, "NaN" | "Infinity") || unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
}
