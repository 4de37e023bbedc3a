//! Text cut at its delimiters.

/// Walks over the tokens of a text: delimiters are tokens of their own, unless a backslash stands before them.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// Where the next token begins.
    position: usize,
    /// The last token taken by [`next`](Self::next).
    previous: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Tokens<'a> {
        Tokens { text, position: 0, previous: "" }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn rewind(&mut self, position: usize) {
        self.position = position;
    }

    pub(super) fn has_next(&self) -> bool {
        self.position < self.text.len()
    }

    pub(super) fn previous(&self) -> &'a str {
        self.previous
    }

    /// The token at the position.
    fn peek(&self) -> &'a str {
        let rest = &self.text[self.position..];
        let mut escaped = false;
        for (index, byte) in rest.bytes().enumerate() {
            match byte {
                b'\\' => escaped = !escaped,
                b'"' | b',' | b':' | b'[' | b']' | b'{' | b'}' if !escaped => return &rest[..index.max(1)],
                _ => escaped = false,
            }
        }
        rest
    }

    /// Takes a token; empty at the end.
    pub(super) fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.position += token.len();
        self.previous = token;
        token
    }

    /// Takes `count` tokens as one text, or none.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a str> {
        let start = self.position;
        for _ in 0..count {
            if !self.has_next() {
                self.position = start;
                return None;
            }
            self.next();
        }
        Some(&self.text[start..self.position])
    }

    /// Takes the next token if it is the wanted one, space around it aside. Space before it is passed over in any case.
    pub(super) fn consume(&mut self, wanted: &str) -> bool {
        if !self.has_next() {
            return false;
        }
        let mut token = self.peek();
        while is_blank(token) && self.position + token.len() < self.text.len() {
            self.position += token.len();
            token = self.peek();
        }
        if trim(token) == wanted {
            self.position += token.len();
            return true;
        }
        false
    }
}

/// As Java trims: everything up to the space character.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|one: char| one <= ' ')
}

pub(super) fn is_blank(text: &str) -> bool {
    trim(text).is_empty()
}
