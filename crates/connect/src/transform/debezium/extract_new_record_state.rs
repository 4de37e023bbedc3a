//! `io.debezium.transforms.ExtractNewRecordState`: the row after the change in place of the event.

use std::str::FromStr;
use std::sync::Arc;

use super::super::options::{self, Options};
use super::super::part::{SchemaCache, copy_basics, require_struct};
use super::super::{Transformation, Verdict};
use super::{envelope, text};
use crate::config::{ConfigDef, Importance, Properties, one_of_any_case};
use crate::converter::SchemaAndValue;
use crate::data::{Schema, Struct, Text, Type, Value};
use crate::error::{Error, Result};
use crate::record::Record;

const PURPOSE: &str = "source field insertion";

/// What becomes of a deleted row.
///
/// A source writes it as an event and a tombstone behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deletes {
    event: DeleteEvent,
    keep_tombstone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeleteEvent {
    Drop,
    /// The row before, with `__deleted`.
    Rewrite,
    /// A tombstone in its place.
    Tombstone,
}

impl FromStr for Deletes {
    type Err = ();

    fn from_str(mode: &str) -> Result<Deletes, ()> {
        let (event, keep_tombstone) = match mode.to_ascii_lowercase().as_str() {
            "drop" => (DeleteEvent::Drop, false),
            "tombstone" | "delete-to-tombstone" => (DeleteEvent::Tombstone, false),
            "rewrite" => (DeleteEvent::Rewrite, false),
            "rewrite-with-tombstone" => (DeleteEvent::Rewrite, true),
            _ => return Err(()),
        };
        Ok(Deletes { event, keep_tombstone })
    }
}

/// A field of the event that is added to the row or the headers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    /// Struct of the event that has it; `None` for the event itself.
    within: Option<String>,
    field: String,
    name: Text,
}

impl Reference {
    /// `field`, `struct.field`, each perhaps with `:name` behind it.
    fn parse(entry: &str, prefix: &str) -> Reference {
        let (path, alias) = match entry.split_once(':') {
            Some((path, alias)) => (path.trim(), Some(alias.trim())),
            None => (entry.trim(), None),
        };
        let (within, field, name) = match path.split_once('.') {
            Some((within, field)) => (Some(within), field, format!("{within}_{field}")),
            None if matches!(path, "op" | "ts_ms" | "ts_us" | "ts_ns") => (None, path, path.to_owned()),
            None if matches!(path, "id" | "total_order" | "data_collection_order") => {
                (Some("transaction"), path, path.to_owned())
            }
            None => (Some("source"), path, path.to_owned()),
        };
        Reference {
            within: within.map(str::to_owned),
            field: field.to_owned(),
            name: format!("{prefix}{}", alias.unwrap_or(&name)).into(),
        }
    }

    /// Schema of the field, optional; `None` when events do not have it.
    fn schema(&self, event: &Schema) -> Result<Option<Schema>> {
        let within = match &self.within {
            Some(name) => event.field(name).map(|field| &field.schema),
            None => Some(event),
        };
        let field = within.and_then(|within| within.field(&self.field));
        field.map(|field| field.schema.to_builder().optional().build()).transpose()
    }

    fn value(&self, event: &Struct) -> Value {
        let found = match &self.within {
            None => event.get(&self.field),
            Some(name) => match event.get(name) {
                Ok(Value::Struct(inner)) => inner.get(&self.field),
                _ => return Value::Null,
            },
        };
        found.cloned().unwrap_or_default()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct ExtractNewRecordState {
    deletes: Deletes,
    fields: Vec<Reference>,
    headers: Vec<Reference>,
    route_by: Option<String>,
    shapes: SchemaCache<Arc<Shape>>,
}

/// What is made of the events of one schema.
#[derive(Debug)]
struct Shape {
    row: Schema,
    /// Added fields that these events have, by their place in the options.
    fields: Vec<usize>,
    /// Added headers that these events have, with their schema.
    headers: Vec<(usize, Schema)>,
}

impl ExtractNewRecordState {
    pub(super) fn config_def() -> ConfigDef {
        let text = |name, default, documentation| options::text(name, default, Importance::Low, documentation);
        let documentation = "What becomes of deleted rows, which are an event and a tombstone. drop: neither stays. \
             tombstone, delete-to-tombstone: the event becomes the tombstone. rewrite: the row before with __deleted \
             stays. rewrite-with-tombstone: that and the tombstone stay.";
        let modes = &["tombstone", "rewrite", "drop", "rewrite-with-tombstone", "delete-to-tombstone"];
        let handling = options::text("delete.tombstone.handling.mode", Some("drop"), Importance::Medium, documentation);
        ConfigDef::new()
            .define(handling.validated(one_of_any_case(modes)))
            .define(
                text("delete.handling.mode", None, "The older key for events of deleted rows: drop, rewrite or none.")
                    .validated(one_of_any_case(&["drop", "rewrite", "none"])),
            )
            .define(text("drop.tombstones", None, "The older key for tombstones: true drops them."))
            .define(options::list("add.headers", Importance::Low, "Fields of the event that become headers."))
            .define(text("add.headers.prefix", Some("__"), "What stands before the names of these headers."))
            .define(options::list("add.fields", Importance::Low, "Fields of the event that become fields of the row."))
            .define(text("add.fields.prefix", Some("__"), "What stands before the names of these fields."))
            .define(text("route.by.field", None, "Field of the row that names the topic."))
    }

    pub(super) fn build(config: &Properties) -> Result<ExtractNewRecordState> {
        if let Some((key, _)) =
            config.range("drop.fields.".to_owned()..).find(|(key, _)| key.starts_with("drop.fields."))
        {
            return Err(Error::Config(format!("{key} is not supported: leave fields out with ReplaceField")));
        }
        let options = Options::parse(&ExtractNewRecordState::config_def(), config)?;
        let references = |list, prefix| {
            let prefix = options.text(prefix).unwrap_or_default();
            options.list(list).iter().map(|entry| Reference::parse(entry, prefix)).collect()
        };
        Ok(ExtractNewRecordState {
            deletes: deletes(&options)?,
            fields: references("add.fields", "add.fields.prefix"),
            headers: references("add.headers", "add.headers.prefix"),
            route_by: options.text("route.by.field").filter(|field| !field.is_empty()).map(str::to_owned),
            shapes: SchemaCache::default(),
        })
    }

    fn shape(&self, event: &Schema) -> Result<Arc<Shape>> {
        let row = event.field("after").or_else(|| event.field("before"));
        let row = &row.ok_or_else(|| Error::data(format!("{event} has no row after the change")))?.schema;
        let mut builder = copy_basics(row, Schema::structure());
        for field in row.fields() {
            builder = builder.field(&field.name, field.schema.clone());
        }
        if self.deletes.event == DeleteEvent::Rewrite {
            builder = builder.field("__deleted", Schema::optional_of(Type::String));
        }
        let mut fields = Vec::new();
        for (place, reference) in self.fields.iter().enumerate() {
            if let Some(schema) = reference.schema(event)? {
                builder = builder.field(&reference.name, schema);
                fields.push(place);
            }
        }
        let mut headers = Vec::new();
        for (place, reference) in self.headers.iter().enumerate() {
            headers.extend(reference.schema(event)?.map(|schema| (place, schema)));
        }
        Ok(Arc::new(Shape { row: builder.build()?, fields, headers }))
    }

    /// The row of an event with what is added to it.
    fn row(&self, event: &Struct, shape: &Shape, deleted: bool) -> Result<Struct> {
        let row = event.get(if deleted { "before" } else { "after" })?.clone();
        let mut values = require_struct(row, PURPOSE)?.into_parts().1;
        if self.deletes.event == DeleteEvent::Rewrite {
            values.push(if deleted { "true" } else { "false" }.into());
        }
        values.extend(shape.fields.iter().map(|place| self.fields[*place].value(event)));
        Struct::from_values(shape.row.clone(), values)
    }
}

/// The two older keys together say what the newer one says.
fn deletes(options: &Options) -> Result<Deletes> {
    let (older, tombstones) = (options.text("delete.handling.mode"), options.text("drop.tombstones"));
    if older.is_some() || tombstones.is_some() {
        let event = match older.map(str::to_ascii_lowercase).as_deref() {
            Some("rewrite") => DeleteEvent::Rewrite,
            Some("none") => DeleteEvent::Tombstone,
            _ => DeleteEvent::Drop,
        };
        return Ok(Deletes {
            event,
            keep_tombstone: tombstones.is_some_and(|text| text.eq_ignore_ascii_case("false")),
        });
    }
    let mode = options.text("delete.tombstone.handling.mode").unwrap_or("drop");
    mode.parse().map_err(|()| Error::config_value("delete.tombstone.handling.mode", mode, "no such mode"))
}

impl Transformation for ExtractNewRecordState {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        if record.value.value.is_null() {
            if !self.deletes.keep_tombstone {
                return Ok(Verdict::Drop);
            }
            for reference in
                self.headers.iter().filter(|reference| reference.within.is_none() && reference.field == "op")
            {
                record.headers.add(reference.name.clone(), SchemaAndValue::new(Schema::of(Type::String), "d"));
            }
            return Ok(Verdict::Keep);
        }
        let Some(event) = envelope(record) else { return Ok(Verdict::Keep) };
        let deleted = event.get("after").map_or(true, Value::is_null);
        if deleted && (text(event, "op") != Some("d") || self.deletes.event == DeleteEvent::Drop) {
            // Events without a row, such as the truncation of a table, are dropped as deletions are.
            return Ok(Verdict::Drop);
        }
        let mut shapes = std::mem::take(&mut self.shapes);
        let shape = shapes.get(event.schema(), |event| self.shape(event));
        self.shapes = shapes;
        let shape = shape?;
        let header = |(place, schema): &(usize, Schema)| {
            let reference = &self.headers[*place];
            (reference.name.clone(), SchemaAndValue::new(schema.clone(), reference.value(event)))
        };
        let headers: Vec<_> = shape.headers.iter().map(header).collect();
        let value = if deleted && self.deletes.event == DeleteEvent::Tombstone {
            // A null with the schema of the row, as Debezium leaves it.
            SchemaAndValue {
                schema: event.schema().field("after").map(|field| field.schema.clone()),
                value: Value::Null,
            }
        } else {
            let row = self.row(event, &shape, deleted)?;
            if let Some(field) = &self.route_by
                && let Value::String(topic) = row.get(field)?
            {
                record.topic = topic.clone();
            }
            SchemaAndValue::new(shape.row.clone(), row)
        };
        record.value = value;
        headers.into_iter().for_each(|(name, value)| record.headers.add(name, value));
        Ok(Verdict::Keep)
    }
}
