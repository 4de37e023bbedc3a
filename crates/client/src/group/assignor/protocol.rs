//! The bytes of a consumer's subscription and assignment, versions 0 to 3 (`ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment` of the Java client), and the user data of the sticky assignors.
//!
//! Integers are big-endian, strings have a 16-bit length, arrays and byte fields a 32-bit one, -1 is null. A later
//! version appends fields, so a reader takes what it knows of any version.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Subscriber;
use crate::types::TopicPartition;

/// Version written: the subscription names owned partitions, their generation and the rack.
const VERSION: i16 = 3;

/// Reads fields; `None` when the bytes end too early or a length is impossible.
#[derive(Debug)]
struct Reader(Bytes);

impl Reader {
    fn i16(&mut self) -> Option<i16> {
        self.0.try_get_i16().ok()
    }

    fn i32(&mut self) -> Option<i32> {
        self.0.try_get_i32().ok()
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = self.i16()?;
        if length < 0 {
            return Some(None);
        }
        let text = self.take(usize::try_from(length).ok()?)?;
        Some(Some(String::from_utf8(text.to_vec()).ok()?))
    }

    fn nullable_bytes(&mut self) -> Option<Bytes> {
        let length = self.i32()?;
        if length < 0 {
            return Some(Bytes::new());
        }
        self.take(usize::try_from(length).ok()?)
    }

    /// The length of an array whose elements take at least `element_bytes` each.
    fn count(&mut self, element_bytes: usize) -> Option<usize> {
        let count = usize::try_from(self.i32()?.max(0)).ok()?;
        (count.checked_mul(element_bytes)? <= self.0.len()).then_some(count)
    }

    fn partitions(&mut self) -> Option<Vec<TopicPartition>> {
        let mut partitions = Vec::new();
        for _ in 0..self.count(6)? {
            let topic: Arc<str> = self.string()?.into();
            for _ in 0..self.count(4)? {
                partitions.push(TopicPartition { topic: Arc::clone(&topic), partition: self.i32()? });
            }
        }
        Some(partitions)
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    // Topic names have at most 249 bytes and racks are short; a longer text is cut by nobody, it has no encoding.
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.put_i16(length);
    out.put_slice(&text.as_bytes()[..usize::try_from(length).unwrap_or_default()]);
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
}

fn put_nullable_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => out.put_i32(-1),
        Some(bytes) => {
            put_count(out, bytes.len());
            out.put_slice(bytes);
        }
    }
}

/// Partitions by topic, both sorted: equal sets give equal bytes, by which a coordinator tells whether a member changed.
fn put_partitions(out: &mut BytesMut, partitions: &[TopicPartition]) {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    put_count(out, topics.len());
    for (topic, mut numbers) in topics {
        numbers.sort_unstable();
        put_string(out, topic);
        put_count(out, numbers.len());
        numbers.into_iter().for_each(|number| out.put_i32(number));
    }
}

/// What a member sends when it joins. `topics` must be sorted.
pub(crate) fn encode_subscription(
    topics: &[Arc<str>],
    user_data: Option<&[u8]>,
    owned: &[TopicPartition],
    generation: i32,
    rack: Option<&str>,
) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    put_count(&mut out, topics.len());
    topics.iter().for_each(|topic| put_string(&mut out, topic));
    put_nullable_bytes(&mut out, user_data);
    put_partitions(&mut out, owned);
    out.put_i32(generation);
    match rack {
        None => out.put_i16(-1),
        Some(rack) => put_string(&mut out, rack),
    }
    out.freeze()
}

/// What a member sent when it joined, without its ids. `None` when the bytes are no subscription.
pub(crate) fn decode_subscription(bytes: Bytes) -> Option<Subscriber> {
    let mut reader = Reader(bytes);
    let version = reader.i16()?;
    let mut topics = Vec::new();
    for _ in 0..reader.count(2)? {
        topics.push(reader.string()?.into());
    }
    let mut subscriber = Subscriber { topics, generation: -1, ..Subscriber::default() };
    subscriber.user_data = reader.nullable_bytes()?;
    if version >= 1 {
        subscriber.owned = reader.partitions()?;
    }
    if version >= 2 {
        subscriber.generation = reader.i32()?;
    }
    if version >= 3 {
        subscriber.rack = reader.nullable_string()?;
    }
    Some(subscriber)
}

/// What the leader sends a member.
pub(crate) fn encode_assignment(partitions: &[TopicPartition]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    put_partitions(&mut out, partitions);
    put_nullable_bytes(&mut out, None);
    out.freeze()
}

/// The partitions a leader sent. No bytes at all mean none; `None` when the bytes are no assignment.
pub(crate) fn decode_assignment(bytes: Bytes) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader(bytes);
    let _version = reader.i16()?;
    reader.partitions()
}

/// User data of the sticky assignor: what the member had, and since which generation.
pub(crate) fn encode_sticky(owned: &[TopicPartition], generation: i32) -> Bytes {
    let mut out = BytesMut::new();
    put_partitions(&mut out, owned);
    out.put_i32(generation);
    out.freeze()
}

/// The other way; members older than Kafka 2.3 send no generation.
pub(crate) fn decode_sticky(bytes: Bytes) -> Option<(Vec<TopicPartition>, i32)> {
    let mut reader = Reader(bytes);
    let owned = reader.partitions()?;
    Some((owned, reader.i32().unwrap_or(-1)))
}

/// User data of the cooperative sticky assignor: the generation, for leaders that read subscriptions up to version 1.
pub(crate) fn encode_generation(generation: i32) -> Bytes {
    Bytes::copy_from_slice(&generation.to_be_bytes())
}

/// The other way.
pub(crate) fn decode_generation(bytes: &[u8]) -> Option<i32> {
    bytes.try_into().ok().map(i32::from_be_bytes)
}
