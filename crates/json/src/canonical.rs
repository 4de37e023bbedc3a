//! The one form of JSON text at the destination: no white space, keys sorted bytewise, the last of equal keys, number
//! literals as they came, strings as [`write_string`] writes them.

use std::cmp::Ordering;
use std::ops::Range;

use crate::scan::{ScanError, Scanner, deeper};
use crate::text::{Text, is_canonical, write_string};

/// Rewrites JSON values; keeps its buffers from value to value.
#[derive(Debug, Default)]
pub struct Canonical {
    /// Members of the objects being written, innermost last.
    members: Vec<Member>,
    /// Resolved keys of those members, where the key in the record has escapes.
    keys: Vec<u8>,
    scratch: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Member {
    /// Its key in `Canonical::keys`, if the record has it with escapes, else in the record.
    key: Range<usize>,
    resolved: bool,
    /// Its `"key":value` in the output.
    text: Range<usize>,
}

impl Canonical {
    /// Moves over the value at the cursor (a member of the record) and appends its canonical text.
    /// The output is at most six times as long as the input.
    ///
    /// # Errors
    /// When the value is not valid JSON; `out` then ends in a partial value.
    pub fn write_value(&mut self, scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<(), ScanError> {
        self.members.clear();
        self.keys.clear();
        self.value(scanner, 1, out)
    }

    fn value(&mut self, scanner: &mut Scanner<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), ScanError> {
        match scanner.peek() {
            Some(b'"') => {
                let text = scanner.string()?;
                self.write_text(text, out);
            }
            Some(b'{') => self.object(scanner, deeper(depth)?, out)?,
            Some(b'[') => self.array(scanner, deeper(depth)?, out)?,
            _ => {
                let start = scanner.position();
                scanner.skip_value()?;
                out.extend_from_slice(scanner.since(start));
            }
        }
        Ok(())
    }

    pub(crate) fn write_text(&mut self, text: Text<'_>, out: &mut Vec<u8>) {
        if !text.is_escaped() && is_canonical(text.raw()) {
            out.push(b'"');
            out.extend_from_slice(text.raw());
            out.push(b'"');
        } else {
            self.scratch.clear();
            text.unescape_into(&mut self.scratch);
            write_string(&self.scratch, out);
        }
    }

    fn array(&mut self, scanner: &mut Scanner<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), ScanError> {
        out.push(b'[');
        let mut more = scanner.enter_array()?;
        while more {
            self.value(scanner, depth, out)?;
            more = scanner.next_element()?;
            if more {
                out.push(b',');
            }
        }
        out.push(b']');
        Ok(())
    }

    /// Members are written as they come; only if they came out of order are they rearranged behind the `{`.
    fn object(&mut self, scanner: &mut Scanner<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), ScanError> {
        out.push(b'{');
        let first = self.members.len();
        let keys_start = self.keys.len();
        let record = scanner.clone();
        let mut more = scanner.enter_object()?;
        while more {
            let start = out.len();
            let key_start = scanner.position() + 1;
            let key = scanner.key()?;
            self.write_text(key, out);
            out.push(b':');
            self.value(scanner, depth, out)?;
            more = scanner.next_member()?;
            let span = self.key_span(key, key_start);
            self.members.push(Member { key: span, resolved: key.is_escaped(), text: start..out.len() });
            if more {
                out.push(b',');
            }
        }
        self.rearrange(&record, first, out);
        self.members.truncate(first);
        self.keys.truncate(keys_start);
        out.push(b'}');
        Ok(())
    }

    /// Where the key's own bytes stand: in the record, or resolved in `keys`.
    fn key_span(&mut self, key: Text<'_>, key_start: usize) -> Range<usize> {
        if !key.is_escaped() {
            return key_start..key_start + key.raw().len();
        }
        let start = self.keys.len();
        key.unescape_into(&mut self.keys);
        start..self.keys.len()
    }

    /// Sorts the members from `first` on, drops all but the last of equal keys, and writes them in that order.
    fn rearrange(&mut self, record: &Scanner<'_>, first: usize, out: &mut Vec<u8>) {
        let Self { members, keys, scratch } = self;
        let members = members.get_mut(first..).unwrap_or_default();
        let key = |member: &Member| {
            let bytes = if member.resolved { keys.as_slice() } else { record.text() };
            bytes.get(member.key.clone()).unwrap_or_default()
        };
        if members.is_sorted_by(|a, b| key(a) < key(b)) {
            return;
        }
        let Some(start) = members.first().map(|member| member.text.start) else { return };
        members.sort_unstable_by(|a, b| key(a).cmp(key(b)).then(a.text.start.cmp(&b.text.start)));
        scratch.clear();
        scratch.extend_from_slice(out.get(start..).unwrap_or_default());
        out.truncate(start);
        for (at, member) in members.iter().enumerate() {
            let replaced = members.get(at + 1).is_some_and(|next| key(next).cmp(key(member)) == Ordering::Equal);
            if replaced {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            let text = member.text.start - start..member.text.end - start;
            out.extend_from_slice(scratch.get(text).unwrap_or_default());
        }
    }
}
