//! The raw layout: one record rewritten as canonical JSON, with members of the caller's merged in.
//!
//! Keys are sorted bytewise, the last of equal keys counts, number literals stay as they are, strings are escaped as Go's
//! `encoding/json` escapes them (see [`json::write_string`]). Where a payload key equals the key of an extra member, the
//! extra member keeps the name and the payload's value moves to the next free numbered key (`_kafka_offset_2`): OLake
//! drops it.
//!
//! A record is scanned once; members that are canonical already, nearly all, are copied from it in one piece. The order
//! that sorted the record before is tried first.

use std::cmp::Ordering;
use std::ops::Range;

use crate::json::{self, BadReason, Canonical, ScanError, Scanner, Text};

/// Rewrites records; keeps its buffers from record to record.
#[derive(Debug)]
pub struct RawWriter {
    extras: Vec<Extra>,
    canonical: Canonical,
    members: Vec<Member>,
    /// Indices into `members` by key; from the record before until it is checked.
    order: Vec<usize>,
    /// Text of members that cannot be copied from the record.
    rewritten: Vec<u8>,
    /// Keys that have escapes in the record, resolved.
    keys: Vec<u8>,
}

#[derive(Debug)]
struct Extra {
    key: Box<[u8]>,
    /// `"key":`
    token: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Record,
    /// Keys: in `RawWriter::keys`; text: in `RawWriter::rewritten`.
    Buffer,
    /// The extra member of this index.
    Extra(usize),
}

#[derive(Debug, Clone)]
struct Member {
    /// First bytes of the key, as a number that sorts like them.
    prefix: u64,
    key: (Place, Range<usize>),
    /// `"key":value`
    text: (Place, Range<usize>),
    /// Where in `text` the value begins.
    value_at: usize,
}

impl RawWriter {
    /// A writer that adds members of these keys to every record.
    #[must_use]
    pub fn new(extra_keys: &[&str]) -> Self {
        let extra = |key: &&str| {
            let mut token = Vec::new();
            json::write_string(key.as_bytes(), &mut token);
            token.push(b':');
            Extra { key: key.as_bytes().into(), token }
        };
        Self {
            extras: extra_keys.iter().map(extra).collect(),
            canonical: Canonical::default(),
            members: Vec::new(),
            order: Vec::new(),
            rewritten: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Appends the canonical text of one record to `out`. `extra_values` are the values of the extra members as JSON
    /// text, taken as they are, in the order of the keys given to [`RawWriter::new`]; an extra member without value is
    /// left out. Returns where in the record bytes follow that are not part of its first JSON value.
    ///
    /// # Errors
    /// If the record is not a JSON object; nothing is appended then.
    pub fn write(
        &mut self,
        record: &[u8],
        extra_values: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, BadReason> {
        let mut scanner = json::open(record)?;
        self.members.clear();
        self.rewritten.clear();
        self.keys.clear();
        self.collect(&mut scanner)?;
        for (index, (extra, _)) in self.extras.iter().zip(extra_values).enumerate() {
            let key = (Place::Extra(index), 0..extra.key.len());
            let text = (Place::Extra(index), 0..0);
            self.members.push(Member { prefix: prefix(&extra.key), key, text, value_at: 0 });
        }
        self.sort(record);
        out.reserve(record.len() + self.rewritten.len());
        out.push(b'{');
        for (at, member) in self.order.iter().filter_map(|index| self.members.get(*index)).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match &member.text {
                (Place::Record, text) => out.extend_from_slice(record.get(text.clone()).unwrap_or_default()),
                (Place::Buffer, text) => out.extend_from_slice(self.rewritten.get(text.clone()).unwrap_or_default()),
                (Place::Extra(index), _) => {
                    out.extend_from_slice(self.extras.get(*index).map_or(&[], |extra| &extra.token));
                    out.extend_from_slice(extra_values.get(*index).copied().unwrap_or_default());
                }
            }
        }
        out.push(b'}');
        Ok(scanner.remainder())
    }

    /// Reads the members of the record.
    fn collect(&mut self, scanner: &mut Scanner<'_>) -> Result<(), ScanError> {
        let record = scanner.text();
        // Without any of these bytes no string of the record has to be rewritten.
        let plain =
            memchr::memchr3(b'<', b'>', b'&', record).is_none() && memchr::memchr2(b'\\', 0xE2, record).is_none();
        let mut more = scanner.enter_object()?;
        while more {
            let start = scanner.position();
            let key = scanner.key()?;
            let value = scanner.clone();
            let copyable = match value.peek() {
                Some(b'"') => {
                    let text = scanner.string()?;
                    plain || is_plain(text)
                }
                Some(b'{' | b'[') => false,
                _ => {
                    scanner.skip_value()?;
                    true
                }
            };
            // Quotes and colon around the key, and no white space.
            let value_at = key.raw().len() + 3;
            let (text, value_at) = if copyable && (plain || is_plain(key)) && value.position() == start + value_at {
                ((Place::Record, start..scanner.position()), value_at)
            } else {
                *scanner = value;
                self.rewrite(key, scanner)?
            };
            let (prefix, key) = self.place_key(key, start + 1);
            self.members.push(Member { prefix, key, text, value_at });
            more = scanner.next_member()?;
        }
        Ok(())
    }

    /// Where the bytes of a key are, which in the record stands at `start`, and its prefix.
    fn place_key(&mut self, key: Text<'_>, start: usize) -> (u64, (Place, Range<usize>)) {
        if !key.is_escaped() {
            return (prefix(key.raw()), (Place::Record, start..start + key.raw().len()));
        }
        let start = self.keys.len();
        key.unescape_into(&mut self.keys);
        (prefix(self.keys.get(start..).unwrap_or_default()), (Place::Buffer, start..self.keys.len()))
    }

    /// Writes a member with the value at the cursor to `rewritten`; returns where, and where in it the value begins.
    fn rewrite(
        &mut self,
        key: Text<'_>,
        scanner: &mut Scanner<'_>,
    ) -> Result<((Place, Range<usize>), usize), ScanError> {
        let start = self.rewritten.len();
        self.canonical.write_text(key, &mut self.rewritten);
        self.rewritten.push(b':');
        let value_at = self.rewritten.len() - start;
        self.canonical.write_value(scanner, &mut self.rewritten)?;
        Ok(((Place::Buffer, start..self.rewritten.len()), value_at))
    }

    /// Puts the indices of the members to be written into `order`.
    fn sort(&mut self, record: &[u8]) {
        let sorted = self.order.len() == self.members.len()
            && self.order.is_sorted_by(|a, b| self.compare(record, *a, *b) == Ordering::Less);
        if !sorted {
            self.sort_anew(record);
        }
    }

    #[inline(never)]
    fn sort_anew(&mut self, record: &[u8]) {
        let mut order = std::mem::take(&mut self.order);
        loop {
            order.clear();
            order.extend(0..self.members.len());
            order.sort_unstable_by(|a, b| self.compare(record, *a, *b).then(a.cmp(b)));
            // Extra members come last in `members`, so an equal key of the payload stands right before.
            let collides = |pair: &[usize]| matches!(pair, [a, b] if self.collides(record, *a, *b));
            match order.windows(2).find(|pair| collides(pair)) {
                Some(pair) => self.move_away(record, pair[0]),
                None => break,
            }
        }
        order.dedup_by(|next, kept| {
            let equal = self.compare(record, *next, *kept) == Ordering::Equal;
            if equal {
                *kept = *next;
            }
            equal
        });
        self.order = order;
    }

    fn compare(&self, record: &[u8], a: usize, b: usize) -> Ordering {
        match (self.members.get(a), self.members.get(b)) {
            (Some(a), Some(b)) => a.prefix.cmp(&b.prefix).then_with(|| self.key(record, a).cmp(self.key(record, b))),
            _ => a.cmp(&b),
        }
    }

    fn key<'a>(&'a self, record: &'a [u8], member: &Member) -> &'a [u8] {
        let (place, range) = &member.key;
        let bytes = match place {
            Place::Record => record,
            Place::Buffer => &self.keys,
            Place::Extra(index) => self.extras.get(*index).map_or(&[][..], |extra| &extra.key),
        };
        bytes.get(range.clone()).unwrap_or_default()
    }

    /// Has member `a` of the payload the key of the extra member `b`?
    fn collides(&self, record: &[u8], a: usize, b: usize) -> bool {
        let is_extra = |index: usize| matches!(self.members.get(index), Some(Member { key: (Place::Extra(_), _), .. }));
        !is_extra(a) && is_extra(b) && self.compare(record, a, b) == Ordering::Equal
    }

    /// Gives all members with the key of member `index` but the extra one the next free numbered key.
    #[cold]
    fn move_away(&mut self, record: &[u8], index: usize) {
        let Some(member) = self.members.get(index).cloned() else { return };
        let old = self.key(record, &member).to_vec();
        let is_taken = |key: &[u8]| self.members.iter().any(|member| self.key(record, member) == key);
        let new = (2_usize..).map(|number| [&old, format!("_{number}").as_bytes()].concat()).find(|key| !is_taken(key));
        let new = new.unwrap_or_default();
        for index in 0..self.members.len() {
            let Some(member) = self.members.get(index).cloned() else { continue };
            if self.key(record, &member) == old && !matches!(member.key.0, Place::Extra(_)) {
                let renamed = self.rename(record, &member, &new);
                if let Some(member) = self.members.get_mut(index) {
                    *member = renamed;
                }
            }
        }
    }

    /// The member with another key.
    fn rename(&mut self, record: &[u8], member: &Member, key: &[u8]) -> Member {
        let (place, text) = &member.text;
        let source = if matches!(place, Place::Buffer) { &self.rewritten } else { record };
        let value = source.get(text.start + member.value_at..text.end).unwrap_or_default().to_vec();
        let start = self.rewritten.len();
        json::write_string(key, &mut self.rewritten);
        self.rewritten.push(b':');
        let value_at = self.rewritten.len() - start;
        self.rewritten.extend_from_slice(&value);
        let key_start = self.keys.len();
        self.keys.extend_from_slice(key);
        Member {
            prefix: prefix(key),
            key: (Place::Buffer, key_start..self.keys.len()),
            text: (Place::Buffer, start..self.rewritten.len()),
            value_at,
        }
    }
}

/// Can the string be copied as it stands?
fn is_plain(text: Text<'_>) -> bool {
    !text.is_escaped() && json::is_canonical(text.raw())
}

/// The first eight bytes of a key as a number; shorter keys as if followed by zeros, so equal numbers decide nothing.
#[inline]
fn prefix(key: &[u8]) -> u64 {
    match key.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            key.iter().zip((0..8_u32).rev()).fold(0, |prefix, (byte, place)| prefix | u64::from(*byte) << (8 * place))
        }
    }
}
