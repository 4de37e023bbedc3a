//! `kanat group`: list, describe, reset and delete consumer groups.

mod describe;
mod positions;
mod reset;

use kanat_client::{Admin, Client, GroupType, ListGroupsOptions, MemberToRemove, TopicPartition};
use kanat_sync::{Error, Result};
use serde_json::json;

use super::client::connect;
use super::outcomes::tell;
use super::topic::partitions;
use crate::args::{FileArgs, GroupArgs, GroupCommand, TopicPartitions};
use crate::output::Rows;

/// Said to the coordinator when members are removed.
const REMOVAL_REASON: &str = "removed with kanat group remove-members";

/// Does what the command line asks with groups.
pub(super) async fn run(files: &FileArgs, args: &GroupArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        GroupCommand::List { states, types } => list(&admin, states, types, json).await,
        GroupCommand::Describe { groups, members } => describe::run(&client, groups, *members, json).await,
        GroupCommand::Delete { groups } => delete(&admin, groups, json).await,
        GroupCommand::Reset(wanted) => reset::run(&client, wanted, json).await,
        GroupCommand::Export { group } => positions::export(&client, group, json).await,
        GroupCommand::DeleteOffsets { group, topics } => delete_offsets(&client, group, topics, json).await,
        GroupCommand::RemoveMembers { group, members, instances } => {
            remove_members(&admin, group, members, instances, json).await
        }
    }
}

async fn list(admin: &Admin, states: &[String], types: &[String], json: bool) -> Result<()> {
    let options = ListGroupsOptions { states: states.to_vec(), types: types.to_vec() };
    let groups = admin.list_groups(&options).await.map_err(|error| Error::kafka("listing groups", error))?;
    let mut rows = Rows::new(&["group", "type", "protocol", "state", "coordinator"]);
    for group in groups {
        rows.push(vec![
            json!(group.group),
            json!(group.group_type.as_ref().map(GroupType::as_str)),
            json!(Some(group.protocol_type).filter(|protocol| !protocol.is_empty())),
            json!(group.state),
            json!(group.coordinator),
        ]);
    }
    rows.show(json, "no groups");
    Ok(())
}

async fn delete(admin: &Admin, groups: &[String], json: bool) -> Result<()> {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let outcomes = admin.delete_groups(&names).await;
    let outcomes = outcomes.map_err(|error| Error::kafka(format!("deleting group {}", names.join(", ")), error))?;
    let outcomes = outcomes.into_iter().map(|(name, outcome)| (format!("group {name}"), outcome));
    tell(json, outcomes, "deleting", "deleted")
}

async fn delete_offsets(client: &Client, group: &str, topics: &[TopicPartitions], json: bool) -> Result<()> {
    let wanted = expand(client, topics).await?;
    let outcomes = client.admin().delete_group_offsets(group, &wanted).await;
    let outcomes = outcomes.map_err(|error| Error::kafka(format!("deleting offsets of group {group}"), error))?;
    let outcomes =
        outcomes.into_iter().map(|(partition, outcome)| (format!("offset of {partition} in group {group}"), outcome));
    tell(json, outcomes, "deleting", "deleted")
}

async fn remove_members(
    admin: &Admin,
    group: &str,
    members: &[String],
    instances: &[String],
    json: bool,
) -> Result<()> {
    let members = members.iter().cloned().map(MemberToRemove::Member);
    let wanted: Vec<MemberToRemove> = members.chain(instances.iter().cloned().map(MemberToRemove::Instance)).collect();
    let outcomes = admin.remove_group_members(group, &wanted, REMOVAL_REASON).await;
    let outcomes = outcomes.map_err(|error| Error::kafka(format!("removing members of group {group}"), error))?;
    let outcomes = outcomes.into_iter().map(|(member, outcome)| {
        let (MemberToRemove::Member(id) | MemberToRemove::Instance(id)) = member;
        (format!("member {id} of group {group}"), outcome)
    });
    tell(json, outcomes, "removing", "removed")
}

/// The partitions that `TOPIC` and `TOPIC:0,1` mean.
pub(super) async fn expand(client: &Client, topics: &[TopicPartitions]) -> Result<Vec<TopicPartition>> {
    let mut all = Vec::new();
    for wanted in topics {
        let known = partitions(client, &wanted.topic).await?;
        for index in &wanted.partitions {
            if !known.iter().any(|partition| partition.partition == *index) {
                let reason = format!("it has no partition {index}, it has {}", known.len());
                return Err(Error::kafka(format!("asking for topic {}", wanted.topic), reason));
            }
        }
        let chosen = |partition: &TopicPartition| {
            wanted.partitions.is_empty() || wanted.partitions.contains(&partition.partition)
        };
        all.extend(known.into_iter().filter(chosen));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
