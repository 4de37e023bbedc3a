//! gzip (RFC 1952) around raw deflate streams whose state is reset, not rebuilt, between batches.

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Codec, Output};
use crate::error::{Error, Result};

const LEVEL_DEFAULT: u32 = 6;
const MAGIC: [u8; 2] = [0x1f, 0x8b];
const METHOD_DEFLATE: u8 = 8;
const OS_UNKNOWN: u8 = 255;
const FIXED_HEADER_LEN: usize = 10;
const TRAILER_LEN: usize = 8;
const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;
const GROWTH_MIN: usize = 4 << 10;

pub(super) struct Encoder {
    deflate: Compress,
    level: u32,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        Encoder { deflate: Compress::new(flate2::Compression::new(LEVEL_DEFAULT), false), level: LEVEL_DEFAULT }
    }

    pub(super) fn compress(&mut self, level: Option<i32>, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
        let level = level.and_then(|level| u32::try_from(level).ok()).unwrap_or(LEVEL_DEFAULT);
        if level == self.level {
            self.deflate.reset();
        } else {
            self.deflate = Compress::new(flate2::Compression::new(level), false);
            self.level = level;
        }
        let [magic_0, magic_1] = MAGIC;
        output.extend_from_slice(&[magic_0, magic_1, METHOD_DEFLATE, 0, 0, 0, 0, 0, 0, OS_UNKNOWN]);
        loop {
            output.reserve((input.len() / 4).max(GROWTH_MIN));
            let done = consumed(self.deflate.total_in());
            let status = self
                .deflate
                .compress_vec(&input[done..], output, FlushCompress::Finish)
                .map_err(|error| Error::Compress { codec: Codec::Gzip, reason: error.to_string() })?;
            if status == Status::StreamEnd {
                break;
            }
        }
        let mut crc = Crc::new();
        crc.update(input);
        output.extend_from_slice(&crc.sum().to_le_bytes());
        output.extend_from_slice(&crc.amount().to_le_bytes());
        Ok(())
    }
}

pub(super) struct Decoder {
    inflate: Decompress,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { inflate: Decompress::new(false) }
    }

    /// Inflates every member of `input`: RFC 1952 allows several one after another.
    pub(super) fn decompress(&mut self, input: &[u8], output: &mut Output) -> Result<()> {
        let mut rest = input;
        loop {
            let body = header_len(rest).and_then(|len| rest.get(len..));
            let body = body.ok_or_else(|| output.damaged("not a gzip header"))?;
            let member_start = output.bytes.len();
            let body_len = self.inflate(body, output)?;
            let trailer = body.get(body_len..body_len + TRAILER_LEN);
            let trailer = trailer.ok_or_else(|| output.damaged("gzip trailer is cut off"))?;
            let mut crc = Crc::new();
            crc.update(&output.bytes[member_start..]);
            if trailer[..4] != crc.sum().to_le_bytes() || trailer[4..] != crc.amount().to_le_bytes() {
                return Err(output.damaged("gzip checksum or length does not match"));
            }
            rest = &body[body_len + TRAILER_LEN..];
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Inflates one raw deflate stream and returns how many bytes of `body` it took.
    fn inflate(&mut self, body: &[u8], output: &mut Output) -> Result<usize> {
        self.inflate.reset(false);
        loop {
            let done = consumed(self.inflate.total_in());
            let remaining = &body[done..];
            output.reserve(remaining.len().saturating_mul(4).max(GROWTH_MIN));
            let before = (self.inflate.total_in(), output.bytes.len());
            let status = self
                .inflate
                .decompress_vec(remaining, &mut output.bytes, FlushDecompress::None)
                .map_err(|error| output.damaged(error))?;
            output.check()?;
            if status == Status::StreamEnd {
                return Ok(consumed(self.inflate.total_in()));
            }
            if before == (self.inflate.total_in(), output.bytes.len()) && output.bytes.len() < output.bytes.capacity() {
                return Err(output.damaged("gzip stream is cut off"));
            }
        }
    }
}

/// `total_in` counts bytes of a slice, so it fits.
fn consumed(total_in: u64) -> usize {
    usize::try_from(total_in).unwrap_or(usize::MAX)
}

/// Length of a member's header; `None` if it is not one or is cut off.
fn header_len(member: &[u8]) -> Option<usize> {
    let fixed = member.get(..FIXED_HEADER_LEN)?;
    let flags = fixed[3];
    if fixed[..2] != MAGIC || fixed[2] != METHOD_DEFLATE || flags & FLAGS_RESERVED != 0 {
        return None;
    }
    let mut position = FIXED_HEADER_LEN;
    if flags & FLAG_EXTRA != 0 {
        let len = member.get(position..position + 2)?;
        position += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            position += member.get(position..)?.iter().position(|&byte| byte == 0)? + 1;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        position += 2;
    }
    (position <= member.len()).then_some(position)
}
