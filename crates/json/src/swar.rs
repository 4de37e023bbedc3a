//! Eight bytes at a time, in one register: the inner loops of scanning, without a branch per byte.

/// Bytes looked at together.
pub(crate) const WORD_BYTES: usize = 8;

const ONES: u64 = u64::from_le_bytes([0x01; WORD_BYTES]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; WORD_BYTES]);
const ASCII_ZEROS: u64 = u64::from_le_bytes([b'0'; WORD_BYTES]);

/// Powers of ten by the number of digits in a word.
const POWERS: [u64; WORD_BYTES + 1] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The eight bytes at `at`, the first one lowest; `None` if there are fewer.
#[inline]
pub(crate) fn word(text: &[u8], at: usize) -> Option<u64> {
    text.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_le_bytes(*bytes))
}

/// Index of the first byte whose high bit is set in `bits`; 8 if there is none.
#[inline]
pub(crate) const fn first(bits: u64) -> usize {
    (bits.trailing_zeros() / u8::BITS) as usize
}

// In all of these a byte above the first one that is found may be marked by mistake (a borrow or a carry runs upwards),
// so only the first one counts.

/// Marks the first quote, backslash or control character, at which plain text of a string ends.
#[inline]
pub(crate) const fn string_stops(word: u64) -> u64 {
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    (quote | backslash | control) & !word & HIGH_BITS
}

/// Marks the first byte that equals `byte`.
#[inline]
pub(crate) const fn equals(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * byte as u64);
    difference.wrapping_sub(ONES) & !difference & HIGH_BITS
}

/// With every digit replaced by its value: marks the first byte that is no digit.
#[inline]
pub(crate) const fn no_digits(values: u64) -> u64 {
    const TO_HIGH_BIT: u64 = 0x80 - 10;
    (values.wrapping_add(ONES * TO_HIGH_BIT) | values) & HIGH_BITS
}

/// Runs over the digits at `at`: `value` continued with them (wrapping beyond 64 bits), and where they end.
#[inline]
pub(crate) fn take_digits(text: &[u8], at: usize, value: u64) -> (u64, usize) {
    let (mut value, mut end) = (value, at);
    while let Some(word) = word(text, end) {
        let values = word ^ ASCII_ZEROS;
        let count = first(no_digits(values));
        if count == 0 {
            return (value, end);
        }
        // Zeros take the place of missing leading digits.
        let aligned = values << (u64::BITS as usize - count * u8::BITS as usize);
        value = value.wrapping_mul(POWERS[count]).wrapping_add(eight_digits(aligned));
        end += count;
        if count < WORD_BYTES {
            return (value, end);
        }
    }
    while let Some(digit) = text.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        end += 1;
    }
    (value, end)
}

/// The number of eight digit values, the first one lowest: pairs, then fours, then all, each step one multiplication.
#[inline]
const fn eight_digits(values: u64) -> u64 {
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let even = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(100 + (1_000_000 << 32));
    let odd = (pairs >> 16 & 0x0000_00FF_0000_00FF).wrapping_mul(1 + (10_000 << 32));
    even.wrapping_add(odd) >> 32
}

/// A short sequence of bytes that is compared with the text again and again.
#[derive(Debug, Clone)]
pub struct Token {
    bytes: Box<[u8]>,
    head: u64,
    head_mask: u64,
    /// The last eight bytes, for tokens of eight and more.
    tail: u64,
}

impl Token {
    /// A token of any length.
    #[must_use]
    pub fn new(bytes: Box<[u8]>) -> Self {
        let mut head = [0; WORD_BYTES];
        let mut mask = [0; WORD_BYTES];
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(&bytes) {
            (*head, *mask) = (*byte, 0xFF);
        }
        let tail = bytes.len().checked_sub(WORD_BYTES).and_then(|at| word(&bytes, at)).unwrap_or_default();
        Self { head: u64::from_le_bytes(head), head_mask: u64::from_le_bytes(mask), tail, bytes }
    }

    /// Its length, if `text` has it at `at`.
    #[inline]
    pub(crate) fn length_at(&self, text: &[u8], at: usize) -> Option<usize> {
        let length = self.bytes.len();
        let found = match word(text, at) {
            Some(head) if (head ^ self.head) & self.head_mask != 0 => false,
            Some(_) if length <= WORD_BYTES => true,
            Some(_) if length <= 2 * WORD_BYTES => word(text, at + length - WORD_BYTES) == Some(self.tail),
            _ => text.get(at..).is_some_and(|rest| rest.starts_with(&self.bytes)),
        };
        found.then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_at_any_length_and_place() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let number = rng.u64(..) >> rng.u32(0..64);
            let tail = &"./:\u{e9} a\u{ff19}.,"[[0, 1, 2, 3, 5, 6][rng.usize(0..6)]..];
            let text = format!("{number}{tail}");
            let digits = number.to_string().len();
            assert_eq!(take_digits(text.as_bytes(), 0, 0), (number, digits), "{text}");
        }
    }

    #[test]
    fn stops_are_the_ones_found_byte_by_byte() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..50_000 {
            let bytes: [u8; 8] = std::array::from_fn(|_| match rng.u8(0..8) {
                0 => rng.u8(..),
                1 => *rng.choice(b"\"\\\x1f \x00\x80\xA2\xDC").unwrap(),
                _ => rng.u8(b'a'..=b'z'),
            });
            let slow = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(8);
            assert_eq!(first(string_stops(u64::from_le_bytes(bytes))), slow, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_token_is_found_exactly_where_it_stands() {
        let text: &[u8] = b"\"a\":1,\"seven7\":2,\"a_very_long_key_name_here\":3,\"twelve_bytes\":4}";
        for (at, length) in (0..text.len()).flat_map(|at| (1..=text.len() - at).map(move |length| (at, length))) {
            let token = Token::new(text[at..at + length].into());
            for place in 0..text.len() {
                let expected = text[place..].starts_with(&text[at..at + length]).then_some(length);
                assert_eq!(token.length_at(text, place), expected);
            }
        }
    }
}
