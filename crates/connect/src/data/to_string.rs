//! Values as text, as Java's `toString` writes them: what `StringConverter` and `Cast` put into records.

use std::fmt;

use super::{Struct, Value};

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => formatter.write_str("null"),
            Value::Boolean(value) => value.fmt(formatter),
            Value::Int8(value) => value.fmt(formatter),
            Value::Int16(value) => value.fmt(formatter),
            Value::Int32(value) => value.fmt(formatter),
            Value::Int64(value) => value.fmt(formatter),
            Value::Float32(value) => formatter.write_str(&float_to_string(*value)),
            Value::Float64(value) => formatter.write_str(&double_to_string(*value)),
            Value::String(text) => formatter.write_str(text),
            Value::Bytes(bytes) => {
                write!(formatter, "java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", bytes.len())
            }
            Value::Array(items) => {
                formatter.write_str("[")?;
                write_list(formatter, items.iter(), ", ", |formatter, item| item.fmt(formatter))?;
                formatter.write_str("]")
            }
            Value::Map(map) => {
                formatter.write_str("{")?;
                write_list(formatter, map.iter(), ", ", |formatter, (key, value)| write!(formatter, "{key}={value}"))?;
                formatter.write_str("}")
            }
            Value::Struct(value) => value.fmt(formatter),
            Value::Decimal(value) => value.fmt(formatter),
            Value::Instant(ms) => write_date(formatter, *ms),
        }
    }
}

impl fmt::Display for Struct {
    /// `Struct{a=1,b=x}`; fields that are null are left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Struct{")?;
        let set = self.schema().fields().iter().zip(self.values()).filter(|(_, value)| !value.is_null());
        write_list(formatter, set, ",", |formatter, (field, value)| write!(formatter, "{}={value}", field.name))?;
        formatter.write_str("}")
    }
}

fn write_list<T>(
    formatter: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    separator: &str,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            formatter.write_str(separator)?;
        }
        write(formatter, item)?;
    }
    Ok(())
}

/// As `java.util.Date.toString` in UTC: `Thu Jan 01 00:00:00 UTC 1970`. A time beyond the year 9999 is written as its
/// milliseconds.
fn write_date(formatter: &mut fmt::Formatter<'_>, ms: i64) -> fmt::Result {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => write!(formatter, "{}", time.strftime("%a %b %d %H:%M:%S UTC %Y")),
        Err(_) => write!(formatter, "{ms}"),
    }
}

/// A double as `Double.toString` writes it: at least one digit behind the point, scientific below 0.001 and from ten
/// million on. The digits are the fewest that read back as the same number, as in Java from version 19 on.
pub fn double_to_string(value: f64) -> String {
    if value.is_finite() { java_float(&format!("{value:e}")) } else { special(value) }
}

/// A float as `Float.toString` writes it; see [`double_to_string`].
pub fn float_to_string(value: f32) -> String {
    if value.is_finite() { java_float(&format!("{value:e}")) } else { special(f64::from(value)) }
}

fn special(value: f64) -> String {
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    text.to_owned()
}

/// From Rust's shortest scientific form, `-1.25e-7`.
fn java_float(scientific: &str) -> String {
    let (sign, unsigned) = match scientific.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", scientific),
    };
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|digit| *digit != '.').collect();
    if digits == "0" {
        return format!("{sign}0.0");
    }
    if !(-3..7).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        return format!("{sign}{first}.{rest}E{exponent}");
    }
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        return format!("{sign}0.{}{digits}", "0".repeat(zeros));
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Map, Schema, Type};

    #[test]
    fn doubles_as_java() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (1.5, "1.5"),
            (-2.25e-10, "-2.25E-10"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(double_to_string(value), text);
        }
        assert_eq!(float_to_string(0.1), "0.1");
        assert_eq!(float_to_string(3.4e38), "3.4E38");
    }

    #[test]
    fn structures_as_java() {
        let schema = Schema::structure()
            .field("a", Schema::of(Type::Int32))
            .field("b", Schema::optional_of(Type::String))
            .field("c", Schema::array(Schema::of(Type::Int64)).build().unwrap())
            .build()
            .unwrap();
        let mut value = Struct::new(schema).unwrap();
        value.put("a", 1).unwrap().put("c", Value::Array(vec![1_i64.into(), 2_i64.into()])).unwrap();
        assert_eq!(value.to_string(), "Struct{a=1,c=[1, 2]}");
        let map: Map = [("k".into(), Value::Null), ("l".into(), Value::from(true))].into_iter().collect();
        assert_eq!(Value::from(map).to_string(), "{k=null, l=true}");
        assert_eq!(Value::Instant(0).to_string(), "Thu Jan 01 00:00:00 UTC 1970");
    }
}
