//! An async client of Apache Kafka, in Rust from the socket up: no librdkafka, no JVM. It produces, consumes, joins
//! consumer groups, runs transactions and administers clusters, on tokio, with Kafka 2.1 to 4.x and what speaks its
//! protocol.
//!
//! Begin with [`Client::connect`]. A [`Client`] stands for a cluster: any one broker's address is enough to find the
//! others. It is cheap to clone, keeps at most three connections per broker however many partitions there are, and makes
//! everything else:
//!
//! | to | take | which |
//! |---|---|---|
//! | write records | [`Client::producer`] | batches records of any partitions, one request per broker, idempotent |
//! | write all or nothing | [`Client::transactional_producer`] | transactions, with consumed offsets in them |
//! | share topics with others | [`Client::group_consumer`] | is a member of a consumer group, commits what was processed |
//! | read chosen partitions | [`Client::consumer`] | many partitions from offsets of your choice, batches still compressed |
//! | work on one partition | [`Client::partition_client`] | produce, fetch, offsets, one call at a time; [`StreamConsumer`], [`BatchProducer`] |
//! | share other work | [`Client::membership`] | a place in a group of any protocol type |
//! | administer | [`Client::admin`] | topics, configurations, groups, ACLs, quotas, users, transactions |
//! | see a group from outside | [`Client::group`] | its committed offsets and members |
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
//! # What it can do
//!
//! * **Producing**: idempotent and in order with five requests under way, Java's partitioner or your own, compression
//!   with gzip, snappy, lz4 and zstd, a buffer bounded in bytes with back-pressure, the outcome of every record.
//! * **Transactions**: both protocols of Kafka (KIP-890), offsets in the transaction (KIP-447), fencing; an unknown
//!   outcome is settled before the next transaction begins.
//! * **Consuming**: fetch sessions, read committed, truncation found (KIP-320), topics made anew noticed, the replica of
//!   your rack (KIP-392), pause, seek, and no jump over lost records unless you allow it.
//! * **Groups**: the classic protocol with range, round robin, sticky and cooperative assignors, static members, and the
//!   protocol of KIP-848.
//! * **Security**: TLS with client certificates, SASL with PLAIN, SCRAM, OAUTHBEARER and AWS MSK IAM, re-authentication,
//!   SOCKS5. Secrets are in no `Debug` output and no error.
//! * **Operation**: metrics, `tracing` spans, throttling honoured, dead sockets and replaced clusters noticed.
//! * **Java's configuration**: [`JavaProperties`] reads the properties of a Java client, and says which it cannot honour.
//!
//! # What holds everywhere
//!
//! Every wait has a deadline and every buffer a bound, both named in the options. Every future may be dropped at any
//! point: nothing is lost from a consumer, and no connection gets out of step. What can fail says so with an [`Error`]
//! that names the broker, topic or option, and whether [the outcome is unknown](Error::is_outcome_unknown).
//!
//! Control batches are removed from what a [`Consumer`] delivers under both isolation levels: their records are
//! transaction markers, never data.
//!
//! # Where to go on
//!
//! * The guide in `docs/client` of the repository: an overview, [groups](GroupConsumer), [security](Security), running
//!   it in production, and coming from RSKafka call by call.
//! * The options, each with its unit, default and bound: [`ClientOptions`], [`ProducerOptions`], [`ConsumerOptions`],
//!   [`GroupOptions`], [`TransactionalOptions`].
//! * `kanat-broker`, the embedded broker this client is tested with: it starts in milliseconds inside your own tests.

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
