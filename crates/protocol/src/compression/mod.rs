//! The four codecs of Kafka record batches, with contexts that are built once and used for many batches.
//!
//! A [`Compressor`] turns the record section of a batch into its compressed form behind a given prefix; a
//! [`Decompressor`] does the reverse into a buffer that it takes back when the last reader has dropped it. Neither is
//! shared between threads: make one per worker and keep it.

mod buffers;
mod gzip;
mod lz4;
mod snappy;
mod zstandard;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::{Error, Result};
use buffers::BufferPool;

/// A compression codec, as numbered in the attributes of a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Records stored as they are.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// snappy, written in the block framing of snappy-java.
    Snappy,
    /// LZ4 frame with independent blocks.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The number in the three lowest bits of a batch's attributes.
    pub const fn id(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// The codec with this number.
    ///
    /// # Errors
    /// [`Error::UnknownCodec`] for 5 and above.
    pub const fn from_id(id: u8) -> Result<Codec> {
        match id {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            other => Err(Error::UnknownCodec(other)),
        }
    }

    /// Kafka's name of the codec, as in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = Error;

    /// Reads Kafka's name of a codec, in lower case.
    fn from_str(name: &str) -> Result<Codec> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| Error::UnknownCodecName(name.to_owned()))
    }
}

/// How a batch is to be compressed: a codec and, where the codec has them, a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Compression {
    codec: Codec,
    level: Option<i32>,
}

impl Compression {
    /// No compression.
    pub const NONE: Compression = Compression { codec: Codec::None, level: None };

    /// A codec at a level; `None` is the codec's usual level (gzip 6, zstd 3).
    ///
    /// gzip takes levels 0 to 9, zstd -7 to 22; the others have no levels.
    ///
    /// # Errors
    /// [`Error::CompressionLevel`] if the codec does not have that level.
    pub fn new(codec: Codec, level: Option<i32>) -> Result<Compression> {
        let Some(level_value) = level else { return Ok(Compression { codec, level }) };
        let (valid, allowed) = match codec {
            Codec::Gzip => ((0..=9).contains(&level_value), "gzip levels are 0 to 9"),
            Codec::Zstd => (zstandard::LEVELS.contains(&level_value), "zstd levels are -7 to 22"),
            Codec::None | Codec::Snappy | Codec::Lz4 => (false, "the codec has no levels"),
        };
        if valid {
            Ok(Compression { codec, level })
        } else {
            Err(Error::CompressionLevel { codec, level: level_value, allowed })
        }
    }

    /// The codec.
    pub const fn codec(self) -> Codec {
        self.codec
    }

    /// The level, if one was asked for.
    pub const fn level(self) -> Option<i32> {
        self.level
    }
}

impl From<Codec> for Compression {
    /// The codec at its usual level.
    fn from(codec: Codec) -> Compression {
        Compression { codec, level: None }
    }
}

/// Compresses batches, keeping the contexts of the codecs it has used.
#[derive(Default)]
pub struct Compressor {
    gzip: Option<gzip::Encoder>,
    snappy: Option<snappy::Encoder>,
    lz4: Option<lz4::Encoder>,
    zstd: Option<zstandard::Encoder>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor without contexts; each codec's is built at its first use.
    pub fn new() -> Compressor {
        Compressor::default()
    }

    /// Appends the compressed form of `input` to `output`.
    ///
    /// # Errors
    /// [`Error::Compress`] if the codec fails; `output` may then end in a partial result.
    pub fn compress(&mut self, compression: Compression, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
        let level = compression.level;
        match compression.codec {
            Codec::None => {
                output.extend_from_slice(input);
                Ok(())
            }
            Codec::Gzip => self.gzip.get_or_insert_with(gzip::Encoder::new).compress(level, input, output),
            Codec::Snappy => self.snappy.get_or_insert_with(snappy::Encoder::new).compress(input, output),
            Codec::Lz4 => self.lz4.get_or_insert_with(lz4::Encoder::new).compress(input, output),
            Codec::Zstd => match &mut self.zstd {
                Some(encoder) => encoder.compress(level, input, output),
                slot => slot.insert(zstandard::Encoder::new()?).compress(level, input, output),
            },
        }
    }
}

/// Decompresses batches into pooled buffers, never beyond a fixed size.
pub struct Decompressor {
    bytes_max: usize,
    buffers: BufferPool,
    gzip: Option<gzip::Decoder>,
    snappy: Option<snappy::Decoder>,
    zstd: Option<zstandard::Decoder>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

impl Decompressor {
    /// A decompressor that refuses to produce more than `bytes_max` bytes from one input.
    pub fn new(bytes_max: usize) -> Decompressor {
        Decompressor { bytes_max, buffers: BufferPool::default(), gzip: None, snappy: None, zstd: None }
    }

    /// The bound given to [`Decompressor::new`], in bytes.
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Decompresses one batch body.
    ///
    /// Uncompressed input is returned as it is, sharing its bytes. The buffer behind other results goes back to this
    /// decompressor when the last handle on the result is dropped.
    ///
    /// # Errors
    /// [`Error::DecompressionBound`] as soon as the output passes the bound, [`Error::Decompress`] for damaged input.
    pub fn decompress(&mut self, codec: Codec, input: &Bytes) -> Result<Bytes> {
        if codec == Codec::None {
            return Ok(input.clone());
        }
        let mut output = Output::new(codec, self.buffers.take(), self.bytes_max);
        let result = match codec {
            Codec::None => Ok(()),
            Codec::Gzip => self.gzip.get_or_insert_with(gzip::Decoder::new).decompress(input, &mut output),
            Codec::Snappy => self.snappy.get_or_insert_with(snappy::Decoder::new).decompress(input, &mut output),
            Codec::Lz4 => lz4::decompress(input, &mut output),
            Codec::Zstd => match &mut self.zstd {
                Some(decoder) => decoder.decompress(input, &mut output),
                slot => slot.insert(zstandard::Decoder::new()?).decompress(input, &mut output),
            },
        };
        match result {
            Ok(()) => Ok(self.buffers.lend(output.bytes)),
            Err(error) => {
                self.buffers.give_back(output.bytes);
                Err(error)
            }
        }
    }
}

/// The growing result of one decompression, with its bound.
struct Output {
    codec: Codec,
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Output {
    fn new(codec: Codec, bytes: Vec<u8>, bytes_max: usize) -> Output {
        Output { codec, bytes, bytes_max }
    }

    /// Bytes that may still be produced.
    fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes.len())
    }

    /// Makes spare capacity for about `wanted` bytes, but for no more than one byte beyond the bound: with that byte a
    /// codec that writes into spare capacity can either finish or be caught by [`Output::check`].
    fn reserve(&mut self, wanted: usize) {
        self.bytes.reserve(wanted.clamp(1, self.room() + 1));
    }

    /// Errs if the bound has been passed.
    fn check(&self) -> Result<()> {
        if self.bytes.len() > self.bytes_max { Err(self.bound()) } else { Ok(()) }
    }

    /// Adds exactly `len` zero bytes for a codec that decodes into a slice, and returns that slice.
    fn extend_zeroed(&mut self, len: usize) -> Result<&mut [u8]> {
        if len > self.room() {
            return Err(self.bound());
        }
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        Ok(&mut self.bytes[start..])
    }

    fn bound(&self) -> Error {
        Error::DecompressionBound { codec: self.codec, bytes_max: self.bytes_max }
    }

    fn damaged(&self, reason: impl fmt::Display) -> Error {
        Error::Decompress { codec: self.codec, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests;
