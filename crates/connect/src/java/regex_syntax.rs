//! Java's pattern syntax to that of our engine, and Java's complaints about patterns.

/// Line terminators that a dot does not fit.
const NOT_A_LINE_END: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";

/// ASCII classes that Java writes as properties.
const PROPERTIES: [(&str, &str); 13] = [
    ("Lower", "a-z"),
    ("Upper", "A-Z"),
    ("ASCII", r"\x00-\x7F"),
    ("Alpha", "a-zA-Z"),
    ("Digit", "0-9"),
    ("Alnum", "a-zA-Z0-9"),
    ("Punct", r"!-/:-@\[-`\{-~"),
    ("Graph", "!-~"),
    ("Print", r"\x20-~"),
    ("Blank", r"\x20\t"),
    ("Cntrl", r"\x00-\x1F\x7F"),
    ("XDigit", "0-9a-fA-F"),
    ("Space", r"\x20\t\n\x0B\f\r"),
];

/// Rewrites a pattern.
///
/// # Errors
/// Java's message: what, `near index` where, and the pattern with a caret under the place.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        pattern: pattern.chars().collect(),
        at: 0,
        out: String::new(),
        groups: 0,
        names: Vec::new(),
        dot_all: false,
    };
    translator.pattern()?;
    Ok(translator.out)
}

struct Translator {
    pattern: Vec<char>,
    at: usize,
    out: String,
    /// Groups that are open.
    groups: usize,
    /// Names of groups so far.
    names: Vec<String>,
    /// Whether the dot fits line ends, by a flag at the start of the pattern.
    dot_all: bool,
}

impl Translator {
    fn error(&self, what: &str, index: Option<usize>) -> String {
        let text: String = self.pattern.iter().collect();
        match index {
            Some(index) if index < self.pattern.len() => {
                format!("{what} near index {index}\n{text}\n{}^", " ".repeat(index))
            }
            Some(index) => format!("{what} near index {index}\n{text}"),
            None => format!("{what}\n{text}"),
        }
    }

    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let one = self.peek()?;
        self.at += 1;
        Some(one)
    }

    fn pattern(&mut self) -> Result<(), String> {
        // Whether something stands before that a quantifier can repeat.
        let mut repeatable = false;
        while let Some(one) = self.next() {
            match one {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '.' if !self.dot_all => self.out.push_str(NOT_A_LINE_END),
                '(' => {
                    self.groups += 1;
                    self.open_group()?;
                    repeatable = false;
                    continue;
                }
                ')' if self.groups == 0 => {
                    return Err(self.error("Unmatched closing ')'", self.at.checked_sub(2)));
                }
                ')' => {
                    self.groups -= 1;
                    self.out.push(')');
                }
                '*' | '+' | '?' if !repeatable => {
                    return Err(self.error(&format!("Dangling meta character '{one}'"), Some(self.at - 1)));
                }
                '|' => {
                    self.out.push('|');
                    repeatable = false;
                    continue;
                }
                // Plain in Java, special elsewhere.
                '#' | '&' | '~' | '-' | ']' | '}' => self.literal(one),
                '*' | '+' | '?' | '{' => {
                    if one == '{' {
                        self.repetition()?
                    } else {
                        self.out.push(one)
                    }
                    if let Some(kind) = self.peek().filter(|next| matches!(next, '+' | '?')) {
                        self.at += 1;
                        self.out.push(kind);
                    }
                    repeatable = false;
                    continue;
                }
                other => self.out.push(other),
            }
            repeatable = true;
        }
        if self.groups > 0 {
            return Err(self.error("Unclosed group", Some(self.pattern.len())));
        }
        Ok(())
    }

    fn literal(&mut self, one: char) {
        if one.is_ascii_punctuation() {
            self.out.push('\\');
        }
        self.out.push(one);
    }

    /// Behind `(`: flags that hold to the end of the pattern are noticed.
    fn open_group(&mut self) -> Result<(), String> {
        self.out.push('(');
        let rest: String = self.pattern[self.at..].iter().take_while(|one| **one != ')' && **one != ':').collect();
        if let Some(flags) = rest.strip_prefix('?')
            && flags
                .split('-')
                .next()
                .is_some_and(|on| on.contains('s') && on.chars().all(|flag| flag.is_ascii_lowercase()))
        {
            self.dot_all = true;
        }
        if let Some((name, _)) = rest.strip_prefix("?<").and_then(|rest| rest.split_once('>')) {
            if self.names.iter().any(|known| known == name) {
                let place = self.at + 2 + name.chars().count();
                return Err(self.error(&format!("Named capturing group <{name}> is already defined"), Some(place)));
            }
            self.names.push(name.to_owned());
        }
        if rest.starts_with('?') {
            // What follows the question mark is no quantifier, and no literal either.
            self.out.push('?');
            self.at += 1;
            while let Some(one) = self.peek().filter(|one| "<!=>:-".contains(*one) || one.is_ascii_alphanumeric()) {
                self.out.push(one);
                self.at += 1;
                if "!=>:".contains(one) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Behind `{`, which must be a count.
    fn repetition(&mut self) -> Result<(), String> {
        let start = self.at;
        let count: String = self.pattern[start..].iter().take_while(|one| **one != '}').collect();
        if !count.starts_with(|one: char| one.is_ascii_digit()) {
            return Err(self.error("Illegal repetition", Some(start)));
        }
        let valid = count.chars().all(|one| one.is_ascii_digit() || one == ',') && count.matches(',').count() <= 1;
        let end = start + count.chars().count();
        if !valid || end >= self.pattern.len() {
            return Err(self.error("Unclosed counted closure", Some(end.min(self.pattern.len()))));
        }
        if let Some((min, max)) = count.split_once(',')
            && let (Ok(min), Ok(max)) = (min.parse::<u32>(), max.parse::<u32>())
            && min > max
        {
            return Err(self.error("Illegal repetition range", Some(end)));
        }
        self.out.push('{');
        self.out.push_str(&count);
        self.out.push('}');
        self.at = end + 1;
        Ok(())
    }

    /// Behind a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(one) = self.next() else {
            return Err(self.error("Unexpected internal error", Some(self.at)));
        };
        let class = match one {
            'd' => Some(("0-9", false)),
            'D' => Some(("0-9", true)),
            'w' => Some(("a-zA-Z0-9_", false)),
            'W' => Some(("a-zA-Z0-9_", true)),
            's' => Some((r"\x20\t\n\x0B\f\r", false)),
            'S' => Some((r"\x20\t\n\x0B\f\r", true)),
            'h' => Some((r"\x20\t\x{A0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}", false)),
            'v' => Some((r"\n\x0B\f\r\x{85}\x{2028}\x{2029}", false)),
            _ => None,
        };
        if let Some((characters, negated)) = class {
            self.characters(characters, negated, in_class);
            return Ok(());
        }
        match one {
            'Q' => self.quotation(),
            'E' => {}
            'p' | 'P' => self.property(one == 'P', in_class)?,
            'u' => self.code_point(4)?,
            'x' if self.peek() != Some('{') => self.code_point(2)?,
            'x' => self.out.push_str(r"\x"),
            'R' => self.out.push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])"),
            'e' => self.out.push_str(r"\x1B"),
            '0' => self.octal()?,
            'c' => match self.next() {
                Some(control) => self.out.push_str(&format!(r"\x{{{:x}}}", u32::from(control) ^ 64)),
                None => return Err(self.error("Illegal control escape sequence", Some(self.at))),
            },
            'Z' => self.out.push_str(r"(?=(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z)"),
            'k' | '1'..='9' | 't' | 'n' | 'r' | 'f' | 'a' | 'b' | 'B' | 'A' | 'z' => {
                self.out.push('\\');
                self.out.push(one);
                if one == 'k' {
                    while let Some(letter) = self.next() {
                        self.out.push(letter);
                        if letter == '>' {
                            break;
                        }
                    }
                }
            }
            letter if letter.is_ascii_alphabetic() => {
                return Err(self.error("Illegal/unsupported escape sequence", Some(self.at - 1)));
            }
            other => self.literal(other),
        }
        Ok(())
    }

    fn characters(&mut self, characters: &str, negated: bool, in_class: bool) {
        let nested = negated || !in_class;
        if nested {
            self.out.push('[');
        }
        if negated {
            self.out.push('^');
        }
        self.out.push_str(characters);
        if nested {
            self.out.push(']');
        }
    }

    /// Between `\Q` and `\E`.
    fn quotation(&mut self) {
        while let Some(one) = self.next() {
            if one == '\\' && self.peek() == Some('E') {
                self.at += 1;
                return;
            }
            self.literal(one);
        }
    }

    /// Behind `\p`.
    fn property(&mut self, negated: bool, in_class: bool) -> Result<(), String> {
        let name = match self.next() {
            Some('{') => {
                let name: String = self.pattern[self.at..].iter().take_while(|one| **one != '}').collect();
                self.at += name.chars().count() + 1;
                name
            }
            Some(letter) => letter.to_string(),
            None => return Err(self.error("Unknown character property name {}", Some(self.at))),
        };
        if let Some((_, characters)) = PROPERTIES.iter().find(|(known, _)| *known == name) {
            self.characters(characters, negated, in_class);
            return Ok(());
        }
        // Java begins the names of scripts with `Is`, and knows a few more by `java…`.
        let name = match name.as_str() {
            "javaLowerCase" => "Lowercase",
            "javaUpperCase" => "Uppercase",
            "javaWhitespace" => "White_Space",
            other => other.strip_prefix("Is").unwrap_or(other),
        };
        self.out.push_str(if negated { r"\P{" } else { r"\p{" });
        self.out.push_str(name);
        self.out.push('}');
        Ok(())
    }

    fn code_point(&mut self, digits: usize) -> Result<(), String> {
        let hex: String = self.pattern[self.at..].iter().take(digits).collect();
        if hex.chars().count() < digits || !hex.chars().all(|one| one.is_ascii_hexdigit()) {
            let what =
                if digits == 4 { "Illegal Unicode escape sequence" } else { "Illegal hexadecimal escape sequence" };
            return Err(self.error(what, Some(self.at)));
        }
        self.at += digits;
        self.out.push_str(&format!(r"\x{{{hex}}}"));
        Ok(())
    }

    fn octal(&mut self) -> Result<(), String> {
        let digits = self.pattern[self.at..].iter().take(3).take_while(|one| ('0'..='7').contains(*one)).count();
        let digits = if digits == 3 && self.pattern[self.at] > '3' { 2 } else { digits };
        if digits == 0 {
            return Err(self.error("Illegal octal escape sequence", Some(self.at)));
        }
        let octal: String = self.pattern[self.at..self.at + digits].iter().collect();
        let value = u32::from_str_radix(&octal, 8).unwrap_or(0);
        self.at += digits;
        self.out.push_str(&format!(r"\x{{{value:x}}}"));
        Ok(())
    }

    /// Behind `[`.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        while let Some(one) = self.next() {
            match one {
                ']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                '[' => self.class()?,
                '\\' => self.escape(true)?,
                '&' if self.peek() == Some('&') => {
                    self.at += 1;
                    self.out.push_str("&&");
                }
                '-' if self.peek() != Some('-') => self.out.push('-'),
                other => self.literal(other),
            }
            first = false;
        }
        Err(self.error("Unclosed character class", self.pattern.len().checked_sub(1)))
    }
}
