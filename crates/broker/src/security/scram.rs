//! The broker's side of SCRAM (RFC 5802, RFC 7677), and what it keeps of a password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

/// Iterations of users given in the options: the fewest Kafka allows.
const ITERATIONS: u32 = 4_096;

/// Hash of a SCRAM mechanism, with Kafka's number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ScramHash {
    Sha256 = 1,
    Sha512 = 2,
}

impl ScramHash {
    /// The mechanism with this number.
    pub(crate) fn from_number(number: i8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
                mac.update(bytes);
                mac.finalize().into_bytes().to_vec()
            }
            Self::Sha512 => {
                let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
                mac.update(bytes);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }

    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha256 => {
                let mut salted = vec![0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
                salted
            }
            Self::Sha512 => {
                let mut salted = vec![0; 64];
                pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, iterations, &mut salted);
                salted
            }
        }
    }
}

/// What the broker keeps of a user's password under one mechanism. The password cannot be had from it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ScramCredential {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: i32,
    pub(crate) stored_key: Vec<u8>,
    pub(crate) server_key: Vec<u8>,
}

impl std::fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramCredential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl ScramCredential {
    /// From a password. Takes milliseconds.
    pub(crate) fn of_password(hash: ScramHash, password: &str, salt: Vec<u8>) -> Self {
        let salted = hash.salted(password, &salt, ITERATIONS);
        Self::of_salted(hash, &salted, salt, ITERATIONS.cast_signed())
    }

    /// From a password a client has salted, as admin requests carry it.
    pub(crate) fn of_salted(hash: ScramHash, salted: &[u8], salt: Vec<u8>, iterations: i32) -> Self {
        let stored_key = hash.digest(&hash.hmac(salted, b"Client Key"));
        Self { salt, iterations, stored_key, server_key: hash.hmac(salted, b"Server Key") }
    }
}

/// An exchange that waits for the client's proof.
#[derive(Debug)]
pub(crate) struct ScramExchange {
    hash: ScramHash,
    pub(crate) user: String,
    credential: ScramCredential,
    nonce: String,
    auth_message: String,
}

/// User and nonce of the client's first message, `n,[a=..],n=user,r=nonce[,...]`.
fn parse_first(message: &str) -> Option<(&str, String, &str)> {
    let (_, rest) = message.strip_prefix("n,")?.split_once(',')?;
    let mut fields = rest.split(',');
    let user = fields.next()?.strip_prefix("n=")?.replace("=2C", ",").replace("=3D", "=");
    let nonce = fields.next()?.strip_prefix("r=").filter(|nonce| !nonce.is_empty())?;
    Some((rest, user, nonce))
}

impl ScramExchange {
    /// Takes the client's first message and gives the answer to it. `None` for a message that is none, and for a user
    /// nobody knows.
    pub(crate) fn begin(
        hash: ScramHash,
        message: &[u8],
        random: u128,
        find: impl FnOnce(&str) -> Option<ScramCredential>,
    ) -> Option<(Self, String)> {
        let (bare, user, client_nonce) = parse_first(std::str::from_utf8(message).ok()?)?;
        let credential = find(&user)?;
        let nonce = format!("{client_nonce}{random:032x}");
        let first = format!("r={nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations);
        let auth_message = format!("{bare},{first}");
        Some((Self { hash, user, credential, nonce, auth_message }, first))
    }

    /// Checks the client's proof and proves in turn that the broker knows the password.
    pub(crate) fn finish(&self, message: &[u8]) -> Option<String> {
        let message = std::str::from_utf8(message).ok()?;
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        if without_proof != format!("c=biws,r={}", self.nonce) {
            return None;
        }
        let auth_message = format!("{},{without_proof}", self.auth_message);
        let signature = self.hash.hmac(&self.credential.stored_key, auth_message.as_bytes());
        let proof = BASE64.decode(proof).ok().filter(|proof| proof.len() == signature.len())?;
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(left, right)| left ^ right).collect();
        if self.hash.digest(&client_key) != self.credential.stored_key {
            return None;
        }
        let server_signature = self.hash.hmac(&self.credential.server_key, auth_message.as_bytes());
        Some(format!("v={}", BASE64.encode(server_signature)))
    }
}
