//! Fuzz target: any bytes as the body of any request or response in any version.
//!
//! `cargo test` runs it for a bounded number of inputs and prints the seed of a failure; `cargo bolero test
//! -p kanat-protocol fuzz_messages` runs it for as long as wanted.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bolero::check;
use bytes::Bytes;
use kanat_protocol::frame::{decode_body, decode_request_header, decode_response_header};
use kanat_protocol::messages::*;

/// Decodes `body` as request or response of one API; what decodes must encode again.
macro_rules! decode_any {
    ($key:expr, $response:expr, $version:expr, $body:expr; $($api:ident $request_type:ident $response_type:ident,)*) => {
        match ($key, $response) {
            $(
                (ApiKey::$api, false) => decode::<$request_type>($version, $body),
                (ApiKey::$api, true) => decode::<$response_type>($version, $body),
            )*
            _ => {}
        }
    };
}

fn decode<M: Body + Encodable>(version: i16, body: Bytes) {
    if let Ok(message) = decode_body::<M>(M::API_KEY, version, body) {
        let size = message.compute_size(version).unwrap();
        let mut encoded = bytes::BytesMut::new();
        message.encode(&mut encoded, version).unwrap();
        assert_eq!(encoded.len(), size);
        assert!(M::check_layout(version, &encoded).is_ok());
    }
}

fn decode_selected(api_key: ApiKey, response: bool, version: i16, body: Bytes) {
    decode_any! { api_key, response, version, body;
        ApiVersions ApiVersionsRequest ApiVersionsResponse,
        Metadata MetadataRequest MetadataResponse,
        Produce ProduceRequest ProduceResponse,
        Fetch FetchRequest FetchResponse,
        ListOffsets ListOffsetsRequest ListOffsetsResponse,
        CreateTopics CreateTopicsRequest CreateTopicsResponse,
        DeleteTopics DeleteTopicsRequest DeleteTopicsResponse,
        CreatePartitions CreatePartitionsRequest CreatePartitionsResponse,
        DeleteRecords DeleteRecordsRequest DeleteRecordsResponse,
        DescribeConfigs DescribeConfigsRequest DescribeConfigsResponse,
        IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
        AlterConfigs AlterConfigsRequest AlterConfigsResponse,
        DescribeCluster DescribeClusterRequest DescribeClusterResponse,
        DescribeTopicPartitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
        InitProducerId InitProducerIdRequest InitProducerIdResponse,
        FindCoordinator FindCoordinatorRequest FindCoordinatorResponse,
        JoinGroup JoinGroupRequest JoinGroupResponse,
        SyncGroup SyncGroupRequest SyncGroupResponse,
        Heartbeat HeartbeatRequest HeartbeatResponse,
        LeaveGroup LeaveGroupRequest LeaveGroupResponse,
        OffsetCommit OffsetCommitRequest OffsetCommitResponse,
        OffsetFetch OffsetFetchRequest OffsetFetchResponse,
        OffsetDelete OffsetDeleteRequest OffsetDeleteResponse,
        ListGroups ListGroupsRequest ListGroupsResponse,
        DescribeGroups DescribeGroupsRequest DescribeGroupsResponse,
        DeleteGroups DeleteGroupsRequest DeleteGroupsResponse,
        OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
    }
}

#[test]
fn fuzz_message_bodies() {
    check!().with_iterations(50_000).for_each(|input| {
        let [key, version, body @ ..] = input else { return };
        let Ok(api_key) = ApiKey::try_from(i16::from(*key) % 90) else { return };
        let response = version & 0x80 != 0;
        decode_selected(api_key, response, i16::from(version & 0x1f), Bytes::copy_from_slice(body));
    });
}

#[test]
fn fuzz_frame_headers() {
    check!().with_iterations(20_000).for_each(|input| {
        let frame = Bytes::copy_from_slice(input);
        if let Ok(request) = decode_request_header(frame.clone()) {
            let _ = decode_response_header(frame, request.api_key, request.api_version);
            decode_selected(request.api_key, false, request.api_version, request.body);
        }
    });
}
