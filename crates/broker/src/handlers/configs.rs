//! DescribeConfigs, IncrementalAlterConfigs and AlterConfigs.

use std::collections::BTreeMap;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kanat_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kanat_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kanat_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::{Context, Handle, message, text};
use crate::cluster::unknown_topic;
use crate::error::{Refusal, wire_code};
use crate::topic_config::{CONFIGS, ConfigDef, ConfigSource, ConfigType, effective, find, list};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Handle for DescribeConfigsRequest {
    async fn handle(self, context: &Context) -> DescribeConfigsResponse {
        let results = self.resources.iter().map(|resource| {
            let described = match resource.resource_type {
                TOPIC => describe_topic(resource, self.include_synonyms, self.include_documentation, context),
                BROKER => describe_broker(resource, context),
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
    with_synonyms: bool,
    with_documentation: bool,
    context: &Context,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    context.check_topic(&resource.resource_name)?;
    let topic = context.cluster.topic(&resource.resource_name);
    let configs = topic.ok_or_else(|| unknown_topic(&resource.resource_name))?.configs();
    let own = &configs.own;
    let asked_for = CONFIGS.iter().filter(|config| is_asked_for(resource, config.name));
    Ok(asked_for
        .map(|config| {
            let (value, source) = effective(config.name, own, &context.cluster.options.topic_defaults);
            let result = DescribeConfigsResourceResult::default()
                .with_name(text(config.name))
                .with_value(Some(text(value)))
                .with_config_source(source.wire())
                .with_config_type(config.config_type.wire())
                .with_documentation(with_documentation.then(|| text(config.documentation)));
            if with_synonyms { result.with_synonyms(synonyms(config, own, context)) } else { result }
        })
        .collect())
}

/// Where a config could come from, the winner first.
fn synonyms(config: &ConfigDef, own: &BTreeMap<String, String>, context: &Context) -> Vec<DescribeConfigsSynonym> {
    let synonym = |value: &str, source: ConfigSource| {
        let synonym = DescribeConfigsSynonym::default().with_name(text(config.name));
        synonym.with_value(Some(text(value))).with_source(source.wire())
    };
    let own = own.get(config.name).map(|value| synonym(value, ConfigSource::Topic));
    let defaults = context.cluster.options.topic_defaults.get(config.name);
    let broker = defaults.map(|value| synonym(value, ConfigSource::BrokerDefault));
    own.into_iter().chain(broker).chain([synonym(config.default, ConfigSource::Default)]).collect()
}

fn describe_broker(
    resource: &DescribeConfigsResource,
    context: &Context,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    context.check_request()?;
    let node = resource.resource_name.parse().ok().and_then(|id| context.cluster.node(id));
    if node.is_none() && !resource.resource_name.is_empty() {
        let reason = format!("there is no node {}", resource.resource_name);
        return Err(Refusal::new(ErrorCode::InvalidRequest, reason));
    }
    let options = &context.cluster.options;
    let configs = [
        ("auto.create.topics.enable", options.auto_create_topics.to_string(), ConfigType::Boolean),
        ("broker.id", resource.resource_name.to_string(), ConfigType::Int),
        ("default.replication.factor", options.nodes.to_string(), ConfigType::Int),
        ("group.initial.rebalance.delay.ms", options.group_initial_rebalance_delay_ms.to_string(), ConfigType::Int),
        ("group.max.session.timeout.ms", options.group_session_timeout_ms_max.to_string(), ConfigType::Int),
        ("group.min.session.timeout.ms", options.group_session_timeout_ms_min.to_string(), ConfigType::Int),
        ("num.partitions", options.default_partitions.to_string(), ConfigType::Int),
        ("socket.request.max.bytes", options.limits.frame_bytes_max.to_string(), ConfigType::Int),
    ];
    let asked_for = configs.into_iter().filter(|(name, ..)| is_asked_for(resource, name));
    Ok(asked_for
        .map(|(name, value, config_type)| {
            DescribeConfigsResourceResult::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
                .with_read_only(true)
                .with_config_source(ConfigSource::BrokerDefault.wire())
                .with_config_type(config_type.wire())
        })
        .collect())
}

impl Handle for IncrementalAlterConfigsRequest {
    async fn handle(self, context: &Context) -> IncrementalAlterConfigsResponse {
        let validate_only = self.validate_only;
        context
            .run(move |context| {
                let responses = self.resources.into_iter().map(|resource| {
                    let altered =
                        check_resource(resource.resource_type, &resource.resource_name, context).and_then(|()| {
                            context.cluster.change_configs(&resource.resource_name, validate_only, |own| {
                                resource.configs.iter().try_for_each(|config| apply(own, config, context))
                            })
                        });
                    IncrementalResponse::default()
                        .with_resource_type(resource.resource_type)
                        .with_resource_name(resource.resource_name)
                        .with_error_code(wire_code(&altered))
                        .with_error_message(message(&altered))
                });
                IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
            })
            .await
    }
}

fn apply(own: &mut BTreeMap<String, String>, config: &AlterableConfig, context: &Context) -> Result<(), Refusal> {
    let invalid = |reason: String| Refusal::new(ErrorCode::InvalidConfig, reason);
    let name = config.name.as_str();
    let definition = find(name).ok_or_else(|| invalid(format!("unknown topic config {name}")))?;
    if config.config_operation == DELETE {
        own.remove(name);
        return Ok(());
    }
    let given = config.value.as_ref().ok_or_else(|| invalid(format!("{name} needs a value")))?;
    let value = match config.config_operation {
        SET => given.to_string(),
        APPEND | SUBTRACT if definition.config_type != ConfigType::List => {
            return Err(invalid(format!("{name} is not a list")));
        }
        operation @ (APPEND | SUBTRACT) => {
            let (present, _) = effective(name, own, &context.cluster.options.topic_defaults);
            let kept = list(present).filter(|item| !list(given).any(|given| given == *item));
            let added = list(given).filter(|_| operation == APPEND);
            kept.chain(added).collect::<Vec<_>>().join(",")
        }
        other => return Err(Refusal::new(ErrorCode::InvalidRequest, format!("unknown operation {other}"))),
    };
    own.insert(name.to_owned(), value);
    Ok(())
}

impl Handle for AlterConfigsRequest {
    async fn handle(self, context: &Context) -> AlterConfigsResponse {
        let validate_only = self.validate_only;
        context
            .run(move |context| {
                let responses = self.resources.into_iter().map(|resource| {
                    let wanted: BTreeMap<String, String> = resource
                        .configs
                        .iter()
                        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
                        .collect();
                    let altered =
                        check_resource(resource.resource_type, &resource.resource_name, context).and_then(|()| {
                            context.cluster.change_configs(&resource.resource_name, validate_only, |own| {
                                *own = wanted;
                                Ok(())
                            })
                        });
                    AlterConfigsResourceResponse::default()
                        .with_resource_type(resource.resource_type)
                        .with_resource_name(resource.resource_name)
                        .with_error_code(wire_code(&altered))
                        .with_error_message(message(&altered))
                });
                AlterConfigsResponse::default().with_responses(responses.collect())
            })
            .await
    }
}

fn check_resource(resource_type: i8, name: &str, context: &Context) -> Result<(), Refusal> {
    context.check_topic(name)?;
    match resource_type {
        TOPIC => Ok(()),
        BROKER => Err(Refusal::new(ErrorCode::InvalidRequest, "configs of this broker are set when it starts")),
        other => Err(unsupported_resource(other)),
    }
}

fn unsupported_resource(resource_type: i8) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, format!("resource type {resource_type} has no configs here"))
}
