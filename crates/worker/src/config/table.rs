//! One row per worker key: type, default and check as in Kafka Connect, and what this worker does with it.

use kanat_connect::config::{
    ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Password, at_least, between, non_empty_string, one_of,
    one_of_any_case,
};

/// What stands for a key that is not given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Default {
    /// It must be given.
    Required,
    /// Nothing.
    Null,
    /// This text.
    Text(&'static str),
}

/// Check of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    /// Any value of the type.
    Any,
    /// Not smaller.
    AtLeast(i64),
    /// From, to.
    Between(i64, i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// Not the empty text.
    NonEmpty,
}

/// What the worker does with a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Support {
    /// What Connect does.
    Acts,
    /// Nothing, and going without is safe: said at start when the key is given, with the reason.
    NoEffect(&'static str),
    /// Only these values can be had; others are refused with the reason.
    Only(&'static [&'static str], &'static str),
}

/// A key of a worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    ty: ConfigType,
    default: Default,
    importance: Importance,
    check: Check,
    pub(super) support: Support,
    documentation: &'static str,
}

impl Row {
    pub(super) const fn new(
        name: &'static str,
        ty: ConfigType,
        default: Default,
        importance: Importance,
        documentation: &'static str,
    ) -> Row {
        Row { name, ty, default, importance, check: Check::Any, support: Support::Acts, documentation }
    }

    pub(super) const fn checked(self, check: Check) -> Row {
        Row { check, ..self }
    }

    pub(super) const fn support(self, support: Support) -> Row {
        Row { support, ..self }
    }

    fn key(&self) -> ConfigKey {
        let (name, ty) = (self.name, self.ty);
        let key = match self.default {
            Default::Required => ConfigKey::required(name, ty, self.importance, self.documentation),
            Default::Null => ConfigKey::optional(name, ty, ConfigValue::Null, self.importance, self.documentation),
            Default::Text(text) => {
                ConfigKey::optional(name, ty, default_value(ty, text), self.importance, self.documentation)
            }
        };
        match self.check {
            Check::Any => key,
            Check::AtLeast(min) => key.validated(at_least(min)),
            Check::Between(min, max) => key.validated(between(min, max)),
            Check::OneOf(texts) => key.validated(one_of(texts)),
            Check::OneOfAnyCase(texts) => key.validated(one_of_any_case(texts)),
            Check::NonEmpty => key.validated(non_empty_string()),
        }
    }
}

/// The definition these rows make up.
pub(super) fn definition<'a>(rows: impl IntoIterator<Item = &'a Row>) -> ConfigDef {
    rows.into_iter().fold(ConfigDef::new(), |definition, row| definition.define(row.key()))
}

/// A default of the tables, whose text our own tests have seen parse.
fn default_value(ty: ConfigType, text: &'static str) -> ConfigValue {
    const WRONG: &str = "a default of the table is of the key's type";
    match ty {
        ConfigType::Boolean => ConfigValue::Boolean(text == "true"),
        ConfigType::String => ConfigValue::String(text.to_owned()),
        ConfigType::Int => ConfigValue::Int(text.parse().expect(WRONG)),
        ConfigType::Short => ConfigValue::Short(text.parse().expect(WRONG)),
        ConfigType::Long => ConfigValue::Long(text.parse().expect(WRONG)),
        ConfigType::Double => ConfigValue::Double(text.parse().expect(WRONG)),
        ConfigType::List if text.is_empty() => ConfigValue::List(Vec::new()),
        ConfigType::List => ConfigValue::List(text.split(',').map(str::to_owned).collect()),
        ConfigType::Class => ConfigValue::Class(text.to_owned()),
        ConfigType::Password => ConfigValue::Password(Password::new(text)),
    }
}
