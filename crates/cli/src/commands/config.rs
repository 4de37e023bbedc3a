//! `kanat config`: configurations of topics, brokers and groups.

use kanat_client::{Admin, AlterConfig, ConfigOperation, ConfigResource, ConfigResourceType, DescribeConfigsOptions};
use kanat_sync::{Error, Result};
use serde_json::json;

use super::client::connect;
use super::outcomes::tell;
use crate::args::{ConfigArgs, ConfigCommand, FileArgs, ResourceArgs};
use crate::output::Rows;

/// Name of what all brokers share.
const ALL_BROKERS: &str = "default";

/// Does what the command line asks with configurations.
pub(super) async fn run(files: &FileArgs, args: &ConfigArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        ConfigCommand::Describe { resource, all, documentation } => {
            describe(&admin, resource, *all, *documentation, json).await
        }
        ConfigCommand::Set { resource, configs, append, subtract, dry_run } => {
            let operation = |value: &String| match (append, subtract) {
                (true, _) => ConfigOperation::Append(value.clone()),
                (_, true) => ConfigOperation::Subtract(value.clone()),
                _ => ConfigOperation::Set(value.clone()),
            };
            let change =
                |(key, value): &(String, String)| AlterConfig { name: key.clone(), operation: operation(value) };
            alter(&admin, resource, configs.iter().map(change).collect(), *dry_run, json).await
        }
        ConfigCommand::Delete { resource, keys } => {
            alter(&admin, resource, keys.iter().map(AlterConfig::delete).collect(), false, json).await
        }
    }
}

fn resource(args: &ResourceArgs) -> ConfigResource {
    let all = args.kind == ConfigResourceType::Broker && args.name == ALL_BROKERS;
    ConfigResource { kind: args.kind, name: if all { String::new() } else { args.name.clone() } }
}

async fn describe(admin: &Admin, args: &ResourceArgs, all: bool, documentation: bool, json: bool) -> Result<()> {
    let resource = resource(args);
    let fail = |error| Error::kafka(format!("describing the configuration of {resource}"), error);
    let options = DescribeConfigsOptions { synonyms: false, documentation };
    let mut plain = Rows::new(&["key", "value", "source", "read_only"]);
    let mut documented = Rows::new(&["key", "value", "source", "read_only", "type", "documentation"]);
    for (_, described) in admin.describe_configs(std::slice::from_ref(&resource), options).await.map_err(fail)? {
        for entry in described.map_err(fail)?.into_iter().filter(|entry| all || !entry.is_default) {
            let value = if entry.sensitive { json!("(secret)") } else { json!(entry.value) };
            let mut row = vec![json!(entry.name), value, json!(entry.source.as_str()), json!(entry.read_only)];
            if documentation {
                row.push(json!(entry.value_type.map(|kind| kind.as_str())));
                row.push(json!(entry.documentation));
                documented.push(row);
            } else {
                plain.push(row);
            }
        }
    }
    let rows = if documentation { documented } else { plain };
    rows.show(json, &format!("nothing is set for {resource}; --all shows the defaults"));
    Ok(())
}

async fn alter(admin: &Admin, args: &ResourceArgs, changes: Vec<AlterConfig>, dry_run: bool, json: bool) -> Result<()> {
    let resource = resource(args);
    let name = format!("configuration of {resource}");
    let altered = admin.alter_configs(&[(resource, changes)], dry_run).await;
    let altered = altered.map_err(|error| Error::kafka(format!("changing {name}"), error))?;
    let outcomes = altered.into_iter().map(|(_, outcome)| (name.clone(), outcome));
    tell(json, outcomes, "changing", if dry_run { "can be changed" } else { "changed" })
}
