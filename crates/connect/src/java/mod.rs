//! Patterns of Java's standard library, which configurations are written in.
//!
//! What differs from Java is written at each: [`DateFormat`] and [`JavaRegex`].

mod calendar;
mod date_format;
mod date_parse;
mod regex;
mod regex_syntax;

pub use self::date_format::DateFormat;
pub use self::regex::{JavaRegex, Replacement};
