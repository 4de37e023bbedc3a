//! Users that log in with SCRAM: who there is, new passwords, removal.

use std::fmt;

use kanat_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kanat_protocol::messages::describe_user_scram_credentials_request::UserName;
use kanat_protocol::messages::{AlterUserScramCredentialsRequest, ApiKey, DescribeUserScramCredentialsRequest};
use rustls::crypto::aws_lc_rs;

use super::ask::{Home, Node, Repeat, text};
use super::{Admin, Outcomes, owned, wire_enum};
use crate::cluster::str_bytes;
use crate::error::{Error, Result};

/// Bytes of the random salt of a new password.
const SALT_BYTES: usize = 32;

/// Rounds Kafka accepts.
const ITERATIONS_MIN: u32 = 4_096;
const ITERATIONS_MAX: u32 = 16_384;

wire_enum! {
    /// A SCRAM mechanism.
    ScramMechanism {
        /// With SHA-256.
        Sha256 = 1, "SCRAM-SHA-256";
        /// With SHA-512.
        Sha512 = 2, "SCRAM-SHA-512";
    }
}

/// A user and what it can log in with. Brokers never give salts or keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramUser {
    /// Name.
    pub user: String,
    /// Mechanisms with their iteration counts.
    pub credentials: Vec<(ScramMechanism, i32)>,
}

/// A new password of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramUpsertion {
    /// Name.
    pub user: String,
    /// Mechanism; the other one keeps its password.
    pub mechanism: ScramMechanism,
    /// Rounds of hashing, 4096 to 16384. More make stolen keys harder to use and logins slower.
    pub iterations: u32,
    /// The password. It does not leave the client: the broker gets its salted hash.
    pub password: String,
}

impl ScramUpsertion {
    /// A password with 8192 rounds.
    pub fn new(user: impl Into<String>, mechanism: ScramMechanism, password: impl Into<String>) -> ScramUpsertion {
        ScramUpsertion { user: user.into(), mechanism, iterations: 8_192, password: password.into() }
    }
}

impl fmt::Debug for ScramUpsertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramUpsertion")
            .field("user", &self.user)
            .field("mechanism", &self.mechanism)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// These users (`None`: all) and what they can log in with, sorted by name. Needs Kafka 2.7.
    ///
    /// # Errors
    /// The broker's refusal. A user that does not exist is in the result with `RESOURCE_NOT_FOUND`.
    pub async fn describe_scram_users(&self, users: Option<&[&str]>) -> Result<Outcomes<String, ScramUser>> {
        let name = |name: &&str| UserName::default().with_name(str_bytes(name));
        let request = DescribeUserScramCredentialsRequest::default()
            .with_users(users.map(|users| users.iter().map(name).collect()));
        let ask = move |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.ask(ApiKey::DescribeUserScramCredentials, &request).await?;
                let body = &answer.body;
                answer.check(|| "users".to_owned(), body.error_code, body.error_message.as_ref())?;
                let mut found = Vec::with_capacity(body.results.len());
                for row in &body.results {
                    let user = text(&row.user);
                    let credentials = row.credential_infos.iter();
                    let credentials = credentials.map(|row| (ScramMechanism::from_code(row.mechanism), row.iterations));
                    let described = answer
                        .check(|| format!("user {user}"), row.error_code, row.error_message.as_ref())
                        .map(|()| ScramUser { user: user.clone(), credentials: credentials.collect() });
                    found.push((user, described));
                }
                found.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
                Ok(found)
            }
        };
        self.ask_one(Home::Any, Repeat::Always, ask).await
    }

    /// Gives users new passwords, making those that do not exist, and says of each whether it was. The hashing runs on
    /// threads for blocking work. A user may be named once a call. Needs Kafka 2.7.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an iteration count or an empty password that no broker accepts; when no controller
    /// answers until `retry_timeout_ms`.
    pub async fn upsert_scram_users(&self, upsertions: &[ScramUpsertion]) -> Result<Outcomes> {
        let mut rows = Vec::with_capacity(upsertions.len());
        for upsertion in upsertions {
            rows.push(hash(upsertion.clone()).await?);
        }
        let users = upsertions.iter().map(|upsertion| upsertion.user.clone()).collect();
        self.alter_scram(users, AlterUserScramCredentialsRequest::default().with_upsertions(rows)).await
    }

    /// Takes mechanisms away from users and says of each whether it was. Needs Kafka 2.7.
    ///
    /// # Errors
    /// When no controller answers until `retry_timeout_ms`. A user that does not have the mechanism is in the result
    /// with `RESOURCE_NOT_FOUND`.
    pub async fn delete_scram_users(&self, users: &[(&str, ScramMechanism)]) -> Result<Outcomes> {
        let deletion = |(user, mechanism): &(&str, ScramMechanism)| {
            ScramCredentialDeletion::default().with_name(str_bytes(user)).with_mechanism(mechanism.code())
        };
        let request = AlterUserScramCredentialsRequest::default().with_deletions(users.iter().map(deletion).collect());
        let mut names = owned(&users.iter().map(|(user, _)| *user).collect::<Vec<_>>());
        names.dedup();
        self.alter_scram(names, request).await
    }

    async fn alter_scram(&self, users: Vec<String>, request: AlterUserScramCredentialsRequest) -> Result<Outcomes> {
        let ask = move |node: Node| {
            let (request, users) = (request.clone(), users.clone());
            async move {
                let answer = node.ask(ApiKey::AlterUserScramCredentials, &request).await?;
                let outcome = |user: &String| {
                    let subject = || format!("user {user}");
                    let row = answer.body.results.iter().find(|row| row.user.as_str() == user);
                    let outcome = answer
                        .found(row, subject)
                        .and_then(|row| answer.check(subject, row.error_code, row.error_message.as_ref()));
                    (user.clone(), outcome)
                };
                Ok(users.iter().map(outcome).collect())
            }
        };
        self.ask_one(Home::Controller, Repeat::UnlessUnknown, ask).await
    }
}

/// The row of a new password: a fresh salt, and the password hashed with it off the runtime.
async fn hash(upsertion: ScramUpsertion) -> Result<ScramCredentialUpsertion> {
    let invalid =
        |option: &str, reason: &str| Error::InvalidOption { option: option.to_owned(), reason: reason.to_owned() };
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&upsertion.iterations) {
        return Err(invalid("iterations", "must be between 4096 and 16384"));
    }
    if upsertion.password.is_empty() {
        return Err(invalid("password", "must not be empty"));
    }
    let mut salt = [0; SALT_BYTES];
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(&mut salt).map_err(|_| invalid("salt", "the system gives no random bytes"))?;
    let hashing = tokio::task::spawn_blocking(move || {
        let salted = salted_password(&upsertion, &salt);
        ScramCredentialUpsertion::default()
            .with_name(str_bytes(&upsertion.user))
            .with_mechanism(upsertion.mechanism.code())
            .with_iterations(i32::try_from(upsertion.iterations).unwrap_or(i32::MAX))
            .with_salt(salt.to_vec().into())
            .with_salted_password(salted.into())
    });
    hashing.await.map_err(|_| Error::Closed { what: "runtime" })
}

fn salted_password(upsertion: &ScramUpsertion, salt: &[u8]) -> Vec<u8> {
    let (password, rounds) = (upsertion.password.as_bytes(), upsertion.iterations);
    match upsertion.mechanism {
        ScramMechanism::Sha512 => pbkdf2::pbkdf2_hmac_array::<sha2::Sha512, 64>(password, salt, rounds).to_vec(),
        _ => pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 32>(password, salt, rounds).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_printed() {
        let upsertion = ScramUpsertion::new("alice", ScramMechanism::Sha256, "hunter2");
        assert!(!format!("{upsertion:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_is_hashed_as_rfc_7677_shows() {
        // The example of RFC 7677 section 3: user "user", password "pencil", 4096 rounds. The RFC shows the client's
        // proof; the salted password behind it is what this computes.
        let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
        let upsertion =
            ScramUpsertion { iterations: 4_096, ..ScramUpsertion::new("user", ScramMechanism::Sha256, "pencil") };
        let expected = "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d";
        let hex: String = salted_password(&upsertion, salt).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[tokio::test]
    async fn what_no_broker_accepts_is_said_before_it_is_asked() {
        let new = |password: &str| ScramUpsertion::new("u", ScramMechanism::Sha512, password);
        let few = ScramUpsertion { iterations: 1_000, ..new("p") };
        assert!(hash(few).await.unwrap_err().to_string().contains("between 4096 and 16384"));
        assert!(hash(new("")).await.unwrap_err().to_string().contains("must not be empty"));
    }
}
