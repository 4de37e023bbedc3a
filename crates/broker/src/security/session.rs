//! How far one connection has come: which requests it may send, and whose they are.

use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;
use tokio::time::Instant;

use super::mechanism::{Exchange, Progress};
use crate::cluster::Cluster;
use crate::error::Refusal;

/// Whoever connects without SASL and client certificate.
pub(crate) const ANONYMOUS: &str = "User:ANONYMOUS";

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    uses_sasl: bool,
    /// As ACLs name it, `User:NAME`.
    principal: Arc<str>,
    exchange: Option<Exchange>,
    /// Mechanism of the exchange under way or done.
    mechanism: Option<&'static str>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not authenticated yet.
    Stranger,
    /// Authenticated, until then if the session ends.
    Known { until: Option<Instant> },
    /// Refused: the connection ends with its next request.
    Refused,
}

impl Session {
    /// A connection whose client certificate, if it has one, is of this subject. SASL says itself who somebody is.
    pub(crate) fn new(uses_sasl: bool, certificate_subject: Option<String>) -> Self {
        let certified = certificate_subject.filter(|subject| !uses_sasl && !subject.is_empty());
        let principal = certified.map_or_else(|| ANONYMOUS.into(), |subject| format!("User:{subject}").into());
        let standing = if uses_sasl { Standing::Stranger } else { Standing::Known { until: None } };
        Self { uses_sasl, principal, exchange: None, mechanism: None, standing }
    }

    /// Whose requests these are.
    pub(crate) fn principal(&self) -> Arc<str> {
        Arc::clone(&self.principal)
    }

    /// Whether a request may be answered now. While an exchange runs only its own messages may, as in Kafka.
    pub(crate) fn admits(&self, api: ApiKey) -> bool {
        let of_sasl = matches!(api, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
        match self.standing {
            Standing::Refused => false,
            _ if self.exchange.is_some() => of_sasl,
            Standing::Stranger => of_sasl || api == ApiKey::ApiVersions,
            Standing::Known { until } => of_sasl || until.is_none_or(|until| Instant::now() < until),
        }
    }

    /// Agrees on a mechanism.
    pub(crate) fn handshake(&mut self, mechanism: &str, cluster: &Cluster) -> Result<(), ErrorCode> {
        if !self.uses_sasl || self.exchange.is_some() {
            return Err(ErrorCode::IllegalSaslState);
        }
        let offered = cluster.options.security.mechanisms.iter().find(|offered| offered.name() == mechanism);
        let Some(offered) = offered else {
            self.standing = Standing::Refused;
            return Err(ErrorCode::UnsupportedSaslMechanism);
        };
        // Kafka wants the same mechanism for as long as the connection lives.
        if self.mechanism.is_some_and(|before| before != offered.name()) {
            self.standing = Standing::Refused;
            return Err(ErrorCode::SaslAuthenticationFailed);
        }
        self.mechanism = Some(offered.name());
        self.exchange = Some(Exchange::Begun(*offered));
        Ok(())
    }

    /// Takes a message of the exchange; returns the answer and the session's lifetime in milliseconds, 0 without end.
    pub(crate) fn authenticate(&mut self, message: &[u8], cluster: &Cluster) -> Result<(Vec<u8>, i64), Refusal> {
        let Some(exchange) = self.exchange.take() else {
            return Err(Refusal::new(ErrorCode::IllegalSaslState, "a SaslHandshake must come first"));
        };
        let refuse = |session: &mut Self, reason: &str| {
            session.standing = Standing::Refused;
            Err(Refusal::new(ErrorCode::SaslAuthenticationFailed, reason))
        };
        match exchange.take(message, cluster) {
            Progress::Continue(next, answer) => {
                self.exchange = Some(next);
                Ok((answer, 0))
            }
            Progress::Refused(reason) => refuse(self, reason),
            Progress::Done { user, answer, lifetime } => {
                let principal: Arc<str> = format!("User:{user}").into();
                if &*self.principal != ANONYMOUS && self.principal != principal {
                    return refuse(self, "re-authentication cannot change the principal");
                }
                self.principal = principal;
                let reauth_ms_max = cluster.options.security.reauth_ms_max;
                let longest = (reauth_ms_max > 0).then(|| Duration::from_millis(reauth_ms_max));
                // A token's end only counts where sessions end at all, as in Kafka.
                let lifetime = longest.map(|longest| lifetime.map_or(longest, |lifetime| lifetime.min(longest)));
                self.standing = Standing::Known { until: lifetime.map(|lifetime| Instant::now() + lifetime) };
                let lifetime_ms = lifetime.map_or(0, |lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(0));
                Ok((answer, lifetime_ms))
            }
        }
    }
}
