//! Strings: finding their end, resolving escapes, and writing them the way Go's `encoding/json` does.

use std::borrow::Cow;

use crate::swar::{self, WORD_BYTES, equals};

/// What stands between the quotes of a JSON string whose escapes have been checked.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

/// The character that stands for what is not one.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

impl<'a> Text<'a> {
    pub(crate) const fn new(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The bytes as they stand in the record.
    #[must_use]
    #[inline]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Are there escapes to resolve?
    #[must_use]
    #[inline]
    pub const fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// The string itself.
    #[must_use]
    #[inline]
    pub fn unescape(&self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        self.unescape_into(&mut out);
        Cow::Owned(out)
    }

    /// Appends the string itself, never longer than [`Text::raw`].
    #[inline]
    pub fn unescape_into(&self, out: &mut Vec<u8>) {
        if self.escaped {
            resolve(self.raw, out);
        } else {
            out.extend_from_slice(self.raw);
        }
    }
}

/// Where a string that goes on at `start` has its next quote, backslash or control character, or the end of the text.
#[inline]
pub(crate) fn plain_end(text: &[u8], start: usize) -> usize {
    let mut end = start;
    while let Some(word) = swar::word(text, end) {
        let length = swar::first(swar::string_stops(word));
        end += length;
        if length < WORD_BYTES {
            return end;
        }
    }
    plain_end_bytewise(text, end)
}

/// As [`plain_end`], and appends the plain text to `out` on the way.
#[inline]
pub(crate) fn copy_plain(text: &[u8], start: usize, out: &mut Vec<u8>) -> usize {
    let mut end = start;
    while let Some(word) = swar::word(text, end) {
        // Whole words are appended, and what was too much cut off again: cheaper than a copy of unknown length.
        out.extend_from_slice(&word.to_le_bytes());
        let length = swar::first(swar::string_stops(word));
        end += length;
        if length < WORD_BYTES {
            out.truncate(out.len() + length - WORD_BYTES);
            return end;
        }
    }
    let last = end;
    end = plain_end_bytewise(text, end);
    out.extend_from_slice(text.get(last..end).unwrap_or_default());
    end
}

fn plain_end_bytewise(text: &[u8], mut end: usize) -> usize {
    while text.get(end).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        end += 1;
    }
    end
}

/// Length of the escape that `text` begins with, if it is a valid one.
pub(crate) fn escape_length(text: &[u8]) -> Option<usize> {
    match text {
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [b'\\', b'u', hex @ ..] => code_unit(hex).map(|_| 6),
        _ => None,
    }
}

/// The four hex digits that `text` begins with.
fn code_unit(text: &[u8]) -> Option<u16> {
    text.first_chunk::<4>()?.iter().try_fold(0_u16, |unit, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        u16::try_from(digit).ok().map(|digit| unit << 4 | digit)
    })
}

/// Appends `raw` with its escapes resolved.
fn resolve(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', raw) {
        let (plain, escape) = raw.split_at(at);
        out.extend_from_slice(plain);
        let (character, length) = match escape.get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => resolve_unicode(escape),
            Some(other) => (char::from(*other), 2),
            None => (REPLACEMENT, 1),
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        raw = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(raw);
}

/// The character of the `\u` escape (or of the pair of them) that `text` begins with, and its length.
fn resolve_unicode(text: &[u8]) -> (char, usize) {
    let unit = |at: usize| match text.get(at..) {
        Some([b'\\', b'u', hex @ ..]) => code_unit(hex),
        _ => None,
    };
    let Some(first) = unit(0) else { return (REPLACEMENT, 2) };
    if let Some(character) = char::from_u32(u32::from(first)) {
        return (character, 6);
    }
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    pair.map_or((REPLACEMENT, 6), |character| (character, 12))
}

/// Can this string be written as it stands, because it has neither escapes nor characters that want one?
#[inline]
#[must_use]
pub fn is_canonical(raw: &[u8]) -> bool {
    let (words, tail) = raw.as_chunks::<WORD_BYTES>();
    let special = words.iter().fold(0, |found, word| {
        let word = u64::from_le_bytes(*word);
        found | equals(word, b'\\') | equals(word, b'<') | equals(word, b'>') | equals(word, b'&') | equals(word, 0xE2)
    });
    special == 0 && !tail.iter().any(|byte| matches!(byte, b'\\' | b'<' | b'>' | b'&' | 0xE2))
}

/// Appends `text` as a JSON string with its quotes, escaped as Go's `encoding/json` does for HTML safety: the quote, the
/// backslash and control characters; `<`, `>`, `&`, U+2028 and U+2029 as `\u003c` and so on; all else as it is.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let length = match byte {
            b'"' | b'\\' | 0..0x20 | b'<' | b'>' | b'&' => 1,
            0xE2 if matches!(text.get(at + 1..at + 3), Some([0x80, 0xA8 | 0xA9])) => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(text.get(plain..at).unwrap_or_default());
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xE2 if text.get(at + 2) == Some(&0xA8) => out.extend_from_slice(b"\\u2028"),
            0xE2 => out.extend_from_slice(b"\\u2029"),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        at += length;
        plain = at;
    }
    out.extend_from_slice(text.get(plain..).unwrap_or_default());
    out.push(b'"');
}

/// Appends `text` as a JSON string with its quotes, with the escapes that JSON asks for and no others, as Jackson does:
/// the quote, the backslash and control characters.
pub fn write_plain_string(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    let mut start = 0;
    loop {
        let end = plain_end(text, start);
        out.extend_from_slice(text.get(start..end).unwrap_or_default());
        let Some(&byte) = text.get(end) else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        start = end + 1;
    }
    out.push(b'"');
}
