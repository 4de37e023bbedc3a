//! SASL on a connection: the exchange before the first request, and again before the session ends (KIP-368).
//!
//! Before an exchange is repeated, whatever it needs (a token) is fetched. Then requests are held back, so that nothing
//! comes between its messages; those already sent are answered in front of it. Afterwards the ones held back go out in
//! their order.

use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{ApiKey, SaslAuthenticateRequest, SaslHandshakeRequest, StrBytes};
use tokio::time::Instant;

use super::{Link, Passage};
use crate::error::{Error, Result};
use crate::security::Sasl;
use crate::security::sasl::{BeginError, Exchange, Reply};
use crate::transport::split_address;

/// Messages of one exchange; no mechanism takes as many.
const MESSAGES_MAX: usize = 8;
/// The part of a session after which it is renewed, as the Java client: late, and not all connections at once.
const RENEW_PART: std::ops::Range<f64> = 0.85..0.95;
/// Wait before a token is asked for again when none could be had for a renewal.
const TOKEN_RETRY: Duration = Duration::from_millis(500);

/// How long the broker honours an exchange; `None` for ever.
pub(super) type SessionLifetime = Option<Duration>;

impl Link {
    /// Authenticates a connection that serves nobody yet.
    pub(super) async fn authenticate(&self, sasl: &Sasl, timeout: Duration) -> Result<SessionLifetime> {
        let exchange = self.begin(sasl).await?;
        self.run_exchange(sasl, exchange, timeout).await
    }

    /// Makes ready what the exchange needs without sending anything.
    async fn begin(&self, sasl: &Sasl) -> Result<Exchange> {
        let (host, _) = split_address(&self.address)?;
        sasl.begin(host).await.map_err(|error| match error {
            BeginError::Final(reason) => self.refused(sasl, reason),
            BeginError::Token(reason) => {
                let reason = format!("no token for {}: {reason}", sasl.mechanism());
                Error::Connect { address: Arc::clone(&self.address), reason }
            }
        })
    }

    async fn run_exchange(&self, sasl: &Sasl, mut exchange: Exchange, timeout: Duration) -> Result<SessionLifetime> {
        let deadline = Instant::now() + timeout;
        self.handshake(sasl, timeout).await?;
        let mut message = exchange.first();
        for _ in 0..MESSAGES_MAX {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
            let response =
                self.request_through(ApiKey::SaslAuthenticate, &request, remaining, Passage::Authentication).await?;
            if let Some(code) = ErrorCode::from_code(response.error_code) {
                exchange.refused(sasl);
                let text = response.error_message.as_ref().map(ToString::to_string).filter(|text| !text.is_empty());
                return Err(self.refused(sasl, text.unwrap_or_else(|| code.to_string())));
            }
            let reply = exchange.answer(&response.auth_bytes).await;
            match reply.map_err(|reason| self.refused(sasl, reason))? {
                Reply::Send(next) => message = next,
                Reply::Finished => {
                    let lifetime_ms = u64::try_from(response.session_lifetime_ms).unwrap_or(0);
                    return Ok((lifetime_ms > 0).then(|| Duration::from_millis(lifetime_ms)));
                }
            }
        }
        Err(self.refused(sasl, format!("no end after {MESSAGES_MAX} messages")))
    }

    /// Agrees on the mechanism.
    async fn handshake(&self, sasl: &Sasl, timeout: Duration) -> Result<()> {
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(sasl.mechanism()));
        let response = self.request_through(ApiKey::SaslHandshake, &request, timeout, Passage::Authentication).await?;
        match ErrorCode::from_code(response.error_code) {
            None => Ok(()),
            Some(ErrorCode::UnsupportedSaslMechanism) => {
                let offered: Vec<&str> = response.mechanisms.iter().map(|name| &**name).collect();
                Err(self.refused(sasl, format!("the broker offers {} (sasl.mechanism)", offered.join(", "))))
            }
            Some(ErrorCode::IllegalSaslState) => {
                let reason = "the listener at this port does not use SASL (security.protocol)";
                Err(self.refused(sasl, reason.to_owned()))
            }
            Some(code) => Err(self.refused(sasl, code.to_string())),
        }
    }

    fn refused(&self, sasl: &Sasl, reason: String) -> Error {
        Error::Authentication { address: Arc::clone(&self.address), mechanism: sasl.mechanism(), reason }
    }

    /// Renews the session before each end until the connection closes or a renewal fails, which closes it.
    pub(super) async fn keep_authenticated(self: Arc<Self>, sasl: Sasl, lifetime: Duration, timeout: Duration) {
        tokio::select! {
            biased;
            () = self.shared.until_closed() => {}
            error = self.renew(&sasl, lifetime, timeout) => {
                tracing::warn!(address = %self.address, %error, "re-authentication failed");
                self.shared.close(&format!("re-authentication failed: {error}"));
            }
        }
    }

    async fn renew(&self, sasl: &Sasl, mut lifetime: Duration, timeout: Duration) -> Error {
        loop {
            let began = Instant::now();
            let part = RENEW_PART.start + (RENEW_PART.end - RENEW_PART.start) * fastrand::f64();
            tokio::time::sleep_until(began + lifetime.mul_f64(part)).await;
            let exchange = match self.begin_before(sasl, began + lifetime).await {
                Ok(exchange) => exchange,
                Err(error) => return error,
            };
            self.shared.in_flight.lock().hold_back();
            match self.run_exchange(sasl, exchange, timeout).await {
                Ok(Some(renewed)) => lifetime = renewed,
                // The broker no longer limits the session.
                Ok(None) => lifetime = NEVER,
                Err(error) => return error,
            }
            self.release();
            tracing::debug!(address = %self.address, lifetime_ms = lifetime.as_millis(), "re-authenticated");
        }
    }

    /// As [`begin`](Self::begin); a token that cannot be had is asked for again until the session ends.
    async fn begin_before(&self, sasl: &Sasl, session_end: Instant) -> Result<Exchange> {
        loop {
            match self.begin(sasl).await {
                Err(error) if error.is_retriable() && Instant::now() + TOKEN_RETRY < session_end => {
                    tracing::warn!(address = %self.address, %error, "no token for the re-authentication yet");
                    tokio::time::sleep(TOKEN_RETRY).await;
                }
                begun => return begun,
            }
        }
    }

    /// Sends what was held back.
    fn release(&self) {
        let mut in_flight = self.shared.in_flight.lock();
        self.outgoing.send(&mut in_flight.release());
    }
}

/// Longer than any connection lives.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
