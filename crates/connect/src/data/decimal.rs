//! Decimal numbers of any size: Java's `BigDecimal`.

use std::fmt;

use num_bigint::BigInt;

/// `unscaled` times ten to the power of minus `scale`.
///
/// Equality is Java's: 1.0 and 1.00 differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// All digits.
    pub unscaled: BigInt,
    /// How many of them stand behind the point; negative adds zeros.
    pub scale: i32,
}

/// Longest text that is read as a decimal: a number with more digits is an attack, not data.
const TEXT_BYTES_MAX: usize = 64 * 1024;

impl Decimal {
    /// From the big-endian two's complement of the unscaled value, as Connect stores it.
    pub fn from_bytes(bytes: &[u8], scale: i32) -> Decimal {
        Decimal { unscaled: BigInt::from_signed_bytes_be(bytes), scale }
    }

    /// The unscaled value as Connect stores it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.unscaled.to_signed_bytes_be()
    }

    /// Reads `-12.50`, `1e3`; `None` when it is no number. The scale is what is written, as in Java.
    pub fn parse(text: &str) -> Option<Decimal> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].strip_prefix('+').unwrap_or(&text[at + 1..]).parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if unsigned.len() + fraction.len() == 0 || !all_digits(unsigned) || !all_digits(fraction) {
            return None;
        }
        let digits = format!("{}{fraction}", whole.strip_prefix('+').unwrap_or(whole));
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Some(Decimal { unscaled: digits.parse().ok()?, scale })
    }

    /// The lowest 64 bits of the number without its fraction, as Java narrows it.
    pub fn low_bits(&self) -> i64 {
        let whole = match u32::try_from(self.scale) {
            Ok(scale) if u64::from(scale) > self.unscaled.bits() => return 0,
            Ok(scale) => &self.unscaled / BigInt::from(10).pow(scale),
            // Of ten to the power of 64 and above no bit is left in the lowest 64.
            Err(_) if self.scale <= -64 => return 0,
            Err(_) => &self.unscaled * BigInt::from(10).pow(self.scale.unsigned_abs()),
        };
        let mut low = [if whole.sign() == num_bigint::Sign::Minus { 0xff } else { 0 }; 8];
        for (to, from) in low.iter_mut().zip(whole.to_signed_bytes_le()) {
            *to = from;
        }
        i64::from_le_bytes(low)
    }

    /// Nearest double.
    pub fn to_f64(&self) -> f64 {
        format!("{}e{}", self.unscaled, -i64::from(self.scale)).parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    /// As Java's `BigDecimal.toString`: plain for a scale from 0 while the exponent is at least -6, else scientific.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.unscaled.magnitude().to_string();
        if self.unscaled.sign() == num_bigint::Sign::Minus {
            formatter.write_str("-")?;
        }
        let digits = i64::try_from(text.len()).unwrap_or(i64::MAX);
        let exponent = digits - 1 - i64::from(self.scale);
        if self.scale >= 0 && exponent >= -6 {
            return write_plain(formatter, &text, usize::try_from(self.scale).unwrap_or(0));
        }
        formatter.write_str(&text[..1])?;
        if text.len() > 1 {
            write!(formatter, ".{}", &text[1..])?;
        }
        if exponent == 0 { Ok(()) } else { write!(formatter, "E{exponent:+}") }
    }
}

fn write_plain(formatter: &mut fmt::Formatter<'_>, digits: &str, scale: usize) -> fmt::Result {
    match digits.len().checked_sub(scale) {
        _ if scale == 0 => formatter.write_str(digits),
        Some(whole) if whole > 0 => write!(formatter, "{}.{}", &digits[..whole], &digits[whole..]),
        _ => write!(formatter, "0.{digits:0>scale$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_java_does() {
        let decimal = |unscaled: i64, scale| Decimal { unscaled: unscaled.into(), scale }.to_string();
        assert_eq!(decimal(123, 0), "123");
        assert_eq!(decimal(-123, 2), "-1.23");
        assert_eq!(decimal(123, 5), "0.00123");
        assert_eq!(decimal(123, 10), "1.23E-8");
        assert_eq!(decimal(123, -3), "1.23E+5");
        assert_eq!(decimal(0, 0), "0");
        assert_eq!(decimal(0, 2), "0.00");
        assert_eq!(decimal(0, 7), "0E-7");
        assert_eq!(decimal(-5, 1), "-0.5");
        assert_eq!(decimal(1, -1), "1E+1");
    }

    #[test]
    fn reads_what_it_prints() {
        for text in ["0", "-1.23", "0.00123", "1.23E-8", "1.23E+5", "12345678901234567890.123456789"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "-", ".", "1.2.3", "0x1", "1e", "NaN", " 1"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse("1.").unwrap().scale, 0);
        assert_eq!(Decimal::parse(".5").unwrap().to_string(), "0.5");
    }

    #[test]
    fn bytes_are_twos_complement() {
        let decimal = Decimal { unscaled: (-129).into(), scale: 1 };
        assert_eq!(decimal.to_bytes(), [0xff, 0x7f]);
        assert_eq!(Decimal::from_bytes(&[0xff, 0x7f], 1), decimal);
        assert!((decimal.to_f64() + 12.9).abs() < 1e-12);
    }
}
