//! `io.debezium.transforms.outbox.EventRouter`: rows of an outbox table become the events that they hold.

use super::super::options::{self, Options, valid_regex};
use super::super::part::SchemaCache;
use super::super::{Transformation, Verdict};
use super::{envelope, json_payload, text};
use crate::config::{ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Properties, one_of_any_case};
use crate::converter::SchemaAndValue;
use crate::data::{Schema, Struct, Text, Value};
use crate::error::{Error, Result};
use crate::java::{JavaRegex, Replacement};
use crate::record::Record;

/// Where a further column goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Envelope,
    Partition,
}

/// `column:place` or `column:place:name`.
#[derive(Debug, Clone)]
struct Placement {
    column: String,
    place: Place,
    name: Text,
}

impl Placement {
    fn parse(entry: &str) -> Result<Placement> {
        let mut parts = entry.split(':').map(str::trim);
        let column = parts.next().unwrap_or_default();
        let place = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            Some("header") => Place::Header,
            Some("envelope") => Place::Envelope,
            Some("partition") => Place::Partition,
            _ => {
                let reason = "a column needs a place behind a colon: header, envelope or partition";
                return Err(Error::config_value("table.fields.additional.placement", entry, reason));
            }
        };
        let name = parts.next().unwrap_or(column).into();
        Ok(Placement { column: column.to_owned(), place, name })
    }
}

/// What happens when the outbox table is changed otherwise than by inserts and deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnUpdate {
    Drop,
    Fail,
}

/// See the module.
#[derive(Debug)]
pub(super) struct EventRouter {
    id: String,
    key: Option<String>,
    timestamp: Option<String>,
    payload: String,
    schema_version: Option<String>,
    placements: Vec<Placement>,
    missing_fails: bool,
    route_by: String,
    topic: (JavaRegex, Replacement),
    empty_is_tombstone: bool,
    on_update: OnUpdate,
    expand_json: bool,
    /// Schemas of envelopes by that of the row.
    envelopes: SchemaCache,
}

impl EventRouter {
    pub(super) fn config_def() -> ConfigDef {
        let low = |name, default, documentation| options::text(name, default, Importance::Low, documentation);
        let flag = |name, default, documentation| {
            let default = ConfigValue::Boolean(default);
            ConfigKey::optional(name, ConfigType::Boolean, default, Importance::Medium, documentation)
        };
        let update = low(
            "table.op.invalid.behavior",
            Some("warn"),
            "What to do with updates of rows, which an outbox does not have: warn and error drop them, fatal stops.",
        );
        ConfigDef::new()
            .define(low("table.field.event.id", Some("id"), "Column with the id of the event; it becomes a header."))
            .define(low("table.field.event.key", Some("aggregateid"), "Column that becomes the key."))
            .define(low(
                "table.field.event.timestamp",
                None,
                "Column with the time; without it, the time of the change.",
            ))
            .define(low("table.field.event.payload", Some("payload"), "Column that becomes the value."))
            .define(low("table.field.event.schema.version", None, "Column with the version of the value's schema."))
            .define(options::list(
                "table.fields.additional.placement",
                Importance::Medium,
                "Further columns and where they go: column:header, column:envelope:name, column:partition.",
            ))
            .define(flag("table.fields.additional.error.on.missing", true, "Fail when such a column is missing."))
            .define(low("route.by.field", Some("aggregatetype"), "Column that decides about the topic."))
            .define(
                low(
                    "route.topic.regex",
                    Some("(?<routedByValue>.*)"),
                    "Regular expression for what that column holds.",
                )
                .validated(valid_regex()),
            )
            .define(low("route.topic.replacement", Some("outbox.event.${routedByValue}"), "Name of the topic."))
            .define(flag("route.tombstone.on.empty.payload", false, "Events without payload become tombstones."))
            .define(update.validated(one_of_any_case(&["warn", "error", "fatal"])))
            .define(flag("table.expand.json.payload", false, "Payloads of JSON text become structs."))
    }

    pub(super) fn build(config: &Properties) -> Result<EventRouter> {
        let options = Options::parse(&EventRouter::config_def(), config)?;
        let column = |name| options.text(name).unwrap_or_default().to_owned();
        let optional = |name| options.text(name).filter(|column| !column.is_empty()).map(str::to_owned);
        let pattern = options.required("route.topic.regex")?;
        let regex = JavaRegex::new(pattern);
        let regex = regex.map_err(|problem| Error::config_value("route.topic.regex", pattern, &problem))?;
        let placements = options.list("table.fields.additional.placement").iter();
        let fatal = options.text("table.op.invalid.behavior").is_some_and(|text| text.eq_ignore_ascii_case("fatal"));
        Ok(EventRouter {
            id: column("table.field.event.id"),
            key: optional("table.field.event.key"),
            timestamp: optional("table.field.event.timestamp"),
            payload: column("table.field.event.payload"),
            schema_version: optional("table.field.event.schema.version"),
            placements: placements.map(|entry| Placement::parse(entry)).collect::<Result<_>>()?,
            missing_fails: options.flag("table.fields.additional.error.on.missing"),
            route_by: column("route.by.field"),
            topic: (regex, Replacement::new(options.required("route.topic.replacement")?)),
            empty_is_tombstone: options.flag("route.tombstone.on.empty.payload"),
            on_update: if fatal { OnUpdate::Fail } else { OnUpdate::Drop },
            expand_json: options.flag("table.expand.json.payload"),
            envelopes: SchemaCache::default(),
        })
    }

    /// The event in a row.
    fn route(&mut self, record: &mut Record, row: &Struct, changed_ms: Option<i64>) -> Result<()> {
        let id = self.required(row, &self.id)?;
        record.headers.add("id", id);
        let routed_by = row.get(&self.route_by)?;
        let routed_by = routed_by.as_str().ok_or_else(|| {
            let class = routed_by.java_class();
            Error::data(format!("the field {} names the topic and must be text, not {class}", self.route_by))
        })?;
        let (regex, replacement) = &self.topic;
        if regex.matches(routed_by)? {
            record.topic = regex.replace_first(routed_by, replacement)?.unwrap_or_default().into();
        } else {
            record.topic = routed_by.into();
        }
        if let Some(column) = &self.key {
            record.key = self.required(row, column)?;
        }
        record.timestamp = match &self.timestamp {
            Some(column) => {
                let missing = || Error::connect(format!("Unable to find timestamp field {column} in event"));
                milliseconds(&field(row, column).ok_or_else(missing)?)
            }
            None => changed_ms,
        };
        let mut extra = Vec::new();
        for placement in &self.placements {
            let Some(value) = self.placed(row, placement)? else { continue };
            match placement.place {
                Place::Header => record.headers.add(placement.name.clone(), value),
                Place::Partition => {
                    record.partition = value.value.as_i64().and_then(|partition| i32::try_from(partition).ok());
                }
                Place::Envelope => extra.push((placement.name.clone(), value)),
            }
        }
        record.value = self.value(row, routed_by, extra)?;
        Ok(())
    }

    fn required(&self, row: &Struct, column: &str) -> Result<SchemaAndValue> {
        field(row, column).ok_or_else(|| Error::data(format!("{column} is not a valid field name")))
    }

    fn placed(&self, row: &Struct, placement: &Placement) -> Result<Option<SchemaAndValue>> {
        match field(row, &placement.column) {
            None if self.missing_fails => self.required(row, &placement.column).map(Some),
            found => Ok(found),
        }
    }

    fn value(&mut self, row: &Struct, routed_by: &str, extra: Vec<(Text, SchemaAndValue)>) -> Result<SchemaAndValue> {
        let missing = || Error::connect(format!("Unable to find payload field {} in event", self.payload));
        let mut payload = field(row, &self.payload).ok_or_else(missing)?;
        if let (true, Value::String(text)) = (self.expand_json, &payload.value)
            && let Some(expanded) = json_payload::expand(text)?
        {
            payload = expanded;
        }
        let empty = payload.value.is_null() || payload.value.as_str() == Some("");
        if self.empty_is_tombstone && empty {
            return Ok(SchemaAndValue::default());
        }
        if extra.is_empty() {
            return Ok(payload);
        }
        let Some(payload_schema) = payload.schema else { return Ok(payload) };
        let version = match &self.schema_version {
            Some(column) => row.get(column)?.as_i64().and_then(|version| i32::try_from(version).ok()),
            None => None,
        };
        let row_name = row.schema().name().unwrap_or_default();
        let name = format!("{}.{routed_by}.Value", row_name.strip_suffix(".Value").unwrap_or(row_name));
        // The envelope depends on the event's kind and version too, so it is kept by a name that has them.
        let known = Schema::structure().name(&name).version(version.unwrap_or(-1)).field("payload", payload_schema);
        let envelope = self.envelopes.get(&known.build()?, |known| {
            let mut builder = Schema::structure().name(&name);
            if let Some(version) = version {
                builder = builder.version(version);
            }
            if let Some(payload) = known.field("payload") {
                builder = builder.field("payload", payload.schema.clone());
            }
            let schemas = extra.iter().filter_map(|(name, value)| Some((name, value.schema.clone()?)));
            schemas.fold(builder, |builder, (name, schema)| builder.field(name, schema)).build()
        })?;
        let values = std::iter::once(payload.value).chain(extra.into_iter().map(|(_, value)| value.value)).collect();
        Ok(SchemaAndValue::new(envelope.clone(), Struct::from_values(envelope, values)?))
    }
}

fn field(row: &Struct, column: &str) -> Option<SchemaAndValue> {
    let schema = row.schema().field(column)?.schema.clone();
    Some(SchemaAndValue::new(schema, row.get(column).ok()?.clone()))
}

/// A time of a column; Debezium's schemas say what its numbers count.
fn milliseconds(time: &SchemaAndValue) -> Option<i64> {
    let number = match &time.value {
        Value::Instant(ms) => return Some(*ms),
        Value::String(text) => return text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        other => other.as_i64()?,
    };
    Some(match time.schema.as_ref().and_then(Schema::name) {
        Some("io.debezium.time.MicroTimestamp") => number.div_euclid(1000),
        Some("io.debezium.time.NanoTimestamp") => number.div_euclid(1_000_000),
        _ => number,
    })
}

impl Transformation for EventRouter {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        if record.value.value.is_null() {
            // Behind the event of a deleted row.
            return Ok(Verdict::Drop);
        }
        let Some(event) = envelope(record) else { return Ok(Verdict::Keep) };
        match text(event, "op") {
            Some("c" | "r") => {}
            Some("u") if self.on_update == OnUpdate::Fail => {
                return Err(Error::Connect(format!("Unexpected update message received {}, fail.", record.key.value)));
            }
            _ => return Ok(Verdict::Drop),
        }
        let changed_ms = event.get("ts_ms").ok().and_then(Value::as_i64);
        let Value::Struct(row) = event.get("after")?.clone() else { return Ok(Verdict::Drop) };
        self.route(record, &row, changed_ms)?;
        Ok(Verdict::Keep)
    }
}
