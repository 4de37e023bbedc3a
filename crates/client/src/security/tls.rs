//! TLS options and the `rustls` configuration made from them, once per client.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::OnceCell;

use super::Pem;
use crate::error::{Error, Result};

/// How brokers prove who they are, and how this client does with a certificate.
///
/// The default trusts the authorities the system trusts, checks host names and shows no certificate. Files are read
/// once, when the client connects, on a thread that may block.
#[derive(Clone)]
pub struct TlsOptions {
    roots: Option<Pem>,
    identity: Option<Identity>,
    check: Check,
    server_name: Option<String>,
    ready: Option<Arc<ClientConfig>>,
    loaded: Arc<OnceCell<Arc<ClientConfig>>>,
}

/// What is checked of a broker's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Everything,
    AllButTheName,
    Nothing,
}

#[derive(Debug, Clone)]
struct Identity {
    certificates: Pem,
    key: Pem,
}

impl Default for TlsOptions {
    fn default() -> Self {
        TlsOptions {
            roots: None,
            identity: None,
            check: Check::Everything,
            server_name: None,
            ready: None,
            loaded: Arc::default(),
        }
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("roots", &self.roots)
            .field("identity", &self.identity)
            .field("check", &self.check)
            .field("server_name", &self.server_name)
            .field("ready", &self.ready.is_some())
            .finish_non_exhaustive()
    }
}

impl TlsOptions {
    /// Trusts these authorities (or self-signed certificates) instead of the system's.
    pub fn with_roots(self, roots: Pem) -> Self {
        TlsOptions { roots: Some(roots), ..self.changed() }
    }

    /// Shows a certificate to brokers that ask for one: the chain, own certificate first, and its private key (PKCS#8,
    /// PKCS#1 or SEC1, not encrypted). Both may be the same PEM.
    pub fn with_identity(self, certificates: Pem, key: Pem) -> Self {
        TlsOptions { identity: Some(Identity { certificates, key }), ..self.changed() }
    }

    /// Whether the broker's certificate must be valid for the host connected to. Off, any certificate of a trusted
    /// authority will do: whoever has one can play the broker.
    pub fn with_hostname_check(self, hostname_check: bool) -> Self {
        let check = if hostname_check { Check::Everything } else { Check::AllButTheName };
        TlsOptions { check, ..self.changed() }
    }

    /// Accepts any certificate: what is sent is encrypted, for whoever answers. For brokers under test only.
    pub fn without_certificate_check(self) -> Self {
        TlsOptions { check: Check::Nothing, ..self.changed() }
    }

    /// Name to ask for (SNI) and to check instead of the host connected to, for tunnels and load balancers.
    pub fn with_server_name(self, server_name: impl Into<String>) -> Self {
        TlsOptions { server_name: Some(server_name.into()), ..self.changed() }
    }

    /// Uses a configuration made elsewhere; the other settings here, except the server name, are then not looked at.
    pub fn with_config(self, config: Arc<ClientConfig>) -> Self {
        TlsOptions { ready: Some(config), ..self.changed() }
    }

    /// The same options without what was loaded for the old ones.
    fn changed(self) -> Self {
        TlsOptions { loaded: Arc::default(), ..self }
    }

    /// The name to verify for a host.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| Error::InvalidOption {
            option: "security.tls server name".to_owned(),
            reason: format!("{name:?} is neither a DNS name nor an IP address"),
        })
    }

    /// The configuration, made at first use and kept. A failure is tried again next time.
    pub(crate) async fn config(&self) -> Result<Arc<ClientConfig>> {
        if let Some(ready) = &self.ready {
            return Ok(Arc::clone(ready));
        }
        let load = || async {
            let options = self.clone();
            let loading = tokio::task::spawn_blocking(move || options.load());
            loading.await.unwrap_or_else(|panicked| Err(invalid("tls", panicked.to_string()))).map(Arc::new)
        };
        self.loaded.get_or_try_init(load).await.map(Arc::clone)
    }

    /// Reads the files. Blocks on the disk.
    fn load(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("protocols", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some(identity) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let certificates = identity.certificates.certificates("security.tls client certificate")?;
        let key = identity.key.private_key("security.tls client key")?;
        builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| invalid("client certificate and key", format!("do not go together: {error}")))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
        if self.check == Check::Nothing {
            return Ok(Arc::new(Anybody { provider: Arc::clone(provider) }));
        }
        let roots = Arc::new(self.root_store()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| invalid("roots", error.to_string()))?;
        if self.check == Check::Everything { Ok(verifier) } else { Ok(Arc::new(AnyName { verifier })) }
    }

    fn root_store(&self) -> Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        let Some(roots) = &self.roots else {
            let found = rustls_native_certs::load_native_certs();
            // Systems carry certificates nobody can parse; the others count.
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
                let reason = format!("the system has no trusted certificates ({}); name a PEM file", errors.join("; "));
                return Err(invalid("roots", reason));
            }
            return Ok(store);
        };
        for certificate in roots.certificates("security.tls roots")? {
            store
                .add(certificate)
                .map_err(|error| invalid("roots", format!("hold an unusable certificate: {error}")))?;
        }
        Ok(store)
    }
}

fn invalid(what: &str, reason: String) -> Error {
    Error::InvalidOption { option: format!("security.tls {what}"), reason }
}

/// Checks everything but the host name.
#[derive(Debug)]
struct AnyName {
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        // The chain is verified before the name, so an error about the name says that the chain is good.
        match self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Checks only that the broker has the key of the certificate it shows.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
