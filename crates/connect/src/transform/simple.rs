//! Transforms of a few lines each.

use super::options::{self, Options, not_empty};
use super::part::{Part, SchemaCache, no_map, no_struct, or_default, require_struct};
use super::{Parts, Transformation, Verdict};
use crate::config::{ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Properties, non_null};
use crate::converter::{SchemaAndValue, parse_header};
use crate::data::{Map, Schema, Struct, Text, Value};
use crate::error::{Error, Result};
use crate::record::Record;

/// `DropHeaders`: removes headers by name.
#[derive(Debug)]
pub(super) struct DropHeaders {
    names: Vec<String>,
}

impl DropHeaders {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "Names of the headers to remove.";
        let headers = options::required("headers", ConfigType::List, Importance::High, documentation);
        ConfigDef::new().define(headers.validated(not_empty()))
    }

    pub(super) fn build(config: &Properties) -> Result<DropHeaders> {
        let options = Options::parse(&DropHeaders::config_def(), config)?;
        Ok(DropHeaders { names: options.list("headers").to_vec() })
    }
}

impl Transformation for DropHeaders {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        for name in &self.names {
            record.headers.remove(name);
        }
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        Parts { headers: true, ..Parts::NONE }
    }
}

/// `Filter`: drops every record. It makes sense with a predicate.
#[derive(Debug)]
pub(super) struct Filter;

impl Transformation for Filter {
    fn apply(&mut self, _record: &mut Record) -> Result<Verdict> {
        Ok(Verdict::Drop)
    }

    fn parts(&self) -> Parts {
        Parts::NONE
    }
}

/// `InsertHeader`: adds a header that is the same for all records.
#[derive(Debug)]
pub(super) struct InsertHeader {
    name: Text,
    value: SchemaAndValue,
}

impl InsertHeader {
    pub(super) fn config_def() -> ConfigDef {
        let name = options::required("header", ConfigType::String, Importance::High, "Name of the header.");
        let documentation = "Its value, as text that shows its type: 1, true, 2024-01-31, [1,2], {\"a\":1}, any text.";
        let value = options::required("value.literal", ConfigType::String, Importance::High, documentation);
        ConfigDef::new().define(name.validated(non_null())).define(value.validated(non_null()))
    }

    pub(super) fn build(config: &Properties) -> Result<InsertHeader> {
        let options = Options::parse(&InsertHeader::config_def(), config)?;
        let value = parse_header(options.required("value.literal")?)?;
        Ok(InsertHeader { name: options.required("header")?.into(), value })
    }
}

impl Transformation for InsertHeader {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        record.headers.add(self.name.clone(), self.value.clone());
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        Parts { headers: true, ..Parts::NONE }
    }
}

/// `HoistField`: wraps the whole of a key or value into a struct or map of one field.
#[derive(Debug)]
pub(super) struct HoistField {
    part: Part,
    field: Text,
    schemas: SchemaCache,
}

impl HoistField {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "Name of the one field of the new struct or map.";
        ConfigDef::new().define(options::required("field", ConfigType::String, Importance::Medium, documentation))
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<HoistField> {
        let options = Options::parse(&HoistField::config_def(), config)?;
        Ok(HoistField { part, field: options.required("field")?.into(), schemas: Default::default() })
    }
}

impl Transformation for HoistField {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let part = self.part.of_mut(record);
        let value = std::mem::take(&mut part.value);
        match &part.schema {
            None => part.value = Map::from_distinct([(Value::String(self.field.clone()), value)]).into(),
            Some(schema) => {
                let hoisted = self
                    .schemas
                    .get(schema, |schema| Schema::structure().field(&self.field, schema.clone()).build())?;
                part.value = Struct::from_values(hoisted.clone(), vec![value])?.into();
                part.schema = Some(hoisted);
            }
        }
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}

/// `SetSchemaMetadata`: gives a schema another name or version.
#[derive(Debug)]
pub(super) struct SetSchemaMetadata {
    part: Part,
    name: Option<String>,
    version: Option<i32>,
    replace_null: bool,
    schemas: SchemaCache,
}

impl SetSchemaMetadata {
    pub(super) fn config_def() -> ConfigDef {
        let name = options::text("schema.name", None, Importance::High, "The new name.");
        let version = ConfigKey::optional(
            "schema.version",
            ConfigType::Int,
            ConfigValue::Null,
            Importance::High,
            "The new version.",
        );
        options::with_replace_null(ConfigDef::new().define(name).define(version))
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<SetSchemaMetadata> {
        let options = Options::parse(&SetSchemaMetadata::config_def(), config)?;
        let name = options.text("schema.name").map(str::to_owned);
        let version = options.integer("schema.version").and_then(|version| i32::try_from(version).ok());
        if name.is_none() && version.is_none() {
            return Err(Error::Config("Neither schema name nor version configured".to_owned()));
        }
        let replace_null = options.replace_null();
        Ok(SetSchemaMetadata { part, name, version, replace_null, schemas: Default::default() })
    }
}

impl Transformation for SetSchemaMetadata {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let part = self.part.of_mut(record);
        let Some(schema) = &part.schema else {
            if part.value.is_null() {
                return Ok(Verdict::Keep);
            }
            return Err(Error::data("Schema required for [updating schema metadata]"));
        };
        let (name, version) = (&self.name, self.version);
        let updated = self.schemas.get(schema, |schema| {
            let mut builder = schema.to_builder();
            if let Some(name) = name {
                builder = builder.name(name);
            }
            if let Some(version) = version {
                builder = builder.version(version);
            }
            builder.build()
        })?;
        if matches!(part.value, Value::Struct(_)) {
            let (old, values) =
                require_struct(std::mem::take(&mut part.value), "updating schema metadata")?.into_parts();
            let values = old.fields().iter().zip(values);
            let values = values.map(|(field, value)| or_default(field, value, self.replace_null)).collect();
            part.value = Struct::from_values(updated.clone(), values)?.into();
        }
        part.schema = Some(updated);
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}

/// `ValueToKey`: makes a key of some fields of the value.
#[derive(Debug)]
pub(super) struct ValueToKey {
    fields: Vec<Text>,
    replace_null: bool,
    schemas: SchemaCache,
}

impl ValueToKey {
    const PURPOSE: &str = "copying fields from value to key";

    pub(super) fn config_def() -> ConfigDef {
        let documentation = "Names of the fields of the value that make up the key.";
        let fields = options::required("fields", ConfigType::List, Importance::High, documentation);
        options::with_replace_null(ConfigDef::new().define(fields.validated(not_empty())))
    }

    pub(super) fn build(config: &Properties) -> Result<ValueToKey> {
        let options = Options::parse(&ValueToKey::config_def(), config)?;
        let mut fields: Vec<Text> = Vec::new();
        for field in options.list("fields") {
            if !fields.iter().any(|known| *known == **field) {
                fields.push(field.as_str().into());
            }
        }
        Ok(ValueToKey { fields, replace_null: options.replace_null(), schemas: Default::default() })
    }

    fn key_schema(fields: &[Text], schema: &Schema) -> Result<Schema> {
        let mut builder = Schema::structure();
        for name in fields {
            let field = schema.field(name);
            let field = field.ok_or_else(|| Error::data(format!("Field does not exist: {name}")))?;
            builder = builder.field(name, field.schema.clone());
        }
        builder.build()
    }
}

impl Transformation for ValueToKey {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        if record.value.schema.is_none() {
            let Value::Map(map) = &record.value.value else {
                return Err(no_map(&record.value.value, Self::PURPOSE));
            };
            let field = |name: &Text| (Value::String(name.clone()), map.get_str(name).cloned().unwrap_or_default());
            let key: Map = self.fields.iter().map(field).collect();
            record.key = SchemaAndValue::schemaless(key);
            return Ok(Verdict::Keep);
        }
        let Value::Struct(value) = &record.value.value else {
            return Err(no_struct(&record.value.value, Self::PURPOSE));
        };
        let schema = self.schemas.get(value.schema(), |schema| Self::key_schema(&self.fields, schema))?;
        let field = |name: &Text| {
            let value = if self.replace_null { value.get(name) } else { value.get_without_default(name) };
            value.cloned()
        };
        let values = self.fields.iter().map(field).collect::<Result<_>>()?;
        record.key = SchemaAndValue::new(schema.clone(), Struct::from_values(schema, values)?);
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        Parts { key: true, value: true, headers: false }
    }
}
