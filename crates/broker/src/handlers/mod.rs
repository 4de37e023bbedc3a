//! One module per noun of the protocol: requests in, responses out.
//!
//! [`dispatch`] decodes the body, holds the request against the fault plan, and lets [`Handle::handle`] answer. A
//! handler never fails as a whole: what goes wrong becomes an error code of the response.

mod acls;
mod api_versions;
mod authorize;
mod configs;
mod consumer_groups;
mod fetch;
mod find_coordinator;
mod group_admin;
mod group_membership;
mod leader_epochs;
mod list_offsets;
mod log_dirs;
mod metadata;
mod offsets;
mod produce;
mod producer_ids;
mod quotas;
mod reassignments;
mod records;
mod topics;
mod transaction_admin;
mod transactions;
mod txn_offsets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::frame::{RequestFrame, decode_body, encode_response};
use kanat_protocol::messages::*;
use kanat_protocol::version::{VersionRange, supported};
use kanat_protocol::{Error as ProtocolError, ErrorCode};
use parking_lot::Mutex;
use tokio::sync::watch;

pub(crate) use api_versions::unsupported_version;

use crate::cluster::{Cluster, CoordinatorKind, Node};
use crate::error::Refusal;
use crate::faults::{FaultTarget, ForcedError, Verdict};
use crate::security::Session;

/// What a handler knows besides the request.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) node_id: i32,
    pub(crate) peer: SocketAddr,
    /// Who the client is, `User:NAME`.
    pub(crate) principal: Arc<str>,
    pub(crate) client_id: StrBytes,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    /// Time the client is held back after this request.
    pub(crate) throttle: Arc<Mutex<Duration>>,
    pub(crate) forced: Option<ForcedError>,
    /// Turns true when the client is gone.
    pub(crate) gone: watch::Receiver<bool>,
    /// Set to close the connection after this request.
    pub(crate) close: Arc<AtomicBool>,
    /// How far the connection is authenticated.
    pub(crate) session: Arc<Mutex<Session>>,
}

impl Context {
    pub(crate) fn node(&self) -> &Node {
        self.cluster.node(self.node_id).expect("a connection belongs to a node")
    }

    /// Error the fault plan forces on the whole request.
    pub(crate) fn check_request(&self) -> Result<(), Refusal> {
        forced(self.forced.as_ref().and_then(ForcedError::whole))
    }

    /// Error the fault plan forces on a topic.
    pub(crate) fn check_topic(&self, topic: &str) -> Result<(), Refusal> {
        forced(self.forced.as_ref().and_then(|error| error.topic(topic)))?;
        self.authorize_topic(topic)
    }

    /// Error the fault plan forces on a partition.
    pub(crate) fn check_partition(&self, topic: &str, partition: i32) -> Result<(), Refusal> {
        forced(self.forced.as_ref().and_then(|error| error.partition(topic, partition)))?;
        self.authorize_topic(topic)
    }

    /// Whether this node coordinates `group`, after what the fault plan forces on the request.
    pub(crate) fn check_coordinator(&self, group: &str) -> Result<(), ErrorCode> {
        self.check_request().map_err(|refusal| refusal.code)?;
        self.authorize_group(group)?;
        match self.cluster.coordinator_of(group) {
            Some(node) if node.id == self.node_id => Ok(()),
            _ => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Whether this node coordinates a transactional id, after what the fault plan forces on the request.
    pub(crate) fn check_transaction_coordinator(&self, id: &str) -> Result<(), ErrorCode> {
        self.check_request().map_err(|refusal| refusal.code)?;
        self.authorize_transactional_id(id)?;
        match self.cluster.transaction_coordinator_of(id) {
            Some(node) if node.id == self.node_id => Ok(()),
            _ => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Topic name of a request that names it by name or, from some version on, by id.
    pub(crate) fn topic_name(&self, name: &TopicName, id: Uuid) -> Option<String> {
        if id.is_nil() {
            return Some(name.to_string());
        }
        self.cluster.topic_by_id(id).map(|topic| topic.name.to_string())
    }

    /// Runs work that may touch the disk off the runtime threads.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let context = self.clone();
        self.cluster.run(move |_| work(&context)).await
    }

    /// Comes back when the client is gone.
    pub(crate) async fn client_gone(&self) {
        let mut gone = self.gone.clone();
        // The sender lives as long as the connection.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// Counts what the client took against a quota; returns the time it is held back for, ms.
    pub(crate) fn charge(&self, quota: &'static str, bytes: usize) -> i32 {
        let user = self.principal.strip_prefix("User:").unwrap_or(&self.principal);
        let mut throttle = self.throttle.lock();
        *throttle = (*throttle).max(self.cluster.quotas.charge(quota, user, &self.client_id, bytes));
        i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX)
    }

    pub(crate) fn close_connection(&self) {
        self.close.store(true, Ordering::Release);
    }
}

fn forced(code: Option<ErrorCode>) -> Result<(), Refusal> {
    match code {
        Some(code) => Err(Refusal::new(code, "forced by the fault plan")),
        None => Ok(()),
    }
}

/// A request the broker answers.
pub(crate) trait Handle: Request + Send + 'static {
    /// Partitions the request names, for the fault plan.
    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        Vec::new()
    }

    /// Coordinator the request is for, for the fault plan.
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        None
    }

    /// Whether the client waits for an answer.
    fn wants_answer(&self) -> bool {
        true
    }

    fn handle(self, context: &Context) -> impl Future<Output = Self::Response> + Send;
}

/// Answer to a request, and what the fault plan still wants done to it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Frame to send, if the client waits for one.
    pub(crate) answer: Option<Bytes>,
    /// Time to leave the connection unread after it.
    pub(crate) throttle: Duration,
    pub(crate) verdict: Verdict,
}

async fn respond<R: Handle>(mut context: Context, frame: RequestFrame) -> Result<Outcome, ProtocolError> {
    let request: R = decode(&frame)?;
    context.api = frame.api_key;
    let mut verdict = judge(&context, frame.api_key, &request);
    context.throttle = Arc::new(Mutex::new(verdict.throttle.unwrap_or_default()));
    if let Some((to, (kind, key))) = verdict.move_coordinator.zip(request.coordinator_key())
        && let Err(error) = context.cluster.move_coordinator(kind, &key, to)
    {
        tracing::debug!(%error, "the fault plan could not move a coordinator");
    }
    for (topic, partition, to) in std::mem::take(&mut verdict.move_leaders) {
        let moved = context.run(move |context| context.cluster.move_leader(&topic, partition, to)).await;
        if let Err(error) = moved {
            tracing::debug!(%error, "the fault plan could not move a leader");
        }
    }
    if let Some(delay) = verdict.delay_before {
        tokio::time::sleep(delay).await;
    }
    if verdict.drop_before {
        return Ok(Outcome { answer: None, throttle: Duration::ZERO, verdict });
    }
    context.forced = verdict.error.take();
    let wants_answer = request.wants_answer();
    let response = request.handle(&context).await;
    let answer = match wants_answer {
        true => Some(encode_response(frame.api_version, frame.correlation_id, &response)?),
        false => None,
    };
    let throttle = *context.throttle.lock();
    Ok(Outcome { answer, throttle, verdict })
}

/// Decodes a request. Bytes behind it are ignored as Kafka does: librdkafka 2.16 sends one with Metadata version 13.
fn decode<R: Handle>(frame: &RequestFrame) -> Result<R, ProtocolError> {
    match decode_body(frame.api_key, frame.api_version, frame.body.clone()) {
        Err(ProtocolError::MalformedFrame { what: "end", position, .. }) => {
            decode_body(frame.api_key, frame.api_version, frame.body.slice(..position))
        }
        decoded => decoded,
    }
}

fn judge<R: Handle>(context: &Context, api: ApiKey, request: &R) -> Verdict {
    if context.cluster.faults.is_empty() {
        return Verdict::default();
    }
    context.cluster.faults.judge(&FaultTarget {
        api,
        node: context.node_id,
        client_id: &context.client_id,
        partitions: &request.partitions(context),
    })
}

macro_rules! apis {
    ($($key:ident => $request:ty,)*) => {
        /// APIs the broker answers.
        const APIS: &[ApiKey] = &[$(ApiKey::$key),*];

        /// Answers a request of a supported API and version.
        pub(crate) async fn dispatch(context: Context, frame: RequestFrame) -> Result<Outcome, ProtocolError> {
            match frame.api_key {
                $(ApiKey::$key => Box::pin(respond::<$request>(context, frame)).await,)*
                _ => Err(ProtocolError::ApiNotOffered { api_key: frame.api_key }),
            }
        }
    };
}

apis! {
    Produce => ProduceRequest,
    Fetch => FetchRequest,
    ListOffsets => ListOffsetsRequest,
    Metadata => MetadataRequest,
    OffsetCommit => OffsetCommitRequest,
    OffsetFetch => OffsetFetchRequest,
    FindCoordinator => FindCoordinatorRequest,
    JoinGroup => JoinGroupRequest,
    Heartbeat => HeartbeatRequest,
    LeaveGroup => LeaveGroupRequest,
    SyncGroup => SyncGroupRequest,
    DescribeGroups => DescribeGroupsRequest,
    ListGroups => ListGroupsRequest,
    SaslHandshake => SaslHandshakeRequest,
    ApiVersions => ApiVersionsRequest,
    CreateTopics => CreateTopicsRequest,
    CreateAcls => CreateAclsRequest,
    DescribeAcls => DescribeAclsRequest,
    DeleteAcls => DeleteAclsRequest,
    AlterReplicaLogDirs => AlterReplicaLogDirsRequest,
    DescribeLogDirs => DescribeLogDirsRequest,
    ElectLeaders => ElectLeadersRequest,
    AlterPartitionReassignments => AlterPartitionReassignmentsRequest,
    ListPartitionReassignments => ListPartitionReassignmentsRequest,
    DescribeClientQuotas => DescribeClientQuotasRequest,
    AlterClientQuotas => AlterClientQuotasRequest,
    DeleteTopics => DeleteTopicsRequest,
    DeleteRecords => DeleteRecordsRequest,
    InitProducerId => InitProducerIdRequest,
    OffsetForLeaderEpoch => OffsetForLeaderEpochRequest,
    AddPartitionsToTxn => AddPartitionsToTxnRequest,
    AddOffsetsToTxn => AddOffsetsToTxnRequest,
    EndTxn => EndTxnRequest,
    WriteTxnMarkers => WriteTxnMarkersRequest,
    TxnOffsetCommit => TxnOffsetCommitRequest,
    DescribeConfigs => DescribeConfigsRequest,
    SaslAuthenticate => SaslAuthenticateRequest,
    AlterConfigs => AlterConfigsRequest,
    CreatePartitions => CreatePartitionsRequest,
    DeleteGroups => DeleteGroupsRequest,
    IncrementalAlterConfigs => IncrementalAlterConfigsRequest,
    OffsetDelete => OffsetDeleteRequest,
    DescribeUserScramCredentials => DescribeUserScramCredentialsRequest,
    AlterUserScramCredentials => AlterUserScramCredentialsRequest,
    DescribeCluster => DescribeClusterRequest,
    DescribeProducers => DescribeProducersRequest,
    DescribeTransactions => DescribeTransactionsRequest,
    ListTransactions => ListTransactionsRequest,
    ConsumerGroupHeartbeat => ConsumerGroupHeartbeatRequest,
    ConsumerGroupDescribe => ConsumerGroupDescribeRequest,
    DescribeTopicPartitions => DescribeTopicPartitionsRequest,
}

/// Whether a request of this API and version is answered.
pub(crate) fn is_supported(api: ApiKey, version: i16) -> bool {
    offered(api).is_some_and(|range| range.contains(version))
}

/// Versions of an API the broker answers.
fn offered(api: ApiKey) -> Option<VersionRange> {
    APIS.contains(&api).then(|| supported(api))
}

/// Code of a result for the wire.
fn group_code(result: Result<(), ErrorCode>) -> i16 {
    result.err().map_or(0, ErrorCode::code)
}

/// Text of a response.
pub(crate) fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

/// Error message of a response.
pub(crate) fn message<T>(result: &Result<T, Refusal>) -> Option<StrBytes> {
    result.as_ref().err().map(|refusal| text(refusal.reason.clone()))
}
