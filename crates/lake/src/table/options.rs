//! How tables are written: bounds and compression.

use std::fmt;
use std::str::FromStr;

use parquet::basic::{Compression as ParquetCompression, ZstdLevel};

use crate::error::{Error, Result};

/// Size at which a file is finished and the next one started: OLake's default of 512 MB.
pub const FILE_BYTES_MAX_DEFAULT: u64 = 512 * 1024 * 1024;

/// Encoded size at which a row group is closed.
pub const ROW_GROUP_BYTES_MAX_DEFAULT: usize = 16 * 1024 * 1024;

/// Files of one table that may be open at once.
pub const OPEN_FILES_MAX_DEFAULT: usize = 64;

/// Bytes the open files of one table may hold in memory together.
pub const MEMORY_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;

/// Codec of the pages of a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Pages as they are.
    None,
    /// Snappy, OLake's codec.
    #[default]
    Snappy,
    /// LZ4 blocks without framing (Parquet's `LZ4_RAW`).
    Lz4,
    /// Zstandard.
    Zstd {
        /// From 1 (fast) to 22 (small).
        level: i32,
    },
}

impl Compression {
    /// The level `zstd` without a number means.
    pub const ZSTD_LEVEL_DEFAULT: i32 = 1;

    /// What the Parquet writer calls it.
    ///
    /// # Errors
    /// [`Error::Compression`] for a zstd level outside 1 to 22.
    pub(crate) fn to_parquet(self) -> Result<ParquetCompression> {
        Ok(match self {
            Self::None => ParquetCompression::UNCOMPRESSED,
            Self::Snappy => ParquetCompression::SNAPPY,
            Self::Lz4 => ParquetCompression::LZ4_RAW,
            Self::Zstd { level } => ParquetCompression::ZSTD(
                ZstdLevel::try_new(level).map_err(|_| Error::Compression { value: self.to_string() })?,
            ),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Snappy => f.write_str("snappy"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// `none`, `snappy`, `lz4`, `zstd` or `zstd:<level>`.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::Compression { value: text.to_owned() };
        match text {
            "none" => Ok(Self::None),
            "snappy" => Ok(Self::Snappy),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd { level: Self::ZSTD_LEVEL_DEFAULT }),
            _ => {
                let level = text.strip_prefix("zstd:").and_then(|level| level.parse().ok()).ok_or_else(unknown)?;
                let codec = Self::Zstd { level };
                codec.to_parquet().map_err(|_| unknown())?;
                Ok(codec)
            }
        }
    }
}

/// Options of one Parquet file.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Codec; columns whose sample does not compress are stored without it. Default: snappy.
    pub compression: Compression,
    /// A row group is closed when its encoded size reaches this. It bounds the memory of an open file, whatever the
    /// file's size. Default: 16 MiB.
    pub row_group_bytes_max: usize,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { compression: Compression::default(), row_group_bytes_max: ROW_GROUP_BYTES_MAX_DEFAULT }
    }
}

/// Options of one table.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// Of each file.
    pub file: FileOptions,
    /// A file is finished when what it has on disk and in memory reaches this. Default: 512 MiB.
    pub file_bytes_max: u64,
    /// Partition folders that may have an open file at once; one more finishes the least recently written. Default: 64.
    pub open_files_max: usize,
    /// Bytes the open files may hold in memory together; above it the row group of the largest is closed.
    /// Default: 64 MiB.
    pub memory_bytes_max: usize,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            file: FileOptions::default(),
            file_bytes_max: FILE_BYTES_MAX_DEFAULT,
            open_files_max: OPEN_FILES_MAX_DEFAULT,
            memory_bytes_max: MEMORY_BYTES_MAX_DEFAULT,
        }
    }
}
