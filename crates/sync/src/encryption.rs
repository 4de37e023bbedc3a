//! Encrypted configuration files: a JSON string that holds base64 of nonce and AES-256-GCM ciphertext
//! under the SHA-256 of the key.

use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes of the nonce in front of the ciphertext.
const NONCE_BYTES: usize = 12;

/// What a key managed by AWS begins with.
const KMS_PREFIX: &str = "arn:aws:kms:";

/// The plain text of an encrypted file; `file` names it in errors.
///
/// # Errors
/// [`Error::Decryption`] when the content is no encrypted text or the key is another,
/// [`Error::NotSupported`] for a key in AWS KMS.
pub(crate) fn decrypt(content: &str, key: &str, file: &str) -> Result<String> {
    if key.starts_with(KMS_PREFIX) {
        return Err(Error::not_supported("command line", "--encryption-key", "a key in AWS KMS"));
    }
    let fail = |reason: &str| Error::Decryption { file: file.to_owned(), reason: reason.to_owned() };
    let encoded: String =
        serde_json::from_str(content.trim()).map_err(|_| fail("the file is not one JSON string of base64"))?;
    let sealed = STANDARD.decode(encoded.trim()).map_err(|_| fail("the string is not base64"))?;
    let Some((nonce, ciphertext)) = sealed.split_at_checked(NONCE_BYTES) else {
        return Err(fail("the text is too short"));
    };
    let plain = cipher(key)
        .decrypt(Nonce::from_slice(nonce), ciphertext)
        .map_err(|_| fail("--encryption-key is not the key it was encrypted with, or the file was changed"))?;
    String::from_utf8(plain).map_err(|_| fail("the decrypted content is not text"))
}

fn cipher(key: &str) -> Aes256Gcm {
    Aes256Gcm::new(&Sha256::digest(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encrypted with Go's crypto/cipher conventions: nonce, ciphertext, tag.
    fn encrypt(plain: &str, key: &str) -> String {
        let nonce = [7_u8; NONCE_BYTES];
        let ciphertext = cipher(key).encrypt(Nonce::from_slice(&nonce), plain.as_bytes()).unwrap();
        format!("{:?}\n", STANDARD.encode([nonce.as_slice(), &ciphertext].concat()))
    }

    #[test]
    fn an_encrypted_file_reads_as_its_plain_text() {
        let text = encrypt("{\"a\":1}", "open sesame");
        assert_eq!(decrypt(&text, "open sesame", "source.json").unwrap(), "{\"a\":1}");
    }

    #[test]
    fn faults_say_what_to_change_and_show_no_secret() {
        let text = encrypt("{\"password\":\"hunter2\"}", "open sesame");
        let short = format!("{:?}", STANDARD.encode([1, 2, 3]));
        for (content, key, sentence) in [
            (
                text.as_str(),
                "other",
                "cannot decrypt source.json: --encryption-key is not the key it was encrypted with",
            ),
            ("{}", "k", "cannot decrypt source.json: the file is not one JSON string of base64"),
            ("\"***\"", "k", "cannot decrypt source.json: the string is not base64"),
            (short.as_str(), "k", "cannot decrypt source.json: the text is too short"),
            (
                text.as_str(),
                "arn:aws:kms:eu-west-1:1:key/2",
                "command line: --encryption-key: a key in AWS KMS is not supported",
            ),
        ] {
            let error = decrypt(content, key, "source.json").unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}\n{sentence}");
            assert!(!error.contains("hunter2"));
        }
    }
}
