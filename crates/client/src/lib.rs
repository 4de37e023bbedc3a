//! Async Kafka client: connections, metadata, partition client, consumer, producer, groups, admin.
//!
//! A [`Client`] stands for a cluster. It finds the cluster through any bootstrap address, keeps at most three
//! connections per broker (control, fetch, produce) however many partitions there are, and one immutable snapshot of
//! metadata. Everything else is made from it:
//!
//! * [`Producer`]: records of any partitions in, one request per broker out, idempotent.
//! * [`TransactionalProducer`]: records of any partitions, visible together or not at all.
//! * [`GroupConsumer`]: records of the partitions a consumer group gives this member.
//! * [`Membership`]: a place in a group of any kind, for those who distribute something else than partitions.
//! * [`Consumer`]: many partitions at once, one fetch under way per broker, batches delivered still compressed.
//! * [`PartitionClient`]: produce, fetch, offsets and deletion for one partition, one call at a time; from it a
//!   [`StreamConsumer`] and a [`BatchProducer`].
//! * [`Admin`] and [`Group`]: topics, configurations, committed offsets.
//!
//! # Produce
//!
//! ```no_run
//! use kanat_client::{Client, ClientOptions, ProduceRecord, ProducerOptions, Result};
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let client = Client::connect(ClientOptions::new(["localhost:9092"])).await?;
//!     let producer = client.producer(ProducerOptions::default())?;
//!     let mut deliveries = Vec::new();
//!     for number in 0..100 {
//!         let value = format!("order {number}");
//!         let record = ProduceRecord { topic: "orders", value: Some(value.as_bytes()), ..ProduceRecord::default() };
//!         // Waits while the buffer is full.
//!         deliveries.push(producer.send(record).await?);
//!     }
//!     for delivery in deliveries {
//!         let written = delivery.await?;
//!         println!("{} offset {}", written.tp, written.offset);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Consume
//!
//! ```no_run
//! use kanat_client::{Client, ClientOptions, ConsumerOptions, Result, StartOffset, UnknownTopic};
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let client = Client::connect(ClientOptions::new(["localhost:9092"])).await?;
//!     let partition = client.partition_client("orders", 0, UnknownTopic::Error).await?;
//!     let mut records = partition.stream(StartOffset::Earliest, ConsumerOptions::default())?;
//!     while let Some(next) = records.next().await {
//!         let (read, high_watermark) = next?;
//!         println!("{} of {high_watermark}: {:?}", read.offset, read.record.value);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Consume as a member of a group
//!
//! ```no_run
//! use kanat_client::{Client, ClientOptions, GroupEvent, GroupOptions, Result};
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let client = Client::connect(ClientOptions::new(["localhost:9092"])).await?;
//!     let mut consumer = client.group_consumer(GroupOptions::new("billing", ["orders"]))?;
//!     loop {
//!         match consumer.next().await? {
//!             GroupEvent::Fetched(fetched) => {
//!                 println!("{}: {} batches", fetched.tp, fetched.batches.len());
//!                 // What was processed, never what was only fetched.
//!                 consumer.commit_delivered().await?;
//!             }
//!             // Finish what is under way, then let go.
//!             GroupEvent::Revoked(revocation) => revocation.release(),
//!             GroupEvent::Assigned(partitions) => println!("reading {partitions:?}"),
//!             GroupEvent::Lost(partitions) => println!("lost {partitions:?}"),
//!         }
//!     }
//! }
//! ```
//!
//! # Write in transactions
//!
//! ```no_run
//! use kanat_client::{Client, ClientOptions, ProduceRecord, Result, TransactionalOptions};
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let client = Client::connect(ClientOptions::new(["localhost:9092"])).await?;
//!     let mut producer = client.transactional_producer(TransactionalOptions::new("transfers")).await?;
//!     for number in 0..10 {
//!         let value = format!("transfer {number}");
//!         let to = |topic| ProduceRecord { topic, value: Some(value.as_bytes()), ..ProduceRecord::default() };
//!         // Dropped without a commit, for an error among others, a transaction is aborted.
//!         let transaction = producer.begin().await?;
//!         drop(transaction.send(to("debits")).await?);
//!         drop(transaction.send(to("credits")).await?);
//!         transaction.commit().await?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What holds everywhere
//!
//! Every wait has a deadline and every buffer a bound, both named in the options. Every future may be dropped at any
//! point: nothing is lost from a consumer, and no connection gets out of step.
//!
//! Control batches are removed from what a [`Consumer`] delivers under both isolation levels: their records are
//! transaction markers, never data.

mod admin;
mod backoff;
mod batch_producer;
mod bootstrap;
mod broker;
mod changes;
mod client;
mod cluster;
mod connection;
mod consumer;
mod coordinator;
mod error;
mod group;
mod list_offsets;
mod metadata;
mod options;
mod partition;
mod produce;
mod producer;
mod properties;
mod record;
mod security;
mod stream_consumer;
mod transaction;
mod transport;
mod types;
mod versions;

pub use kanat_protocol::batch::{Headers, Record as RecordView, RecordBatch};
pub use kanat_protocol::compression::{Codec, Compression, Decompressor};
pub use kanat_protocol::{self as protocol, ErrorCode};
pub use kanat_telemetry::Metrics;

pub use self::admin::{
    Acl, AclFilter, AclOperation, AclPatternType, AclPermission, AclResource, AclResourceType, ActiveProducer, Admin,
    AlterConfig, ClusterBroker, ClusterDescription, ConfigEntry, ConfigOperation, ConfigResource, ConfigResourceType,
    ConfigSource, ConfigSynonym, ConfigType, CreatedTopic, DescribeConfigsOptions, DescribedGroup, DescribedMember,
    Election, FeatureRange, Features, FencedProducer, GroupListing, GroupType, ListGroupsOptions,
    ListTransactionsOptions, LogDir, LogDirPartition, MemberToRemove, NewPartitions, NewTopic, OpenTransaction,
    Outcomes, PartitionDescription, QuotaAlteration, QuotaEntity, QuotaFilter, QuotaMatch, QuotaValues, Reassignment,
    ScramMechanism, ScramUpsertion, ScramUser, TopicDescription, TransactionDescription, TransactionListing,
};
pub use self::batch_producer::{
    Aggregator, BatchProducer, BatchProducerOptions, ProducerClient, RecordAggregator, RecordOffsets,
    StatusDeaggregator, TryPush,
};
pub use self::client::Client;
pub use self::consumer::{
    Consumer, ConsumerOptions, DecodedIter, DecodedRecords, Fetched, Gap, GapCounts, GapReason, OutOfRangePolicy,
};
pub use self::error::{Error, FailedAddresses, Result};
pub use self::group::{
    Assignor, CommitFuture, CooperativeStickyAssignor, Group, GroupCommitter, GroupConsumer, GroupEvent, GroupOptions,
    GroupProtocol, GroupStart, JoinProtocol, JoinedMember, Leadership, LeaveMode, MemberAssignment, MemberAssignments,
    Membership, MembershipEvent, MembershipOptions, RangeAssignor, RebalanceMode, Revocation, RoundRobinAssignor,
    StickyAssignor, Subscriber, Subscription, TopicLayout, TopicLayouts,
};
pub use self::metadata::{BrokerInfo, Metadata, PartitionInfo, TopicInfo};
pub use self::options::{BackoffOptions, ClientOptions};
pub use self::partition::{PartitionClient, Produced};
pub use self::produce::Acks;
pub use self::producer::{
    DeliveryFuture, Partitioner, Partitioning, ProduceRecord, Producer, ProducerOptions, RecordMetadata,
};
pub use self::properties::JavaProperties;
pub use self::record::{Record, RecordAndOffset};
pub use self::security::{
    AwsCredentials, AwsMskIam, Credentials, LoginLine, LoginLineError, OAuthBearer, OidcClientCredentials, Pem, Sasl,
    Secret, Security, SecurityProtocol, TlsOptions, Token, TokenError, TokenProvider, UnsecuredJwt,
};
pub use self::stream_consumer::{StartOffset, StreamConsumer};
pub use self::transaction::{Transaction, TransactionalOptions, TransactionalProducer};
pub use self::transport::{BoxFuture, BoxedTransport, Connector, Socks5, Transport};
pub use self::types::{
    GroupMetadata, Isolation, ListedOffset, OffsetAndMetadata, OffsetSpec, Position, TopicId, TopicPartition,
    UnknownTopic,
};

/// The pages of the guide, so that what they show compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../../../docs/client/README.md")]
#[doc = include_str!("../../../docs/client/groups.md")]
#[doc = include_str!("../../../docs/client/porting-from-rskafka.md")]
#[doc = include_str!("../../../docs/client/security.md")]
mod guide {}
