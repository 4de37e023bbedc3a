//! `io.debezium.transforms.ByLogicalTableRouter`: events of many tables, such as shards, into one topic.

use super::super::options::{self, Options, valid_regex};
use super::super::part::{SchemaCache, copy_basics, require_struct};
use super::super::{Parts, Transformation, Verdict};
use super::envelope;
use crate::config::{ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Properties, non_empty_string};
use crate::data::{Schema, Struct, Text, Type, Value};
use crate::error::{Error, Result};
use crate::java::{JavaRegex, Replacement};
use crate::record::Record;

/// See the module.
#[derive(Debug)]
pub(super) struct ByLogicalTableRouter {
    topic: (JavaRegex, Replacement),
    /// The field that keeps keys of different tables apart, when that is wanted.
    key_field: Option<Text>,
    /// What of the old topic the field holds; all of it without.
    key_value: Option<(JavaRegex, Replacement)>,
    key_schemas: SchemaCache<(Text, Schema)>,
    value_schemas: SchemaCache<(Text, Schema)>,
}

impl ByLogicalTableRouter {
    pub(super) fn config_def() -> ConfigDef {
        let required =
            |name, documentation| options::required(name, ConfigType::String, Importance::Low, documentation);
        let text = |name, default, documentation| options::text(name, default, Importance::Low, documentation);
        let unique = ConfigKey::optional(
            "key.enforce.uniqueness",
            ConfigType::Boolean,
            ConfigValue::Boolean(true),
            Importance::Low,
            "Whether keys get a field for the table they come from.",
        );
        ConfigDef::new()
            .define(required("topic.regex", "Regular expression for topics to route.").validated(valid_regex()))
            .define(
                required("topic.replacement", "Where to; $1 stands for the first group.").validated(non_empty_string()),
            )
            .define(unique)
            .define(text("key.field.name", Some("__dbz__physicalTableIdentifier"), "Name of that field."))
            .define(text("key.field.regex", None, "Regular expression for what the field holds of the old topic."))
            .define(text("key.field.replacement", None, "What the field holds; $1 stands for the first group."))
    }

    pub(super) fn build(config: &Properties) -> Result<ByLogicalTableRouter> {
        let options = Options::parse(&ByLogicalTableRouter::config_def(), config)?;
        let regex = |key: &str, pattern: &str| {
            JavaRegex::new(pattern).map_err(|problem| Error::config_value(key, pattern, &problem))
        };
        let topic = (
            regex("topic.regex", options.required("topic.regex")?)?,
            Replacement::new(options.required("topic.replacement")?),
        );
        let key_value = match (options.text("key.field.regex"), options.text("key.field.replacement")) {
            (Some(pattern), Some(replacement)) if !pattern.is_empty() => {
                Some((regex("key.field.regex", pattern)?, Replacement::new(replacement)))
            }
            (Some(pattern), None) if !pattern.is_empty() => {
                let reason = "key.field.replacement must be given too";
                return Err(Error::config_value("key.field.regex", pattern, reason));
            }
            _ => None,
        };
        let name = options.text("key.field.name").unwrap_or_default();
        Ok(ByLogicalTableRouter {
            topic,
            key_field: options.flag("key.enforce.uniqueness").then(|| name.into()),
            key_value,
            key_schemas: SchemaCache::default(),
            value_schemas: SchemaCache::default(),
        })
    }

    /// What the key's field holds for a topic.
    fn key_value(&self, topic: &str) -> Result<Value> {
        if let Some((regex, replacement)) = &self.key_value
            && regex.matches(topic)?
            && let Some(replaced) = regex.replace_first(topic, replacement)?.filter(|text| !text.is_empty())
        {
            return Ok(replaced.into());
        }
        Ok(topic.into())
    }

    fn route_key(&mut self, record: &mut Record, old_topic: &str, topic: &Text) -> Result<()> {
        let Some(schema) = &record.key.schema else { return Ok(()) };
        let key_field = self.key_field.as_ref();
        if !matches!(record.key.value, Value::Struct(_)) {
            return Ok(());
        }
        let schema = schema_for(&mut self.key_schemas, schema, topic, |schema| {
            let mut builder = copy_basics(schema, Schema::structure()).name(&format!("{topic}.Key"));
            for field in schema.fields() {
                builder = builder.field(&field.name, field.schema.clone());
            }
            match key_field {
                Some(name) => builder.field(name, Schema::of(Type::String)).build(),
                None => builder.build(),
            }
        })?;
        let value = key_field.map(|_| self.key_value(old_topic)).transpose()?;
        let (_, mut values) =
            require_struct(std::mem::take(&mut record.key.value), "logical table routing")?.into_parts();
        values.extend(value);
        record.key.value = Struct::from_values(schema.clone(), values)?.into();
        record.key.schema = Some(schema);
        Ok(())
    }

    /// Rows and events get schemas named after the new topic, so that those of all tables are the same.
    fn route_value(&mut self, record: &mut Record, topic: &Text) -> Result<()> {
        let Some(event) = envelope(record) else { return Ok(()) };
        let schema = schema_for(&mut self.value_schemas, event.schema(), topic, |event| {
            let mut builder = copy_basics(event, Schema::structure()).name(&format!("{topic}.Envelope"));
            for field in event.fields() {
                let schema = match &*field.name {
                    "before" | "after" => field.schema.to_builder().name(&format!("{topic}.Value")).build()?,
                    _ => field.schema.clone(),
                };
                builder = builder.field(&field.name, schema);
            }
            builder.build()
        })?;
        let (_, values) =
            require_struct(std::mem::take(&mut record.value.value), "logical table routing")?.into_parts();
        let renamed = |(field, value): (&crate::data::Field, Value)| match (&*field.name, value) {
            ("before" | "after", Value::Struct(row)) => {
                Struct::from_values(field.schema.clone(), row.into_parts().1).map(Value::from)
            }
            (_, value) => Ok(value),
        };
        let values = schema.fields().iter().zip(values).map(renamed).collect::<Result<_>>()?;
        record.value.value = Struct::from_values(schema.clone(), values)?.into();
        record.value.schema = Some(schema);
        Ok(())
    }
}

/// A schema made from another for a topic.
fn schema_for(
    cache: &mut SchemaCache<(Text, Schema)>,
    schema: &Schema,
    topic: &Text,
    make: impl Fn(&Schema) -> Result<Schema>,
) -> Result<Schema> {
    let (known_topic, known) = cache.get(schema, |schema| Ok((topic.clone(), make(schema)?)))?;
    // One schema that goes to two topics is rare enough to be made anew each time.
    if known_topic == *topic { Ok(known) } else { make(schema) }
}

impl Transformation for ByLogicalTableRouter {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let (regex, replacement) = &self.topic;
        if !regex.matches(&record.topic)? {
            return Ok(Verdict::Keep);
        }
        let Some(topic) = regex.replace_first(&record.topic, replacement)?.filter(|topic| !topic.is_empty()) else {
            return Ok(Verdict::Keep);
        };
        let topic = Text::from(topic);
        let old_topic = std::mem::replace(&mut record.topic, topic.clone());
        self.route_key(record, &old_topic, &topic)?;
        self.route_value(record, &topic)?;
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        Parts { key: true, value: true, headers: false }
    }
}
