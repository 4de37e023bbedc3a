//! Certificates and keys in PEM, from a file or given as text.

use std::fmt;
use std::path::PathBuf;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Secret;
use crate::error::{Error, Result};

/// Largest PEM file read, in bytes. The certificates of a whole system take a fraction of it.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// PEM text: certificates, a private key, or both.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// Read from this file when the client connects.
    File(PathBuf),
    /// The text itself.
    Text(Secret),
}

impl Pem {
    /// A file, read when the client connects.
    pub fn file(path: impl Into<PathBuf>) -> Pem {
        Pem::File(path.into())
    }

    /// The text itself.
    pub fn text(text: impl Into<Secret>) -> Pem {
        Pem::Text(text.into())
    }

    /// The certificates. Blocks on the disk.
    pub(super) fn certificates(&self, option: &str) -> Result<Vec<CertificateDer<'static>>> {
        let text = self.read(option)?;
        let certificates: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let certificates = certificates.map_err(|error| self.invalid(option, &format!("is damaged: {error}")))?;
        if certificates.is_empty() {
            return Err(self.invalid(option, "holds no certificate (BEGIN CERTIFICATE)"));
        }
        Ok(certificates)
    }

    /// The private key: PKCS#8, PKCS#1 or SEC1. Blocks on the disk.
    pub(super) fn private_key(&self, option: &str) -> Result<PrivateKeyDer<'static>> {
        let text = self.read(option)?;
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(self.invalid(option, "holds an encrypted key: decrypt it first, with openssl pkey"));
        }
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
            self.invalid(option, "holds no private key (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")
        })
    }

    fn read(&self, option: &str) -> Result<String> {
        let path = match self {
            Pem::Text(text) => return Ok(text.reveal().to_owned()),
            Pem::File(path) => path,
        };
        let length = std::fs::metadata(path).map(|found| found.len());
        if length.is_ok_and(|length| length > FILE_BYTES_MAX) {
            return Err(self.invalid(option, "is larger than 16 MiB: name a PEM file"));
        }
        let bytes = std::fs::read(path).map_err(|error| self.invalid(option, &format!("cannot be read: {error}")))?;
        if looks_like_java_store(&bytes) {
            let advice = "is a JKS or PKCS12 store, not PEM: convert it, with openssl pkcs12 -nodes or keytool";
            return Err(self.invalid(option, advice));
        }
        String::from_utf8(bytes).map_err(|_| self.invalid(option, "is not PEM text"))
    }

    fn invalid(&self, option: &str, reason: &str) -> Error {
        let what = match self {
            Pem::File(path) => format!("file {}", path.display()),
            Pem::Text(_) => "the text".to_owned(),
        };
        Error::InvalidOption { option: option.to_owned(), reason: format!("{what} {reason}") }
    }
}

/// JKS begins with a magic number; PKCS#12 is a DER sequence.
fn looks_like_java_store(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFE, 0xED, 0xFE, 0xED]) || bytes.starts_with(&[0x30, 0x82]) || bytes.starts_with(&[0x30, 0x80])
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => f.debug_tuple("File").field(path).finish(),
            Pem::Text(text) => f.debug_tuple("Text").field(text).finish(),
        }
    }
}
