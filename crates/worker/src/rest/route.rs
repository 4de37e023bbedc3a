//! Paths of the REST API.

use std::borrow::Cow;

use hyper::Method;

/// What a path names. Names are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Health,
    Connectors,
    Connector(String),
    Config(String),
    Status(String),
    Restart(String),
    Pause(String),
    Resume(String),
    Stop(String),
    Tasks(String),
    /// A number that is none is a path that is none, as in Connect.
    TaskStatus(String, Option<i32>),
    TaskRestart(String, Option<i32>),
    Offsets(String),
    Topics(String),
    TopicsReset(String),
    Fence(String),
    Plugins,
    PluginConfig(String),
    PluginValidate(String),
    Loggers,
    Logger(String),
}

/// Why a path names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// There is no such path.
    Unknown,
    /// The path could be read in two ways, or in none: refused before it is looked at, as Jetty does.
    Ambiguous(&'static str),
}

impl Route {
    /// Finds what a path, as it came, names.
    pub(super) fn find(path: &str) -> Result<Route, NoRoute> {
        refuse_ambiguous(path)?;
        // One slash at the end does not count.
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<&str> = path.split('/').collect();
        let name = |segment: &str| decode(segment).into_owned();
        let number = |segment: &str| decode(segment).parse().ok();
        Ok(match segments.as_slice() {
            [""] => Route::Root,
            ["health"] => Route::Health,
            ["connectors"] => Route::Connectors,
            ["connectors", c] => Route::Connector(name(c)),
            ["connectors", c, "config"] => Route::Config(name(c)),
            ["connectors", c, "status"] => Route::Status(name(c)),
            ["connectors", c, "restart"] => Route::Restart(name(c)),
            ["connectors", c, "pause"] => Route::Pause(name(c)),
            ["connectors", c, "resume"] => Route::Resume(name(c)),
            ["connectors", c, "stop"] => Route::Stop(name(c)),
            ["connectors", c, "tasks"] => Route::Tasks(name(c)),
            ["connectors", c, "tasks", t, "status"] => Route::TaskStatus(name(c), number(t)),
            ["connectors", c, "tasks", t, "restart"] => Route::TaskRestart(name(c), number(t)),
            ["connectors", c, "offsets"] => Route::Offsets(name(c)),
            ["connectors", c, "topics"] => Route::Topics(name(c)),
            ["connectors", c, "topics", "reset"] => Route::TopicsReset(name(c)),
            ["connectors", c, "fence"] => Route::Fence(name(c)),
            ["connector-plugins"] => Route::Plugins,
            ["connector-plugins", p, "config"] => Route::PluginConfig(name(p)),
            ["connector-plugins", p, "config", "validate"] => Route::PluginValidate(name(p)),
            ["admin", "loggers"] => Route::Loggers,
            ["admin", "loggers", l] => Route::Logger(name(l)),
            _ => return Err(NoRoute::Unknown),
        })
    }

    /// Methods it takes.
    pub(super) fn methods(&self) -> &'static [Method] {
        const GET: &[Method] = &[Method::GET];
        const PUT: &[Method] = &[Method::PUT];
        const POST: &[Method] = &[Method::POST];
        match self {
            Route::Root | Route::Health | Route::Status(_) | Route::TaskStatus(..) | Route::Topics(_) => GET,
            Route::Plugins | Route::PluginConfig(_) | Route::Loggers => GET,
            Route::Connectors | Route::Tasks(_) => &[Method::GET, Method::POST],
            Route::Connector(_) => &[Method::GET, Method::DELETE],
            Route::Config(_) => &[Method::GET, Method::PUT, Method::PATCH],
            Route::Restart(_) | Route::TaskRestart(..) => POST,
            Route::Pause(_) | Route::Resume(_) | Route::Stop(_) | Route::TopicsReset(_) | Route::Fence(_) => PUT,
            Route::PluginValidate(_) => PUT,
            Route::Offsets(_) => &[Method::GET, Method::PATCH, Method::DELETE],
            Route::Logger(_) => &[Method::GET, Method::PUT],
        }
    }

    /// Whether it belongs to the part that `admin.listeners` moves elsewhere.
    pub(super) fn is_admin(&self) -> bool {
        matches!(self, Route::Loggers | Route::Logger(_))
    }
}

fn refuse_ambiguous(path: &str) -> Result<(), NoRoute> {
    if path.contains("//") {
        return Err(NoRoute::Ambiguous("Ambiguous URI empty segment"));
    }
    for (at, _) in path.match_indices('%') {
        let digits = path.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.map(str::to_ascii_uppercase).as_deref() {
            Some("2F" | "5C") => return Err(NoRoute::Ambiguous("Ambiguous URI path separator")),
            Some("25") | None => return Err(NoRoute::Ambiguous("Ambiguous URI path encoding")),
            Some("00") => return Err(NoRoute::Ambiguous("Bad Request")),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Percent signs decoded; bytes that are no text become replacement characters.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &behind[2..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// A name as a segment of a path, with what Connect's `Location` headers leave as it is.
pub(super) fn encode_segment(name: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The parameters of a query, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Query {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")).into_owned(), decode(&value.replace('+', " ")).into_owned())
        });
        Query(pairs.collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// `true` in any case is true, anything else false, as Java reads it.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value.eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_slashes_in_them_refused() {
        let find = |path| Route::find(path);
        assert_eq!(find("/connectors/a%20b%3Bc/status"), Ok(Route::Status("a b;c".to_owned())));
        assert_eq!(find("/connectors/"), Ok(Route::Connectors));
        assert_eq!(find("/"), Ok(Route::Root));
        assert_eq!(find("/connectors/c/tasks/x/status"), Ok(Route::TaskStatus("c".to_owned(), None)));
        assert_eq!(find("/connectors/c/tasks/-1/status"), Ok(Route::TaskStatus("c".to_owned(), Some(-1))));
        for path in ["/nothing", "/connectors/a/../b", "/connectors/a/b/c", "/connectors/c/tasks-config"] {
            assert_eq!(find(path), Err(NoRoute::Unknown), "{path}");
        }
        for path in ["//connectors", "/connectors/a%2fb", "/connectors/%5C", "/connectors/%252F", "/connectors/%zz"] {
            assert!(matches!(find(path), Err(NoRoute::Ambiguous(_))), "{path}");
        }
    }

    #[test]
    fn queries_may_repeat_names() {
        let query = Query::parse("expand=info&expand=st%61tus&includeTasks=TRUE&onlyFailed");
        assert_eq!(query.all("expand"), ["info", "status"]);
        assert_eq!(
            (query.flag("includeTasks"), query.flag("onlyFailed"), query.flag("x")),
            (Some(true), Some(false), None)
        );
    }

    #[test]
    fn names_come_back_from_their_segment() {
        for name in ["plain", "a b", "ž#?&;", "100%/x"] {
            assert_eq!(decode(&encode_segment(name)), name);
        }
    }
}
