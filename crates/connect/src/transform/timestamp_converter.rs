//! `TimestampConverter`: points in time from one form to another.

use std::time::{SystemTime, UNIX_EPOCH};

use super::options::{self, Options};
use super::part::{Part, SchemaCache, copy_basics, no_struct, or_default, require_map};
use super::{Parts, Transformation, Verdict};
use crate::config::{ConfigDef, ConfigType, Importance, Properties, one_of};
use crate::data::{
    Field, Logical, Schema, SchemaBuilder, Struct, Type, Value, date_schema, time_schema, timestamp_schema,
};
use crate::error::{Error, Result};
use crate::java::DateFormat;
use crate::record::Record;

const PURPOSE: &str = "converting timestamp formats";

/// A form of a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    String,
    Unix,
    Date,
    Time,
    Timestamp,
}

impl Form {
    /// That of a field, by its schema.
    fn of(schema: &Schema) -> Result<Form> {
        match (Logical::of(schema), schema.ty()) {
            (Some(Logical::Timestamp), _) => Ok(Form::Timestamp),
            (Some(Logical::Date), _) => Ok(Form::Date),
            (Some(Logical::Time), _) => Ok(Form::Time),
            (_, Type::String) => Ok(Form::String),
            (_, Type::Int64) => Ok(Form::Unix),
            _ => Err(Error::connect(format!("Schema {schema} does not correspond to a known timestamp type format"))),
        }
    }

    /// That of a value without schema.
    fn of_value(value: &Value) -> Result<Form> {
        match value {
            Value::Instant(_) => Ok(Form::Timestamp),
            Value::Int64(_) => Ok(Form::Unix),
            Value::String(_) => Ok(Form::String),
            other => {
                let class = other.java_class();
                Err(Error::data(format!("TimestampConverter does not support class {class} objects as timestamps")))
            }
        }
    }

    fn schema(self, optional: bool) -> Result<Schema> {
        let builder = match self {
            Form::String => Schema::build(Type::String),
            Form::Unix => Schema::build(Type::Int64),
            Form::Date => date_schema(),
            Form::Time => time_schema(),
            Form::Timestamp => timestamp_schema(),
        };
        builder.set_optional(optional).build()
    }

    fn name(self) -> &'static str {
        match self {
            Form::Date => "Date",
            Form::Time => "Time",
            _ => "Timestamp",
        }
    }
}

/// What numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Precision {
    fn to_ms(self, number: i64) -> i64 {
        match self {
            Precision::Seconds => number.saturating_mul(1000),
            Precision::Milliseconds => number,
            Precision::Microseconds => number / 1000,
            Precision::Nanoseconds => number / 1_000_000,
        }
    }

    fn count(self, ms: i64) -> i64 {
        match self {
            Precision::Seconds => ms / 1000,
            Precision::Milliseconds => ms,
            Precision::Microseconds => ms.saturating_mul(1000),
            Precision::Nanoseconds => ms.saturating_mul(1_000_000),
        }
    }
}

/// How times are read and written.
#[derive(Debug)]
struct Conversion {
    target: Form,
    format: Option<DateFormat>,
    precision: Precision,
}

impl Conversion {
    fn convert(&self, value: &Value, from: Option<Form>) -> Result<Value> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let from = match from {
            Some(from) => from,
            None => Form::of_value(value)?,
        };
        Ok(self.write(self.read(value, from)?))
    }

    /// To milliseconds.
    fn read(&self, value: &Value, from: Form) -> Result<i64> {
        let class = value.java_class();
        match (from, value) {
            (Form::String, Value::String(text)) => self.parse(text),
            (Form::Unix, Value::Int64(number)) => Ok(self.precision.to_ms(*number)),
            (Form::Date | Form::Time | Form::Timestamp, Value::Instant(ms)) => Ok(*ms),
            (Form::String, _) => {
                Err(Error::data(format!("Expected string timestamp to be a String, but found class {class}")))
            }
            (Form::Unix, _) => {
                Err(Error::data(format!("Expected Unix timestamp to be a Long, but found class {class}")))
            }
            (form, _) => {
                let form = form.name();
                Err(Error::data(format!("Expected {form} to be a java.util.Date, but found class {class}")))
            }
        }
    }

    fn parse(&self, text: &str) -> Result<i64> {
        let Some(format) = &self.format else {
            return Err(Error::data("TimestampConverter cannot read text as a timestamp without the option format"));
        };
        // Only patterns with two digits of a year ask for the time of day.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        format.parse(text, now_ms).ok_or_else(|| {
            let pattern = format.pattern();
            Error::data(format!("Could not parse timestamp: value ({text}) does not match pattern ({pattern})"))
        })
    }

    fn write(&self, ms: i64) -> Value {
        match self.target {
            Form::String => self.format.as_ref().map_or(Value::Null, |format| format.format(ms).into()),
            Form::Unix => Value::Int64(self.precision.count(ms)),
            Form::Date => Value::Instant(ms - ms.rem_euclid(Logical::DAY_MS)),
            Form::Time => Value::Instant(ms.rem_euclid(Logical::DAY_MS)),
            Form::Timestamp => Value::Instant(ms),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct TimestampConverter {
    part: Part,
    field: String,
    conversion: Conversion,
    replace_null: bool,
    schemas: SchemaCache<(Schema, Option<Form>)>,
}

impl TimestampConverter {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "Name of the field; empty when the whole of the key or value is a time.";
        let field = options::text("field", Some(""), Importance::High, documentation);
        let documentation = "What the time becomes: text (string), a number (unix), or one of the types Date, Time and \
             Timestamp.";
        let target = options::required("target.type", ConfigType::String, Importance::High, documentation);
        let documentation = "How text is read and written, in the syntax of Java's SimpleDateFormat, in UTC.";
        let format = options::text("format", Some(""), Importance::Medium, documentation);
        let documentation = "What numbers count, read and written, since 1970.";
        let precision = options::text("unix.precision", Some("milliseconds"), Importance::Low, documentation);
        let definition = ConfigDef::new()
            .define(field)
            .define(target.validated(one_of(&["string", "unix", "Date", "Time", "Timestamp"])))
            .define(format)
            .define(precision.validated(one_of(&["nanoseconds", "microseconds", "milliseconds", "seconds"])));
        options::with_replace_null(definition)
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<TimestampConverter> {
        let options = Options::parse(&TimestampConverter::config_def(), config)?;
        let target = match options.required("target.type")? {
            "string" => Form::String,
            "unix" => Form::Unix,
            "Date" => Form::Date,
            "Time" => Form::Time,
            _ => Form::Timestamp,
        };
        let precision = match options.text("unix.precision") {
            Some("seconds") => Precision::Seconds,
            Some("microseconds") => Precision::Microseconds,
            Some("nanoseconds") => Precision::Nanoseconds,
            _ => Precision::Milliseconds,
        };
        let pattern = options.text("format").filter(|pattern| !pattern.trim().is_empty());
        if target == Form::String && pattern.is_none() {
            let message = "TimestampConverter requires format option to be specified when using string timestamps";
            return Err(Error::Config(message.to_owned()));
        }
        let format = pattern.map(DateFormat::new).transpose().map_err(|problem| {
            // A Java worker swaps the name of the key and the reason here; people search for its text.
            Error::Config(format!(
                "Invalid value java.lang.IllegalArgumentException: {problem} for configuration TimestampConverter \
                 requires a SimpleDateFormat-compatible pattern for string timestamps: {}",
                pattern.unwrap_or_default()
            ))
        })?;
        Ok(TimestampConverter {
            part,
            field: options.text("field").unwrap_or_default().to_owned(),
            conversion: Conversion { target, format, precision },
            replace_null: options.replace_null(),
            schemas: SchemaCache::default(),
        })
    }

    /// The new schema, and the form that the field has in the old one.
    fn struct_schema(&self, schema: &Schema) -> Result<(Schema, Option<Form>)> {
        let mut builder = copy_basics(schema, Schema::structure());
        let mut form = None;
        for field in schema.fields() {
            let field_schema = if *field.name == *self.field {
                form = Some(Form::of(&field.schema)?);
                self.conversion.target.schema(field.schema.is_optional())?
            } else {
                field.schema.clone()
            };
            builder = builder.field(&field.name, field_schema);
        }
        if schema.is_optional() {
            builder = builder.optional();
        }
        match schema.default_value() {
            Some(Value::Struct(default)) => {
                let bare = SchemaBuilder::clone(&builder).build()?;
                let default = self.convert_struct(Struct::clone(default), &bare, form)?;
                Ok((builder.default_value(default).build()?, form))
            }
            _ => Ok((builder.build()?, form)),
        }
    }

    fn convert_struct(&self, value: Struct, updated: &Schema, form: Option<Form>) -> Result<Struct> {
        let (old, values) = value.into_parts();
        let convert = |(field, value): (&Field, Value)| {
            let value = or_default(field, value, self.replace_null);
            if *field.name == *self.field { self.conversion.convert(&value, form) } else { Ok(value) }
        };
        let values = old.fields().iter().zip(values).map(convert).collect::<Result<_>>()?;
        Struct::from_values(updated.clone(), values)
    }
}

impl Transformation for TimestampConverter {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let part = self.part.of_mut(record);
        let Some(schema) = part.schema.clone() else {
            if part.value.is_null() || self.field.is_empty() {
                part.value = self.conversion.convert(&part.value, None)?;
                return Ok(Verdict::Keep);
            }
            let mut map = require_map(std::mem::take(&mut part.value), PURPOSE)?;
            let converted = self.conversion.convert(map.get_str(&self.field).unwrap_or(&Value::Null), None)?;
            map.insert(Value::from(self.field.as_str()), converted);
            part.value = map.into();
            return Ok(Verdict::Keep);
        };
        if self.field.is_empty() {
            let form = Form::of(&schema)?;
            part.value = self.conversion.convert(&part.value, Some(form))?;
            part.schema = Some(self.conversion.target.schema(schema.is_optional())?);
            return Ok(Verdict::Keep);
        }
        let value = std::mem::take(&mut part.value);
        if !matches!(value, Value::Null | Value::Struct(_)) {
            return Err(no_struct(&value, PURPOSE));
        }
        let mut schemas = std::mem::take(&mut self.schemas);
        let updated = schemas.get(&schema, |schema| self.struct_schema(schema));
        self.schemas = schemas;
        let (updated, form) = updated?;
        if let Value::Struct(value) = value {
            self.part.of_mut(record).value = self.convert_struct(*value, &updated, form)?.into();
        }
        self.part.of_mut(record).schema = Some(updated);
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}
