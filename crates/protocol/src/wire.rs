//! Reading the primitive types of frames from a slice, with every length checked.

/// What went wrong while reading; the caller adds where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    pub(crate) reason: &'static str,
}

/// A position in a frame.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn expect_end(&self) -> Result<(), Fault> {
        match self.remaining() {
            0 => Ok(()),
            _ => Err(Fault { what: "end", reason: "bytes are left over" }),
        }
    }

    pub(crate) fn skip(&mut self, len: usize, what: &'static str) -> Result<(), Fault> {
        if len > self.remaining() {
            return Err(Fault { what, reason: "longer than the frame" });
        }
        self.position += len;
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Fault> {
        let rest = &self.bytes[self.position..];
        let bytes = rest.first_chunk::<N>().ok_or(Fault { what, reason: "the frame ends here" })?;
        self.position += N;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Fault> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn i16(&mut self, what: &'static str) -> Result<i16, Fault> {
        self.array(what).map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, Fault> {
        self.array(what).map(i32::from_be_bytes)
    }

    /// At most five bytes, seven bits each, lowest first.
    pub(crate) fn unsigned_varint(&mut self, what: &'static str) -> Result<u32, Fault> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8(what)?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault { what, reason: "varint is longer than 32 bits" })
    }

    /// Skips the tagged fields at the end of a header, none of which is known.
    pub(crate) fn skip_tagged_fields(&mut self) -> Result<(), Fault> {
        for _ in 0..self.unsigned_varint("tag count")? {
            self.unsigned_varint("tag")?;
            let size = self.unsigned_varint("tagged field size")?;
            self.skip(usize::try_from(size).unwrap_or(usize::MAX), "tagged field")?;
        }
        Ok(())
    }
}
