//! `kanat topic`: list, describe, create, change and delete topics.

use std::collections::HashMap;

use kanat_client::{
    Admin, AlterConfig, Client, ConfigEntry, ConfigResource, DescribeConfigsOptions, Isolation, NewTopic, OffsetSpec,
    TopicDescription, TopicPartition,
};
use kanat_protocol::ErrorCode;
use kanat_sync::{Error, Result};
use serde_json::{Map, Value, json};

use super::client::connect;
use super::outcomes::tell;
use super::when;
use crate::args::{CreateTopicArgs, FileArgs, TopicArgs, TopicCommand};
use crate::output::{Rows, complain, counted, line};

/// Does what the command line asks with topics.
pub(super) async fn run(files: &FileArgs, args: &TopicArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        TopicCommand::List { internal } => list(&client, *internal, json).await,
        TopicCommand::Create(wanted) => create(&admin, wanted, json).await,
        TopicCommand::Delete { topics, if_exists } => delete(&admin, topics, *if_exists, json).await,
        TopicCommand::Describe { topics } => describe(&client, topics, json).await,
        TopicCommand::Alter { topic, partitions, set, unset } => {
            alter(&admin, topic, *partitions, set, unset, json).await
        }
        TopicCommand::Offsets { topic, time } => offsets(&client, topic, *time, json).await,
        TopicCommand::DeleteRecords { topic, before } => delete_records(&admin, topic, before, json).await,
    }
}

async fn list(client: &Client, internal: bool, json: bool) -> Result<()> {
    let topics = client.list_topics().await.map_err(|error| Error::kafka("listing topics", error))?;
    let mut rows = Rows::new(&["topic", "partitions", "replicas"]);
    for topic in topics.iter().filter(|topic| internal || !topic.internal) {
        let replicas = topic.partitions.iter().map(|partition| partition.replicas.len()).max();
        rows.push(vec![json!(&*topic.name), json!(topic.partitions.len()), json!(replicas)]);
    }
    rows.show(json, "no topics");
    Ok(())
}

async fn create(admin: &Admin, args: &CreateTopicArgs, json: bool) -> Result<()> {
    let mut topic = NewTopic::new(&args.topic, args.partitions).with_replication(args.replication_factor);
    topic.assignments = args.assignments.iter().map(|brokers| brokers.0.clone()).collect();
    for (key, value) in &args.configs {
        topic = topic.with_config(key, value);
    }
    let outcome = match args.dry_run {
        true => match admin.validate_topics(&[topic]).await {
            Ok(outcomes) => outcomes.into_iter().try_for_each(|(_, outcome)| outcome.map(|_| ())),
            Err(error) => Err(error),
        },
        false => admin.create_topic(&topic).await,
    };
    let exists = outcome.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::TopicAlreadyExists));
    let done = match (args.dry_run, exists) {
        (_, true) => "exists already",
        (true, false) => "can be created",
        (false, false) => "created",
    };
    let outcome = if exists && args.if_not_exists { Ok(()) } else { outcome };
    tell(json, [(format!("topic {}", args.topic), outcome)], "creating", done)
}

async fn delete(admin: &Admin, topics: &[String], if_exists: bool, json: bool) -> Result<()> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let outcomes = admin.delete_topics(&names).await;
    let outcomes = outcomes.map_err(|error| Error::kafka(format!("deleting topic {}", names.join(", ")), error))?;
    let outcome = |(name, outcome): (String, kanat_client::Result<()>)| {
        let absent = outcome.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::UnknownTopicOrPartition));
        (format!("topic {name}"), if absent && if_exists { Ok(()) } else { outcome })
    };
    tell(json, outcomes.into_iter().map(outcome), "deleting", "deleted")
}

/// The names given, or all.
async fn names(client: &Client, topics: &[String]) -> Result<Vec<String>> {
    if !topics.is_empty() {
        return Ok(topics.to_vec());
    }
    let all = client.list_topics().await.map_err(|error| Error::kafka("listing topics", error))?;
    Ok(all.iter().filter(|topic| !topic.internal).map(|topic| topic.name.to_string()).collect())
}

async fn describe(client: &Client, topics: &[String], json: bool) -> Result<()> {
    let topics = names(client, topics).await?;
    let admin = client.admin();
    let fail = |name: &str, error| match error {
        kanat_client::Error::UnknownTopic { .. } => {
            Error::kafka(format!("describing topic {name}"), "it does not exist")
        }
        error => Error::kafka(format!("describing topic {name}"), error),
    };
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let all = names.join(", ");
    let mut described = Vec::with_capacity(names.len());
    for (name, topic) in admin.describe_topic_partitions(&names).await.map_err(|error| fail(&all, error))? {
        described.push(topic.map_err(|error| fail(&name, error))?);
    }
    let resources: Vec<ConfigResource> = topics.iter().map(ConfigResource::topic).collect();
    let configs = admin.describe_configs(&resources, DescribeConfigsOptions::default()).await;
    let configs = configs.map_err(|error| fail(&all, error))?;
    let ends = ends(client, &described).await.map_err(|error| fail(&all, error))?;
    for (index, (topic, (_, configs))) in described.iter().zip(configs).enumerate() {
        let configs = configs.map_err(|error| fail(&topic.name, error))?;
        if index > 0 && !json {
            line("");
        }
        show_topic(topic, &configs, &ends, json);
    }
    Ok(())
}

/// First and end offsets by partition.
type Ends = HashMap<TopicPartition, (i64, i64)>;

/// Ends of every partition that has a leader.
async fn ends(client: &Client, topics: &[TopicDescription]) -> kanat_client::Result<Ends> {
    let mut led = Vec::new();
    for topic in topics {
        let partitions = topic.partitions.iter().filter(|partition| partition.leader.is_some());
        led.extend(partitions.map(|partition| TopicPartition::new(topic.name.as_str(), partition.partition)));
    }
    let (first, last) = ends_of(client, &led).await?;
    Ok(led.into_iter().zip(first.into_iter().zip(last)).collect())
}

/// First and end offsets of partitions.
pub(super) async fn ends_of(
    client: &Client,
    partitions: &[TopicPartition],
) -> kanat_client::Result<(Vec<i64>, Vec<i64>)> {
    let ask = |spec| partitions.iter().map(|partition| (partition.clone(), spec)).collect::<Vec<_>>();
    let offsets = |listed: Vec<(TopicPartition, kanat_client::ListedOffset)>| {
        listed.into_iter().map(|(_, listed)| listed.offset).collect()
    };
    let first = client.list_offsets(&ask(OffsetSpec::Earliest), Isolation::ReadUncommitted).await?;
    let last = client.list_offsets(&ask(OffsetSpec::Latest), Isolation::ReadUncommitted).await?;
    Ok((offsets(first), offsets(last)))
}

fn show_topic(topic: &TopicDescription, configs: &[ConfigEntry], ends: &Ends, json: bool) {
    let mut rows = Rows::new(&["partition", "leader", "replicas", "in_sync", "first", "end", "records"]);
    for partition in &topic.partitions {
        let named = TopicPartition::new(topic.name.as_str(), partition.partition);
        let bounds = ends.get(&named);
        rows.push(vec![
            json!(partition.partition),
            json!(partition.leader),
            json!(partition.replicas),
            json!(partition.in_sync),
            json!(bounds.map(|bounds| bounds.0)),
            json!(bounds.map(|bounds| bounds.1)),
            json!(bounds.map(|bounds| bounds.1.saturating_sub(bounds.0))),
        ]);
    }
    let own: Vec<&ConfigEntry> = configs.iter().filter(|config| !config.is_default).collect();
    let id = topic.id.map(|id| id.to_string());
    if json {
        let configs: Map<String, Value> = own.iter().map(|config| (config.name.clone(), json!(config.value))).collect();
        let document = json!({
            "topic": topic.name, "id": id, "internal": topic.internal, "configs": configs, "partitions": rows.objects(),
        });
        return line(&document.to_string());
    }
    let id = id.map(|id| format!(", id {id}")).unwrap_or_default();
    line(&format!("topic {}, {}{id}", topic.name, counted(topic.partitions.len(), "partition")));
    for config in own {
        line(&format!("  {} = {}", config.name, config.value.as_deref().unwrap_or("(secret)")));
    }
    line(&rows.to_table());
}

async fn alter(
    admin: &Admin,
    topic: &str,
    partitions: Option<i32>,
    set: &[(String, String)],
    unset: &[String],
    json: bool,
) -> Result<()> {
    let mut changes: Vec<AlterConfig> = set.iter().map(|(key, value)| AlterConfig::set(key, value)).collect();
    changes.extend(unset.iter().map(AlterConfig::delete));
    if partitions.is_none() && changes.is_empty() {
        return Err(Error::MissingFlag { flag: "--partitions", purpose: "what to change; or --set, --unset" });
    }
    let mut outcomes = Vec::new();
    if !changes.is_empty() {
        let altered = admin.alter_configs(&[(ConfigResource::topic(topic), changes)], false).await;
        let altered = altered.map_err(|error| Error::kafka(format!("changing topic {topic}"), error))?;
        outcomes.extend(altered.into_iter().map(|(_, outcome)| (format!("configuration of topic {topic}"), outcome)));
    }
    if let Some(count) = partitions {
        outcomes.push((format!("partitions of topic {topic}"), admin.create_partitions(topic, count).await));
    }
    tell(json, outcomes, "changing", "changed")
}

async fn offsets(client: &Client, topic: &str, time: Option<i64>, json: bool) -> Result<()> {
    let fail = |error| Error::kafka(format!("asking for the offsets of {topic}"), error);
    let partitions = partitions(client, topic).await?;
    let (first, last) = ends_of(client, &partitions).await.map_err(fail)?;
    let Some(time) = time else {
        let mut rows = Rows::new(&["topic", "partition", "first", "end"]);
        for (partition, (first, last)) in partitions.iter().zip(first.iter().zip(&last)) {
            rows.push(vec![json!(topic), json!(partition.partition), json!(first), json!(last)]);
        }
        rows.show(json, "no partitions");
        return Ok(());
    };
    let asked: Vec<_> = partitions.iter().map(|name| (name.clone(), OffsetSpec::Timestamp(time))).collect();
    let found = client.list_offsets(&asked, Isolation::ReadUncommitted).await.map_err(fail)?;
    let mut rows = Rows::new(&["topic", "partition", "offset", "timestamp"]);
    for ((partition, listed), last) in found.iter().zip(last) {
        // No record is that young: whatever comes next is.
        let (offset, at) = match listed.offset {
            -1 => (last, None),
            offset => (offset, Some(when::show(listed.timestamp))),
        };
        rows.push(vec![json!(topic), json!(partition.partition), json!(offset), json!(at)]);
    }
    rows.show(json, "no partitions");
    Ok(())
}

/// Every partition of a topic.
pub(super) async fn partitions(client: &Client, topic: &str) -> Result<Vec<TopicPartition>> {
    let action = || format!("asking for topic {topic}");
    let metadata = client.metadata(Some(&[topic])).await.map_err(|error| Error::kafka(action(), error))?;
    let info = metadata.require_topic(topic).map_err(|error| Error::kafka(action(), error))?;
    Ok(info.partitions.iter().map(|partition| TopicPartition::new(topic, partition.partition)).collect())
}

async fn delete_records(admin: &Admin, topic: &str, before: &[(i32, i64)], json: bool) -> Result<()> {
    let wanted: Vec<_> =
        before.iter().map(|(partition, offset)| (TopicPartition::new(topic, *partition), *offset)).collect();
    let deleted = admin.delete_records_of(&wanted).await;
    let deleted = deleted.map_err(|error| Error::kafka(format!("deleting records of {topic}"), error))?;
    let mut rows = Rows::new(&["topic", "partition", "first"]);
    let mut last = None;
    for (partition, outcome) in deleted {
        match outcome {
            Ok(first) => rows.push(vec![json!(topic), json!(partition.partition), json!(first)]),
            Err(error) => {
                let error = Error::kafka(format!("deleting records of {partition}"), error);
                if let Some(earlier) = last.replace(error) {
                    complain(&format!("error[{}]: {earlier}", earlier.code()));
                }
            }
        }
    }
    if last.is_none() || !rows.is_empty() {
        rows.show(json, "no records deleted");
    }
    last.map_or(Ok(()), Err)
}
