//! Trust and key stores: PEM, from a file or as text.

use crate::security::{Pem, Secret, TlsOptions};

/// What is wrong, and with which key.
pub(super) type Wrong = (&'static str, String);

/// How to get PEM out of a Java store.
const CONVERT: &str = "only PEM is supported: convert the store, with keytool -exportcert -rfc for certificates or \
                       openssl pkcs12 -nodes for a key, and set the type to PEM";

/// What the `ssl.*` keys say.
#[derive(Debug, Default)]
pub(super) struct Tls {
    pub(super) trust_type: Option<String>,
    pub(super) trust_location: Option<String>,
    pub(super) trust_certificates: Option<Secret>,
    pub(super) key_type: Option<String>,
    pub(super) key_location: Option<String>,
    pub(super) chain: Option<Secret>,
    pub(super) key: Option<Secret>,
    pub(super) key_has_password: bool,
    pub(super) hostname_unchecked: bool,
}

impl Tls {
    pub(super) fn finish(self) -> Result<TlsOptions, Wrong> {
        let mut options = TlsOptions::default().with_hostname_check(!self.hostname_unchecked);
        check_store(["ssl.truststore.type", "ssl.truststore.location"], &self.trust_type, &self.trust_location)?;
        check_store(["ssl.keystore.type", "ssl.keystore.location"], &self.key_type, &self.key_location)?;
        let roots = self.trust_certificates.map(|text| lines(&text)).or(self.trust_location.map(Pem::file));
        if let Some(roots) = roots {
            options = options.with_roots(roots);
        }
        let identity = match (self.chain, self.key, self.key_location) {
            (Some(chain), Some(key), _) => Some((lines(&chain), lines(&key))),
            (None, None, Some(location)) => Some((Pem::file(location.clone()), Pem::file(location))),
            (None, None, None) => None,
            (Some(_), None, _) => return Err(("ssl.keystore.key", "is missing beside the certificate chain".into())),
            (None, Some(_), _) => return Err(("ssl.keystore.certificate.chain", "is missing beside the key".into())),
        };
        let Some((chain, key)) = identity else { return Ok(options) };
        if self.key_has_password {
            return Err(("ssl.key.password", "is not supported: decrypt the key first, with openssl pkey".into()));
        }
        Ok(options.with_identity(chain, key))
    }
}

/// Refuses a store that is not PEM, by its type or, without one, by the end of its name.
fn check_store(
    [type_key, location_key]: [&'static str; 2],
    kind: &Option<String>,
    location: &Option<String>,
) -> Result<(), Wrong> {
    let Some(location) = location else { return Ok(()) };
    let end = location.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match kind.as_deref() {
        Some("PEM") => Ok(()),
        Some(kind) => Err((type_key, format!("{kind:?} is not supported: {CONVERT}"))),
        None if matches!(end.as_str(), "jks" | "p12" | "pfx" | "pkcs12" | "keystore" | "truststore") => {
            Err((location_key, format!("{location:?} is a Java store by its name: {CONVERT}")))
        }
        None => Ok(()),
    }
}

/// PEM with every boundary on its own line: a property often has it all on one.
fn lines(text: &Secret) -> Pem {
    let mut parts = text.reveal().split("-----");
    let mut pem = parts.next().unwrap_or_default().trim().to_owned();
    // By turns a boundary and what stands behind it.
    while let (Some(boundary), Some(behind)) = (parts.next(), parts.next()) {
        let body = behind.split_whitespace();
        let body: String = if behind.contains(':') { behind.trim().to_owned() } else { body.collect() };
        pem.push_str(&format!("\n-----{boundary}-----\n{body}"));
    }
    pem.push('\n');
    Pem::text(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_on_one_line_gets_its_lines_back() {
        let text = "-----BEGIN CERTIFICATE----- TUlJ QkFD -----END CERTIFICATE----- \
                    -----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let Pem::Text(pem) = lines(&text.into()) else { panic!("a text") };
        let expected = "\n-----BEGIN CERTIFICATE-----\nTUlJQkFD\n-----END CERTIFICATE-----\n\
                        \n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\n";
        assert_eq!(pem.reveal(), expected);
    }
}
