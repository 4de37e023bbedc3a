//! OAUTHBEARER (RFC 7628): tokens and where they come from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use serde_json::{Map, Value, json};

use super::{OidcClientCredentials, Secret, clock};
use crate::transport::BoxFuture;

/// Why no token could be had.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

/// A bearer token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token as the broker wants it.
    pub value: Secret,
    /// How long it is valid from now on, if known.
    pub lifetime: Option<Duration>,
}

/// Gives tokens. Asked once per connection and once per re-authentication, so it should keep its token while it is
/// valid.
pub trait TokenProvider: fmt::Debug + Send + Sync {
    /// A token that is valid now.
    ///
    /// # Errors
    /// Any; the connection attempt fails with its text and is tried again later. The text must not hold secrets.
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>>;

    /// The broker refused this token: do not give it again.
    fn refused(&self, _token: &Token) {}
}

/// Options of OAUTHBEARER.
#[derive(Clone)]
pub struct OAuthBearer {
    provider: Arc<dyn TokenProvider>,
    extensions: Vec<(String, Secret)>,
    authorization_id: Option<String>,
}

impl OAuthBearer {
    /// Tokens from a provider.
    pub fn new(provider: Arc<dyn TokenProvider>) -> Self {
        OAuthBearer { provider, extensions: Vec::new(), authorization_id: None }
    }

    /// Tokens from an async function.
    pub fn from_callback<C, F>(callback: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Token, TokenError>> + Send + 'static,
    {
        OAuthBearer::new(Arc::new(Callback(callback)))
    }

    /// Tokens from an OpenID provider, by client id and secret.
    pub fn client_credentials(options: OidcClientCredentials) -> Self {
        OAuthBearer::new(Arc::new(options))
    }

    /// Unsecured tokens, which only brokers for development accept.
    pub fn unsecured(token: UnsecuredJwt) -> Self {
        OAuthBearer::new(Arc::new(token))
    }

    /// Adds a SASL extension (KIP-342): letters as the key, printable characters as the value.
    pub fn with_extension(mut self, key: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.extensions.push((key.into(), value.into()));
        self
    }

    /// Asks to act as another user.
    pub fn with_authorization_id(mut self, authorization_id: impl Into<String>) -> Self {
        self.authorization_id = Some(authorization_id.into());
        self
    }

    pub(super) async fn token(&self) -> Result<Token, TokenError> {
        self.provider.token().await
    }

    pub(super) fn forget(&self, token: &Token) {
        self.provider.refused(token);
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        for (key, value) in &self.extensions {
            let key_is_good = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic()) && key != "auth";
            let printable = |c: char| matches!(c, ' '..='~' | '\t' | '\r' | '\n');
            if !key_is_good {
                return Err(format!("extension {key:?} must consist of letters and not be \"auth\""));
            }
            if !value.reveal().chars().all(printable) {
                return Err(format!("the value of extension {key:?} must be printable ASCII"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for OAuthBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthBearer")
            .field("provider", &self.provider)
            .field("extensions", &self.extensions)
            .field("authorization_id", &self.authorization_id)
            .finish()
    }
}

/// The first message: user, token and extensions.
pub(super) fn first_message(options: &OAuthBearer, token: &Token) -> Result<Secret, String> {
    let value = token.value.reveal();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token is empty or has characters no token may have".to_owned());
    }
    let user = options.authorization_id.as_ref().map(|id| format!("a={}", id.replace('=', "=3D").replace(',', "=2C")));
    let mut message = format!("n,{},\x01auth=Bearer {value}\x01", user.unwrap_or_default());
    for (key, value) in &options.extensions {
        message.push_str(&format!("{key}={}\x01", value.reveal()));
    }
    message.push('\x01');
    Ok(Secret::new(message))
}

struct Callback<C>(C);

impl<C> fmt::Debug for Callback<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

impl<C, F> TokenProvider for Callback<C>
where
    C: Fn() -> F + Send + Sync,
    F: Future<Output = Result<Token, TokenError>> + Send + 'static,
{
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        Box::pin((self.0)())
    }
}

/// Makes unsecured JSON Web Tokens (no signature), as the Java client does when no login handler is set.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsecuredJwt {
    claims: Map<String, Value>,
    lifetime_seconds: u64,
}

impl UnsecuredJwt {
    /// Tokens of this subject, valid for an hour.
    pub fn new(subject: impl Into<String>) -> Self {
        UnsecuredJwt { claims: Map::new(), lifetime_seconds: 3_600 }.with_claim("sub", Value::String(subject.into()))
    }

    /// Adds or replaces a claim.
    pub fn with_claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Sets how long a token is valid, in seconds.
    pub fn with_lifetime_seconds(mut self, lifetime_seconds: u64) -> Self {
        self.lifetime_seconds = lifetime_seconds;
        self
    }

    fn make(&self, now_seconds: u64) -> Token {
        let mut claims = self.claims.clone();
        claims.entry("iat").or_insert_with(|| json!(now_seconds));
        claims.entry("exp").or_insert_with(|| json!(now_seconds + self.lifetime_seconds));
        let header = BASE64_URL.encode(r#"{"alg":"none"}"#);
        let claims = BASE64_URL.encode(Value::Object(claims).to_string());
        let lifetime = Some(Duration::from_secs(self.lifetime_seconds));
        Token { value: Secret::new(format!("{header}.{claims}.")), lifetime }
    }
}

impl TokenProvider for UnsecuredJwt {
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        let token = self.make(clock::unix_seconds());
        Box::pin(async move { Ok(token) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str) -> Token {
        Token { value: value.into(), lifetime: None }
    }

    #[test]
    fn the_first_message_of_the_rfc() {
        let options = OAuthBearer::unsecured(UnsecuredJwt::new("x"))
            .with_authorization_id("user@example.com")
            .with_extension("host", "server.example.com")
            .with_extension("port", "143");
        let message = first_message(&options, &token("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")).unwrap();
        let expected = "n,a=user@example.com,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\
                        host=server.example.com\x01port=143\x01\x01";
        assert_eq!(message.reveal(), expected);
        assert!(first_message(&options, &token("a\x01b")).is_err());
        assert!(first_message(&options, &token("")).is_err());
    }

    #[test]
    fn unsecured_tokens_are_what_brokers_parse() {
        let token = UnsecuredJwt::new("alice").with_claim("scope", "a b").make(1_000);
        let parts: Vec<&str> = token.value.reveal().split('.').collect();
        let decoded = |part: &str| serde_json::from_slice::<Value>(&BASE64_URL.decode(part).unwrap()).unwrap();
        assert_eq!(decoded(parts[0]), json!({"alg": "none"}));
        assert_eq!(decoded(parts[1]), json!({"sub": "alice", "scope": "a b", "iat": 1_000, "exp": 4_600}));
        assert_eq!(parts[2], "");
    }

    #[test]
    fn extensions_are_checked() {
        let options =
            |key: &str, value: &str| OAuthBearer::unsecured(UnsecuredJwt::new("x")).with_extension(key, value);
        assert!(options("traceId", "a b").validate().is_ok());
        for (key, value) in [("auth", "x"), ("", "x"), ("a1", "x"), ("a", "\x01"), ("a", "é")] {
            assert!(options(key, value).validate().is_err(), "{key}={value}");
        }
    }
}
