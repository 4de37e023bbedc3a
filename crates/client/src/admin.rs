//! Administration: topics, records, configurations.

use std::collections::BTreeMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kanat_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kanat_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kanat_protocol::messages::{
    ApiKey, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, Request, StrBytes,
};

use crate::broker::ConnectionClass;
use crate::cluster::{Cluster, str_bytes, topic_name};
use crate::connection::Connection;
use crate::error::Result;
use crate::metadata::TopicInfo;
use crate::types::{TopicPartition, UnknownTopic};

/// Resource type of a topic in configuration requests.
const RESOURCE_TOPIC: i8 = 2;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Topic name.
    pub name: String,
    /// Partitions; -1 for the broker's default.
    pub partitions: i32,
    /// Copies of each partition; -1 for the broker's default.
    pub replication: i16,
    /// Configuration, such as `cleanup.policy`.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with this many partitions, the broker's default replication and no configuration of its own.
    pub fn new(name: impl Into<String>, partitions: i32) -> NewTopic {
        NewTopic { name: name.into(), partitions, replication: -1, configs: BTreeMap::new() }
    }

    /// Sets the number of copies.
    pub fn with_replication(mut self, replication: i16) -> NewTopic {
        self.replication = replication;
        self
    }

    /// Sets one configuration key.
    pub fn with_config(mut self, key: impl Into<String>, value: impl Into<String>) -> NewTopic {
        self.configs.insert(key.into(), value.into());
        self
    }
}

/// One configuration value of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Key.
    pub name: String,
    /// Value; `None` when it is secret or unset.
    pub value: Option<String>,
    /// Whether nobody set it for this topic.
    pub is_default: bool,
}

/// Per item of a request: done, or why not.
pub type Outcomes = Vec<(String, Result<()>)>;

/// Administration of a cluster. Made by [`Client::admin`](crate::Client::admin).
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Admin {
        Admin { cluster }
    }

    /// Creates topics and says of each whether it was.
    ///
    /// # Errors
    /// When no controller answers until `retry_timeout_ms`. A topic that cannot be created is in the result, for example
    /// [`Error::Server`](crate::Error::Server) with `TOPIC_ALREADY_EXISTS`.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Outcomes> {
        let config = |(name, value): (&String, &String)| {
            CreatableTopicConfig::default().with_name(str_bytes(name)).with_value(Some(str_bytes(value)))
        };
        let topic = |topic: &NewTopic| {
            CreatableTopic::default()
                .with_name(topic_name(&topic.name))
                .with_num_partitions(topic.partitions)
                .with_replication_factor(topic.replication)
                .with_configs(topic.configs.iter().map(config).collect())
        };
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(topic).collect())
            .with_timeout_ms(self.timeout_ms());
        let (connection, response) = self
            .ask_controller(ApiKey::CreateTopics, &request, |response| {
                response.topics.first().map_or(0, |topic| topic.error_code)
            })
            .await?;
        let rows = response.topics.into_iter().map(|topic| {
            (topic.name.0.as_str().to_owned(), topic.error_code, topic.error_message.map(|m| m.as_str().to_owned()))
        });
        Ok(outcomes(&connection, ApiKey::CreateTopics, rows))
    }

    /// Creates one topic and waits until the cluster knows it.
    ///
    /// # Errors
    /// The controller's refusal; what metadata failed with until `retry_timeout_ms`.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        for (_, created) in self.create_topics(std::slice::from_ref(topic)).await? {
            created?;
        }
        let ready = |leader| async move { Ok(leader) };
        self.cluster.with_leader(&topic.name, 0, UnknownTopic::Retry, ready).await?;
        Ok(())
    }

    /// Deletes topics and says of each whether it was.
    ///
    /// # Errors
    /// When no controller answers until `retry_timeout_ms`.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<Outcomes> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(topics.iter().map(|name| topic_name(name)).collect())
            .with_timeout_ms(self.timeout_ms());
        let (connection, response) = self
            .ask_controller(ApiKey::DeleteTopics, &request, |response| {
                response.responses.first().map_or(0, |topic| topic.error_code)
            })
            .await?;
        let rows = response.responses.into_iter().map(|topic| {
            let name = topic.name.map(|name| name.0.as_str().to_owned()).unwrap_or_default();
            (name, topic.error_code, topic.error_message.map(|m| m.as_str().to_owned()))
        });
        let outcomes = outcomes(&connection, ApiKey::DeleteTopics, rows);
        // What was deleted must not linger in the snapshot; a failed refresh leaves that to the next one.
        let _ = self.cluster.topics_after(topics, self.cluster.metadata().generation()).await;
        Ok(outcomes)
    }

    /// Raises the number of partitions of a topic to `count`.
    ///
    /// # Errors
    /// The controller's refusal.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<()> {
        let wanted =
            CreatePartitionsTopic::default().with_name(topic_name(topic)).with_count(count).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![wanted]).with_timeout_ms(self.timeout_ms());
        let (connection, response) = self
            .ask_controller(ApiKey::CreatePartitions, &request, |response| {
                response.results.first().map_or(0, |topic| topic.error_code)
            })
            .await?;
        let rows = response.results.into_iter().map(|topic| {
            (topic.name.0.as_str().to_owned(), topic.error_code, topic.error_message.map(|m| m.as_str().to_owned()))
        });
        single(&connection, ApiKey::CreatePartitions, outcomes(&connection, ApiKey::CreatePartitions, rows))?;
        self.cluster.topics_after(&[topic], self.cluster.metadata().generation()).await?;
        Ok(())
    }

    /// Topics with their partitions, leaders and copies, asked for now. Topics that do not exist are absent.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn describe_topics(&self, topics: &[&str]) -> Result<Vec<Arc<TopicInfo>>> {
        let metadata = self.cluster.topics_after(topics, self.cluster.metadata().generation()).await?;
        Ok(topics.iter().filter_map(|name| metadata.topic(name).cloned()).collect())
    }

    /// Deletes the records of a partition below `offset` (-1: all) and returns its new first offset.
    ///
    /// # Errors
    /// The leader's refusal, such as `OFFSET_OUT_OF_RANGE`; what it failed with until `retry_timeout_ms`.
    pub async fn delete_records(&self, partition: &TopicPartition, offset: i64) -> Result<i64> {
        delete_records(&self.cluster, partition, offset, self.timeout_ms()).await
    }

    /// The configuration of a topic.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn describe_topic_configs(&self, topic: &str) -> Result<Vec<ConfigEntry>> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(str_bytes(topic))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let (connection, response) = self.cluster.ask_any(ApiKey::DescribeConfigs, &request).await?;
        let mut entries = Vec::new();
        for result in response.results {
            if let Some(code) = ErrorCode::from_code(result.error_code) {
                let message = result.error_message.map(|message| message.as_str().to_owned());
                return Err(connection.server_error(ApiKey::DescribeConfigs, format!("topic {topic}"), code, message));
            }
            entries.extend(result.configs.into_iter().map(|config| ConfigEntry {
                name: config.name.as_str().to_owned(),
                value: config.value.map(|value| value.as_str().to_owned()),
                // Source 1 is the topic's own configuration.
                is_default: config.config_source != 1,
            }));
        }
        Ok(entries)
    }

    /// Sets (`Some`) or resets (`None`) configuration keys of a topic; the others stay.
    ///
    /// # Errors
    /// The controller's refusal.
    pub async fn alter_topic_configs(&self, topic: &str, configs: &[(&str, Option<&str>)]) -> Result<()> {
        let config = |(name, value): &(&str, Option<&str>)| {
            AlterableConfig::default()
                .with_name(str_bytes(name))
                .with_config_operation(if value.is_some() { OPERATION_SET } else { OPERATION_DELETE })
                .with_value(value.map(str_bytes))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(str_bytes(topic))
            .with_configs(configs.iter().map(config).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let (connection, response) = self
            .ask_controller(ApiKey::IncrementalAlterConfigs, &request, |response| {
                response.responses.first().map_or(0, |resource| resource.error_code)
            })
            .await?;
        let rows = response.responses.into_iter().map(|resource| {
            let message = resource.error_message.map(|message: StrBytes| message.as_str().to_owned());
            (resource.resource_name.as_str().to_owned(), resource.error_code, message)
        });
        single(
            &connection,
            ApiKey::IncrementalAlterConfigs,
            outcomes(&connection, ApiKey::IncrementalAlterConfigs, rows),
        )
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.cluster.options().request_timeout_ms).unwrap_or(i32::MAX)
    }

    /// Sends a request to the controller; asks who that is again when it moved. `code_of` reads the code that says so.
    async fn ask_controller<Q>(
        &self,
        api: ApiKey,
        request: &Q,
        code_of: impl Fn(&Q::Response) -> i16 + Send + Sync,
    ) -> Result<(Arc<Connection>, Q::Response)>
    where
        Q: Request + Send + Sync,
        Q::Response: Send,
    {
        let mut retry = self.cluster.retry();
        loop {
            let generation = self.cluster.metadata().generation();
            let error = match self.try_controller(api, request).await {
                Ok((connection, response)) => match ErrorCode::from_code(code_of(&response)) {
                    Some(code @ (ErrorCode::NotController | ErrorCode::CoordinatorLoadInProgress)) => {
                        connection.server_error(api, "controller".to_owned(), code, None)
                    }
                    _ => return Ok((connection, response)),
                },
                // The controller may have done it: saying so is better than doing it twice.
                Err(error) if error.is_outcome_unknown() => return Err(error),
                Err(error) => error,
            };
            retry.wait(error).await?;
            // A refresh that fails is retried by the next round.
            let _ = self.cluster.topics_after(&[], generation).await;
        }
    }

    async fn try_controller<Q>(&self, api: ApiKey, request: &Q) -> Result<(Arc<Connection>, Q::Response)>
    where
        Q: Request + Send + Sync,
        Q::Response: Send,
    {
        let controller = self.cluster.metadata().controller().and_then(|node_id| self.cluster.broker(node_id));
        let connection = match controller {
            Some(broker) => broker.connection(ConnectionClass::Control).await?,
            None => self.cluster.any_connection().await?,
        };
        let response = connection.request(api, request, self.cluster.options().request_timeout()).await?;
        Ok((connection, response))
    }
}

/// Deletes the records of a partition below `offset`.
pub(crate) async fn delete_records(
    cluster: &Arc<Cluster>,
    partition: &TopicPartition,
    offset: i64,
    timeout_ms: i32,
) -> Result<i64> {
    let row = DeleteRecordsPartition::default().with_partition_index(partition.partition).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(&partition.topic)).with_partitions(vec![row]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
    let timeout = cluster.options().request_timeout();
    let attempt = |leader: crate::cluster::Leader| {
        let request = request.clone();
        async move {
            let connection = leader.broker.connection(ConnectionClass::Control).await?;
            let response = connection.request(ApiKey::DeleteRecords, &request, timeout).await?;
            let row = response.topics.iter().flat_map(|topic| &topic.partitions).next();
            let missing = || connection.malformed(ApiKey::DeleteRecords, format!("no answer for {partition}"));
            let row = row.ok_or_else(missing)?;
            match ErrorCode::from_code(row.error_code) {
                None => Ok(row.low_watermark),
                Some(code) => Err(connection.server_error(ApiKey::DeleteRecords, partition.to_string(), code, None)),
            }
        }
    };
    cluster.with_leader(&partition.topic, partition.partition, UnknownTopic::Error, attempt).await
}

fn outcomes(
    connection: &Connection,
    api: ApiKey,
    rows: impl Iterator<Item = (String, i16, Option<String>)>,
) -> Outcomes {
    let outcome = |(name, code, message): (String, i16, Option<String>)| {
        let result = match ErrorCode::from_code(code) {
            None => Ok(()),
            Some(code) => Err(connection.server_error(api, format!("topic {name}"), code, message)),
        };
        (name, result)
    };
    rows.map(outcome).collect()
}

/// The outcome of a request about one thing.
fn single(connection: &Connection, api: ApiKey, outcomes: Outcomes) -> Result<()> {
    let missing = || Err(connection.malformed(api, "no answer for the topic asked for".to_owned()));
    outcomes.into_iter().next().map_or_else(missing, |(_, outcome)| outcome)
}
