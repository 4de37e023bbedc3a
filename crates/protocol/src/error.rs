//! Everything that can be wrong with bytes from the wire, or with what a caller asks to be put on it.

use crate::compression::Codec;
use crate::messages::ApiKey;
use crate::version::VersionRange;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of frames, record batches and compression.
///
/// None of them carries payload bytes, so they are safe to log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request names an API that this crate has no messages for.
    #[error("unknown api key {0}")]
    UnknownApiKey(i16),
    /// A message cannot be encoded or decoded in this version.
    #[error("{api_key:?} version {version} is not supported, supported are {supported}")]
    UnsupportedVersion {
        /// API of the message.
        api_key: ApiKey,
        /// Version asked for.
        version: i16,
        /// Versions that would have been accepted.
        supported: VersionRange,
    },
    /// Client and broker have no version of an API in common.
    #[error("no common version of {api_key:?}: this side speaks {ours}, the other side {theirs}")]
    NoCommonVersion {
        /// API that was negotiated.
        api_key: ApiKey,
        /// Versions spoken here.
        ours: VersionRange,
        /// Versions spoken by the other side.
        theirs: VersionRange,
    },
    /// The other side does not offer an API at all.
    #[error("the broker does not offer {api_key:?}")]
    ApiNotOffered {
        /// API that was asked for.
        api_key: ApiKey,
    },
    /// A frame's header or body does not follow its layout.
    #[error("malformed {what} in {context} at byte {position}: {reason}")]
    MalformedFrame {
        /// Message and version being read, e.g. `FetchResponse v12`.
        context: String,
        /// Kind of field that could not be read.
        what: &'static str,
        /// Byte position inside the body.
        position: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The message library refused a body that follows its layout, e.g. because a string is not UTF-8.
    #[error("cannot decode {context}: {reason}")]
    Decode {
        /// Message and version being read.
        context: String,
        /// Reason given by the message library.
        reason: String,
    },
    /// A message holds a field that its version cannot carry, or is too long for a frame.
    #[error("cannot encode {context}: {reason}")]
    Encode {
        /// Message and version being written.
        context: String,
        /// Reason.
        reason: String,
    },
    /// The batch is in a message format older than Kafka 0.11 (magic 0 or 1).
    #[error(
        "record batch at offset {base_offset} has message format {magic}, only format 2 is supported: \
         the topic was written with a Kafka older than 0.11 or with message.format.version set"
    )]
    OldMagic {
        /// Magic byte found (0 or 1).
        magic: i8,
        /// Offset in the batch's header.
        base_offset: i64,
    },
    /// The magic byte is none that Kafka has ever used.
    #[error("record batch at offset {base_offset} has unknown message format {magic}")]
    UnknownMagic {
        /// Magic byte found.
        magic: i8,
        /// Offset in the batch's header.
        base_offset: i64,
    },
    /// A batch header contradicts itself or the bytes around it.
    #[error("malformed record batch at offset {base_offset}: {reason}")]
    MalformedBatch {
        /// Offset in the batch's header.
        base_offset: i64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A record inside a batch cannot be read.
    #[error("malformed record {index} in the batch at offset {base_offset}: {reason}")]
    MalformedRecord {
        /// Offset in the batch's header.
        base_offset: i64,
        /// Position of the record in the batch, from 0.
        index: i32,
        /// What is wrong.
        reason: &'static str,
    },
    /// A record header cannot be read.
    #[error("malformed headers in the record at offset {offset}: {reason}")]
    MalformedHeaders {
        /// Offset of the record.
        offset: i64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The checksum of a batch does not match its bytes.
    #[error("record batch at offset {base_offset} is corrupt: crc is {computed:#010x}, its header says {stored:#010x}")]
    CorruptBatch {
        /// Offset in the batch's header.
        base_offset: i64,
        /// CRC in the header.
        stored: u32,
        /// CRC of the bytes.
        computed: u32,
    },
    /// Compressed data would grow beyond the decompressor's bound.
    #[error("{codec} data decompresses to more than {bytes_max} bytes")]
    DecompressionBound {
        /// Codec of the data.
        codec: Codec,
        /// The bound, in bytes.
        bytes_max: usize,
    },
    /// Compressed data is damaged.
    #[error("cannot decompress {codec} data: {reason}")]
    Decompress {
        /// Codec of the data.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
    /// Data could not be compressed.
    #[error("cannot compress with {codec}: {reason}")]
    Compress {
        /// Codec asked for.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
    /// Attributes name a codec that does not exist.
    #[error("unknown compression codec {0}")]
    UnknownCodec(u8),
    /// A compression level that the codec does not have.
    #[error("compression level {level} is not valid for {codec}: {allowed}")]
    CompressionLevel {
        /// Codec asked for.
        codec: Codec,
        /// Level asked for.
        level: i32,
        /// What would be accepted.
        allowed: &'static str,
    },
    /// A codec name that is none of none, gzip, snappy, lz4, zstd.
    #[error("unknown compression type {0:?}, use one of none, gzip, snappy, lz4, zstd")]
    UnknownCodecName(String),
    /// A record does not fit into the open batch any more.
    #[error("record of {record_bytes} bytes does not fit: the batch holds {batch_bytes} of at most {bytes_max} bytes")]
    BatchFull {
        /// Encoded size of the record.
        record_bytes: usize,
        /// Bytes already in the batch, header included.
        batch_bytes: usize,
        /// The batch's bound.
        bytes_max: usize,
    },
    /// A batch without records cannot be sealed.
    #[error("cannot seal a record batch that holds no record")]
    EmptyBatch,
}
