//! Lines out of bytes that come in pieces.

use kanat_connect::data::Text;

/// Longest line, in bytes: what is longer ends the task.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that are not yet whole lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Bytes of lines that were taken already.
    start: usize,
}

impl Lines {
    /// Adds what was read.
    ///
    /// # Errors
    /// When the line that is open has become too long.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bytes.drain(..self.start);
        self.start = 0;
        if self.bytes.len() > LINE_BYTES_MAX {
            return Err(format!("a line is longer than {LINE_BYTES_MAX} bytes"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Bytes that belong to no whole line yet.
    pub(crate) fn open_bytes(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The next line without its end, and how many bytes it took with it. A carriage return ends a line too; the last
    /// byte may be the first half of an end, so it waits.
    pub(crate) fn take(&mut self) -> Option<(Text, usize)> {
        let open = &self.bytes[self.start..];
        let end = open.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let behind = match (open[end], open.get(end + 1)) {
            (b'\n', _) => end + 1,
            (_, None) => return None,
            (_, Some(b'\n')) => end + 2,
            (_, Some(_)) => end + 1,
        };
        let line = Text::from(String::from_utf8_lossy(&open[..end]).into_owned());
        self.start += behind;
        Some((line, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<(String, usize)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.extend(piece).unwrap();
            while let Some((line, bytes)) = lines.take() {
                found.push((line.to_string(), bytes));
            }
        }
        found
    }

    #[test]
    fn lines_end_as_in_java() {
        let expected = [("a", 2), ("b", 3), ("", 1), ("c", 2), ("\u{17e}", 3)];
        let expected = expected.map(|(line, bytes)| (line.to_owned(), bytes));
        assert_eq!(split(&[b"a\nb\r\n\nc\r\xc5\xbe\nopen"]), expected);
        // In any pieces.
        let bytes: Vec<&[u8]> = b"a\nb\r\n\nc\r\xc5\xbe\nopen".chunks(1).collect();
        assert_eq!(split(&bytes), expected);
    }
}
