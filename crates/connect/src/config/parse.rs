//! Text of a key to its value.

use std::fmt;

use super::{ConfigType, ConfigValue, Password};
use crate::error::{Error, Result};

/// Which plugin classes there are.
pub trait ClassNames: fmt::Debug + Send + Sync {
    /// The full name of a class by its full name or an alias; `None` when there is none.
    fn resolve(&self, name: &str) -> Option<String>;
}

/// Reads the text of a key, with Kafka's rules: space around it does not count, except in secrets.
pub(super) fn parse(name: &str, ty: ConfigType, text: &str, classes: &dyn ClassNames) -> Result<ConfigValue> {
    let trimmed = text.trim();
    let not_a_number = |_| Error::config_value(name, trimmed, &format!("Not a number of type {}", ty.name()));
    Ok(match ty {
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => ConfigValue::Boolean(true),
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => ConfigValue::Boolean(false),
        ConfigType::Boolean => {
            return Err(Error::config_value(name, text, "Expected value to be either true or false"));
        }
        ConfigType::String => ConfigValue::String(trimmed.to_owned()),
        ConfigType::Password => ConfigValue::Password(Password::new(text)),
        ConfigType::Int => ConfigValue::Int(trimmed.parse().map_err(not_a_number)?),
        ConfigType::Short => ConfigValue::Short(trimmed.parse().map_err(not_a_number)?),
        ConfigType::Long => ConfigValue::Long(trimmed.parse().map_err(not_a_number)?),
        ConfigType::Double => match trimmed.parse() {
            Ok(value) => ConfigValue::Double(value),
            Err(_) => return Err(Error::config_value(name, trimmed, "Not a number of type DOUBLE")),
        },
        ConfigType::List if trimmed.is_empty() => ConfigValue::List(Vec::new()),
        ConfigType::List => ConfigValue::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect()),
        ConfigType::Class => match classes.resolve(trimmed) {
            Some(class) => ConfigValue::Class(class),
            None => {
                return Err(Error::config_value(name, trimmed, &format!("Class {trimmed} could not be found.")));
            }
        },
    })
}
