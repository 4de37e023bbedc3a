//! Produce requests without copying what they carry.
//!
//! [`encode_produce`] writes the frame as pieces: batches of some size stay where they were sealed and become pieces of
//! their own, everything between them is written into one buffer. The bytes are those of
//! [`encode_request`](crate::frame::encode_request).

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::frame::LENGTH_BYTES;
use crate::messages::{ApiKey, ProduceRequest};
use crate::version::VersionRange;

/// Batches up to this size are copied between their neighbours: a piece of its own costs more than the copy.
const COPIED_BYTES_MAX: usize = 8 * 1024;
/// First version with compact lengths and tagged fields.
const FLEXIBLE_FROM: i16 = 9;
/// Versions whose topics go by name.
const VERSIONS: VersionRange = VersionRange::new(3, 12);

/// One Produce request.
#[derive(Debug, Clone)]
pub struct ProduceFrame<'a> {
    /// Id of the transactional producer, if it is one.
    pub transactional_id: Option<&'a str>,
    /// Copies that must have the batches: -1 for all in sync, 1 for the leader's, 0 for no answer at all.
    pub acks: i16,
    /// How long the broker may wait for the copies, in milliseconds.
    pub timeout_ms: i32,
    /// Topics, each with its partitions and one batch for each of them.
    pub topics: Vec<(&'a str, Vec<(i32, Bytes)>)>,
}

/// Encodes a Produce request: length, header and body in pieces that follow each other on the socket.
///
/// # Errors
/// [`Error::UnsupportedVersion`] outside versions 3 to 12; [`Error::Encode`] if a text is longer than 32767 bytes or the
/// frame longer than 2 GiB.
pub fn encode_produce(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    request: &ProduceFrame<'_>,
) -> Result<Vec<Bytes>> {
    if !VERSIONS.contains(version) {
        return Err(Error::UnsupportedVersion { api_key: ApiKey::Produce, version, supported: VERSIONS });
    }
    let failed =
        |reason: &str| Error::Encode { context: format!("ProduceRequest v{version}"), reason: reason.to_owned() };
    let texts = request.topics.iter().map(|(name, _)| *name).chain(request.transactional_id).chain([client_id]);
    if texts.into_iter().any(|text| i16::try_from(text.len()).is_err()) {
        return Err(failed("a text is longer than 32767 bytes"));
    }
    let mut measured = Measure::default();
    write(&mut measured, version, correlation_id, client_id, request);
    let length = i32::try_from(measured.bytes).map_err(|_| failed("the frame is longer than 2 GiB"))?;
    let mut pieces =
        Pieces { text: BytesMut::with_capacity(LENGTH_BYTES + measured.bytes - measured.kept), done: Vec::new() };
    pieces.put(&length.to_be_bytes());
    write(&mut pieces, version, correlation_id, client_id, request);
    Ok(pieces.finish())
}

/// Takes the frame in order; once to measure it, once to write it.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
    fn put_batch(&mut self, batch: &Bytes);
}

#[derive(Default)]
struct Measure {
    bytes: usize,
    /// Those that become pieces of their own.
    kept: usize,
}

impl Sink for Measure {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }

    fn put_batch(&mut self, batch: &Bytes) {
        self.bytes += batch.len();
        if batch.len() > COPIED_BYTES_MAX {
            self.kept += batch.len();
        }
    }
}

struct Pieces {
    text: BytesMut,
    done: Vec<Bytes>,
}

impl Pieces {
    fn finish(mut self) -> Vec<Bytes> {
        if !self.text.is_empty() {
            self.done.push(self.text.freeze());
        }
        self.done
    }
}

impl Sink for Pieces {
    fn put(&mut self, bytes: &[u8]) {
        self.text.put_slice(bytes);
    }

    fn put_batch(&mut self, batch: &Bytes) {
        if batch.len() > COPIED_BYTES_MAX {
            self.done.push(self.text.split().freeze());
            self.done.push(batch.clone());
        } else {
            self.text.put_slice(batch);
        }
    }
}

fn write(sink: &mut impl Sink, version: i16, correlation_id: i32, client_id: &str, request: &ProduceFrame<'_>) {
    let flexible = version >= FLEXIBLE_FROM;
    sink.put(&(ApiKey::Produce as i16).to_be_bytes());
    sink.put(&version.to_be_bytes());
    sink.put(&correlation_id.to_be_bytes());
    put_text(sink, false, Some(client_id));
    put_no_tags(sink, flexible);
    put_text(sink, flexible, request.transactional_id);
    sink.put(&request.acks.to_be_bytes());
    sink.put(&request.timeout_ms.to_be_bytes());
    put_count(sink, flexible, request.topics.len());
    for (name, partitions) in &request.topics {
        put_text(sink, flexible, Some(name));
        put_count(sink, flexible, partitions.len());
        for (partition, batch) in partitions {
            sink.put(&partition.to_be_bytes());
            put_count(sink, flexible, batch.len());
            sink.put_batch(batch);
            put_no_tags(sink, flexible);
        }
        put_no_tags(sink, flexible);
    }
    put_no_tags(sink, flexible);
}

fn put_no_tags(sink: &mut impl Sink, flexible: bool) {
    if flexible {
        sink.put(&[0]);
    }
}

/// The length of an array or of bytes. One that does not fit makes the frame too long, which is told before writing.
fn put_count(sink: &mut impl Sink, flexible: bool, count: usize) {
    if flexible {
        put_unsigned(sink, count.saturating_add(1));
    } else {
        sink.put(&i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes());
    }
}

fn put_text(sink: &mut impl Sink, compact: bool, text: Option<&str>) {
    match (text, compact) {
        (Some(text), true) => put_unsigned(sink, text.len() + 1),
        (Some(text), false) => sink.put(&i16::try_from(text.len()).unwrap_or(i16::MAX).to_be_bytes()),
        (None, true) => sink.put(&[0]),
        (None, false) => sink.put(&(-1i16).to_be_bytes()),
    }
    sink.put(text.unwrap_or_default().as_bytes());
}

fn put_unsigned(sink: &mut impl Sink, mut value: usize) {
    while value >= 0x80 {
        sink.put(&[(value & 0x7f).to_le_bytes()[0] | 0x80]);
        value >>= 7;
    }
    sink.put(&[value.to_le_bytes()[0]]);
}

// The message library checks the versions of the whole message; this keeps ours within them.
const _: () = {
    use crate::messages::Message;
    assert!(VERSIONS.min >= ProduceRequest::VERSIONS.min && VERSIONS.max <= ProduceRequest::VERSIONS.max);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::encode_request;
    use crate::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use crate::messages::{StrBytes, TopicName, TransactionalId};

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    #[test]
    fn the_bytes_are_those_of_the_message_library_in_every_version() {
        let batch = |size: usize, fill: u8| Bytes::from(vec![fill; size]);
        let sizes = [1, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1, 70_000, 0, 200_000];
        for transactional_id in [None, Some("tx")] {
            let topics: Vec<(&str, Vec<(i32, Bytes)>)> = vec![
                ("one", (0..6).zip(sizes).map(|(index, size)| (index, batch(size, 7))).collect()),
                ("two", vec![]),
            ];
            let ours = ProduceFrame { transactional_id, acks: -1, timeout_ms: 30_000, topics: topics.clone() };
            let topic = |(name, partitions): (&str, Vec<(i32, Bytes)>)| {
                let data = |(index, batch)| PartitionProduceData::default().with_index(index).with_records(Some(batch));
                TopicProduceData::default()
                    .with_name(TopicName(text(name)))
                    .with_partition_data(partitions.into_iter().map(data).collect())
            };
            let theirs = ProduceRequest::default()
                .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
                .with_acks(-1)
                .with_timeout_ms(30_000)
                .with_topic_data(topics.into_iter().map(topic).collect());
            for version in VERSIONS.min..=VERSIONS.max {
                let pieces = encode_produce(version, 42, "client", &ours).unwrap();
                assert!(pieces.len() > 3, "large batches are not copied");
                let whole = encode_request(version, 42, "client", &theirs).unwrap();
                assert_eq!(pieces.concat(), whole, "version {version}");
            }
        }
    }

    #[test]
    fn other_versions_and_endless_names_are_refused() {
        let request = ProduceFrame { transactional_id: None, acks: 1, timeout_ms: 1, topics: vec![] };
        assert!(matches!(encode_produce(13, 0, "c", &request), Err(Error::UnsupportedVersion { .. })));
        let name = "x".repeat(40_000);
        let request = ProduceFrame { topics: vec![(&name, vec![])], ..request };
        assert!(matches!(encode_produce(9, 0, "c", &request), Err(Error::Encode { .. })));
    }
}
