//! Checks of connector configurations, in Connect's order: keys every connector has, transforms and predicates, the
//! connector's own keys, converters, overrides of clients.

use kanat_client::{ClientOptions, ConsumerOptions, Error as ClientError, JavaProperties, ProducerOptions};
use kanat_connect::config::{
    ClassNames, ConfigDef, ConfigKey, ConfigReport, ConfigType, ConfigValue, Importance, Properties, ReportedValue,
    Width,
};
use kanat_connect::connector::ExactlyOnceSupport;
use kanat_connect::plugin::PluginKind;
use serde_json::Value;

use super::connector_keys::{self, Context, recommend};
use super::java_order::sort_as_hash_map;
use super::report::Findings;
use super::{ConnectorPlugin, Herder, RequestError};
use crate::config::{ClientKind, Mode, overrides};

type Result<T> = std::result::Result<T, RequestError>;

/// A kind of plugin that a connector has several of, each under a name.
struct Named {
    /// `transforms` or `predicates`.
    list: &'static str,
    group: &'static str,
    display: &'static str,
    kind: PluginKind,
}

const TRANSFORMS: Named =
    Named { list: "transforms", group: "Transforms", display: "Transformation", kind: PluginKind::Transformation };
const PREDICATES: Named =
    Named { list: "predicates", group: "Predicates", display: "Predicate", kind: PluginKind::Predicate };

impl Herder {
    /// Refuses a configuration that cannot work.
    pub(super) async fn validate_for(&self, name: &str, config: &Properties) -> Result<()> {
        let (_, findings) = self.validate(Some(name), config).await?;
        let errors = findings.errors();
        if errors.is_empty() {
            return Ok(());
        }
        Err(RequestError::bad(format!(
            "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the \
             above list of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
            errors.len(),
            errors.join("\n")
        )))
    }

    /// The report of `/connector-plugins/{plugin}/config/validate`.
    pub(crate) async fn validate_plugin(&self, plugin: &str, config: Properties) -> Result<Value> {
        let class = config.get("connector.class").cloned().flatten();
        if let Some(class) = &class {
            let simple = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
            let matches = |class: &str| {
                let short = simple(class);
                plugin == class
                    || plugin == short
                    || Some(plugin) == short.strip_suffix("Connector")
                    || short.strip_suffix("SinkConnector").or(short.strip_suffix("SourceConnector")) == Some(plugin)
            };
            if !matches(class) {
                return Err(RequestError::bad(format!(
                    "Included connector type {class} does not match request type {plugin}"
                )));
            }
        }
        // Connect runs the check on another thread and shows what that threw as it prints.
        let wrapped = |error: RequestError| match error.status {
            400 => RequestError::internal(format!(
                "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: {}",
                error.message
            )),
            _ => error,
        };
        let (_, findings) = self.validate(None, &config).await.map_err(wrapped)?;
        Ok(findings.to_json(class.as_deref().unwrap_or_default()))
    }

    /// Checks a configuration. The error is for what cannot even be checked.
    async fn validate(&self, name: Option<&str>, raw: &Properties) -> Result<(ConnectorPlugin, Findings)> {
        let config = self.config.providers().resolve(raw)?;
        let Some(class) = config.get("connector.class").cloned().flatten() else {
            let shown: Vec<String> =
                config.iter().map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or("null"))).collect();
            let shown = shown.join(", ");
            return Err(RequestError::bad(format!("Connector config {{{shown}}} contains no connector type")));
        };
        let plugin = self.plugin_of(&config).ok_or_else(|| RequestError::bad(self.no_such_connector(&class)))?;
        let keys = ["key.converter", "value.converter", "header.converter"];
        let is_unknown = |key: &str| {
            let class = config.get(key).cloned().flatten();
            class.is_some_and(|class| ClassNames::resolve(&*self.plugins, class.trim()).is_none())
        };
        let context = Context {
            plugins: &self.plugins,
            version: plugin.version(),
            converters: Some(keys.map(|key| self.config.text(key))),
            unknown_converters: keys.map(is_unknown),
        };
        let mut findings = Findings::default();
        let definition = match plugin {
            ConnectorPlugin::Source(_) => connector_keys::source(context),
            ConnectorPlugin::Sink(_) => connector_keys::sink(context),
        };
        findings.add(&definition, definition.validate(&config, &*self.plugins));
        match &plugin {
            ConnectorPlugin::Source(plugin) => self.check_source(plugin, &config, &mut findings),
            ConnectorPlugin::Sink(_) => self.check_sink(name, &config, &mut findings),
        }
        for named in [TRANSFORMS, PREDICATES] {
            self.check_named(&named, &config, &mut findings);
        }
        let (definition, report) = match &plugin {
            ConnectorPlugin::Source(plugin) => {
                ((plugin.config_def)(), (plugin.validate)(&config, &*self.plugins).await)
            }
            ConnectorPlugin::Sink(plugin) => ((plugin.config_def)(), (plugin.validate)(&config, &*self.plugins).await),
        };
        findings.add(&definition, report);
        for prefix in keys {
            self.check_converter(prefix, &config, &mut findings);
        }
        let kinds: &[ClientKind] = match plugin {
            ConnectorPlugin::Source(_) => &[ClientKind::Producer, ClientKind::Admin],
            ConnectorPlugin::Sink(_) => &[ClientKind::Consumer, ClientKind::Producer, ClientKind::Admin],
        };
        for kind in kinds {
            self.check_client(*kind, &config, &mut findings)?;
        }
        Ok((plugin, findings))
    }

    fn check_source(&self, plugin: &kanat_connect::plugin::SourcePlugin, config: &Properties, findings: &mut Findings) {
        const KEY: &str = "exactly.once.support";
        let required = config.get(KEY).cloned().flatten().is_some_and(|text| text.eq_ignore_ascii_case("required"));
        if !required {
            return;
        }
        if self.config.mode() == Mode::Standalone || self.config.text("exactly.once.source.support") != "enabled" {
            return findings.add_error(KEY, "This worker does not have exactly-once source support enabled.");
        }
        match (plugin.exactly_once_support)(config) {
            ExactlyOnceSupport::Supported => {}
            ExactlyOnceSupport::Unsupported => findings.add_error(
                KEY,
                "The connector does not support exactly-once semantics with the provided configuration.",
            ),
            ExactlyOnceSupport::Undeclared => findings.add_error(
                KEY,
                "The connector does not implement the API required for preflight validation of exactly-once source \
                 support. Please consult the documentation for the connector to determine whether it supports \
                 exactly-once semantics, and then consider reconfiguring the connector to use the value \"requested\" \
                 for this property (which will disable this preflight check and allow the connector to be created).",
            ),
        }
    }

    fn check_sink(&self, name: Option<&str>, config: &Properties, findings: &mut Findings) {
        let text = |key: &str| config.get(key).cloned().flatten().unwrap_or_default();
        let topics: Vec<String> =
            text("topics").split(',').map(|topic| topic.trim().to_owned()).filter(|topic| !topic.is_empty()).collect();
        let (pattern, dead_letters) = (text("topics.regex"), text("errors.deadletterqueue.topic.name"));
        let problem = match (topics.is_empty(), pattern.trim().is_empty()) {
            (true, true) => Some("Must configure one of topics or topics.regex"),
            (false, false) => Some("topics and topics.regex are mutually exclusive options, but both are set."),
            _ => None,
        };
        if let Some(problem) = problem {
            findings.add_error("topics", problem);
            return findings.add_error("topics.regex", problem);
        }
        let dead_letters = dead_letters.trim();
        if !dead_letters.is_empty() && topics.iter().any(|topic| topic == dead_letters) {
            findings.add_error(
                "topics",
                format!(
                    "The DLQ topic '{dead_letters}' may not be included in the list of topics ('topics=[{}]') consumed \
                     by the connector",
                    topics.join(", ")
                ),
            );
        }
        let whole = fancy_regex::Regex::new(&format!("^(?:{})$", pattern.trim()));
        let consumed = whole.is_ok_and(|pattern| pattern.is_match(dead_letters).unwrap_or(false));
        if !dead_letters.is_empty() && !pattern.trim().is_empty() && consumed {
            findings.add_error(
                "topics.regex",
                format!(
                    "The DLQ topic '{dead_letters}' may not be matched by the regex for the topics \
                     ('topics.regex={pattern}') consumed by the connector"
                ),
            );
        }
        self.check_group(name, config, findings);
    }

    /// A sink must not join the group of the workers.
    fn check_group(&self, name: Option<&str>, config: &Properties, findings: &mut Findings) {
        if self.config.mode() == Mode::Standalone {
            return;
        }
        let overridden = config.get("consumer.override.group.id").cloned().flatten();
        let own = name.map(str::to_owned).or_else(|| config.get("name").cloned().flatten());
        let (key, group) = match (overridden, own) {
            (Some(group), _) => ("consumer.override.group.id", group),
            (None, Some(name)) => ("name", format!("connect-{name}")),
            (None, None) => return,
        };
        let workers = self.config.text("group.id");
        if group == workers {
            findings.add_error(key, format!("Consumer group {group} conflicts with Connect worker group {workers}"));
        }
    }

    /// Checks transforms or predicates: the class of each, and its keys under its prefix.
    fn check_named(&self, named: &Named, config: &Properties, findings: &mut Findings) {
        let aliases = config.get(named.list).cloned().flatten().unwrap_or_default();
        let mut seen: Vec<&str> = Vec::new();
        for alias in aliases.split(',').map(str::trim).filter(|alias| !alias.is_empty()) {
            if seen.contains(&alias) {
                continue;
            }
            seen.push(alias);
            let definition = self.definition_of_named(named, alias, config);
            let report = definition.validate(config, &*self.plugins);
            findings.add(&definition, report);
        }
    }

    fn definition_of_named(&self, named: &Named, alias: &str, config: &Properties) -> ConfigDef {
        let prefix = format!("{}.{alias}.", named.list);
        let group = format!("{}: {alias}", named.group);
        let class = config.get(&format!("{prefix}type")).cloned().flatten();
        let own = class.as_deref().and_then(|class| match named.kind {
            PluginKind::Transformation => {
                self.plugins.transformation(class).map(|plugin| ((plugin.config_def)(), plugin.version))
            }
            _ => self.plugins.predicate(class).map(|plugin| ((plugin.config_def)(), plugin.version)),
        });
        let classes = self.plugins.of_kind(named.kind).into_iter().map(|plugin| ConfigValue::Class(plugin.class));
        let what = named.display;
        let key = ConfigKey::required(&format!("{prefix}type"), ConfigType::Class, Importance::High, "Its class.")
            .in_group(&group, 0, Width::Long, &format!("{what} type for {alias}"))
            .recommended(recommend(classes));
        let version = own.as_ref().map(|(_, version)| ConfigValue::String((*version).to_owned()));
        let version_key = ConfigKey::optional(
            &format!("{prefix}plugin.version"),
            ConfigType::String,
            version.clone().unwrap_or_default(),
            Importance::High,
            "Its version.",
        )
        .in_group(&group, 1, Width::Long, &format!("{what} version for {alias}"))
        .recommended(recommend(version));
        let mut definition = ConfigDef::new().define(key).define(version_key);
        if let Some((mut own, _)) = own {
            if named.kind == PluginKind::Transformation {
                own = with_predicate_keys(own);
            }
            definition.embed(&prefix, Some(&group), 2, &sorted(&own));
        }
        definition
    }

    /// Checks the keys of a converter that the connector names itself.
    fn check_converter(&self, prefix: &str, config: &Properties, findings: &mut Findings) {
        let Some(class) = config.get(prefix).cloned().flatten() else { return };
        if !findings.is_clean(prefix) {
            return;
        }
        let is_header = prefix == "header.converter";
        let definition = if is_header {
            self.plugins.header_converter(&class).map(|plugin| (plugin.config_def)())
        } else {
            self.plugins.converter(&class).map(|plugin| (plugin.config_def)())
        };
        let Some(definition) = definition else {
            let class = ClassNames::resolve(&*self.plugins, &class).unwrap_or(class);
            let interface = if is_header { "HeaderConverter" } else { "Converter" };
            return findings
                .add_error(prefix, format!("Class class {class} does not implement the {interface} interface"));
        };
        let dotted = format!("{prefix}.");
        let mut own: Properties = config
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&dotted)?.to_owned(), value.clone())))
            .collect();
        let role = prefix.trim_end_matches(".converter");
        own.entry("converter.type".to_owned()).or_insert_with(|| Some(role.to_owned()));
        // Problems name the key without its prefix, as in Connect.
        let report = definition.validate(&own, &*self.plugins);
        let mut values: Vec<(String, ReportedValue)> = report.values.into_iter().collect();
        sort_as_hash_map(&mut values, |(key, _)| key);
        let mut ordered = ConfigDef::new();
        for (key, _) in &values {
            if let Some(key) = definition.key(key) {
                ordered = ordered.define(ConfigKey { name: format!("{dotted}{}", key.name), ..key.clone() });
            }
        }
        let values = values.into_iter().map(|(key, value)| (format!("{dotted}{key}"), value)).collect();
        findings.add(&ordered, ConfigReport { values });
    }

    /// Checks overrides of a client: whether they are allowed, and whether the client can be made with them.
    fn check_client(&self, kind: ClientKind, config: &Properties, findings: &mut Findings) -> Result<()> {
        let mut given = JavaProperties::default();
        let mut definition = ConfigDef::new();
        let mut values = Properties::new();
        for (key, value) in overrides(kind, config) {
            let name = format!("{}{key}", kind.override_prefix());
            let shown = ConfigKey::optional(
                &name,
                ConfigType::String,
                ConfigValue::Null,
                Importance::Medium,
                "A property of the Kafka client.",
            );
            definition = definition.define(ConfigKey { display_name: key.to_owned(), ..shown });
            values.insert(name, Some(value.to_owned()));
            given.extend([(key, value)]);
        }
        if values.is_empty() {
            return Ok(());
        }
        findings.add(&definition, definition.validate(&values, &*self.plugins));
        for (key, _) in overrides(kind, config) {
            if let Some(refusal) = self.config.override_policy().refusal(key) {
                findings.add_error(&format!("{}{key}", kind.override_prefix()), refusal);
            }
        }
        let made = ClientOptions::from_properties(&given).and_then(|_| match kind {
            ClientKind::Producer => ProducerOptions::from_properties(&given).map(drop),
            ClientKind::Consumer => ConsumerOptions::from_properties(&given).map(drop),
            ClientKind::Admin => Ok(()),
        });
        if let Err(ClientError::InvalidOption { option, reason }) = made {
            findings.add_error(&format!("{}{option}", kind.override_prefix()), reason);
        }
        let records = config.get("consumer.override.max.poll.records").cloned().flatten();
        match records.filter(|records| kind == ClientKind::Consumer && records.trim().parse::<i32>().is_err()) {
            // Connect fails on what is not even of the type.
            Some(records) => Err(RequestError::internal(format!(
                "org.apache.kafka.common.config.ConfigException: Invalid value {records} for configuration \
                 max.poll.records: Not a number of type INT"
            ))),
            None => Ok(()),
        }
    }
}

/// A transform's keys with those that say when it applies.
fn with_predicate_keys(definition: ConfigDef) -> ConfigDef {
    definition
        .define(ConfigKey::optional(
            "predicate",
            ConfigType::String,
            ConfigValue::Null,
            Importance::Medium,
            "Name of the predicate that decides whether the transform is applied.",
        ))
        .define(ConfigKey::optional(
            "negate",
            ConfigType::Boolean,
            ConfigValue::Boolean(false),
            Importance::Medium,
            "Whether it is applied when the predicate does not hold.",
        ))
}

/// The keys in Kafka's order for people: those without default first, then by importance and name.
fn sorted(definition: &ConfigDef) -> ConfigDef {
    let mut keys: Vec<&ConfigKey> = definition.keys().collect();
    keys.sort_by_key(|key| (key.default.is_some(), key.importance, key.name.clone()));
    keys.into_iter().cloned().fold(ConfigDef::new(), ConfigDef::define)
}
