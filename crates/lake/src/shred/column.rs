//! One column while a chunk is read: a typed vector that grows, nulls where records had nothing.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use super::{ColumnSpec, Stop};
use crate::error::{Error, Result};
use crate::infer::ColumnTypes;
use crate::json::{Canonical, ScanError, Scanner, is_exact_double};
use crate::timestamp;
use crate::types::{DataType, TIMESTAMP_ZONE};

/// The values of the rows so far. Rows at the end that have none are not there yet.
#[derive(Debug)]
enum Values {
    /// Of a column that is not wanted.
    Ignored,
    /// Of types to which no JSON value but null belongs: no rows are ever there.
    Nulls,
    Boolean(BooleanBufferBuilder),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Timestamp(Vec<i64>),
    Text(TextValues),
}

/// Text of all rows in one buffer; row `i` is between offsets `i` and `i + 1`.
#[derive(Debug)]
struct TextValues {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Column {
    spec: Arc<ColumnSpec>,
    values: Values,
    /// One bit per row in `values`, from the first null on that stands before a value.
    validity: Option<BooleanBufferBuilder>,
}

impl Column {
    pub(super) fn new(spec: Arc<ColumnSpec>) -> Self {
        let values = Values::of(spec.data_type);
        Self { spec, values, validity: None }
    }

    pub(super) fn ignored(spec: Arc<ColumnSpec>) -> Self {
        Self { spec, values: Values::Ignored, validity: None }
    }

    pub(super) fn is_ignored(&self) -> bool {
        matches!(self.values, Values::Ignored)
    }

    pub(super) fn spec(&self) -> &Arc<ColumnSpec> {
        &self.spec
    }

    /// Takes the value at the cursor for row `row`, in place of one the row may have already.
    #[inline]
    pub(super) fn append(
        &mut self,
        row: usize,
        scanner: &mut Scanner<'_>,
        canonical: &mut Canonical,
    ) -> Result<(), Stop> {
        if self.values.len() != row {
            self.align(row);
        }
        // After a null the column stays short: whoever comes next fills it up.
        if self.values.take(scanner, canonical, self.spec.data_type)?
            && let Some(validity) = &mut self.validity
        {
            validity.append(true);
        }
        Ok(())
    }

    /// Makes the column `row` rows long: nulls for rows that had nothing, or less by the row being written again.
    #[cold]
    fn align(&mut self, row: usize) {
        let rows = self.values.len();
        if rows > row {
            self.truncate(row);
        } else if rows < row && self.values.resize(row) {
            let validity = self.validity.get_or_insert_with(|| {
                let mut validity = BooleanBufferBuilder::new(row);
                validity.append_n(rows, true);
                validity
            });
            validity.append_n(row - rows, false);
        }
    }

    /// Drops the rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        if self.values.len() > rows {
            self.values.resize(rows);
            if let Some(validity) = &mut self.validity {
                validity.truncate(rows);
            }
        }
    }

    /// Drops all rows.
    pub(super) fn clear(&mut self) {
        self.truncate(0);
        self.validity = None;
    }

    /// Widens the column so that it can hold what was seen. Returns whether its Arrow type changed, and whether rows
    /// it has must be read again for that.
    pub(super) fn widen(&mut self, seen: ColumnTypes) -> (bool, bool) {
        let before = self.spec.data_type;
        let mut after = seen.widen(before);
        if before == after || self.is_ignored() {
            return (false, false);
        }
        if after == DataType::Number && self.values.would_round() {
            after = DataType::String;
        }
        Arc::make_mut(&mut self.spec).data_type = after;
        let values = Values::of(after);
        if std::mem::discriminant(&values) == std::mem::discriminant(&self.values) {
            return (false, false);
        }
        let reread = self.values.len() > 0;
        self.values = values;
        self.validity = None;
        (before.to_arrow() != after.to_arrow(), reread)
    }

    /// The rows as an array `rows` long; the column is then empty.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        let data_type = self.spec.data_type;
        if self.values.len() == 0 {
            self.clear();
            return Ok(new_null_array(&data_type.to_arrow(), rows));
        }
        if self.values.len() != rows {
            self.align(rows);
        }
        let nulls = self.validity.take().map(|validity| NullBuffer::new(validity.build()));
        let successor = self.values.successor();
        let values = std::mem::replace(&mut self.values, successor);
        values
            .into_array(data_type, nulls, rows)
            .map_err(|source| Error::Column { column: self.spec.name.clone(), source })
    }
}

impl Values {
    /// No rows of a type.
    fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(0)),
            DataType::IntegerSmall => Self::Int32(Vec::new()),
            DataType::Integer => Self::Int64(Vec::new()),
            DataType::Number => Self::Float64(Vec::new()),
            DataType::Null | DataType::NumberSmall | DataType::Unknown => Self::Nulls,
            DataType::String | DataType::Object | DataType::Array => Self::Text(TextValues::default()),
            _ => Self::Timestamp(Vec::new()),
        }
    }

    /// No rows, in the same kind of vector, with room for as much as there is now.
    fn successor(&self) -> Self {
        match self {
            Self::Ignored => Self::Ignored,
            Self::Nulls => Self::Nulls,
            Self::Boolean(bits) => Self::Boolean(BooleanBufferBuilder::new(bits.len())),
            Self::Int32(values) => Self::Int32(Vec::with_capacity(values.len())),
            Self::Int64(values) => Self::Int64(Vec::with_capacity(values.len())),
            Self::Float64(values) => Self::Float64(Vec::with_capacity(values.len())),
            Self::Timestamp(values) => Self::Timestamp(Vec::with_capacity(values.len())),
            Self::Text(text) => Self::Text(TextValues::with_capacity(text.len(), text.bytes.len())),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Ignored | Self::Nulls => 0,
            Self::Boolean(bits) => bits.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) | Self::Timestamp(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// Cuts or fills up to `rows`; `false` if rows are not kept at all.
    fn resize(&mut self, rows: usize) -> bool {
        match self {
            Self::Ignored | Self::Nulls => return false,
            Self::Boolean(bits) => bits.resize(rows),
            Self::Int32(values) => values.resize(rows, 0),
            Self::Int64(values) | Self::Timestamp(values) => values.resize(rows, 0),
            Self::Float64(values) => values.resize(rows, 0.0),
            Self::Text(text) => text.resize(rows),
        }
        true
    }

    /// Is there an integer that a double would round?
    fn would_round(&self) -> bool {
        match self {
            Self::Int64(values) => values.iter().any(|value| !is_exact_double(value.unsigned_abs().into())),
            _ => false,
        }
    }

    /// Moves over the value at the cursor and appends it; `false` if it is a null, which appends nothing.
    #[inline]
    fn take(
        &mut self,
        scanner: &mut Scanner<'_>,
        canonical: &mut Canonical,
        data_type: DataType,
    ) -> Result<bool, Stop> {
        let first = scanner.peek().unwrap_or_default();
        match (self, first) {
            (Self::Text(text), b'"') => {
                check_name(data_type, DataType::String)?;
                text.push(|bytes| scanner.string_into(bytes))?;
            }
            (Self::Int64(values), b'-' | b'0'..=b'9') => values.push(scanner.number()?.as_i64().ok_or(Stop::Misfit)?),
            (Self::Float64(values), b'-' | b'0'..=b'9') => values.push(scanner.number()?.as_f64().ok_or(Stop::Misfit)?),
            (Self::Timestamp(values), b'"') => {
                let parsed = timestamp::parse(&scanner.string()?.unescape()).ok_or(Stop::Misfit)?;
                if parsed.precision > data_type {
                    return Err(Stop::Misfit);
                }
                values.push(parsed.micros);
            }
            (_, b'n') => {
                scanner.word("null")?;
                return Ok(false);
            }
            (Self::Boolean(bits), b't' | b'f') => bits.append(boolean(scanner, first)?),
            (Self::Int32(values), b't' | b'f') => values.push(boolean(scanner, first)?.into()),
            (Self::Int64(values), b't' | b'f') => values.push(boolean(scanner, first)?.into()),
            (Self::Float64(values), b't' | b'f') => values.push(boolean(scanner, first)?.into()),
            (Self::Text(text), b'{' | b'[') => {
                check_name(data_type, if first == b'{' { DataType::Object } else { DataType::Array })?;
                text.push(|bytes| canonical.write_value(scanner, bytes))?;
            }
            (Self::Text(text), _) => {
                check_name(data_type, DataType::String)?;
                text.push(|bytes| {
                    let start = scanner.position();
                    scanner.skip_value()?;
                    bytes.extend_from_slice(scanner.since(start));
                    Ok(())
                })?;
            }
            (Self::Ignored, _) => {
                scanner.skip_value()?;
                return Ok(false);
            }
            _ => return Err(Stop::Misfit),
        }
        Ok(true)
    }

    fn into_array(self, data_type: DataType, nulls: Option<NullBuffer>, rows: usize) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Ignored | Self::Nulls => new_null_array(&data_type.to_arrow(), rows),
            Self::Boolean(bits) => Arc::new(BooleanArray::new(bits.build(), nulls)),
            Self::Int32(values) => Arc::new(Int32Array::try_new(ScalarBuffer::from(values), nulls)?),
            Self::Int64(values) => Arc::new(Int64Array::try_new(ScalarBuffer::from(values), nulls)?),
            Self::Float64(values) => Arc::new(Float64Array::try_new(ScalarBuffer::from(values), nulls)?),
            Self::Timestamp(values) => {
                let array = TimestampMicrosecondArray::try_new(ScalarBuffer::from(values), nulls)?;
                Arc::new(array.with_timezone(TIMESTAMP_ZONE))
            }
            Self::Text(text) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(text.offsets));
                Arc::new(StringArray::try_new(offsets, Buffer::from_vec(text.bytes), nulls)?)
            }
        })
    }
}

/// Text of all kinds is one in Arrow, but a column is called `object` or `array` only as long as it has nothing else.
#[inline]
fn check_name(column: DataType, value: DataType) -> Result<(), Stop> {
    if column == DataType::String || column == value { Ok(()) } else { Err(Stop::Misfit) }
}

/// The word that begins with `first`, `t` or `f`.
fn boolean(scanner: &mut Scanner<'_>, first: u8) -> Result<bool, ScanError> {
    let value = first == b't';
    scanner.word(if value { "true" } else { "false" })?;
    Ok(value)
}

impl TextValues {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(bytes) }
    }

    #[inline]
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Appends the row that `write` writes, or nothing if it fails.
    #[inline]
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), ScanError>) -> Result<(), ScanError> {
        let start = self.bytes.len();
        let result = write(&mut self.bytes);
        match result {
            Ok(()) => self.offsets.push(self.end()),
            Err(_) => self.bytes.truncate(start),
        }
        result
    }

    /// The offset of the end of the text.
    #[inline]
    fn end(&self) -> i32 {
        i32::try_from(self.bytes.len()).expect("CHUNK_BYTES_MAX keeps text below 2 GiB")
    }

    fn resize(&mut self, rows: usize) {
        if rows < self.len() {
            self.offsets.truncate(rows + 1);
            let end = self.offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or_default();
            self.bytes.truncate(end);
        } else {
            self.offsets.resize(rows + 1, self.end());
        }
    }
}

impl Default for TextValues {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}
