//! IncrementalAlterConfigs and AlterConfigs: what topics, nodes and groups are set to. Reading is in [`describe`].

mod describe;

use std::collections::{BTreeMap, BTreeSet};

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kanat_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kanat_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kanat_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use self::describe::fixed_configs;
use super::{Context, Handle, message};
use crate::acl::operation;
use crate::error::{Refusal, wire_code};
use crate::group_config;
use crate::topic::check_name;
use crate::topic_config::{self, ConfigDef, ConfigType, effective, find_by_broker_name, list};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Values by name.
type Values = BTreeMap<String, String>;

impl Handle for IncrementalAlterConfigsRequest {
    async fn handle(self, context: &Context) -> IncrementalAlterConfigsResponse {
        let validate_only = self.validate_only;
        context
            .run(move |context| {
                let responses = self.resources.into_iter().map(|resource| {
                    let (kind, name) = (resource.resource_type, resource.resource_name.as_str());
                    let change = |values: &mut Values| {
                        resource.configs.iter().try_for_each(|config| apply(kind, values, config, context))
                    };
                    let altered = check_changes(&resource.configs)
                        .and_then(|()| alter(kind, name, validate_only, change, context));
                    IncrementalResponse::default()
                        .with_resource_type(kind)
                        .with_error_code(wire_code(&altered))
                        .with_error_message(message(&altered))
                        .with_resource_name(resource.resource_name)
                });
                IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
            })
            .await
    }
}

impl Handle for AlterConfigsRequest {
    async fn handle(self, context: &Context) -> AlterConfigsResponse {
        let validate_only = self.validate_only;
        context
            .run(move |context| {
                let responses = self.resources.into_iter().map(|resource| {
                    let (kind, name) = (resource.resource_type, resource.resource_name.as_str());
                    let given = resource.configs.iter();
                    let wanted =
                        given.filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())));
                    let wanted: Values = wanted.collect();
                    let change = |values: &mut Values| {
                        *values = wanted;
                        Ok(())
                    };
                    let altered = alter(kind, name, validate_only, change, context);
                    AlterConfigsResourceResponse::default()
                        .with_resource_type(kind)
                        .with_error_code(wire_code(&altered))
                        .with_error_message(message(&altered))
                        .with_resource_name(resource.resource_name)
                });
                AlterConfigsResponse::default().with_responses(responses.collect())
            })
            .await
    }
}

fn alter(
    kind: i8,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut Values) -> Result<(), Refusal>,
    context: &Context,
) -> Result<(), Refusal> {
    let cluster = &context.cluster;
    match kind {
        TOPIC => {
            context.check_topic(name)?;
            check_name(name)?;
            cluster.change_topic_configs(name, validate_only, change)
        }
        BROKER => {
            context.check_cluster(operation::ALTER_CONFIGS)?;
            if !name.is_empty() {
                let reason = "the nodes of this broker share their configs: name none to set them for all";
                return Err(Refusal::new(ErrorCode::InvalidRequest, reason));
            }
            cluster.change_node_configs(validate_only, change)
        }
        GROUP => {
            check_group(name, context)?;
            cluster.change_group_configs(name, validate_only, change)
        }
        other => Err(unsupported_resource(other)),
    }
}

/// Every config is changed once, and to something.
fn check_changes(configs: &[AlterableConfig]) -> Result<(), Refusal> {
    let invalid = |reason: String| Err(Refusal::new(ErrorCode::InvalidRequest, reason));
    let mut names = BTreeSet::new();
    for config in configs {
        let name = config.name.as_str();
        if !names.insert(name) {
            return invalid(format!("{name} is changed twice"));
        }
        if config.value.is_none() && config.config_operation != DELETE {
            return invalid(format!("{name} needs a value"));
        }
    }
    Ok(())
}

/// Makes one change of an incremental alteration.
fn apply(kind: i8, values: &mut Values, config: &AlterableConfig, context: &Context) -> Result<(), Refusal> {
    let invalid = |reason: String| Refusal::new(ErrorCode::InvalidConfig, reason);
    let name = config.name.as_str();
    let definition = definition(kind, name, context)?;
    if config.config_operation == DELETE {
        values.remove(name);
        return Ok(());
    }
    let given = config.value.as_deref().unwrap_or_default();
    let value = match (config.config_operation, definition) {
        (SET, _) => given.to_string(),
        (operation @ (APPEND | SUBTRACT), Some(definition)) if definition.config_type == ConfigType::List => {
            let (none, defaults) = (Values::new(), context.cluster.topic_defaults());
            let default = effective(definition.name, &none, &defaults).0;
            let present = values.get(name).map_or(default, String::as_str);
            let kept = list(present).filter(|item| !list(given).any(|given| given == *item));
            let added = list(given).filter(|_| operation == APPEND);
            kept.chain(added).collect::<Vec<_>>().join(",")
        }
        (APPEND | SUBTRACT, _) => return Err(invalid(format!("{name} is not a list"))),
        (other, _) => return Err(Refusal::new(ErrorCode::InvalidRequest, format!("unknown operation {other}"))),
    };
    values.insert(name.to_owned(), value);
    Ok(())
}

/// The config of a topic that a name means, if it means one. Names that mean nothing are refused.
fn definition(kind: i8, name: &str, context: &Context) -> Result<Option<&'static ConfigDef>, Refusal> {
    let unknown = |reason: String| Refusal::new(ErrorCode::InvalidConfig, reason);
    match kind {
        TOPIC => topic_config::find(name).map(Some).ok_or_else(|| unknown(format!("unknown topic config {name}"))),
        BROKER if fixed_configs("", context).iter().any(|(fixed, ..)| *fixed == name) => {
            let reason = format!("Cannot update these configs dynamically: Set({name})");
            Err(Refusal::new(ErrorCode::InvalidRequest, reason))
        }
        BROKER => {
            find_by_broker_name(name).map(Some).ok_or_else(|| unknown(format!("Unknown broker config name: {name}")))
        }
        _ if group_config::CONFIGS.iter().any(|config| config.name == name) => Ok(None),
        _ => Err(unknown(format!("Unknown group config name: {name}"))),
    }
}

fn check_group(name: &str, context: &Context) -> Result<(), Refusal> {
    context.check_request()?;
    if name.is_empty() {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "Default group resources are not allowed."));
    }
    context.authorize_group(name).map_err(|code| Refusal::new(code, "Group authorization failed."))
}

fn unsupported_resource(resource_type: i8) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, format!("resource type {resource_type} has no configs here"))
}
