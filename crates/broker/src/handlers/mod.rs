//! One module per noun of the protocol: requests in, responses out.
//!
//! [`dispatch`] decodes the body, holds the request against the fault plan, and lets [`Handle::handle`] answer. A
//! handler never fails as a whole: what goes wrong becomes an error code of the response.

mod acls;
mod api_versions;
mod authorize;
mod configs;
mod consumer_groups;
mod context;
mod features;
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
mod quorum;
mod quotas;
mod reassignments;
mod records;
mod topics;
mod transaction_admin;
mod transactions;
mod txn_offsets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kanat_protocol::frame::{RequestFrame, decode_body, encode_response};
use kanat_protocol::messages::*;
use kanat_protocol::version::{VersionRange, supported};
use kanat_protocol::{Error as ProtocolError, ErrorCode};
use parking_lot::Mutex;

pub(crate) use self::api_versions::unsupported_version;
pub(crate) use self::context::Context;
use crate::cluster::CoordinatorKind;
use crate::error::Refusal;
use crate::faults::{FaultTarget, Verdict};
use crate::quotas::Quota;

/// A request the broker answers.
pub(crate) trait Handle: Throttle + Send + 'static {
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
    let (mut response, spent) = timed(request.handle(&context)).await;
    context.charge(Quota::RequestTime, spent.as_secs_f64() * 100.0);
    let throttle = *context.throttle.lock();
    R::tell_throttle_ms(&mut response, i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX));
    let answer = match wants_answer {
        true => Some(encode_response(frame.api_version, frame.correlation_id, &response)?),
        false => None,
    };
    Ok(Outcome { answer, throttle, verdict })
}

/// Runs a future and adds up the time its steps take: while it waits it costs nobody anything.
async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let mut future = std::pin::pin!(future);
    let mut spent = Duration::ZERO;
    let output = std::future::poll_fn(|context| {
        let began = Instant::now();
        let polled = future.as_mut().poll(context);
        spent += began.elapsed();
        polled
    });
    (output.await, spent)
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

/// A request as far as its answer says for how long the client is held back.
pub(crate) trait Throttle: Request {
    fn tell_throttle_ms(response: &mut Self::Response, throttle_ms: i32);
}

macro_rules! apis {
    (throttled { $($key:ident => $request:ty,)* } silent { $($silent_key:ident => $silent:ty,)* }) => {
        /// APIs the broker answers.
        const APIS: &[ApiKey] = &[$(ApiKey::$key,)* $(ApiKey::$silent_key,)*];

        /// Answers a request of a supported API and version.
        pub(crate) async fn dispatch(context: Context, frame: RequestFrame) -> Result<Outcome, ProtocolError> {
            match frame.api_key {
                $(ApiKey::$key => Box::pin(respond::<$request>(context, frame)).await,)*
                $(ApiKey::$silent_key => Box::pin(respond::<$silent>(context, frame)).await,)*
                _ => Err(ProtocolError::ApiNotOffered { api_key: frame.api_key }),
            }
        }

        $(impl Throttle for $request {
            fn tell_throttle_ms(response: &mut Self::Response, throttle_ms: i32) {
                response.throttle_time_ms = throttle_ms;
            }
        })*

        // Their answers have no place for it.
        $(impl Throttle for $silent {
            fn tell_throttle_ms(_: &mut Self::Response, _: i32) {}
        })*
    };
}

apis! {
    throttled {
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
        TxnOffsetCommit => TxnOffsetCommitRequest,
        DescribeConfigs => DescribeConfigsRequest,
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
        UpdateFeatures => UpdateFeaturesRequest,
    }
    silent {
        DescribeQuorum => DescribeQuorumRequest,
        SaslHandshake => SaslHandshakeRequest,
        SaslAuthenticate => SaslAuthenticateRequest,
        WriteTxnMarkers => WriteTxnMarkersRequest,
    }
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
