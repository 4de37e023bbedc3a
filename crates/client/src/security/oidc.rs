//! Tokens from an OpenID provider by the client credentials grant (RFC 6749, 4.4; KIP-768).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::{StatusCode, Uri};
use serde_json::Value;
use tokio::time::Instant;

use super::oauth::{Token, TokenError, TokenProvider};
use super::{Secret, TlsOptions, http};
use crate::transport::BoxFuture;

/// Part of a token's lifetime after which the next one is fetched; the rest is for clocks that differ and connections
/// that take their time.
const KEPT_PART: f64 = 0.8;
/// Lifetime of a token whose provider does not say.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(60);
/// Characters of a provider's error text that get into ours.
const ERROR_TEXT_CHARS: usize = 200;

/// Client id and secret exchanged for tokens at an endpoint. A token is kept until a fifth of its lifetime is left;
/// connections that need one at the same time share one request.
#[derive(Debug, Clone)]
pub struct OidcClientCredentials {
    token_endpoint_url: String,
    client_id: String,
    client_secret: Secret,
    scope: Option<String>,
    tls: TlsOptions,
    request_timeout_ms: u64,
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Held while a token is fetched.
    fetching: tokio::sync::Mutex<()>,
    token: parking_lot::Mutex<Option<KeptToken>>,
}

#[derive(Debug)]
struct KeptToken {
    value: Secret,
    expires_at: Instant,
    use_until: Instant,
}

impl OidcClientCredentials {
    /// The endpoint's URL, `https://...` (or `http://...` for development), client id and secret.
    pub fn new(
        token_endpoint_url: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<Secret>,
    ) -> Self {
        OidcClientCredentials {
            token_endpoint_url: token_endpoint_url.into(),
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            scope: None,
            tls: TlsOptions::default(),
            request_timeout_ms: 10_000,
            kept: Arc::default(),
        }
    }

    /// Scope to ask for.
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self.forgetting()
    }

    /// TLS of the endpoint, which need not be that of the brokers.
    pub fn with_tls(mut self, tls: TlsOptions) -> Self {
        self.tls = tls;
        self.forgetting()
    }

    /// Longest wait for the endpoint, in milliseconds.
    pub fn with_request_timeout_ms(mut self, request_timeout_ms: u64) -> Self {
        self.request_timeout_ms = request_timeout_ms;
        self
    }

    fn forgetting(self) -> Self {
        OidcClientCredentials { kept: Arc::default(), ..self }
    }

    async fn kept_or_fetched(&self) -> Result<Token, String> {
        if let Some(token) = self.kept_token() {
            return Ok(token);
        }
        let _fetching = self.kept.fetching.lock().await;
        if let Some(token) = self.kept_token() {
            return Ok(token);
        }
        let fetched = self.fetch().await.map_err(|reason| format!("token of {}: {reason}", self.token_endpoint_url))?;
        let now = Instant::now();
        let lifetime = fetched.lifetime.unwrap_or(UNKNOWN_LIFETIME);
        *self.kept.token.lock() = Some(KeptToken {
            value: fetched.value.clone(),
            expires_at: now + lifetime,
            use_until: now + lifetime.mul_f64(KEPT_PART),
        });
        Ok(fetched)
    }

    fn kept_token(&self) -> Option<Token> {
        let (kept, now) = (self.kept.token.lock(), Instant::now());
        let kept = kept.as_ref().filter(|kept| now < kept.use_until)?;
        Some(Token { value: kept.value.clone(), lifetime: Some(kept.expires_at - now) })
    }

    async fn fetch(&self) -> Result<Token, String> {
        let url: Uri = self.token_endpoint_url.parse().map_err(|error| format!("not a URL: {error}"))?;
        let mut form = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.scope {
            form.push_str("&scope=");
            form.push_str(&percent_encode(scope));
        }
        let credentials = BASE64.encode(format!("{}:{}", self.client_id, self.client_secret.reveal()));
        let timeout = Duration::from_millis(self.request_timeout_ms);
        let (status, body) = http::post_form(&url, &format!("Basic {credentials}"), form, &self.tls, timeout).await?;
        if status != StatusCode::OK {
            return Err(format!("the endpoint answered {status}{}", error_text(&body)));
        }
        parse(&body)
    }
}

impl TokenProvider for OidcClientCredentials {
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        Box::pin(async move { self.kept_or_fetched().await.map_err(TokenError::from) })
    }

    fn refused(&self, token: &Token) {
        self.kept.token.lock().take_if(|kept| kept.value == token.value);
    }
}

/// `access_token` and `expires_in` of the endpoint's answer.
fn parse(body: &[u8]) -> Result<Token, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is not JSON".to_owned())?;
    let value = answer.get("access_token").and_then(Value::as_str).ok_or("the answer has no access_token")?;
    let seconds = answer.get("expires_in").and_then(|expires| match expires {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    });
    Ok(Token { value: value.into(), lifetime: seconds.map(Duration::from_secs) })
}

/// What RFC 6749 lets an endpoint say about a refusal.
fn error_text(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let field = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let text = format!(": {} {}", field("error"), field("error_description"));
    text.chars().filter(|c| !c.is_control()).take(ERROR_TEXT_CHARS).collect::<String>().trim_end().to_owned()
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
