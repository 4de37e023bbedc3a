//! Types and values of configuration keys.

use super::Password;

/// The type of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    Short,
    /// 64-bit integer.
    Long,
    /// 64-bit float.
    Double,
    /// Texts separated by commas.
    List,
    /// The name of a plugin's class.
    Class,
    /// A secret.
    Password,
}

impl ConfigType {
    /// Name in Kafka's reports.
    pub fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }
}

/// A value of a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ConfigValue {
    /// Nothing.
    #[default]
    Null,
    /// See [`ConfigType::Boolean`].
    Boolean(bool),
    /// See [`ConfigType::String`].
    String(String),
    /// See [`ConfigType::Int`].
    Int(i32),
    /// See [`ConfigType::Short`].
    Short(i16),
    /// See [`ConfigType::Long`].
    Long(i64),
    /// See [`ConfigType::Double`].
    Double(f64),
    /// See [`ConfigType::List`].
    List(Vec<String>),
    /// The full name of a class; see [`ConfigType::Class`].
    Class(String),
    /// See [`ConfigType::Password`].
    Password(Password),
}

impl ConfigValue {
    /// Text of a string or class.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            ConfigValue::String(text) | ConfigValue::Class(text) => Some(text),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            ConfigValue::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// Any of the integers.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            ConfigValue::Short(value) => Some(i64::from(*value)),
            ConfigValue::Int(value) => Some(i64::from(*value)),
            ConfigValue::Long(value) => Some(*value),
            _ => None,
        }
    }

    /// A list.
    pub fn as_list(&self) -> Option<&[String]> {
        match self {
            ConfigValue::List(items) => Some(items),
            _ => None,
        }
    }

    /// A secret.
    pub fn as_password(&self) -> Option<&Password> {
        match self {
            ConfigValue::Password(password) => Some(password),
            _ => None,
        }
    }

    /// As reports show it, `None` for null: lists joined by commas, secrets hidden.
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            ConfigValue::Null => return None,
            ConfigValue::Boolean(value) => value.to_string(),
            ConfigValue::String(text) | ConfigValue::Class(text) => text.clone(),
            ConfigValue::Int(value) => value.to_string(),
            ConfigValue::Short(value) => value.to_string(),
            ConfigValue::Long(value) => value.to_string(),
            ConfigValue::Double(value) => crate::data::double_to_string(*value),
            ConfigValue::List(items) => items.join(","),
            ConfigValue::Password(password) => password.to_string(),
        })
    }

    /// As Java's messages show it: `null` for null, lists in brackets.
    pub fn to_message(&self) -> String {
        match self {
            ConfigValue::List(items) => format!("[{}]", items.join(", ")),
            ConfigValue::Class(name) => format!("class {name}"),
            other => other.to_text().unwrap_or_else(|| "null".to_owned()),
        }
    }
}
