//! Requests about offsets: those of sources in the worker's store, those of sinks in their consumer group.

use std::collections::BTreeMap;

use kanat_client::{Client, ClientOptions, Error as ClientError, OffsetAndMetadata, TopicPartition as ClientPartition};
use kanat_connect::config::Properties;
use kanat_connect::plugin::SinkPlugin;
use kanat_connect::record::TopicPartition;
use serde_json::{Value, json};

use super::requests::no_connector;
use super::{ConnectorPlugin, Herder, RequestError};
use crate::config::ClientKind;
use crate::json_map::to_map;
use crate::rest::GivenOffset;
use crate::store::config_log::TargetState;
use crate::store::offsets::JsonObject;

type Result<T> = std::result::Result<T, RequestError>;

/// What a user wants with offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Alter,
    Reset,
}

impl Change {
    fn verb(self) -> &'static str {
        match self {
            Change::Alter => "alter",
            Change::Reset => "reset",
        }
    }

    fn participle(self) -> &'static str {
        match self {
            Change::Alter => "altered",
            Change::Reset => "reset",
        }
    }

    /// What the user is told; `complete` when the connector has seen to its side.
    fn message(self, complete: bool) -> String {
        let done = self.participle();
        if complete {
            return format!("The offsets for this connector have been {done} successfully");
        }
        format!(
            "The Connect framework-managed offsets for this connector have been {done} successfully. However, if this \
             connector manages offsets externally, they will need to be manually {done} in the system that the \
             connector uses."
        )
    }
}

impl Herder {
    /// Every offset of a connector.
    pub(crate) async fn offsets(&self, name: &str) -> Result<Vec<Value>> {
        let (raw, plugin) = self.connector_plugin(name)?;
        match plugin {
            ConnectorPlugin::Source(_) => {
                let offsets = self.offsets.read(|state| state.of_connector(name))?;
                let pair = |(partition, offset)| json!({ "partition": partition, "offset": offset });
                Ok(offsets.into_iter().map(pair).collect())
            }
            ConnectorPlugin::Sink(_) => {
                let (client, group) = self.sink_group(name, &raw).await?;
                let committed = client.group(&group).committed_all().await.map_err(internal)?;
                let pair = |(partition, offset): (&ClientPartition, &OffsetAndMetadata)| {
                    json!({
                        "partition": { "kafka_partition": partition.partition, "kafka_topic": &*partition.topic },
                        "offset": { "kafka_offset": offset.offset },
                    })
                };
                let sorted: BTreeMap<_, _> = committed.iter().collect();
                Ok(sorted.into_iter().map(pair).collect())
            }
        }
    }

    /// Changes offsets of a stopped connector; `None` resets all. Returns what to tell the user.
    pub(crate) async fn alter_offsets(&self, name: &str, given: Option<Vec<GivenOffset>>) -> Result<String> {
        if given.as_ref().is_some_and(Vec::is_empty) {
            return Err(RequestError::bad("Partitions / offsets need to be provided for an alter offsets request"));
        }
        let _writing = self.writes.acquire().await;
        let (raw, plugin) = self.connector_plugin(name)?;
        let stopped =
            self.configs.read(|state| state.target(name) == Some(TargetState::Stopped) && state.task_count(name) == 0);
        if !stopped {
            return Err(RequestError::bad(format!(
                "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for \
                 the specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
            )));
        }
        let change = if given.is_some() { Change::Alter } else { Change::Reset };
        let config = self.resolve(&raw)?;
        let complete = match plugin {
            ConnectorPlugin::Source(plugin) => {
                let wanted = match given {
                    Some(given) => source_offsets(given)?,
                    None => {
                        let stored = self.offsets.read(|state| state.of_connector(name))?;
                        stored.into_iter().map(|(partition, _)| (partition, None)).collect()
                    }
                };
                let as_maps = wanted.iter().map(|(partition, offset)| (to_map(partition), offset.as_ref().map(to_map)));
                let complete = (plugin.alter_offsets)(&config, &as_maps.collect()).await?;
                self.offsets.set(name, &wanted).await?;
                complete
            }
            ConnectorPlugin::Sink(plugin) => self.alter_sink(name, &config, &plugin, given, change).await?,
        };
        Ok(change.message(complete))
    }

    async fn alter_sink(
        &self,
        name: &str,
        config: &Properties,
        plugin: &SinkPlugin,
        given: Option<Vec<GivenOffset>>,
        change: Change,
    ) -> Result<bool> {
        let given = given.map(sink_offsets).transpose()?;
        let (client, group) = self.sink_group(name, config).await?;
        let admin = client.admin();
        let wanted = match &given {
            Some(wanted) => wanted.clone(),
            None => {
                let committed = client.group(&group).committed_all().await.map_err(internal)?;
                let key = |partition: ClientPartition| TopicPartition::new(&*partition.topic, partition.partition);
                committed.into_keys().map(|partition| (key(partition), None)).collect()
            }
        };
        let complete = (plugin.alter_offsets)(config, &wanted).await?;
        let refused = |error: &ClientError| match error {
            ClientError::GroupActive { .. } => zombie(name, change),
            _ => RequestError::internal(format!(
                "Failed to {} consumer group offsets for connector {name}",
                change.verb()
            )),
        };
        if given.is_none() {
            for (_, outcome) in admin.delete_groups(&[&group]).await.map_err(internal)? {
                match outcome {
                    Err(error) if !is_missing_group(&error) => return Err(refused(&error)),
                    _ => {}
                }
            }
            return Ok(complete);
        }
        let client_partition =
            |partition: &TopicPartition| ClientPartition::new(&*partition.topic, partition.partition);
        let set = wanted
            .iter()
            .filter_map(|(partition, offset)| Some((client_partition(partition), OffsetAndMetadata::new((*offset)?))));
        let set: Vec<_> = set.collect();
        let forgotten = wanted.iter().filter(|(_, offset)| offset.is_none());
        let forgotten: Vec<_> = forgotten.map(|(partition, _)| client_partition(partition)).collect();
        if set.iter().any(|(_, offset)| offset.offset < 0) {
            return Err(RequestError::internal(format!("Failed to modify offsets for sink connector {name}")));
        }
        if !set.is_empty() {
            self.refuse_unknown_topics(&client, name, &set).await?;
            for (_, outcome) in admin.alter_group_offsets(&group, &set).await.map_err(internal)? {
                outcome.map_err(|error| refused(&error))?;
            }
        }
        if !forgotten.is_empty() {
            for (_, outcome) in admin.delete_group_offsets(&group, &forgotten).await.map_err(internal)? {
                outcome.map_err(|error| refused(&error))?;
            }
        }
        Ok(complete)
    }

    /// Brokers take offsets of topics that do not exist; Connect does not.
    async fn refuse_unknown_topics(
        &self,
        client: &Client,
        name: &str,
        offsets: &[(ClientPartition, OffsetAndMetadata)],
    ) -> Result<()> {
        let metadata = client.metadata(None).await.map_err(internal)?;
        let exists = |partition: &ClientPartition| {
            let topic = metadata.topic(&partition.topic);
            topic.is_some_and(|topic| usize::try_from(partition.partition).is_ok_and(|p| p < topic.partitions.len()))
        };
        match offsets.iter().find(|(partition, _)| !exists(partition)) {
            Some(_) => {
                Err(RequestError::internal(format!("Failed to alter consumer group offsets for connector {name}")))
            }
            None => Ok(()),
        }
    }

    fn connector_plugin(&self, name: &str) -> Result<(Properties, ConnectorPlugin)> {
        let raw = self.configs.read(|state| state.connector(name).cloned()).ok_or_else(|| no_connector(name))?;
        let plugin = self.plugin_of(&raw);
        let plugin = plugin.ok_or_else(|| {
            let class = raw.get("connector.class").cloned().flatten().unwrap_or_default();
            RequestError::internal(self.no_such_connector(&class))
        })?;
        Ok((raw, plugin))
    }

    /// A client for the consumer group of a sink, and the group's name.
    async fn sink_group(&self, name: &str, config: &Properties) -> Result<(Client, String)> {
        let config = self.resolve(config)?;
        let options = self.config.connector_client(ClientKind::Admin, name, None, &config);
        let options = ClientOptions::from_properties(&options).map_err(internal)?;
        let client = Client::connect(options).await.map_err(internal)?;
        let overridden = config.get("consumer.override.group.id").cloned().flatten();
        Ok((client, overridden.unwrap_or_else(|| format!("connect-{name}"))))
    }
}

fn internal(error: ClientError) -> RequestError {
    RequestError::internal(error.to_string())
}

fn is_missing_group(error: &ClientError) -> bool {
    matches!(error, ClientError::Server { code, .. } if *code == kanat_client::ErrorCode::GroupIdNotFound)
}

fn zombie(name: &str, change: Change) -> RequestError {
    RequestError::internal(format!(
        "Failed to {} consumer group offsets for connector {name} either because its tasks haven't stopped completely \
         yet or the connector was resumed before the request to {} its offsets could be successfully completed. If \
         the connector is in a stopped state, this operation can be safely retried. If it doesn't eventually succeed, \
         the Connect cluster may need to be restarted to get rid of the zombie sink tasks.",
        change.verb(),
        change.verb()
    ))
}

fn source_offsets(given: Vec<GivenOffset>) -> Result<Vec<(JsonObject, Option<JsonObject>)>> {
    let mut offsets = Vec::new();
    for given in given {
        match given {
            (Some(partition), offset) => offsets.push((partition, offset)),
            // Nothing is to be forgotten of nothing.
            (None, None) => {}
            (None, Some(_)) => return Err(RequestError::internal("Partition objects cannot be null")),
        }
    }
    Ok(offsets)
}

/// Offsets of a sink, in Connect's words when they are none.
fn sink_offsets(given: Vec<GivenOffset>) -> Result<BTreeMap<TopicPartition, Option<i64>>> {
    let mut offsets = BTreeMap::new();
    for (partition, offset) in given {
        let bad = |message: &str| Err(RequestError::bad(message));
        let Some(partition) = partition else {
            return bad("The partition for a sink connector offset cannot be null or missing");
        };
        let (Some(topic), Some(number)) = (partition.get("kafka_topic"), partition.get("kafka_partition")) else {
            return bad(
                "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'",
            );
        };
        let Some(topic) = topic.as_str() else {
            return bad("Kafka topic names must be valid strings and may not be null");
        };
        if number.is_null() {
            return bad("Kafka partitions must be valid numbers and may not be null");
        }
        let number = text(number).parse::<i32>().map_err(|_| {
            RequestError::bad(format!(
                "Failed to parse the following Kafka partition value in the provided offsets: '{}'. Partition values \
                 for sink connectors need to be integers.",
                text(number)
            ))
        })?;
        let offset = match offset.as_ref() {
            None => None,
            Some(offset) => {
                let Some(offset) = offset.get("kafka_offset") else {
                    return bad(
                        "The offset for a sink connector should either be null or contain the key 'kafka_offset'",
                    );
                };
                Some(text(offset).parse::<i64>().map_err(|_| {
                    RequestError::bad(format!(
                        "Failed to parse the following Kafka offset value in the provided offsets: '{}'. Offset \
                         values for sink connectors need to be integers.",
                        text(offset)
                    ))
                })?)
            }
        };
        offsets.insert(TopicPartition::new(topic, number), offset);
    }
    Ok(offsets)
}

/// A scalar as it was written: `10` and `"10"` are the same.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(partition: Value, offset: Value) -> String {
        let object = |value: Value| value.as_object().cloned();
        sink_offsets(vec![(object(partition), object(offset))]).unwrap_err().message
    }

    #[test]
    fn sink_offsets_are_numbers_or_their_text() {
        let object = |value: Value| value.as_object().cloned();
        let given = vec![
            (object(json!({ "kafka_topic": "t", "kafka_partition": "1" })), object(json!({ "kafka_offset": 10 }))),
            (object(json!({ "kafka_topic": "t", "kafka_partition": 2 })), None),
        ];
        let offsets: Vec<_> = sink_offsets(given).unwrap().into_iter().collect();
        assert_eq!(offsets, [(TopicPartition::new("t", 1), Some(10)), (TopicPartition::new("t", 2), None)]);
    }

    #[test]
    fn wrong_sink_offsets_are_refused_in_connects_words() {
        let good = json!({ "kafka_topic": "t", "kafka_partition": 0 });
        for (partition, offset, words) in [
            (Value::Null, Value::Null, "cannot be null or missing"),
            (json!({ "kafka_topic": "t" }), Value::Null, "must contain the keys 'kafka_topic' and 'kafka_partition'"),
            (json!({ "kafka_topic": 1, "kafka_partition": 0 }), Value::Null, "must be valid strings"),
            (json!({ "kafka_topic": "t", "kafka_partition": null }), Value::Null, "must be valid numbers"),
            (json!({ "kafka_topic": "t", "kafka_partition": "x" }), Value::Null, "offsets: 'x'. Partition values"),
            (good.clone(), json!({}), "contain the key 'kafka_offset'"),
            (good, json!({ "kafka_offset": "y" }), "offsets: 'y'. Offset values"),
        ] {
            let message = refused(partition, offset);
            assert!(message.contains(words), "{message}");
        }
    }
}
