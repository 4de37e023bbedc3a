//! Who a client certificate says its owner is: the subject's distinguished name as Java writes it (RFC 2253), which is
//! what ACLs of Kafka name: `CN=billing,OU=payments,O=Example,C=DE`.
//!
//! The certificate was checked by TLS before. Here only its outermost structure is walked; what is not as it should be
//! gives no name.

use std::fmt::Write;

/// Attribute types that have a keyword in RFC 2253, by their encoded object identifier.
const KEYWORDS: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// Characters that stand behind a backslash.
const ESCAPED: &str = ",=+<>#;\"\\";

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// Version of the certificate, absent in the first.
const VERSION: u8 = 0xa0;

/// The subject of a certificate in DER.
pub(crate) fn subject(certificate: &[u8]) -> Option<String> {
    let mut outer = Der(certificate);
    let mut signed = Der(Der(outer.expect(SEQUENCE)?).expect(SEQUENCE)?);
    if signed.0.first() == Some(&VERSION) {
        signed.next()?;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        signed.next()?;
    }
    let mut names = Der(signed.expect(SEQUENCE)?);
    let mut parts = Vec::new();
    while !names.0.is_empty() {
        let mut set = Der(names.expect(SET)?);
        let mut attributes = Vec::new();
        while !set.0.is_empty() {
            attributes.push(attribute(set.expect(SEQUENCE)?)?);
        }
        parts.push(attributes.join("+"));
    }
    // The most specific part comes first in text and last in the certificate.
    parts.reverse();
    Some(parts.join(","))
}

/// `TYPE=value`; a type without a keyword is its number, and its value is in hexadecimal.
fn attribute(content: &[u8]) -> Option<String> {
    let mut content = Der(content);
    let kind = content.expect(OBJECT_IDENTIFIER)?;
    let encoded = content.0;
    let (tag, value) = content.next()?;
    let keyword = KEYWORDS.iter().find(|(identifier, _)| *identifier == kind).map(|(_, keyword)| *keyword);
    match keyword.zip(decode(tag, value)) {
        Some((keyword, value)) => Some(format!("{keyword}={}", escape(&value))),
        None => {
            let kind = keyword.map_or_else(|| dotted(kind), |keyword| Some(keyword.to_owned()))?;
            let mut text = format!("{kind}=#");
            for byte in &encoded[..encoded.len() - content.0.len()] {
                write!(text, "{byte:02x}").ok()?;
            }
            Some(text)
        }
    }
}

/// Text of the string types names are written in.
fn decode(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, PrintableString, IA5String.
        0x0c | 0x13 | 0x16 => String::from_utf8(value.to_vec()).ok(),
        // T61String, which everybody writes as Latin-1.
        0x14 => Some(value.iter().map(|byte| char::from(*byte)).collect()),
        // BMPString.
        0x1e if value.len().is_multiple_of(2) => {
            let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

fn escape(value: &str) -> String {
    let outer_spaces = |index: usize| value[..index].trim().is_empty() || value[index..].trim().is_empty();
    let mut escaped = String::with_capacity(value.len());
    for (index, character) in value.char_indices() {
        if ESCAPED.contains(character) || (character == ' ' && outer_spaces(index)) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// An object identifier as numbers with dots.
fn dotted(identifier: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in identifier {
        number = number.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    // The first two are packed into one.
    let first = numbers.first().copied()?;
    let root = (first / 40).min(2);
    let rest = numbers[1..].iter().map(|number| format!(".{number}"));
    Some(format!("{root}.{}{}", first - root * 40, rest.collect::<String>()))
}

/// The values that are left of a DER encoding.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Tag and content of the next value.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first & 0x7f);
        if first & 0x80 != 0 {
            // The length of the length: four bytes are enough for anything real.
            let (bytes, behind) = rest.split_at_checked(length).filter(|_| (1..=4).contains(&length))?;
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = behind;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut name = DistinguishedName::new();
        for (kind, value) in parts {
            name.push(kind.clone(), *value);
        }
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = name;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_subject_reads_as_in_java() {
        let name = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example, Inc. #1"),
            (DnType::OrganizationalUnitName, " pay=ments "),
            (DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "a@b"),
            (DnType::CommonName, "bill\u{00fc}ng"),
        ];
        let subject = subject(&certificate(&name)).unwrap();
        let email = "1.2.840.113549.1.9.1=#0c03614062";
        assert_eq!(subject, format!(r"CN=billüng,{email},OU=\ pay\=ments\ ,O=Example\, Inc. \#1,C=DE"));
    }

    #[test]
    fn a_cut_or_changed_certificate_gives_a_name_or_none_but_no_panic() {
        let whole = certificate(&[(DnType::CommonName, "billing")]);
        assert_eq!(subject(&whole).as_deref(), Some("CN=billing"));
        for length in 0..whole.len() {
            assert_eq!(subject(&whole[..length]), None, "{length}");
        }
        for index in 0..whole.len() {
            for change in [0x00, 0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[index] ^= change;
                let _ = subject(&changed);
            }
        }
    }
}
