//! Record keys as text, by OLake's rule: a JSON object is rewritten compactly with sorted members,
//! anything else is its own bytes.
//!
//! OLake puts bytes that are not UTF-8 straight into a STRING column, which makes the file unreadable.
//! Here the text has U+FFFD in their place and the bytes themselves go to `_kafka_key_bytes`.

use std::borrow::Cow;

use kanat_lake::raw::RawWriter;

/// Length of the schema-registry prefix: a zero byte and a four-byte schema id.
const REGISTRY_PREFIX_BYTES: usize = 5;

/// Renders keys, reusing its buffers.
#[derive(Debug)]
pub(crate) struct KeyText {
    canonical: RawWriter,
    object: Vec<u8>,
    text: String,
}

impl Default for KeyText {
    fn default() -> Self {
        Self { canonical: RawWriter::new(&[]), object: Vec::new(), text: String::new() }
    }
}

impl KeyText {
    /// The text of `key`, valid until the next call.
    pub(crate) fn render(&mut self, key: &[u8]) -> &str {
        let json = &key[registry_prefix_bytes(key)..];
        self.text.clear();
        self.object.clear();
        let is_object = json.trim_ascii_start().first() == Some(&b'{');
        if is_object && self.canonical.write(json, &[], &mut self.object).is_ok() {
            self.text.push_str(&String::from_utf8_lossy(&self.object));
        } else {
            match String::from_utf8_lossy(key) {
                Cow::Borrowed(text) => self.text.push_str(text),
                Cow::Owned(text) => self.text = text,
            }
        }
        &self.text
    }
}

/// How many bytes of `payload` a schema registry put before the data: without a registry OLake passes
/// over them and reads what follows as JSON.
pub(crate) fn registry_prefix_bytes(payload: &[u8]) -> usize {
    if payload.first() == Some(&0) && payload.len() >= REGISTRY_PREFIX_BYTES { REGISTRY_PREFIX_BYTES } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_olake_shows_them() {
        let mut text = KeyText::default();
        assert_eq!(text.render(br#"{"b":1,"a":"x"}"#), r#"{"a":"x","b":1}"#);
        assert_eq!(text.render(br#"{"z":1.0,"y":1e3,"t":"<&>"}"#), r#"{"t":"\u003c\u0026\u003e","y":1e3,"z":1.0}"#);
        assert_eq!(text.render(b"[1,2]"), "[1,2]");
        assert_eq!(text.render(b"5"), "5");
        assert_eq!(text.render(b""), "");
        assert_eq!(text.render(b"{not json"), "{not json");
        assert_eq!(text.render(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert_eq!(text.render(b"\0\0\0\0\x01{\"a\":1}"), r#"{"a":1}"#);
    }
}
