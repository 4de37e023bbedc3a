use bytes::Bytes;

use super::*;
use crate::messages::metadata_request::MetadataRequestTopic;
use crate::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse, TopicName};

fn without_length(frame: Bytes) -> Bytes {
    let length = u32::from_be_bytes(frame[..LENGTH_BYTES].try_into().unwrap());
    assert_eq!(usize::try_from(length).unwrap(), frame.len() - LENGTH_BYTES, "the length counts the rest of the frame");
    frame.slice(LENGTH_BYTES..)
}

fn metadata_request() -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("orders"))));
    MetadataRequest::default().with_topics(Some(vec![topic]))
}

#[test]
fn a_request_survives_the_wire_with_old_and_new_header() {
    for version in [1, 8, 9, 12] {
        let frame = encode_request(version, 77, "kanat", &metadata_request()).unwrap();
        let request = decode_request_header(without_length(frame)).unwrap();
        assert_eq!((request.api_key, request.api_version), (ApiKey::Metadata, version));
        assert_eq!(request.correlation_id, 77);
        assert_eq!(request.client_id.as_deref(), Some("kanat"));
        let decoded: MetadataRequest = decode_body(ApiKey::Metadata, version, request.body).unwrap();
        assert_eq!(decoded.topics, metadata_request().topics);
    }
}

#[test]
fn a_response_survives_the_wire_with_old_and_new_header() {
    let response = MetadataResponse::default().with_cluster_id(Some(StrBytes::from_static_str("c")));
    for version in [2, 8, 9, 12] {
        let frame = encode_response(version, 5, &response).unwrap();
        let (correlation_id, body) = decode_response_header(without_length(frame), ApiKey::Metadata, version).unwrap();
        assert_eq!(correlation_id, 5);
        assert_eq!(decode_body::<MetadataResponse>(ApiKey::Metadata, version, body).unwrap(), response);
    }
}

#[test]
fn api_versions_responses_always_have_the_oldest_header() {
    let frame = without_length(encode_response(3, 9, &ApiVersionsResponse::default()).unwrap());
    assert_eq!(&frame[..6], [0, 0, 0, 9, 0, 0], "the error code follows the correlation id at once");
    let (_, body) = decode_response_header(frame, ApiKey::ApiVersions, 3).unwrap();
    decode_body::<ApiVersionsResponse>(ApiKey::ApiVersions, 3, body).unwrap();
}

#[test]
fn the_header_of_a_version_from_the_future_can_be_read() {
    // 18 is ApiVersions, here in version 99, with a client id and an unknown tagged field.
    let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 1, 0, 1, b'x', 1, 50, 2, 0, 0, 1, 2, 3]);
    let request = decode_request_header(frame).unwrap();
    assert_eq!(request.api_version, 99);
    assert_eq!(&request.body[..], [1, 2, 3]);
    let error = decode_body::<ApiVersionsRequest>(request.api_key, 99, request.body).unwrap_err();
    assert_eq!(error.to_string(), "ApiVersions version 99 is not supported, supported are 0 to 4");
}

#[test]
fn an_unknown_api_is_named_by_its_number() {
    let error = decode_request_header(Bytes::from_static(&[3, 0, 0, 0, 0, 0, 0, 1, 255, 255])).unwrap_err();
    assert_eq!(error, Error::UnknownApiKey(768));
}

#[test]
fn a_client_may_have_no_id() {
    let request = decode_request_header(Bytes::from_static(&[0, 3, 0, 1, 0, 0, 0, 1, 255, 255])).unwrap();
    assert_eq!(request.client_id, None);
}

#[test]
fn headers_cut_anywhere_are_errors() {
    let frame = without_length(encode_request(9, 1, "kanat", &metadata_request()).unwrap());
    let header_len = frame.len() - decode_request_header(frame.clone()).unwrap().body.len();
    for len in 0..header_len {
        assert!(decode_request_header(frame.slice(..len)).is_err(), "cut at {len}");
    }
    let frame = without_length(encode_response(9, 1, &MetadataResponse::default()).unwrap());
    for len in 0..5 {
        assert!(decode_response_header(frame.slice(..len), ApiKey::Metadata, 9).is_err(), "cut at {len}");
    }
}

#[test]
fn bytes_behind_the_message_are_an_error() {
    let frame = without_length(encode_request(1, 1, "", &metadata_request()).unwrap());
    let mut body = decode_request_header(frame).unwrap().body.to_vec();
    body.push(0);
    let error = decode_body::<MetadataRequest>(ApiKey::Metadata, 1, body.into()).unwrap_err();
    assert_eq!(error.to_string(), "malformed end in MetadataRequest v1 at byte 12: bytes are left over");
}

#[test]
fn a_message_of_another_api_is_refused() {
    assert!(decode_body::<MetadataRequest>(ApiKey::Fetch, 4, Bytes::new()).is_err());
}

#[test]
fn a_version_the_message_does_not_have_is_refused_on_the_way_out() {
    let error = encode_request(99, 1, "", &metadata_request()).unwrap_err();
    assert_eq!(error.to_string(), "Metadata version 99 is not supported, supported are 0 to 13");
}
