//! What the codec allocates: nothing per record, and nothing beyond the frame for hostile frames.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(unsafe_code, reason = "counting allocations needs a global allocator of our own; it only adds up")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{BufMut, Bytes, BytesMut};
use kanat_protocol::batch::{BatchBuilder, BatchOptions, Batches, RecordBatch};
use kanat_protocol::compression::{Codec, Compression, Compressor, Decompressor};
use kanat_protocol::frame;
use kanat_protocol::messages::{ApiKey, Body, FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    // Gone only while the thread ends.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + u64::from(bytes > 0)));
    let live = LIVE_BYTES.try_with(|live| {
        live.set(live.get() + bytes);
        live.get()
    });
    let _ = PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.unwrap_or(0))));
}

// SAFETY: every call goes to the system allocator unchanged; counting touches plain thread-local numbers only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as demanded of our caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as demanded of our caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: as demanded of our caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Most bytes that were allocated at once while `work` ran.
fn peak_bytes(work: impl FnOnce()) -> usize {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    work();
    usize::try_from(PEAK_BYTES.get() - before).unwrap()
}

const RECORDS: usize = 1_000;

fn fill(builder: &mut BatchBuilder) {
    let headers: [(&[u8], Option<&[u8]>); 2] = [(b"trace", Some(b"0123456789")), (b"null", None)];
    for index in 0..RECORDS {
        let timestamp = 1_700_000_000_000 + i64::try_from(index).unwrap();
        builder.append(timestamp, Some(b"key-0001"), Some(&[b'v'; 100]), &headers).unwrap();
    }
}

fn batch(codec: Codec) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    fill(&mut builder);
    RecordBatch::parse(builder.seal(codec.into(), &mut Compressor::new()).unwrap()).unwrap()
}

#[test]
fn appending_allocates_nothing_when_the_batch_has_room() {
    let mut builder = BatchBuilder::with_capacity(BatchOptions::default(), 200 * RECORDS);
    assert_eq!(allocations(|| fill(&mut builder)), 0);
}

#[test]
fn sealing_allocates_a_few_buffers_whatever_the_number_of_records() {
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for codec in Codec::ALL {
        let mut sealed = None;
        for _warm_up in 0..2 {
            fill(&mut builder);
            let work = || drop(builder.seal(Compression::from(codec), &mut compressor).unwrap());
            sealed = Some(allocations(work));
        }
        assert!(sealed.unwrap() <= 8, "{codec}: {sealed:?}");
    }
}

#[test]
fn reading_records_and_headers_allocates_nothing() {
    for codec in Codec::ALL {
        let records = batch(codec).records(&mut Decompressor::new(1 << 20)).unwrap();
        let mut seen = 0;
        let count = allocations(|| {
            for record in &records {
                let record = record.unwrap();
                seen +=
                    record.value.unwrap().len() + record.headers().map(|header| header.unwrap().0.len()).sum::<usize>();
            }
        });
        assert_eq!((count, seen), (0, RECORDS * (100 + 5 + 4)), "{codec}");
    }
}

#[test]
fn decompressing_again_reuses_buffers_and_contexts() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = batch(codec);
        let mut decompressor = Decompressor::new(1 << 20);
        drop(batch.records(&mut decompressor).unwrap());
        // What is left is the handle that shares the buffer.
        let count = allocations(|| drop(batch.records(&mut decompressor).unwrap()));
        assert!(count <= 2, "{codec}: {count}");
    }
}

#[test]
fn splitting_batches_allocates_nothing_per_batch() {
    let bytes = Bytes::from(batch(Codec::None).bytes().repeat(50));
    let mut batches = Batches::new(bytes.clone());
    batches.next().unwrap().unwrap();
    assert_eq!(allocations(|| assert_eq!(batches.count(), 49)), 0);
}

fn try_decode<M: Body>(version: i16, body: &[u8]) -> usize {
    let body = Bytes::copy_from_slice(body);
    // The layout itself is built once per message.
    let _ = M::check_layout(version, &body);
    peak_bytes(|| drop(frame::decode_body::<M>(M::API_KEY, version, body)))
}

#[test]
fn a_frame_of_a_few_bytes_cannot_ask_for_gigabytes() {
    let array = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let compact = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
    for version in 0..=13 {
        assert!(try_decode::<MetadataRequest>(version, &array) < 1_000, "v{version}");
        assert!(try_decode::<MetadataRequest>(version, &compact) < 1_000, "v{version}");
    }
    for version in 4..=18 {
        let mut body = vec![0; if version >= 7 { 10 } else { 4 }];
        body.extend(if version >= 12 { compact } else { array });
        assert!(try_decode::<FetchResponse>(version, &body) < 1_000, "v{version}");
    }
}

/// Bodies made of as many of the smallest elements as fit, the worst case for memory per byte.
#[test]
fn the_densest_valid_frames_stay_within_a_constant_times_their_length() {
    const ELEMENTS: u32 = 50_000;
    let dense = |head: &[u8], element: &[u8], tail: &[u8]| {
        let mut body = BytesMut::new();
        body.put_slice(head);
        let mut count = ELEMENTS + 1;
        while count >= 0x80 {
            body.put_u8((count & 0x7f) as u8 | 0x80);
            count >>= 7;
        }
        body.put_u8(count as u8);
        (0..ELEMENTS).for_each(|_| body.put_slice(element));
        body.put_slice(tail);
        body
    };
    let check = |name: &str, len: usize, peak: usize| assert!(peak < 100 * len, "{name}: {peak} bytes for {len}");

    // Produce v9: no transactional id, acks, timeout, topics of an empty name, no partitions and no tags.
    let produce = dense(&[0, 0, 0, 0, 0, 0, 0], &[1, 1, 0], &[0]);
    assert!(frame::decode_body::<ProduceRequest>(ApiKey::Produce, 9, produce.clone().freeze()).is_ok());
    check("produce", produce.len(), try_decode::<ProduceRequest>(9, &produce));

    // Metadata v9: throttle time, brokers of id, empty host, port, no rack, no tags.
    let metadata = dense(&[0; 4], &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    assert!(frame::decode_body::<MetadataResponse>(ApiKey::Metadata, 9, metadata.clone().freeze()).is_ok());
    check("metadata", metadata.len(), try_decode::<MetadataResponse>(9, &metadata));

    // Metadata v9 request: unknown tags, each of which the message library keeps in a map.
    let mut tags = dense(&[1, 0, 0, 0], &[], &[]);
    let head = tags.len() - 3;
    tags.truncate(head);
    tags.put_slice(&[0xb8, 0x17]);
    for tag in 0..3_000u32 {
        tags.put_slice(&[(tag & 0x7f) as u8 | 0x80, (tag >> 7) as u8, 0]);
    }
    assert!(frame::decode_body::<MetadataRequest>(ApiKey::Metadata, 9, tags.clone().freeze()).is_ok());
    check("tags", tags.len(), try_decode::<MetadataRequest>(9, &tags));
}
