//! AWS_MSK_IAM: the broker gets a request to AWS, signed with Signature Version 4 but not sent, and checks with AWS
//! who signed it.

use sha2::{Digest, Sha256};

use super::oidc::percent_encode;
use super::scram::hmac_sha256;
use super::{Secret, clock};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "kafka-cluster";
const ACTION: &str = "kafka-cluster:Connect";
/// How long a signature holds, as AWS's own library asks for.
const EXPIRES_SECONDS: &str = "900";

/// Keys of an AWS identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// Id of the access key.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// Token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Options of AWS_MSK_IAM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsMskIam {
    /// Keys to sign with; `None` takes `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` from the
    /// environment, anew for every exchange.
    pub credentials: Option<AwsCredentials>,
    /// Region; `None` takes it from the broker's name (`*.kafka.REGION.amazonaws.com`, `*.kafka-serverless.REGION...`),
    /// or from `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
}

impl AwsMskIam {
    /// The message for the broker at `host`.
    pub(super) fn payload(&self, host: &str) -> Result<Secret, String> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let credentials = match &self.credentials {
            Some(credentials) => credentials.clone(),
            None => from_environment(environment)?,
        };
        let region = self
            .region
            .clone()
            .or_else(|| region_of(host))
            .or_else(|| environment("AWS_REGION"))
            .or_else(|| environment("AWS_DEFAULT_REGION"))
            .ok_or_else(|| format!("no region in the name {host}: set it, or AWS_REGION"))?;
        Ok(sign(host, &region, &credentials, &clock::basic_utc(clock::unix_seconds())))
    }
}

fn from_environment(environment: impl Fn(&str) -> Option<String>) -> Result<AwsCredentials, String> {
    let wanted = |name: &str| environment(name).ok_or_else(|| format!("no credentials given and {name} is not set"));
    Ok(AwsCredentials {
        access_key_id: wanted("AWS_ACCESS_KEY_ID")?,
        secret_access_key: wanted("AWS_SECRET_ACCESS_KEY")?.into(),
        session_token: environment("AWS_SESSION_TOKEN").map(Secret::from),
    })
}

/// The part of a broker's name behind `kafka` or `kafka-serverless`.
fn region_of(host: &str) -> Option<String> {
    let mut parts = host.split('.').skip_while(|part| *part != "kafka" && *part != "kafka-serverless");
    parts.next()?;
    let region = parts.next()?;
    (parts.next() == Some("amazonaws")).then(|| region.to_owned())
}

/// The presigned request as a JSON document. `time` is `YYYYMMDDThhmmssZ`.
fn sign(host: &str, region: &str, credentials: &AwsCredentials, time: &str) -> Secret {
    let date = time.split('T').next().unwrap_or_default();
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    let credential = format!("{}/{scope}", credentials.access_key_id);
    let token = credentials.session_token.as_ref().map(Secret::reveal);
    // In the order of the names, as the canonical form wants them.
    let mut query = vec![
        ("Action", ACTION),
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Date", time),
        ("X-Amz-Expires", EXPIRES_SECONDS),
    ];
    query.extend(token.map(|token| ("X-Amz-Security-Token", token)));
    query.push(("X-Amz-SignedHeaders", "host"));
    let encoded: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    let canonical = format!("GET\n/\n{}\nhost:{host}\n\nhost\n{}", encoded.join("&"), hex(&Sha256::digest(b"")));
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{}", credentials.secret_access_key.reveal()).into_bytes();
    for part in [date, region, SERVICE, "aws4_request"] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
    let mut payload = serde_json::Map::new();
    let mut put = |name: &str, value: &str| payload.insert(name.to_owned(), value.into());
    put("version", "2020_10_22");
    put("host", host);
    put("user-agent", concat!("kanat-client/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &query {
        put(&name.to_ascii_lowercase(), value);
    }
    put("x-amz-signature", &signature);
    Secret::new(serde_json::Value::Object(payload).to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(session_token: Option<&str>) -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(Secret::from),
        }
    }

    fn signed(session_token: Option<&str>) -> serde_json::Value {
        let host = "b-1.demo.abc123.c2.kafka.us-east-1.amazonaws.com";
        let payload = sign(host, "us-east-1", &credentials(session_token), "20251121T143000Z");
        serde_json::from_str(payload.reveal()).unwrap()
    }

    // Signatures worked out apart from this code, step by step as AWS describes Signature Version 4, with Python's hmac.
    #[test]
    fn signatures_are_those_of_the_published_algorithm() {
        let payload = signed(None);
        assert_eq!(payload["x-amz-signature"], "cea378f22c5bf932fdf91719205156f35a7ff50cbe1bc05cf45cd4edd9412578");
        assert_eq!(payload["action"], "kafka-cluster:Connect");
        assert_eq!(payload["x-amz-credential"], "AKIAIOSFODNN7EXAMPLE/20251121/us-east-1/kafka-cluster/aws4_request");
        assert_eq!(payload["x-amz-signedheaders"], "host");
        assert_eq!(payload["version"], "2020_10_22");
        let payload = signed(Some("FQoGZXIvYXdzE+token/with=signs"));
        assert_eq!(payload["x-amz-signature"], "dd0e1a23c9d5e4b8998dc1d8f24efc61dd6de1c6137a0043c974e21101a57e36");
        assert_eq!(payload["x-amz-security-token"], "FQoGZXIvYXdzE+token/with=signs");
    }

    #[test]
    fn the_region_is_in_the_name() {
        assert_eq!(region_of("b-1.demo.abc.c2.kafka.eu-west-3.amazonaws.com").as_deref(), Some("eu-west-3"));
        assert_eq!(region_of("boot-x.c1.kafka-serverless.us-east-2.amazonaws.com").as_deref(), Some("us-east-2"));
        assert_eq!(region_of("b-1.x.kafka.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        assert_eq!(region_of("kafka.example.com"), None);
        assert_eq!(region_of("127.0.0.1"), None);
    }

    #[test]
    fn credentials_come_from_the_environment_or_the_error_names_what_lacks() {
        let found = from_environment(|name| Some(name.to_lowercase())).unwrap();
        assert_eq!(found.access_key_id, "aws_access_key_id");
        let error = from_environment(|name| (name == "AWS_ACCESS_KEY_ID").then(String::new)).unwrap_err();
        assert!(error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }
}
