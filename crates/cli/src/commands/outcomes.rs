//! What became of each of several things: every success and every failure is told, and one failure fails the command.

use kanat_sync::{Error, Result};
use serde_json::json;

use crate::output::{complain, line};

/// Tells of each item whether it was `done`: with `json` as an object on standard output, else as a sentence on standard
/// error. `action` says what was tried.
///
/// # Errors
/// The last failure; those before it are on standard error.
pub(super) fn tell<T>(
    json: bool,
    items: impl IntoIterator<Item = (String, kanat_client::Result<T>)>,
    action: &str,
    done: &str,
) -> Result<()> {
    let mut last = None;
    for (name, outcome) in items {
        match outcome {
            Ok(_) if json => line(&json!({"name": name, "error": null}).to_string()),
            Ok(_) => complain(&format!("{name} {done}")),
            Err(error) => {
                if json {
                    line(&json!({"name": name, "error": error.to_string()}).to_string());
                }
                if let Some(earlier) = last.replace(Error::kafka(format!("{action} {name}"), error)) {
                    complain(&format!("error[{}]: {earlier}", earlier.code()));
                }
            }
        }
    }
    last.map_or(Ok(()), Err)
}
