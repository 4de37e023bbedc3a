//! Dead letters: records of a sink that failed, as they stood in Kafka, on a topic of their own.

use std::time::Duration;

use kanat_client::{
    Client, ClientOptions, DeliveryFuture, Error as ClientError, ErrorCode, NewTopic, ProduceRecord, Producer,
    ProducerOptions, UnknownTopic,
};
use kanat_connect::config::Properties;
use kanat_connect::record::SinkRecord;
use kanat_connect::{Error, Result};

use super::errors::Failure;
use super::{TaskStart, client_error};
use crate::config::ClientKind;

/// Dead letters not yet acknowledged; at more of them the task waits.
const OPEN_MAX: usize = 1000;

/// Writes dead letters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    topic: String,
    with_context: bool,
    connector: String,
    task: u32,
    producer: Producer,
    open: Vec<DeliveryFuture>,
}

impl DeadLetters {
    /// The dead letters of a connector, their topic made if need be; `None` when it has none.
    ///
    /// # Errors
    /// What the cluster refuses.
    pub(super) async fn new(start: &TaskStart, config: &Properties) -> Result<Option<DeadLetters>> {
        let text = |key: &str| config.get(key).cloned().flatten().unwrap_or_default();
        let topic = text("errors.deadletterqueue.topic.name").trim().to_owned();
        if topic.is_empty() {
            return Ok(None);
        }
        let worker = start.herder.config();
        let properties = worker.connector_client(ClientKind::Producer, &start.connector, Some(start.task), config);
        let client = Client::connect(ClientOptions::from_properties(&properties).map_err(client_error)?).await;
        let client = client.map_err(client_error)?;
        let copies = text("errors.deadletterqueue.topic.replication.factor").trim().parse().unwrap_or(3);
        match client.admin().create_topic(&NewTopic::new(&*topic, 1).with_replication(copies)).await {
            Ok(()) | Err(ClientError::Server { code: ErrorCode::TopicAlreadyExists, .. }) => {}
            Err(error) => {
                return Err(Error::connect(format!(
                    "Could not initialize dead letter queue with topic={topic}: {error}"
                )));
            }
        }
        let mut options = ProducerOptions::from_properties(&properties).map_err(client_error)?;
        options.unknown_topic = UnknownTopic::Retry;
        let with_context = text("errors.deadletterqueue.context.headers.enable").trim().eq_ignore_ascii_case("true");
        Ok(Some(DeadLetters {
            topic,
            with_context,
            connector: start.connector.clone(),
            task: start.task,
            producer: client.producer(options).map_err(client_error)?,
            open: Vec::new(),
        }))
    }

    /// Sends a record that failed.
    ///
    /// # Errors
    /// When Kafka does not take it: the task ends, and its offset stays before the record (delivery rule 3).
    pub(super) async fn send(&mut self, record: &SinkRecord, failure: &Failure) -> Result<()> {
        let raw = &record.raw;
        let original = raw.headers.iter().flat_map(|headers| headers.iter());
        let mut headers: Vec<(&[u8], Option<&[u8]>)> =
            original.map(|header| (header.key.as_bytes().as_ref(), header.value.as_deref())).collect();
        let context = if self.with_context { self.context(record, failure) } else { Vec::new() };
        headers.extend(context.iter().map(|(key, value)| (key.as_bytes(), Some(value.as_bytes()))));
        let sent = self.producer.send(ProduceRecord {
            topic: &self.topic,
            partition: None,
            key: raw.key.as_deref(),
            value: raw.value.as_deref(),
            headers: &headers,
            timestamp: record.record.timestamp,
        });
        let delivery = sent.await.map_err(failed)?;
        self.open.push(delivery);
        if self.open.len() >= OPEN_MAX { self.flush().await } else { Ok(()) }
    }

    /// What the headers of a dead letter say, in Connect's order.
    fn context(&self, record: &SinkRecord, failure: &Failure) -> Vec<(&'static str, String)> {
        let class = failure.error.java_class();
        vec![
            ("__connect.errors.topic", record.raw.topic.to_string()),
            ("__connect.errors.partition", record.raw.partition.to_string()),
            ("__connect.errors.offset", record.raw.offset.to_string()),
            ("__connect.errors.connector.name", self.connector.clone()),
            ("__connect.errors.task.id", self.task.to_string()),
            ("__connect.errors.stage", failure.stage.name().to_owned()),
            ("__connect.errors.class.name", failure.class.clone()),
            ("__connect.errors.exception.class.name", class.to_owned()),
            ("__connect.errors.exception.message", failure.error.to_string()),
            ("__connect.errors.exception.stacktrace", format!("{class}: {}", failure.error)),
        ]
    }

    /// Waits until every dead letter so far is durable: only then may offsets behind them be committed (delivery
    /// rule 2).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) async fn flush(&mut self) -> Result<()> {
        for delivery in self.open.drain(..) {
            delivery.await.map_err(failed)?;
        }
        Ok(())
    }

    /// Ends the producer.
    pub(super) async fn close(&mut self) {
        // What matters was flushed before the last commit.
        let _ = self.producer.close(Duration::ZERO).await;
    }
}

fn failed(error: ClientError) -> Error {
    Error::connect(format!("Could not produce message to dead letter queue: {error}"))
}
