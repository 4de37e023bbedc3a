//! Checks of single values, with the messages of Kafka's validators.

use std::fmt;
use std::sync::Arc;

use super::ConfigValue;
use super::def::Parsed;
use crate::error::{Error, Result};

/// Checks the value of a key.
pub trait Validator: Send + Sync {
    /// Accepts or refuses a value.
    ///
    /// # Errors
    /// [`Error::Config`] when the value will not do.
    fn ensure_valid(&self, name: &str, value: &ConfigValue) -> Result<()>;

    /// What is valid, for people: a list of values or a few words.
    fn describe(&self) -> Option<String> {
        None
    }
}

/// A check that says what it takes.
struct Described<F> {
    text: String,
    check: F,
}

impl<F: Fn(&str, &ConfigValue) -> Result<()> + Send + Sync> Validator for Described<F> {
    fn ensure_valid(&self, name: &str, value: &ConfigValue) -> Result<()> {
        (self.check)(name, value)
    }

    fn describe(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

/// A check, and in words what it takes.
pub fn described(
    text: impl Into<String>,
    check: impl Fn(&str, &ConfigValue) -> Result<()> + Send + Sync + 'static,
) -> Arc<dyn Validator> {
    Arc::new(Described { text: text.into(), check })
}

impl<F: Fn(&str, &ConfigValue) -> Result<()> + Send + Sync> Validator for F {
    fn ensure_valid(&self, name: &str, value: &ConfigValue) -> Result<()> {
        self(name, value)
    }
}

impl fmt::Debug for dyn Validator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Validator")
    }
}

/// Says which values would do, and whether a key matters, in view of the others.
pub trait Recommender: Send + Sync {
    /// Values to choose from; empty when any will do.
    fn valid_values(&self, name: &str, parsed: &Parsed) -> Vec<ConfigValue>;

    /// Whether the key has a meaning with the others as they are.
    fn visible(&self, name: &str, parsed: &Parsed) -> bool;
}

impl fmt::Debug for dyn Recommender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Recommender")
    }
}

fn refuse(name: &str, value: &ConfigValue, reason: &str) -> Error {
    Error::config_value(name, &value.to_message(), reason)
}

/// A number that is not smaller than `min`.
pub fn at_least(min: i64) -> Arc<dyn Validator> {
    described(format!("at least {min}"), move |name, value| range(name, value, Some(min), None))
}

/// A number from `min` to `max`, both included.
pub fn between(min: i64, max: i64) -> Arc<dyn Validator> {
    described(format!("{min} to {max}"), move |name, value| range(name, value, Some(min), Some(max)))
}

fn range(name: &str, value: &ConfigValue, min: Option<i64>, max: Option<i64>) -> Result<()> {
    let number = match value {
        ConfigValue::Double(value) => *value,
        // Bounds are far within what a double holds exactly.
        other => match other.as_i64() {
            Some(value) => value as f64,
            None => return Err(refuse(name, value, "Value must be non-null")),
        },
    };
    match (min, max) {
        (Some(min), _) if number < min as f64 => Err(refuse(name, value, &format!("Value must be at least {min}"))),
        (_, Some(max)) if number > max as f64 => Err(refuse(name, value, &format!("Value must be no more than {max}"))),
        _ => Ok(()),
    }
}

/// One of these texts.
pub fn one_of(texts: &'static [&'static str]) -> Arc<dyn Validator> {
    described(texts.join(", "), move |name, value| {
        if value.as_str().is_some_and(|text| texts.contains(&text)) {
            return Ok(());
        }
        Err(refuse(name, value, &format!("String must be one of: {}", texts.join(", "))))
    })
}

/// One of these texts in any case, or null.
pub fn one_of_any_case(texts: &'static [&'static str]) -> Arc<dyn Validator> {
    described(format!("{}, in any case", texts.join(", ")), move |name, value| {
        let known = |text: &str| texts.iter().any(|known| known.eq_ignore_ascii_case(text));
        if value.as_str().is_none_or(known) {
            return Ok(());
        }
        Err(refuse(name, value, &format!("String must be one of (case insensitive): {}", texts.join(", "))))
    })
}

/// A text that is not empty, or null.
pub fn non_empty_string() -> Arc<dyn Validator> {
    described("text that is not empty", |name, value| match value.as_str() {
        Some("") => Err(refuse(name, value, "String must be non-empty")),
        _ => Ok(()),
    })
}

/// Anything but null.
pub fn non_null() -> Arc<dyn Validator> {
    described("anything but null", |name, value| match value {
        ConfigValue::Null => Err(refuse(name, value, "entry must be non null")),
        _ => Ok(()),
    })
}
