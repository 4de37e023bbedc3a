//! The LZ4 frame format as Kafka uses it: version 1, independent blocks of at most 64 KiB when writing; any frame of
//! that version, linked blocks and checksums included, when reading.
//!
//! Reading decodes each block straight into the output. The optional checksums of the frame are stepped over: the
//! CRC-32C of the record batch covers the same bytes.

use std::io::Write;

use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::{Codec, Output};
use crate::error::{Error, Result};

const MAGIC: [u8; 4] = 0x184D_2204u32.to_le_bytes();
const CHECKSUM_LEN: usize = 4;
const CONTENT_SIZE_LEN: usize = 8;
const FLAG_DICTIONARY: u8 = 1;
const FLAG_CONTENT_CHECKSUM: u8 = 1 << 2;
const FLAG_CONTENT_SIZE: u8 = 1 << 3;
const FLAG_BLOCK_CHECKSUM: u8 = 1 << 4;
const FLAG_INDEPENDENT: u8 = 1 << 5;
const BLOCK_UNCOMPRESSED: u32 = 1 << 31;
const WINDOW_BYTES: usize = 64 << 10;

pub(super) struct Encoder {
    frame: FrameEncoder<Vec<u8>>,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
        Encoder { frame: FrameEncoder::with_frame_info(info, Vec::new()) }
    }

    pub(super) fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
        if input.is_empty() {
            // The encoder opens a frame with its first byte only.
            self.frame = Encoder::new().frame;
        }
        std::mem::swap(self.frame.get_mut(), output);
        let result = self.frame.write_all(input).and_then(|()| self.frame.try_finish().map_err(Into::into));
        std::mem::swap(self.frame.get_mut(), output);
        result.map_err(|error| {
            // A frame may still be open: the next batch must not continue it.
            *self = Encoder::new();
            Error::Compress { codec: Codec::Lz4, reason: error.to_string() }
        })
    }
}

/// Decodes every frame in `input`.
pub(super) fn decompress(input: &[u8], output: &mut Output) -> Result<()> {
    let mut rest = input;
    loop {
        rest = frame(rest, output)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

struct FrameHeader {
    flags: u8,
    block_bytes_max: usize,
}

/// Decodes one frame and returns what follows it.
fn frame<'a>(input: &'a [u8], output: &mut Output) -> Result<&'a [u8]> {
    let (header, mut rest) = frame_header(input).map_err(|reason| output.damaged(reason))?;
    let frame_start = output.bytes.len();
    loop {
        let Some((info, after)) = rest.split_first_chunk::<4>() else {
            return Err(output.damaged("lz4 frame has no end mark"));
        };
        let info = u32::from_le_bytes(*info);
        if info == 0 {
            let trailer = if header.flags & FLAG_CONTENT_CHECKSUM == 0 { 0 } else { CHECKSUM_LEN };
            return after.get(trailer..).ok_or_else(|| output.damaged("lz4 frame is cut off"));
        }
        let compressed = info & BLOCK_UNCOMPRESSED == 0;
        let len = usize::try_from(info & !BLOCK_UNCOMPRESSED).unwrap_or(usize::MAX);
        let block = after.get(..len).ok_or_else(|| output.damaged("lz4 block is cut off"))?;
        if len > header.block_bytes_max {
            return Err(output.damaged("lz4 block is larger than its frame allows"));
        }
        if compressed {
            decode_block(block, &header, frame_start, output)?;
        } else {
            output.extend_zeroed(len)?.copy_from_slice(block);
        }
        let checksum = if header.flags & FLAG_BLOCK_CHECKSUM == 0 { 0 } else { CHECKSUM_LEN };
        rest = after.get(len + checksum..).ok_or_else(|| output.damaged("lz4 block checksum is cut off"))?;
    }
}

fn frame_header(input: &[u8]) -> std::result::Result<(FrameHeader, &[u8]), &'static str> {
    const CUT_OFF: &str = "lz4 frame header is cut off";
    let (magic, rest) = input.split_first_chunk::<4>().ok_or(CUT_OFF)?;
    if *magic != MAGIC {
        return Err("not an lz4 frame");
    }
    let ([flags, block_descriptor], rest) = rest.split_first_chunk::<2>().ok_or(CUT_OFF)?;
    if flags >> 6 != 1 {
        return Err("unknown lz4 frame version");
    }
    if flags & FLAG_DICTIONARY != 0 {
        return Err("lz4 frame needs a dictionary");
    }
    let block_bytes_max = match (block_descriptor >> 4) & 0b111 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err("unknown lz4 block size"),
    };
    let content_size = if flags & FLAG_CONTENT_SIZE == 0 { 0 } else { CONTENT_SIZE_LEN };
    let header_checksum = 1;
    let rest = rest.get(content_size + header_checksum..).ok_or(CUT_OFF)?;
    Ok((FrameHeader { flags: *flags, block_bytes_max }, rest))
}

fn decode_block(block: &[u8], header: &FrameHeader, frame_start: usize, output: &mut Output) -> Result<()> {
    let start = output.bytes.len();
    let room = output.room();
    // LZ4 yields at most 255 bytes per input byte; the extra is for the last token's literals and match.
    let possible = block.len().saturating_mul(255).saturating_add(64);
    let target_len = header.block_bytes_max.min(room).min(possible);
    output.bytes.resize(start + target_len, 0);
    let (before, target) = output.bytes.split_at_mut(start);
    let result = if header.flags & FLAG_INDEPENDENT != 0 {
        decompress_into(block, target)
    } else {
        let window = start.saturating_sub(WINDOW_BYTES).max(frame_start);
        decompress_into_with_dict(block, target, &before[window..])
    };
    match result {
        Ok(written) => {
            output.bytes.truncate(start + written);
            Ok(())
        }
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if target_len == room => Err(output.bound()),
        Err(error) => Err(output.damaged(error)),
    }
}
