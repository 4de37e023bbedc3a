//! Exchanges recorded from a Kafka Connect 4.2.0 worker, sent to ours: status, headers and bodies must be the same.
//!
//! Placeholders of the recording: `{{RUN}}` a fresh name per scenario, `{{DIR}}` a folder, `{{BASE}}`, `{{WORKER}}`,
//! `{{VERSION}}`, `{{TIMESTAMP}}`, `{{TRACE}}` and `{{DOC}}` what differs from run to run.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::support::{Answer, Worker, request};

const TRANSCRIPTS: &str = include_str!("../../../../tests/golden/connect/transcripts.jsonl");
/// Longest a step may take that the recording repeated until it was so.
const POLL: Duration = Duration::from_secs(15);
/// Version of the plugins of the recorded worker.
const RECORDED_VERSION: &str = "4.2.0";

/// Exchanges that differ, with the reason; a step of 0 means the whole scenario.
const DIFFERENT: &[(&str, u64, &str)] = &[
    ("two-workers", 0, "needs two workers"),
    ("create-invalid", 28, "a standalone worker has no group"),
    ("validate", 22, "a value that no client takes is a problem of its key, found before the connector starts"),
    ("create-invalid", 16, NO_TRANSFORMS),
    ("create-invalid", 17, NO_TRANSFORMS),
    ("create-invalid", 18, NO_TRANSFORMS),
    ("plugins", 11, NO_TRANSFORMS),
    ("plugins", 13, NO_TRANSFORMS),
    ("plugins", 14, NO_TRANSFORMS),
    ("validate", 15, NO_TRANSFORMS),
    ("validate", 16, NO_TRANSFORMS),
    ("validate", 17, NO_TRANSFORMS),
    ("validate", 18, NO_TRANSFORMS),
];
const NO_TRANSFORMS: &str = "the SDK has no transforms and predicates yet";

struct Replay {
    worker: Worker,
    run: String,
    version: String,
}

#[tokio::test]
async fn answers_are_those_of_connect() {
    let mut replay = Replay {
        worker: Worker::start(&[("offset.flush.interval.ms", "200")]).await,
        run: String::new(),
        version: String::new(),
    };
    let root = replay.worker.get("/").await.json;
    replay.version = root["version"].as_str().unwrap().to_owned();
    let mut runs = BTreeMap::new();
    let mut problems = Vec::new();
    for line in TRANSCRIPTS.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let (scenario, step) = (exchange["scenario"].as_str().unwrap(), exchange["step"].as_u64().unwrap());
        if DIFFERENT.iter().any(|(name, number, _)| *name == scenario && (*number == 0 || *number == step)) {
            continue;
        }
        let next = runs.len();
        replay.run = format!("r{:02}", runs.entry(scenario.to_owned()).or_insert(next));
        if let Err(problem) = replay.step(&exchange).await {
            problems.push(format!("{scenario} {step}: {problem}"));
        }
    }
    replay.worker.stop().await;
    assert!(problems.is_empty(), "{} exchanges differ:\n{}", problems.len(), problems.join("\n"));
}

impl Replay {
    fn fill(&self, text: &str) -> String {
        let folder = self.worker.folder.path().display().to_string();
        text.replace("{{RUN}}", &self.run)
            .replace("version=4.2.0", &format!("version={}", self.version))
            .replace("{{DIR}}", &folder)
            .replace("{{KAFKA}}", &self.worker.broker.bootstrap())
    }

    async fn step(&self, exchange: &Value) -> Result<(), String> {
        let method = exchange["method"].as_str().unwrap();
        let path = self.fill(exchange["path"].as_str().unwrap_or_default());
        match method {
            "@SLEEP" => return Ok(()),
            "@WRITE_FILE" | "@APPEND_FILE" => {
                let text = self.fill(exchange["body"].as_str().unwrap());
                let mut options = std::fs::OpenOptions::new();
                let append = method == "@APPEND_FILE";
                let mut file = options.create(true).write(true).append(append).truncate(!append).open(path).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                return Ok(());
            }
            "@READ_FILE" => {
                let expected = self.fill(exchange["response"].as_str().unwrap());
                return self
                    .repeat(POLL, async || {
                        let found = std::fs::read_to_string(&path).unwrap_or_default();
                        if found == expected { Ok(()) } else { Err(format!("holds {found:?}, not {expected:?}")) }
                    })
                    .await;
            }
            _ => {}
        }
        let body = match (exchange.get("raw_body"), exchange.get("body")) {
            (Some(raw), _) => Some(self.fill(raw.as_str().unwrap())),
            (None, None | Some(Value::Null)) => None,
            (None, Some(body)) => Some(self.fill(&body.to_string())),
        };
        let headers: Vec<(String, String)> = exchange["request_headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        let patience = match (exchange.get("poll"), method) {
            (Some(_), _) => POLL,
            (None, "GET") => Duration::from_secs(5),
            _ => Duration::ZERO,
        };
        self.repeat(patience, async || {
            let body = body.clone().map(String::into_bytes);
            let answer = request(&self.worker.base(), method, &path, &headers, body).await;
            self.compare(exchange, &answer)
        })
        .await
    }

    async fn repeat(
        &self,
        patience: Duration,
        mut look: impl AsyncFnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let found = look().await;
            if found.is_ok() || began.elapsed() >= patience {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn compare(&self, exchange: &Value, answer: &Answer) -> Result<(), String> {
        let expected = &exchange["response"];
        if exchange["status"].as_u64() != Some(u64::from(answer.status)) {
            return Err(format!("status {} for {} {}", answer.status, exchange["status"], answer.json));
        }
        let mode = exchange["compare"].as_str().unwrap_or("exact");
        if mode == "status" {
            let same = expected.get("error_code").is_none_or(|code| answer.json.get("error_code") == Some(code));
            return if same { Ok(()) } else { Err(format!("another error code: {}", answer.json)) };
        }
        let headers = |name: &str| exchange["headers"].get(name).and_then(Value::as_str).map(str::to_owned);
        let location = answer.location.as_deref().map(|location| self.plain(location));
        if headers("Content-Type") != answer.content_type || headers("Location") != location {
            return Err(format!("headers {:?} {location:?} for {}", answer.content_type, exchange["headers"]));
        }
        let mut found = self.normal(None, &answer.json);
        if exchange["method"] == "GET" && exchange["path"].as_str().is_some_and(|path| path.starts_with("/connectors?"))
        {
            self.own_only(&mut found);
        }
        let mut wanted = self.recorded(expected);
        for side in [&mut found, &mut wanted] {
            sort_names(exchange, side);
        }
        let same = match mode {
            "superset" => is_superset(&found, &wanted, self),
            "shape" => shape(&found) == shape(&wanted),
            "states" => strip(&found) == strip(&wanted),
            "errors" => errors(&found) == errors(&wanted),
            _ => found == wanted,
        };
        if same { Ok(()) } else { Err(difference("", &wanted, &found)) }
    }

    /// Lists show the connectors of a scenario only.
    fn own_only(&self, found: &mut Value) {
        if let Value::Object(found) = found {
            found.retain(|name, _| name.contains("{{RUN}}"));
        }
    }

    fn plain(&self, text: &str) -> String {
        let folder = self.worker.folder.path().display().to_string();
        let text = text.replace(&folder, "{{DIR}}").replace(&format!("http://{}", self.worker.base()), "{{BASE}}");
        text.replace(&self.run, "{{RUN}}")
    }

    /// An answer with what differs from run to run replaced as in the recording.
    fn normal(&self, key: Option<&str>, value: &Value) -> Value {
        let placeholder = match (key, value) {
            (Some("worker_id"), Value::String(_)) => "{{WORKER}}",
            (Some("trace"), Value::String(_)) => "{{TRACE}}",
            (Some("documentation"), Value::String(_)) => "{{DOC}}",
            (Some("last_modified"), Value::Number(_)) => "{{TIMESTAMP}}",
            (Some("kafka_cluster_id"), _) => "{{CLUSTER_ID}}",
            (Some("commit"), _) => "{{COMMIT}}",
            (Some("version"), Value::String(version)) if *version == self.version => "{{VERSION}}",
            _ => "",
        };
        if !placeholder.is_empty() {
            return placeholder.into();
        }
        match value {
            Value::String(text) if key == Some("message") => message(&self.plain(text)).into(),
            Value::String(text) if *text == self.version => RECORDED_VERSION.into(),
            Value::String(text) => self.plain(text).into(),
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.normal(key, item)).collect();
                if matches!(key, Some("topics" | "offsets" | "tasks")) {
                    items.sort_by_key(Value::to_string);
                }
                items.into()
            }
            Value::Object(members) => {
                let member = |(key, value): (&String, &Value)| (self.plain(key), self.normal(Some(key), value));
                Value::Object(members.iter().map(member).collect())
            }
            other => other.clone(),
        }
    }

    /// The recorded side: versions of the recorded worker's plugins in messages are ours here.
    fn recorded(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.recorded(item)).collect(),
            Value::Object(members) => {
                let member = |(key, value): (&String, &Value)| {
                    let value = match value {
                        // In the order of our side, which sorts its members otherwise.
                        Value::Array(items) if matches!(key.as_str(), "topics" | "offsets" | "tasks") => {
                            let mut items: Vec<Value> = items.iter().map(|item| self.recorded(item)).collect();
                            items.sort_by_key(Value::to_string);
                            items.into()
                        }
                        Value::String(text) if key == "message" => {
                            text.replace(&format!("[{RECORDED_VERSION}]"), &format!("[{}]", self.version)).into()
                        }
                        other => self.recorded(other),
                    };
                    (key.clone(), value)
                };
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }
}

/// Messages without what is in any order or is a list of our plugins.
fn message(text: &str) -> String {
    match text.split_once("available connectors are: ") {
        Some((before, _)) => format!("{before}available connectors are: {{{{LIST}}}}"),
        None => text.to_owned(),
    }
}

fn sort_names(exchange: &Value, value: &mut Value) {
    let path = exchange["path"].as_str().unwrap_or_default();
    if let Value::Array(items) = value
        && (path == "/connectors" || path.starts_with("/admin/loggers"))
        && items.iter().all(Value::is_string)
    {
        items.sort_by_key(Value::to_string);
        items.retain(|item| item.as_str().is_some_and(|name| path != "/connectors" || name.contains("{{RUN}}")));
    }
}

/// Whether everything recorded is there, except for connectors that are not ours.
fn is_superset(found: &Value, wanted: &Value, replay: &Replay) -> bool {
    let (Value::Array(found), Value::Array(wanted)) = (found, wanted) else { return false };
    let is_ours = |plugin: &&Value| {
        let class = plugin["class"].as_str().unwrap_or_default();
        let resolved = kanat_connect::config::ClassNames::resolve(&*crate::support::plugins(), class);
        resolved.is_some() && !replay.version.is_empty()
    };
    wanted.iter().filter(is_ours).all(|item| found.contains(item))
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

fn strip(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !matches!(key.as_str(), "trace" | "version"));
            kept.map(|(key, value)| (key.clone(), strip(value))).collect()
        }
        Value::Array(items) => items.iter().map(strip).collect(),
        other => other.clone(),
    }
}

/// A report reduced to what a user acts on.
fn errors(report: &Value) -> Value {
    let configs = report["configs"].as_array().into_iter().flatten();
    let errors = configs.filter(|config| config["value"]["errors"] != Value::Array(Vec::new()));
    let errors: Value = errors.map(|config| config["value"].clone()).collect();
    serde_json::json!({ "name": report["name"], "error_count": report["error_count"], "errors": errors })
}

/// The first places where two values differ.
fn difference(path: &str, wanted: &Value, found: &Value) -> String {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let parts = keys.filter(|key| a.get(*key) != b.get(*key)).take(3).map(|key| {
                difference(
                    &format!("{path}.{key}"),
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                )
            });
            parts.collect::<Vec<_>>().join("; ")
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let parts = a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b).take(3);
            parts.map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b)).collect::<Vec<_>>().join("; ")
        }
        _ => {
            let cut = |value: &Value| value.to_string().chars().take(600).collect::<String>();
            format!("{path}: wanted {} found {}", cut(wanted), cut(found))
        }
    }
}
