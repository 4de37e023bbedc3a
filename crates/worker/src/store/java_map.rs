//! A `HashMap<byte[], byte[]>` in Java's serialised form: the offset file of a standalone Java worker.
//!
//! ```text
//! aced 0005 | object of java.util.HashMap (load factor, threshold) | block: capacity, size | key, value, ... | end
//! ```

use crate::error::{Error, Result};

/// Magic number, version, an object, its class: `java.util.HashMap` with its serial number, flags and two fields.
const HEAD: &[u8] = b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16`\xd1\x03\x00\x02\
F\x00\nloadFactorI\x00\tthresholdxp";
/// An array and the class of `byte[]`, as the first array has it.
const ARRAY_CLASS: &[u8] = b"ur\x00\x02[B\xac\xf3\x17\xf8\x06\x08T\xe0\x02\x00\x00xp";
/// An array whose class is handle 2: the map's class is 0, the map 1.
const ARRAY: &[u8] = b"uq\x00~\x00\x02";
const NULL: u8 = b'p';
const REFERENCE: u8 = b'q';
const BLOCK: u8 = b'w';
const END: u8 = b'x';
/// Handle of the first array.
const FIRST_HANDLE: u32 = 0x7e_0003;
const LOAD_FACTOR: f32 = 0.75;
/// Buckets of an empty map.
const CAPACITY_MIN: u32 = 16;

/// Writes entries; a value may be null.
///
/// # Errors
/// [`Error::Record`] for more entries or longer arrays than Java has.
pub fn write<'a>(entries: impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Result<Vec<u8>> {
    let size = length(entries.len())?;
    // A power of two with room, as Java sizes its table.
    let mut capacity = CAPACITY_MIN;
    while capacity < 1 << 30 && size > capacity / 4 * 3 {
        capacity *= 2;
    }
    let mut out = HEAD.to_vec();
    out.extend(LOAD_FACTOR.to_be_bytes());
    out.extend((capacity / 4 * 3).to_be_bytes());
    out.extend([BLOCK, 8]);
    out.extend(capacity.to_be_bytes());
    out.extend(size.to_be_bytes());
    let mut first = true;
    for (key, value) in entries {
        for array in [Some(key), value] {
            let Some(array) = array else {
                out.push(NULL);
                continue;
            };
            out.extend(if first { ARRAY_CLASS } else { ARRAY });
            first = false;
            out.extend(length(array.len())?.to_be_bytes());
            out.extend(array);
        }
    }
    out.push(END);
    Ok(out)
}

fn length(length: usize) -> Result<u32> {
    let within = u32::try_from(length).ok().filter(|length| *length <= i32::MAX.cast_unsigned());
    within.ok_or_else(|| Error::Record("there is more than a Java map can hold".to_owned()))
}

/// An entry of the map.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Reads the entries in the order of the file.
///
/// # Errors
/// [`Error::Record`] when these bytes are not such a map.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut reader = Reader { rest: bytes, arrays: Vec::new(), class_seen: false };
    reader.map().ok_or_else(|| {
        let at = bytes.len() - reader.rest.len();
        Error::Record(format!("is not a serialised java.util.HashMap of byte arrays (byte {at})"))
    })
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Arrays by handle: an array that comes twice is a reference the second time.
    arrays: Vec<&'a [u8]>,
    class_seen: bool,
}

impl<'a> Reader<'a> {
    fn map(&mut self) -> Option<Vec<Entry>> {
        self.expect(HEAD)?;
        // Load factor and threshold are Java's own business.
        self.take(8)?;
        self.expect(&[BLOCK, 8])?;
        self.take(4)?;
        let size = self.number()?;
        let mut entries = Vec::new();
        for _ in 0..size {
            let key = self.array()??;
            let value = self.array()?;
            entries.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        }
        self.expect(&[END])?;
        self.rest.is_empty().then_some(entries)
    }

    /// An array, or null.
    fn array(&mut self) -> Option<Option<&'a [u8]>> {
        match *self.rest.first()? {
            NULL => {
                self.take(1)?;
                Some(None)
            }
            REFERENCE => {
                self.take(1)?;
                let index = self.number()?.checked_sub(FIRST_HANDLE)?;
                Some(Some(self.arrays.get(usize::try_from(index).ok()?)?))
            }
            _ => {
                self.expect(if self.class_seen { ARRAY } else { ARRAY_CLASS })?;
                self.class_seen = true;
                let length = usize::try_from(self.number()?).ok()?;
                let array = self.take(length)?;
                self.arrays.push(array);
                Some(Some(array))
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(bytes)?;
        Some(())
    }

    fn number(&mut self) -> Option<u32> {
        let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenJDK 17 writes for `{"k" -> "v", "n" -> null}`.
    const JAVA: &[u8] = b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16`\xd1\x03\x00\x02F\x00\n\
loadFactorI\x00\tthresholdxp?@\x00\x00\x00\x00\x00\x0cw\x08\x00\x00\x00\x10\x00\x00\x00\x02ur\x00\x02[B\xac\xf3\x17\xf8\
\x06\x08T\xe0\x02\x00\x00xp\x00\x00\x00\x01kuq\x00~\x00\x02\x00\x00\x00\x01vuq\x00~\x00\x02\x00\x00\x00\x01npx";

    #[test]
    fn bytes_are_javas() {
        let entries: [(&[u8], Option<&[u8]>); 2] = [(b"k", Some(b"v")), (b"n", None)];
        assert_eq!(write(entries.into_iter()).unwrap(), JAVA);
        assert_eq!(read(JAVA).unwrap(), [(b"k".to_vec(), Some(b"v".to_vec())), (b"n".to_vec(), None)]);
    }

    #[test]
    fn a_second_reference_to_an_array_is_followed() {
        let mut bytes = JAVA.to_vec();
        let null = bytes.len() - 2;
        bytes.splice(null..=null, *b"q\x00~\x00\x04");
        assert_eq!(read(&bytes).unwrap()[1], (b"n".to_vec(), Some(b"v".to_vec())));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        for end in 0..JAVA.len() {
            assert!(read(&JAVA[..end]).is_err(), "cut at {end}");
        }
        for at in 0..JAVA.len() {
            let mut bytes = JAVA.to_vec();
            bytes[at] ^= 0xff;
            let _ = read(&bytes);
        }
        assert!(read(b"").unwrap_err().to_string().contains("HashMap"));
    }

    #[test]
    fn a_large_map_comes_back() {
        let entries: Vec<(Vec<u8>, Option<Vec<u8>>)> =
            (0..1000_u32).map(|n| (n.to_be_bytes().to_vec(), Some(vec![7; 300]))).collect();
        let bytes = write(entries.iter().map(|(key, value)| (&**key, value.as_deref()))).unwrap();
        assert_eq!(read(&bytes).unwrap(), entries);
    }
}
