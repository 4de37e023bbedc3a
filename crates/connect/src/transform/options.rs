//! Keys of transforms and predicates.

use std::fmt;
use std::sync::Arc;

use crate::config::{
    ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, NoClasses, Parsed, Properties, Validator, described,
};
use crate::error::{Error, Result};
use crate::java::JavaRegex;

/// Typed values of the keys of one transform.
pub(super) struct Options {
    parsed: Parsed,
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parsed.fmt(formatter)
    }
}

impl Options {
    pub(super) fn parse(definition: &ConfigDef, config: &Properties) -> Result<Options> {
        definition.parse(config, &NoClasses).map(|parsed| Options { parsed })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.parsed.get(name).and_then(ConfigValue::as_str)
    }

    /// A text that the definition requires.
    pub(super) fn required(&self, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| {
            Error::Config(format!("Missing required configuration \"{name}\" which has no default value."))
        })
    }

    pub(super) fn list(&self, name: &str) -> &[String] {
        self.parsed.get(name).and_then(ConfigValue::as_list).unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.parsed.get(name).and_then(ConfigValue::as_bool).unwrap_or_default()
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.parsed.get(name).and_then(ConfigValue::as_i64)
    }

    /// `replace.null.with.default`
    pub(super) fn replace_null(&self) -> bool {
        self.flag(REPLACE_NULL)
    }
}

const REPLACE_NULL: &str = "replace.null.with.default";

/// Adds the key that many transforms have.
pub(super) fn with_replace_null(definition: ConfigDef) -> ConfigDef {
    let documentation = "A field that is null and has a default is taken as its default.";
    let default = ConfigValue::Boolean(true);
    definition.define(ConfigKey::optional(
        REPLACE_NULL,
        ConfigType::Boolean,
        default,
        Importance::Medium,
        documentation,
    ))
}

pub(super) fn required(name: &str, ty: ConfigType, importance: Importance, documentation: &str) -> ConfigKey {
    ConfigKey::required(name, ty, importance, documentation)
}

/// A text with a default; `None` is null.
pub(super) fn text(name: &str, default: Option<&str>, importance: Importance, documentation: &str) -> ConfigKey {
    let default = default.map_or(ConfigValue::Null, |default| ConfigValue::String(default.to_owned()));
    ConfigKey::optional(name, ConfigType::String, default, importance, documentation)
}

/// A list that is empty by default.
pub(super) fn list(name: &str, importance: Importance, documentation: &str) -> ConfigKey {
    ConfigKey::optional(name, ConfigType::List, ConfigValue::List(Vec::new()), importance, documentation)
}

/// Whether a text is a regular expression.
pub(super) fn valid_regex() -> Arc<dyn Validator> {
    Arc::new(|name: &str, value: &ConfigValue| {
        let problem = match value.as_str() {
            Some(pattern) => JavaRegex::new(pattern).err(),
            // What a Java worker says when the key is missing.
            None => Some("Cannot invoke \"String.isEmpty()\" because \"this.pattern\" is null".to_owned()),
        };
        match problem {
            Some(problem) => Err(Error::config_value(name, &value.to_message(), &format!("Invalid regex: {problem}"))),
            None => Ok(()),
        }
    })
}

/// Parts between colons, as Java's `split` makes them: empty ones at the end are left out.
pub(super) fn split(entry: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = entry.split(':').collect();
    while parts.last().is_some_and(|last| last.is_empty()) && !entry.is_empty() {
        parts.pop();
    }
    parts
}

/// An entry of a list that is not made of two parts.
pub(super) fn invalid_mapping(entries: &[String], entry: &str) -> Error {
    let all = format!("[{}]", entries.join(", "));
    Error::config_value("renames", &all, &format!("Invalid rename mapping: {entry}"))
}

/// A list with something in it.
pub(super) fn not_empty() -> Arc<dyn Validator> {
    described("a list that is not empty", |name, value| match value.as_list() {
        Some([]) => Err(Error::Config(format!(
            "Configuration '{name}' must not be empty. Valid values include: any non-empty value"
        ))),
        _ => Ok(()),
    })
}
