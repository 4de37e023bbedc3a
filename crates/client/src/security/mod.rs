//! Who the broker is and who we are: TLS, SASL, and the secrets of both.
//!
//! [`Security`] says what every connection does between its dial and its first request. TLS itself is made in
//! `transport`, the SASL exchange is carried by `connection`; here are the options, the mechanisms (bytes in, bytes out)
//! and the sources of tokens.

mod clock;
mod http;
mod jaas;
mod msk_iam;
mod oauth;
mod oidc;
mod pem;
pub(crate) mod sasl;
mod scram;
mod secret;
mod tls;

pub use self::jaas::{LoginLine, LoginLineError};
pub use self::msk_iam::{AwsCredentials, AwsMskIam};
pub use self::oauth::{OAuthBearer, Token, TokenError, TokenProvider, UnsecuredJwt};
pub use self::oidc::OidcClientCredentials;
pub use self::pem::Pem;
pub use self::sasl::{Credentials, Sasl};
pub use self::secret::Secret;
pub use self::tls::TlsOptions;

use crate::error::{Error, Result};

/// What runs on a connection below the requests, by the names of Kafka's `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecurityProtocol {
    /// Nothing: `PLAINTEXT`.
    #[default]
    Plaintext,
    /// TLS: `SSL`.
    Ssl,
    /// SASL without encryption: `SASL_PLAINTEXT`.
    SaslPlaintext,
    /// SASL inside TLS: `SASL_SSL`.
    SaslSsl,
}

impl SecurityProtocol {
    /// Whether connections are encrypted.
    pub fn uses_tls(self) -> bool {
        matches!(self, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl)
    }

    /// Whether connections authenticate with SASL.
    pub fn uses_sasl(self) -> bool {
        matches!(self, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl)
    }

    /// The name in Kafka's configuration.
    pub fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }
}

/// Security of every connection of a client. The default is none.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// What runs below the requests.
    pub protocol: SecurityProtocol,
    /// How brokers prove who they are, and how this client does with a certificate. Used with `Ssl` and `SaslSsl`.
    pub tls: TlsOptions,
    /// How this client proves who it is. Needed with `SaslPlaintext` and `SaslSsl`.
    pub sasl: Option<Sasl>,
}

impl Security {
    /// `SSL`: encrypted, with a client certificate if `tls` has one.
    pub fn ssl(tls: TlsOptions) -> Security {
        Security { protocol: SecurityProtocol::Ssl, tls, sasl: None }
    }

    /// `SASL_PLAINTEXT`: authenticated, not encrypted.
    pub fn sasl_plaintext(sasl: Sasl) -> Security {
        Security { protocol: SecurityProtocol::SaslPlaintext, tls: TlsOptions::default(), sasl: Some(sasl) }
    }

    /// `SASL_SSL`: authenticated and encrypted.
    pub fn sasl_ssl(tls: TlsOptions, sasl: Sasl) -> Security {
        Security { protocol: SecurityProtocol::SaslSsl, tls, sasl: Some(sasl) }
    }

    /// The TLS options if connections use TLS.
    pub(crate) fn active_tls(&self) -> Option<&TlsOptions> {
        self.protocol.uses_tls().then_some(&self.tls)
    }

    /// The mechanism if connections use SASL.
    pub(crate) fn active_sasl(&self) -> Option<&Sasl> {
        self.sasl.as_ref().filter(|_| self.protocol.uses_sasl())
    }

    /// Checks what no type can.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |reason: String| Err(Error::InvalidOption { option: "security.sasl".to_owned(), reason });
        match (&self.sasl, self.protocol.uses_sasl()) {
            (None, true) => invalid(format!("{} needs a SASL mechanism", self.protocol.name())),
            (Some(sasl), false) => invalid(format!(
                "{} is set but the protocol is {}: use SASL_PLAINTEXT or SASL_SSL",
                sasl.mechanism(),
                self.protocol.name()
            )),
            (Some(sasl), true) => sasl.validate(),
            (None, false) => Ok(()),
        }
    }

    /// Reads the certificate files, so that a wrong one is found before anything is dialled.
    pub(crate) async fn prepare(&self) -> Result<()> {
        match self.active_tls() {
            Some(tls) => tls.config().await.map(drop),
            None => Ok(()),
        }
    }
}
