//! `kanat cluster`: brokers, features, log folders, leaders, moves of copies.

use kanat_client::{Admin, Client, Election, TopicPartition};
use kanat_sync::{Error, Result};
use serde_json::json;

use super::client::connect;
use super::group::expand;
use super::outcomes::tell;
use crate::args::{Brokers, ClusterCommand, ClusterVerbArgs, FileArgs, TopicPartitions};
use crate::output::{Rows, counted, line};

/// Does what the command line asks with the cluster.
pub(super) async fn run(files: &FileArgs, args: &ClusterVerbArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        ClusterCommand::Describe => describe(&admin, json).await,
        ClusterCommand::Features => features(&admin, json).await,
        ClusterCommand::LogDirs { brokers, partitions } => log_dirs(&admin, brokers, *partitions, json).await,
        ClusterCommand::Elect { topics, unclean } => elect(&client, topics, *unclean, json).await,
        ClusterCommand::Reassign { topics, to, cancel } => reassign(&client, topics, to.as_ref(), *cancel, json).await,
    }
}

async fn describe(admin: &Admin, json: bool) -> Result<()> {
    let cluster = admin.describe_cluster().await.map_err(|error| Error::kafka("describing the cluster", error))?;
    let mut rows = Rows::new(&["broker", "host", "port", "rack", "controller", "fenced"]);
    for broker in &cluster.brokers {
        rows.push(vec![
            json!(broker.node_id),
            json!(broker.host),
            json!(broker.port),
            json!(broker.rack),
            json!(cluster.controller == Some(broker.node_id)),
            json!(broker.fenced),
        ]);
    }
    if json {
        line(&json!({"cluster": cluster.cluster_id, "brokers": rows.objects()}).to_string());
        return Ok(());
    }
    line(&format!("cluster {}, {}", cluster.cluster_id, counted(cluster.brokers.len(), "broker")));
    rows.show(false, "no brokers");
    Ok(())
}

async fn features(admin: &Admin, json: bool) -> Result<()> {
    let features = admin.describe_features().await.map_err(|error| Error::kafka("describing features", error))?;
    let mut rows = Rows::new(&["feature", "level", "supported_min", "supported_max"]);
    for supported in &features.supported {
        let agreed = features.finalized.iter().find(|feature| feature.name == supported.name);
        rows.push(vec![
            json!(supported.name),
            json!(agreed.map(|feature| feature.max)),
            json!(supported.min),
            json!(supported.max),
        ]);
    }
    rows.show(json, "the brokers name no features");
    Ok(())
}

async fn log_dirs(admin: &Admin, brokers: &[i32], partitions: bool, json: bool) -> Result<()> {
    let fail = |error| Error::kafka("describing log folders", error);
    let wanted = (!brokers.is_empty()).then_some(brokers);
    let mut folders = Rows::new(&["broker", "folder", "state", "copies", "bytes", "free_bytes", "total_bytes"]);
    let mut copies = Rows::new(&["broker", "folder", "topic", "partition", "bytes", "lag", "future"]);
    for (broker, described) in admin.describe_log_dirs(wanted).await.map_err(fail)? {
        for folder in described.map_err(fail)? {
            for copy in &folder.partitions {
                copies.push(vec![
                    json!(broker),
                    json!(folder.path),
                    json!(&*copy.partition.topic),
                    json!(copy.partition.partition),
                    json!(copy.size_bytes),
                    json!(copy.offset_lag),
                    json!(copy.is_future),
                ]);
            }
            let bytes: i64 = folder.partitions.iter().map(|copy| copy.size_bytes).sum();
            folders.push(vec![
                json!(broker),
                json!(folder.path),
                json!(folder.state.as_ref().map_or_else(ToString::to_string, |()| "online".to_owned())),
                json!(folder.partitions.len()),
                json!(bytes),
                json!(folder.usable_bytes),
                json!(folder.total_bytes),
            ]);
        }
    }
    if partitions {
        copies.show(json, "no copies")
    } else {
        folders.show(json, "no log folders")
    }
    Ok(())
}

async fn elect(client: &Client, topics: &[TopicPartitions], unclean: bool, json: bool) -> Result<()> {
    let partitions = expand(client, topics).await?;
    let election = if unclean { Election::Unclean } else { Election::Preferred };
    let wanted = (!topics.is_empty()).then_some(partitions.as_slice());
    let elected = client.admin().elect_leaders(election, wanted).await;
    let elected = elected.map_err(|error| Error::kafka("electing leaders", error))?;
    let outcomes = elected.into_iter().map(|(partition, outcome)| (format!("leader of {partition}"), outcome));
    tell(json, outcomes, "electing", "elected")
}

async fn reassign(
    client: &Client,
    topics: &[TopicPartitions],
    to: Option<&Brokers>,
    cancel: bool,
    json: bool,
) -> Result<()> {
    let admin = client.admin();
    let fail = |error| Error::kafka("moving copies", error);
    let partitions = expand(client, topics).await?;
    if to.is_none() && !cancel {
        let wanted = (!topics.is_empty()).then_some(partitions.as_slice());
        let mut rows = Rows::new(&["topic", "partition", "replicas", "adding", "removing"]);
        for found in admin.list_reassignments(wanted).await.map_err(fail)? {
            rows.push(vec![
                json!(&*found.partition.topic),
                json!(found.partition.partition),
                json!(found.replicas),
                json!(found.adding),
                json!(found.removing),
            ]);
        }
        rows.show(json, "no copies are being moved");
        return Ok(());
    }
    let target = to.map(|brokers| brokers.0.clone());
    let moves: Vec<(TopicPartition, Option<Vec<i32>>)> =
        partitions.into_iter().map(|partition| (partition, target.clone())).collect();
    let outcomes = admin.alter_reassignments(&moves).await.map_err(fail)?;
    let outcomes = outcomes.into_iter().map(|(partition, outcome)| (format!("move of {partition}"), outcome));
    tell(
        json,
        outcomes,
        if cancel { "calling off the" } else { "beginning the" },
        if cancel { "called off" } else { "begun" },
    )
}
