//! Writing numbers and words straight into the record's buffer.

/// Sixteen words, so that four bits choose one.
const WORDS: [&str; 16] = [
    "alpha", "bravo", "carbon", "delta", "ember", "flint", "gale", "harbor", "iris", "juniper", "kelp", "lumen",
    "moss", "nickel", "onyx", "pewter",
];

/// The word that the low four bits of `bits` choose.
pub(crate) fn word(bits: u64) -> &'static str {
    WORDS[(bits & 15) as usize]
}

/// A JSON text under construction.
pub(crate) struct Text<'a>(pub(crate) &'a mut Vec<u8>);

impl Text<'_> {
    /// Appends `text` as it is.
    pub(crate) fn put(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends one ASCII letter.
    pub(crate) fn letter(&mut self, index: u64) -> &mut Self {
        self.0.push(b'A' + (index % 26) as u8);
        self
    }

    /// Appends `number` in decimal.
    pub(crate) fn int(&mut self, number: u64) -> &mut Self {
        self.put(itoa::Buffer::new().format(number))
    }

    /// Appends `number` in decimal with leading zeros up to `width` digits.
    pub(crate) fn padded(&mut self, number: u64, width: usize) -> &mut Self {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number);
        for _ in digits.len()..width {
            self.0.push(b'0');
        }
        self.put(digits)
    }

    /// Appends `number` as sixteen hexadecimal digits.
    pub(crate) fn hex(&mut self, number: u64) -> &mut Self {
        for nibble in (0..16).rev() {
            self.0.push(b"0123456789abcdef"[(number >> (4 * nibble) & 15) as usize]);
        }
        self
    }

    /// Appends `whole.cents` with two decimals.
    pub(crate) fn money(&mut self, whole: u64, cents: u64) -> &mut Self {
        self.int(whole).put(".").padded(cents, 2)
    }

    /// Appends `true` or `false`.
    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.put(if value { "true" } else { "false" })
    }

    /// Appends `count` words separated by spaces, each chosen by the next four bits of `bits`.
    pub(crate) fn words(&mut self, bits: u64, count: usize) -> &mut Self {
        for index in 0..count {
            if index > 0 {
                self.put(" ");
            }
            self.put(word(bits >> (4 * index)));
        }
        self
    }
}
