//! Fuzz target: a broker that answers anything, reached through a whole connection in memory.
//!
//! Bolero makes the bytes that steer it and prints the seed of a failure, which `BOLERO_RANDOM_SEED` replays; `cargo bolero
//! test -p kanat-client` runs it for as long as wanted. Whatever comes back, nothing panics, nothing allocates what a
//! length merely claims, and a connection that is out of step never serves another request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bolero::check;
use kanat_protocol::frame::encode_response;
use kanat_protocol::messages::api_versions_response::ApiVersion;
use kanat_protocol::messages::*;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::Connection;
use crate::error::{Error, Result};
use crate::options::ClientOptions;
use crate::transport::{BoxFuture, BoxedTransport, Connector};
use crate::versions::spoken;

const TIMEOUT: Duration = Duration::from_secs(5);
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Found in the answer to the request after the hostile one, and nowhere else.
const MARK: i32 = 0x5afe_0001;

/// Hands out one end of a pipe, once.
#[derive(Debug)]
struct Pipe(Mutex<Option<DuplexStream>>);

impl Connector for Pipe {
    fn connect(&self, _: String) -> BoxFuture<'_, std::io::Result<BoxedTransport>> {
        let stream = self.0.lock().take().map(|stream| -> BoxedTransport { Box::new(stream) });
        Box::pin(async move { stream.ok_or_else(|| std::io::Error::other("one connection is all there is")) })
    }
}

/// A connection to whatever serves the other end of a pipe of `pipe_bytes`: of 1, every read and write is of one byte.
async fn connect<F>(pipe_bytes: usize, serve: impl FnOnce(DuplexStream) -> F) -> Result<Connection>
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let (near, far) = tokio::io::duplex(pipe_bytes);
    tokio::spawn(serve(far));
    let options = ClientOptions::new(["hostile:9092"]).with_frame_bytes_max(FRAME_BYTES_MAX);
    let options = options.with_connector(Arc::new(Pipe(Mutex::new(Some(near)))));
    Connection::open(&Arc::from("hostile:9092"), &options).await
}

/// What the broker does with the request under test.
#[derive(Debug, Clone)]
enum Answer {
    /// A frame of the right length with the right id; the body is the fuzzer's.
    Body(Vec<u8>),
    /// The id of another request.
    WrongId(i32),
    /// A length that no frame can have, or that is over the bound.
    Length(i32),
    /// The first bytes of an answer, then the end.
    CutOff(Vec<u8>),
    /// An answer and then the same again.
    Twice(Vec<u8>),
}

impl Answer {
    /// Whether the stream is out of step afterwards.
    fn breaks(&self) -> bool {
        !matches!(self, Answer::Body(_))
    }
}

/// API, version and correlation id of the next request; `None` at the end.
async fn read_request(stream: &mut DuplexStream) -> Option<(i16, i16, i32)> {
    let length = usize::try_from(stream.read_i32().await.ok()?).ok()?;
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.ok()?;
    let word = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
    Some((word(0), word(2), i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]])))
}

async fn send(stream: &mut DuplexStream, id: i32, body: &[u8]) -> Option<()> {
    stream.write_i32(i32::try_from(4 + body.len()).ok()?).await.ok()?;
    stream.write_i32(id).await.ok()?;
    stream.write_all(body).await.ok()
}

/// The first request of a connection, answered with every version of everything.
async fn shake_hands(stream: &mut DuplexStream) -> Option<()> {
    let (_, version, id) = read_request(stream).await?;
    let all = (0..100).map(|key| ApiVersion::default().with_api_key(key).with_max_version(i16::MAX));
    let response = ApiVersionsResponse::default().with_api_keys(all.collect());
    stream.write_all(&encode_response(version, id, &response).ok()?).await.ok()
}

/// Answers the handshake, the request under test, and as many further ones as come.
async fn serve(mut stream: DuplexStream, answer: Answer) -> Option<()> {
    let stream = &mut stream;
    shake_hands(stream).await?;
    let (_, _, id) = read_request(stream).await?;
    match answer {
        Answer::Body(body) => send(stream, id, &body).await?,
        Answer::WrongId(id) => send(stream, id, &[0; 8]).await?,
        Answer::Length(length) => {
            stream.write_i32(length).await.ok()?;
            stream.write_all(&[0; 64]).await.ok()?;
        }
        Answer::CutOff(body) => {
            stream.write_i32(i32::try_from(5 + body.len()).ok()?).await.ok()?;
            stream.write_i32(id).await.ok()?;
            stream.write_all(&body).await.ok()?;
            return None;
        }
        Answer::Twice(body) => {
            send(stream, id, &body).await?;
            send(stream, id, &body).await?;
        }
    }
    while let Some((_, version, id)) = read_request(stream).await {
        let marked = HeartbeatResponse::default().with_throttle_time_ms(MARK);
        stream.write_all(&encode_response(version, id, &marked).ok()?).await.ok()?;
    }
    None
}

/// One request that is answered like that, and an innocent one after it.
async fn converse<Q>(version: i16, answer: Answer, pipe_bytes: usize)
where
    Q: Request + Default + Sync,
{
    let breaks = answer.breaks();
    let connection = connect(pipe_bytes, |stream| serve(stream, answer)).await.unwrap();
    let first = connection.request_version(Q::API_KEY, version, &Q::default(), TIMEOUT).await;
    let second: Result<HeartbeatResponse> =
        connection.request_version(ApiKey::Heartbeat, 1, &HeartbeatRequest::default(), TIMEOUT).await;
    match second {
        Ok(innocent) => {
            assert!(!breaks, "a connection out of step served another request");
            assert_eq!(innocent.throttle_time_ms, MARK, "the answer of another request");
        }
        Err(error) => {
            assert!(!connection.is_open(), "{error}");
            assert!(breaks || first.is_err(), "a good answer closed the connection: {error}");
        }
    }
}

/// Everything this client may send; the names of requests and responses follow from the API's.
macro_rules! for_api {
    ($key:expr, $call:ident $arguments:tt; $($api:ident $request:ident $response:ident,)*) => {
        match $key {
            $(ApiKey::$api => Some($call::<$request, $response> $arguments.await),)*
            _ => None,
        }
    };
}

macro_rules! with_api {
    ($key:expr, $call:ident $arguments:tt) => {
        for_api! { $key, $call $arguments;
            Produce ProduceRequest ProduceResponse,
            Fetch FetchRequest FetchResponse,
            ListOffsets ListOffsetsRequest ListOffsetsResponse,
            Metadata MetadataRequest MetadataResponse,
            OffsetCommit OffsetCommitRequest OffsetCommitResponse,
            OffsetFetch OffsetFetchRequest OffsetFetchResponse,
            FindCoordinator FindCoordinatorRequest FindCoordinatorResponse,
            JoinGroup JoinGroupRequest JoinGroupResponse,
            Heartbeat HeartbeatRequest HeartbeatResponse,
            LeaveGroup LeaveGroupRequest LeaveGroupResponse,
            SyncGroup SyncGroupRequest SyncGroupResponse,
            DescribeGroups DescribeGroupsRequest DescribeGroupsResponse,
            ListGroups ListGroupsRequest ListGroupsResponse,
            SaslHandshake SaslHandshakeRequest SaslHandshakeResponse,
            ApiVersions ApiVersionsRequest ApiVersionsResponse,
            CreateTopics CreateTopicsRequest CreateTopicsResponse,
            DeleteTopics DeleteTopicsRequest DeleteTopicsResponse,
            DeleteRecords DeleteRecordsRequest DeleteRecordsResponse,
            InitProducerId InitProducerIdRequest InitProducerIdResponse,
            OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
            AddPartitionsToTxn AddPartitionsToTxnRequest AddPartitionsToTxnResponse,
            AddOffsetsToTxn AddOffsetsToTxnRequest AddOffsetsToTxnResponse,
            EndTxn EndTxnRequest EndTxnResponse,
            WriteTxnMarkers WriteTxnMarkersRequest WriteTxnMarkersResponse,
            TxnOffsetCommit TxnOffsetCommitRequest TxnOffsetCommitResponse,
            DescribeAcls DescribeAclsRequest DescribeAclsResponse,
            CreateAcls CreateAclsRequest CreateAclsResponse,
            DeleteAcls DeleteAclsRequest DeleteAclsResponse,
            DescribeConfigs DescribeConfigsRequest DescribeConfigsResponse,
            AlterConfigs AlterConfigsRequest AlterConfigsResponse,
            AlterReplicaLogDirs AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse,
            DescribeLogDirs DescribeLogDirsRequest DescribeLogDirsResponse,
            SaslAuthenticate SaslAuthenticateRequest SaslAuthenticateResponse,
            CreatePartitions CreatePartitionsRequest CreatePartitionsResponse,
            DeleteGroups DeleteGroupsRequest DeleteGroupsResponse,
            ElectLeaders ElectLeadersRequest ElectLeadersResponse,
            IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
            AlterPartitionReassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
            ListPartitionReassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
            OffsetDelete OffsetDeleteRequest OffsetDeleteResponse,
            DescribeClientQuotas DescribeClientQuotasRequest DescribeClientQuotasResponse,
            AlterClientQuotas AlterClientQuotasRequest AlterClientQuotasResponse,
            DescribeUserScramCredentials DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
            AlterUserScramCredentials AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse,
            DescribeCluster DescribeClusterRequest DescribeClusterResponse,
            DescribeProducers DescribeProducersRequest DescribeProducersResponse,
            DescribeTransactions DescribeTransactionsRequest DescribeTransactionsResponse,
            ListTransactions ListTransactionsRequest ListTransactionsResponse,
            ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse,
            ConsumerGroupDescribe ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse,
            GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse,
            PushTelemetry PushTelemetryRequest PushTelemetryResponse,
            DescribeTopicPartitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
            ListConfigResources ListConfigResourcesRequest ListConfigResourcesResponse,
        }
    };
}

/// Every API this client sends requests of.
fn spoken_apis() -> Vec<ApiKey> {
    (0..200).filter_map(|key| ApiKey::try_from(key).ok()).filter(|key| spoken(*key).is_some()).collect()
}

/// A run as the fuzzer's bytes choose it: what, how it goes wrong, through how wide a pipe, and the bytes of the answer.
struct Choice<'a> {
    version: i16,
    kind: u8,
    number: i32,
    pipe_bytes: usize,
    plain: bool,
    bytes: &'a [u8],
}

impl<'a> Choice<'a> {
    /// The API and the rest of it.
    fn from_input(input: &'a [u8]) -> Option<(ApiKey, Choice<'a>)> {
        let (head, bytes) = input.split_at_checked(8)?;
        let apis = spoken_apis();
        let key = apis[usize::from(head[0]) % apis.len()];
        let range = spoken(key)?;
        let version = range.min + i16::from(head[1]) % (range.max - range.min + 1);
        let number = i32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let pipe_bytes = if head[3] % 8 == 0 { 1 } else { 4_096 };
        Some((key, Choice { version, kind: head[2] % 8, number, pipe_bytes, plain: head[3] & 0x40 != 0, bytes }))
    }

    /// The body: the fuzzer's bytes as they are, or a true answer with some of them strewn in.
    fn body<R: Body + Encodable + HeaderVersion + Default>(&self) -> Vec<u8> {
        if self.plain {
            return self.bytes.to_vec();
        }
        let frame = encode_response(self.version, 0, &R::default()).unwrap_or_default();
        let mut body = frame.get(8..).unwrap_or_default().to_vec();
        for pair in self.bytes.chunks_exact(2).take(8) {
            if let Some(at) = usize::from(pair[0]).checked_rem(body.len()) {
                body[at] = pair[1];
            }
        }
        body
    }

    fn answer<R: Body + Encodable + HeaderVersion + Default>(&self) -> Answer {
        match self.kind {
            // The request under test has id 1 at most; the handshake took 0 and perhaps 1.
            0 => Answer::WrongId(self.number | 0x100),
            1 if self.number < 4 => Answer::Length(self.number),
            1 => Answer::Length(self.number.saturating_add(1 << 20)),
            2 => Answer::CutOff(self.body::<R>()),
            3 => Answer::Twice(self.body::<R>()),
            _ => Answer::Body(self.body::<R>()),
        }
    }
}

async fn run<Q, R>(choice: &Choice<'_>)
where
    Q: Request + Default + Sync,
    R: Body + Encodable + HeaderVersion + Default,
{
    converse::<Q>(choice.version, choice.answer::<R>(), choice.pipe_bytes).await;
}

/// A clock that jumps: a wait for an answer that never comes costs nothing.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn fuzz_answers_through_a_connection() {
    let runtime = AssertUnwindSafe(runtime());
    check!().with_iterations(5_000).for_each(|input: &[u8]| {
        let Some((key, choice)) = Choice::from_input(input) else { return };
        runtime.block_on(async { with_api!(key, run(&choice)) });
    });
}

#[test]
fn fuzz_the_handshake() {
    let runtime = AssertUnwindSafe(runtime());
    check!().with_iterations(1_500).for_each(|input: &[u8]| {
        let bytes = input.to_vec();
        let serve = |mut stream: DuplexStream| async move {
            let (_, _, id) = read_request(&mut stream).await?;
            match bytes.split_first() {
                Some((kind, body)) if kind % 2 == 0 => send(&mut stream, id, body).await,
                _ => stream.write_all(&bytes).await.ok(),
            }
        };
        runtime.block_on(async {
            let pipe_bytes = if input.first().is_some_and(|first| first % 8 == 0) { 1 } else { 4_096 };
            if let Ok(connection) = connect(pipe_bytes, serve).await {
                // The broker is gone by now: whatever it claimed to speak, a request ends.
                let _ = connection.request(ApiKey::Metadata, &MetadataRequest::default(), TIMEOUT).await.unwrap_err();
            }
        });
    });
}

/// The messages of an API that is in the list.
async fn known<Q, R>() -> [&'static str; 2] {
    [std::any::type_name::<Q>(), std::any::type_name::<R>()]
}

#[tokio::test]
async fn every_api_this_client_speaks_is_among_the_targets() {
    for key in spoken_apis() {
        assert!(with_api!(key, known()).is_some(), "{key:?} is spoken and not fuzzed");
    }
}

/// Serves one connection by a script.
macro_rules! scripted {
    ($pipe_bytes:expr, |$stream:ident| $script:block) => {
        connect($pipe_bytes, |mut stream| async move {
            let $stream = &mut stream;
            $script
        })
        .await
    };
}

async fn ask(connection: &Connection) -> Result<HeartbeatResponse> {
    connection.request_version(ApiKey::Heartbeat, 1, &HeartbeatRequest::default(), TIMEOUT).await
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_knows_only_version_0_is_asked_again_in_version_0() {
    let connection = scripted!(4_096, |stream| {
        let (_, version, id) = read_request(stream).await?;
        assert_eq!(version, 3);
        send(stream, id, &[0, 35, 0, 0, 0, 0]).await?;
        let (_, version, id) = read_request(stream).await?;
        assert_eq!(version, 0);
        let api = ApiVersion::default().with_api_key(ApiKey::Metadata as i16).with_max_version(5);
        let response = ApiVersionsResponse::default().with_api_keys(vec![api]);
        stream.write_all(&encode_response(0, id, &response).ok()?).await.ok()
    });
    assert_eq!(connection.unwrap().version(ApiKey::Metadata).unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_knows_no_version_or_answers_garbage_is_not_connected_to() {
    let never = scripted!(4_096, |stream| {
        while let Some((_, _, id)) = read_request(stream).await {
            send(stream, id, &[0, 35, 0, 0, 0, 0]).await?;
        }
        None
    });
    assert!(matches!(never, Err(Error::Server { api: ApiKey::ApiVersions, .. })), "{never:?}");
    let trailing = scripted!(4_096, |stream| {
        let (_, version, id) = read_request(stream).await?;
        let frame = encode_response(version, id, &ApiVersionsResponse::default()).ok()?;
        send(stream, id, &[&frame[8..], &[0]].concat()).await
    });
    assert!(matches!(trailing, Err(Error::Malformed { .. })), "{trailing:?}");
    let other = scripted!(4_096, |stream| {
        read_request(stream).await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok()
    });
    let error = other.unwrap_err();
    assert!(matches!(&error, Error::ConnectionLost { .. }), "{error}");
    assert!(error.to_string().contains("frame_bytes_max"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_range_that_ends_before_it_begins_is_no_version() {
    let connection = scripted!(4_096, |stream| {
        let (_, version, id) = read_request(stream).await?;
        let api = ApiVersion::default().with_api_key(ApiKey::Metadata as i16).with_min_version(9).with_max_version(5);
        let response = ApiVersionsResponse::default().with_api_keys(vec![api]);
        stream.write_all(&encode_response(version, id, &response).ok()?).await.ok()?;
        read_request(stream).await.map(drop)
    });
    let refused = connection.unwrap().version(ApiKey::Metadata).unwrap_err();
    assert!(matches!(refused, Error::UnsupportedApi { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_closes_and_says_so_to_everybody() {
    let connection = scripted!(4_096, |stream| {
        shake_hands(stream).await?;
        read_request(stream).await.map(drop)
    });
    let connection = connection.unwrap();
    let (first, second) = tokio::join!(ask(&connection), ask(&connection));
    for lost in [first, second] {
        assert!(matches!(lost, Err(Error::ConnectionLost { .. } | Error::Connect { .. })), "{lost:?}");
    }
    let after = ask(&connection).await.unwrap_err();
    assert!(matches!(&after, Error::Connect { .. }) && !after.is_outcome_unknown(), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_half_sent_is_sent_whole_and_the_next_is_answered() {
    // One byte at a time: the first request is still on its way when its future is dropped.
    let connection = scripted!(1, |stream| {
        shake_hands(stream).await?;
        let mut third = [0; 3];
        stream.read_exact(&mut third).await.ok()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let fourth = stream.read_u8().await.ok()?;
        let length = usize::try_from(i32::from_be_bytes([third[0], third[1], third[2], fourth])).ok()?;
        let mut abandoned = vec![0; length];
        stream.read_exact(&mut abandoned).await.ok()?;
        let (_, version, id) = read_request(stream).await?;
        let marked = HeartbeatResponse::default().with_throttle_time_ms(MARK);
        stream.write_all(&encode_response(version, id, &marked).ok()?).await.ok()?;
        read_request(stream).await.map(drop)
    });
    let connection = connection.unwrap();
    let abandoned = tokio::time::timeout(Duration::from_millis(10), ask(&connection));
    assert!(abandoned.await.is_err());
    assert_eq!(ask(&connection).await.unwrap().throttle_time_ms, MARK);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_answered_in_time_ends_the_connection() {
    let connection = scripted!(4_096, |stream| {
        shake_hands(stream).await?;
        while read_request(stream).await.is_some() {}
        None
    });
    let connection = connection.unwrap();
    let late = ask(&connection).await.unwrap_err();
    assert!(matches!(late, Error::RequestTimeout { api: ApiKey::Heartbeat, timeout_ms: 5_000, .. }), "{late}");
    assert!(!connection.is_open());
}
