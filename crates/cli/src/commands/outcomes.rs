//! What became of several things that were asked for at once: each failure is told, and one failure fails the command.

use kanat_client::Error as ClientError;
use kanat_sync::{Error, Result};
use serde_json::json;

use crate::output::{complain, line};

/// Things that failed for the same reason whose names are told; the others are counted.
const NAMED_MAX: usize = 5;

/// Tells of each item whether it was `done`: with `json` as an object on standard output, else as a sentence on standard
/// error. `action` says what was tried. Items that failed for one reason are told in one line.
///
/// # Errors
/// The last reason; those before it are on standard error.
pub(super) fn tell<T>(
    json: bool,
    items: impl IntoIterator<Item = (String, kanat_client::Result<T>)>,
    action: &str,
    done: &str,
) -> Result<()> {
    let mut failures: Vec<Failure> = Vec::new();
    for (name, outcome) in items {
        match outcome {
            Ok(_) if json => line(&json!({"name": name, "error": null}).to_string()),
            Ok(_) => complain(&format!("{name} {done}")),
            Err(error) => {
                let failure = Failure::new(name, &error);
                if json {
                    line(&json!({"name": failure.names[0], "error": failure.reason()}).to_string());
                }
                match failures.iter_mut().find(|known| known.kind == failure.kind) {
                    Some(known) => known.add(failure),
                    None => failures.push(failure),
                }
            }
        }
    }
    let last = failures.pop();
    for failure in failures {
        let error = failure.error(action);
        complain(&format!("error[{}]: {error}", error.code()));
    }
    last.map_or(Ok(()), |last| Err(last.error(action)))
}

/// Items that failed alike.
struct Failure {
    names: Vec<String>,
    /// The broker's code, or what else was in the way.
    kind: String,
    /// The broker's words, if they are the same for all items.
    message: Option<String>,
}

impl Failure {
    fn new(name: String, error: &ClientError) -> Self {
        let (kind, message) = match error {
            // Without the request and the broker, which are the same for every item.
            ClientError::Server { code, message, .. } => (code.to_string(), message.clone()),
            error => (error.to_string(), None),
        };
        Self { names: vec![name], kind, message }
    }

    fn add(&mut self, other: Self) {
        self.names.extend(other.names);
        // Words that differ name the item, and the items are named already.
        self.message = self.message.take().filter(|message| Some(message) == other.message.as_ref());
    }

    fn reason(&self) -> String {
        match &self.message {
            Some(message) => format!("{}: {message}", self.kind),
            None => self.kind.clone(),
        }
    }

    fn error(&self, action: &str) -> Error {
        Error::kafka(format!("{action} {}", list(&self.names)), self.reason())
    }
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use kanat_protocol::ErrorCode;
    use kanat_protocol::messages::ApiKey;

    use super::*;

    fn refused(subject: String, code: ErrorCode) -> (String, kanat_client::Result<()>) {
        let (address, message) = ("broker:9092".into(), Some(format!("no topic {subject}")));
        let error = ClientError::Server { address, api: ApiKey::DeleteTopics, subject: subject.clone(), code, message };
        (format!("topic {subject}"), Err(error))
    }

    #[test]
    fn what_fails_for_one_reason_is_one_line() {
        let items = (0..7).map(|number| refused(format!("t{number}"), ErrorCode::UnknownTopicOrPartition));
        let items = items.chain([("topic there".to_owned(), Ok(()))]);
        assert_eq!(
            tell(false, items, "deleting", "deleted").unwrap_err().to_string(),
            "deleting topic t0, topic t1, topic t2, topic t3, topic t4 and 2 more failed: UNKNOWN_TOPIC_OR_PARTITION (3)"
        );
        let alone = tell(false, [refused("t".to_owned(), ErrorCode::UnknownTopicOrPartition)], "deleting", "deleted");
        assert_eq!(
            alone.unwrap_err().to_string(),
            "deleting topic t failed: UNKNOWN_TOPIC_OR_PARTITION (3): no topic t"
        );
        tell(false, [("topic there".to_owned(), Ok(()))], "deleting", "deleted").unwrap();
    }
}
