//! Transforms that choose, name, mask and move fields.

use std::sync::Arc;

use super::field_path::FieldPath;
use super::options::{self, Options, invalid_mapping, not_empty, split};
use super::part::{Part, SchemaCache, copy_basics, no_map, no_struct, or_default, require_map, require_struct};
use super::{Parts, Transformation, Verdict};
use crate::config::{
    ConfigDef, ConfigType, ConfigValue, Importance, Properties, Validator, non_empty_string, one_of, one_of_any_case,
};
use crate::converter::SchemaAndValue;
use crate::data::{Decimal, Field, Map, Schema, Struct, Text, Value};
use crate::error::{Error, Result};
use crate::record::Record;

/// `ExtractField`: one field takes the place of the whole.
#[derive(Debug)]
pub(super) struct ExtractField {
    part: Part,
    name: String,
    path: FieldPath,
    replace_null: bool,
}

impl ExtractField {
    const PURPOSE: &str = "field extraction";

    pub(super) fn config_def() -> ConfigDef {
        let field = options::required("field", ConfigType::String, Importance::Medium, "Name of the field.");
        let documentation = "V1: the name is one of the outermost fields. V2: it is a path such as a.b.c into nested \
             ones; a name with dots stands in backticks.";
        let syntax = options::text("field.syntax.version", Some("V1"), Importance::High, documentation);
        let definition = options::with_replace_null(ConfigDef::new().define(field));
        definition.define(syntax.validated(one_of_any_case(&["V1", "V2"])))
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<ExtractField> {
        let options = Options::parse(&ExtractField::config_def(), config)?;
        let name = options.required("field")?.to_owned();
        let nested = options.text("field.syntax.version").is_some_and(|version| version.eq_ignore_ascii_case("V2"));
        let path = if nested { FieldPath::v2(&name)? } else { FieldPath::v1(&name) };
        Ok(ExtractField { part, name, path, replace_null: options.replace_null() })
    }
}

impl Transformation for ExtractField {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let part = self.part.of_mut(record);
        let Some(schema) = &part.schema else {
            part.value = match &part.value {
                Value::Null => Value::Null,
                Value::Map(map) => self.path.in_map(map)?,
                other => return Err(no_map(other, Self::PURPOSE)),
            };
            return Ok(Verdict::Keep);
        };
        if !matches!(part.value, Value::Null | Value::Struct(_)) {
            return Err(no_struct(&part.value, Self::PURPOSE));
        }
        let unknown = || Error::Argument(format!("Unknown field: {}", self.name));
        let field = self.path.field(schema)?.ok_or_else(unknown)?.schema.clone();
        if let Value::Struct(value) = &part.value {
            part.value = self.path.in_struct(value, self.replace_null)?;
        }
        part.schema = Some(field);
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}

/// `ReplaceField`: leaves fields out and renames others.
#[derive(Debug)]
pub(super) struct ReplaceField {
    part: Part,
    exclude: Vec<String>,
    include: Vec<String>,
    renames: Vec<(String, Text)>,
    replace_null: bool,
    schemas: SchemaCache<(Schema, Arc<[bool]>)>,
}

impl ReplaceField {
    const PURPOSE: &str = "field replacement";

    pub(super) fn config_def() -> ConfigDef {
        let exclude = options::list("exclude", Importance::Medium, "Fields to leave out; stronger than include.");
        let include = options::list("include", Importance::Medium, "The only fields to keep; all if none is named.");
        let renames = options::list("renames", Importance::Medium, "New names: old:new,old:new.");
        let valid: Arc<dyn Validator> =
            Arc::new(|_name: &str, value: &ConfigValue| parse_renames(value.as_list().unwrap_or_default()).map(|_| ()));
        let definition = ConfigDef::new().define(exclude).define(include).define(renames.validated(valid));
        options::with_replace_null(definition)
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<ReplaceField> {
        let options = Options::parse(&ReplaceField::config_def(), config)?;
        Ok(ReplaceField {
            part,
            exclude: options.list("exclude").to_vec(),
            include: options.list("include").to_vec(),
            renames: parse_renames(options.list("renames"))?,
            replace_null: options.replace_null(),
            schemas: SchemaCache::default(),
        })
    }
}

fn parse_renames(entries: &[String]) -> Result<Vec<(String, Text)>> {
    let parse = |entry: &String| match split(entry).as_slice() {
        [old, new] => Ok(((*old).to_owned(), Text::from(*new))),
        _ => Err(invalid_mapping(entries, entry)),
    };
    entries.iter().map(parse).collect()
}

fn keeps(exclude: &[String], include: &[String], name: &str) -> bool {
    !exclude.iter().any(|known| known == name) && (include.is_empty() || include.iter().any(|known| known == name))
}

impl Transformation for ReplaceField {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let (exclude, include, renames) = (&self.exclude, &self.include, &self.renames);
        let renamed = |name: &str| renames.iter().find(|(old, _)| old == name).map(|(_, new)| new.clone());
        let part = self.part.of_mut(record);
        if part.value.is_null() {
            return Ok(Verdict::Keep);
        }
        let value = std::mem::take(&mut part.value);
        let Some(schema) = &part.schema else {
            let entries = require_map(value, Self::PURPOSE)?.into_iter();
            let kept = entries.filter(|(key, _)| keeps(exclude, include, key.as_str().unwrap_or_default()));
            let renamed = kept.map(|(key, value)| match renamed(key.as_str().unwrap_or_default()) {
                Some(new) => (Value::String(new), value),
                None => (key, value),
            });
            part.value = renamed.collect::<Map>().into();
            return Ok(Verdict::Keep);
        };
        let (updated, kept) = self.schemas.get(schema, |schema| {
            let mut builder = copy_basics(schema, Schema::structure());
            let kept: Arc<[bool]> = schema.fields().iter().map(|field| keeps(exclude, include, &field.name)).collect();
            for field in schema.fields().iter().filter(|field| kept[field.index]) {
                let name = renamed(&field.name);
                builder = builder.field(name.as_deref().unwrap_or(&field.name), field.schema.clone());
            }
            Ok((builder.build()?, kept))
        })?;
        let (old, values) = require_struct(value, Self::PURPOSE)?.into_parts();
        let values = old.fields().iter().zip(values).filter(|(field, _)| kept.get(field.index) == Some(&true));
        let values = values.map(|(field, value)| or_default(field, value, self.replace_null)).collect();
        part.value = Struct::from_values(updated.clone(), values)?.into();
        part.schema = Some(updated);
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}

/// `MaskField`: the null value of its type, or a fixed one, takes the place of a field's value.
#[derive(Debug)]
pub(super) struct MaskField {
    part: Part,
    fields: Vec<String>,
    replacement: Option<Text>,
    replace_null: bool,
}

impl MaskField {
    const PURPOSE: &str = "mask fields";

    pub(super) fn config_def() -> ConfigDef {
        let fields = options::required("fields", ConfigType::List, Importance::High, "Names of the fields to mask.");
        let documentation = "What stands in place of every masked value; of numbers and text that is not empty only.";
        let replacement = options::text("replacement", None, Importance::Low, documentation);
        let replacement = replacement.validated(non_empty_string());
        options::with_replace_null(ConfigDef::new().define(fields.validated(not_empty())).define(replacement))
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<MaskField> {
        let options = Options::parse(&MaskField::config_def(), config)?;
        let (fields, replacement) = (options.list("fields").to_vec(), options.text("replacement").map(Text::from));
        Ok(MaskField { part, fields, replacement, replace_null: options.replace_null() })
    }

    fn masked(&self, value: Value) -> Result<Value> {
        match &self.replacement {
            _ if value.is_null() => Ok(value),
            None => empty(&value),
            Some(replacement) => replaced(&value, replacement),
        }
    }
}

fn empty(value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Boolean(_) => Value::Boolean(false),
        Value::Int8(_) => Value::Int8(0),
        Value::Int16(_) => Value::Int16(0),
        Value::Int32(_) => Value::Int32(0),
        Value::Int64(_) => Value::Int64(0),
        Value::Float32(_) => Value::Float32(0.0),
        Value::Float64(_) => Value::Float64(0.0),
        Value::Decimal(_) => Decimal { unscaled: 0.into(), scale: 0 }.into(),
        Value::Instant(_) => Value::Instant(0),
        Value::String(_) => "".into(),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Map(_) => Map::new().into(),
        other => return Err(Error::data(format!("Cannot mask value of type: class {}", other.java_class()))),
    })
}

fn replaced(value: &Value, replacement: &Text) -> Result<Value> {
    if matches!(value, Value::String(_)) {
        return Ok(Value::String(replacement.clone()));
    }
    let number = Decimal::parse(replacement);
    let no_number =
        |what: &str| Error::data(format!("Unable to convert {replacement} (class java.lang.String) to {what}"));
    if let Value::Decimal(_) = value {
        return number.map(Value::from).ok_or_else(|| no_number("number"));
    }
    // As Java narrows numbers: what is too large loses its high bits.
    let masked: fn(&Decimal) -> Value = match value {
        Value::Int8(_) => |number| Value::Int8(number.low_bits() as i8),
        Value::Int16(_) => |number| Value::Int16(number.low_bits() as i16),
        Value::Int32(_) => |number| Value::Int32(number.low_bits() as i32),
        Value::Int64(_) => |number| Value::Int64(number.low_bits()),
        Value::Float32(_) => |number| Value::Float32(number.to_f64() as f32),
        Value::Float64(_) => |number| Value::Float64(number.to_f64()),
        other => {
            let class = other.java_class();
            return Err(Error::data(format!("Cannot mask value of type class {class} with custom replacement.")));
        }
    };
    number.as_ref().map(masked).ok_or_else(|| no_number("a number"))
}

impl Transformation for MaskField {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let part = self.part.of_mut(record);
        let value = std::mem::take(&mut part.value);
        let is_masked = |name: &str| self.fields.iter().any(|known| known == name);
        if part.schema.is_none() {
            let mut map = require_map(value, Self::PURPOSE)?;
            for name in &self.fields {
                // A field that is not there appears as null, as in Java.
                let key = Value::from(name.as_str());
                let masked = self.masked(map.get_str(name).cloned().unwrap_or_default())?;
                map.insert(key, masked);
            }
            part.value = map.into();
            return Ok(Verdict::Keep);
        }
        let (schema, values) = require_struct(value, Self::PURPOSE)?.into_parts();
        let mask = |(field, value): (&Field, Value)| {
            let value = or_default(field, value, self.replace_null);
            if is_masked(&field.name) { self.masked(value) } else { Ok(value) }
        };
        let values = schema.fields().iter().zip(values).map(mask).collect::<Result<_>>()?;
        part.value = Struct::from_values(schema, values)?.into();
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}

/// `HeaderFrom`: copies or moves fields into headers.
#[derive(Debug)]
pub(super) struct HeaderFrom {
    part: Part,
    /// Fields and their headers.
    pairs: Vec<(String, Text)>,
    moves: bool,
    replace_null: bool,
    schemas: SchemaCache,
}

impl HeaderFrom {
    pub(super) fn config_def() -> ConfigDef {
        let fields = options::required("fields", ConfigType::List, Importance::High, "Names of the fields.");
        let documentation = "Names of the headers, in the order of the fields.";
        let headers = options::required("headers", ConfigType::List, Importance::High, documentation);
        let documentation = "move: the fields leave the record; copy: they stay.";
        let operation = options::required("operation", ConfigType::String, Importance::High, documentation);
        let definition = ConfigDef::new()
            .define(fields.validated(non_empty_list()))
            .define(headers.validated(non_empty_list()))
            .define(operation.validated(one_of(&["move", "copy"])));
        options::with_replace_null(definition)
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<HeaderFrom> {
        let options = Options::parse(&HeaderFrom::config_def(), config)?;
        let (fields, headers) = (options.list("fields"), options.list("headers"));
        if fields.len() != headers.len() {
            let message = "'fields' config must have the same number of elements as 'headers' config.";
            return Err(Error::Config(message.to_owned()));
        }
        let pairs = fields.iter().zip(headers).map(|(field, header)| (field.clone(), header.as_str().into())).collect();
        let moves = options.text("operation") == Some("move");
        Ok(HeaderFrom { part, pairs, moves, replace_null: options.replace_null(), schemas: SchemaCache::default() })
    }

    fn purpose(&self) -> &'static str {
        if self.moves { "header move" } else { "header copy" }
    }
}

/// A list with something in it.
pub(super) fn non_empty_list() -> Arc<dyn Validator> {
    Arc::new(|name: &str, value: &ConfigValue| match value.as_list() {
        Some([]) | None => Err(Error::config_value(name, &value.to_message(), "Empty list")),
        Some(_) => Ok(()),
    })
}

impl Transformation for HeaderFrom {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let part = self.part.of(record);
        if part.schema.is_none() {
            let Value::Map(map) = &part.value else { return Err(no_map(&part.value, self.purpose())) };
            let value = |name: &String| SchemaAndValue::schemaless(map.get_str(name).cloned().unwrap_or_default());
            let headers: Vec<_> = self.pairs.iter().map(|(field, header)| (header.clone(), value(field))).collect();
            headers.into_iter().for_each(|(header, value)| record.headers.add(header, value));
            if self.moves
                && let Value::Map(map) = &mut self.part.of_mut(record).value
            {
                for (field, _) in &self.pairs {
                    map.remove(&Value::from(field.as_str()));
                }
            }
            return Ok(Verdict::Keep);
        }
        let Value::Struct(value) = &part.value else { return Err(no_struct(&part.value, self.purpose())) };
        let schema = value.schema().clone();
        let mut headers = Vec::with_capacity(self.pairs.len());
        for (name, header) in &self.pairs {
            let value = if self.replace_null { value.get(name) } else { value.get_without_default(name) }?.clone();
            let schema = schema.field(name).map(|field| field.schema.clone());
            headers.push((header.clone(), SchemaAndValue { schema, value }));
        }
        if self.moves {
            self.take_fields(&schema, record)?;
        }
        headers.into_iter().for_each(|(header, value)| record.headers.add(header, value));
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts().or(Parts { headers: true, ..Parts::NONE })
    }
}

impl HeaderFrom {
    /// Leaves the struct without the fields that were moved.
    fn take_fields(&mut self, schema: &Schema, record: &mut Record) -> Result<()> {
        let pairs = &self.pairs;
        let moved = |field: &Field| pairs.iter().any(|(name, _)| **name == *field.name);
        let updated = self.schemas.get(schema, |schema| {
            let rest = schema.fields().iter().filter(|field| !moved(field));
            let builder = copy_basics(schema, Schema::structure());
            rest.fold(builder, |builder, field| builder.field(&field.name, field.schema.clone())).build()
        })?;
        let part = self.part.of_mut(record);
        let (old, values) = require_struct(std::mem::take(&mut part.value), "header move")?.into_parts();
        let rest = old.fields().iter().zip(values).filter(|(field, _)| !moved(field));
        let rest = rest.map(|(field, value)| or_default(field, value, self.replace_null)).collect();
        part.value = Struct::from_values(updated.clone(), rest)?.into();
        part.schema = Some(updated);
        Ok(())
    }
}
