//! Walking a body along its layout.

use super::{Field, Kind, Layout, Struct};
use crate::error::{Error, Result};
use crate::wire::{Fault, Reader};

impl Layout {
    /// Checks that `body` is one whole message in `version`.
    pub(super) fn check(&self, name: &str, version: i16, body: &[u8]) -> Result<()> {
        let mut walker = Walker { reader: Reader::new(body), version, flexible: version >= self.flexible_from };
        let result = walker.structure(&self.root).and_then(|()| walker.reader.expect_end());
        result.map_err(|fault| Error::MalformedFrame {
            context: format!("{name} v{version}"),
            what: fault.what,
            position: walker.reader.position(),
            reason: fault.reason,
        })
    }
}

struct Walker<'a> {
    reader: Reader<'a>,
    version: i16,
    flexible: bool,
}

type Walked = std::result::Result<(), Fault>;

impl Walker<'_> {
    fn structure(&mut self, layout: &Struct) -> Walked {
        for field in &layout.fields {
            if field.versions.contains(self.version) {
                self.value(&field.kind)?;
            }
        }
        if self.flexible { self.tagged_fields(&layout.tagged) } else { Ok(()) }
    }

    fn tagged_fields(&mut self, known: &[(u32, Field)]) -> Walked {
        let count = self.reader.unsigned_varint("tag count")?;
        for _ in 0..count {
            let tag = self.reader.unsigned_varint("tag")?;
            let size = self.reader.unsigned_varint("tagged field size")?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let start = self.reader.position();
            match known.iter().find(|(known, field)| *known == tag && field.versions.contains(self.version)) {
                Some((_, field)) => {
                    self.value(&field.kind)?;
                    if self.reader.position() - start != size {
                        return Err(Fault { what: "tagged field", reason: "its size does not match its content" });
                    }
                }
                None => self.reader.skip(size, "tagged field")?,
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind) -> Walked {
        match kind {
            Kind::Fixed(size) => self.reader.skip(*size, "number"),
            Kind::Text if self.flexible => self.compact_bytes("text"),
            Kind::Bytes if self.flexible => self.compact_bytes("bytes"),
            Kind::Text => {
                let len = self.reader.i16("text length")?.into();
                self.sized("text", len)
            }
            Kind::Bytes => {
                let len = self.reader.i32("bytes length")?;
                self.sized("bytes", len)
            }
            Kind::Array(element) => self.array(element),
            Kind::Struct(layout) => self.structure(layout),
            Kind::OptionalStruct(layout) => match self.reader.u8("presence")? {
                1 => self.structure(layout),
                _ => Ok(()),
            },
        }
    }

    /// Skips `len` bytes; -1 stands for null.
    fn sized(&mut self, what: &'static str, len: i32) -> Walked {
        match usize::try_from(len) {
            Ok(len) => self.reader.skip(len, what),
            Err(_) if len == -1 => Ok(()),
            Err(_) => Err(Fault { what, reason: "negative length" }),
        }
    }

    /// Skips bytes behind a compact length, which is one more than the length; 0 stands for null.
    fn compact_bytes(&mut self, what: &'static str) -> Walked {
        let len = self.reader.unsigned_varint(what)?.saturating_sub(1);
        self.reader.skip(usize::try_from(len).unwrap_or(usize::MAX), what)
    }

    fn array(&mut self, element: &Kind) -> Walked {
        let count = if self.flexible {
            self.reader.unsigned_varint("array")?.saturating_sub(1)
        } else {
            match self.reader.i32("array")? {
                -1 => 0,
                count => u32::try_from(count).map_err(|_| Fault { what: "array", reason: "negative length" })?,
            }
        };
        let elements = usize::try_from(count).unwrap_or(usize::MAX);
        if let Kind::Fixed(size) = element {
            return self.reader.skip(elements.saturating_mul(*size), "array");
        }
        // Every element takes at least one byte; saying so here keeps a hostile count from looping for long.
        if elements > self.reader.remaining() {
            return Err(Fault { what: "array", reason: "longer than the frame" });
        }
        for _ in 0..elements {
            let start = self.reader.position();
            self.value(element)?;
            if self.reader.position() == start {
                return Err(Fault { what: "array", reason: "its elements have no bytes" });
            }
        }
        Ok(())
    }
}
