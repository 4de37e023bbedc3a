//! The syntax of Java's properties files.

use std::iter::Peekable;
use std::str::Chars;

/// Keys and values in the order written. The error says which line cannot be read, and never quotes it.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while is_continued(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        entries.push(entry(&logical).map_err(|reason| format!("line {} {reason}", index + 1))?);
    }
    Ok(entries)
}

/// Whether a line ends with a backslash that no other one escapes.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn entry(line: &str) -> Result<(String, String), &'static str> {
    let mut characters = line.chars().peekable();
    let mut key = String::new();
    while let Some(character) = characters.next_if(|c| !c.is_whitespace() && !matches!(c, '=' | ':')) {
        key.push(if character == '\\' { unescape(&mut characters)? } else { character });
    }
    skip_blanks(&mut characters);
    if characters.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut characters);
    }
    let mut value = String::new();
    while let Some(character) = characters.next() {
        value.push(if character == '\\' { unescape(&mut characters)? } else { character });
    }
    Ok((key, value))
}

fn skip_blanks(characters: &mut Peekable<Chars<'_>>) {
    while characters.next_if(|c| c.is_whitespace()).is_some() {}
}

/// What stands behind a backslash.
fn unescape(characters: &mut Peekable<Chars<'_>>) -> Result<char, &'static str> {
    Ok(match characters.next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('f') => '\x0c',
        Some('u') => utf16(characters)?,
        Some(other) => other,
        None => return Err("ends with a backslash"),
    })
}

/// A character by its four hexadecimal digits, or by two such escapes for one outside the basic plane.
fn utf16(characters: &mut Peekable<Chars<'_>>) -> Result<char, &'static str> {
    const WRONG: &str = "has a \\u escape that is not a character";
    let first = hex4(characters).ok_or(WRONG)?;
    let mut units = vec![first];
    if (0xD800..0xDC00).contains(&first) {
        characters.next_if_eq(&'\\').and_then(|_| characters.next_if_eq(&'u')).ok_or(WRONG)?;
        units.push(hex4(characters).ok_or(WRONG)?);
    }
    char::decode_utf16(units).next().and_then(Result::ok).ok_or(WRONG)
}

fn hex4(characters: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let digits: String = characters.by_ref().take(4).filter(char::is_ascii_hexdigit).collect();
    if digits.len() == 4 { u16::from_str_radix(&digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_as_java_reads_them() {
        let text = "# comment\n! comment\n\na=1\nb : 2\nc 3\n  d\t=  four five \ne\nf=\\\n   x, \\\n   y\\\\\n\
                    g\\ h=\\u00e9\\t\\\"\\ud83d\\ude00\na=last";
        let entries = parse(text).unwrap();
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d", "four five "),
            ("e", ""),
            ("f", "x, y\\"),
            ("g h", "é\t\"😀"),
            ("a", "last"),
        ];
        assert_eq!(entries.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(parse("a=1\r\nb=2\r\n").unwrap()[0].1, "1");
    }

    #[test]
    fn damaged_escapes_name_the_line_and_not_the_value() {
        for text in ["a=1\nb=hunter2\\u12", "a=1\nb=hunter2\\ud83d"] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("line 2 ") && !error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(text in r"([a=:# \\\n\tu0-9]|\PC){0,60}") {
            let _ = parse(&text);
        }
    }
}
