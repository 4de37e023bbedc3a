//! The mechanism, its login line and what else it takes.

use std::fmt::Display;

use serde_json::Value as Json;

use super::tls::Wrong;
use crate::security::{
    AwsMskIam, Credentials, LoginLine, OAuthBearer, OidcClientCredentials, Sasl, Secret, UnsecuredJwt,
};

const JAAS: &str = "sasl.jaas.config";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLAIM_PREFIXES: [&str; 3] =
    ["unsecuredLoginStringClaim_", "unsecuredLoginNumberClaim_", "unsecuredLoginListClaim_"];

/// What the `sasl.*` keys say.
#[derive(Debug, Default)]
pub(super) struct Login {
    pub(super) mechanism: Option<String>,
    pub(super) jaas: Option<Secret>,
    pub(super) token_endpoint: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<Secret>,
    pub(super) scope: Option<String>,
    pub(super) token_timeout_ms: Option<u64>,
}

impl Login {
    pub(super) fn finish(self) -> Result<Sasl, Wrong> {
        const MECHANISM: &str = "sasl.mechanism";
        let Some(mechanism) = &self.mechanism else {
            return Err((MECHANISM, "is missing, and GSSAPI, which Java takes then, is not supported".into()));
        };
        match mechanism.as_str() {
            "PLAIN" => Ok(Sasl::Plain(credentials(&self.line(&["PlainLoginModule"], &[])?)?)),
            "SCRAM-SHA-256" => Ok(Sasl::ScramSha256(self.scram()?)),
            "SCRAM-SHA-512" => Ok(Sasl::ScramSha512(self.scram()?)),
            "OAUTHBEARER" => Ok(Sasl::OAuthBearer(self.oauth()?)),
            "AWS_MSK_IAM" => self.msk_iam(),
            "GSSAPI" => Err((MECHANISM, "\"GSSAPI\" (Kerberos) is not supported".into())),
            other => Err((
                MECHANISM,
                format!("{other:?} must be one of: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, AWS_MSK_IAM"),
            )),
        }
    }

    /// The login line, for one of these modules, with no options but user name, password and these; `_` at the end
    /// stands for any rest.
    fn line(&self, modules: &[&str], options: &[&str]) -> Result<LoginLine, Wrong> {
        let Some(text) = &self.jaas else {
            return Err((JAAS, format!("is missing: {} needs it", self.mechanism.as_deref().unwrap_or_default())));
        };
        let line = LoginLine::parse(text.reveal()).map_err(wrong_line)?;
        let module = line.module().map_err(wrong_line)?;
        if !modules.contains(&module) {
            let mechanism = self.mechanism.as_deref().unwrap_or_default();
            // A line in disorder may have anything where the class should be.
            let module = Some(module).filter(|name| name.ends_with("LoginModule"));
            let module = module.unwrap_or("something else");
            return Err(wrong_line(format!("has {module}, but {mechanism} needs {}", modules.join(" or "))));
        }
        let known = |name: &str| {
            options.iter().any(|known| *known == name || (known.ends_with('_') && name.starts_with(known)))
        };
        let unknown = line.names().find(|name| !known(name) && !matches!(*name, "username" | "password"));
        if let Some(name) = unknown {
            return Err(wrong_line(format!("has the option {name:?}, which is not supported")));
        }
        Ok(line)
    }

    fn scram(&self) -> Result<Credentials, Wrong> {
        let line = self.line(&["ScramLoginModule"], &["tokenauth"])?;
        let delegation_token = line.get("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Ok(Credentials { delegation_token, ..credentials(&line)? })
    }

    fn oauth(&self) -> Result<OAuthBearer, Wrong> {
        let [strings, numbers, lists] = CLAIM_PREFIXES;
        let of_module = ["clientId", "clientSecret", "scope", "extension_", "unsecuredLoginExtension_"];
        let of_claims = [strings, numbers, lists, "unsecuredLoginLifetimeSeconds", "unsecuredLoginScopeClaimName"];
        let options = [of_module, of_claims].concat();
        let line = self.line(&["OAuthBearerLoginModule"], &options)?;
        let bearer = match &self.token_endpoint {
            Some(endpoint) => OAuthBearer::client_credentials(self.client_credentials(endpoint, &line)?),
            None => OAuthBearer::unsecured(unsecured(&line)?),
        };
        let extensions = line.with_prefix("extension_").chain(line.with_prefix("unsecuredLoginExtension_"));
        Ok(extensions.fold(bearer, |bearer, (name, value)| bearer.with_extension(name, value)))
    }

    /// Client id and secret by their own keys, or in the login line.
    fn client_credentials(&self, endpoint: &str, line: &LoginLine) -> Result<OidcClientCredentials, Wrong> {
        let id = self.client_id.as_deref().or(line.get("clientId"));
        let secret = self.client_secret.as_ref().map(Secret::reveal).or(line.get("clientSecret"));
        let (Some(id), Some(secret)) = (id, secret) else {
            return Err(wrong_line("needs clientId and clientSecret"));
        };
        let mut options = OidcClientCredentials::new(endpoint, id, secret);
        if let Some(scope) = self.scope.as_deref().or(line.get("scope")) {
            options = options.with_scope(scope);
        }
        if let Some(timeout_ms) = self.token_timeout_ms {
            options = options.with_request_timeout_ms(timeout_ms);
        }
        Ok(options)
    }

    fn msk_iam(&self) -> Result<Sasl, Wrong> {
        let line = self.line(&["IAMLoginModule"], &["awsDebugCreds", "awsProfileName", "awsRoleArn", "awsRole_"])?;
        match line.names().find(|name| name.starts_with("awsRole") || *name == "awsProfileName") {
            Some(name) => Err(wrong_line(format!(
                "has the option {name:?}, which is not supported: put credentials into the environment \
                 (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN)"
            ))),
            None => Ok(Sasl::AwsMskIam(AwsMskIam::default())),
        }
    }
}

fn credentials(line: &LoginLine) -> Result<Credentials, Wrong> {
    match (line.get("username"), line.get("password")) {
        (Some(username), Some(password)) if !username.is_empty() && !password.is_empty() => {
            Ok(Credentials::new(username, password))
        }
        _ => Err(wrong_line("needs username and password")),
    }
}

/// Claims of a token that nobody signs.
fn unsecured(line: &LoginLine) -> Result<UnsecuredJwt, Wrong> {
    let [strings, numbers, lists] = CLAIM_PREFIXES;
    let Some((_, subject)) = line.with_prefix(strings).find(|(name, _)| *name == "sub") else {
        let reason = "is missing: tokens come from there, or, unsecured, from a login line with \
                      unsecuredLoginStringClaim_sub";
        return Err((ENDPOINT, reason.to_owned()));
    };
    let mut token = UnsecuredJwt::new(subject);
    for (name, value) in line.with_prefix(strings) {
        token = token.with_claim(name, value);
    }
    for (name, value) in line.with_prefix(numbers) {
        let number: Option<serde_json::Number> = value.parse().ok();
        let number = number.ok_or_else(|| wrong_line(format!("has a {numbers}{name} that is not a number")))?;
        token = token.with_claim(name, number);
    }
    for (name, value) in line.with_prefix(lists) {
        // The first character is what separates the others.
        let items = value.chars().next().map(|separator| value[separator.len_utf8()..].split(separator));
        let items: Vec<Json> = items.into_iter().flatten().map(Json::from).collect();
        token = token.with_claim(name, items);
    }
    if let Some(seconds) = line.get("unsecuredLoginLifetimeSeconds") {
        let seconds = seconds.parse::<u32>();
        let seconds = seconds.map_err(|_| wrong_line("needs whole seconds as unsecuredLoginLifetimeSeconds"))?;
        token = token.with_lifetime_seconds(seconds.into());
    }
    Ok(token)
}

/// What is wrong with the login line, which is never quoted.
fn wrong_line(reason: impl Display) -> Wrong {
    (JAAS, reason.to_string())
}
