//! Proves the table against the message library, and that no hostile length gets past the walk.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;

use super::{Body, Kind, Layout, Struct, table};
use crate::frame::decode_body;
use crate::messages::Encodable;

/// Rounds of random content per message and version.
const ROUNDS: u64 = 4;

pub(super) trait Visitor {
    fn visit<M: Body + Encodable + PartialEq + Debug>(&mut self, layout: Layout);
}

/// Random valid bodies, generated from a layout alone.
struct Sample {
    rng: Rng,
    version: i16,
    flexible: bool,
    bytes: Vec<u8>,
    /// Where lengths and counts are: position and width.
    lengths: Vec<(usize, usize)>,
    has_known_tags: bool,
}

impl Sample {
    fn new(layout: &Layout, version: i16, seed: u64) -> Sample {
        let mut sample = Sample {
            rng: Rng::with_seed(seed),
            version,
            flexible: version >= layout.flexible_from,
            bytes: Vec::new(),
            lengths: Vec::new(),
            has_known_tags: false,
        };
        sample.structure(&layout.root);
        sample
    }

    fn structure(&mut self, layout: &Struct) {
        let version = self.version;
        for field in layout.fields.iter().filter(|field| field.versions.contains(version)) {
            self.value(&field.kind);
        }
        if !self.flexible {
            return;
        }
        let known: Vec<_> = layout.tagged.iter().filter(|(_, field)| field.versions.contains(version)).collect();
        let unknown = self.rng.bool();
        self.has_known_tags |= !known.is_empty();
        self.compact(known.len() + usize::from(unknown));
        for (tag, field) in known {
            self.bytes.push(u8::try_from(*tag).unwrap());
            let outer = std::mem::take(&mut self.bytes);
            let lengths = std::mem::take(&mut self.lengths);
            self.value(&field.kind);
            let content = std::mem::replace(&mut self.bytes, outer);
            let inner = std::mem::replace(&mut self.lengths, lengths);
            self.compact(content.len());
            let start = self.bytes.len();
            self.lengths.extend(inner.into_iter().map(|(position, width)| (start + position, width)));
            self.bytes.extend(content);
        }
        if unknown {
            self.bytes.push(99);
            self.compact(2);
            self.bytes.extend([7, 7]);
        }
    }

    fn value(&mut self, kind: &Kind) {
        match kind {
            // One byte may be a boolean, eight may be a float that must not be NaN.
            Kind::Fixed(1) => self.bytes.push(self.rng.u8(0..2)),
            Kind::Fixed(size) => {
                self.bytes.push(self.rng.u8(1..0x70));
                let tail = (1..*size).map(|_| self.rng.u8(..));
                self.bytes.extend(tail);
            }
            Kind::Text => {
                let len = self.rng.usize(0..6);
                self.length(len, 2);
                self.bytes.extend(std::iter::repeat_n(b'x', len));
            }
            Kind::Bytes => {
                let len = self.rng.usize(0..6);
                self.length(len, 4);
                self.bytes.extend(std::iter::repeat_n(0xfe, len));
            }
            Kind::Array(element) => {
                let len = self.rng.usize(1..4);
                self.length(len, 4);
                (0..len).for_each(|_| self.value(element));
            }
            Kind::Struct(layout) => self.structure(layout),
            Kind::OptionalStruct(layout) => {
                let present = self.rng.bool();
                self.bytes.push(if present { 1 } else { 0xff });
                if present {
                    self.structure(layout);
                }
            }
        }
    }

    /// A length in the width of old versions, or compact (one more) in flexible ones.
    fn length(&mut self, len: usize, width: usize) {
        if self.flexible {
            self.compact(len + 1);
        } else {
            self.lengths.push((self.bytes.len(), width));
            self.bytes.extend(&u32::try_from(len).unwrap().to_be_bytes()[4 - width..]);
        }
    }

    fn compact(&mut self, mut value: usize) {
        let start = self.bytes.len();
        while value >= 0x80 {
            self.bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        self.bytes.push(u8::try_from(value).unwrap());
        self.lengths.push((start, self.bytes.len() - start));
    }

    /// The sample with one length replaced by `claim`.
    fn with_length(&self, (position, width): (usize, usize), claim: u32) -> Bytes {
        let mut bytes = self.bytes[..position].to_vec();
        if self.flexible {
            let mut claim = claim;
            while claim >= 0x80 {
                bytes.push(u8::try_from(claim & 0x7f).unwrap() | 0x80);
                claim >>= 7;
            }
            bytes.push(u8::try_from(claim).unwrap());
        } else {
            bytes.extend(&claim.to_be_bytes()[4 - width..]);
        }
        bytes.extend(&self.bytes[position + width..]);
        bytes.into()
    }
}

/// Calls `check` with samples of every message in every version.
struct EachSample<F>(F);

trait Check {
    fn check<M: Body + Encodable + PartialEq + Debug>(&mut self, version: i16, sample: &Sample);
}

impl<F: Check> Visitor for EachSample<F> {
    fn visit<M: Body + Encodable + PartialEq + Debug>(&mut self, layout: Layout) {
        for version in M::VERSIONS.min..=M::VERSIONS.max {
            for seed in 0..ROUNDS {
                self.0.check::<M>(version, &Sample::new(&layout, version, seed));
            }
        }
    }
}

fn check_all(check: impl Check) {
    table::visit_all(&mut EachSample(check));
}

#[test]
fn every_layout_in_every_version_is_what_the_message_library_reads_and_writes() {
    struct RoundTrip;
    impl Check for RoundTrip {
        fn check<M: Body + Encodable + PartialEq + Debug>(&mut self, version: i16, sample: &Sample) {
            let bytes = Bytes::from(sample.bytes.clone());
            let context = format!("{} v{version} {bytes:x?}", M::NAME);
            let message = decode_body::<M>(M::API_KEY, version, bytes.clone());
            let message = message.unwrap_or_else(|error| panic!("{context}: {error}"));
            let mut encoded = BytesMut::new();
            message.encode(&mut encoded, version).unwrap();
            if !sample.has_known_tags {
                assert_eq!(encoded, bytes, "{context}");
            }
            let again = decode_body::<M>(M::API_KEY, version, encoded.freeze());
            assert_eq!(again.as_ref(), Ok(&message), "{context}");
        }
    }
    check_all(RoundTrip);
}

#[test]
fn no_length_beyond_the_frame_gets_past_the_walk() {
    struct Hostile;
    impl Check for Hostile {
        fn check<M: Body + Encodable + PartialEq + Debug>(&mut self, version: i16, sample: &Sample) {
            for &length in &sample.lengths {
                let beyond = u32::try_from(sample.bytes.len()).unwrap() + 2;
                let two_bytes = !sample.flexible && length.1 == 2;
                let wide = if two_bytes { [0x8000, 0xfff0] } else { [0x8000_0000, 0x7fff_ffff] };
                for claim in [beyond, 0x7fff, 0xffff_fff0].into_iter().chain(wide) {
                    let bytes = sample.with_length(length, claim);
                    let result = M::check_layout(version, &bytes);
                    assert!(result.is_err(), "{} v{version}: {claim} at {length:?} of {bytes:x?}", M::NAME);
                }
            }
        }
    }
    check_all(Hostile);
}

#[test]
fn a_body_must_end_where_its_message_ends() {
    struct Ends;
    impl Check for Ends {
        fn check<M: Body + Encodable + PartialEq + Debug>(&mut self, version: i16, sample: &Sample) {
            for len in 0..sample.bytes.len() {
                assert!(M::check_layout(version, &sample.bytes[..len]).is_err(), "{} v{version} cut at {len}", M::NAME);
            }
            let mut longer = sample.bytes.clone();
            longer.push(0);
            assert!(M::check_layout(version, &longer).is_err(), "{} v{version} with a byte more", M::NAME);
        }
    }
    check_all(Ends);
}

#[test]
fn a_changed_byte_never_panics_and_what_still_decodes_can_be_encoded() {
    struct Changed(Rng);
    impl Check for Changed {
        fn check<M: Body + Encodable + PartialEq + Debug>(&mut self, version: i16, sample: &Sample) {
            for position in 0..sample.bytes.len() {
                let mut bytes = sample.bytes.clone();
                bytes[position] = self.0.u8(..);
                if let Ok(message) = decode_body::<M>(M::API_KEY, version, bytes.into()) {
                    let mut encoded = BytesMut::new();
                    message.encode(&mut encoded, version).unwrap();
                    assert!(M::check_layout(version, &encoded).is_ok(), "{} v{version} byte {position}", M::NAME);
                }
            }
        }
    }
    check_all(Changed(Rng::with_seed(3)));
}

#[test]
fn an_array_of_nothing_is_refused() {
    // No message has such a struct; should one appear, its count must not be a licence to loop or allocate.
    let layout = Layout::parse(0, "[{9+:i32}]");
    let non_flexible = Layout::parse(i16::MAX, "[{9+:i32}]");
    assert!(non_flexible.check("Test", 0, &[0, 0, 0, 3, 0, 0, 0]).is_err());
    assert!(layout.check("Test", 0, &[2, 0, 0]).is_ok(), "a flexible struct has its tag count at least");
}

#[test]
fn errors_name_message_version_and_position() {
    let error = crate::messages::MetadataRequest::check_layout(1, &[0x7f, 0, 0, 0]).unwrap_err();
    assert_eq!(error.to_string(), "malformed array in MetadataRequest v1 at byte 4: longer than the frame");
}
