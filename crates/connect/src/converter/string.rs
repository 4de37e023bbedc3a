//! `org.apache.kafka.connect.storage.StringConverter`: any value as its text.

use std::fmt::Write;

use bytes::Bytes;

use super::{Converter, SchemaAndValue};
use crate::data::{Schema, Text, Type, Value};
use crate::error::{Error, Result};

/// How text is stored (`converter.encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8; bytes that are not become U+FFFD when read, as in Java.
    #[default]
    Utf8,
    /// ISO-8859-1: one byte a character, `?` for those it does not have.
    Latin1,
    /// US-ASCII: as ISO-8859-1, up to 127.
    Ascii,
    /// UTF-16, big-endian, with a byte order mark when written.
    Utf16,
}

impl Encoding {
    /// By the names Java knows it under, in any case.
    pub fn parse(name: &str) -> Option<Encoding> {
        Some(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Encoding::Utf8,
            "ISO-8859-1" | "ISO8859_1" | "LATIN1" => Encoding::Latin1,
            "US-ASCII" | "ASCII" => Encoding::Ascii,
            "UTF-16" | "UTF16" => Encoding::Utf16,
            _ => return None,
        })
    }

    fn encode(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Encoding::Utf8 => out.extend_from_slice(text.as_bytes()),
            Encoding::Latin1 => out.extend(text.chars().map(|one| u8::try_from(u32::from(one)).unwrap_or(b'?'))),
            Encoding::Ascii => {
                out.extend(text.chars().map(|one| if one.is_ascii() { one as u32 as u8 } else { b'?' }));
            }
            Encoding::Utf16 => {
                out.extend_from_slice(&[0xFE, 0xFF]);
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
        }
    }

    fn decode(self, bytes: &Bytes) -> Text {
        match self {
            Encoding::Utf8 => {
                Text::from_utf8(bytes.clone()).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
            }
            Encoding::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
            Encoding::Ascii => {
                let character =
                    |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER };
                bytes.iter().map(character).collect::<String>().into()
            }
            Encoding::Utf16 => decode_utf16(bytes).into(),
        }
    }
}

fn decode_utf16(bytes: &[u8]) -> String {
    let (little, bytes) = match bytes {
        [0xFE, 0xFF, rest @ ..] => (false, rest),
        [0xFF, 0xFE, rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (units, tail) = bytes.as_chunks::<2>();
    let unit = |unit: &[u8; 2]| if little { u16::from_le_bytes(*unit) } else { u16::from_be_bytes(*unit) };
    let mut text = String::from_utf16_lossy(&units.iter().map(unit).collect::<Vec<_>>());
    text.extend((!tail.is_empty()).then_some(char::REPLACEMENT_CHARACTER));
    text
}

/// Writes `toString` of any value; reads everything as an optional string.
#[derive(Debug, Clone, Copy, Default)]
pub struct StringConverter {
    encoding: Encoding,
}

impl StringConverter {
    /// A converter of one encoding.
    pub fn new(encoding: Encoding) -> StringConverter {
        StringConverter { encoding }
    }
}

impl Converter for StringConverter {
    fn write(&self, _topic: &str, _schema: Option<&Schema>, value: &Value, out: &mut Vec<u8>) -> Result<bool> {
        match value {
            Value::Null => return Ok(false),
            Value::String(text) => self.encoding.encode(text, out),
            other => {
                let mut text = String::new();
                write!(text, "{other}").map_err(|_| Error::data("the value has no text"))?;
                self.encoding.encode(&text, out);
            }
        }
        Ok(true)
    }

    fn read(&self, _topic: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue> {
        let value = bytes.map_or(Value::Null, |bytes| Value::String(self.encoding.decode(bytes)));
        Ok(SchemaAndValue::new(Schema::optional_of(Type::String), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(converter: StringConverter, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(converter.write("t", None, value, &mut out).unwrap());
        out
    }

    #[test]
    fn writes_any_value_as_java_prints_it() {
        let converter = StringConverter::default();
        assert_eq!(text(converter, &"grün".into()), "grün".as_bytes());
        assert_eq!(text(converter, &Value::Int64(-1)), b"-1");
        assert_eq!(text(converter, &Value::Float64(1e10)), b"1.0E10");
        assert_eq!(text(converter, &Value::Boolean(true)), b"true");
        assert!(!converter.write("t", None, &Value::Null, &mut Vec::new()).unwrap());
    }

    #[test]
    fn encodings_round_trip() {
        for encoding in [Encoding::Utf8, Encoding::Latin1, Encoding::Utf16] {
            let converter = StringConverter::new(encoding);
            let bytes = Bytes::from(text(converter, &"grün".into()));
            assert_eq!(converter.read("t", Some(&bytes)).unwrap().value, "grün".into());
        }
        let ascii = StringConverter::new(Encoding::Ascii);
        assert_eq!(text(ascii, &"grün".into()), b"gr?n");
        assert_eq!(text(StringConverter::new(Encoding::Utf16), &"a".into()), [0xFE, 0xFF, 0, b'a']);
    }

    #[test]
    fn reads_what_is_not_utf8() {
        let bytes = Bytes::from_static(b"a\xff");
        let read = StringConverter::default().read("t", Some(&bytes)).unwrap();
        assert_eq!(read.value, "a\u{FFFD}".into());
        assert_eq!(StringConverter::default().read("t", None).unwrap().value, Value::Null);
    }
}
