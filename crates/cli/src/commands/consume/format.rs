//! What is printed for a record: a text with placeholders, as kcat has them.

use std::io::{self, Write};

use kanat_protocol::batch::Record;

use crate::commands::when;

/// A piece of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
    Topic,
    Partition,
    Offset,
    Timestamp,
    Date,
}

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
}

impl Format {
    /// Reads `%` placeholders and `\` escapes.
    pub(crate) fn parse(text: &str) -> Result<Format, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            let piece = match next {
                '%' => match rest.next() {
                    Some('%') => {
                        literal.push(b'%');
                        continue;
                    }
                    found => placeholder(found)?,
                },
                '\\' => {
                    literal.push(escape(&mut rest)?);
                    continue;
                }
                other => {
                    literal.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Format { pieces })
    }

    /// A value a line, behind its key if a separator is given.
    pub(super) fn lines(key_separator: Option<&str>) -> Format {
        let mut pieces = Vec::new();
        if let Some(separator) = key_separator {
            pieces.extend([Piece::Key, Piece::Text(separator.as_bytes().to_vec())]);
        }
        pieces.extend([Piece::Value, Piece::Text(b"\n".to_vec())]);
        Format { pieces }
    }

    /// Writes one record; `null` stands for keys, values and header values that are null.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        topic: &str,
        partition: i32,
        record: &Record<'_>,
        null: &[u8],
    ) -> io::Result<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Key => out.write_all(record.key.unwrap_or(null))?,
                Piece::KeyLength => write!(out, "{}", length(record.key))?,
                Piece::Value => out.write_all(record.value.unwrap_or(null))?,
                Piece::ValueLength => write!(out, "{}", length(record.value))?,
                Piece::Headers => write_headers(out, record, null)?,
                Piece::Topic => out.write_all(topic.as_bytes())?,
                Piece::Partition => write!(out, "{partition}")?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Timestamp => write!(out, "{}", record.timestamp)?,
                Piece::Date => out.write_all(when::show(record.timestamp).as_bytes())?,
            }
        }
        Ok(())
    }
}

/// Length in bytes, -1 for null.
fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

/// `key=value`, separated by commas.
fn write_headers(out: &mut impl Write, record: &Record<'_>, null: &[u8]) -> io::Result<()> {
    for (index, header) in record.headers().enumerate() {
        let (key, value) = header.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(key)?;
        out.write_all(b"=")?;
        out.write_all(value.unwrap_or(null))?;
    }
    Ok(())
}

fn placeholder(letter: Option<char>) -> Result<Piece, String> {
    Ok(match letter {
        Some('k') => Piece::Key,
        Some('K') => Piece::KeyLength,
        Some('v' | 's') => Piece::Value,
        Some('V' | 'S') => Piece::ValueLength,
        Some('h') => Piece::Headers,
        Some('t') => Piece::Topic,
        Some('p') => Piece::Partition,
        Some('o') => Piece::Offset,
        Some('T') => Piece::Timestamp,
        Some('D') => Piece::Date,
        Some(other) => return Err(format!("%{other} is unknown: there are %k %K %v %V %h %t %p %o %T %D and %%")),
        None => return Err("ends in %: write %% for the sign itself".to_owned()),
    })
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<u8, String> {
    Ok(match rest.next() {
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('r') => b'\r',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits: String = rest.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits} is no byte: two hex digits follow \\x"))?
        }
        Some(other) => return Err(format!("\\{other} is unknown: there are \\n \\t \\r \\0 \\xHH and \\\\")),
        None => return Err("ends in \\: write \\\\ for the sign itself".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_escapes_are_read() {
        let text = |bytes: &[u8]| Piece::Text(bytes.to_vec());
        let pieces = Format::parse(r"%t[%p]@%o %D\t%k=%s\x00%%\n").unwrap().pieces;
        let expected = [
            Piece::Topic,
            text(b"["),
            Piece::Partition,
            text(b"]@"),
            Piece::Offset,
            text(b" "),
            Piece::Date,
            text(b"\t"),
            Piece::Key,
            text(b"="),
            Piece::Value,
            text(b"\0%\n"),
        ];
        assert_eq!(pieces, expected);
        for wrong in ["%", "%q", "\\", "\\q", "\\xz1"] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
    }
}
