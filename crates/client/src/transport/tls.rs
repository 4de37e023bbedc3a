//! TLS on top of a stream, and what to change when it fails.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};
use tokio_rustls::TlsConnector;

use super::{BoxedTransport, Transport, address};
use crate::error::{Error, Result};
use crate::security::TlsOptions;

/// Runs the handshake and returns the encrypted stream.
pub(super) async fn wrap<S: Transport + 'static>(
    address: &Arc<str>,
    stream: S,
    tls: &TlsOptions,
) -> Result<BoxedTransport> {
    let config = tls.config().await?;
    let (host, _) = address::split(address)?;
    let name = tls.server_name(host)?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(failure(address, &error)),
    }
}

/// A failed handshake: final when certificates or settings are wrong, worth another try when the stream broke.
fn failure(address: &Arc<str>, error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(inner) => Error::Tls { address: Arc::clone(address), reason: explain(inner) },
        None => Error::Connect {
            address: Arc::clone(address),
            reason: format!("TLS handshake: {error}; is this the port of an SSL or SASL_SSL listener?"),
        },
    }
}

/// The error and what the user can change.
fn explain(error: &rustls::Error) -> String {
    let advice = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the broker's certificate is of an authority this client does not trust: add it to the roots \
             (ssl.truststore.*)"
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the broker's certificate has expired: renew it, or set this machine's clock"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "connect by a name the certificate has, or turn the host name check off \
             (ssl.endpoint.identification.algorithm=)"
        }
        rustls::Error::InvalidMessage(_) => "is this the port of an SSL or SASL_SSL listener?",
        rustls::Error::AlertReceived(alert) => alert_advice(*alert),
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}

fn alert_advice(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => {
            "the broker wants a client certificate: give one (ssl.keystore.*)"
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::DecryptError => "the broker refuses this client's certificate (ssl.keystore.*)",
        _ => "the broker refused the handshake",
    }
}

/// A connection lost before its first answer because of an alert: TLS 1.3 brokers tell what they think of the client's
/// certificate only after the handshake.
pub(crate) fn late_alert(error: Error) -> Error {
    match error {
        Error::ConnectionLost { address, reason, .. } if reason.contains("fatal alert") => {
            let advice = if reason.contains("CertificateRequired") {
                alert_advice(AlertDescription::CertificateRequired)
            } else {
                alert_advice(AlertDescription::BadCertificate)
            };
            Error::Tls { address, reason: format!("{reason}; {advice}") }
        }
        other => other,
    }
}
