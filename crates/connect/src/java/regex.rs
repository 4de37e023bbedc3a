//! Java's regular expressions.

use std::fmt;

use fancy_regex::{Captures, Regex};

use super::regex_syntax::translate;
use crate::error::{Error, Result};

/// A pattern in Java's syntax, look-around, back-references and possessive quantifiers included.
///
/// Differences from Java: `(?i)` compares all of Unicode, not ASCII alone; `\b` knows the words of Unicode; `\G`, `\X`,
/// the flag `(?d)` and quantifiers behind a look-around or an empty group are refused. A match that takes very many
/// steps back is an error instead of taking for ever.
#[derive(Clone)]
pub struct JavaRegex {
    pattern: String,
    /// Finds the pattern anywhere.
    find: Regex,
    /// Fits the whole of a text.
    whole: Regex,
}

impl JavaRegex {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, for the usual mistakes in Java's words: what, where, and the pattern.
    pub fn new(pattern: &str) -> Result<JavaRegex, String> {
        let translated = translate(pattern)?;
        let compile = |text: &str| Regex::new(text).map_err(|error| format!("{error}\n{pattern}"));
        let find = compile(&translated)?;
        let whole = compile(&format!(r"\A(?:{translated})\z"))?;
        Ok(JavaRegex { pattern: pattern.to_owned(), find, whole })
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole text fits, as `Matcher.matches`.
    ///
    /// # Errors
    /// When it takes too many steps to tell.
    pub fn matches(&self, text: &str) -> Result<bool> {
        self.whole.is_match(text).map_err(|error| self.too_hard(&error))
    }

    /// The text with the first place where the pattern is found replaced, as `Matcher.replaceFirst`; `None` when it is
    /// found nowhere.
    ///
    /// # Errors
    /// When it takes too many steps to tell, or the replacement names a group that the pattern does not have.
    pub fn replace_first(&self, text: &str, replacement: &Replacement) -> Result<Option<String>> {
        let found = self.find.captures(text).map_err(|error| self.too_hard(&error))?;
        let Some(found) = found else { return Ok(None) };
        let Some(place) = found.get(0) else { return Ok(None) };
        let mut replaced = text[..place.start()].to_owned();
        let names: Vec<&str> = self.find.capture_names().flatten().collect();
        replacement.expand(&found, &names, &mut replaced)?;
        replaced.push_str(&text[place.end()..]);
        Ok(Some(replaced))
    }

    /// How many groups the pattern has, the whole of it not counted.
    pub fn groups(&self) -> usize {
        self.find.captures_len() - 1
    }

    fn too_hard(&self, error: &fancy_regex::Error) -> Error {
        Error::data(format!("the regular expression {} could not be applied: {error}", self.pattern))
    }
}

impl fmt::Debug for JavaRegex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "JavaRegex({})", self.pattern)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The digits behind a `$`: Java takes as many of them as there are groups for.
    Group(String),
    Name(String),
}

/// A replacement in Java's syntax: `$1`, `${name}`, and a backslash that makes the next character plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    parts: Vec<Part>,
    /// What Java says when it comes to this place.
    broken: Option<&'static str>,
}

impl Replacement {
    /// Reads a replacement. As in Java a mistake shows only when something is replaced.
    pub fn new(text: &str) -> Replacement {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut broken = None;
        let mut characters = text.chars().peekable();
        while let Some(one) = characters.next() {
            let part = match one {
                '\\' => match characters.next() {
                    Some(next) => {
                        plain.push(next);
                        continue;
                    }
                    None => Err("character to be escaped is missing"),
                },
                '$' => group(&mut characters),
                other => {
                    plain.push(other);
                    continue;
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            match part {
                Ok(part) => parts.push(part),
                Err(message) => {
                    broken = Some(message);
                    break;
                }
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Replacement { parts, broken }
    }

    fn expand(&self, found: &Captures<'_>, names: &[&str], out: &mut String) -> Result<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Name(name) => {
                    if !names.contains(&name.as_str()) {
                        return Err(Error::Argument(format!("No group with name {{{name}}}")));
                    }
                    out.push_str(found.name(name).map_or("", |group| group.as_str()));
                }
                Part::Group(digits) => {
                    let (group, rest) = widest_group(digits, found.len());
                    let Some(group) = group else {
                        let first = &digits[..1];
                        return Err(Error::Argument(format!("No group {first}")));
                    };
                    out.push_str(found.get(group).map_or("", |group| group.as_str()));
                    out.push_str(rest);
                }
            }
        }
        match self.broken {
            Some(message) => Err(Error::Argument(message.to_owned())),
            None => Ok(()),
        }
    }
}

fn group(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, &'static str> {
    match characters.peek() {
        None => Err("Illegal group reference: group index is missing"),
        Some('{') => {
            characters.next();
            let mut name = String::new();
            loop {
                match characters.next() {
                    Some('}') => return Ok(Part::Name(name)),
                    Some(one) if one.is_ascii_alphanumeric() => name.push(one),
                    _ => return Err("named capturing group is missing trailing '}'"),
                }
            }
        }
        Some(digit) if digit.is_ascii_digit() => {
            let mut digits = String::new();
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            Ok(Part::Group(digits))
        }
        Some(_) => Err("Illegal group reference"),
    }
}

/// The longest number at the start of `digits` that is a group, and the digits behind it, which are plain text.
fn widest_group(digits: &str, groups: usize) -> (Option<usize>, &str) {
    let mut widest = (None, digits);
    for end in 1..=digits.len() {
        match digits[..end].parse::<usize>() {
            Ok(group) if group < groups => widest = (Some(group), &digits[end..]),
            _ => break,
        }
    }
    widest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, replacement: &str, text: &str) -> Option<String> {
        JavaRegex::new(pattern).unwrap().replace_first(text, &Replacement::new(replacement)).unwrap()
    }

    #[test]
    fn fits_the_whole_text() {
        let cases = [
            ("a|ab", "ab", true),
            ("a", "ab", false),
            (r"\d+", "٣", false),
            (r"\w+", "é", false),
            (r"[\w.-]+", "a.b-c", true),
            (".*", "a\u{85}b", false),
            ("(?s).*", "a\nb", true),
            (r"\Qa.b\E.", "a.bc", true),
            (r"(?!foo).*", "foobar", false),
            (r"(?<=a)b|ab", "ab", true),
            (r"(a)\1", "aa", true),
            ("a++b", "aab", true),
            ("(?>a+)ab", "aaab", false),
            (r"\p{Alpha}+\p{Digit}", "ab1", true),
            (r"\p{Lower}", "é", false),
            (r"[a-z&&[^c]]+", "abd", true),
            (r"[a-z&&[^c]]+", "abc", false),
            (r"\u0041\x42\t", "AB\t", true),
            ("[]a]", "]", true),
            (r"[[a]b]+", "ab", true),
            ("(?<year>\\d{4})-\\k<year>", "2020-2020", true),
            ("a#b", "a#b", true),
            ("[a~~b]", "~", true),
        ];
        for (pattern, text, fits) in cases {
            let regex = JavaRegex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(regex.matches(text).unwrap(), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn replaces_as_java_does() {
        assert_eq!(replaced("(.*)-(.*)", "$2_$1", "a-b"), Some("b_a".to_owned()));
        assert_eq!(replaced("(a)(b)?", "[$2$11]", "ac"), Some("[a1]c".to_owned()));
        assert_eq!(replaced("(?<x>a)", r"\$${x}", "ba"), Some("b$a".to_owned()));
        assert_eq!(replaced("z", "y", "a"), None);
        let error = |replacement: &str| {
            let regex = JavaRegex::new("a").unwrap();
            regex.replace_first("a", &Replacement::new(replacement)).unwrap_err().to_string()
        };
        assert_eq!(error("$1"), "No group 1");
        assert_eq!(error("$"), "Illegal group reference: group index is missing");
        assert_eq!(error("$x"), "Illegal group reference");
        assert_eq!(error("\\"), "character to be escaped is missing");
    }

    #[test]
    fn says_what_is_wrong_in_javas_words() {
        let cases = [
            ("(", "Unclosed group near index 1\n("),
            ("a)", "Unmatched closing ')' near index 0\na)\n^"),
            (")", "Unmatched closing ')'\n)"),
            ("*a", "Dangling meta character '*' near index 0\n*a\n^"),
            ("[abc", "Unclosed character class near index 3\n[abc\n   ^"),
        ];
        for (pattern, message) in cases {
            assert_eq!(JavaRegex::new(pattern).unwrap_err(), message);
        }
    }

    #[test]
    fn gives_up_on_what_would_take_for_ever() {
        let regex = JavaRegex::new(r"(?:(a+)+)+\1b").unwrap();
        assert!(regex.matches(&"a".repeat(64)).is_err());
    }
}
