//! `kanat transaction`: list, describe and end transactions.

use kanat_client::{ActiveProducer, Admin, Client, ListTransactionsOptions, OpenTransaction, TopicPartition};
use kanat_sync::{Error, Result};
use serde_json::json;

use super::client::connect;
use super::group::expand;
use super::outcomes::tell;
use super::when;
use crate::args::{FileArgs, TopicPartitions, TransactionArgs, TransactionCommand};
use crate::output::Rows;

/// Does what the command line asks with transactions.
pub(super) async fn run(files: &FileArgs, args: &TransactionArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        TransactionCommand::List { states } => list(&admin, states, json).await,
        TransactionCommand::Describe { ids } => describe(&admin, ids, json).await,
        TransactionCommand::Producers { topic } => producers(&client, topic, json).await,
        TransactionCommand::Abort { topic, partition, start_offset } => {
            abort(&admin, &TopicPartition::new(topic.as_str(), *partition), *start_offset, json).await
        }
        TransactionCommand::Fence { ids } => fence(&admin, ids, json).await,
    }
}

async fn list(admin: &Admin, states: &[String], json: bool) -> Result<()> {
    let options = ListTransactionsOptions { states: states.to_vec(), ..ListTransactionsOptions::default() };
    let listed = admin.list_transactions(&options).await;
    let mut rows = Rows::new(&["transactional_id", "producer_id", "state", "coordinator"]);
    for row in listed.map_err(|error| Error::kafka("listing transactions", error))? {
        rows.push(vec![json!(row.transactional_id), json!(row.producer_id), json!(row.state), json!(row.coordinator)]);
    }
    rows.show(json, "no transactional ids");
    Ok(())
}

async fn describe(admin: &Admin, ids: &[String], json: bool) -> Result<()> {
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let fail = |error| Error::kafka("describing transactions", error);
    let mut rows = Rows::new(&[
        "transactional_id",
        "state",
        "producer_id",
        "epoch",
        "timeout_ms",
        "started",
        "coordinator",
        "partitions",
    ]);
    for (_, described) in admin.describe_transactions(&names).await.map_err(fail)? {
        let described = described.map_err(fail)?;
        let partitions: Vec<String> = described.partitions.iter().map(TopicPartition::to_string).collect();
        rows.push(vec![
            json!(described.transactional_id),
            json!(described.state),
            json!(described.producer_id),
            json!(described.producer_epoch),
            json!(described.timeout_ms),
            json!(described.started_ms.map(when::show)),
            json!(described.coordinator),
            json!(partitions),
        ]);
    }
    rows.show(json, "no transactional ids");
    Ok(())
}

async fn producers(client: &Client, topic: &TopicPartitions, json: bool) -> Result<()> {
    let partitions = expand(client, std::slice::from_ref(topic)).await?;
    let fail = |error| Error::kafka(format!("asking for the producers of {}", topic.topic), error);
    let mut rows = Rows::new(&[
        "topic",
        "partition",
        "producer_id",
        "epoch",
        "last_sequence",
        "last_write",
        "coordinator_epoch",
        "transaction_start",
    ]);
    for (partition, producers) in client.admin().describe_producers(&partitions).await.map_err(fail)? {
        for producer in producers.map_err(fail)? {
            rows.push(vec![
                json!(&*partition.topic),
                json!(partition.partition),
                json!(producer.producer_id),
                json!(producer.producer_epoch),
                json!(producer.last_sequence),
                json!(when::show(producer.last_timestamp)),
                json!(Some(producer.coordinator_epoch).filter(|epoch| *epoch >= 0)),
                json!(producer.transaction_start),
            ]);
        }
    }
    rows.show(json, "no producers");
    Ok(())
}

async fn abort(admin: &Admin, partition: &TopicPartition, start_offset: i64, json: bool) -> Result<()> {
    let action = || format!("aborting the transaction at {partition} offset {start_offset}");
    let fail = |error| Error::kafka(action(), error);
    let mut open: Option<ActiveProducer> = None;
    for (_, producers) in admin.describe_producers(std::slice::from_ref(partition)).await.map_err(fail)? {
        let begun = |producer: &ActiveProducer| producer.transaction_start == Some(start_offset);
        open = producers.map_err(fail)?.into_iter().find(begun);
    }
    let none = || Error::kafka(action(), "none that is open begins there; kanat transaction producers shows them");
    let producer = open.ok_or_else(none)?;
    let transaction = OpenTransaction {
        partition: partition.clone(),
        producer_id: producer.producer_id,
        producer_epoch: i16::try_from(producer.producer_epoch)
            .map_err(|_| Error::kafka(action(), "its producer epoch is out of range"))?,
        coordinator_epoch: producer.coordinator_epoch,
    };
    let outcome = admin.abort_transaction(&transaction).await;
    tell(json, [(format!("transaction at {partition} offset {start_offset}"), outcome)], "aborting", "aborted")
}

async fn fence(admin: &Admin, ids: &[String], json: bool) -> Result<()> {
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let fenced = admin.fence_producers(&names).await.map_err(|error| Error::kafka("fencing producers", error))?;
    let outcomes = fenced.into_iter().map(|(name, outcome)| (format!("producers of transactional id {name}"), outcome));
    tell(json, outcomes, "fencing", "fenced")
}
