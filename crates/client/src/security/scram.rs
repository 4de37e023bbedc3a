//! SCRAM (RFC 5802, RFC 7677) as Kafka uses it: no channel binding, user name and password as they are (no SASLprep).
//!
//! A state machine without I/O: messages of the server in, messages of the client out. The client checks the server's
//! signature, so that a server which does not know the password cannot pass for one that does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::Secret;

/// Fewest iterations accepted, as the Java client: fewer would make a stolen exchange cheap to break.
const ITERATIONS_MIN: u32 = 4_096;
/// Most iterations accepted: a hostile server must not keep a thread busy for minutes.
const ITERATIONS_MAX: u32 = 1_000_000;

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => Sha256::digest(bytes).to_vec(),
            ScramHash::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => hmac_sha256(key, bytes),
            ScramHash::Sha512 => {
                let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
                mac.update(bytes);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }

    fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => {
                let mut output = vec![0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut output);
                output
            }
            ScramHash::Sha512 => {
                let mut output = vec![0; 64];
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut output);
                output
            }
        }
    }
}

/// HMAC-SHA-256.
pub(super) fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}

/// The client's side of one exchange.
#[derive(Debug, Clone)]
pub(crate) struct ScramClient {
    hash: ScramHash,
    password: Secret,
    nonce: String,
    first_bare: String,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    AwaitsServerFirst,
    AwaitsServerFinal { server_signature: Secret },
    Finished,
}

/// What to do after a message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(String),
    Finished,
}

impl ScramClient {
    /// An exchange with a nonce of printable characters without comma, never used before.
    pub(super) fn new(hash: ScramHash, username: &str, password: &Secret, delegation_token: bool, nonce: &str) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let extension = if delegation_token { ",tokenauth=true" } else { "" };
        ScramClient {
            hash,
            password: password.clone(),
            nonce: nonce.to_owned(),
            first_bare: format!("n={username},r={nonce}{extension}"),
            state: State::AwaitsServerFirst,
        }
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Takes a message of the server. Blocks for the time the iterations take.
    pub(super) fn step(&mut self, message: &[u8]) -> Result<Step, String> {
        let message = std::str::from_utf8(message).map_err(|_| "the server's SCRAM message is not text".to_owned())?;
        match std::mem::replace(&mut self.state, State::Finished) {
            State::AwaitsServerFirst => self.server_first(message).map(Step::Send),
            State::AwaitsServerFinal { server_signature } => {
                server_final(message, server_signature.reveal()).map(|()| Step::Finished)
            }
            State::Finished => Err("the server went on after the end of the SCRAM exchange".to_owned()),
        }
    }

    fn server_first(&mut self, message: &str) -> Result<String, String> {
        let (nonce, salt, iterations) = self.parse_server_first(message)?;
        let salted = self.hash.salted_password(self.password.reveal().as_bytes(), &salt, iterations);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let stored_key = self.hash.hash(&client_key);
        // "biws" is "n,,": no channel binding.
        let without_proof = format!("c=biws,r={nonce}");
        let auth_message = format!("{},{message},{without_proof}", self.first_bare);
        let client_signature = self.hash.hmac(&stored_key, auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&client_signature).map(|(key, signature)| key ^ signature).collect();
        let server_key = self.hash.hmac(&salted, b"Server Key");
        let server_signature = self.hash.hmac(&server_key, auth_message.as_bytes());
        self.state = State::AwaitsServerFinal { server_signature: Secret::new(BASE64.encode(server_signature)) };
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    /// Nonce, salt and iterations of `r=...,s=...,i=...`.
    fn parse_server_first<'a>(&self, message: &'a str) -> Result<(&'a str, Vec<u8>, u32), String> {
        let mut fields = message.split(',');
        let mut field = |name: &str| {
            let field = fields.next().and_then(|field| field.strip_prefix(name));
            field.ok_or_else(|| format!("the server's first SCRAM message lacks {name}"))
        };
        let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's SCRAM nonce does not continue the client's".to_owned());
        }
        let salt = BASE64.decode(salt).map_err(|_| "the server's SCRAM salt is not base64".to_owned())?;
        let iterations: u32 = iterations.parse().map_err(|_| "the SCRAM iteration count is no number".to_owned())?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(format!(
                "the server asks for {iterations} SCRAM iterations, outside {ITERATIONS_MIN} to {ITERATIONS_MAX}"
            ));
        }
        Ok((nonce, salt, iterations))
    }
}

fn server_final(message: &str, expected: &str) -> Result<(), String> {
    let first = message.split(',').next().unwrap_or_default();
    if let Some(error) = first.strip_prefix("e=") {
        return Err(format!("the server ended the SCRAM exchange: {error}"));
    }
    let signature = first.strip_prefix("v=").ok_or("the server's last SCRAM message lacks v=")?;
    let differs = signature.len() != expected.len()
        || signature.bytes().zip(expected.bytes()).fold(0, |seen, (left, right)| seen | (left ^ right)) != 0;
    if differs {
        return Err("the server's SCRAM signature is wrong: it does not know the password".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(hash: ScramHash, nonce: &str) -> ScramClient {
        ScramClient::new(hash, "user", &Secret::new("pencil"), false, nonce)
    }

    // RFC 7677 section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    #[test]
    fn the_exchange_of_the_rfc() {
        let mut client = client(ScramHash::Sha256, NONCE);
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(client.step(SERVER_FIRST.as_bytes()), Ok(Step::Send(CLIENT_FINAL.to_owned())));
        assert_eq!(client.step(SERVER_FINAL.as_bytes()), Ok(Step::Finished));
        assert!(client.step(SERVER_FINAL.as_bytes()).is_err());
    }

    #[test]
    fn a_server_without_the_password_is_found_out() {
        let mut client = client(ScramHash::Sha256, NONCE);
        client.step(SERVER_FIRST.as_bytes()).unwrap();
        let forged = SERVER_FINAL.replace("v=6", "v=7");
        assert!(client.step(forged.as_bytes()).unwrap_err().contains("does not know the password"));
    }

    #[test]
    fn the_server_cannot_set_what_it_likes() {
        for (message, word) in [
            ("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", "salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1", "4096 to 1000000"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4000000000", "4096 to 1000000"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=many", "no number"),
            ("s=W22Z,i=4096", "lacks r="),
            ("", "lacks r="),
        ] {
            let error = client(ScramHash::Sha256, NONCE).step(message.as_bytes()).unwrap_err();
            assert!(error.contains(word), "{message}: {error}");
        }
        let mut refused = client(ScramHash::Sha256, NONCE);
        refused.step(SERVER_FIRST.as_bytes()).unwrap();
        assert!(refused.step(b"e=unknown-user").unwrap_err().contains("unknown-user"));
    }

    #[test]
    fn names_are_escaped_and_tokens_announced() {
        let client = ScramClient::new(ScramHash::Sha512, "a=b,c", &Secret::new("p"), true, "n");
        assert_eq!(client.first(), "n,,n=a=3Db=2Cc,r=n,tokenauth=true");
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(first: Vec<u8>, second: Vec<u8>) {
            prop_assert!(client(ScramHash::Sha512, NONCE).step(&first).is_err());
            let mut later = client(ScramHash::Sha256, NONCE);
            later.state = State::AwaitsServerFinal { server_signature: Secret::new("AAAA") };
            let _ = later.step(&second);
        }
    }
}
