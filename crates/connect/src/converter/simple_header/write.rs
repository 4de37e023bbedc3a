//! Values to text.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::data::{Logical, Value};
use crate::java::DateFormat;

/// Appends a value. Within a list or a map texts stand in quotes.
pub(super) fn value(out: &mut String, value: &Value, embedded: bool) {
    match value {
        Value::String(text) => string(out, text, embedded),
        Value::Bytes(bytes) => quote(out, &STANDARD.encode(bytes), embedded),
        Value::Array(items) => {
            out.push('[');
            list(out, items.iter(), |out, item| self::value(out, item, true));
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            list(out, map.iter(), |out, (key, value)| {
                self::value(out, key, true);
                out.push(':');
                self::value(out, value, true);
            });
            out.push('}');
        }
        Value::Struct(fields) => {
            out.push('{');
            list(out, fields.schema().fields().iter().zip(fields.values()), |out, (field, value)| {
                string(out, &field.name, true);
                out.push(':');
                let value = if value.is_null() { field.schema.default_value().unwrap_or(value) } else { value };
                self::value(out, value, true);
            });
            out.push('}');
        }
        Value::Instant(ms) => out.push_str(&instant(*ms)),
        // Writing to a string does not fail.
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn list<T>(out: &mut String, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
}

fn string(out: &mut String, text: &str, embedded: bool) {
    if embedded {
        quote(out, &text.replace('\\', "\\\\").replace('"', "\\\""), true);
    } else {
        out.push_str(text);
    }
}

fn quote(out: &mut String, text: &str, embedded: bool) {
    if embedded {
        out.push('"');
    }
    out.push_str(text);
    if embedded {
        out.push('"');
    }
}

/// What a time is can only be seen by its value: the first day holds times of day, and midnights are dates.
fn instant(ms: i64) -> String {
    let pattern = if ms < Logical::DAY_MS {
        "HH:mm:ss.SSS'Z'"
    } else if ms % Logical::DAY_MS == 0 {
        "yyyy-MM-dd"
    } else {
        "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"
    };
    DateFormat::new(pattern).map(|format| format.format(ms)).unwrap_or_default()
}
