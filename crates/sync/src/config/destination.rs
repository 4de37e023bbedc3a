//! `destination.json`: where tables are written.

use std::path::{Path, PathBuf};

use super::section::Section;
use super::{Warning, read};
use crate::error::{Error, Result};
use crate::files::parse_json;

/// Size at which a file is sealed and the next one begun, when the file does not say, in megabytes.
const FILE_SIZE_MB_DEFAULT: f64 = 512.0;

/// Largest size a file may be given, in megabytes.
const FILE_SIZE_MB_MAX: f64 = 1024.0 * 1024.0;

/// Bytes of one megabyte as `max_file_size_mb` counts it.
const MB: f64 = 1024.0 * 1024.0;

/// Zstandard levels that `compression` accepts.
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = 1..=22;

/// Keys of the S3 writer, which this version does not have.
const S3_KEYS: [&str; 6] = ["s3_bucket", "s3_region", "s3_path", "s3_access_key", "s3_secret_key", "s3_endpoint"];

/// Where tables are written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DestinationConfig {
    /// Parquet files in folders.
    Parquet(ParquetConfig),
}

/// The Parquet writer.
#[derive(Debug, Clone, PartialEq)]
pub struct ParquetConfig {
    /// Folder under which `<database>/<table>/` folders are made.
    pub local_path: PathBuf,
    /// Size at which a file is sealed, bytes.
    pub max_file_size_bytes: u64,
    /// Compression of column chunks.
    pub compression: ParquetCompression,
}

/// Compression of Parquet column chunks; `compression` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParquetCompression {
    /// `none`.
    None,
    /// `snappy`, what OLake writes.
    #[default]
    Snappy,
    /// `lz4`, the raw framing that readers agree on.
    Lz4,
    /// `zstd` or `zstd:<level>`.
    Zstd {
        /// 1 to 22; 1 unless given.
        level: i32,
    },
}

impl DestinationConfig {
    /// Reads `destination.json`, decrypting it when `encryption_key` is given.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`].
    pub fn load(path: &Path, encryption_key: Option<&str>) -> Result<(Self, Vec<Warning>)> {
        let (file, text) = read(path, encryption_key)?;
        Self::parse(&text, &file)
    }

    /// Reads the text of `destination.json`; `file` names it in errors.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`].
    pub fn parse(text: &str, file: &str) -> Result<(Self, Vec<Warning>)> {
        let value = parse_json(text, file)?;
        let mut warnings = Vec::new();
        let mut root = Section::root(file, &value)?;
        match root.string("type")? {
            Some("PARQUET") => {}
            Some("ICEBERG") => return Err(Error::not_supported(file, "type", "ICEBERG")),
            Some(other) => return Err(root.wrong("type", format!("must be PARQUET, not {other}"))),
            None => return Err(root.missing("type")),
        }
        let writer = root.section("writer")?.ok_or_else(|| root.missing("writer"))?;
        let parquet = ParquetConfig::from_section(writer, &mut warnings)?;
        root.finish(&mut warnings);
        Ok((Self::Parquet(parquet), warnings))
    }
}

impl ParquetConfig {
    fn from_section(mut writer: Section<'_>, warnings: &mut Vec<Warning>) -> Result<Self> {
        for key in S3_KEYS {
            if writer.string(key)?.is_some() {
                return Err(Error::not_supported(writer.file(), &writer.full_key(key), "writing to S3"));
            }
        }
        let config = Self {
            local_path: writer.string("local_path")?.ok_or_else(|| writer.missing("local_path"))?.into(),
            max_file_size_bytes: file_size(&mut writer)?,
            compression: compression(&mut writer)?,
        };
        writer.finish(warnings);
        Ok(config)
    }
}

fn file_size(writer: &mut Section<'_>) -> Result<u64> {
    const KEY: &str = "max_file_size_mb";
    let megabytes = match writer.number(KEY)? {
        None => FILE_SIZE_MB_DEFAULT,
        Some(size) if size < 0.0 => return Err(writer.wrong(KEY, format!("must not be negative, it is {size}"))),
        Some(size) if size > FILE_SIZE_MB_MAX => {
            return Err(writer.wrong(KEY, format!("must be at most {FILE_SIZE_MB_MAX}, it is {size}")));
        }
        Some(0.0) => FILE_SIZE_MB_DEFAULT,
        Some(size) => size,
    };
    // In range by the checks above; a fraction of a byte does not matter.
    Ok(((megabytes * MB) as u64).max(1))
}

fn compression(writer: &mut Section<'_>) -> Result<ParquetCompression> {
    const KEY: &str = "compression";
    let Some(text) = writer.string(KEY)? else { return Ok(ParquetCompression::default()) };
    let (codec, level) = text.split_once(':').map_or((text, None), |(codec, level)| (codec, Some(level)));
    match (codec.to_ascii_lowercase().as_str(), level) {
        ("none" | "uncompressed", None) => Ok(ParquetCompression::None),
        ("snappy", None) => Ok(ParquetCompression::Snappy),
        ("lz4", None) => Ok(ParquetCompression::Lz4),
        ("zstd", None) => Ok(ParquetCompression::Zstd { level: *ZSTD_LEVELS.start() }),
        ("zstd", Some(level)) => match level.parse() {
            Ok(level) if ZSTD_LEVELS.contains(&level) => Ok(ParquetCompression::Zstd { level }),
            _ => Err(writer.wrong(KEY, format!("must have a zstd level from 1 to 22, not {level}"))),
        },
        _ => Err(writer.wrong(KEY, format!("must be none, snappy, lz4, zstd or zstd:<level>, not {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(ParquetConfig, Vec<Warning>)> {
        let (DestinationConfig::Parquet(config), warnings) = DestinationConfig::parse(text, "destination.json")?;
        Ok((config, warnings))
    }

    fn writer(keys: &str) -> Result<(ParquetConfig, Vec<Warning>)> {
        parse(&format!(r#"{{"type":"PARQUET","writer":{{"local_path":"/lake"{keys}}}}}"#))
    }

    #[test]
    fn the_seed_example_and_its_defaults() {
        let (config, warnings) = writer("").unwrap();
        let expected = ParquetConfig {
            local_path: "/lake".into(),
            max_file_size_bytes: 512 << 20,
            compression: ParquetCompression::Snappy,
        };
        assert_eq!((config, warnings.len()), (expected, 0));
    }

    #[test]
    fn blank_s3_keys_are_no_request_for_s3() {
        let (_, warnings) = writer(r#","s3_bucket":"","s3_region":" ","s3_path":null"#).unwrap();
        assert_eq!(warnings, []);
    }

    #[test]
    fn sizes_and_codecs() {
        for (keys, bytes) in [("0", 512 << 20), ("1", 1 << 20), ("0.5", 1 << 19), ("1024", 1 << 30)] {
            let (config, _) = writer(&format!(r#","max_file_size_mb":{keys}"#)).unwrap();
            assert_eq!(config.max_file_size_bytes, bytes, "{keys}");
        }
        for (text, expected) in [
            ("none", ParquetCompression::None),
            ("Snappy", ParquetCompression::Snappy),
            ("lz4", ParquetCompression::Lz4),
            ("zstd", ParquetCompression::Zstd { level: 1 }),
            ("zstd:19", ParquetCompression::Zstd { level: 19 }),
        ] {
            let (config, _) = writer(&format!(r#","compression":"{text}""#)).unwrap();
            assert_eq!(config.compression, expected, "{text}");
        }
    }

    #[test]
    fn wrong_values_are_one_sentence_with_the_key() {
        for (text, sentence) in [
            ("[]", "destination.json: the top level must be an object, not a list"),
            ("{}", "destination.json: type is required"),
            (r#"{"type":"CSV"}"#, "destination.json: type must be PARQUET, not CSV"),
            (r#"{"type":"ICEBERG","writer":{}}"#, "destination.json: type: ICEBERG is not supported in this version"),
            (r#"{"type":"PARQUET"}"#, "destination.json: writer is required"),
            (r#"{"type":"PARQUET","writer":{}}"#, "destination.json: writer.local_path is required"),
            (
                r#"{"type":"PARQUET","writer":{"local_path":"/x","s3_bucket":"b"}}"#,
                "destination.json: writer.s3_bucket: writing to S3 is not supported in this version",
            ),
            (
                r#"{"type":"PARQUET","writer":{"local_path":7}}"#,
                "destination.json: writer.local_path must be a string, not a number",
            ),
            (
                r#"{"type":"PARQUET","writer":{"local_path":"/x","max_file_size_mb":-1}}"#,
                "destination.json: writer.max_file_size_mb must not be negative, it is -1",
            ),
            (
                r#"{"type":"PARQUET","writer":{"local_path":"/x","max_file_size_mb":1e300}}"#,
                "destination.json: writer.max_file_size_mb must be at most 1048576, it is 1000",
            ),
            (
                r#"{"type":"PARQUET","writer":{"local_path":"/x","max_file_size_mb":"512"}}"#,
                "destination.json: writer.max_file_size_mb must be a number, not a string",
            ),
            (
                r#"{"type":"PARQUET","writer":{"local_path":"/x","compression":"zstd:40"}}"#,
                "destination.json: writer.compression must have a zstd level from 1 to 22, not 40",
            ),
            (
                r#"{"type":"PARQUET","writer":{"local_path":"/x","compression":"brotli"}}"#,
                "destination.json: writer.compression must be none, snappy, lz4, zstd or zstd:<level>, not brotli",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{text}\n  {error}\n  {sentence}");
        }
    }

    #[test]
    fn unknown_keys_are_reported_with_the_nearest_known_one() {
        let (_, warnings) = writer(r#","max_file_size":5"#).unwrap();
        assert_eq!(
            warnings[0].to_string(),
            "destination.json: writer.max_file_size is not a known key and has no effect; did you mean max_file_size_mb?"
        );
    }
}
