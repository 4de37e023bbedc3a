//! `source.json`: the cluster to read and how.

use std::path::Path;

use fancy_regex::Regex;
use kanat_client::{LoginLine, Pem, Sasl, Security, TlsOptions};

use super::section::Section;
use super::{Secret, SecurityProtocol, Warning, read};
use crate::error::{Error, Result};
use crate::files::parse_json;

/// Port of a bootstrap address that names none.
const PORT_DEFAULT: u16 = 9092;

/// Readers when `max_threads` is absent or not positive.
const MAX_THREADS_DEFAULT: u32 = 3;

/// Retries when `backoff_retry_count` is absent or not positive.
const BACKOFF_RETRY_COUNT_DEFAULT: u32 = 3;

/// The cluster to read and how.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The file it came from, for messages.
    pub file: String,
    /// Bootstrap addresses, each `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// Encryption and authentication.
    pub protocol: ProtocolConfig,
    /// The consumer group whose offsets say what was synced; `None` lets the state file or the sync
    /// choose one. Spelled `consumer_group_id` or `consumer_group`.
    pub consumer_group_id: Option<String>,
    /// Partitions read and written at the same time, at least 1.
    pub max_threads: u32,
    /// One reader per partition, whatever [`max_threads`](Self::max_threads) says.
    pub threads_equal_total_partitions: bool,
    /// How often a failed request is tried again, at least 1.
    pub backoff_retry_count: u32,
    /// Topics that discovery looks at; `None` means all.
    pub topic_pattern: Option<TopicPattern>,
    /// Schema registry for Avro values.
    pub schema_registry: Option<SchemaRegistryConfig>,
}

/// Encryption and authentication; `protocol` in the file.
#[derive(Debug, Clone)]
pub struct ProtocolConfig {
    /// How connections are protected.
    pub security_protocol: SecurityProtocol,
    /// Present with the `SASL_` protocols.
    pub sasl: Option<SaslConfig>,
    /// Trust and identity; `ssl` in the file.
    pub tls: Option<TlsConfig>,
    /// Accept any certificate.
    pub tls_skip_verify: bool,
}

impl ProtocolConfig {
    /// What a client of the cluster is told.
    pub fn security(&self) -> Security {
        let tls = self.tls.as_ref().map_or_else(TlsOptions::default, |tls| {
            let trusting = TlsOptions::default().with_roots(Pem::text(tls.server_ca.as_str()));
            let identified = match &tls.client {
                Some((certificate, key)) => {
                    trusting.with_identity(Pem::text(certificate.as_str()), Pem::Text(key.clone()))
                }
                None => trusting,
            };
            // As in OLake, without `ssl` the key changes nothing.
            if self.tls_skip_verify { identified.without_certificate_check() } else { identified }
        });
        let sasl = self.sasl.as_ref().map(|sasl| match sasl.mechanism {
            SaslMechanism::Plain => Sasl::plain(&sasl.username, sasl.password.clone()),
            SaslMechanism::ScramSha512 => Sasl::scram_sha_512(&sasl.username, sasl.password.clone()),
        });
        Security { protocol: self.security_protocol, tls, sasl }
    }
}

/// How a password is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password is sent.
    Plain,
    /// Salted challenge and response over SHA-512.
    ScramSha512,
}

/// Name and password, out of `sasl_jaas_config`.
#[derive(Debug, Clone)]
pub struct SaslConfig {
    /// How the password is proved.
    pub mechanism: SaslMechanism,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// Certificates, each PEM text.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Authorities to trust.
    pub server_ca: String,
    /// Certificate chain and private key to present.
    pub client: Option<(String, Secret)>,
}

/// Where Avro schemas are kept.
#[derive(Debug, Clone)]
pub struct SchemaRegistryConfig {
    /// Base URL.
    pub endpoint: String,
    /// User name of basic authentication.
    pub username: Option<String>,
    /// Password of basic authentication.
    pub password: Option<Secret>,
    /// Token; wins over basic authentication.
    pub bearer_token: Option<Secret>,
}

/// A Perl-style pattern that topic names are searched for; it need not match the whole name.
#[derive(Debug, Clone)]
pub struct TopicPattern {
    regex: Regex,
}

impl TopicPattern {
    /// Compiles `pattern`; the error says what is wrong with it.
    fn parse(pattern: &str) -> std::result::Result<Self, String> {
        Regex::new(pattern).map(|regex| Self { regex }).map_err(|error| error.to_string())
    }

    /// Whether `topic` contains a match.
    ///
    /// # Errors
    /// [`Error::WrongValue`] when the pattern needs more backtracking than is allowed.
    pub fn matches(&self, topic: &str) -> Result<bool> {
        self.regex.is_match(topic).map_err(|error| {
            let reason = format!("cannot be tried on topic {topic}: {error}");
            Error::wrong_value("source config", "topic_pattern", reason)
        })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }
}

impl SourceConfig {
    /// Reads `source.json`, decrypting it when `encryption_key` is given, and refuses what this version
    /// cannot honour.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`].
    pub fn load(path: &Path, encryption_key: Option<&str>) -> Result<(Self, Vec<Warning>)> {
        let (file, text) = read(path, encryption_key)?;
        let (config, warnings) = Self::parse(&text, &file)?;
        config.ensure_supported()?;
        Ok((config, warnings))
    }

    /// A plaintext configuration with the defaults of every other key, for programs that build one
    /// without a file.
    pub fn plaintext(bootstrap_servers: Vec<String>) -> Self {
        Self {
            file: "source config".to_owned(),
            bootstrap_servers,
            protocol: ProtocolConfig {
                security_protocol: SecurityProtocol::Plaintext,
                sasl: None,
                tls: None,
                tls_skip_verify: false,
            },
            consumer_group_id: None,
            max_threads: MAX_THREADS_DEFAULT,
            threads_equal_total_partitions: false,
            backoff_retry_count: BACKOFF_RETRY_COUNT_DEFAULT,
            topic_pattern: None,
            schema_registry: None,
        }
    }

    /// Reads the text of `source.json`; `file` names it in errors.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`].
    pub fn parse(text: &str, file: &str) -> Result<(Self, Vec<Warning>)> {
        let value = parse_json(text, file)?;
        let mut warnings = Vec::new();
        let mut root = Section::root(file, &value)?;
        let config = Self {
            file: file.to_owned(),
            bootstrap_servers: bootstrap_servers(&mut root)?,
            protocol: protocol(&mut root, &mut warnings)?,
            consumer_group_id: consumer_group(&mut root)?,
            max_threads: positive(&mut root, "max_threads", MAX_THREADS_DEFAULT)?,
            threads_equal_total_partitions: root.boolean("threads_equal_total_partitions")?.unwrap_or(false),
            backoff_retry_count: positive(&mut root, "backoff_retry_count", BACKOFF_RETRY_COUNT_DEFAULT)?,
            topic_pattern: topic_pattern(&mut root)?,
            schema_registry: schema_registry(&mut root, &mut warnings)?,
        };
        root.finish(&mut warnings);
        Ok((config, warnings))
    }

    /// Refuses a configuration that is right but that this version cannot honour.
    ///
    /// # Errors
    /// [`Error::NotSupported`] naming the key.
    pub fn ensure_supported(&self) -> Result<()> {
        if self.schema_registry.is_some() {
            return Err(Error::not_supported(&self.file, "schema_registry.endpoint", "a schema registry"));
        }
        Ok(())
    }

    /// The bootstrap addresses as one text, for messages.
    pub fn servers(&self) -> String {
        self.bootstrap_servers.join(",")
    }
}

fn bootstrap_servers(root: &mut Section<'_>) -> Result<Vec<String>> {
    const KEY: &str = "bootstrap_servers";
    let text = root.string(KEY)?.ok_or_else(|| root.missing(KEY))?;
    let mut servers = Vec::new();
    for address in text.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        servers.push(with_port(address).map_err(|reason| root.wrong(KEY, reason))?);
    }
    if servers.is_empty() { Err(root.missing(KEY)) } else { Ok(servers) }
}

/// `address` with a port; accepts `host`, `host:port`, `[v6]` and `[v6]:port`.
fn with_port(address: &str) -> std::result::Result<String, String> {
    if address.contains("://") || address.contains(char::is_whitespace) {
        return Err(format!("must be a list of host:port, which {address} is not"));
    }
    let port_at = match address.rfind(']') {
        Some(bracket) => address[bracket..].find(':').map(|colon| bracket + colon),
        None => address.rfind(':'),
    };
    let Some(colon) = port_at else { return Ok(format!("{address}:{PORT_DEFAULT}")) };
    match address[colon + 1..].parse::<u16>() {
        Ok(port) if port > 0 && colon > 0 => Ok(address.to_owned()),
        _ => Err(format!("must be a list of host:port, which {address} is not")),
    }
}

fn consumer_group(root: &mut Section<'_>) -> Result<Option<String>> {
    let (first, second) = ("consumer_group_id", "consumer_group");
    match (root.string(first)?, root.string(second)?) {
        (Some(left), Some(right)) if left != right => Err(Error::ConflictingKeys {
            file: root.file().to_owned(),
            first: root.full_key(first),
            second: root.full_key(second),
        }),
        (left, right) => Ok(left.or(right).map(str::to_owned)),
    }
}

/// A count that falls back to `default` when absent or not positive.
fn positive(root: &mut Section<'_>, key: &'static str, default: u32) -> Result<u32> {
    match root.integer(key)? {
        Some(number) if number > 0 => {
            u32::try_from(number).map_err(|_| root.wrong(key, format!("must be at most {}, it is {number}", u32::MAX)))
        }
        _ => Ok(default),
    }
}

fn topic_pattern(root: &mut Section<'_>) -> Result<Option<TopicPattern>> {
    const KEY: &str = "topic_pattern";
    let Some(pattern) = root.string(KEY)? else { return Ok(None) };
    let compiled = TopicPattern::parse(pattern);
    compiled.map(Some).map_err(|reason| root.wrong(KEY, format!("is not a regular expression: {reason}")))
}

fn protocol(root: &mut Section<'_>, warnings: &mut Vec<Warning>) -> Result<ProtocolConfig> {
    let mut section = root.section("protocol")?.ok_or_else(|| root.missing("protocol"))?;
    let key = "security_protocol";
    let name = section.string(key)?.ok_or_else(|| section.missing(key))?;
    let protocols = [
        SecurityProtocol::Plaintext,
        SecurityProtocol::Ssl,
        SecurityProtocol::SaslPlaintext,
        SecurityProtocol::SaslSsl,
    ];
    let Some(security_protocol) = protocols.into_iter().find(|protocol| protocol.name() == name) else {
        let reason = format!("must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, not {name}");
        return Err(section.wrong(key, reason));
    };
    let sasl = sasl(&mut section, security_protocol)?;
    let tls = tls(&mut section, warnings)?;
    if tls.is_some() && !security_protocol.uses_tls() {
        let message = format!("has no effect with {name}");
        warnings.push(Warning::new(section.file(), section.full_key("ssl"), message));
    }
    let tls_skip_verify = section.boolean("tls_skip_verify")?.unwrap_or(false);
    section.finish(warnings);
    Ok(ProtocolConfig { security_protocol, sasl, tls, tls_skip_verify })
}

/// Credentials are checked under every protocol and kept under those that use them.
fn sasl(section: &mut Section<'_>, security_protocol: SecurityProtocol) -> Result<Option<SaslConfig>> {
    let (mechanism_key, jaas_key) = ("sasl_mechanism", "sasl_jaas_config");
    let mechanism = match section.string(mechanism_key)? {
        None => None,
        Some("PLAIN") => Some(SaslMechanism::Plain),
        Some("SCRAM-SHA-512") => Some(SaslMechanism::ScramSha512),
        Some(other) => {
            return Err(section.wrong(mechanism_key, format!("must be PLAIN or SCRAM-SHA-512, not {other}")));
        }
    };
    let credentials = match section.string(jaas_key)? {
        None => None,
        Some(line) => Some(login(line).map_err(|reason| section.wrong(jaas_key, reason))?),
    };
    if !security_protocol.uses_sasl() {
        return Ok(None);
    }
    let mechanism = mechanism.ok_or_else(|| section.missing(mechanism_key))?;
    let credentials = credentials.ok_or_else(|| section.missing(jaas_key))?;
    let (username, password) = credentials;
    Ok(Some(SaslConfig { mechanism, username, password }))
}

/// User name and password of a login line. OLake reads nothing else of it, so the module in front may be missing.
fn login(line: &str) -> Result<(String, Secret), String> {
    let line = LoginLine::parse(line).map_err(|error| error.to_string())?;
    let value = |name: &str| {
        let value = line.get(name).filter(|text| !text.is_empty());
        value.ok_or_else(|| format!("holds no {name}=\"...\""))
    };
    Ok((value("username")?.to_owned(), Secret::new(value("password")?)))
}

fn tls(protocol: &mut Section<'_>, warnings: &mut Vec<Warning>) -> Result<Option<TlsConfig>> {
    let Some(mut section) = protocol.section("ssl")? else { return Ok(None) };
    section.ignore("mode");
    if section.is_blank() {
        return Ok(None);
    }
    let server_ca = pem(&mut section, "server_ca")?.ok_or_else(|| section.missing("server_ca"))?;
    let client = match (pem(&mut section, "client_cert")?, pem(&mut section, "client_key")?) {
        (Some(certificate), Some(key)) => Some((certificate, Secret::new(key))),
        (None, None) => None,
        (Some(_), None) => return Err(section.missing("client_key")),
        (None, Some(_)) => return Err(section.missing("client_cert")),
    };
    section.finish(warnings);
    Ok(Some(TlsConfig { server_ca, client }))
}

fn pem(section: &mut Section<'_>, key: &'static str) -> Result<Option<String>> {
    match section.string(key)? {
        Some(text) if !text.contains("-----BEGIN ") => {
            Err(section.wrong(key, "must be PEM text (-----BEGIN ...), not a path or other text"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn schema_registry(root: &mut Section<'_>, warnings: &mut Vec<Warning>) -> Result<Option<SchemaRegistryConfig>> {
    root.ignore("use_schema_registry");
    let Some(mut section) = root.section("schema_registry")? else { return Ok(None) };
    section.ignore("auth_type");
    let endpoint = section.string("endpoint")?;
    let username = section.string("username")?.map(str::to_owned);
    let (password, bearer_token) = (section.secret("password")?, section.secret("bearer_token")?);
    let Some(endpoint) = endpoint else {
        let blank = username.is_none() && password.is_none() && bearer_token.is_none();
        return if blank { Ok(None) } else { Err(section.missing("endpoint")) };
    };
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return Err(section.wrong("endpoint", "must be a URL that begins with http:// or https://"));
    }
    let config = SchemaRegistryConfig { endpoint: endpoint.to_owned(), username, password, bearer_token };
    section.finish(warnings);
    Ok(Some(config))
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
