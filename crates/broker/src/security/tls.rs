//! TLS of the listeners.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::options::{ListenerSecurity, TlsFiles};
use crate::{Error, Result};

/// How accepted streams are encrypted; `None` for listeners without TLS.
pub(crate) fn server_config(security: &ListenerSecurity) -> Result<Option<Arc<ServerConfig>>> {
    let Some(files) = &security.tls else { return Ok(None) };
    let config = from_files(files).map_err(|reason| Error::InvalidOption { option: "security", reason })?;
    Ok(Some(Arc::new(config)))
}

fn from_files(files: &TlsFiles) -> std::result::Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_authority {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authority)? {
                roots.add(certificate).map_err(|error| format!("client authority: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| format!("client authority: {error}"))?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes()).map_err(|error| format!("private key: {error}"))?;
    builder.with_single_cert(certificates(&files.certificates)?, key).map_err(|error| error.to_string())
}

fn certificates(pem: &str) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in the PEM text".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("certificate: {error}")),
    }
}
