//! The scanner: a cursor over one record's bytes that validates as it moves.

use crate::number::Number;
use crate::swar::Token;
use crate::text::{self, Text};
use crate::{BadReason, DEPTH_MAX};

/// Why scanning stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanError {
    /// Not JSON from here on.
    Syntax {
        /// Bytes from the start of the record.
        offset: usize,
    },
    /// Deeper than [`DEPTH_MAX`].
    TooDeep,
}

/// A cursor over JSON text that is known to be UTF-8.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner at the first byte. Bytes inside strings are not checked for UTF-8; [`crate::open`] does that.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The whole text.
    #[must_use]
    pub const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The bytes from `start` to here.
    #[must_use]
    #[inline]
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.position).unwrap_or_default()
    }

    /// The next byte.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    /// Moves over `token` if it is next.
    #[inline]
    pub fn take(&mut self, token: &Token) -> bool {
        let length = token.length_at(self.text, self.position);
        self.position += length.unwrap_or_default();
        length.is_some()
    }

    /// Moves over white space.
    #[inline]
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.position += 1;
        }
    }

    /// After the first value: where the first byte that is not white space stands, if there is one.
    #[must_use]
    #[inline]
    pub fn remainder(&mut self) -> Option<usize> {
        self.skip_space();
        (self.position < self.text.len()).then_some(self.position)
    }

    /// Moves into the object at the cursor: `true` leaves the cursor on the first key, `false` behind the `}` of an
    /// empty object.
    ///
    /// # Errors
    /// When what is next is neither.
    #[inline]
    pub fn enter_object(&mut self) -> Result<bool, ScanError> {
        self.enter(b'{', b'}')
    }

    /// Moves into the array at the cursor: `true` leaves the cursor on the first element.
    ///
    /// # Errors
    /// When there is no `[`.
    #[inline]
    pub fn enter_array(&mut self) -> Result<bool, ScanError> {
        self.enter(b'[', b']')
    }

    #[inline]
    fn enter(&mut self, open: u8, close: u8) -> Result<bool, ScanError> {
        if self.peek() != Some(open) {
            return Err(self.error());
        }
        self.position += 1;
        self.skip_space();
        let empty = self.peek() == Some(close);
        self.position += usize::from(empty);
        Ok(!empty)
    }

    /// After a member's value: `true` leaves the cursor on the next key, `false` behind the `}`.
    ///
    /// # Errors
    /// When neither `,` nor `}` is next.
    #[inline]
    pub fn next_member(&mut self) -> Result<bool, ScanError> {
        self.next(b'}')
    }

    /// After an element: `true` leaves the cursor on the next one, `false` behind the `]`.
    ///
    /// # Errors
    /// When neither `,` nor `]` is next.
    #[inline]
    pub fn next_element(&mut self) -> Result<bool, ScanError> {
        self.next(b']')
    }

    #[inline]
    fn next(&mut self, close: u8) -> Result<bool, ScanError> {
        self.skip_space();
        let byte = self.peek();
        if byte != Some(b',') && byte != Some(close) {
            return Err(self.error());
        }
        self.position += 1;
        if byte == Some(close) {
            return Ok(false);
        }
        self.skip_space();
        Ok(true)
    }

    /// A member's key and the colon; leaves the cursor on the value.
    ///
    /// # Errors
    /// When there is no string or no colon.
    #[inline]
    pub fn key(&mut self) -> Result<Text<'a>, ScanError> {
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.error());
        }
        self.position += 1;
        self.skip_space();
        Ok(key)
    }

    /// The string at the cursor, escapes checked but not resolved.
    ///
    /// # Errors
    /// When there is no complete, valid string.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, ScanError> {
        if self.peek() != Some(b'"') {
            return Err(self.error());
        }
        let start = self.position + 1;
        let end = text::plain_end(self.text, start);
        if self.text.get(end) == Some(&b'"') {
            self.position = end + 1;
            return Ok(Text::new(self.text.get(start..end).unwrap_or_default(), false));
        }
        self.string_with_escapes(start, end)
    }

    /// Appends the string at the cursor, escapes resolved, to `out`, which is left as it was in case of an error.
    ///
    /// # Errors
    /// As [`Scanner::string`].
    #[inline]
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), ScanError> {
        if self.peek() != Some(b'"') {
            return Err(self.error());
        }
        let start = self.position + 1;
        let end = text::copy_plain(self.text, start, out);
        if self.text.get(end) == Some(&b'"') {
            self.position = end + 1;
            return Ok(());
        }
        out.truncate(out.len() - (end - start));
        self.string_with_escapes(start, end)?.unescape_into(out);
        Ok(())
    }

    #[cold]
    fn string_with_escapes(&mut self, start: usize, mut end: usize) -> Result<Text<'a>, ScanError> {
        loop {
            match self.text.get(end) {
                Some(b'"') => {
                    self.position = end + 1;
                    return Ok(Text::new(self.text.get(start..end).unwrap_or_default(), true));
                }
                Some(b'\\') => {
                    let length = text::escape_length(self.text.get(end..).unwrap_or_default());
                    end += length.ok_or(ScanError::Syntax { offset: end })?;
                    end = text::plain_end(self.text, end);
                }
                _ => return Err(ScanError::Syntax { offset: end }),
            }
        }
    }

    /// The number at the cursor.
    ///
    /// # Errors
    /// When there is no valid number literal.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, ScanError> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let number = Number::scan(rest).map_err(|at| ScanError::Syntax { offset: self.position + at })?;
        self.position += number.literal().len();
        Ok(number)
    }

    /// Moves over `true`, `false` or `null` if the whole word is next.
    ///
    /// # Errors
    /// When another word is.
    #[inline]
    pub fn word(&mut self, word: &str) -> Result<(), ScanError> {
        if !self.text.get(self.position..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.error());
        }
        self.position += word.len();
        Ok(())
    }

    /// Moves over any value that stands in the record's top-level object.
    ///
    /// # Errors
    /// When the value is not valid.
    pub fn skip_value(&mut self) -> Result<(), ScanError> {
        self.skip_nested(1)
    }

    /// Moves over a value inside of `depth` containers.
    fn skip_nested(&mut self, depth: usize) -> Result<(), ScanError> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'{') => {
                let depth = deeper(depth)?;
                let mut more = self.enter_object()?;
                while more {
                    self.key()?;
                    self.skip_nested(depth)?;
                    more = self.next_member()?;
                }
                Ok(())
            }
            Some(b'[') => {
                let depth = deeper(depth)?;
                let mut more = self.enter_array()?;
                while more {
                    self.skip_nested(depth)?;
                    more = self.next_element()?;
                }
                Ok(())
            }
            _ => Err(self.error()),
        }
    }

    /// A syntax error at the cursor.
    #[cold]
    #[must_use]
    pub const fn error(&self) -> ScanError {
        ScanError::Syntax { offset: self.position }
    }
}

/// One container deeper than `depth`, if that is still allowed.
///
/// # Errors
/// [`ScanError::TooDeep`] beyond [`DEPTH_MAX`].
#[inline]
pub const fn deeper(depth: usize) -> Result<usize, ScanError> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(ScanError::TooDeep) }
}

impl std::fmt::Display for ScanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        BadReason::from(*self).fmt(f)
    }
}

impl std::error::Error for ScanError {}
