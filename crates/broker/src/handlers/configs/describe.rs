//! DescribeConfigs.

use std::collections::BTreeMap;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kanat_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::{BROKER, GROUP, TOPIC, check_group, unsupported_resource};
use crate::acl::operation;
use crate::cluster::unknown_topic;
use crate::error::{Refusal, wire_code};
use crate::group_config;
use crate::handlers::{Context, Handle, message, text};
use crate::topic::check_name;
use crate::topic_config::{CONFIGS, ConfigDef, ConfigSource, ConfigType, TopicDefaults, effective};

/// What is wanted beside the values.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

impl Handle for DescribeConfigsRequest {
    async fn handle(self, context: &Context) -> DescribeConfigsResponse {
        let detail = Detail { synonyms: self.include_synonyms, documentation: self.include_documentation };
        let results = self.resources.iter().map(|resource| {
            let described = match resource.resource_type {
                TOPIC => describe_topic(resource, detail, context),
                BROKER => describe_nodes(resource, detail, context),
                GROUP => describe_group(resource, detail, context),
                other => Err(unsupported_resource(other)),
            };
            DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(wire_code(&described))
                .with_error_message(message(&described))
                .with_configs(described.unwrap_or_default())
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }
}

fn is_asked_for(resource: &DescribeConfigsResource, name: &str) -> bool {
    resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.as_str() == name))
}

fn describe_topic(
    resource: &DescribeConfigsResource,
    detail: Detail,
    context: &Context,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    context.check_topic(&resource.resource_name)?;
    check_name(&resource.resource_name)?;
    let topic = context.cluster.topic(&resource.resource_name);
    let configs = topic.ok_or_else(|| unknown_topic(&resource.resource_name))?.configs();
    let defaults = context.cluster.topic_defaults();
    let asked_for = CONFIGS.iter().filter(|config| is_asked_for(resource, config.name));
    Ok(asked_for.map(|config| describe(config, config.name, &configs.own, &defaults, detail)).collect())
}

/// A config that topics have, of a topic or, under another name and without values of its own, of all nodes.
fn describe(
    config: &ConfigDef,
    name: &'static str,
    own: &BTreeMap<String, String>,
    defaults: &TopicDefaults,
    detail: Detail,
) -> DescribeConfigsResourceResult {
    let (value, source) = effective(config.name, own, defaults);
    let result = DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(source.wire())
        .with_config_type(config.config_type.wire())
        .with_documentation(detail.documentation.then(|| text(config.documentation)));
    if detail.synonyms { result.with_synonyms(synonyms(config, own, defaults)) } else { result }
}

/// Where a config could come from, the winner first.
fn synonyms(
    config: &ConfigDef,
    own: &BTreeMap<String, String>,
    defaults: &TopicDefaults,
) -> Vec<DescribeConfigsSynonym> {
    let synonym = |name: &'static str, value: &str, source: ConfigSource| {
        let synonym = DescribeConfigsSynonym::default().with_name(text(name));
        synonym.with_value(Some(text(value))).with_source(source.wire())
    };
    let layers = [
        (config.name, own, ConfigSource::Topic),
        (config.broker_name, &defaults.dynamic, ConfigSource::DynamicDefault),
        (config.broker_name, &defaults.fixed, ConfigSource::BrokerDefault),
    ];
    let set = layers.into_iter().filter_map(|(name, layer, source)| {
        let value = layer.get(config.name)?;
        Some(synonym(name, value, source))
    });
    set.chain([synonym(config.broker_name, config.default, ConfigSource::Default)]).collect()
}

/// Configs of a node: what the options say and what topics default to. Without a name: what was set for all nodes.
fn describe_nodes(
    resource: &DescribeConfigsResource,
    detail: Detail,
    context: &Context,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    context.check_cluster(operation::DESCRIBE_CONFIGS)?;
    let name = &resource.resource_name;
    let (own, defaults) = (BTreeMap::new(), context.cluster.topic_defaults());
    let asked_for = CONFIGS.iter().filter(|config| is_asked_for(resource, config.broker_name));
    let describe = |config: &ConfigDef| describe(config, config.broker_name, &own, &defaults, detail);
    if name.is_empty() {
        return Ok(asked_for.filter(|config| defaults.dynamic.contains_key(config.name)).map(describe).collect());
    }
    if name.parse().ok().and_then(|id| context.cluster.node(id)).is_none() {
        return Err(Refusal::new(ErrorCode::InvalidRequest, format!("there is no node {name}")));
    }
    let fixed = fixed_configs(name, context).into_iter().filter(|(name, ..)| is_asked_for(resource, name));
    let fixed = fixed.map(|(name, value, config_type)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_read_only(true)
            .with_config_source(ConfigSource::BrokerDefault.wire())
            .with_config_type(config_type.wire())
    });
    Ok(fixed.chain(asked_for.map(describe)).collect())
}

/// Configs that are set when the broker starts.
pub(super) fn fixed_configs(node: &str, context: &Context) -> [(&'static str, String, ConfigType); 8] {
    let options = &context.cluster.options;
    [
        ("auto.create.topics.enable", options.auto_create_topics.to_string(), ConfigType::Boolean),
        ("broker.id", node.to_owned(), ConfigType::Int),
        ("default.replication.factor", options.nodes.to_string(), ConfigType::Int),
        ("group.initial.rebalance.delay.ms", options.group_initial_rebalance_delay_ms.to_string(), ConfigType::Int),
        ("group.max.session.timeout.ms", options.group_session_timeout_ms_max.to_string(), ConfigType::Int),
        ("group.min.session.timeout.ms", options.group_session_timeout_ms_min.to_string(), ConfigType::Int),
        ("num.partitions", options.default_partitions.to_string(), ConfigType::Int),
        ("socket.request.max.bytes", options.limits.frame_bytes_max.to_string(), ConfigType::Int),
    ]
}

fn describe_group(
    resource: &DescribeConfigsResource,
    detail: Detail,
    context: &Context,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = &resource.resource_name;
    check_group(name, context)?;
    let (own, options) = (context.cluster.group_configs(name), context.cluster.group_options(name));
    let asked_for = group_config::CONFIGS.iter().filter(|config| is_asked_for(resource, config.name));
    Ok(asked_for
        .map(|config| {
            let source = if own.contains_key(config.name) { ConfigSource::Group } else { ConfigSource::Default };
            DescribeConfigsResourceResult::default()
                .with_name(text(config.name))
                .with_value(Some(text(group_config::value(&options, config.name))))
                .with_config_source(source.wire())
                .with_config_type(ConfigType::Int.wire())
                .with_documentation(detail.documentation.then(|| text(config.documentation)))
        })
        .collect())
}
