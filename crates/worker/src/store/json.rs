//! JSON text with the bytes of Java's Jackson.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

/// Compact, with control characters escaped in upper-case digits.
struct Jackson(CompactFormatter);

impl Formatter for Jackson {
    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04X}"),
            other => self.0.write_char_escape(writer, other),
        }
    }
}

/// The bytes of a value.
pub(crate) fn compact(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Jackson(CompactFormatter));
    value.serialize(&mut serializer).expect("a value can be written to memory");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_jacksons() {
        let value = serde_json::json!({"a": "\u{1f}\u{7f}\n\"\\/ž\u{2028}", "b": [1, 1.5, null]});
        let expected = "{\"a\":\"\\u001F\u{7f}\\n\\\"\\\\/ž\u{2028}\",\"b\":[1,1.5,null]}";
        assert_eq!(String::from_utf8(compact(&value)).unwrap(), expected);
    }
}
