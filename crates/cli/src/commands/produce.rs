//! `kanat produce`: the lines of standard input as records.

use std::collections::VecDeque;
use std::io::BufRead;

use kanat_client::{Client, DeliveryFuture, ProduceRecord, Producer, ProducerOptions};
use kanat_sync::{Error, Result};
use serde_json::Value;
use tokio::sync::mpsc;

use super::client::connect;
use crate::args::{FileArgs, ProduceArgs};
use crate::output::{complain, grouped};

/// Lines read ahead of the producer.
const LINES_WAITING_MAX: usize = 1_024;

/// Records sent and not yet acknowledged.
const IN_FLIGHT_MAX: usize = 10_000;

/// One record to send.
#[derive(Debug, Default, PartialEq, Eq)]
struct Input {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    partition: Option<i32>,
    timestamp: Option<i64>,
}

/// Sends every line and waits until all are acknowledged.
pub(super) async fn run(files: &FileArgs, args: &ProduceArgs) -> Result<()> {
    let client = connect(files, &args.cluster).await?;
    let sent = produce(&client, args).await?;
    complain(&format!("{} records sent to {}", grouped(sent), args.topic));
    Ok(())
}

async fn produce(client: &Client, args: &ProduceArgs) -> Result<u64> {
    let action = || format!("producing to {}", args.topic);
    let producer = client.producer(ProducerOptions::default()).map_err(|error| Error::kafka(action(), error))?;
    let mut lines = read_lines();
    let mut in_flight: VecDeque<DeliveryFuture> = VecDeque::new();
    let mut sent = 0_u64;
    while let Some(line) = lines.recv().await {
        let line = line.map_err(|error| Error::kafka(action(), error))?;
        let input = parse_line(&line, args).map_err(|reason| Error::kafka(action(), format!("line {}: {reason}", sent + 1)))?;
        in_flight.push_back(send(&producer, args, input).await?);
        sent += 1;
        if in_flight.len() >= IN_FLIGHT_MAX
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.await.map_err(|error| Error::kafka(action(), error))?;
        }
    }
    producer.flush().await.map_err(|error| Error::kafka(action(), error))?;
    for delivery in in_flight {
        delivery.await.map_err(|error| Error::kafka(action(), error))?;
    }
    Ok(sent)
}
