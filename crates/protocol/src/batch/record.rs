//! Records as views on the decompressed section of a batch.

use std::iter::FusedIterator;

use bytes::Bytes;

use super::header::{BatchHeader, TimestampType};
use super::varint::{read_i32, read_i64};
use crate::error::{Error, Result};

/// A record header: its key, which need not be UTF-8 and may repeat, and its value, which may be null.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// Length, attributes, timestamp, offset, key, value and header count take a byte each at least.
pub(super) const RECORD_BYTES_MIN: usize = 7;

/// The decompressed records of one batch.
///
/// For an uncompressed batch the bytes are those of the batch itself.
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    body: Bytes,
}

impl Records {
    pub(super) fn new(header: BatchHeader, body: Bytes) -> Result<Records> {
        let count = usize::try_from(header.record_count).unwrap_or(usize::MAX);
        if count > body.len() / RECORD_BYTES_MIN {
            let reason = "its record count does not fit into its bytes";
            return Err(Error::MalformedBatch { base_offset: header.base_offset, reason });
        }
        Ok(Records { header, body })
    }

    /// Header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The encoded records, decompressed; slices of records point into it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Number of records that the header announces, and that [`Records::iter`] yields unless it fails.
    pub fn len(&self) -> usize {
        usize::try_from(self.header.record_count).unwrap_or(0)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Reads the records in order. After an error the iterator ends.
    pub fn iter(&self) -> RecordIter<'_> {
        let append_time = match self.header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.header.max_timestamp),
        };
        RecordIter {
            rest: &self.body,
            index: 0,
            count: self.header.record_count,
            base_offset: self.header.base_offset,
            last_offset_delta: self.header.last_offset_delta,
            base_timestamp: self.header.base_timestamp,
            append_time,
        }
    }

    /// Reads every record and every header without keeping anything.
    ///
    /// # Errors
    /// The first error that [`Records::iter`] or [`Record::headers`] would yield.
    pub fn validate(&self) -> Result<()> {
        for record in self {
            for header in record?.headers() {
                header?;
            }
        }
        Ok(())
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, of creation or of the append, whichever the topic keeps.
    pub timestamp: i64,
    /// Key; `None` and empty are different.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Header count and headers, not looked at yet.
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the headers in order, duplicates included.
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.headers, remaining: None, offset: self.offset }
    }

    /// Whether the record has at least one header.
    pub fn has_headers(&self) -> bool {
        self.headers != [0]
    }
}

/// Reads the records of a batch; see [`Records::iter`].
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
    base_offset: i64,
    last_offset_delta: i32,
    base_timestamp: i64,
    append_time: Option<i64>,
}

impl<'a> RecordIter<'a> {
    #[inline]
    fn read(&mut self) -> std::result::Result<Record<'a>, &'static str> {
        let length = read_i32(&mut self.rest).ok_or("its length cannot be read")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let (mut record, after) = self.rest.split_at_checked(length).ok_or("it is longer than the batch")?;
        self.rest = after;

        let (_attributes, fields) = record.split_first().ok_or("it is empty")?;
        record = fields;
        let timestamp_delta = read_i64(&mut record).ok_or("its timestamp cannot be read")?;
        let offset_delta = read_i32(&mut record).ok_or("its offset cannot be read")?;
        if offset_delta < 0 || offset_delta > self.last_offset_delta {
            return Err("its offset lies outside of the batch");
        }
        let key = read_nullable(&mut record).ok_or("its key cannot be read")?;
        let value = read_nullable(&mut record).ok_or("its value cannot be read")?;
        if record.is_empty() {
            return Err("its header count is missing");
        }
        // Java's arithmetic wraps, and so does the encoder: any pair of timestamps round-trips.
        let create_time = self.base_timestamp.wrapping_add(timestamp_delta);
        Ok(Record {
            offset: self.base_offset + i64::from(offset_delta),
            timestamp: self.append_time.unwrap_or(create_time),
            key,
            value,
            headers: record,
        })
    }

    #[cold]
    fn fail(&mut self, reason: &'static str) -> Error {
        let index = self.index;
        self.rest = &[];
        self.index = self.count;
        Error::MalformedRecord { base_offset: self.base_offset, index, reason }
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            return if self.rest.is_empty() { None } else { Some(Err(self.fail("bytes are left over behind it"))) };
        }
        match self.read() {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(reason) => Some(Err(self.fail(reason))),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One more than the records: left-over bytes are reported as an error.
        let remaining = usize::try_from(self.count - self.index).unwrap_or(0);
        (0, Some(remaining + 1))
    }
}

impl FusedIterator for RecordIter<'_> {}

/// Reads a length and that many bytes; length -1 is null.
#[inline(always)]
#[expect(clippy::option_option, reason = "the outer level is failure, the inner one null")]
fn read_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = read_i32(bytes)?;
    match usize::try_from(length) {
        Ok(length) => {
            let (field, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Some(Some(field))
        }
        Err(_) if length == -1 => Some(None),
        Err(_) => None,
    }
}

/// Reads the headers of a record: key and value, the value possibly null. After an error it ends.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
    /// `None` until the count has been read.
    remaining: Option<i32>,
    offset: i64,
}

impl<'a> Headers<'a> {
    fn read(&mut self) -> std::result::Result<Option<Header<'a>>, &'static str> {
        let remaining = match self.remaining {
            Some(remaining) => remaining,
            None => read_i32(&mut self.rest).ok_or("their count cannot be read")?,
        };
        match remaining {
            0 if self.rest.is_empty() => Ok(None),
            0 => Err("bytes are left over behind them"),
            1.. => {
                self.remaining = Some(remaining - 1);
                let key = read_nullable(&mut self.rest).ok_or("a key cannot be read")?;
                let value = read_nullable(&mut self.rest).ok_or("a value cannot be read")?;
                Ok(Some((key.ok_or("a key is null")?, value)))
            }
            _ => Err("their count is negative"),
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(Some(header)) => Some(Ok(header)),
            Ok(None) => {
                self.remaining = Some(0);
                None
            }
            Err(reason) => {
                self.rest = &[];
                self.remaining = Some(0);
                Some(Err(Error::MalformedHeaders { offset: self.offset, reason }))
            }
        }
    }
}

impl FusedIterator for Headers<'_> {}
