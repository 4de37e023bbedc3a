//! Keys and the definition they make up.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::parse::{ClassNames, parse};
use super::report::{ConfigReport, ReportedValue};
use super::{ConfigType, ConfigValue, Properties, Recommender, Validator};
use crate::error::{Error, Result};

/// How much a key matters to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Nobody gets by without it.
    High,
    /// Many want it.
    Medium,
    /// For special cases.
    Low,
}

impl Importance {
    /// Name in Kafka's reports.
    pub fn name(self) -> &'static str {
        match self {
            Importance::High => "HIGH",
            Importance::Medium => "MEDIUM",
            Importance::Low => "LOW",
        }
    }
}

/// How wide a form's field for the key should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    /// Not said.
    #[default]
    None,
    /// A few characters.
    Short,
    /// A name.
    Medium,
    /// A list or an address.
    Long,
}

impl Width {
    /// Name in Kafka's reports.
    pub fn name(self) -> &'static str {
        match self {
            Width::None => "NONE",
            Width::Short => "SHORT",
            Width::Medium => "MEDIUM",
            Width::Long => "LONG",
        }
    }
}

/// One key.
#[derive(Debug, Clone)]
pub struct ConfigKey {
    /// Name, as users write it.
    pub name: String,
    /// Type of its values.
    pub ty: ConfigType,
    /// What stands for a key that is not given; `None` when it must be given.
    pub default: Option<ConfigValue>,
    /// Check of the value.
    pub validator: Option<Arc<dyn Validator>>,
    /// How much it matters.
    pub importance: Importance,
    /// What it does, for people.
    pub documentation: String,
    /// Heading it stands under.
    pub group: Option<String>,
    /// Place under the heading; -1 without one.
    pub order: i32,
    /// Width of a form's field.
    pub width: Width,
    /// Name for people.
    pub display_name: String,
    /// Keys whose meaning depends on this one.
    pub dependents: Vec<String>,
    /// Advice in view of other keys.
    pub recommender: Option<Arc<dyn Recommender>>,
    /// Not shown in reports.
    pub internal: bool,
}

impl ConfigKey {
    /// A key that must be given, with nothing else said yet.
    pub fn required(name: &str, ty: ConfigType, importance: Importance, documentation: &str) -> ConfigKey {
        ConfigKey {
            name: name.to_owned(),
            ty,
            default: None,
            validator: None,
            importance,
            documentation: documentation.to_owned(),
            group: None,
            order: -1,
            width: Width::None,
            display_name: name.to_owned(),
            dependents: Vec::new(),
            recommender: None,
            internal: false,
        }
    }

    /// A key with a default.
    pub fn optional(
        name: &str,
        ty: ConfigType,
        default: ConfigValue,
        importance: Importance,
        documentation: &str,
    ) -> ConfigKey {
        ConfigKey { default: Some(default), ..ConfigKey::required(name, ty, importance, documentation) }
    }

    /// Puts the key under a heading.
    #[must_use]
    pub fn in_group(self, group: &str, order: i32, width: Width, display_name: &str) -> ConfigKey {
        ConfigKey { group: Some(group.to_owned()), order, width, display_name: display_name.to_owned(), ..self }
    }

    /// Sets the check.
    #[must_use]
    pub fn validated(self, validator: Arc<dyn Validator>) -> ConfigKey {
        ConfigKey { validator: Some(validator), ..self }
    }

    /// Sets the advice.
    #[must_use]
    pub fn recommended(self, recommender: Arc<dyn Recommender>) -> ConfigKey {
        ConfigKey { recommender: Some(recommender), ..self }
    }

    /// Names keys whose meaning depends on this one.
    #[must_use]
    pub fn with_dependents(self, names: &[&str]) -> ConfigKey {
        ConfigKey { dependents: names.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }
}

/// Typed values by key.
pub type Parsed = BTreeMap<String, ConfigValue>;

/// The keys of a component, in the order in which they were defined.
#[derive(Debug, Clone, Default)]
pub struct ConfigDef {
    keys: IndexMap<String, ConfigKey>,
}

impl ConfigDef {
    /// A definition without keys.
    pub fn new() -> ConfigDef {
        ConfigDef::default()
    }

    /// Adds a key.
    ///
    /// # Panics
    /// When the key is there already or its default does not pass its check: mistakes of the component.
    #[must_use]
    pub fn define(mut self, key: ConfigKey) -> ConfigDef {
        if let (Some(validator), Some(default)) = (&key.validator, &key.default) {
            let valid = validator.ensure_valid(&key.name, default);
            assert!(valid.is_ok(), "default of {}: {valid:?}", key.name);
        }
        let name = key.name.clone();
        assert!(self.keys.insert(name, key).is_none(), "a key is defined twice");
        self
    }

    /// Adds every key of another definition under `prefix`, in one group; a key that is there already stays.
    pub fn embed(&mut self, prefix: &str, group: Option<&str>, first_order: i32, other: &ConfigDef) {
        for (order, key) in (first_order..).zip(other.keys.values()) {
            let name = format!("{prefix}{}", key.name);
            let group = group.map(str::to_owned).or_else(|| key.group.clone());
            let dependents = key.dependents.iter().map(|dependent| format!("{prefix}{dependent}")).collect();
            let validator = key.validator.clone().map(|inner| {
                let embedded: Arc<dyn Validator> = Arc::new(Embedded { prefix: prefix.to_owned(), inner });
                embedded
            });
            let recommender = key.recommender.clone().map(|inner| {
                let embedded: Arc<dyn Recommender> = Arc::new(Embedded { prefix: prefix.to_owned(), inner });
                embedded
            });
            let key = ConfigKey { name: name.clone(), group, order, dependents, validator, recommender, ..key.clone() };
            self.keys.entry(name).or_insert(key);
        }
    }

    /// Keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &ConfigKey> {
        self.keys.values()
    }

    /// A key.
    pub fn key(&self, name: &str) -> Option<&ConfigKey> {
        self.keys.get(name)
    }

    /// Groups in the order of their first key.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for group in self.keys.values().filter_map(|key| key.group.as_deref()) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    /// Typed values of every key.
    ///
    /// # Errors
    /// [`Error::Config`] with the first problem.
    pub fn parse(&self, properties: &Properties, classes: &dyn ClassNames) -> Result<Parsed> {
        let mut parsed = Parsed::new();
        for key in self.keys.values() {
            let value = given_or_default(key, properties, classes)?;
            if let Some(validator) = &key.validator {
                validator.ensure_valid(&key.name, &value)?;
            }
            parsed.insert(key.name.clone(), value);
        }
        Ok(parsed)
    }

    /// Checks every key and reports all problems at once, as `/config/validate` shows them.
    pub fn validate(&self, properties: &Properties, classes: &dyn ClassNames) -> ConfigReport {
        let mut parsed = Parsed::new();
        let mut report = ConfigReport::default();
        for key in self.keys.values() {
            let mut errors = Vec::new();
            let value = given_or_default(key, properties, classes).unwrap_or_else(|error| {
                errors.push(error.to_string());
                ConfigValue::Null
            });
            // As in Kafka, the check also sees the null that stands for what could not be read.
            if let Some(validator) = &key.validator
                && let Err(error) = validator.ensure_valid(&key.name, &value)
            {
                errors.push(error.to_string());
            }
            parsed.insert(key.name.clone(), value.clone());
            let reported = ReportedValue { value, errors, recommended_values: Vec::new(), visible: true };
            report.values.insert(key.name.clone(), reported);
        }
        for key in self.keys.values() {
            for dependent in key.dependents.iter().filter(|dependent| !self.keys.contains_key(*dependent)) {
                report.add_error(&key.name, format!("{dependent} is referred in the dependents, but not defined."));
            }
            if let (Some(recommender), Some(reported)) = (&key.recommender, report.values.get_mut(&key.name)) {
                reported.recommended_values = recommender.valid_values(&key.name, &parsed);
                reported.visible = recommender.visible(&key.name, &parsed);
            }
        }
        report
    }
}

/// A check or advice that knows the keys of its own definition by their own names, as in Kafka.
struct Embedded<T: ?Sized> {
    prefix: String,
    inner: Arc<T>,
}

impl<T: ?Sized> Embedded<T> {
    fn own<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.prefix.as_str()).unwrap_or(name)
    }

    fn own_values(&self, parsed: &Parsed) -> Parsed {
        let own = |(name, value): (&String, &ConfigValue)| {
            name.strip_prefix(self.prefix.as_str()).map(|name| (name.to_owned(), value.clone()))
        };
        parsed.iter().filter_map(own).collect()
    }
}

impl Validator for Embedded<dyn Validator> {
    fn ensure_valid(&self, name: &str, value: &ConfigValue) -> Result<()> {
        self.inner.ensure_valid(self.own(name), value)
    }

    fn describe(&self) -> Option<String> {
        self.inner.describe()
    }
}

impl Recommender for Embedded<dyn Recommender> {
    fn valid_values(&self, name: &str, parsed: &Parsed) -> Vec<ConfigValue> {
        self.inner.valid_values(self.own(name), &self.own_values(parsed))
    }

    fn visible(&self, name: &str, parsed: &Parsed) -> bool {
        self.inner.visible(self.own(name), &self.own_values(parsed))
    }
}

/// The value of a key before its check.
fn given_or_default(key: &ConfigKey, properties: &Properties, classes: &dyn ClassNames) -> Result<ConfigValue> {
    match (properties.get(&key.name), &key.default) {
        (Some(Some(text)), _) => parse(&key.name, key.ty, text, classes),
        (Some(None), _) => Ok(ConfigValue::Null),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => {
            Err(Error::Config(format!("Missing required configuration \"{}\" which has no default value.", key.name)))
        }
    }
}
