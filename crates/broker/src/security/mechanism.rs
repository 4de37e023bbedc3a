//! One SASL exchange, from the mechanism agreed on to the user's name.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use serde_json::Value;

use super::ScramHash;
use super::options::SaslMechanism;
use super::scram::ScramExchange;
use crate::cluster::Cluster;

/// Where an exchange stands.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// The client's first message comes next.
    Begun(SaslMechanism),
    /// The client's proof comes next.
    Scram(ScramExchange),
    /// The client confirms that its token was refused.
    TokenRefused,
}

/// What a message led to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Send this; more will come.
    Continue(Exchange, Vec<u8>),
    /// Send this; the client is this user, for at most this long.
    Done { user: String, answer: Vec<u8>, lifetime: Option<Duration> },
    /// Not let in.
    Refused(&'static str),
}

const WRONG_PASSWORD: &str = "Authentication failed: Invalid username or password";
const WRONG_SCRAM: &str = "Authentication failed during authentication due to invalid credentials with SASL mechanism";

impl Exchange {
    pub(crate) fn take(self, message: &[u8], cluster: &Cluster) -> Progress {
        match self {
            Self::Begun(SaslMechanism::Plain) => plain(message, cluster),
            Self::Begun(SaslMechanism::ScramSha256) => scram(ScramHash::Sha256, message, cluster),
            Self::Begun(SaslMechanism::ScramSha512) => scram(ScramHash::Sha512, message, cluster),
            Self::Begun(SaslMechanism::OAuthBearer) => oauth(message, cluster.now_ms()),
            Self::Scram(exchange) => match exchange.finish(message) {
                Some(answer) => Progress::Done { user: exchange.user, answer: answer.into_bytes(), lifetime: None },
                None => Progress::Refused(WRONG_SCRAM),
            },
            Self::TokenRefused => Progress::Refused("the token is not valid"),
        }
    }
}

/// `[authorization id] NUL user NUL password`.
fn plain(message: &[u8], cluster: &Cluster) -> Progress {
    let Ok(text) = std::str::from_utf8(message) else { return Progress::Refused(WRONG_PASSWORD) };
    let parts: Vec<&str> = text.split('\0').collect();
    let [authorization, user, password] = parts[..] else { return Progress::Refused(WRONG_PASSWORD) };
    let known = cluster.options.security.plain_users.get(user).is_some_and(|expected| expected == password);
    if !known || (!authorization.is_empty() && authorization != user) {
        return Progress::Refused(WRONG_PASSWORD);
    }
    Progress::Done { user: user.to_owned(), answer: Vec::new(), lifetime: None }
}

fn scram(hash: ScramHash, message: &[u8], cluster: &Cluster) -> Progress {
    let begun = ScramExchange::begin(hash, message, cluster.random_u128(), |user| cluster.scram.find(user, hash));
    match begun {
        Some((exchange, answer)) => Progress::Continue(Exchange::Scram(exchange), answer.into_bytes()),
        None => Progress::Refused(WRONG_SCRAM),
    }
}

fn oauth(message: &[u8], now_ms: i64) -> Progress {
    match read_token(message, now_ms) {
        Some((user, lifetime)) => Progress::Done { user, answer: Vec::new(), lifetime: Some(lifetime) },
        None => Progress::Continue(Exchange::TokenRefused, br#"{"status":"invalid_token"}"#.to_vec()),
    }
}

/// Subject and remaining life of the unsecured token in `n,...,^Aauth=Bearer TOKEN^A...`.
fn read_token(message: &[u8], now_ms: i64) -> Option<(String, Duration)> {
    let text = std::str::from_utf8(message).ok()?;
    let token = text.split('\x01').find_map(|field| field.strip_prefix("auth=Bearer "))?;
    let mut parts = token.split('.');
    let (header, claims) = (decode(parts.next()?)?, decode(parts.next()?)?);
    let unsigned = header.get("alg")?.as_str()? == "none" && parts.next()?.is_empty() && parts.next().is_none();
    let expires_ms = claims.get("exp")?.as_f64()? * 1_000.0;
    let remaining_ms = expires_ms - now_ms as f64;
    let remaining = Duration::try_from_secs_f64(remaining_ms / 1_000.0).ok().filter(|rest| !rest.is_zero())?;
    unsigned.then_some((claims.get("sub")?.as_str()?.to_owned(), remaining))
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64_URL.decode(part).ok()?).ok()
}
