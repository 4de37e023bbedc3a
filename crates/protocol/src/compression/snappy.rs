//! snappy in the block framing of snappy-java, which Kafka's Java clients write and expect, and raw snappy, which
//! librdkafka, franz-go and others write. Reading tells them apart by the framing's magic.

use super::{Codec, Output};
use crate::error::{Error, Result};

const FRAME_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Version and lowest compatible version, both 1.
const FRAME_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const FRAME_HEADER_LEN: usize = FRAME_MAGIC.len() + FRAME_VERSIONS.len();
const BLOCK_LEN_BYTES: usize = 4;
/// snappy-java's default block size.
const BLOCK_BYTES_MAX: usize = 32 << 10;
/// No snappy element yields more than 64 bytes out of 3, so a longer claim is a lie.
const RATIO_MAX: usize = 22;

pub(super) struct Encoder {
    raw: snap::raw::Encoder,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        Encoder { raw: snap::raw::Encoder::new() }
    }

    pub(super) fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
        output.extend_from_slice(&FRAME_MAGIC);
        output.extend_from_slice(&FRAME_VERSIONS);
        for block in input.chunks(BLOCK_BYTES_MAX) {
            let start = output.len();
            output.resize(start + BLOCK_LEN_BYTES + snap::raw::max_compress_len(block.len()), 0);
            let written = self.raw.compress(block, &mut output[start + BLOCK_LEN_BYTES..]).map_err(failed)?;
            let length = i32::try_from(written).map_err(failed)?;
            output[start..start + BLOCK_LEN_BYTES].copy_from_slice(&length.to_be_bytes());
            output.truncate(start + BLOCK_LEN_BYTES + written);
        }
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Compress { codec: Codec::Snappy, reason: error.to_string() }
}

pub(super) struct Decoder {
    raw: snap::raw::Decoder,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { raw: snap::raw::Decoder::new() }
    }

    pub(super) fn decompress(&mut self, input: &[u8], output: &mut Output) -> Result<()> {
        if !input.starts_with(&FRAME_MAGIC) {
            return self.block(input, output);
        }
        let mut rest = input.get(FRAME_HEADER_LEN..).ok_or_else(|| output.damaged("snappy frame header is cut off"))?;
        while !rest.is_empty() {
            // A stream that was appended to starts over with a header.
            if rest.starts_with(&FRAME_MAGIC) {
                rest = rest.get(FRAME_HEADER_LEN..).ok_or_else(|| output.damaged("snappy frame header is cut off"))?;
                continue;
            }
            let block = split_block(rest).ok_or_else(|| output.damaged("snappy block is cut off"))?;
            self.block(block, output)?;
            rest = &rest[BLOCK_LEN_BYTES + block.len()..];
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], output: &mut Output) -> Result<()> {
        let len = snap::raw::decompress_len(block).map_err(|error| output.damaged(error))?;
        if len > output.room() {
            return Err(output.bound());
        }
        if len > block.len().saturating_mul(RATIO_MAX) {
            return Err(output.damaged("snappy block claims an impossible length"));
        }
        let target = output.extend_zeroed(len)?;
        match self.raw.decompress(block, target) {
            Ok(_) => Ok(()),
            Err(error) => Err(output.damaged(error)),
        }
    }
}

fn split_block(rest: &[u8]) -> Option<&[u8]> {
    let (length, blocks) = rest.split_first_chunk::<BLOCK_LEN_BYTES>()?;
    blocks.get(..usize::try_from(i32::from_be_bytes(*length)).ok()?)
}
