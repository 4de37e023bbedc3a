//! What the listeners want of clients.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// TLS and SASL of the listeners of all nodes. The default is neither: `PLAINTEXT`.
#[derive(Clone, Default)]
pub struct ListenerSecurity {
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) plain_users: BTreeMap<String, String>,
    pub(crate) scram_users: BTreeMap<String, String>,
    pub(crate) mechanisms: BTreeSet<SaslMechanism>,
    pub(crate) reauth_ms_max: u64,
}

/// Certificates of the broker and of the authority that signs those of clients, in PEM.
#[derive(Clone)]
pub(crate) struct TlsFiles {
    pub(crate) certificates: String,
    pub(crate) key: String,
    pub(crate) client_authority: Option<String>,
}

/// Mechanisms the broker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OAuthBearer,
}

impl SaslMechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

impl ListenerSecurity {
    /// Encrypts: the broker's certificate chain and its private key, both PEM text.
    #[must_use]
    pub fn with_tls(mut self, certificates: impl Into<String>, key: impl Into<String>) -> Self {
        self.tls = Some(TlsFiles { certificates: certificates.into(), key: key.into(), client_authority: None });
        self
    }

    /// Wants a certificate of every client, signed by this authority (PEM text). Comes after
    /// [`with_tls`](Self::with_tls).
    #[must_use]
    pub fn with_client_authority(mut self, authority: impl Into<String>) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.client_authority = Some(authority.into());
        }
        self
    }

    /// Offers PLAIN with this user, beside the ones before.
    #[must_use]
    pub fn with_plain_user(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.mechanisms.insert(SaslMechanism::Plain);
        self.plain_users.insert(user.into(), password.into());
        self
    }

    /// Offers SCRAM-SHA-256 and SCRAM-SHA-512 to users that admin requests create.
    #[must_use]
    pub fn with_scram(mut self) -> Self {
        self.mechanisms.extend([SaslMechanism::ScramSha256, SaslMechanism::ScramSha512]);
        self
    }

    /// Offers SCRAM with this user, beside the ones before.
    #[must_use]
    pub fn with_scram_user(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.scram_users.insert(user.into(), password.into());
        self.with_scram()
    }

    /// Offers OAUTHBEARER with unsecured tokens: whoever connects says who they are, until the token's `exp`.
    #[must_use]
    pub fn with_unsecured_oauth(mut self) -> Self {
        self.mechanisms.insert(SaslMechanism::OAuthBearer);
        self
    }

    /// Closes a connection that does not authenticate anew within this time (`connections.max.reauth.ms`); 0 never.
    #[must_use]
    pub fn with_reauth_ms_max(mut self, reauth_ms_max: u64) -> Self {
        self.reauth_ms_max = reauth_ms_max;
        self
    }

    /// Whether clients must authenticate.
    pub(crate) fn uses_sasl(&self) -> bool {
        !self.mechanisms.is_empty()
    }
}

impl fmt::Debug for ListenerSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerSecurity")
            .field("tls", &self.tls.is_some())
            .field("mechanisms", &self.mechanisms)
            .field("plain_users", &self.plain_users.keys())
            .field("scram_users", &self.scram_users.keys())
            .field("reauth_ms_max", &self.reauth_ms_max)
            .finish_non_exhaustive()
    }
}
