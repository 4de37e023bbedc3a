//! Number literals: checked, measured, and turned into the value they name without ever rounding an integer.

use crate::swar::take_digits;

/// A JSON number literal.
#[derive(Debug, Clone, Copy)]
pub struct Number<'a> {
    literal: &'a [u8],
    /// All digits as one integer, when there are at most [`DIGITS_EXACT`].
    digits: u64,
    digit_count: usize,
    /// The value is `digits` times ten to this power.
    exponent: i32,
    negative: bool,
    /// Neither point nor exponent.
    integer: bool,
}

/// Any this many digits fit into a `u64`.
const DIGITS_EXACT: usize = 19;

/// Every integer up to here has its own double.
const DOUBLE_INTEGER_MAX: u64 = 1 << 53;

/// Powers of ten a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

impl<'a> Number<'a> {
    /// Reads the literal at the start of `text`; the error is the offset of the byte that does not belong.
    #[inline]
    pub(crate) fn scan(text: &'a [u8]) -> Result<Self, usize> {
        let negative = text.first() == Some(&b'-');
        let start = usize::from(negative);
        let (digits, mut end) = take_digits(text, start, 0);
        if end == start || (text.get(start) == Some(&b'0') && end - start > 1) {
            return Err(end.min(start + 1));
        }
        let mut number =
            Number { literal: &[], digits, digit_count: end - start, exponent: 0, negative, integer: true };
        if let Some(b'.' | b'e' | b'E') = text.get(end) {
            end = number.scan_rest(text, end)?;
        }
        number.literal = text.get(..end).unwrap_or_default();
        Ok(number)
    }

    /// Fraction and exponent, from `end` on; returns where they end.
    #[inline]
    fn scan_rest(&mut self, text: &[u8], mut end: usize) -> Result<usize, usize> {
        self.integer = false;
        if text.get(end) == Some(&b'.') {
            let start = end + 1;
            (self.digits, end) = take_digits(text, start, self.digits);
            if end == start {
                return Err(end);
            }
            self.digit_count += end - start;
            self.exponent = i32::try_from(end - start).map_or(i32::MIN, |places| -places);
        }
        if let Some(b'e' | b'E') = text.get(end) {
            let down = text.get(end + 1) == Some(&b'-');
            let start = end + 1 + usize::from(down || text.get(end + 1) == Some(&b'+'));
            let (power, after) = take_digits(text, start, 0);
            if after == start {
                return Err(after);
            }
            // A power too long for its digits to be known is far beyond every double.
            let power = if after - start <= DIGITS_EXACT { i32::try_from(power).unwrap_or(i32::MAX) } else { i32::MAX };
            self.exponent = self.exponent.saturating_add(if down { -power } else { power });
            end = after;
        }
        Ok(end)
    }

    /// The text of the number.
    #[must_use]
    #[inline]
    pub const fn literal(&self) -> &'a [u8] {
        self.literal
    }

    /// The value as a 64-bit integer, if the literal is one (no point, no exponent) and fits.
    #[must_use]
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        if !self.integer || self.digit_count > DIGITS_EXACT {
            return None;
        }
        if self.negative { 0_i64.checked_sub_unsigned(self.digits) } else { i64::try_from(self.digits).ok() }
    }

    /// The value as a double, if nothing is lost beyond what a double is for: an integer literal must be held exactly,
    /// a decimal one is rounded to the nearest double. `None` also for literals beyond the largest double.
    #[must_use]
    #[inline]
    pub fn as_f64(&self) -> Option<f64> {
        if self.integer && !self.fits_double() {
            return None;
        }
        let small = self.digit_count <= DIGITS_EXACT && self.digits <= DOUBLE_INTEGER_MAX;
        let power = usize::try_from(self.exponent.unsigned_abs()).ok().and_then(|power| POWERS.get(power));
        match (small, power) {
            // Both operands are exact, so the one operation rounds correctly.
            (true, Some(power)) => {
                let digits = self.digits as f64;
                let value = if self.exponent < 0 { digits / power } else { digits * power };
                Some(if self.negative { -value } else { value })
            }
            _ => fast_float2::parse(self.literal).ok().filter(|value: &f64| value.is_finite()),
        }
    }

    /// Does a double hold this integer literal without rounding? Beyond 38 digits the answer is no.
    #[inline]
    fn fits_double(&self) -> bool {
        if self.digit_count <= DIGITS_EXACT {
            self.digits <= DOUBLE_INTEGER_MAX || is_exact_double(u128::from(self.digits))
        } else {
            let digits = self.literal.strip_prefix(b"-").unwrap_or(self.literal);
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).is_some_and(is_exact_double)
        }
    }
}

/// Does a double hold this integer without rounding?
#[inline]
#[must_use]
pub const fn is_exact_double(value: u128) -> bool {
    value == 0 || u128::BITS - value.leading_zeros() - value.trailing_zeros() <= f64::MANTISSA_DIGITS
}
