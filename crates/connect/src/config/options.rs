//! Structs of options: what `#[derive(ConfigOptions)]` is made of.

use super::{ClassNames, ConfigDef, ConfigType, ConfigValue, Parsed, Password, Properties};
use crate::error::{Error, Result};

/// A struct whose fields are the keys of a configuration. Derive it; see [`kanat_connect_derive`].
///
/// ```
/// use kanat_connect::config::{ConfigOptions, Properties, at_least};
///
/// #[derive(Debug, ConfigOptions)]
/// struct Options {
///     /// File to read.
///     #[config(importance = High)]
///     file: Option<String>,
///     /// How many records at most are read at a time.
///     #[config(default = 2000, importance = Low, validator = at_least(1))]
///     batch_size: i32,
/// }
///
/// let config = Properties::from([("batch.size".to_owned(), Some("10".to_owned()))]);
/// let options = Options::from_config(&config).unwrap();
/// assert_eq!((options.file, options.batch_size), (None, 10));
/// assert_eq!(Options::config_def().key("batch.size").unwrap().documentation, "How many records at most are read at a time.");
/// ```
pub trait ConfigOptions: Sized {
    /// The keys.
    fn config_def() -> ConfigDef;

    /// Takes the values of all keys.
    ///
    /// # Errors
    /// [`Error::Config`] when a value that may not be null is.
    fn from_parsed(parsed: &Parsed) -> Result<Self>;

    /// Reads a configuration whose keys name no classes.
    ///
    /// # Errors
    /// [`Error::Config`] with the first problem.
    fn from_config(config: &Properties) -> Result<Self> {
        Self::from_config_with(config, &NoClasses)
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// [`Error::Config`] with the first problem.
    fn from_config_with(config: &Properties, classes: &dyn ClassNames) -> Result<Self> {
        Self::from_parsed(&Self::config_def().parse(config, classes)?)
    }
}

/// Class names of a component whose keys name no classes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoClasses;

impl ClassNames for NoClasses {
    fn resolve(&self, _name: &str) -> Option<String> {
        None
    }
}

/// The full name of a plugin's class, as an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassName(pub String);

/// A type that a field of options can have.
pub trait OptionType: Sized {
    /// Type of the key.
    const TYPE: ConfigType;

    /// Default of a key that says none; `None` when it must be given.
    const DEFAULT: Option<ConfigValue> = None;

    /// As a value of the key.
    fn into_value(self) -> ConfigValue;

    /// From a value of the key; `None` when it is of another type, or null.
    fn from_value(value: &ConfigValue) -> Option<Self>;
}

/// The value of a key as the type of its field; for derived code.
#[doc(hidden)]
pub fn read_option<T: OptionType>(parsed: &Parsed, name: &str) -> Result<T> {
    let value = parsed.get(name).unwrap_or(&ConfigValue::Null);
    T::from_value(value).ok_or_else(|| Error::config_value(name, &value.to_message(), "entry must be non null"))
}

macro_rules! option_type {
    ($ty:ty, $variant:ident, $key:ident) => {
        impl OptionType for $ty {
            const TYPE: ConfigType = ConfigType::$key;

            fn into_value(self) -> ConfigValue {
                ConfigValue::$variant(self)
            }

            fn from_value(value: &ConfigValue) -> Option<Self> {
                match value {
                    ConfigValue::$variant(value) => Some(value.clone()),
                    _ => None,
                }
            }
        }
    };
}

option_type!(bool, Boolean, Boolean);
option_type!(String, String, String);
option_type!(i16, Short, Short);
option_type!(i32, Int, Int);
option_type!(i64, Long, Long);
option_type!(f64, Double, Double);
option_type!(Vec<String>, List, List);
option_type!(Password, Password, Password);

impl OptionType for ClassName {
    const TYPE: ConfigType = ConfigType::Class;

    fn into_value(self) -> ConfigValue {
        ConfigValue::Class(self.0)
    }

    fn from_value(value: &ConfigValue) -> Option<Self> {
        match value {
            ConfigValue::Class(name) => Some(ClassName(name.clone())),
            _ => None,
        }
    }
}

impl<T: OptionType> OptionType for Option<T> {
    const TYPE: ConfigType = T::TYPE;
    const DEFAULT: Option<ConfigValue> = Some(ConfigValue::Null);

    fn into_value(self) -> ConfigValue {
        self.map_or(ConfigValue::Null, T::into_value)
    }

    fn from_value(value: &ConfigValue) -> Option<Self> {
        match value {
            ConfigValue::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigOptions, Importance, Width, at_least, non_empty_string};
    use super::*;

    /// Options of every kind.
    #[derive(Debug, ConfigOptions)]
    struct Sample {
        /// Where to write.
        ///
        /// A second paragraph,
        /// of two lines.
        #[config(importance = High, group = "Target", width = Long, display = "Target file", dependents("target.mode"))]
        target_file: String,
        /// How to write.
        #[config(group = "Target", default = "append", validator = non_empty_string())]
        target_mode: String,
        /// Proof of who one is.
        #[config(name = "secret")]
        password: Option<Password>,
        /// How many at a time.
        #[config(default = 100, validator = at_least(1), importance = Low)]
        batch_size: i32,
        /// Which ones.
        #[config(default = vec!["a".to_owned()], internal)]
        names: Vec<String>,
    }

    fn config(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect()
    }

    #[test]
    fn fields_are_keys() {
        let definition = Sample::config_def();
        let names: Vec<&str> = definition.keys().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["target.file", "target.mode", "secret", "batch.size", "names"]);
        let file = definition.key("target.file").unwrap();
        assert_eq!(file.documentation, "Where to write.\n\nA second paragraph, of two lines.");
        assert_eq!((file.importance, file.width, file.order), (Importance::High, Width::Long, 1));
        assert_eq!((file.group.as_deref(), file.display_name.as_str()), (Some("Target"), "Target file"));
        assert_eq!((file.default.clone(), file.dependents.clone()), (None, vec!["target.mode".to_owned()]));
        let mode = definition.key("target.mode").unwrap();
        assert_eq!((mode.order, mode.display_name.as_str()), (2, "target.mode"));
        let secret = definition.key("secret").unwrap();
        assert_eq!(
            (secret.ty, secret.default.clone(), secret.order),
            (ConfigType::Password, Some(ConfigValue::Null), -1)
        );
        assert!(definition.key("names").unwrap().internal);
    }

    #[test]
    fn values_are_read_and_checked() {
        let options =
            Sample::from_config(&config(&[("target.file", " f "), ("secret", "s3"), ("names", "x, y")])).unwrap();
        assert_eq!((options.target_file.as_str(), options.target_mode.as_str()), ("f", "append"));
        assert_eq!((options.batch_size, options.names), (100, vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(options.password.as_ref().map(Password::expose), Some("s3"));
        let error = |pairs: &[(&str, &str)]| Sample::from_config(&config(pairs)).unwrap_err().to_string();
        assert_eq!(error(&[]), "Missing required configuration \"target.file\" which has no default value.");
        assert_eq!(
            error(&[("target.file", "f"), ("batch.size", "0")]),
            "Invalid value 0 for configuration batch.size: Value must be at least 1"
        );
        let null = Properties::from([("target.file".to_owned(), None)]);
        assert_eq!(
            Sample::from_config(&null).unwrap_err().to_string(),
            "Invalid value null for configuration target.file: entry must be non null"
        );
    }
}
