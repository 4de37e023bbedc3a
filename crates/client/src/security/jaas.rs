//! JAAS login lines as Java clients write them in `sasl.jaas.config`:
//! `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`

use std::fmt;

use super::Secret;

/// What stands between the module and its options. It matters to logins of several modules only.
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// A login line as Java clients write it in `sasl.jaas.config`: the class of a login module, a control flag and options.
pub struct LoginLine {
    /// Words before the first option: a class and a flag, if the line is whole.
    words: Vec<String>,
    options: Vec<(String, Secret)>,
}

/// What is wrong with a login line, in words that follow its name and never quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLineError(&'static str);

impl fmt::Display for LoginLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for LoginLineError {}

/// Names the options; a line in disorder may have a password anywhere else.
impl fmt::Debug for LoginLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl LoginLine {
    /// Reads a line. Values may stand in single or double quotes, with backslash escapes; class and flag may be missing.
    ///
    /// # Errors
    /// When quotes stay open, an option has no value, or a second line follows.
    pub fn parse(line: &str) -> Result<LoginLine, LoginLineError> {
        let mut scanner = Scanner { rest: line };
        let (mut words, mut options) = (Vec::new(), Vec::new());
        while let Some((name, value)) = scanner.next_word()? {
            match value {
                Some(value) => options.push((name.to_owned(), value)),
                None if options.is_empty() => words.push(name.to_owned()),
                None => return Err(LoginLineError("has an option without =value")),
            }
        }
        Ok(LoginLine { words, options })
    }

    /// Value of an option, such as `username`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.reveal())
    }

    /// Name of the module's class without its package.
    ///
    /// # Errors
    /// When the line does not begin with a class and a control flag, as Java wants it.
    pub(crate) fn module(&self) -> Result<&str, LoginLineError> {
        let mut words = self.words.iter();
        let class = words.next().ok_or(LoginLineError("must begin with a login module class"))?;
        let is_flag = |word: &String| FLAGS.iter().any(|flag| flag.eq_ignore_ascii_case(word));
        if !words.next().is_some_and(is_flag) {
            return Err(LoginLineError("needs a control flag (required) behind the login module class"));
        }
        match words.next() {
            None => Ok(class.rsplit('.').next().unwrap_or(class)),
            Some(_) => Err(LoginLineError("has an option without =value")),
        }
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

/// Cuts a login line into words, each a name with an optional value.
struct Scanner<'a> {
    rest: &'a str,
}

/// A name and, after an equals sign, its value.
type Word<'a> = (&'a str, Option<Secret>);

impl<'a> Scanner<'a> {
    fn next_word(&mut self) -> Result<Option<Word<'a>>, LoginLineError> {
        self.rest = self.rest.trim_start();
        if let Some(after) = self.rest.strip_prefix(';') {
            return if after.trim().is_empty() {
                Ok(None)
            } else {
                Err(LoginLineError("has more behind its semicolon: one line only"))
            };
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || c == '=' || c == ';').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(LoginLineError("has a value without a name"));
        }
        let Some(value) = rest.trim_start().strip_prefix('=') else {
            self.rest = rest;
            return Ok(Some((name, None)));
        };
        self.rest = value.trim_start();
        Ok(Some((name, Some(Secret::new(self.value()?)))))
    }

    fn value(&mut self) -> Result<String, LoginLineError> {
        if let Some(quote @ ('"' | '\'')) = self.rest.chars().next() {
            return self.quoted(quote);
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(value.to_owned())
    }

    fn quoted(&mut self, quote: char) -> Result<String, LoginLineError> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            match character {
                end if end == quote => {
                    self.rest = &self.rest[index + quote.len_utf8()..];
                    return Ok(value);
                }
                '\\' => value.push(characters.next().ok_or(LoginLineError("ends inside quotes"))?.1),
                other => value.push(other),
            }
        }
        Err(LoginLineError("ends inside quotes"))
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
            let line = LoginLine::parse(&format!("{MODULE} {options}")).unwrap();
            assert_eq!(line.module(), Ok("PlainLoginModule"));
            assert_eq!((line.get("username"), line.get("password")), (Some(username), Some(password)), "{options}");
        }
    }

    #[test]
    fn prefixed_options_and_names() {
        let line =
            LoginLine::parse("OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"alice\" x=1;").unwrap();
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
            let error =
                LoginLine::parse(line).and_then(|line| line.module().map(str::to_owned)).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let line = LoginLine::parse("M required password=\"hunter2\";").unwrap();
        assert!(!format!("{line:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn quoted_values_come_back(value in "[ -~]{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let line = LoginLine::parse(&format!("M required password=\"{escaped}\";")).unwrap();
            prop_assert_eq!(line.get("password"), Some(value.as_str()));
        }

        #[test]
        fn garbage_does_not_panic(line in ".{0,60}") {
            let _ = LoginLine::parse(&line);
        }
    }
}
