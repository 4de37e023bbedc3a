//! Values as they appear in folder names.

use std::fmt::Write as _;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, ArrayRef};
use arrow_schema::DataType as ArrowType;

use crate::calendar::Civil;
use crate::timestamp;

pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_HOUR: i64 = 3600 * MICROS_PER_SECOND;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// A value of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PartitionValue<'a> {
    /// Null or missing.
    Null,
    /// Text; an instant if it is date-like.
    Text(&'a str),
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number; with a granularity, seconds since 1970.
    Integer(i64),
    /// A decimal number.
    Number(f64),
    /// An instant in microseconds since 1970.
    Timestamp(i64),
}

/// Which part of an instant names the folder. The order is from fine to coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Granularity {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Granularity {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "HH" => Some(Self::Hour),
            "DD" => Some(Self::Day),
            "WW" => Some(Self::Week),
            "MM" => Some(Self::Month),
            "YYYY" => Some(Self::Year),
            _ => None,
        }
    }

    /// A number that is the same for instants no granularity as fine as this, or coarser, tells apart.
    pub(super) const fn bucket(self, micros: i64) -> i64 {
        match self {
            Self::Hour => micros.div_euclid(MICROS_PER_HOUR),
            Self::Day | Self::Week | Self::Month | Self::Year => micros.div_euclid(MICROS_PER_DAY),
        }
    }

    fn render(self, micros: i64, out: &mut String) {
        let civil = Civil::from_micros(micros);
        let (value, width) = match self {
            Self::Hour => (civil.hour, 2),
            Self::Day => (civil.day, 2),
            Self::Week => (civil.iso_week(), 2),
            Self::Month => (civil.month, 2),
            Self::Year => (civil.year, 0),
        };
        let _ = write!(out, "{value:0width$}");
    }
}

impl PartitionValue<'_> {
    /// Appends the value, or the part of its instant that is asked for.
    pub(super) fn render(&self, granularity: Option<Granularity>, out: &mut String) {
        if let Some((granularity, micros)) = granularity.zip(self.instant()) {
            granularity.render(micros, out);
            return;
        }
        let _ = match self {
            Self::Null => Ok(()),
            Self::Text(text) => out.write_str(text),
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Number(value) => number(*value, out),
            Self::Timestamp(micros) => instant(*micros, out),
        };
    }

    fn instant(&self) -> Option<i64> {
        match self {
            Self::Timestamp(micros) => Some(*micros),
            Self::Integer(seconds) => Some(seconds.saturating_mul(MICROS_PER_SECOND)),
            Self::Text(text) => timestamp::parse(text.as_bytes()).map(|parsed| parsed.micros),
            Self::Null | Self::Boolean(_) | Self::Number(_) => None,
        }
    }
}

/// The value of a row; null for a type that tables do not have.
pub(super) fn value_at(column: &ArrayRef, row: usize) -> PartitionValue<'_> {
    if column.is_null(row) {
        return PartitionValue::Null;
    }
    match column.data_type() {
        ArrowType::Utf8 => PartitionValue::Text(column.as_string::<i32>().value(row)),
        ArrowType::Timestamp(..) => {
            PartitionValue::Timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        ArrowType::Int64 => PartitionValue::Integer(column.as_primitive::<Int64Type>().value(row)),
        ArrowType::Int32 => PartitionValue::Integer(column.as_primitive::<Int32Type>().value(row).into()),
        ArrowType::Float64 => PartitionValue::Number(column.as_primitive::<Float64Type>().value(row)),
        ArrowType::Float32 => PartitionValue::Number(column.as_primitive::<Float32Type>().value(row).into()),
        ArrowType::Boolean => PartitionValue::Boolean(column.as_boolean().value(row)),
        _ => PartitionValue::Null,
    }
}

/// As Go prints floats: shortest digits, an exponent below 1e-4 and from 1e21.
fn number(value: f64, out: &mut String) -> std::fmt::Result {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() || (1e-4..1e21).contains(&magnitude) {
        return write!(out, "{value}");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    write!(out, "{digits}e{sign}{exponent:0>2}")
}

/// As Go prints instants: `2024-01-02 03:04:05.5 +0000 UTC`.
fn instant(micros: i64, out: &mut String) -> std::fmt::Result {
    let Civil { year, month, day, hour, minute, second, micros, .. } = Civil::from_micros(micros);
    write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")?;
    if micros > 0 {
        out.write_str(format!(".{micros:06}").trim_end_matches('0'))?;
    }
    out.write_str(" +0000 UTC")
}
