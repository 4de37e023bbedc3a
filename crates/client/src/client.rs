//! The client: one per cluster, cheap to clone, from which everything else is made.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::admin::Admin;
use crate::cluster::Cluster;
use crate::consumer::{Consumer, ConsumerOptions};
use crate::error::Result;
use crate::group::{Group, GroupConsumer, GroupOptions, Membership, MembershipOptions};
use crate::metadata::{Metadata, TopicInfo};
use crate::options::ClientOptions;
use crate::partition::PartitionClient;
use crate::producer::{Producer, ProducerOptions};
use crate::transaction::{TransactionalOptions, TransactionalProducer};
use crate::types::{Isolation, ListedOffset, OffsetSpec, TopicPartition, UnknownTopic};

/// A Kafka cluster. Clones share connections (at most three per broker) and metadata; the connections close when the
/// last clone and everything made from it is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    cluster: Arc<Cluster>,
}

impl Client {
    /// Connects to the first bootstrap address that answers and learns the brokers of the cluster.
    ///
    /// # Errors
    /// [`Error::Bootstrap`](crate::Error::Bootstrap) names every address tried and why it failed;
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) the option that cannot work.
    pub async fn connect(options: ClientOptions) -> Result<Client> {
        Ok(Client { cluster: Cluster::connect(options).await? })
    }

    /// Ends the connections of this client and of everything made from it, within `timeout`: requests under way have
    /// that long to be answered, long polls are cut off at once, and nothing is sent afterwards. Whoever waits then gets
    /// [`Error::Closed`](crate::Error::Closed) or [`Error::ConnectionLost`](crate::Error::ConnectionLost).
    ///
    /// Flush producers and leave groups first; dropping the last clone closes everything too, without waiting.
    pub async fn close(&self, timeout: Duration) {
        self.cluster.close(Instant::now() + timeout).await;
    }

    /// A snapshot that holds these topics (`None`: all), at most `metadata_max_age_ms` old. A topic that does not exist
    /// is absent from it; asking never creates one.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<Arc<Metadata>> {
        match topics {
            Some(names) => self.cluster.topics(names).await,
            None => self.cluster.all_topics().await,
        }
    }

    /// Every topic of the cluster, the internal ones included (see [`TopicInfo::internal`]), sorted by name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_topics(&self) -> Result<Vec<Arc<TopicInfo>>> {
        let metadata = self.cluster.all_topics().await?;
        let mut topics: Vec<_> = metadata.topics().cloned().collect();
        topics.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Ok(topics)
    }

    /// Offsets of many partitions, in the order asked, with one request per broker.
    ///
    /// # Errors
    /// The first partition that cannot be answered: unknown topic or partition at once, a leader that cannot be reached
    /// after `retry_timeout_ms`.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
        isolation: Isolation,
    ) -> Result<Vec<(TopicPartition, ListedOffset)>> {
        crate::list_offsets::list_offsets(&self.cluster, partitions, isolation).await
    }

    /// A client of one partition. Checks that the partition exists.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic) or
    /// [`Error::UnknownPartition`](crate::Error::UnknownPartition), at once or after `retry_timeout_ms` as `unknown` says.
    pub async fn partition_client(
        &self,
        topic: &str,
        partition: i32,
        unknown: UnknownTopic,
    ) -> Result<PartitionClient> {
        PartitionClient::new(Arc::clone(&self.cluster), TopicPartition::new(topic, partition), unknown).await
    }

    /// A consumer with nothing assigned yet.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption).
    pub fn consumer(&self, options: ConsumerOptions) -> Result<Consumer> {
        Consumer::new(Arc::clone(&self.cluster), options)
    }

    /// A producer.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption).
    pub fn producer(&self, options: ProducerOptions) -> Result<Producer> {
        Producer::new(Arc::clone(&self.cluster), options)
    }

    /// A producer whose records become visible by transaction. Takes over its transactional id.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption); what the coordinator answers.
    pub async fn transactional_producer(&self, options: TransactionalOptions) -> Result<TransactionalProducer> {
        TransactionalProducer::new(Arc::clone(&self.cluster), options).await
    }

    /// Topics, records and configurations of the cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.cluster))
    }

    /// A member of a consumer group; it joins at once.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption).
    pub fn group_consumer(&self, options: GroupOptions) -> Result<GroupConsumer> {
        GroupConsumer::new(Arc::clone(&self.cluster), options)
    }

    /// A member of a group of any kind, not joined yet.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption).
    pub fn membership(&self, options: MembershipOptions) -> Result<Membership> {
        Membership::new(Arc::clone(&self.cluster), options)
    }

    /// Committed offsets and members of a consumer group.
    pub fn group(&self, id: &str) -> Group {
        Group::new(Arc::clone(&self.cluster), id)
    }
}
