//! Variable-length integers of the record format: zigzag, seven bits a byte, lowest first.
//!
//! Nearly all of them take one or two bytes, so reading tries those first and leaves the rest to a loop.

/// Most bytes a 32-bit value takes.
const VARINT_BYTES_MAX: usize = 5;
/// Most bytes a 64-bit value takes.
const VARLONG_BYTES_MAX: usize = 10;

/// Reads a 32-bit value off the front of `bytes`; `None` if it is cut off or does not fit.
#[inline(always)]
pub(super) fn read_i32(bytes: &mut &[u8]) -> Option<i32> {
    match **bytes {
        [first, ref rest @ ..] if first < 0x80 => {
            *bytes = rest;
            Some(unzigzag_32(u32::from(first)))
        }
        [first, second, ref rest @ ..] if second < 0x80 => {
            *bytes = rest;
            Some(unzigzag_32(u32::from(first & 0x7f) | u32::from(second) << 7))
        }
        _ => read_long_form(bytes, VARINT_BYTES_MAX).and_then(|raw| u32::try_from(raw).ok()).map(unzigzag_32),
    }
}

/// Reads a 64-bit value off the front of `bytes`; `None` if it is cut off or does not fit.
#[inline(always)]
pub(super) fn read_i64(bytes: &mut &[u8]) -> Option<i64> {
    match **bytes {
        [first, ref rest @ ..] if first < 0x80 => {
            *bytes = rest;
            Some(unzigzag_64(u64::from(first)))
        }
        _ => read_long_form(bytes, VARLONG_BYTES_MAX).map(unzigzag_64),
    }
}

fn read_long_form(bytes: &mut &[u8], bytes_max: usize) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(bytes_max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index;
        // The tenth byte has room for one bit only.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

#[inline(always)]
fn unzigzag_32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

#[inline(always)]
fn unzigzag_64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

#[inline(always)]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Bytes that `value` takes; a value in the range of `i32` takes the same in both widths.
#[inline(always)]
pub(super) const fn size(value: i64) -> usize {
    match zigzag(value) {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        raw => (64 - raw.leading_zeros()).div_ceil(7) as usize,
    }
}

/// Writes `value` at `position`, where `target` must have room for it, and returns the position behind it.
#[inline(always)]
pub(super) fn write(target: &mut [u8], mut position: usize, value: i64) -> usize {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        target[position] = low_byte(raw) | 0x80;
        raw >>= 7;
        position += 1;
    }
    target[position] = low_byte(raw);
    position + 1
}

#[inline(always)]
const fn low_byte(raw: u64) -> u8 {
    (raw & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: i64) -> Vec<u8> {
        let mut target = [0; 16];
        let end = write(&mut target, 0, value);
        target[..end].to_vec()
    }

    #[test]
    fn extremes_round_trip() {
        for value in [0, -1, 1, 63, -64, 64, 8191, -8192, 8192, i64::from(i32::MAX), i64::MIN, i64::MAX] {
            let bytes = written(value);
            assert_eq!(bytes.len(), size(value), "{value}");
            assert_eq!(read_i64(&mut &bytes[..]), Some(value));
        }
    }

    #[test]
    fn values_beyond_the_width_are_refused() {
        assert_eq!(read_i32(&mut &written(i64::from(i32::MAX) + 1)[..]), None);
        assert_eq!(read_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
        assert_eq!(read_i64(&mut &[0xff; 10][..]), None);
        assert_eq!(read_i64(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02][..]), None);
        assert_eq!(read_i32(&mut &[][..]), None);
        assert_eq!(read_i32(&mut &[0x80][..]), None);
    }

    proptest! {
        #[test]
        fn any_value_round_trips(value: i64, after: u8) {
            let mut bytes = written(value);
            prop_assert_eq!(bytes.len(), size(value));
            bytes.push(after);
            let mut rest = &bytes[..];
            prop_assert_eq!(read_i64(&mut rest), Some(value));
            prop_assert_eq!(rest, &[after]);
            let mut rest = &bytes[..];
            prop_assert_eq!(read_i32(&mut rest), i32::try_from(value).ok());
        }
    }
}
