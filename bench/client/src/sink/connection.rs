//! One connection: Produce is read as a stream and Fetch answered with slices of canned batches, both laid out by hand;
//! everything else goes through the message structs.

use std::collections::HashMap;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::ErrorCode;
use kanat_protocol::frame::{self, RequestFrame};
use kanat_protocol::messages::api_versions_response::ApiVersion;
use kanat_protocol::messages::find_coordinator_response::Coordinator;
use kanat_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kanat_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kanat_protocol::messages::{
    ApiKey, ApiVersionsResponse, Body, BrokerId, Encodable, FindCoordinatorRequest, FindCoordinatorResponse,
    HeaderVersion, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    ProducerId, StrBytes, TopicName,
};

use crate::Broker;
use crate::canned::{BASE_OFFSET_BYTES, Canned, Topic};
use crate::counters::add;
use crate::input::Input;

const NODE: BrokerId = BrokerId(1);
const LATEST: i64 = -1;
/// Where the record count lies in a batch, and the bytes up to its end.
const BATCH_HEAD_BYTES: usize = 61;
/// Slices the kernel takes in one call.
const SLICES_MAX: usize = 1024;
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What is offered, with the oldest and newest version.
const OFFERED: [(ApiKey, i16, i16); 7] = [
    (ApiKey::Produce, 3, 8),
    (ApiKey::Fetch, 4, 11),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::InitProducerId, 0, 4),
];

static NEXT_PRODUCER_ID: AtomicI64 = AtomicI64::new(1);

fn invalid(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

/// Serves a connection until the client closes it.
pub(crate) fn serve(broker: &Broker, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    add(&broker.counters.connections, 1);
    let output = socket.try_clone()?;
    let mut connection = Connection { broker, input: Input::new(socket), output, topics: HashMap::new() };
    loop {
        connection.answer_one()?;
    }
}

struct Connection<'a> {
    broker: &'a Broker,
    input: Input,
    output: TcpStream,
    /// Topics this connection named, to spare the lock of all of them.
    topics: HashMap<String, Arc<Topic>>,
}

impl Connection<'_> {
    fn answer_one(&mut self) -> io::Result<()> {
        let length = self.input.count()?;
        let head = self.input.peek(8)?;
        let (api, version) = (i16::from_be_bytes([head[0], head[1]]), i16::from_be_bytes([head[2], head[3]]));
        let correlation_id = i32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        match ApiKey::try_from(api) {
            Ok(ApiKey::Produce) => self.produce(version, correlation_id),
            Ok(ApiKey::Fetch) => self.fetch(version, correlation_id),
            _ if length > FRAME_BYTES_MAX => Err(invalid("frame too long")),
            _ => {
                let bytes = Bytes::copy_from_slice(self.input.take(length)?);
                let answer = self.answer(frame::decode_request_header(bytes).map_err(invalid)?)?;
                self.output.write_all(&answer)
            }
        }
    }

    fn topic(&mut self, name: &str) -> io::Result<Arc<Topic>> {
        if !self.topics.contains_key(name) {
            let topic = self.broker.topics.get(name).ok_or_else(|| invalid("no such topic"))?;
            self.topics.insert(name.to_owned(), topic);
        }
        Ok(Arc::clone(&self.topics[name]))
    }

    fn skip_header(&mut self) -> io::Result<()> {
        self.input.skip(8)?;
        self.input.string().map(drop)
    }

    fn produce(&mut self, version: i16, correlation_id: i32) -> io::Result<()> {
        self.skip_header()?;
        self.input.string()?; // transactional id
        let acks = self.input.i16()?;
        self.input.i32()?; // timeout
        let mut answer = Answer::new(correlation_id);
        let topics = self.input.count()?;
        answer.count(topics);
        for _ in 0..topics {
            let name = self.input.string()?;
            let topic = self.topic(&name)?;
            answer.string(&name);
            let partitions = self.input.count()?;
            answer.count(partitions);
            for _ in 0..partitions {
                let partition = self.input.i32()?;
                let base_offset = self.take_batch(&topic, partition)?;
                answer.i32(partition);
                answer.i16(0);
                answer.i64(base_offset);
                answer.i64(-1); // no log append time
                if version >= 5 {
                    answer.i64(0); // log start
                }
                if version >= 8 {
                    answer.count(0); // record errors
                    answer.i16(-1); // error message
                }
            }
        }
        answer.i32(0); // throttle time
        add(&self.broker.counters.produce_requests, 1);
        if acks == 0 { Ok(()) } else { self.output.write_all(&answer.finish(0)?) }
    }

    /// Counts a batch and drops it; returns the offset it got.
    fn take_batch(&mut self, topic: &Topic, partition: i32) -> io::Result<i64> {
        let bytes = self.input.count()?;
        let head = self.input.peek(BATCH_HEAD_BYTES)?;
        let records = i32::from_be_bytes([head[57], head[58], head[59], head[60]]);
        self.input.skip(bytes)?;
        add(&self.broker.counters.batches, 1);
        add(&self.broker.counters.records, u64::from(records.unsigned_abs()));
        add(&self.broker.counters.batch_bytes, bytes as u64);
        topic.append(partition, records).ok_or_else(|| invalid("no such partition"))
    }

    fn fetch(&mut self, version: i16, correlation_id: i32) -> io::Result<()> {
        self.skip_header()?;
        self.input.i32()?; // replica
        let (wait_ms, _bytes_min, bytes_max) = (self.input.i32()?, self.input.i32()?, self.input.i32()?);
        self.input.take(1)?; // isolation
        let mut answer = Answer::new(correlation_id);
        answer.i32(0); // throttle time
        if version >= 7 {
            self.input.i64()?; // session id and epoch
            answer.i16(0);
            answer.i32(0); // no session
        }
        let topics = self.input.count()?;
        answer.count(topics);
        let mut budget = usize::try_from(bytes_max).unwrap_or(0);
        for _ in 0..topics {
            let name = self.input.string()?;
            let topic = self.topic(&name)?;
            answer.string(&name);
            let partitions = self.input.count()?;
            answer.count(partitions);
            for _ in 0..partitions {
                self.fetch_partition(version, &topic, &mut answer, &mut budget)?;
            }
        }
        if version >= 7 {
            for _ in 0..self.input.count()? {
                self.input.string()?;
                let forgotten = self.input.count()?;
                self.input.skip(4 * forgotten)?;
            }
        }
        if version >= 11 {
            self.input.string()?; // rack
        }
        if answer.canned_bytes == 0 {
            let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
            std::thread::park_timeout(wait);
        }
        add(&self.broker.counters.fetch_requests, 1);
        add(&self.broker.counters.fetch_bytes, answer.canned_bytes as u64);
        answer.write_to(&mut self.output)
    }

    fn fetch_partition(
        &mut self,
        version: i16,
        topic: &Arc<Topic>,
        answer: &mut Answer,
        budget: &mut usize,
    ) -> io::Result<()> {
        let partition = self.input.i32()?;
        if version >= 9 {
            self.input.i32()?; // leader epoch
        }
        let offset = self.input.i64()?;
        if version >= 5 {
            self.input.i64()?; // log start
        }
        let bytes_max = usize::try_from(self.input.i32()?).unwrap_or(0);
        let end = topic.end(partition);
        answer.i32(partition);
        answer.i16(0);
        answer.i64(end); // high watermark
        answer.i64(end); // last stable offset
        if version >= 5 {
            answer.i64(0); // log start
        }
        answer.i32(-1); // no aborted transactions
        if version >= 11 {
            answer.i32(-1); // no preferred replica
        }
        match topic.canned.as_ref().filter(|canned| (0..canned.end).contains(&offset) && *budget > 0) {
            Some(canned) => *budget -= answer.batches(topic, canned, offset, bytes_max.min(*budget)).min(*budget),
            None => answer.count(0),
        }
        Ok(())
    }

    fn answer(&self, request: RequestFrame) -> io::Result<Bytes> {
        match request.api_key {
            ApiKey::ApiVersions => api_versions(&request),
            ApiKey::Metadata => self.metadata(&request),
            ApiKey::ListOffsets => self.list_offsets(&request),
            ApiKey::FindCoordinator => self.find_coordinator(&request),
            ApiKey::InitProducerId => {
                let id = NEXT_PRODUCER_ID.fetch_add(1, Ordering::Relaxed);
                encode(
                    &request,
                    &InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0),
                )
            }
            api => Err(invalid(format!("{api:?} is not served"))),
        }
    }

    fn metadata(&self, request: &RequestFrame) -> io::Result<Bytes> {
        let asked: MetadataRequest = decode(request)?;
        let every = || self.broker.topics.names();
        let names = match asked.topics.filter(|topics| request.api_version > 0 || !topics.is_empty()) {
            Some(topics) => topics.into_iter().filter_map(|topic| topic.name).map(|name| name.to_string()).collect(),
            None => every(),
        };
        let topics = names.into_iter().map(|name| self.describe(name)).collect();
        let node = MetadataResponseBroker::default()
            .with_node_id(NODE)
            .with_host(StrBytes::from_static_str("127.0.0.1"))
            .with_port(i32::from(self.broker.port));
        let cluster = Some(StrBytes::from_static_str("sink"));
        let response = MetadataResponse::default().with_brokers(vec![node]).with_controller_id(NODE);
        encode(request, &response.with_cluster_id(cluster).with_topics(topics))
    }

    fn describe(&self, name: String) -> MetadataResponseTopic {
        let topic = self.broker.topics.get(&name);
        let described = MetadataResponseTopic::default().with_name(Some(TopicName(StrBytes::from_string(name))));
        let Some(topic) = topic else {
            return described.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
        };
        let partition = |index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(NODE)
                .with_leader_epoch(0)
                .with_replica_nodes(vec![NODE])
                .with_isr_nodes(vec![NODE])
        };
        described.with_partitions((0..topic.partitions()).map(partition).collect())
    }

    fn list_offsets(&self, request: &RequestFrame) -> io::Result<Bytes> {
        let asked: ListOffsetsRequest = decode(request)?;
        let topics = asked.topics.into_iter().map(|asked| {
            let topic = self.broker.topics.get(&asked.name);
            let partitions = asked.partitions.into_iter().map(|partition| {
                let end = || topic.as_ref().map_or(0, |topic| topic.end(partition.partition_index));
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    // Versions before 4 cannot carry one.
                    .with_leader_epoch(if request.api_version >= 4 { 0 } else { -1 })
                    .with_offset(if partition.timestamp == LATEST { end() } else { 0 })
            });
            ListOffsetsTopicResponse::default().with_partitions(partitions.collect()).with_name(asked.name)
        });
        encode(request, &ListOffsetsResponse::default().with_topics(topics.collect()))
    }

    fn find_coordinator(&self, request: &RequestFrame) -> io::Result<Bytes> {
        let asked: FindCoordinatorRequest = decode(request)?;
        let (host, port) = (StrBytes::from_static_str("127.0.0.1"), i32::from(self.broker.port));
        let response = if request.api_version >= 4 {
            let coordinators = asked.coordinator_keys.into_iter().map(|key| {
                Coordinator::default().with_key(key).with_node_id(NODE).with_host(host.clone()).with_port(port)
            });
            FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
        } else {
            FindCoordinatorResponse::default().with_node_id(NODE).with_host(host).with_port(port)
        };
        encode(request, &response)
    }
}

fn api_versions(request: &RequestFrame) -> io::Result<Bytes> {
    let offered = OFFERED.map(|(api, min, max)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max)
    });
    let response = ApiVersionsResponse::default().with_api_keys(offered.to_vec());
    let newest = OFFERED.iter().find(|(api, ..)| *api == ApiKey::ApiVersions).map_or(0, |(_, _, max)| *max);
    if request.api_version > newest {
        let refusal = response.with_error_code(ErrorCode::UnsupportedVersion.code());
        return frame::encode_response(0, request.correlation_id, &refusal).map_err(invalid);
    }
    encode(request, &response)
}

fn decode<M: Body>(request: &RequestFrame) -> io::Result<M> {
    frame::decode_body(request.api_key, request.api_version, request.body.clone()).map_err(invalid)
}

fn encode<M: Body + Encodable + HeaderVersion>(request: &RequestFrame, response: &M) -> io::Result<Bytes> {
    frame::encode_response(request.api_version, request.correlation_id, response).map_err(invalid)
}

/// An answer laid out by hand, with places where canned batches go in.
struct Answer {
    bytes: Vec<u8>,
    /// Where a batch follows, and the topic it is of.
    places: Vec<(usize, Arc<Topic>)>,
    canned_bytes: usize,
}

impl Answer {
    fn new(correlation_id: i32) -> Answer {
        let mut answer = Answer { bytes: vec![0; frame::LENGTH_BYTES], places: Vec::new(), canned_bytes: 0 };
        answer.i32(correlation_id);
        answer
    }

    fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn count(&mut self, count: usize) {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX));
    }

    fn string(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).unwrap_or(0));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// As many whole batches as fit, at least one; returns their bytes.
    fn batches(&mut self, topic: &Arc<Topic>, canned: &Canned, offset: i64, bytes_max: usize) -> usize {
        let batch_bytes = canned.batch.len() + BASE_OFFSET_BYTES;
        let (first, all) = (offset / canned.batch_records, canned.end / canned.batch_records);
        let fit = i64::try_from(bytes_max / batch_bytes).unwrap_or(i64::MAX);
        let served = fit.clamp(1, all - first);
        let total = usize::try_from(served).unwrap_or(0) * batch_bytes;
        self.count(total);
        for batch in first..first + served {
            self.i64(batch * canned.batch_records);
            self.places.push((self.bytes.len(), Arc::clone(topic)));
            self.canned_bytes += canned.batch.len();
        }
        total
    }

    /// The bytes with their length in front, `more` of them being elsewhere.
    fn finish(mut self, more: usize) -> io::Result<Vec<u8>> {
        self.set_length(more)?;
        Ok(self.bytes)
    }

    fn set_length(&mut self, more: usize) -> io::Result<()> {
        let length = i32::try_from(self.bytes.len() - frame::LENGTH_BYTES + more).map_err(invalid)?;
        self.bytes[..frame::LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn write_to(mut self, output: &mut TcpStream) -> io::Result<()> {
        self.set_length(self.canned_bytes)?;
        let (mut slices, mut written) = (Vec::with_capacity(2 * self.places.len() + 1), 0);
        for (place, topic) in &self.places {
            slices.push(IoSlice::new(&self.bytes[written..*place]));
            slices.extend(topic.canned.as_ref().map(|canned| IoSlice::new(&canned.batch)));
            written = *place;
        }
        slices.push(IoSlice::new(&self.bytes[written..]));
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let count = rest.len().min(SLICES_MAX);
            let sent = output.write_vectored(&rest[..count])?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, sent);
        }
        Ok(())
    }
}
