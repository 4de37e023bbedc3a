//! SaslHandshake, SaslAuthenticate, and the admin requests about SCRAM users.

use std::collections::{BTreeMap, BTreeSet};

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kanat_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kanat_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse, StrBytes,
};

use super::{ScramCredential, ScramHash};
use crate::acl::operation;
use crate::error::{Refusal, wire_code};
use crate::handlers::{Context, Handle, message, text};

/// Iterations Kafka accepts.
const ITERATIONS: std::ops::RangeInclusive<i32> = 4_096..=16_384;

impl Handle for SaslHandshakeRequest {
    async fn handle(self, context: &Context) -> SaslHandshakeResponse {
        let agreed = match context.check_request() {
            Err(refusal) => Err(refusal.code),
            Ok(()) => context.session.lock().handshake(&self.mechanism, &context.cluster),
        };
        let mechanisms = context.cluster.options.security.mechanisms.iter();
        SaslHandshakeResponse::default()
            .with_error_code(agreed.err().map_or(0, ErrorCode::code))
            .with_mechanisms(mechanisms.map(|mechanism| StrBytes::from_static_str(mechanism.name())).collect())
    }
}

impl Handle for SaslAuthenticateRequest {
    async fn handle(self, context: &Context) -> SaslAuthenticateResponse {
        let taken = context
            .check_request()
            .and_then(|()| context.session.lock().authenticate(&self.auth_bytes, &context.cluster));
        let response =
            SaslAuthenticateResponse::default().with_error_code(wire_code(&taken)).with_error_message(message(&taken));
        match taken {
            Ok((answer, lifetime_ms)) if context.version >= 1 => {
                response.with_auth_bytes(answer.into()).with_session_lifetime_ms(lifetime_ms)
            }
            Ok((answer, _)) => response.with_auth_bytes(answer.into()),
            Err(_) => response,
        }
    }
}

/// One change of a user.
enum Change {
    Set(ScramHash, ScramCredential),
    Remove(ScramHash),
}

impl Handle for AlterUserScramCredentialsRequest {
    async fn handle(self, context: &Context) -> AlterUserScramCredentialsResponse {
        let mut changes: BTreeMap<String, Result<Vec<Change>, Refusal>> = BTreeMap::new();
        let removals = self.deletions.iter().map(|it| (it.name.to_string(), known(it.mechanism).map(Change::Remove)));
        let settings = self.upsertions.iter().map(|it| {
            let credential = known(it.mechanism).and_then(|hash| {
                if !ITERATIONS.contains(&it.iterations) {
                    let reason = format!("iterations must be {} to {}", ITERATIONS.start(), ITERATIONS.end());
                    return Err(Refusal::new(ErrorCode::UnacceptableCredential, reason));
                }
                let (salted, salt) = (&it.salted_password, it.salt.to_vec());
                Ok(Change::Set(hash, ScramCredential::of_salted(hash, salted, salt, it.iterations)))
            });
            (it.name.to_string(), credential)
        });
        for (user, change) in removals.chain(settings) {
            let entry = changes.entry(user).or_insert_with(|| Ok(Vec::new()));
            match (entry.as_mut(), change) {
                (Ok(list), Ok(change)) => list.push(change),
                (Ok(_), Err(refusal)) => *entry = Err(refusal),
                (Err(_), _) => {}
            }
        }
        let checked = context.check_cluster(operation::ALTER);
        let results = context.run(move |context| {
            let apply = |(user, change): (String, Result<Vec<Change>, Refusal>)| {
                let done = checked.clone().and(change).and_then(|changes| apply(context, &user, changes));
                AlterUserScramCredentialsResult::default()
                    .with_user(text(user))
                    .with_error_code(wire_code(&done))
                    .with_error_message(message(&done))
            };
            changes.into_iter().map(apply).collect()
        });
        AlterUserScramCredentialsResponse::default().with_results(results.await)
    }
}

fn known(mechanism: i8) -> Result<ScramHash, Refusal> {
    let unknown = || Refusal::new(ErrorCode::UnsupportedSaslMechanism, format!("no SCRAM mechanism {mechanism}"));
    ScramHash::from_number(mechanism).ok_or_else(unknown)
}

fn apply(context: &Context, user: &str, changes: Vec<Change>) -> Result<(), Refusal> {
    if user.is_empty() {
        return Err(Refusal::new(ErrorCode::UnacceptableCredential, "the user name is empty"));
    }
    let store = &context.cluster.scram;
    for change in changes {
        match change {
            Change::Set(hash, credential) => {
                store.set(user, hash, credential).map_err(|error| Refusal::storage(&error))?;
            }
            Change::Remove(hash) => {
                if !store.remove(user, hash).map_err(|error| Refusal::storage(&error))? {
                    let reason = format!("user {user} has no such credential");
                    return Err(Refusal::new(ErrorCode::ResourceNotFound, reason));
                }
            }
        }
    }
    Ok(())
}

impl Handle for DescribeUserScramCredentialsRequest {
    async fn handle(self, context: &Context) -> DescribeUserScramCredentialsResponse {
        let checked = context.check_cluster(operation::DESCRIBE);
        let mut listed = context.cluster.scram.list();
        let mut repeated = BTreeSet::new();
        let wanted: BTreeSet<String> = match self.users.filter(|users| !users.is_empty()) {
            Some(users) => {
                let mut names = BTreeSet::new();
                for user in users.iter().map(|user| user.name.to_string()) {
                    if !names.insert(user.clone()) {
                        repeated.insert(user);
                    }
                }
                names
            }
            None => listed.keys().cloned().collect(),
        };
        let describe = |user: String| {
            let result = DescribeUserScramCredentialsResult::default();
            let found = match listed.remove(&user) {
                _ if repeated.contains(&user) => {
                    let reason = format!("user {user} is asked for more than once");
                    Err(Refusal::new(ErrorCode::DuplicateResource, reason))
                }
                None => {
                    let reason = format!("user {user} has no SCRAM credentials");
                    Err(Refusal::new(ErrorCode::ResourceNotFound, reason))
                }
                Some(credentials) => Ok(credentials),
            };
            let result =
                result.with_user(text(user)).with_error_code(wire_code(&found)).with_error_message(message(&found));
            match found {
                Err(_) => result,
                Ok(credentials) => {
                    let info = |(hash, iterations): (ScramHash, i32)| {
                        CredentialInfo::default().with_mechanism(hash as i8).with_iterations(iterations)
                    };
                    result.with_credential_infos(credentials.into_iter().map(info).collect())
                }
            }
        };
        DescribeUserScramCredentialsResponse::default()
            .with_error_code(wire_code(&checked))
            .with_error_message(message(&checked))
            .with_results(if checked.is_ok() { wanted.into_iter().map(describe).collect() } else { Vec::new() })
    }
}
