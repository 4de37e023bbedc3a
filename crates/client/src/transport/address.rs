//! Host and port of an address.

use crate::error::{Error, Result};

/// Splits `host:port`; an IPv6 host loses its brackets.
///
/// # Errors
/// [`Error::InvalidOption`] names the address.
pub(crate) fn split(address: &str) -> Result<(&str, u16)> {
    let invalid =
        |reason: &str| Error::InvalidOption { option: "address".to_owned(), reason: format!("{address:?} {reason}") };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| invalid("has no port: write host:port"))?;
    let port = port.parse().map_err(|_| invalid("has no port between 0 and 65535"))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(|| invalid("lacks a closing bracket"))?,
        None if host.contains(':') => return Err(invalid("needs brackets around its IPv6 address: [::1]:9092")),
        None => host,
    };
    if host.is_empty() { Err(invalid("has no host")) } else { Ok((host, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_ip_addresses() {
        assert_eq!(split("broker-1.example:9092").unwrap(), ("broker-1.example", 9092));
        assert_eq!(split("127.0.0.1:1").unwrap(), ("127.0.0.1", 1));
        assert_eq!(split("[::1]:9093").unwrap(), ("::1", 9093));
        assert_eq!(split("[fe80::1%eth0]:9093").unwrap(), ("fe80::1%eth0", 9093));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (address, word) in [
            ("host", "no port"),
            ("host:x", "no port"),
            ("::1:9092", "brackets"),
            ("[::1:9092", "bracket"),
            (":1", "host"),
        ] {
            let error = split(address).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
