//! Which column a key is: the keys of one table, found by guessing before hashing.
//!
//! Records of one topic mostly have their keys in the same order. For every key the table remembers which key came
//! after it last; if the record goes on with exactly those bytes (`"key":`), nothing is parsed and nothing hashed.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::json::{ScanError, Scanner, Token};

/// The place before the first key of a record.
pub(crate) const START: usize = 0;

/// The place behind key `id`.
#[inline]
pub(crate) const fn after(id: usize) -> usize {
    id + 1
}

/// Keys numbered from 0 in the order they were added.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    /// `"key":` as records usually have it.
    tokens: Vec<Token>,
    ids: HashMap<Box<[u8]>, usize>,
    /// By place: the key that followed it last.
    guesses: Vec<usize>,
}

/// A key read from a record.
#[derive(Debug)]
pub(crate) enum Key<'a> {
    Known(usize),
    Unknown(Cow<'a, str>),
}

impl KeyTable {
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn id(&self, key: &str) -> Option<usize> {
        self.ids.get(key.as_bytes()).copied()
    }

    /// Adds a key that is not in the table yet.
    pub(crate) fn add(&mut self, key: &str) -> usize {
        let id = self.tokens.len();
        // A key that needs escapes never equals the bytes of a record; its token simply matches nothing.
        self.tokens.push(Token::new([b"\"", key.as_bytes(), b"\":"].concat().into_boxed_slice()));
        self.ids.insert(key.as_bytes().into(), id);
        self.guesses.resize(after(id), id);
        self.guesses.push(id + 1);
        id
    }

    /// Forgets the keys from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.tokens.truncate(len);
            self.guesses.truncate(after(len));
            self.ids.retain(|_, id| *id < len);
        }
    }

    /// Reads the key at the cursor, which stands at `place`, and leaves the cursor on the value.
    #[inline]
    pub(crate) fn read<'a>(&mut self, scanner: &mut Scanner<'a>, place: usize) -> Result<Key<'a>, ScanError> {
        if let Some(&guess) = self.guesses.get(place)
            && let Some(token) = self.tokens.get(guess)
            && scanner.take(token)
        {
            scanner.skip_space();
            return Ok(Key::Known(guess));
        }
        self.look_up(scanner, place)
    }

    #[inline(never)]
    fn look_up<'a>(&mut self, scanner: &mut Scanner<'a>, place: usize) -> Result<Key<'a>, ScanError> {
        let offset = scanner.position();
        let key = scanner.key()?.unescape();
        if let Some(&id) = self.ids.get(&*key) {
            if let Some(guess) = self.guesses.get_mut(place) {
                *guess = id;
            }
            return Ok(Key::Known(id));
        }
        let key = match key {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|error| error.utf8_error()),
        };
        key.map(Key::Unknown).map_err(|_| ScanError::Syntax { offset })
    }
}
