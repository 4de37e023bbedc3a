//! Configuration definitions: which keys a component has, their types, defaults and checks.
//!
//! A [`ConfigDef`] turns the flat `key = text` map of a connector into typed values, or into the report that
//! `/config/validate` answers with. Types, rules and messages are those of Kafka's `ConfigDef`.

mod def;
mod options;
mod page;
mod parse;
mod password;
mod report;
mod validators;
mod value;

use std::collections::BTreeMap;

pub use kanat_connect_derive::ConfigOptions;

pub use self::def::{ConfigDef, ConfigKey, Importance, Parsed, Width};
pub use self::options::{ClassName, ConfigOptions, NoClasses, OptionType, read_option};
pub use self::parse::ClassNames;
pub use self::password::Password;
pub use self::report::{ConfigReport, ReportedValue};
pub use self::validators::{
    Recommender, Validator, at_least, between, described, non_empty_string, non_null, one_of, one_of_any_case,
};
pub use self::value::{ConfigType, ConfigValue};

/// A configuration as it was written: `None` for a JSON null.
pub type Properties = BTreeMap<String, Option<String>>;

#[cfg(test)]
mod tests;
