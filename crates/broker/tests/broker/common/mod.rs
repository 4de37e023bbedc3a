//! A tiny client for tests: one socket, one request at a time, frames made by kanat-protocol.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, Batches};
use kanat_protocol::compression::{Compression, Compressor, Decompressor};
use kanat_protocol::frame;
use kanat_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kanat_protocol::messages::fetch_response::PartitionData;
use kanat_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kanat_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kanat_protocol::messages::produce_response::PartitionProduceResponse;
use kanat_protocol::messages::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for a busy machine; no test waits it out.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Timestamp of the first record of a test batch, ms since 1970: young enough for any retention.
pub(crate) static NOW_MS: LazyLock<i64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock is set").as_millis();
    i64::try_from(now).expect("fits") - 60_000
});

pub(crate) async fn start() -> BrokerHandle {
    Broker::start(BrokerOptions::default()).await.expect("broker starts")
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct Client {
    pub(crate) socket: Box<dyn Stream>,
    correlation_id: i32,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Client {
        Client::over(TcpStream::connect(address).await.expect("broker listens"))
    }

    /// A connection in memory.
    pub(crate) fn dial(broker: &BrokerHandle, node: i32) -> Client {
        let address = broker.addr(node).expect("node exists");
        Client::over(broker.dial(&address).expect("node runs"))
    }

    fn over(socket: impl Stream + 'static) -> Client {
        Client { socket: Box::new(socket), correlation_id: 0 }
    }

    /// Writes a request and returns its correlation id.
    pub(crate) async fn send<R: Request + Sync>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation_id += 1;
        let frame = frame::encode_request(version, self.correlation_id, "test", request).expect("request encodes");
        self.socket.write_all(&frame).await.expect("request is written");
        self.correlation_id
    }

    /// Reads a frame without its length; `None` when the broker closed the connection.
    pub(crate) async fn receive_frame(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.socket.read_i32().await.ok()?;
            let mut frame = vec![0; usize::try_from(length).expect("length is positive")];
            self.socket.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        timeout(DEADLINE, read).await.expect("the broker answers or closes")
    }

    /// Sends and receives; `None` when the broker closed the connection.
    pub(crate) async fn try_call<R: Request + Sync>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        let correlation_id = self.send(version, request).await;
        let key = ApiKey::try_from(R::KEY).expect("known key");
        let frame = self.receive_frame().await?;
        let (answered, body) = frame::decode_response_header(frame, key, version).expect("header");
        assert_eq!(answered, correlation_id);
        Some(frame::decode_body(key, version, body).expect("response decodes"))
    }

    pub(crate) async fn call<R: Request + Sync>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request).await.expect("the connection stays open")
    }

    pub(crate) async fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> PartitionProduceResponse {
        let mut response = self.call(9, &produce_request(topic, partition, batch)).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Produces values and returns the base offset.
    pub(crate) async fn produce_values(&mut self, topic: &str, partition: i32, values: &[&str]) -> i64 {
        let produced = self.produce(topic, partition, batch_of(values)).await;
        assert_eq!(error(produced.error_code), None, "{:?}", produced.error_message);
        produced.base_offset
    }

    /// Fetches one partition without a session, not waiting for anything.
    pub(crate) async fn fetch(&mut self, topic: &str, partition: i32, offset: i64, isolation: i8) -> PartitionData {
        let mut response =
            self.call(12, &fetch_request(topic, partition, offset).with_isolation_level(isolation)).await;
        response.responses.remove(0).partitions.remove(0)
    }

    /// All records from `offset` on, as (offset, key, value).
    pub(crate) async fn read_all(
        &mut self,
        topic: &str,
        partition: i32,
        mut offset: i64,
    ) -> Vec<(i64, String, String)> {
        let mut records = Vec::new();
        loop {
            let data = self.fetch(topic, partition, offset, 0).await;
            assert_eq!(error(data.error_code), None);
            let bytes = data.records.unwrap_or_default();
            if bytes.is_empty() {
                return records;
            }
            let (read, next) = decode(bytes);
            records.extend(read.into_iter().filter(|(at, ..)| *at >= offset));
            offset = next;
        }
    }

    pub(crate) async fn list_offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> (i64, i64) {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let response = self.call(7, &ListOffsetsRequest::default().with_topics(vec![topic])).await;
        let found = &response.topics[0].partitions[0];
        assert_eq!(error(found.error_code), None);
        (found.offset, found.timestamp)
    }
}

pub(crate) fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(crate) fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default().with_client_software_name(text("t")).with_client_software_version(text("1"))
}

pub(crate) fn error(code: i16) -> Option<ErrorCode> {
    ErrorCode::from_code(code)
}

pub(crate) fn produce_request(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
}

pub(crate) fn fetch_partition(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_last_fetched_epoch(-1)
        .with_partition_max_bytes(1 << 20)
}

/// A fetch without a session that returns at once.
pub(crate) fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![fetch_partition(partition, offset)]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// A batch with one record per value, without keys.
pub(crate) fn batch_of(values: &[&str]) -> Bytes {
    let records: Vec<_> = values.iter().map(|value| (None, Some(*value))).collect();
    batch(BatchOptions::default(), Compression::NONE, &records)
}

/// A batch of (key, value) records, one millisecond apart.
pub(crate) fn batch(
    options: BatchOptions,
    compression: Compression,
    records: &[(Option<&str>, Option<&str>)],
) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (step, (key, value)) in (0..).zip(records) {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        builder.append(*NOW_MS + step, key, value, &[]).expect("record fits");
    }
    builder.seal(compression, &mut Compressor::new()).expect("batch seals")
}

/// Options of an idempotent or transactional producer.
pub(crate) fn producer(producer_id: i64, epoch: i16, sequence: i32, transactional: bool) -> BatchOptions {
    BatchOptions {
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
        transactional,
        ..BatchOptions::default()
    }
}

/// Records of data batches as (offset, key, value), and the offset behind the last batch.
pub(crate) fn decode(bytes: Bytes) -> (Vec<(i64, String, String)>, i64) {
    let mut records = Vec::new();
    let mut next = -1;
    let mut decompressor = Decompressor::new(1 << 26);
    for batch in Batches::new(bytes) {
        let batch = batch.expect("batch is valid");
        batch.verify_crc().expect("crc fits");
        next = batch.header().next_offset();
        if batch.header().attributes.is_control() {
            continue;
        }
        for record in &batch.records(&mut decompressor).expect("records decompress") {
            let record = record.expect("record is valid");
            let owned = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text");
            records.push((record.offset, owned(record.key), owned(record.value)));
        }
    }
    (records, next)
}

pub(crate) fn values(records: &[(i64, String, String)]) -> Vec<&str> {
    records.iter().map(|(_, _, value)| value.as_str()).collect()
}
