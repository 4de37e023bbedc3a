//! Keys that every connector has, beside its own: those of Kafka Connect, with its types, groups and checks.

use std::sync::Arc;

use kanat_connect::Error;
use kanat_connect::config::{
    ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Parsed, Recommender, Validator, Width, at_least, one_of,
    one_of_any_case,
};
use kanat_connect::plugin::{PluginKind, Plugins};

const COMMON: &str = "Common";
const ERRORS: &str = "Error Handling";
const EXACTLY_ONCE: &str = "Exactly Once Support";

/// Which connector a definition is for, and what stands for keys it does not give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) plugins: &'a Plugins,
    /// Version of the connector.
    pub(super) version: &'a str,
    /// The worker's key, value and header converters; `None` where a definition is shown without a worker.
    pub(super) converters: Option<[&'a str; 3]>,
    /// Which of them a connector replaces by a class that does not exist.
    pub(super) unknown_converters: [bool; 3],
}

/// Values to choose from, as `recommended_values` shows them, and whether the key has a meaning.
#[derive(Debug)]
struct Recommended {
    values: Vec<ConfigValue>,
    visible: bool,
}

impl Recommender for Recommended {
    fn valid_values(&self, _name: &str, _parsed: &Parsed) -> Vec<ConfigValue> {
        self.values.clone()
    }

    fn visible(&self, _name: &str, _parsed: &Parsed) -> bool {
        self.visible
    }
}

pub(super) fn recommend(values: impl IntoIterator<Item = ConfigValue>) -> Arc<dyn Recommender> {
    Arc::new(Recommended { values: values.into_iter().collect(), visible: true })
}

fn nothing_to_recommend() -> Arc<dyn Recommender> {
    Arc::new(Recommended { values: Vec::new(), visible: false })
}

fn text(value: &str) -> ConfigValue {
    ConfigValue::String(value.to_owned())
}

/// A key under a heading.
struct Place(&'static str, i32, Width, &'static str);

fn required(name: &str, place: Place, documentation: &str) -> ConfigKey {
    let key = ConfigKey::required(name, ConfigType::String, Importance::High, documentation);
    key.in_group(place.0, place.1, place.2, place.3)
}

fn optional(
    name: &str,
    ty: ConfigType,
    default: ConfigValue,
    importance: Importance,
    place: Place,
    documentation: &str,
) -> ConfigKey {
    let key = ConfigKey::optional(name, ty, default, importance, documentation);
    key.in_group(place.0, place.1, place.2, place.3)
}

/// A name may hold anything but control characters.
fn connector_name() -> Arc<dyn Validator> {
    Arc::new(|name: &str, value: &ConfigValue| {
        let Some(text) = value.as_str() else { return Ok(()) };
        if text.is_empty() {
            return Err(Error::config_value(name, text, "String may not be empty"));
        }
        let control = text.chars().filter(|character| character.is_control()).map(|c| u32::from(c).to_string());
        let control: Vec<String> = control.collect();
        if control.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "String may not contain control sequences but had the following ASCII chars: {}",
            control.join(", ")
        );
        Err(Error::config_value(name, text, &reason))
    })
}

/// Names that may come only once.
fn unique_aliases() -> Arc<dyn Validator> {
    Arc::new(|name: &str, value: &ConfigValue| {
        let aliases = value.as_list().unwrap_or_default();
        let unique = aliases.iter().enumerate().all(|(at, alias)| !aliases[..at].contains(alias));
        if unique { Ok(()) } else { Err(Error::config_value(name, &value.to_message(), "Duplicate alias provided.")) }
    })
}

/// Keys of every connector.
pub(super) fn common(context: Context<'_>) -> ConfigDef {
    let mut definition = ConfigDef::new()
        .define(
            required("name", Place(COMMON, 1, Width::Medium, "Connector name"), "Name of the connector, unique.")
                .validated(connector_name()),
        )
        .define(required(
            "connector.class",
            Place(COMMON, 2, Width::Long, "Connector class"),
            "Class of the connector: its full name, its simple name, or that without its ending.",
        ))
        .define(
            optional(
                "connector.plugin.version",
                ConfigType::String,
                text(context.version),
                Importance::Medium,
                Place(COMMON, 3, Width::Medium, "Connector version"),
                "Version of the connector.",
            )
            .recommended(recommend([text(context.version)])),
        )
        .define(
            optional(
                "tasks.max",
                ConfigType::Int,
                ConfigValue::Int(1),
                Importance::High,
                Place(COMMON, 4, Width::Short, "Tasks max"),
                "How many tasks the connector may have.",
            )
            .validated(at_least(1)),
        )
        .define(optional(
            "tasks.max.enforce",
            ConfigType::Boolean,
            ConfigValue::Boolean(true),
            Importance::Low,
            Place(COMMON, 5, Width::Short, "Enforce tasks max"),
            "Whether a connector fails that makes more tasks than tasks.max. Deprecated.",
        ));
    for key in converters(context) {
        definition = definition.define(key);
    }
    definition
        .define(
            optional(
                "transforms",
                ConfigType::List,
                ConfigValue::List(Vec::new()),
                Importance::Low,
                Place("Transforms", 12, Width::Long, "Transforms"),
                "Names of transforms, in the order in which they are applied.",
            )
            .validated(unique_aliases()),
        )
        .define(
            optional(
                "predicates",
                ConfigType::List,
                ConfigValue::List(Vec::new()),
                Importance::Low,
                Place("Predicates", 13, Width::Long, "Predicates"),
                "Names of predicates that transforms refer to.",
            )
            .validated(unique_aliases()),
        )
        .define(
            optional(
                "config.action.reload",
                ConfigType::String,
                text("restart"),
                Importance::Low,
                Place(COMMON, 14, Width::Medium, "Reload Action"),
                "What to do when a value behind a placeholder has changed.",
            )
            .validated(one_of(&["none", "restart"])),
        )
        .define(optional(
            "errors.retry.timeout",
            ConfigType::Long,
            ConfigValue::Long(0),
            Importance::Medium,
            Place(ERRORS, 1, Width::Medium, "Retry Timeout for Errors"),
            "How long a failed operation is tried again, in milliseconds; -1 is forever.",
        ))
        .define(optional(
            "errors.retry.delay.max.ms",
            ConfigType::Long,
            ConfigValue::Long(60_000),
            Importance::Medium,
            Place(ERRORS, 2, Width::Medium, "Maximum Delay Between Retries for Errors"),
            "Longest wait between two tries.",
        ))
        .define(
            optional(
                "errors.tolerance",
                ConfigType::String,
                text("none"),
                Importance::Medium,
                Place(ERRORS, 3, Width::Short, "Error Tolerance"),
                "Whether records that fail end the task (none) or are left out (all).",
            )
            .validated(one_of(&["none", "all"])),
        )
        .define(optional(
            "errors.log.enable",
            ConfigType::Boolean,
            ConfigValue::Boolean(false),
            Importance::Medium,
            Place(ERRORS, 4, Width::Short, "Log Errors"),
            "Whether every failed operation is logged.",
        ))
        .define(optional(
            "errors.log.include.messages",
            ConfigType::Boolean,
            ConfigValue::Boolean(false),
            Importance::Medium,
            Place(ERRORS, 5, Width::Short, "Log Error Details"),
            "Whether that log says which record it was.",
        ))
}

fn converters(context: Context<'_>) -> Vec<ConfigKey> {
    let kinds = [
        ("key.converter", 6, "Key converter", PluginKind::Converter),
        ("value.converter", 8, "Value converter", PluginKind::Converter),
        ("header.converter", 10, "Header converter", PluginKind::HeaderConverter),
    ];
    let mut keys = Vec::new();
    for (at, (name, order, display, kind)) in kinds.into_iter().enumerate() {
        let default = context.converters.map(|names| names[at]);
        let unknown = context.unknown_converters[at];
        let version = default.filter(|_| !unknown).map(|_| text(context.version));
        let classes = context.plugins.of_kind(kind).into_iter().map(|plugin| ConfigValue::Class(plugin.class));
        keys.push(
            ConfigKey::optional(
                name,
                ConfigType::Class,
                default.map_or(ConfigValue::Null, |class| ConfigValue::Class(class.to_owned())),
                Importance::Low,
                "Converter of this connector; without it that of the worker is used, with the worker's settings.",
            )
            .in_group(COMMON, order, Width::Short, &format!("{display} class"))
            .recommended(recommend(classes)),
        );
        keys.push(
            ConfigKey::optional(
                &format!("{name}.plugin.version"),
                ConfigType::String,
                version.clone().unwrap_or_default(),
                Importance::Low,
                "Version of the converter.",
            )
            .in_group(COMMON, order + 1, Width::Short, &format!("{display} version"))
            .recommended(if unknown { nothing_to_recommend() } else { recommend(version) }),
        );
    }
    keys
}

/// Keys of every source.
pub(super) fn source(context: Context<'_>) -> ConfigDef {
    common(context)
        .define(
            optional(
                "topic.creation.groups",
                ConfigType::List,
                ConfigValue::List(Vec::new()),
                Importance::Low,
                Place("Topic Creation", 1, Width::Long, "Topic Creation Groups"),
                "Names of groups of topics with settings of their own.",
            )
            .validated(unique_aliases()),
        )
        .define(
            optional(
                "exactly.once.support",
                ConfigType::String,
                text("requested"),
                Importance::Medium,
                Place(EXACTLY_ONCE, 2, Width::Short, "Exactly once support"),
                "Whether a connector that cannot deliver exactly once is refused (required) or not (requested).",
            )
            .validated(one_of_any_case(&["REQUIRED", "REQUESTED"])),
        )
        .define(
            optional(
                "transaction.boundary",
                ConfigType::String,
                text("poll"),
                Importance::Medium,
                Place(EXACTLY_ONCE, 3, Width::Short, "Transaction Boundary"),
                "Where transactions end: after each poll, after an interval, or where the connector says.",
            )
            .validated(one_of_any_case(&["INTERVAL", "POLL", "CONNECTOR"])),
        )
        .define(optional(
            "transaction.boundary.interval.ms",
            ConfigType::Long,
            ConfigValue::Null,
            Importance::Low,
            Place(EXACTLY_ONCE, 4, Width::Short, "Transaction boundary interval"),
            "Time between the ends of transactions; without it offset.flush.interval.ms of the worker.",
        ))
        .define(optional(
            "offsets.storage.topic",
            ConfigType::String,
            ConfigValue::Null,
            Importance::Low,
            Place("offsets.topic", 1, Width::Long, "Offsets topic"),
            "Topic of the connector's offsets; without it that of the worker.",
        ))
}

/// A regular expression, or the empty text.
fn regex() -> Arc<dyn Validator> {
    Arc::new(|name: &str, value: &ConfigValue| {
        let pattern = value.as_str().unwrap_or_default();
        let Err(error) = fancy_regex::Regex::new(pattern) else { return Ok(()) };
        let reason = match error {
            fancy_regex::Error::ParseError(_, fancy_regex::ParseError::UnclosedOpenParen) => {
                format!("Unclosed group near index {}\n{pattern}", pattern.encode_utf16().count())
            }
            other => other.to_string(),
        };
        Err(Error::config_value(name, pattern, &format!("Invalid regex: {reason}")))
    })
}

/// Keys of every sink.
pub(super) fn sink(context: Context<'_>) -> ConfigDef {
    common(context)
        .define(optional(
            "topics",
            ConfigType::List,
            ConfigValue::List(Vec::new()),
            Importance::High,
            Place(COMMON, 4, Width::Long, "Topics"),
            "Topics to read.",
        ))
        .define(
            optional(
                "topics.regex",
                ConfigType::String,
                text(""),
                Importance::High,
                Place(COMMON, 4, Width::Long, "Topics regex"),
                "Regular expression that the names of topics to read match as a whole.",
            )
            .validated(regex()),
        )
        .define(optional(
            "errors.deadletterqueue.topic.name",
            ConfigType::String,
            text(""),
            Importance::Medium,
            Place(ERRORS, 6, Width::Medium, "Dead Letter Queue Topic Name"),
            "Topic that records go to that fail; empty for none.",
        ))
        .define(optional(
            "errors.deadletterqueue.topic.replication.factor",
            ConfigType::Short,
            ConfigValue::Short(3),
            Importance::Medium,
            Place(ERRORS, 7, Width::Medium, "Dead Letter Queue Topic Replication Factor"),
            "Copies of that topic when it is created.",
        ))
        .define(optional(
            "errors.deadletterqueue.context.headers.enable",
            ConfigType::Boolean,
            ConfigValue::Boolean(false),
            Importance::Medium,
            Place(ERRORS, 8, Width::Medium, "Enable Error Context Headers"),
            "Whether dead letters carry headers that say what failed.",
        ))
}
