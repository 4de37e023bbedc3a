//! The raw layout: one record rewritten as canonical JSON, with members of the caller's merged in.
//!
//! Keys are sorted bytewise, the last of equal keys counts, number literals stay as they are, strings are escaped as Go's
//! `encoding/json` escapes them (see [`json::write_string`]). Where a payload key equals the key of an extra member, the
//! extra member keeps the name and the payload's value moves to the next free numbered key (`_kafka_offset_2`): OLake
//! drops it.
//!
//! A record is scanned once; members that are canonical already, nearly all, are copied from it in one piece. A record
//! with the keys of the one before, in the same order, is not sorted again.

use crate::json::{self, BadReason, Canonical, ScanError, Scanner};
use crate::keys::{Key, KeyTable, START, after};

/// Keys remembered before the writer forgets them all and starts over. Topics whose keys are data would otherwise fill
/// the memory.
const KEYS_MAX: usize = 10_000;

/// Rewrites records; keeps its buffers from record to record.
#[derive(Debug)]
pub struct RawWriter {
    extra_keys: Vec<String>,
    /// The extra keys come first.
    keys: KeyTable,
    /// By key id.
    names: Vec<Name>,
    canonical: Canonical,
    /// Members of the record and then the extra ones.
    members: Vec<Member>,
    /// Key ids of `members`, and those of the record before.
    ids: Vec<usize>,
    ids_before: Vec<usize>,
    /// How many of `members` are extra ones.
    extra_count: usize,
    /// Indices of `members` in the order in which they are written.
    order: Vec<usize>,
    /// Values that cannot be copied from the record.
    rewritten: Vec<u8>,
}

#[derive(Debug)]
struct Name {
    key: Box<str>,
    /// The first bytes of the key as a number that sorts like them.
    prefix: u64,
    /// `"key":` as it is written.
    token: Vec<u8>,
}

/// A member with its value.
#[derive(Debug, Clone, Copy)]
enum Member {
    /// The member stands in the record from `start` to `end` as it is written, with its value from `value` on.
    Whole { start: usize, value: usize, end: usize },
    /// Only the value does.
    Value { start: usize, end: usize },
    /// The value is in `RawWriter::rewritten`.
    Rewritten { start: usize, end: usize },
    /// The value is the extra one of this index.
    Extra(usize),
}

impl RawWriter {
    /// A writer that adds members of these keys to every record.
    #[must_use]
    pub fn new(extra_keys: &[&str]) -> Self {
        let mut writer = Self {
            extra_keys: extra_keys.iter().map(|key| (*key).to_owned()).collect(),
            keys: KeyTable::default(),
            names: Vec::new(),
            canonical: Canonical::default(),
            members: Vec::new(),
            ids: Vec::new(),
            ids_before: Vec::new(),
            extra_count: 0,
            order: Vec::new(),
            rewritten: Vec::new(),
        };
        writer.forget_keys();
        writer
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
        if self.names.len() > KEYS_MAX {
            self.forget_keys();
        }
        let mut scanner = json::open(record)?;
        std::mem::swap(&mut self.ids, &mut self.ids_before);
        self.ids.clear();
        self.members.clear();
        self.rewritten.clear();
        if let Err(error) = self.collect(&mut scanner) {
            self.ids.clear();
            self.order.clear();
            return Err(error.into());
        }
        let extra_count = extra_values.len().min(self.extra_keys.len());
        self.ids.extend(0..extra_count);
        self.members.extend((0..extra_count).map(Member::Extra));
        if self.ids != self.ids_before || extra_count != self.extra_count {
            self.extra_count = extra_count;
            self.sort();
        }
        self.emit(record, extra_values, out);
        Ok(scanner.remainder())
    }

    #[cold]
    fn forget_keys(&mut self) {
        self.keys = KeyTable::default();
        self.names.clear();
        self.ids.clear();
        self.order.clear();
        for index in 0..self.extra_keys.len() {
            let key = self.extra_keys.get(index).cloned().unwrap_or_default();
            self.add_key(&key);
        }
    }

    #[cold]
    fn add_key(&mut self, key: &str) -> usize {
        let mut token = Vec::with_capacity(key.len() + 3);
        json::write_string(key.as_bytes(), &mut token);
        token.push(b':');
        self.names.push(Name { key: key.into(), prefix: prefix(key.as_bytes()), token });
        self.keys.add(key)
    }

    /// Reads the members of the record.
    fn collect(&mut self, scanner: &mut Scanner<'_>) -> Result<(), ScanError> {
        let record = scanner.text();
        // Without any of these bytes no string of the record has to be rewritten.
        let plain =
            memchr::memchr3(b'<', b'>', b'&', record).is_none() && memchr::memchr2(b'\\', 0xE2, record).is_none();
        let mut place = START;
        let mut more = scanner.enter_object()?;
        while more {
            let start = scanner.position();
            let id = match self.keys.read(scanner, place)? {
                Key::Known(id) => id,
                Key::Unknown(key) => self.add_key(&key),
            };
            place = after(id);
            let value = scanner.position();
            let member = if self.pass_canonical_value(scanner, plain)? {
                let token = self.names.get(id).map_or(&[][..], |name| &name.token);
                let end = scanner.position();
                // A key as long as its canonical text, quotes and colon included, is that text.
                if value - start == token.len() && (plain || record.get(start..value) == Some(token)) {
                    Member::Whole { start, value, end }
                } else {
                    Member::Value { start: value, end }
                }
            } else {
                let start = self.rewritten.len();
                self.canonical.write_value(scanner, &mut self.rewritten)?;
                Member::Rewritten { start, end: self.rewritten.len() }
            };
            self.ids.push(id);
            self.members.push(member);
            more = scanner.next_member()?;
        }
        Ok(())
    }

    /// Moves over the value at the cursor if its text is canonical, else leaves the cursor on it.
    #[inline]
    fn pass_canonical_value(&self, scanner: &mut Scanner<'_>, plain: bool) -> Result<bool, ScanError> {
        match scanner.peek() {
            Some(b'"') => {
                let before = scanner.clone();
                let text = scanner.string()?;
                let canonical = plain || (!text.is_escaped() && json::is_canonical(text.raw()));
                if !canonical {
                    *scanner = before;
                }
                Ok(canonical)
            }
            Some(b'{' | b'[') => Ok(false),
            Some(b'-' | b'0'..=b'9') => scanner.number().map(|_| true),
            _ => scanner.skip_value().map(|()| true),
        }
    }

    /// Brings the members to be written into their order: sorted by key, of equal keys the last.
    #[cold]
    fn sort(&mut self) {
        let payload_count = self.members.len() - self.extra_count;
        let colliding: Vec<_> =
            self.ids.iter().take(payload_count).copied().filter(|id| *id < self.extra_count).collect();
        for id in colliding {
            self.move_away(id, payload_count);
        }
        let Self { ids, names, order, .. } = self;
        let name = |index: &usize| ids.get(*index).and_then(|id| names.get(*id)).map(|name| (name.prefix, &name.key));
        order.clear();
        order.extend(0..ids.len());
        order.sort_unstable_by(|a, b| name(a).cmp(&name(b)).then(a.cmp(b)));
        order.dedup_by(|next, kept| {
            let equal = ids.get(*next) == ids.get(*kept);
            if equal {
                *kept = *next;
            }
            equal
        });
    }

    /// Gives all members of the payload that have the key of an extra member the next free numbered key.
    #[cold]
    fn move_away(&mut self, taken: usize, payload_count: usize) {
        let key = self.extra_keys.get(taken).cloned().unwrap_or_default();
        let is_free = |name: &String| self.keys.id(name).is_none_or(|id| !self.ids.contains(&id));
        let Some(name) = (2_usize..).map(|number| format!("{key}_{number}")).find(is_free) else { return };
        let new = self.keys.id(&name).unwrap_or_else(|| self.add_key(&name));
        for (id, member) in
            self.ids.iter_mut().zip(&mut self.members).take(payload_count).filter(|(id, _)| **id == taken)
        {
            *id = new;
            if let Member::Whole { value, end, .. } = *member {
                *member = Member::Value { start: value, end };
            }
        }
    }

    /// Writes the members in their order.
    fn emit(&self, record: &[u8], extra_values: &[&[u8]], out: &mut Vec<u8>) {
        let token = |index: usize| {
            let name = self.ids.get(index).and_then(|id| self.names.get(*id));
            name.map_or(&[][..], |name| &name.token)
        };
        out.reserve(record.len() + self.rewritten.len());
        let start = out.len();
        for &index in &self.order {
            let Some(member) = self.members.get(index) else { continue };
            out.push(b',');
            let value = match *member {
                Member::Whole { start, end, .. } => {
                    out.extend_from_slice(record.get(start..end).unwrap_or_default());
                    continue;
                }
                Member::Value { start, end } => record.get(start..end).unwrap_or_default(),
                Member::Rewritten { start, end } => self.rewritten.get(start..end).unwrap_or_default(),
                Member::Extra(index) => extra_values.get(index).copied().unwrap_or_default(),
            };
            out.extend_from_slice(token(index));
            out.extend_from_slice(value);
        }
        if out.len() == start {
            out.push(b'{');
        } else if let Some(first) = out.get_mut(start) {
            *first = b'{';
        }
        out.push(b'}');
    }
}

/// The first eight bytes of a key as a number; shorter keys as if followed by zeros, so equal numbers decide nothing.
fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(key) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}
