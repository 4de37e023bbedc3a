//! Keys of TLS and SASL.

use super::row::Row;
use super::tls::Tls;
use super::{invalid, sasl::Login};
use crate::error::Result;
use crate::security::{Security, SecurityProtocol};

const RUSTLS: &str = "TLS is rustls: what Java's providers are asked for does not arise";
const OWN_CONFIG: &str = "give `TlsOptions::with_config` a configuration of your own";
const REFRESH: &str = "a token is fetched anew when a fifth of its lifetime is left";
const BROKER_ONLY: &str = "for brokers, which check tokens";
const KERBEROS: &str = "for GSSAPI only, which is refused";
const RETRIED: &str = "a token is asked for again with the next attempt to connect";
const STORE_PASSWORD: &str = "PEM has no password, and other stores are refused";

/// What the keys say, before it is put together.
#[derive(Debug, Default)]
pub(super) struct Draft {
    protocol: SecurityProtocol,
    tls: Tls,
    login: Login,
}

impl Draft {
    /// Looks only at what the protocol uses, as Java does.
    pub(super) fn finish(self) -> Result<Security> {
        let Draft { protocol, tls, login } = self;
        let mut security = Security { protocol, ..Security::default() };
        if protocol.uses_tls() {
            security.tls = tls.finish().map_err(|(key, reason)| invalid(key, reason))?;
        }
        if protocol.uses_sasl() {
            security.sasl = Some(login.finish().map_err(|(key, reason)| invalid(key, reason))?);
        }
        Ok(security)
    }
}

const PROTOCOLS: &[(&str, SecurityProtocol)] = &[
    ("PLAINTEXT", SecurityProtocol::Plaintext),
    ("SSL", SecurityProtocol::Ssl),
    ("SASL_PLAINTEXT", SecurityProtocol::SaslPlaintext),
    ("SASL_SSL", SecurityProtocol::SaslSsl),
];

pub(super) const ROWS: &[Row<Draft>] = &[
    Row::sets("security.protocol", "`Security::protocol`", |draft, value| {
        draft.protocol = value.choice(PROTOCOLS)?;
        Ok(())
    }),
    Row::sets("ssl.truststore.type", "`PEM`; `JKS` and `PKCS12` are refused", |draft, value| {
        draft.tls.trust_type = value.text();
        Ok(())
    }),
    Row::sets("ssl.truststore.location", "`TlsOptions::with_roots`, a PEM file", |draft, value| {
        draft.tls.trust_location = value.text();
        Ok(())
    }),
    Row::sets("ssl.truststore.certificates", "`TlsOptions::with_roots`, PEM text", |draft, value| {
        draft.tls.trust_certificates = value.secret();
        Ok(())
    }),
    Row::nothing("ssl.truststore.password", STORE_PASSWORD),
    Row::sets("ssl.keystore.type", "`PEM`; `JKS` and `PKCS12` are refused", |draft, value| {
        draft.tls.key_type = value.text();
        Ok(())
    }),
    Row::sets(
        "ssl.keystore.location",
        "`TlsOptions::with_identity`, a PEM file of key and certificates",
        |draft, value| {
            draft.tls.key_location = value.text();
            Ok(())
        },
    ),
    Row::sets(
        "ssl.keystore.certificate.chain",
        "`TlsOptions::with_identity`, PEM text, own certificate first",
        |draft, value| {
            draft.tls.chain = value.secret();
            Ok(())
        },
    ),
    Row::sets("ssl.keystore.key", "`TlsOptions::with_identity`, PEM text, not encrypted", |draft, value| {
        draft.tls.key = value.secret();
        Ok(())
    }),
    Row::nothing("ssl.keystore.password", STORE_PASSWORD),
    Row::sets("ssl.key.password", "refused beside a PEM key: decrypt the key first", |draft, value| {
        draft.tls.key_has_password = value.text().is_some();
        Ok(())
    }),
    Row::sets(
        "ssl.endpoint.identification.algorithm",
        "`TlsOptions::with_hostname_check`: `https` on, empty off",
        |draft, value| {
            draft.tls.hostname_unchecked = value.choice(&[("https", false), ("", true)])?;
            Ok(())
        },
    ),
    Row::sets(
        "ssl.enabled.protocols",
        "must hold `TLSv1.2`; 1.2 and 1.3 are always offered, older ones never",
        |_, value| match value.list().any(|name| name == "TLSv1.2") {
            true => Ok(()),
            false => value.wrong("must hold TLSv1.2: a client of TLS 1.3 alone needs TlsOptions::with_config"),
        },
    ),
    Row::nothing("ssl.protocol", "the newest version of TLS that both sides have is used"),
    Row::refused("ssl.cipher.suites", OWN_CONFIG),
    Row::refused("ssl.engine.factory.class", OWN_CONFIG),
    Row::nothing("ssl.provider", RUSTLS),
    Row::nothing("ssl.keymanager.algorithm", RUSTLS),
    Row::nothing("ssl.trustmanager.algorithm", RUSTLS),
    Row::nothing("ssl.secure.random.implementation", RUSTLS),
    Row::nothing("security.providers", RUSTLS),
    Row::sets(
        "sasl.mechanism",
        "`Security::sasl`: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER`, `AWS_MSK_IAM`; `GSSAPI`, Java's \
         default, is refused",
        |draft, value| {
            draft.login.mechanism = value.text();
            Ok(())
        },
    ),
    Row::sets("sasl.jaas.config", "user name, password and what else the login module takes", |draft, value| {
        draft.login.jaas = value.secret();
        Ok(())
    }),
    Row::sets(
        "sasl.client.callback.handler.class",
        "`IAMClientCallbackHandler`, which is not needed; others are refused",
        |_, value| value.handler(&["IAMClientCallbackHandler", "OAuthBearerSaslClientCallbackHandler"]),
    ),
    Row::sets(
        "sasl.login.callback.handler.class",
        "`OAuthBearerLoginCallbackHandler`; others are refused",
        |_, value| value.handler(&["OAuthBearerLoginCallbackHandler", "OAuthBearerUnsecuredLoginCallbackHandler"]),
    ),
    Row::refused("sasl.login.class", "classes are Java's: use `OAuthBearer::from_callback`"),
    Row::sets(
        "sasl.oauthbearer.token.endpoint.url",
        "`OidcClientCredentials`: the endpoint, `https://` or `http://`",
        |draft, value| {
            draft.login.token_endpoint = value.text();
            match value.0.starts_with("https://") || value.0.starts_with("http://") || value.0.is_empty() {
                true => Ok(()),
                false => value.wrong("must begin with https://; tokens of a file need OAuthBearer::from_callback"),
            }
        },
    ),
    Row::sets(
        "sasl.oauthbearer.client.credentials.client.id",
        "`OidcClientCredentials`: the client",
        |draft, value| {
            draft.login.client_id = value.text();
            Ok(())
        },
    ),
    Row::sets(
        "sasl.oauthbearer.client.credentials.client.secret",
        "`OidcClientCredentials`: its secret",
        |draft, value| {
            draft.login.client_secret = value.secret();
            Ok(())
        },
    ),
    Row::sets("sasl.oauthbearer.scope", "`OidcClientCredentials::with_scope`", |draft, value| {
        draft.login.scope = value.text();
        Ok(())
    }),
    Row::sets(
        "sasl.oauthbearer.jwt.retriever.class",
        "`DefaultJwtRetriever`, `ClientCredentialsJwtRetriever`; others are refused",
        |_, value| value.handler(&["DefaultJwtRetriever", "ClientCredentialsJwtRetriever"]),
    ),
    Row::sets("sasl.oauthbearer.header.urlencode", "`false`, which is what happens; `true` is refused", |_, value| {
        value.choice(&[("false", ())])
    }),
    Row::sets(
        "sasl.login.read.timeout.ms",
        "`OidcClientCredentials::with_request_timeout_ms`, connecting included",
        |draft, value| {
            let mut millis = 0;
            value.some_millis(&mut millis)?;
            draft.login.token_timeout_ms = Some(millis);
            Ok(())
        },
    ),
    Row::nothing("sasl.login.connect.timeout.ms", "`sasl.login.read.timeout.ms` bounds the whole request"),
    Row::nothing("sasl.login.retry.backoff.ms", RETRIED),
    Row::nothing("sasl.login.retry.backoff.max.ms", RETRIED),
    Row::nothing("sasl.login.refresh.window.factor", REFRESH),
    Row::nothing("sasl.login.refresh.window.jitter", REFRESH),
    Row::nothing("sasl.login.refresh.min.period.seconds", REFRESH),
    Row::nothing("sasl.login.refresh.buffer.seconds", REFRESH),
    Row::nothing("sasl.oauthbearer.scope.claim.name", "the client does not look into its token"),
    Row::nothing("sasl.oauthbearer.sub.claim.name", "the client does not look into its token"),
    Row::nothing("sasl.oauthbearer.jwks.endpoint.url", BROKER_ONLY),
    Row::nothing("sasl.oauthbearer.expected.audience", BROKER_ONLY),
    Row::nothing("sasl.oauthbearer.expected.issuer", BROKER_ONLY),
    Row::nothing("sasl.oauthbearer.clock.skew.seconds", BROKER_ONLY),
    Row::nothing("sasl.kerberos.service.name", KERBEROS),
    Row::nothing("sasl.kerberos.kinit.cmd", KERBEROS),
    Row::nothing("sasl.kerberos.min.time.before.relogin", KERBEROS),
    Row::nothing("sasl.kerberos.ticket.renew.jitter", KERBEROS),
    Row::nothing("sasl.kerberos.ticket.renew.window.factor", KERBEROS),
];
