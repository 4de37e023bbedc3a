//! The fields of every message, in wire order.
//!
//! These are facts of the Kafka protocol, in the notation of [`super::parse`]. The tests of the parent module prove each
//! line, in each version, against the message library: what is generated from a layout decodes and encodes back to the
//! same bytes.

use std::sync::OnceLock;

use super::{Body, Layout};
use crate::error::Result;
use crate::messages::*;
use crate::version::VersionRange;

/// For APIs that have no flexible version yet.
const NEVER: i16 = i16::MAX;

macro_rules! layouts {
    ($($api:ident($request:ident, $response:ident) flexible $flexible:tt, $request_fields:literal,
       $response_fields:literal;)*) => {
        $(
            layouts!(@body $api, $request, $flexible, $request_fields);
            layouts!(@body $api, $response, $flexible, $response_fields);
        )*

        /// Versions of an API for which both the request and the response can be encoded and decoded.
        pub(crate) fn supported(api_key: ApiKey) -> VersionRange {
            match api_key {
                $(ApiKey::$api => versions::<$request>().intersect(versions::<$response>()),)*
            }
        }

        /// Runs the checks of this crate's tests on every message.
        #[cfg(test)]
        pub(super) fn visit_all(visitor: &mut impl super::tests::Visitor) {
            $(
                visitor.visit::<$request>(Layout::parse($flexible, $request_fields));
                visitor.visit::<$response>(Layout::parse($flexible, $response_fields));
            )*
        }
    };
    (@body $api:ident, $message:ident, $flexible:tt, $fields:literal) => {
        impl Body for $message {
            const API_KEY: ApiKey = ApiKey::$api;
            const NAME: &'static str = stringify!($message);

            fn check_layout(version: i16, body: &[u8]) -> Result<()> {
                static LAYOUT: OnceLock<Layout> = OnceLock::new();
                LAYOUT.get_or_init(|| Layout::parse($flexible, $fields)).check(Self::NAME, version, body)
            }
        }
    };
}

/// The message library's versions of one message.
pub(crate) fn versions<M: Message>() -> VersionRange {
    VersionRange::new(M::VERSIONS.min, M::VERSIONS.max)
}

layouts! {
    Produce(ProduceRequest, ProduceResponse) flexible 9,
        "str i16 i32 [{-12:str 13+:uuid [{i32 bytes}]}]",
        "[{-12:str 13+:uuid [{i32 i16 i64 i64 5+:i64 8+:[{i32 str}] 8+:str 10+:#0={i32 i32}}]}] i32 10+:#0=[{i32 str i32 str}]";
    Fetch(FetchRequest, FetchResponse) flexible 12,
        "-14:i32 i32 i32 i32 i8 7+:i32 7+:i32 [{-12:str 13+:uuid [{i32 9+:i32 i64 12+:i32 5+:i64 i32 17+:#0=uuid 18+:#1=i64}]}] 7+:[{-12:str 13+:uuid [i32]}] 11+:str #0=str 15+:#1={i32 i64}",
        "i32 7+:i16 7+:i32 [{-12:str 13+:uuid [{i32 i16 i64 i64 5+:i64 [{i64 i64}] 11+:i32 bytes #0={i32 i64} #1={i32 i32} #2={i64 i32}}]}] 16+:#0=[{i32 str i32 str}]";
    ListOffsets(ListOffsetsRequest, ListOffsetsResponse) flexible 6,
        "i32 2+:i8 [{str [{i32 4+:i32 i64}]}] 10+:i32",
        "2+:i32 [{str [{i32 i16 i64 i64 4+:i32}]}]";
    Metadata(MetadataRequest, MetadataResponse) flexible 9,
        "[{10+:uuid str}] 4+:bool 8-10:bool 8+:bool",
        "3+:i32 [{i32 str i32 1+:str}] 2+:str 1+:i32 [{i16 str 10+:uuid 1+:bool [{i16 i32 i32 7+:i32 [i32] [i32] 5+:[i32]}] 8+:i32}] 8-10:i32 13+:i16";
    OffsetCommit(OffsetCommitRequest, OffsetCommitResponse) flexible 8,
        "str i32 str 7+:str -4:i64 [{str [{i32 i64 6+:i32 str}]}]",
        "3+:i32 [{-9:str 10+:uuid [{i32 i16}]}]";
    OffsetFetch(OffsetFetchRequest, OffsetFetchResponse) flexible 6,
        "-7:str -7:[{str [i32]}] 8+:[{str 9+:str 9+:i32 [{str [i32]}]}] 7+:bool",
        "3+:i32 -7:[{str [{i32 i64 5+:i32 str i16}]}] 2-7:i16 8+:[{str [{-9:str 10+:uuid [{i32 i64 i32 str i16}]}] i16}]";
    FindCoordinator(FindCoordinatorRequest, FindCoordinatorResponse) flexible 3,
        "-3:str 1+:i8 4+:[str]",
        "1+:i32 -3:i16 1-3:str -3:i32 -3:str -3:i32 4+:[{str i32 str i32 i16 str}]";
    JoinGroup(JoinGroupRequest, JoinGroupResponse) flexible 6,
        "str i32 1+:i32 str 5+:str str [{str bytes}] 8+:str",
        "2+:i32 i16 i32 7+:str str str 9+:bool str [{str 5+:str bytes}]";
    Heartbeat(HeartbeatRequest, HeartbeatResponse) flexible 4,
        "str i32 str 3+:str",
        "1+:i32 i16";
    LeaveGroup(LeaveGroupRequest, LeaveGroupResponse) flexible 4,
        "str -2:str 3+:[{str str 5+:str}]",
        "1+:i32 i16 3+:[{str str i16}]";
    SyncGroup(SyncGroupRequest, SyncGroupResponse) flexible 4,
        "str i32 str 3+:str 5+:str 5+:str [{str bytes}]",
        "1+:i32 i16 5+:str 5+:str bytes";
    DescribeGroups(DescribeGroupsRequest, DescribeGroupsResponse) flexible 5,
        "[str] 3+:bool",
        "1+:i32 [{i16 6+:str str str str str [{str 4+:str str str bytes bytes}] 3+:i32}]";
    ListGroups(ListGroupsRequest, ListGroupsResponse) flexible 3,
        "4+:[str] 5+:[str]",
        "1+:i32 i16 [{str str 4+:str 5+:str}]";
    SaslHandshake(SaslHandshakeRequest, SaslHandshakeResponse) flexible NEVER,
        "str",
        "i16 [str]";
    ApiVersions(ApiVersionsRequest, ApiVersionsResponse) flexible 3,
        "3+:str 3+:str",
        "i16 [{i16 i16 i16}] 1+:i32 #0=[{str i16 i16}] #1=i64 #2=[{str i16 i16}] #3=bool";
    CreateTopics(CreateTopicsRequest, CreateTopicsResponse) flexible 5,
        "[{str i32 i16 [{i32 [i32]}] [{str str}]}] i32 bool",
        "i32 [{str 7+:uuid i16 str 5+:i32 5+:i16 5+:[{str str bool i8 bool}] #0=i16}]";
    DeleteTopics(DeleteTopicsRequest, DeleteTopicsResponse) flexible 4,
        "6+:[{str uuid}] -5:[str] i32",
        "i32 [{str 6+:uuid i16 5+:str}]";
    DeleteRecords(DeleteRecordsRequest, DeleteRecordsResponse) flexible 2,
        "[{str [{i32 i64}]}] i32",
        "i32 [{str [{i32 i64 i16}]}]";
    InitProducerId(InitProducerIdRequest, InitProducerIdResponse) flexible 2,
        "str i32 3+:i64 3+:i16",
        "i32 i16 i64 i16 6+:i64 6+:i16";
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse) flexible 4,
        "3+:i32 [{str [{i32 i32 i32}]}]",
        "i32 [{str [{i16 i32 i32 i64}]}]";
    AddPartitionsToTxn(AddPartitionsToTxnRequest, AddPartitionsToTxnResponse) flexible 3,
        "4+:[{str i64 i16 bool [{str [i32]}]}] -3:str -3:i64 -3:i16 -3:[{str [i32]}]",
        "i32 4+:i16 4+:[{str [{str [{i32 i16}]}]}] -3:[{str [{i32 i16}]}]";
    AddOffsetsToTxn(AddOffsetsToTxnRequest, AddOffsetsToTxnResponse) flexible 3,
        "str i64 i16 str",
        "i32 i16";
    EndTxn(EndTxnRequest, EndTxnResponse) flexible 3,
        "str i64 i16 bool",
        "i32 i16 5+:i64 5+:i16";
    WriteTxnMarkers(WriteTxnMarkersRequest, WriteTxnMarkersResponse) flexible 1,
        "[{i64 i16 bool [{str [i32]}] i32}]",
        "[{i64 [{str [{i32 i16}]}]}]";
    TxnOffsetCommit(TxnOffsetCommitRequest, TxnOffsetCommitResponse) flexible 3,
        "str str i64 i16 3+:i32 3+:str 3+:str [{str [{i32 i64 2+:i32 str}]}]",
        "i32 [{str [{i32 i16}]}]";
    DescribeAcls(DescribeAclsRequest, DescribeAclsResponse) flexible 2,
        "i8 str i8 str str i8 i8",
        "i32 i16 str [{i8 str i8 [{str str i8 i8}]}]";
    CreateAcls(CreateAclsRequest, CreateAclsResponse) flexible 2,
        "[{i8 str i8 str str i8 i8}]",
        "i32 [{i16 str}]";
    DeleteAcls(DeleteAclsRequest, DeleteAclsResponse) flexible 2,
        "[{i8 str i8 str str i8 i8}]",
        "i32 [{i16 str [{i16 str i8 str i8 str str i8 i8}]}]";
    DescribeConfigs(DescribeConfigsRequest, DescribeConfigsResponse) flexible 4,
        "[{i8 str [str]}] bool 3+:bool",
        "i32 [{i16 str i8 str [{str str bool i8 bool [{str str i8}] 3+:i8 3+:str}]}]";
    AlterConfigs(AlterConfigsRequest, AlterConfigsResponse) flexible 2,
        "[{i8 str [{str str}]}] bool",
        "i32 [{i16 str i8 str}]";
    AlterReplicaLogDirs(AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse) flexible 2,
        "[{str [{str [i32]}]}]",
        "i32 [{str [{i32 i16}]}]";
    DescribeLogDirs(DescribeLogDirsRequest, DescribeLogDirsResponse) flexible 2,
        "[{str [i32]}]",
        "i32 3+:i16 [{i16 str [{str [{i32 i64 i64 bool}]}] 4+:i64 4+:i64}]";
    SaslAuthenticate(SaslAuthenticateRequest, SaslAuthenticateResponse) flexible 2,
        "bytes",
        "i16 str bytes 1+:i64";
    CreatePartitions(CreatePartitionsRequest, CreatePartitionsResponse) flexible 2,
        "[{str i32 [{[i32]}]}] i32 bool",
        "i32 [{str i16 str}]";
    CreateDelegationToken(CreateDelegationTokenRequest, CreateDelegationTokenResponse) flexible 2,
        "3+:str 3+:str [{str str}] i64",
        "i16 str str 3+:str 3+:str i64 i64 i64 str bytes i32";
    RenewDelegationToken(RenewDelegationTokenRequest, RenewDelegationTokenResponse) flexible 2,
        "bytes i64",
        "i16 i64 i32";
    ExpireDelegationToken(ExpireDelegationTokenRequest, ExpireDelegationTokenResponse) flexible 2,
        "bytes i64",
        "i16 i64 i32";
    DescribeDelegationToken(DescribeDelegationTokenRequest, DescribeDelegationTokenResponse) flexible 2,
        "[{str str}]",
        "i16 [{str str 3+:str 3+:str i64 i64 i64 str bytes [{str str}]}] i32";
    DeleteGroups(DeleteGroupsRequest, DeleteGroupsResponse) flexible 2,
        "[str]",
        "i32 [{str i16}]";
    ElectLeaders(ElectLeadersRequest, ElectLeadersResponse) flexible 2,
        "1+:i8 [{str [i32]}] i32",
        "i32 1+:i16 [{str [{i32 i16 str}]}]";
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse) flexible 1,
        "[{i8 str [{str i8 str}]}] bool",
        "i32 [{i16 str i8 str}]";
    AlterPartitionReassignments(AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse) flexible 0,
        "i32 1+:bool [{str [{i32 [i32]}]}]",
        "i32 1+:bool i16 str [{str [{i32 i16 str}]}]";
    ListPartitionReassignments(ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse) flexible 0,
        "i32 [{str [i32]}]",
        "i32 i16 str [{str [{i32 [i32] [i32] [i32]}]}]";
    OffsetDelete(OffsetDeleteRequest, OffsetDeleteResponse) flexible NEVER,
        "str [{str [{i32}]}]",
        "i16 i32 [{str [{i32 i16}]}]";
    DescribeClientQuotas(DescribeClientQuotasRequest, DescribeClientQuotasResponse) flexible 1,
        "[{str i8 str}] bool",
        "i32 i16 str [{[{str str}] [{str f64}]}]";
    AlterClientQuotas(AlterClientQuotasRequest, AlterClientQuotasResponse) flexible 1,
        "[{[{str str}] [{str f64 bool}]}] bool",
        "i32 [{i16 str [{str str}]}]";
    DescribeUserScramCredentials(DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse) flexible 0,
        "[{str}]",
        "i32 i16 str [{str i16 str [{i8 i32}]}]";
    AlterUserScramCredentials(AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse) flexible 0,
        "[{str i8}] [{str i8 i32 bytes bytes}]",
        "i32 [{str i16 str}]";
    Vote(VoteRequest, VoteResponse) flexible 0,
        "str 1+:i32 [{str [{i32 i32 i32 1+:uuid 1+:uuid i32 i64 2+:bool}]}]",
        "i16 [{str [{i32 i16 i32 i32 bool}]}] 1+:#0=[{i32 str u16}]";
    BeginQuorumEpoch(BeginQuorumEpochRequest, BeginQuorumEpochResponse) flexible 1,
        "str 1+:i32 [{str [{i32 1+:uuid i32 i32}]}] 1+:[{str str u16}]",
        "i16 [{str [{i32 i16 i32 i32}]}] #0=[{i32 str u16}]";
    EndQuorumEpoch(EndQuorumEpochRequest, EndQuorumEpochResponse) flexible 1,
        "str [{str [{i32 i32 i32 -0:[i32] 1+:[{i32 uuid}]}]}] 1+:[{str str u16}]",
        "i16 [{str [{i32 i16 i32 i32}]}] #0=[{i32 str u16}]";
    DescribeQuorum(DescribeQuorumRequest, DescribeQuorumResponse) flexible 0,
        "[{str [{i32}]}]",
        "i16 2+:str [{str [{i32 i16 2+:str i32 i32 i64 [{i32 2+:uuid i64 1+:i64 1+:i64}] [{i32 2+:uuid i64 1+:i64 1+:i64}]}]}] 2+:[{i32 [{str str u16}]}]";
    AlterPartition(AlterPartitionRequest, AlterPartitionResponse) flexible 2,
        "i32 i64 [{uuid [{i32 i32 -2:[i32] 3+:[{i32 i64}] i8 i32}]}]",
        "i32 i16 [{uuid [{i32 i16 i32 i32 [i32] i8 i32}]}]";
    UpdateFeatures(UpdateFeaturesRequest, UpdateFeaturesResponse) flexible 0,
        "i32 [{str i16 -0:bool 1+:i8}] 1+:bool",
        "i32 i16 str -1:[{str i16 str}]";
    Envelope(EnvelopeRequest, EnvelopeResponse) flexible 0,
        "bytes bytes bytes",
        "bytes i16";
    FetchSnapshot(FetchSnapshotRequest, FetchSnapshotResponse) flexible 0,
        "i32 i32 [{str [{i32 i32 {i64 i32} i64 1+:#0=uuid}]}] #0=str",
        "i32 i16 [{str [{i32 i16 {i64 i32} i64 i64 bytes #0={i32 i32}}]}] 1+:#0=[{i32 str u16}]";
    DescribeCluster(DescribeClusterRequest, DescribeClusterResponse) flexible 0,
        "bool 1+:i8 2+:bool",
        "i32 i16 str 1+:i8 str i32 [{i32 str i32 str 2+:bool}] i32";
    DescribeProducers(DescribeProducersRequest, DescribeProducersResponse) flexible 0,
        "[{str [i32]}]",
        "i32 [{str [{i32 i16 str [{i64 i32 i32 i64 i32 i64}]}]}]";
    BrokerRegistration(BrokerRegistrationRequest, BrokerRegistrationResponse) flexible 0,
        "i32 str uuid [{str str u16 i16}] [{str i16 i16}] str 1+:bool 2+:[uuid] 3+:i64",
        "i32 i16 i64";
    BrokerHeartbeat(BrokerHeartbeatRequest, BrokerHeartbeatResponse) flexible 0,
        "i32 i64 i64 bool bool 1+:#0=[uuid]",
        "i32 i16 bool bool bool";
    UnregisterBroker(UnregisterBrokerRequest, UnregisterBrokerResponse) flexible 0,
        "i32",
        "i32 i16 str";
    DescribeTransactions(DescribeTransactionsRequest, DescribeTransactionsResponse) flexible 0,
        "[str]",
        "i32 [{i16 str str i32 i64 i64 i16 [{str [i32]}]}]";
    ListTransactions(ListTransactionsRequest, ListTransactionsResponse) flexible 0,
        "[str] [i64] 1+:i64 2+:str",
        "i32 i16 [str] [{str i64 str}]";
    AllocateProducerIds(AllocateProducerIdsRequest, AllocateProducerIdsResponse) flexible 0,
        "i32 i64",
        "i32 i16 i64 i32";
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse) flexible 0,
        "str str i32 str str i32 [str] 1+:str str [{uuid [i32]}]",
        "i32 i16 str str i32 i32 ?{[{uuid [i32]}]}";
    ConsumerGroupDescribe(ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse) flexible 0,
        "[str] bool",
        "i32 [{i16 str str str i32 i32 str [{str str str i32 str str [str] str {[{uuid str [i32]}]} {[{uuid str [i32]}]} 1+:i8}] i32}]";
    ControllerRegistration(ControllerRegistrationRequest, ControllerRegistrationResponse) flexible 0,
        "i32 uuid bool [{str str u16 i16}] [{str i16 i16}]",
        "i32 i16 str";
    GetTelemetrySubscriptions(GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse) flexible 0,
        "uuid",
        "i32 i16 uuid i32 [i8] i32 i32 bool [str]";
    PushTelemetry(PushTelemetryRequest, PushTelemetryResponse) flexible 0,
        "uuid i32 bool i8 bytes",
        "i32 i16";
    AssignReplicasToDirs(AssignReplicasToDirsRequest, AssignReplicasToDirsResponse) flexible 0,
        "i32 i64 [{uuid [{uuid [{i32}]}]}]",
        "i32 i16 [{uuid [{uuid [{i32 i16}]}]}]";
    ListConfigResources(ListConfigResourcesRequest, ListConfigResourcesResponse) flexible 0,
        "1+:[i8]",
        "i32 i16 [{str 1+:i8}]";
    DescribeTopicPartitions(DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse) flexible 0,
        "[{str}] i32 ?{str i32}",
        "i32 [{i16 str uuid bool [{i16 i32 i32 i32 [i32] [i32] [i32] [i32] [i32]}] i32}] ?{str i32}";
    ShareGroupHeartbeat(ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse) flexible 1,
        "str str i32 str [str]",
        "i32 i16 str str i32 i32 ?{[{uuid [i32]}]}";
    ShareGroupDescribe(ShareGroupDescribeRequest, ShareGroupDescribeResponse) flexible 1,
        "[str] bool",
        "i32 [{i16 str str str i32 i32 str [{str str i32 str str [str] {[{uuid str [i32]}]}}] i32}]";
    ShareFetch(ShareFetchRequest, ShareFetchResponse) flexible 1,
        "str str i32 i32 i32 i32 i32 i32 [{uuid [{i32 [{i64 i64 [i8]}]}]}] [{uuid [i32]}]",
        "i32 i16 str i32 [{uuid [{i32 i16 str i16 str {i32 i32} bytes [{i64 i64 i16}]}]}] [{i32 str i32 str}]";
    ShareAcknowledge(ShareAcknowledgeRequest, ShareAcknowledgeResponse) flexible 1,
        "str str i32 [{uuid [{i32 [{i64 i64 [i8]}]}]}]",
        "i32 i16 str [{uuid [{i32 i16 str {i32 i32}}]}] [{i32 str i32 str}]";
    AddRaftVoter(AddRaftVoterRequest, AddRaftVoterResponse) flexible 0,
        "str i32 i32 uuid [{str str u16}]",
        "i32 i16 str";
    RemoveRaftVoter(RemoveRaftVoterRequest, RemoveRaftVoterResponse) flexible 0,
        "str i32 uuid",
        "i32 i16 str";
    UpdateRaftVoter(UpdateRaftVoterRequest, UpdateRaftVoterResponse) flexible 0,
        "str i32 i32 uuid [{str str u16}] {i16 i16}",
        "i32 i16 #0={i32 i32 str i32}";
    InitializeShareGroupState(InitializeShareGroupStateRequest, InitializeShareGroupStateResponse) flexible 0,
        "str [{uuid [{i32 i32 i64}]}]",
        "[{uuid [{i32 i16 str}]}]";
    ReadShareGroupState(ReadShareGroupStateRequest, ReadShareGroupStateResponse) flexible 0,
        "str [{uuid [{i32 i32}]}]",
        "[{uuid [{i32 i16 str i32 i64 [{i64 i64 i8 i16}]}]}]";
    WriteShareGroupState(WriteShareGroupStateRequest, WriteShareGroupStateResponse) flexible 0,
        "str [{uuid [{i32 i32 i32 i64 [{i64 i64 i8 i16}]}]}]",
        "[{uuid [{i32 i16 str}]}]";
    DeleteShareGroupState(DeleteShareGroupStateRequest, DeleteShareGroupStateResponse) flexible 0,
        "str [{uuid [{i32}]}]",
        "[{uuid [{i32 i16 str}]}]";
    ReadShareGroupStateSummary(ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse) flexible 0,
        "str [{uuid [{i32 i32}]}]",
        "[{uuid [{i32 i16 str i32 i32 i64}]}]";
    DescribeShareGroupOffsets(DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse) flexible 0,
        "[{str [{str [i32]}]}]",
        "i32 [{str [{str uuid [{i32 i64 i32 i16 str}]}] i16 str}]";
    AlterShareGroupOffsets(AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse) flexible 0,
        "str [{str [{i32 i64}]}]",
        "i32 i16 str [{str uuid [{i32 i16 str}]}]";
    DeleteShareGroupOffsets(DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse) flexible 0,
        "str [{str}]",
        "i32 i16 str [{str uuid i16 str}]";
}
