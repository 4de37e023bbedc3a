//! Standard output, in one of two forms: a readable view for a person at a terminal, messages as JSON
//! lines for a program. Warnings and failures also go to standard error, as sentences, in both. The tools have data only
//! on standard output.

mod json;
mod rows;
mod terminal;

use std::io::{self, IsTerminal, Write};

use kanat_sync::Error;
use kanat_sync::config::Warning;
use kanat_sync::message::{Level, Message};

pub(crate) use self::rows::Rows;

/// Who reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A person.
    Terminal,
    /// A program.
    Json,
    /// Whoever wants the data of a tool: whatever else there is to say goes to standard error.
    Data,
}

impl Output {
    /// A person reads a terminal; a program reads anything else.
    pub(crate) fn detect() -> Self {
        if io::stdout().is_terminal() { Self::Terminal } else { Self::Json }
    }

    /// Prints a message.
    pub(crate) fn message(self, message: Message<'_>) {
        match self {
            Self::Terminal => line(&terminal::render(message)),
            Self::Json => line(&json::render(message)),
            Self::Data => complain(&terminal::render(message)),
        }
    }

    /// Says what is going on.
    pub(crate) fn info(self, text: &str) {
        self.message(Message::Log(Level::Info, text));
    }

    /// Reports what somebody may want to change.
    pub(crate) fn warnings(self, warnings: &[Warning]) {
        for warning in warnings {
            self.warn(&warning.to_string());
        }
    }

    /// Reports what somebody may want to change.
    pub(crate) fn warn(self, text: &str) {
        if self == Self::Json {
            self.message(Message::Log(Level::Warn, text));
        }
        complain(&format!("warning: {text}"));
    }

    /// Reports why the verb failed.
    pub(crate) fn failure(self, error: &Error) {
        if self == Self::Json {
            self.message(Message::Failure(error));
        }
        complain(&format!("error[{}]: {error}", error.code()));
    }
}

/// Prints a line. A reader that is gone is no reason to fail: whoever closed the pipe knows.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints a line to standard error.
pub(crate) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// Columns of text under a heading, aligned; numbers (`true` in `right`) to the right.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>], right: &[bool]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut text = String::new();
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        let mut rendered = String::new();
        for (index, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[index].saturating_sub(cell.chars().count()));
            let (before, after) =
                if right.get(index) == Some(&true) { (padding.as_str(), "") } else { ("", padding.as_str()) };
            rendered.push_str(before);
            rendered.push_str(cell);
            rendered.push_str(after);
            rendered.push_str("  ");
        }
        text.push_str(rendered.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// A count with thousands set apart: `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things: `1 member`, `1,234 members`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count as u64))
}

/// A number of bytes in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (count, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(count), expected);
        }
        assert_eq!(
            (counted(1, "member"), counted(2_000, "member")),
            ("1 member".to_owned(), "2,000 members".to_owned())
        );
        for (count, expected) in [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_000_000_000, "2.0 GB")] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn tables_align() {
        let rows = vec![vec!["a".to_owned(), "7".to_owned()], vec!["long name".to_owned(), "12".to_owned()]];
        assert_eq!(table(&["topic", "n"], &rows, &[false, true]), "topic       n\na           7\nlong name  12");
    }
}
