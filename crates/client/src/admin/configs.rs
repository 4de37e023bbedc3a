//! Configurations of topics, brokers, groups and client metrics.

use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kanat_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kanat_protocol::messages::{ApiKey, DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::ask::{Home, Node, Repeat, optional_text, text};
use super::{Admin, Outcomes, named, wire_enum};
use crate::cluster::str_bytes;
use crate::error::Result;

wire_enum! {
    /// What a configuration belongs to.
    ConfigResourceType {
        /// A topic.
        Topic = 2, "topic";
        /// A broker by its id, or with an empty name the defaults of all brokers.
        Broker = 4, "broker";
        /// The loggers of a broker.
        BrokerLogger = 8, "broker-logger";
        /// A subscription to metrics of clients (KIP-714).
        ClientMetrics = 16, "client-metrics";
        /// A consumer group.
        Group = 32, "group";
    }
}

wire_enum! {
    /// Where a configuration value comes from.
    ConfigSource {
        /// Set for this topic.
        Topic = 1, "topic";
        /// Set for this broker while it runs.
        Broker = 2, "broker";
        /// Set for all brokers while they run.
        BrokerDefault = 3, "broker-default";
        /// In the broker's properties file.
        StaticBroker = 4, "static-broker";
        /// Nobody set it.
        Default = 5, "default";
        /// Set for the loggers of this broker.
        BrokerLogger = 6, "broker-logger";
        /// Set for this client metrics subscription.
        ClientMetrics = 7, "client-metrics";
        /// Set for this group.
        Group = 8, "group";
    }
}

wire_enum! {
    /// The type of a configuration value.
    ConfigType {
        /// True or false.
        Boolean = 1, "boolean";
        /// Text.
        String = 2, "string";
        /// A whole number of 32 bits.
        Int = 3, "int";
        /// A whole number of 16 bits.
        Short = 4, "short";
        /// A whole number of 64 bits.
        Long = 5, "long";
        /// A floating-point number.
        Double = 6, "double";
        /// Texts separated by commas.
        List = 7, "list";
        /// The name of a Java class.
        Class = 8, "class";
        /// A secret: its value is never shown.
        Password = 9, "password";
    }
}

/// What a configuration belongs to, by type and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigResource {
    /// Type.
    pub kind: ConfigResourceType,
    /// Topic name, broker id, group id.
    pub name: String,
}

impl ConfigResource {
    /// A topic's configuration.
    pub fn topic(name: impl Into<String>) -> ConfigResource {
        ConfigResource { kind: ConfigResourceType::Topic, name: name.into() }
    }

    /// A broker's configuration.
    pub fn broker(node_id: i32) -> ConfigResource {
        ConfigResource { kind: ConfigResourceType::Broker, name: node_id.to_string() }
    }

    /// What all brokers share.
    pub fn all_brokers() -> ConfigResource {
        ConfigResource { kind: ConfigResourceType::Broker, name: String::new() }
    }

    /// A consumer group's configuration.
    pub fn group(id: impl Into<String>) -> ConfigResource {
        ConfigResource { kind: ConfigResourceType::Group, name: id.into() }
    }

    /// A broker knows its own configuration only.
    fn home(&self, otherwise: Home) -> Home {
        match (self.kind, self.name.parse()) {
            (ConfigResourceType::Broker | ConfigResourceType::BrokerLogger, Ok(node_id)) => Home::Node(node_id),
            _ => otherwise,
        }
    }
}

impl std::fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.name.as_str()) {
            (ConfigResourceType::Broker, "") => f.write_str("all brokers"),
            (kind, name) => write!(f, "{kind} {name}"),
        }
    }
}

/// A value that a configuration key would have from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key under which that source has it.
    pub name: String,
    /// The value; `None` when it is secret.
    pub value: Option<String>,
    /// The source.
    pub source: ConfigSource,
}

/// One configuration value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Key.
    pub name: String,
    /// Value; `None` when it is secret or unset.
    pub value: Option<String>,
    /// Whether nobody set it for this topic, broker or group.
    pub is_default: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
    /// Whether the value is secret.
    pub sensitive: bool,
    /// Type of the value; `None` when the broker does not say (before Kafka 2.6).
    pub value_type: Option<ConfigType>,
    /// What other sources say, the strongest first; asked for with [`DescribeConfigsOptions::synonyms`].
    pub synonyms: Vec<ConfigSynonym>,
    /// What the key means; asked for with [`DescribeConfigsOptions::documentation`].
    pub documentation: Option<String>,
}

/// What to tell of configurations beside their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DescribeConfigsOptions {
    /// What other sources say.
    pub synonyms: bool,
    /// What the keys mean. Needs Kafka 2.6.
    pub documentation: bool,
}

/// What to do with one configuration key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Give it this value.
    Set(String),
    /// Back to what it is without being set.
    Delete,
    /// Add these values, separated by commas, to a list.
    Append(String),
    /// Take these values, separated by commas, out of a list.
    Subtract(String),
}

/// A change of one configuration key; keys that are not named stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfig {
    /// Key.
    pub name: String,
    /// What to do with it.
    pub operation: ConfigOperation,
}

impl AlterConfig {
    /// Gives a key a value.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> AlterConfig {
        AlterConfig { name: name.into(), operation: ConfigOperation::Set(value.into()) }
    }

    /// Takes a key back to its default.
    pub fn delete(name: impl Into<String>) -> AlterConfig {
        AlterConfig { name: name.into(), operation: ConfigOperation::Delete }
    }

    fn to_wire(&self) -> AlterableConfig {
        let (code, value) = match &self.operation {
            ConfigOperation::Set(value) => (0, Some(value)),
            ConfigOperation::Delete => (1, None),
            ConfigOperation::Append(value) => (2, Some(value)),
            ConfigOperation::Subtract(value) => (3, Some(value)),
        };
        AlterableConfig::default()
            .with_name(str_bytes(&self.name))
            .with_config_operation(code)
            .with_value(value.map(|value| str_bytes(value)))
    }
}

impl Admin {
    /// The configurations of topics, brokers or groups, sorted by key.
    ///
    /// # Errors
    /// When no broker answers until `retry_timeout_ms`. A resource that cannot be described is in the result.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        options: DescribeConfigsOptions,
    ) -> Result<Outcomes<ConfigResource, Vec<ConfigEntry>>> {
        let ask = |node: Node, resources: Vec<ConfigResource>| async move {
            let wanted = |resource: &ConfigResource| {
                DescribeConfigsResource::default()
                    .with_resource_type(resource.kind.code())
                    .with_resource_name(str_bytes(&resource.name))
                    .with_configuration_keys(None)
            };
            let request = DescribeConfigsRequest::default()
                .with_resources(resources.iter().map(wanted).collect())
                .with_include_synonyms(options.synonyms)
                .with_include_documentation(options.documentation);
            let answer = node.ask(ApiKey::DescribeConfigs, &request).await?;
            let outcome = |resource: &ConfigResource| {
                let row = answer.body.results.iter().find(|row| {
                    row.resource_type == resource.kind.code() && row.resource_name.as_str() == resource.name
                });
                let row = answer.found(row, || resource.to_string())?;
                answer.check(|| resource.to_string(), row.error_code, row.error_message.as_ref())?;
                let mut entries: Vec<ConfigEntry> = row.configs.iter().map(|row| entry(resource.kind, row)).collect();
                entries.sort_unstable_by(|left, right| left.name.cmp(&right.name));
                Ok(entries)
            };
            Ok(resources.iter().map(outcome).collect())
        };
        let outcomes = self.ask_each(resources, Repeat::Always, |resource| resource.home(Home::Any), ask).await?;
        Ok(named(resources, outcomes))
    }

    /// Changes configuration keys of topics, brokers or groups; keys that are not named stay. With `validate_only` says
    /// whether that could be done.
    ///
    /// # Errors
    /// When no broker answers until `retry_timeout_ms`. A resource whose change was refused is in the result; none of
    /// its keys was changed.
    pub async fn alter_configs(
        &self,
        changes: &[(ConfigResource, Vec<AlterConfig>)],
        validate_only: bool,
    ) -> Result<Outcomes<ConfigResource>> {
        let ask = |node: Node, changes: Vec<(ConfigResource, Vec<AlterConfig>)>| async move {
            let wanted = |(resource, changes): &(ConfigResource, Vec<AlterConfig>)| {
                AlterConfigsResource::default()
                    .with_resource_type(resource.kind.code())
                    .with_resource_name(str_bytes(&resource.name))
                    .with_configs(changes.iter().map(AlterConfig::to_wire).collect())
            };
            let request = IncrementalAlterConfigsRequest::default()
                .with_resources(changes.iter().map(wanted).collect())
                .with_validate_only(validate_only);
            let answer = node.ask(ApiKey::IncrementalAlterConfigs, &request).await?;
            let outcome = |(resource, _): &(ConfigResource, Vec<AlterConfig>)| {
                let row = answer.body.responses.iter().find(|row| {
                    row.resource_type == resource.kind.code() && row.resource_name.as_str() == resource.name
                });
                let row = answer.found(row, || resource.to_string())?;
                answer.check(|| resource.to_string(), row.error_code, row.error_message.as_ref())
            };
            Ok(changes.iter().map(outcome).collect())
        };
        // Appending twice is not appending once.
        let home = |(resource, _): &(ConfigResource, Vec<AlterConfig>)| resource.home(Home::Controller);
        let outcomes = self.ask_each(changes, Repeat::UnlessUnknown, home, ask).await?;
        Ok(changes.iter().map(|(resource, _)| resource.clone()).zip(outcomes).collect())
    }

    /// The configuration of a topic.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn describe_topic_configs(&self, topic: &str) -> Result<Vec<ConfigEntry>> {
        let resource = ConfigResource::topic(topic);
        let mut entries = Vec::new();
        for (_, described) in self.describe_configs(&[resource], DescribeConfigsOptions::default()).await? {
            entries.extend(described?);
        }
        Ok(entries)
    }

    /// Sets (`Some`) or resets (`None`) configuration keys of a topic; the others stay.
    ///
    /// # Errors
    /// The controller's refusal.
    pub async fn alter_topic_configs(&self, topic: &str, configs: &[(&str, Option<&str>)]) -> Result<()> {
        let change = |(name, value): &(&str, Option<&str>)| match value {
            Some(value) => AlterConfig::set(*name, *value),
            None => AlterConfig::delete(*name),
        };
        let changes = (ConfigResource::topic(topic), configs.iter().map(change).collect());
        for (_, altered) in self.alter_configs(&[changes], false).await? {
            altered?;
        }
        Ok(())
    }
}

fn entry(kind: ConfigResourceType, row: &DescribeConfigsResourceResult) -> ConfigEntry {
    let source = ConfigSource::from_code(row.config_source);
    let own = match kind {
        ConfigResourceType::Topic => source == ConfigSource::Topic,
        ConfigResourceType::Group => source == ConfigSource::Group,
        _ => source != ConfigSource::Default,
    };
    let synonyms = row.synonyms.iter().map(|synonym| ConfigSynonym {
        name: text(&synonym.name),
        value: optional_text(synonym.value.as_ref()),
        source: ConfigSource::from_code(synonym.source),
    });
    ConfigEntry {
        name: text(&row.name),
        value: optional_text(row.value.as_ref()),
        is_default: !own,
        source,
        read_only: row.read_only,
        sensitive: row.is_sensitive,
        value_type: Some(ConfigType::from_code(row.config_type)).filter(|kind| *kind != ConfigType::Other(0)),
        synonyms: synonyms.collect(),
        documentation: optional_text(row.documentation.as_ref()),
    }
}
