//! SASL mechanisms as the connection sees them: what to send first, and what to send for an answer.

use std::fmt;

use rustls::crypto::SecureRandom;

use super::oauth::{self, OAuthBearer, Token};
use super::scram::{ScramClient, ScramHash, Step};
use super::{AwsMskIam, Secret};
use crate::error::{Error, Result};

/// Random bytes of a SCRAM nonce.
const NONCE_BYTES: usize = 24;

/// User name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name; for a delegation token its id.
    pub username: String,
    /// Password; for a delegation token its HMAC in base64.
    pub password: Secret,
    /// Whether the two are a delegation token (SCRAM only, KIP-48).
    pub delegation_token: bool,
}

impl Credentials {
    /// User name and password.
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Credentials { username: username.into(), password: password.into(), delegation_token: false }
    }
}

/// How a client proves who it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Sasl {
    /// `PLAIN`: the password travels as it is, so use it inside TLS.
    Plain(Credentials),
    /// `SCRAM-SHA-256`: proves knowledge of the password without sending it, and checks that the broker knows it too.
    ScramSha256(Credentials),
    /// `SCRAM-SHA-512`.
    ScramSha512(Credentials),
    /// `OAUTHBEARER`: a token.
    OAuthBearer(OAuthBearer),
    /// `AWS_MSK_IAM`: a signed request of AWS.
    AwsMskIam(AwsMskIam),
}

impl Sasl {
    /// `PLAIN` with a user name and a password.
    pub fn plain(username: impl Into<String>, password: impl Into<Secret>) -> Sasl {
        Sasl::Plain(Credentials::new(username, password))
    }

    /// `SCRAM-SHA-256` with a user name and a password.
    pub fn scram_sha_256(username: impl Into<String>, password: impl Into<Secret>) -> Sasl {
        Sasl::ScramSha256(Credentials::new(username, password))
    }

    /// `SCRAM-SHA-512` with a user name and a password.
    pub fn scram_sha_512(username: impl Into<String>, password: impl Into<Secret>) -> Sasl {
        Sasl::ScramSha512(Credentials::new(username, password))
    }

    /// The name brokers know the mechanism by.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Sasl::Plain(_) => "PLAIN",
            Sasl::ScramSha256(_) => "SCRAM-SHA-256",
            Sasl::ScramSha512(_) => "SCRAM-SHA-512",
            Sasl::OAuthBearer(_) => "OAUTHBEARER",
            Sasl::AwsMskIam(_) => "AWS_MSK_IAM",
        }
    }

    /// Checks what no type can.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |reason: &str| {
            Err(Error::InvalidOption {
                option: format!("security.sasl {}", self.mechanism()),
                reason: reason.to_owned(),
            })
        };
        match self {
            Sasl::Plain(credentials) | Sasl::ScramSha256(credentials) | Sasl::ScramSha512(credentials) => {
                let has_nul = credentials.username.contains('\0') || credentials.password.reveal().contains('\0');
                if credentials.username.is_empty() || credentials.password.reveal().is_empty() {
                    return invalid("user name and password must not be empty");
                }
                if has_nul { invalid("user name and password must not contain a NUL character") } else { Ok(()) }
            }
            Sasl::OAuthBearer(options) => options.validate().or_else(|reason| invalid(&reason)),
            Sasl::AwsMskIam(_) => Ok(()),
        }
    }

    /// Begins an exchange with the broker at `host`. Fetches a token or credentials if the mechanism wants some, before
    /// anything is sent.
    pub(crate) async fn begin(&self, host: &str) -> std::result::Result<Exchange, BeginError> {
        let scram = |hash, credentials: &Credentials| {
            let (username, password) = (&credentials.username, &credentials.password);
            let nonce = nonce().map_err(BeginError::Final)?;
            Ok(Exchange::Scram(ScramClient::new(hash, username, password, credentials.delegation_token, &nonce)))
        };
        match self {
            Sasl::Plain(credentials) => Ok(Exchange::Plain(credentials.clone())),
            Sasl::ScramSha256(credentials) => scram(ScramHash::Sha256, credentials),
            Sasl::ScramSha512(credentials) => scram(ScramHash::Sha512, credentials),
            Sasl::OAuthBearer(options) => {
                let token = options.token().await.map_err(|error| BeginError::Token(error.to_string()))?;
                Ok(Exchange::OAuth { first: oauth::first_message(options, &token).map_err(BeginError::Final)?, token })
            }
            Sasl::AwsMskIam(options) => {
                Ok(Exchange::AwsMskIam { payload: options.payload(host).map_err(BeginError::Final)? })
            }
        }
    }
}

/// Why an exchange could not begin.
#[derive(Debug)]
pub(crate) enum BeginError {
    /// The settings cannot work.
    Final(String),
    /// No token at the moment.
    Token(String),
}

/// The client's side of one exchange.
pub(crate) enum Exchange {
    Plain(Credentials),
    Scram(ScramClient),
    OAuth { first: Secret, token: Token },
    AwsMskIam { payload: Secret },
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange(****)")
    }
}

/// What to do with an answer of the broker.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Send this and wait for the next answer.
    Send(Vec<u8>),
    /// The client is satisfied.
    Finished,
}

impl Exchange {
    /// The first message.
    pub(crate) fn first(&self) -> Vec<u8> {
        match self {
            Exchange::Plain(credentials) => {
                format!("\0{}\0{}", credentials.username, credentials.password.reveal()).into_bytes()
            }
            Exchange::Scram(client) => client.first().into_bytes(),
            Exchange::OAuth { first, .. } => first.reveal().as_bytes().to_vec(),
            Exchange::AwsMskIam { payload } => payload.reveal().as_bytes().to_vec(),
        }
    }

    /// Takes an answer the broker gave without an error code. The error says why the broker is not to be trusted.
    pub(crate) async fn answer(&mut self, answer: &[u8]) -> std::result::Result<Reply, String> {
        match self {
            Exchange::Plain(_) => Ok(Reply::Finished),
            Exchange::Scram(client) => {
                let (mut working, message) = (client.clone(), answer.to_vec());
                // Thousands of hashes: milliseconds that do not belong on a runtime thread.
                let computing = tokio::task::spawn_blocking(move || {
                    let step = working.step(&message);
                    (working, step)
                });
                let (advanced, step) = computing.await.map_err(|panicked| panicked.to_string())?;
                *client = advanced;
                Ok(match step? {
                    Step::Send(message) => Reply::Send(message.into_bytes()),
                    Step::Finished => Reply::Finished,
                })
            }
            // A refusal comes as text first; the broker gives its error code for the answer to it (RFC 7628).
            Exchange::OAuth { .. } if answer.is_empty() => Ok(Reply::Finished),
            Exchange::OAuth { .. } => Ok(Reply::Send(b"\x01".to_vec())),
            Exchange::AwsMskIam { .. } if answer.is_empty() => Err("the broker did not confirm the request".to_owned()),
            Exchange::AwsMskIam { .. } => Ok(Reply::Finished),
        }
    }

    /// The broker refused: a token that was kept is not offered again.
    pub(crate) fn refused(&self, sasl: &Sasl) {
        if let (Exchange::OAuth { token, .. }, Sasl::OAuthBearer(options)) = (self, sasl) {
            options.forget(token);
        }
    }
}

/// A nonce of printable characters.
fn nonce() -> std::result::Result<String, String> {
    use base64::Engine;
    let mut bytes = [0; NONCE_BYTES];
    let random: &dyn SecureRandom = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| "the system gave no random bytes".to_owned())?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}
