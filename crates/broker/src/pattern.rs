//! Regular expressions of clients: bounded in size and steps, and matched against whole names.

use fancy_regex::{Regex, RegexBuilder};
use kanat_protocol::ErrorCode;

use crate::error::Refusal;

/// Memory of one compiled pattern, bytes.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;
/// Steps back one match may take.
const BACKTRACKS_MAX: usize = 10_000;

/// A regular expression that matches whole names.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles a client's pattern.
    pub(crate) fn new(pattern: &str) -> Result<Self, Refusal> {
        let mut builder = RegexBuilder::new(&format!("^(?:{pattern})$"));
        let built = builder.delegate_size_limit(COMPILED_BYTES_MAX).backtrack_limit(BACKTRACKS_MAX).build();
        built.map(Self).map_err(|error| Refusal::new(ErrorCode::InvalidRegularExpression, error.to_string()))
    }

    /// Whether the pattern matches all of `name`. A match that takes too many steps is none.
    pub(crate) fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name).unwrap_or(false)
    }
}
