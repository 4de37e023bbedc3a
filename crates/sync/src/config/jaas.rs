//! The user name and password inside a JAAS login line, as Java clients write it:
//! `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`
//!
//! OLake wants the user name first, double quotes and nothing between the two. Every such line reads
//! the same here; other orders, other options, single quotes and escapes are understood as well.

use super::Secret;

/// What a login line holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

/// Reads a login line. The error says what is missing and never quotes the line.
pub(crate) fn parse(line: &str) -> Result<Credentials, &'static str> {
    let (mut username, mut password) = (None, None);
    let mut scanner = Scanner { rest: line };
    while let Some((name, value)) = scanner.next_word()? {
        match (name, value) {
            ("username", Some(value)) => username = Some(value),
            ("password", Some(value)) => password = Some(value),
            _ => {}
        }
    }
    let username = username.filter(|text| !text.is_empty()).ok_or("holds no username=\"...\"")?;
    let password = password.filter(|text| !text.is_empty()).ok_or("holds no password=\"...\"")?;
    Ok(Credentials { username, password: Secret::new(password) })
}

/// Cuts a login line into words, each a name with an optional value.
struct Scanner<'a> {
    rest: &'a str,
}

/// A name and, after an equals sign, its value.
type Word<'a> = (&'a str, Option<String>);

impl<'a> Scanner<'a> {
    fn next_word(&mut self) -> Result<Option<Word<'a>>, &'static str> {
        self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || c == '=' || c == ';').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        let after = rest.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            self.rest = rest;
            return Ok(Some((name, None)));
        };
        self.rest = value.trim_start();
        Ok(Some((name, Some(self.value()?))))
    }

    fn value(&mut self) -> Result<String, &'static str> {
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let end = self.rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(self.rest.len());
                let (value, rest) = self.rest.split_at(end);
                self.rest = rest;
                Ok(value.to_owned())
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            if character == quote {
                self.rest = &self.rest[index + quote.len_utf8()..];
                return Ok(value);
            }
            match character {
                '\\' => value.push(characters.next().ok_or("ends inside quotes")?.1),
                other => value.push(other),
            }
        }
        Err("ends inside quotes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_java_clients_and_olake_users_write() {
        const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        for (options, username, password) in [
            (r#"username="TEST-USER" password="TEST-PASS";"#, "TEST-USER", "TEST-PASS"),
            (r#"username="a"    password="b""#, "a", "b"),
            (r#"password="b" username="a";"#, "a", "b"),
            (r#"serviceName="x" username="a" debug=true password="b" ;"#, "a", "b"),
            (r"username='a' password='b c';", "a", "b c"),
            (r"username=a password=b;", "a", "b"),
            (r#"username = "a" password = "b";"#, "a", "b"),
            (r#"username="a\"b" password="c\\d;e=f";"#, "a\"b", "c\\d;e=f"),
        ] {
            let expected = Credentials { username: username.to_owned(), password: Secret::new(password) };
            assert_eq!(parse(&format!("{MODULE} {options}")), Ok(expected), "{options}");
        }
    }

    #[test]
    fn a_line_without_both_says_which_is_missing_and_shows_nothing() {
        for (line, reason) in [
            ("", "holds no username=\"...\""),
            ("Module required password=\"hunter2\";", "holds no username=\"...\""),
            ("Module required username=\"a\";", "holds no password=\"...\""),
            ("Module required username=\"\" password=\"hunter2\";", "holds no username=\"...\""),
            ("Module required username=\"a\" password=\"hunter2", "ends inside quotes"),
            ("Module required username=\"a\" password=\"hunter2\\", "ends inside quotes"),
        ] {
            assert_eq!(parse(line), Err(reason), "{line}");
        }
        let credentials = parse("m username=\"a\" password=\"hunter2\"").unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
