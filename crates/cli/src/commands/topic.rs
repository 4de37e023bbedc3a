//! `kanat topic`: list, create, delete and describe topics.

use std::sync::Arc;

use kanat_client::{Client, Isolation, NewTopic, OffsetSpec, TopicInfo, TopicPartition};
use kanat_sync::{Error, Result};
use serde_json::{Value, json};

use super::client::connect;
use crate::args::{FileArgs, TopicArgs, TopicCommand};
use crate::output::{Output, grouped, line, table};

/// Does what the command line asks with topics.
pub(super) async fn run(files: &FileArgs, args: &TopicArgs, output: Output) -> Result<()> {
    match &args.command {
        TopicCommand::List { cluster, internal } => list(&connect(files, cluster).await?, *internal, output).await,
        TopicCommand::Create { cluster, topic, partitions, replication_factor, configs } => {
            let mut new = NewTopic::new(topic, *partitions).with_replication(*replication_factor);
            for (key, value) in configs {
                new = new.with_config(key, value);
            }
            create(&connect(files, cluster).await?, &new, output).await
        }
        TopicCommand::Delete { cluster, topics } => delete(&connect(files, cluster).await?, topics, output).await,
        TopicCommand::Describe { cluster, topic } => describe(&connect(files, cluster).await?, topic, output).await,
    }
}

/// Shows rows as a table to a person and as one JSON object each to a program.
fn show(output: Output, heading: &[&str], right: &[bool], rows: &[Vec<Value>]) {
    if output == Output::Json {
        for row in rows {
            let members = heading.iter().zip(row).map(|(name, value)| ((*name).to_owned(), value.clone()));
            line(&Value::Object(members.collect()).to_string());
        }
        return;
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Number(number) => number.as_u64().map_or(number.to_string(), grouped),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(text).collect()).collect();
    line(&table(heading, &rows, right));
}

async fn list(client: &Client, internal: bool, output: Output) -> Result<()> {
    let topics = client.list_topics().await.map_err(|error| Error::kafka("listing topics", error))?;
    let rows: Vec<Vec<Value>> = topics
        .iter()
        .filter(|topic| internal || !topic.internal)
        .map(|topic| vec![json!(&*topic.name), json!(topic.partitions.len())])
        .collect();
    show(output, &["topic", "partitions"], &[false, true], &rows);
    Ok(())
}

async fn create(client: &Client, topic: &NewTopic, output: Output) -> Result<()> {
    let created = client.admin().create_topic(topic).await;
    created.map_err(|error| Error::kafka(format!("creating topic {}", topic.name), error))?;
    output.info(&format!("topic {} created with {} partitions", topic.name, topic.partitions));
    Ok(())
}

async fn delete(client: &Client, topics: &[String], output: Output) -> Result<()> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let action = |name: &str| format!("deleting topic {name}");
    let outcomes = client.admin().delete_topics(&names).await;
    for (name, outcome) in outcomes.map_err(|error| Error::kafka(action(&names.join(", ")), error))? {
        outcome.map_err(|error| Error::kafka(action(&name), error))?;
        output.info(&format!("topic {name} deleted"));
    }
    Ok(())
}

async fn describe(client: &Client, topic: &str, output: Output) -> Result<()> {
    let fail = |error| Error::kafka(format!("describing topic {topic}"), error);
    let metadata = client.metadata(Some(&[topic])).await.map_err(fail)?;
    let Some(info) = metadata.topic(topic) else {
        return Err(Error::kafka(format!("describing topic {topic}"), "it does not exist"));
    };
    let offsets = |spec| {
        let asked: Vec<_> = partitions(info).map(|partition| (partition, spec)).collect();
        async move { client.list_offsets(&asked, Isolation::ReadUncommitted).await }
    };
    let first = offsets(OffsetSpec::Earliest).await.map_err(fail)?;
    let last = offsets(OffsetSpec::Latest).await.map_err(fail)?;
    let rows: Vec<Vec<Value>> = info
        .partitions
        .iter()
        .zip(first.iter().zip(&last))
        .map(|(partition, ((_, first), (_, last)))| {
            let records = last.offset.saturating_sub(first.offset);
            vec![
                json!(partition.partition),
                json!(partition.leader),
                json!(format!("{:?}", partition.in_sync)),
                json!(first.offset),
                json!(last.offset),
                json!(records),
            ]
        })
        .collect();
    let heading = ["partition", "leader", "in_sync", "first", "end", "records"];
    show(output, &heading, &[true, true, false, true, true, true], &rows);
    Ok(())
}

fn partitions(info: &TopicInfo) -> impl Iterator<Item = TopicPartition> {
    info.partitions.iter().map(|partition| TopicPartition::new(Arc::clone(&info.name), partition.partition))
}
