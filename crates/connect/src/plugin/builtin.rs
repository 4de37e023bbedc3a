//! What this crate provides, under the names of Kafka Connect.

use std::sync::Arc;

use super::{ConverterPlugin, ConverterUse, HeaderConverterPlugin, Plugins};
use crate::VERSION;
use crate::config::{
    ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, NoClasses, Parsed, Properties, Width, one_of,
    one_of_any_case,
};
use crate::converter::{
    ByteArrayConverter, Converter, DecimalFormat, Encoding, HeaderConverter, JsonConverter, JsonConverterOptions,
    NumberConverter, NumberKind, SimpleHeaderConverter, StringConverter,
};
use crate::error::{Error, Result};

/// Adds everything.
pub(super) fn register(plugins: &mut Plugins) {
    crate::transform::register(plugins);
    converters(plugins);
}

fn converters(plugins: &mut Plugins) {
    macro_rules! converter {
        ($class:literal, $config_def:expr, $make:expr) => {
            plugins.add_converter(ConverterPlugin {
                class: $class,
                version: VERSION,
                config_def: $config_def,
                build: |config, used| {
                    let make: fn(&Parsed) -> Result<_> = $make;
                    let name = if used == ConverterUse::Key { "key" } else { "value" };
                    Ok(Arc::new(make(&parse($config_def(), config, name)?)?) as Arc<dyn Converter>)
                },
            });
            plugins.add_header_converter(HeaderConverterPlugin {
                class: $class,
                version: VERSION,
                config_def: $config_def,
                build: |config| {
                    let make: fn(&Parsed) -> Result<_> = $make;
                    Ok(Arc::new(make(&parse($config_def(), config, "header")?)?) as Arc<dyn HeaderConverter>)
                },
            });
        };
    }
    converter!("org.apache.kafka.connect.json.JsonConverter", json_def, json);
    converter!("org.apache.kafka.connect.storage.StringConverter", string_def, string);
    converter!("org.apache.kafka.connect.converters.ByteArrayConverter", typed_def, |_| Ok(ByteArrayConverter));
    macro_rules! number {
        ($class:literal, $kind:ident) => {
            converter!($class, typed_def, |_| Ok(NumberConverter::new(NumberKind::$kind)));
        };
    }
    number!("org.apache.kafka.connect.converters.BooleanConverter", Boolean);
    number!("org.apache.kafka.connect.converters.ShortConverter", Short);
    number!("org.apache.kafka.connect.converters.IntegerConverter", Integer);
    number!("org.apache.kafka.connect.converters.LongConverter", Long);
    number!("org.apache.kafka.connect.converters.FloatConverter", Float);
    number!("org.apache.kafka.connect.converters.DoubleConverter", Double);
    plugins.add_header_converter(HeaderConverterPlugin {
        class: "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        version: VERSION,
        config_def: ConfigDef::new,
        build: |_| Ok(Arc::new(SimpleHeaderConverter)),
    });
}

/// Values of a converter's keys. The worker knows what it uses a converter for, so users need not say it.
fn parse(definition: ConfigDef, config: &Properties, used: &str) -> Result<Parsed> {
    let mut config = config.clone();
    config.insert("converter.type".to_owned(), Some(used.to_owned()));
    definition.parse(&config, &NoClasses)
}

/// What every converter has.
fn typed_def() -> ConfigDef {
    let documentation = "What the converter is used for. The worker sets it.";
    let key = ConfigKey::required("converter.type", ConfigType::String, Importance::Low, documentation);
    ConfigDef::new().define(key.validated(one_of(&["key", "value", "header"])))
}

fn string_def() -> ConfigDef {
    let key = ConfigKey::optional(
        "converter.encoding",
        ConfigType::String,
        ConfigValue::String("UTF-8".to_owned()),
        Importance::High,
        "Character set of the text in Kafka, by its Java name: UTF-8, ISO-8859-1, US-ASCII or UTF-16.",
    );
    typed_def().define(ConfigKey { width: Width::Medium, display_name: "Encoding".to_owned(), ..key })
}

fn string(config: &Parsed) -> Result<StringConverter> {
    let name = config.get("converter.encoding").and_then(ConfigValue::as_str).unwrap_or("UTF-8");
    let encoding = Encoding::parse(name);
    let unknown = || Error::config_value("converter.encoding", name, "no such character set");
    encoding.map(StringConverter::new).ok_or_else(unknown)
}

fn json_def() -> ConfigDef {
    let key = |name, ty, default, importance, group, order, display_name, documentation| {
        let key = ConfigKey::optional(name, ty, default, importance, documentation);
        key.in_group(group, order, Width::Medium, display_name)
    };
    let boolean = |value| (ConfigType::Boolean, ConfigValue::Boolean(value));
    let (ty, yes) = boolean(true);
    let schemas = key(
        "schemas.enable",
        ty,
        yes.clone(),
        Importance::High,
        "Schemas",
        0,
        "Enable Schemas",
        "Records carry their schema: {\"schema\": …, \"payload\": …}.",
    );
    let cache = key(
        "schemas.cache.size",
        ConfigType::Int,
        ConfigValue::Int(1000),
        Importance::High,
        "Schemas",
        1,
        "Schema Cache Size",
        "How many schemas the converter remembers in each direction.",
    );
    let content = key(
        "schema.content",
        ConfigType::String,
        ConfigValue::Null,
        Importance::High,
        "Schemas",
        2,
        "Schema Content",
        "The schema of all records of a sink, for records that do not carry theirs. Needs schemas.enable.",
    );
    let decimal = key(
        "decimal.format",
        ConfigType::String,
        ConfigValue::String("BASE64".to_owned()),
        Importance::Low,
        "Serialization",
        0,
        "Decimal Format",
        "How decimals are written: BASE64 for their bytes, NUMERIC for a JSON number. Both are read.",
    );
    let nulls = key(
        "replace.null.with.default",
        ty,
        yes,
        Importance::Low,
        "Serialization",
        1,
        "Replace null with default",
        "A field that is null and has a default is written and read as the default.",
    );
    [schemas, cache, content, decimal.validated(one_of_any_case(&["NUMERIC", "BASE64"])), nulls]
        .into_iter()
        .fold(typed_def(), ConfigDef::define)
}

fn json(config: &Parsed) -> Result<JsonConverter> {
    let defaults = JsonConverterOptions::default();
    let text = |name: &str| config.get(name).and_then(ConfigValue::as_str);
    let flag = |name: &str, default| config.get(name).and_then(ConfigValue::as_bool).unwrap_or(default);
    let numeric = text("decimal.format").is_some_and(|format| format.eq_ignore_ascii_case("NUMERIC"));
    let cache = config.get("schemas.cache.size").and_then(ConfigValue::as_i64);
    Ok(JsonConverter::new(JsonConverterOptions {
        schemas_enable: flag("schemas.enable", defaults.schemas_enable),
        schemas_cache_size: cache.map_or(defaults.schemas_cache_size, |size| usize::try_from(size).unwrap_or(0)),
        decimal_format: if numeric { DecimalFormat::Numeric } else { DecimalFormat::Base64 },
        replace_null_with_default: flag("replace.null.with.default", defaults.replace_null_with_default),
        schema_content: text("schema.content").filter(|content| !content.is_empty()).map(str::to_owned),
    }))
}
