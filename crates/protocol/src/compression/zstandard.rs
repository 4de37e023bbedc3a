//! Zstandard with one reused context per direction.

use std::io::{Cursor, Seek, SeekFrom};
use std::ops::RangeInclusive;

use zstd::bulk::Compressor as Context;
use zstd::stream::raw::{Decoder as RawDecoder, InBuffer, Operation, OutBuffer};

use super::{Codec, Output};
use crate::error::{Error, Result};

/// Levels that Kafka's own producers may be set to and that the library has.
pub(super) const LEVELS: RangeInclusive<i32> = -7..=22;
const LEVEL_DEFAULT: i32 = 3;
const GROWTH_MIN: usize = 16 << 10;
/// First guess of how far a batch grows; further room doubles.
const RATIO_GUESS: usize = 6;

pub(super) struct Encoder {
    context: Context<'static>,
    level: i32,
}

impl Encoder {
    pub(super) fn new() -> Result<Encoder> {
        Ok(Encoder { context: Context::new(LEVEL_DEFAULT).map_err(failed)?, level: LEVEL_DEFAULT })
    }

    pub(super) fn compress(&mut self, level: Option<i32>, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
        let level = level.unwrap_or(LEVEL_DEFAULT);
        if level != self.level {
            self.context.set_compression_level(level).map_err(failed)?;
            self.level = level;
        }
        output.reserve(zstd::zstd_safe::compress_bound(input.len()));
        let mut spare = Cursor::new(output);
        spare.seek(SeekFrom::End(0)).map_err(failed)?;
        self.context.compress_to_buffer(input, &mut spare).map_err(failed)?;
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Compress { codec: Codec::Zstd, reason: error.to_string() }
}

pub(super) struct Decoder {
    context: RawDecoder<'static>,
}

impl Decoder {
    pub(super) fn new() -> Result<Decoder> {
        let context =
            RawDecoder::new().map_err(|error| Error::Decompress { codec: Codec::Zstd, reason: error.to_string() })?;
        Ok(Decoder { context })
    }

    /// Decodes every frame in `input`.
    pub(super) fn decompress(&mut self, input: &[u8], output: &mut Output) -> Result<()> {
        self.context.reinit().map_err(|error| output.damaged(error))?;
        let mut source = InBuffer::around(input);
        loop {
            output.reserve(input.len().saturating_mul(RATIO_GUESS).max(GROWTH_MIN));
            let start = output.bytes.len();
            let mut target = OutBuffer::around_pos(&mut output.bytes, start);
            let result = self.context.run(&mut source, &mut target);
            let hint = result.map_err(|error| output.damaged(error))?;
            output.check()?;
            let input_done = source.pos() == input.len();
            if hint == 0 && input_done {
                return Ok(());
            }
            if input_done && output.bytes.len() < output.bytes.capacity() {
                return Err(output.damaged("zstd frame is cut off"));
            }
        }
    }
}
