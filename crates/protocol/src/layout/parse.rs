//! The notation of [`super::table`].
//!
//! Fields stand in wire order, separated by blanks: `bool i8 i16 u16 i32 u32 i64 f64 uuid str bytes`, `[x]` an array of
//! x, `{..}` a struct, `?{..}` a struct that may be absent. `3+:x` is a field from version 3 on, `-7:x` one up to
//! version 7, `3-7:x` one from 3 to 7. `#0=x` is the tagged field 0.

use super::{Field, Kind, Layout, Struct};
use crate::version::VersionRange;

/// Every table entry is parsed by a test, so a mistake in the table cannot reach a user.
const VALID: &str = "layout notation is checked by tests";

impl Layout {
    pub(super) fn parse(flexible_from: i16, notation: &str) -> Layout {
        let mut rest = notation;
        let root = parse_struct(&mut rest);
        assert!(rest.is_empty(), "{VALID}: {notation}");
        Layout { flexible_from, root }
    }
}

fn parse_struct(rest: &mut &str) -> Struct {
    let mut parsed = Struct::default();
    loop {
        *rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('}') {
            return parsed;
        }
        let versions = parse_versions(rest);
        if let Some(after) = rest.strip_prefix('#') {
            let (tag, after) = after.split_once('=').expect(VALID);
            *rest = after;
            parsed.tagged.push((tag.parse().expect(VALID), Field { versions, kind: parse_kind(rest) }));
        } else {
            parsed.fields.push(Field { versions, kind: parse_kind(rest) });
        }
    }
}

fn parse_versions(rest: &mut &str) -> VersionRange {
    let digits_end = rest.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '+').unwrap_or(0);
    let (range, after) = rest.split_at(digits_end);
    let Some(after) = after.strip_prefix(':') else { return VersionRange::new(0, i16::MAX) };
    *rest = after;
    let (min, max) = match range.strip_suffix('+') {
        Some(min) => (min, ""),
        None => range.split_once('-').unwrap_or((range, range)),
    };
    let number = |text: &str, default: i16| if text.is_empty() { default } else { text.parse().expect(VALID) };
    VersionRange::new(number(min, 0), number(max, i16::MAX))
}

fn parse_kind(rest: &mut &str) -> Kind {
    if let Some(after) = rest.strip_prefix('[') {
        *rest = after;
        let element = parse_kind(rest);
        *rest = rest.strip_prefix(']').expect(VALID);
        return Kind::Array(Box::new(element));
    }
    let optional = rest.starts_with('?');
    if let Some(after) = rest.strip_prefix("?{").or_else(|| rest.strip_prefix('{')) {
        *rest = after;
        let body = parse_struct(rest);
        *rest = rest.strip_prefix('}').expect(VALID);
        return if optional { Kind::OptionalStruct(body) } else { Kind::Struct(body) };
    }
    let end = rest.find([' ', ']', '}']).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    *rest = after;
    match name {
        "bool" | "i8" => Kind::Fixed(1),
        "i16" | "u16" => Kind::Fixed(2),
        "i32" | "u32" => Kind::Fixed(4),
        "i64" | "f64" => Kind::Fixed(8),
        "uuid" => Kind::Fixed(16),
        "str" => Kind::Text,
        "bytes" => Kind::Bytes,
        other => panic!("{VALID}: {other:?}"),
    }
}
