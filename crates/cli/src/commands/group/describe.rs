//! `kanat group describe`: where a group is, how far behind, and who reads what.

use std::collections::{BTreeSet, HashMap};

use kanat_client::{Client, DescribedGroup, DescribedMember, ListGroupsOptions, OffsetSpec, TopicPartition};
use kanat_protocol::ErrorCode;
use kanat_sync::{Error, Result};
use serde_json::{Value, json};

use super::positions::{committed, offsets};
use crate::output::{Rows, counted, line};

/// Describes the groups given, or all.
pub(super) async fn run(client: &Client, groups: &[String], members: bool, json: bool) -> Result<()> {
    let admin = client.admin();
    let mut names = groups.to_vec();
    if names.is_empty() {
        let all = admin.list_groups(&ListGroupsOptions::default()).await;
        names.extend(all.map_err(|error| Error::kafka("listing groups", error))?.into_iter().map(|group| group.group));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (index, group) in describe(client, &names).await?.into_iter().enumerate() {
        let rows = if members { member_rows(&group) } else { offset_rows(client, &group).await? };
        if json {
            line(&document(&group, members, &rows).to_string());
            continue;
        }
        if index > 0 {
            line("");
        }
        let assignor = if group.assignor.is_empty() { String::new() } else { format!(", assignor {}", group.assignor) };
        line(&format!(
            "group {}, {}, {}{assignor}, type {}, coordinator {}",
            group.group,
            group.state,
            counted(group.members.len(), "member"),
            group.group_type.as_str(),
            group.coordinator
        ));
        let none = if members { "no members" } else { "no offsets" };
        rows.show(false, none);
    }
    Ok(())
}

/// Descriptions of groups that exist.
pub(super) async fn describe(client: &Client, names: &[&str]) -> Result<Vec<DescribedGroup>> {
    let described = client.admin().describe_groups(names).await;
    let described = described.map_err(|error| Error::kafka(format!("describing group {}", names.join(", ")), error))?;
    let existing = |(name, outcome): (String, kanat_client::Result<DescribedGroup>)| {
        let action = format!("describing group {name}");
        match outcome {
            Ok(group) if group.state != "Dead" => Ok(group),
            Err(error) if error.code() != Some(ErrorCode::GroupIdNotFound) => Err(Error::kafka(action, error)),
            Ok(_) | Err(_) => Err(Error::kafka(action, "it does not exist")),
        }
    };
    described.into_iter().map(existing).collect()
}

fn document(group: &DescribedGroup, members: bool, rows: &Rows) -> Value {
    let (name, rows) = (if members { "members" } else { "offsets" }, rows.objects());
    let mut document = json!({
        "group": group.group, "state": group.state, "type": group.group_type.as_str(),
        "protocol": group.protocol_type, "assignor": group.assignor, "coordinator": group.coordinator,
    });
    document[name] = Value::from(rows);
    document
}

fn member_rows(group: &DescribedGroup) -> Rows {
    let mut rows = Rows::new(&["member", "instance", "client", "host", "epoch", "assigned"]);
    for member in &group.members {
        let assigned: Vec<String> = member.assigned.iter().map(TopicPartition::to_string).collect();
        rows.push(vec![
            json!(member.member_id),
            json!(member.instance_id),
            json!(member.client_id),
            json!(member.client_host),
            json!(Some(member.epoch).filter(|epoch| *epoch >= 0)),
            json!(assigned),
        ]);
    }
    rows
}

/// A row for each partition that has a committed offset or an owner.
async fn offset_rows(client: &Client, group: &DescribedGroup) -> Result<Rows> {
    let committed = committed(client, &group.group).await?;
    let mut owners: HashMap<&TopicPartition, &DescribedMember> = HashMap::new();
    for member in &group.members {
        owners.extend(member.assigned.iter().map(|partition| (partition, member)));
    }
    let all: BTreeSet<TopicPartition> =
        committed.keys().cloned().chain(owners.keys().map(|partition| (*partition).clone())).collect();
    let all: Vec<TopicPartition> = all.into_iter().collect();
    let ends = offsets(client, &all, OffsetSpec::Latest).await?;
    let mut rows = Rows::new(&["topic", "partition", "committed", "end", "lag", "member", "host"]);
    for partition in &all {
        let position = committed.get(partition).map(|position| position.offset);
        let end = ends.get(partition).copied();
        let lag = position.zip(end).map(|(position, end)| end.saturating_sub(position).max(0));
        let owner = owners.get(partition);
        rows.push(vec![
            json!(&*partition.topic),
            json!(partition.partition),
            json!(position),
            json!(end),
            json!(lag),
            json!(owner.map(|member| &member.member_id)),
            json!(owner.map(|member| &member.client_host)),
        ]);
    }
    Ok(rows)
}
