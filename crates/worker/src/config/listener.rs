//! Addresses of the REST server.

use std::fmt;

use super::WorkerConfig;
use crate::error::{Error, Result};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Host; empty for every address of the machine.
    pub host: String,
    /// Port; 0 for any free one.
    pub port: u16,
}

impl Listener {
    fn parse(key: &str, text: &str) -> Result<Listener> {
        let wrong = |reason: &str| Error::Config(format!("Invalid value {text} for configuration {key}: {reason}"));
        let (protocol, rest) = text.trim().split_once("://").ok_or_else(|| wrong("a listener is http://host:port"))?;
        if protocol.eq_ignore_ascii_case("https") {
            return Err(wrong("the REST server does not speak TLS yet: put a proxy in front of it"));
        }
        if !protocol.eq_ignore_ascii_case("http") {
            return Err(wrong("Listener protocol must be one of: http, https"));
        }
        let (host, port) =
            rest.trim_end_matches('/').rsplit_once(':').ok_or_else(|| wrong("a listener is http://host:port"))?;
        let port = port.parse().map_err(|_| wrong("the port is not a number up to 65535"))?;
        Ok(Listener { host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        if host.contains(':') {
            write!(formatter, "[{host}]:{}", self.port)
        } else {
            write!(formatter, "{host}:{}", self.port)
        }
    }
}

/// Where the REST server listens and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Addresses of the API; with [`admin`](Self::admin) `None`, of `/admin` too.
    pub public: Vec<Listener>,
    /// Addresses of `/admin` alone; an empty list turns it off.
    pub admin: Option<Vec<Listener>>,
    /// Host name others use; `None` for that of the listener or the machine.
    pub advertised_host: Option<String>,
    /// Port others use; `None` for that of the listener.
    pub advertised_port: Option<u16>,
}

impl Listeners {
    pub(super) fn new(config: &WorkerConfig) -> Result<Listeners> {
        let parse = |key: &str| -> Result<Vec<Listener>> {
            let items = config.list(key).iter().filter(|item| !item.is_empty());
            items.map(|item| Listener::parse(key, item)).collect()
        };
        let public = parse("listeners")?;
        if public.is_empty() {
            return Err(Error::Config("Invalid value [] for configuration listeners: is empty".to_owned()));
        }
        let advertised_port = config.number("rest.advertised.port").map(u16::try_from).transpose().map_err(|_| {
            Error::Config("Invalid value for configuration rest.advertised.port: must be from 0 to 65535".to_owned())
        })?;
        let host = config.text("rest.advertised.host.name");
        Ok(Listeners {
            public,
            admin: config.given("admin.listeners").is_some().then(|| parse("admin.listeners")).transpose()?,
            advertised_host: (!host.is_empty()).then(|| host.to_owned()),
            advertised_port,
        })
    }
}
