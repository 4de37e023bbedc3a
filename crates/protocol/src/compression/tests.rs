use bytes::Bytes;

use super::*;

const COMPRESSED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Compressible and not quite regular.
fn text(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    (0..len).map(|i| if i % 5 == 0 { rng.u8(b'a'..=b'z') } else { b'k' }).collect()
}

fn compressed(compression: impl Into<Compression>, input: &[u8]) -> Bytes {
    let mut output = Vec::new();
    Compressor::new().compress(compression.into(), input, &mut output).unwrap();
    output.into()
}

#[test]
fn every_codec_and_size_round_trips_with_reused_contexts() {
    let mut compressor = Compressor::new();
    let mut decompressor = Decompressor::new(2 << 20);
    for _round in 0..2 {
        for codec in Codec::ALL {
            for len in [0, 1, 15, 100, 32 << 10, (64 << 10) + 1, 1 << 20] {
                let input = text(len);
                let mut output = b"prefix".to_vec();
                compressor.compress(codec.into(), &input, &mut output).unwrap();
                assert_eq!(&output[..6], b"prefix", "{codec} appends");
                let result = decompressor.decompress(codec, &Bytes::from(output).slice(6..)).unwrap();
                assert!(result == input, "{codec} of {len} bytes");
            }
        }
    }
}

#[test]
fn random_bytes_round_trip() {
    let mut input = vec![0; 200_000];
    fastrand::Rng::with_seed(1).fill(&mut input);
    for codec in COMPRESSED {
        let output = compressed(codec, &input);
        assert!(Decompressor::new(input.len()).decompress(codec, &output).unwrap() == input, "{codec}");
    }
}

#[test]
fn the_bound_is_exact_and_holds_while_inflating() {
    let input = text(300_000);
    for codec in COMPRESSED {
        let output = compressed(codec, &input);
        assert!(Decompressor::new(300_000).decompress(codec, &output).is_ok(), "{codec}");
        let error = Decompressor::new(299_999).decompress(codec, &output).unwrap_err();
        assert_eq!(error, Error::DecompressionBound { codec, bytes_max: 299_999 });
    }
}

#[test]
fn a_bomb_is_an_error_and_the_decompressor_works_on() {
    let bomb = vec![0; 16 << 20];
    for codec in COMPRESSED {
        let mut decompressor = Decompressor::new(1 << 20);
        let error = decompressor.decompress(codec, &compressed(codec, &bomb)).unwrap_err();
        assert!(matches!(error, Error::DecompressionBound { .. }), "{codec}: {error}");
        let fine = decompressor.decompress(codec, &compressed(codec, b"fine")).unwrap();
        assert_eq!(&fine[..], b"fine", "{codec}");
    }
}

#[test]
fn a_snappy_block_cannot_claim_more_than_it_could_hold() {
    // The length varint says 1 GiB in front of three bytes.
    let lie = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x04, 0, 0, 0]);
    let error = Decompressor::new(usize::MAX).decompress(Codec::Snappy, &lie).unwrap_err();
    assert!(matches!(error, Error::Decompress { .. }), "{error}");
}

#[test]
fn raw_snappy_is_read_like_framed_snappy() {
    for len in [1, 15, 16, 17, 5000] {
        let input = text(len);
        let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
        let result = Decompressor::new(1 << 20).decompress(Codec::Snappy, &raw.into()).unwrap();
        assert!(result == input, "{len} bytes");
    }
}

#[test]
fn snappy_is_written_in_the_framing_of_snappy_java() {
    let output = compressed(Codec::Snappy, b"x");
    assert_eq!(&output[..16], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    assert_eq!(output[16..20], [0, 0, 0, 3]);
}

#[test]
fn lz4_is_written_with_independent_blocks_of_64_kib() {
    let output = compressed(Codec::Lz4, b"x");
    assert_eq!(output[..4], [0x04, 0x22, 0x4d, 0x18]);
    assert_eq!(output[4] & 0b1110_0000, 0b0110_0000, "version 1, independent");
    assert_eq!(output[5], 0x40, "64 KiB");
}

#[test]
fn lz4_frames_of_other_shapes_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let input = text(700_000);
    for mode in [BlockMode::Linked, BlockMode::Independent] {
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            let info = FrameInfo::new().block_mode(mode).block_size(size).content_size(Some(700_000));
            let mut encoder = FrameEncoder::with_frame_info(info.content_checksum(true).block_checksums(true), vec![]);
            encoder.write_all(&input).unwrap();
            let output = Bytes::from(encoder.finish().unwrap());
            assert!(Decompressor::new(1 << 20).decompress(Codec::Lz4, &output).unwrap() == input, "{mode:?} {size:?}");
        }
    }
}

#[test]
fn several_gzip_members_zstd_frames_and_lz4_frames_are_read_as_one() {
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let twice = [compressed(codec, b"one "), compressed(codec, b"two")].concat();
        let result = Decompressor::new(100).decompress(codec, &twice.into()).unwrap();
        assert_eq!(&result[..], b"one two", "{codec}");
    }
}

#[test]
fn gzip_headers_with_all_optional_fields_are_read() {
    let plain = compressed(Codec::Gzip, b"named");
    let mut named = plain[..10].to_vec();
    named[3] = 0b1_1110;
    named.extend(b"\x02\0xxname\0comment\0\xaa\xbb");
    named.extend(&plain[10..]);
    assert_eq!(&Decompressor::new(100).decompress(Codec::Gzip, &named.into()).unwrap()[..], b"named");
}

#[test]
fn damaged_input_is_an_error_at_every_cut_and_never_a_panic() {
    let input = text(1000);
    for codec in COMPRESSED {
        let mut decompressor = Decompressor::new(1 << 20);
        let output = compressed(codec, &input);
        for len in 0..output.len() {
            let result = decompressor.decompress(codec, &output.slice(..len));
            // The framing of snappy-java has no end: whole blocks are all it needs.
            let whole_blocks = codec == Codec::Snappy && len == 16;
            assert!(result.is_err() || whole_blocks, "{codec} cut at {len}");
        }
        for position in 0..output.len() {
            for bit in 0..8 {
                let mut damaged = output.to_vec();
                damaged[position] ^= 1 << bit;
                let _ = decompressor.decompress(codec, &damaged.into());
            }
        }
    }
}

#[test]
fn buffers_are_taken_back_when_their_readers_are_gone() {
    let mut decompressor = Decompressor::new(1 << 20);
    let output = compressed(Codec::Zstd, &text(50_000));
    let first = decompressor.decompress(Codec::Zstd, &output).unwrap();
    let second = decompressor.decompress(Codec::Zstd, &output).unwrap();
    assert_ne!(first.as_ptr(), second.as_ptr(), "a buffer in use is not touched");
    let address = first.as_ptr();
    drop(first);
    let third = decompressor.decompress(Codec::Zstd, &output).unwrap();
    assert_eq!(third.as_ptr(), address, "a free one is used again");
    assert!(second == third);
}

#[test]
fn uncompressed_input_is_shared() {
    let input = Bytes::from(text(100));
    assert_eq!(Decompressor::new(0).decompress(Codec::None, &input).unwrap().as_ptr(), input.as_ptr());
}

#[test]
fn levels_change_the_result_and_are_checked() {
    let input = text(100_000);
    for (codec, low, high) in [(Codec::Gzip, 1, 9), (Codec::Zstd, -7, 19)] {
        let size = |level| compressed(Compression::new(codec, Some(level)).unwrap(), &input).len();
        assert!(size(high) < size(low), "{codec}");
    }
    assert!(Compression::new(Codec::Gzip, Some(10)).is_err());
    assert!(Compression::new(Codec::Zstd, Some(23)).is_err());
    let error = Compression::new(Codec::Lz4, Some(1)).unwrap_err();
    assert_eq!(error.to_string(), "compression level 1 is not valid for lz4: the codec has no levels");
}

#[test]
fn a_level_can_change_between_batches() {
    let input = text(100_000);
    let mut compressor = Compressor::new();
    let mut sizes = [9, 1, 9].map(|level| {
        let mut output = Vec::new();
        compressor.compress(Compression::new(Codec::Gzip, Some(level)).unwrap(), &input, &mut output).unwrap();
        output.len()
    });
    assert_eq!(sizes[0], sizes[2]);
    sizes.sort_unstable();
    assert!(sizes[1] < sizes[2]);
}

#[test]
fn codecs_are_found_by_kafkas_names() {
    for codec in Codec::ALL {
        assert_eq!(codec.to_string().parse(), Ok(codec));
        assert_eq!(Codec::from_id(codec.id()), Ok(codec));
    }
    assert_eq!(Codec::from_id(5), Err(Error::UnknownCodec(5)));
    let error = "brotli".parse::<Codec>().unwrap_err();
    assert_eq!(error.to_string(), "unknown compression type \"brotli\", use one of none, gzip, snappy, lz4, zstd");
}
