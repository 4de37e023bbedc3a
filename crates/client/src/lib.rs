//! Async Kafka client: connections, metadata, partition client, consumer, producer, groups, admin.
//!
//! A [`Client`] stands for a cluster. It finds the cluster through any bootstrap address, keeps at most three
//! connections per broker (control, fetch, produce) however many partitions there are, and one immutable snapshot of
//! metadata. Everything else is made from it:
//!
//! * [`PartitionClient`]: produce, fetch, offsets and deletion for one partition, one call at a time.
//! * [`Consumer`]: many partitions at once, one fetch under way per broker, batches delivered still compressed.
//! * [`Producer`]: records of any partitions in, one request per broker out, idempotent.
//! * [`TransactionalProducer`]: records of any partitions, visible together or not at all.
//! * [`GroupConsumer`]: records of the partitions a consumer group gives this member.
//! * [`Membership`]: a place in a group of any kind, for those who distribute something else than partitions.
//! * [`Admin`] and [`Group`]: topics, configurations, committed offsets.
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
mod client;
mod cluster;
mod connection;
mod consumer;
mod error;
mod group;
mod list_offsets;
mod metadata;
mod options;
mod partition;
mod produce;
mod producer;
mod stream_consumer;
mod transaction;
mod transport;
mod types;
mod versions;

pub use kanat_protocol::batch::{Headers, Record as RecordView, RecordBatch};
pub use kanat_protocol::compression::{Codec, Compression, Decompressor};
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
    Assignor, CommitFuture, CooperativeStickyAssignor, Group, GroupCommitter, GroupConsumer, GroupDescription,
    GroupEvent, GroupMember, GroupOptions, GroupProtocol, GroupStart, JoinProtocol, JoinedMember, Leadership,
    LeaveMode, MemberAssignment, MemberAssignments, Membership, MembershipEvent, MembershipOptions, RangeAssignor,
    RebalanceMode, Revocation, RoundRobinAssignor, StickyAssignor, Subscriber, Subscription, TopicLayout, TopicLayouts,
};
pub use self::metadata::{BrokerInfo, Metadata, PartitionInfo, TopicInfo};
pub use self::options::{BackoffOptions, ClientOptions};
pub use self::partition::{OffsetAt, PartitionClient, Produced, Record, RecordAndOffset};
pub use self::produce::Acks;
pub use self::producer::{
    DeliveryFuture, Partitioner, Partitioning, ProduceRecord, Producer, ProducerOptions, RecordMetadata,
};
pub use self::stream_consumer::{StartOffset, StreamConsumer};
pub use self::transaction::{Transaction, TransactionalOptions, TransactionalProducer};
pub use self::transport::{BoxFuture, BoxedStream, Connector, Stream};
pub use self::types::{
    GroupMetadata, Isolation, ListedOffset, OffsetAndMetadata, OffsetSpec, Position, TopicId, TopicPartition,
    UnknownTopic,
};
