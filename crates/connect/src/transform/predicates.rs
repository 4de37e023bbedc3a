//! Predicates: questions about a record.

use std::sync::Arc;

use super::options::{self, Options, valid_regex};
use super::{Parts, Predicate};
use crate::config::{ConfigDef, ConfigType, ConfigValue, Importance, Properties, Validator, non_empty_string};
use crate::error::{Error, Result};
use crate::java::JavaRegex;
use crate::record::Record;

/// `HasHeaderKey`: whether there is a header of a name.
#[derive(Debug)]
pub(super) struct HasHeaderKey {
    name: String,
}

impl HasHeaderKey {
    pub(super) fn config_def() -> ConfigDef {
        let name = options::required("name", ConfigType::String, Importance::Medium, "Name of the header.");
        ConfigDef::new().define(name.validated(non_empty_string()))
    }

    pub(super) fn build(config: &Properties) -> Result<HasHeaderKey> {
        let options = Options::parse(&HasHeaderKey::config_def(), config)?;
        Ok(HasHeaderKey { name: options.required("name")?.to_owned() })
    }
}

impl Predicate for HasHeaderKey {
    fn test(&mut self, record: &Record) -> Result<bool> {
        Ok(record.headers.contains(&self.name))
    }

    fn parts(&self) -> Parts {
        Parts { headers: true, ..Parts::NONE }
    }
}

/// `RecordIsTombstone`: whether the value is null.
#[derive(Debug)]
pub(super) struct RecordIsTombstone;

impl Predicate for RecordIsTombstone {
    fn test(&mut self, record: &Record) -> Result<bool> {
        Ok(record.value.value.is_null())
    }

    fn parts(&self) -> Parts {
        Parts { value: true, ..Parts::NONE }
    }
}

/// `TopicNameMatches`: whether the whole topic fits a regular expression.
#[derive(Debug)]
pub(super) struct TopicNameMatches {
    pattern: JavaRegex,
}

impl TopicNameMatches {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "Regular expression that the whole topic must fit.";
        let pattern = options::required("pattern", ConfigType::String, Importance::Medium, documentation);
        let (non_empty, regex) = (non_empty_string(), valid_regex());
        let both: Arc<dyn Validator> = Arc::new(move |name: &str, value: &ConfigValue| {
            non_empty.ensure_valid(name, value)?;
            regex.ensure_valid(name, value)
        });
        ConfigDef::new().define(pattern.validated(both))
    }

    pub(super) fn build(config: &Properties) -> Result<TopicNameMatches> {
        let options = Options::parse(&TopicNameMatches::config_def(), config)?;
        let pattern = options.required("pattern")?;
        let invalid = |problem: String| Error::config_value("pattern", pattern, &problem);
        Ok(TopicNameMatches { pattern: JavaRegex::new(pattern).map_err(invalid)? })
    }
}

impl Predicate for TopicNameMatches {
    fn test(&mut self, record: &Record) -> Result<bool> {
        self.pattern.matches(&record.topic)
    }

    fn parts(&self) -> Parts {
        Parts::NONE
    }
}
