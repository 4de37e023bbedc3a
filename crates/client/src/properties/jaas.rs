//! JAAS login lines as Java clients write them in `sasl.jaas.config`:
//! `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`

use crate::security::Secret;

/// What stands between the module and its options. It matters to logins of several modules only.
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// One login line: a module and its options in the order written.
#[derive(Debug)]
pub(crate) struct LoginLine {
    /// Name of the class without its package.
    pub(crate) module: String,
    options: Vec<(String, Secret)>,
}

impl LoginLine {
    /// Value of an option.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.reveal())
    }

    /// Options whose name begins with `prefix`, without it.
    pub(crate) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.options.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.reveal())))
    }

    /// Names of all options.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(|(key, _)| key.as_str())
    }
}

/// Reads a login line. The error says what is wrong and never quotes the line.
pub(crate) fn parse(line: &str) -> Result<LoginLine, &'static str> {
    let mut scanner = Scanner { rest: line };
    let Some((class, None)) = scanner.next_word()? else { return Err("must begin with a login module class") };
    let module = class.rsplit('.').next().unwrap_or(class).to_owned();
    let is_flag = |word: &str| FLAGS.iter().any(|flag| flag.eq_ignore_ascii_case(word));
    if !matches!(scanner.next_word()?, Some((word, None)) if is_flag(word)) {
        return Err("needs a control flag (required) behind the login module class");
    }
    let mut options: Vec<(String, Secret)> = Vec::new();
    while let Some((name, value)) = scanner.next_word()? {
        let Some(value) = value else { return Err("has an option without =value") };
        options.push((name.to_owned(), value));
    }
    Ok(LoginLine { module, options })
}

/// Cuts a login line into words, each a name with an optional value.
struct Scanner<'a> {
    rest: &'a str,
}

/// A name and, after an equals sign, its value.
type Word<'a> = (&'a str, Option<Secret>);

impl<'a> Scanner<'a> {
    fn next_word(&mut self) -> Result<Option<Word<'a>>, &'static str> {
        self.rest = self.rest.trim_start();
        if let Some(after) = self.rest.strip_prefix(';') {
            return if after.trim().is_empty() {
                Ok(None)
            } else {
                Err("has more behind its semicolon: one line only")
            };
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || c == '=' || c == ';').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err("has a value without a name");
        }
        let Some(value) = rest.trim_start().strip_prefix('=') else {
            self.rest = rest;
            return Ok(Some((name, None)));
        };
        self.rest = value.trim_start();
        Ok(Some((name, Some(Secret::new(self.value()?)))))
    }

    fn value(&mut self) -> Result<String, &'static str> {
        if let Some(quote @ ('"' | '\'')) = self.rest.chars().next() {
            return self.quoted(quote);
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(value.to_owned())
    }

    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            match character {
                end if end == quote => {
                    self.rest = &self.rest[index + quote.len_utf8()..];
                    return Ok(value);
                }
                '\\' => value.push(characters.next().ok_or("ends inside quotes")?.1),
                other => value.push(other),
            }
        }
        Err("ends inside quotes")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_as_people_write_them() {
        const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
        for (options, username, password) in [
            (r#"required username="a" password="b";"#, "a", "b"),
            (r#"required password="b"   username="a""#, "a", "b"),
            ("required\n  username='a'\n  password='b c';\n", "a", "b c"),
            ("REQUIRED username=a password=b;", "a", "b"),
            (r#"required username = "a" password = "b" ;"#, "a", "b"),
            (r#"required username="a\"b" password="c\\d;e=f";"#, "a\"b", "c\\d;e=f"),
        ] {
            let line = parse(&format!("{MODULE} {options}")).unwrap();
            assert_eq!(line.module, "PlainLoginModule");
            assert_eq!((line.get("username"), line.get("password")), (Some(username), Some(password)), "{options}");
        }
    }

    #[test]
    fn prefixed_options_and_names() {
        let line = parse("OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"alice\" x=1;").unwrap();
        let claims: Vec<_> = line.with_prefix("unsecuredLoginStringClaim_").collect();
        assert_eq!(claims, [("sub", "alice")]);
        assert_eq!(line.names().collect::<Vec<_>>(), ["unsecuredLoginStringClaim_sub", "x"]);
    }

    #[test]
    fn damaged_lines_are_errors_that_show_nothing() {
        for line in [
            "",
            ";",
            "username=\"a\"",
            "Module username=\"hunter2\"",
            "Module required password=\"hunter2",
            "Module required password=\"hunter2\\",
            "Module required flag",
            "Module required ='hunter2'",
            "Module required a=b; Other required c=hunter2;",
        ] {
            let error = parse(line).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let line = parse("M required password=\"hunter2\";").unwrap();
        assert!(!format!("{line:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn quoted_values_come_back(value in "[ -~]{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let line = parse(&format!("M required password=\"{escaped}\";")).unwrap();
            prop_assert_eq!(line.get("password"), Some(value.as_str()));
        }

        #[test]
        fn garbage_does_not_panic(line in ".{0,60}") {
            let _ = parse(&line);
        }
    }
}
