//! A broker, a worker and an HTTP client for the tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_client::{Client, ClientOptions};
use kanat_connect::plugin::Plugins;
use kanat_connect_file::{FileStreamSink, FileStreamSource};
use kanat_worker::config::{Mode, WorkerConfig};
use kanat_worker::{Loggers, Standalone};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest a test may wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer a test reads.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const STRINGS: &str = "org.apache.kafka.connect.storage.StringConverter";

pub(crate) fn plugins() -> Arc<Plugins> {
    Arc::new(Plugins::builtin().with_source::<FileStreamSource>().with_sink::<FileStreamSink>())
}

pub(crate) async fn broker() -> BrokerHandle {
    Broker::start(BrokerOptions::default().with_auto_create_topics(false)).await.unwrap()
}

pub(crate) async fn client(broker: &BrokerHandle) -> Client {
    Client::connect(ClientOptions::new([broker.bootstrap()])).await.unwrap()
}

/// A standalone worker in a folder of its own.
pub(crate) struct Worker {
    pub(crate) broker: BrokerHandle,
    pub(crate) folder: tempfile::TempDir,
    standalone: Option<Standalone>,
    extra: Vec<(String, String)>,
}

impl Worker {
    pub(crate) async fn start(extra: &[(&str, &str)]) -> Worker {
        let extra = extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut worker =
            Worker { broker: broker().await, folder: tempfile::tempdir().unwrap(), standalone: None, extra };
        worker.standalone = Some(worker.launch().await);
        worker
    }

    async fn launch(&self) -> Standalone {
        let own = [
            ("bootstrap.servers", self.broker.bootstrap()),
            ("listeners", "http://127.0.0.1:0".to_owned()),
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter".to_owned()),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter".to_owned()),
            ("offset.storage.file.filename", self.path("offsets").display().to_string()),
            ("offset.flush.interval.ms", "100".to_owned()),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        let properties = own.into_iter().chain(self.extra.clone()).collect();
        let plugins = plugins();
        let config = WorkerConfig::new(Mode::Standalone, properties, &*plugins).unwrap();
        Standalone::start(config, plugins, Loggers::new(None), Vec::new()).await.unwrap()
    }

    /// Stops the worker in order and starts it again; its connectors have to be created again.
    pub(crate) async fn restart(&mut self) {
        self.standalone.take().unwrap().stop().await;
        self.standalone = Some(self.launch().await);
    }

    pub(crate) async fn stop(mut self) {
        self.standalone.take().unwrap().stop().await;
    }

    pub(crate) fn base(&self) -> String {
        self.standalone.as_ref().unwrap().address().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        request(&self.base(), method, path, &[], body.map(|body| body.to_string().into_bytes())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, None).await
    }

    /// Creates a connector that moves text.
    pub(crate) async fn create(&self, name: &str, class: &str, config: Value) {
        let mut all = json!({ "connector.class": class, "key.converter": STRINGS, "value.converter": STRINGS });
        all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let answer = self.request("POST", "/connectors", Some(json!({ "name": name, "config": all }))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Waits until the status of a connector and its tasks is this.
    pub(crate) async fn until_state(&self, name: &str, connector: &str, tasks: &[&str]) -> Value {
        until(&format!("{name} {connector} {tasks:?}"), async || {
            let status = self.get(&format!("/connectors/{name}/status")).await.json;
            let states =
                status["tasks"].as_array().map(|tasks| tasks.iter().map(|task| task["state"].clone()).collect());
            let states: Vec<Value> = states.unwrap_or_default();
            (status["connector"]["state"] == connector && states == tasks).then_some(status)
        })
        .await
    }
}

/// Waits for something to come true.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a file holds this text.
pub(crate) async fn until_file(path: &Path, text: &str) {
    let mut last = String::new();
    let began = Instant::now();
    while last != text {
        assert!(began.elapsed() < PATIENCE, "{} holds {last:?} and not {text:?}", path.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = std::fs::read_to_string(path).unwrap_or_default();
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) json: Value,
}

/// One request on a connection of its own; the path is sent as it is.
pub(crate) async fn request(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<Vec<u8>>,
) -> Answer {
    let mut stream = TcpStream::connect(base).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {base}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = &body {
        let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        head.push_str(if typed { "" } else { "Content-Type: application/json\r\n" });
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body.unwrap_or_default()).await.unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX && stream.read_buf(&mut bytes).await.unwrap() > 0 {}
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    Answer {
        status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default(),
        content_type: header("content-type"),
        location: header("location"),
        json: serde_json::from_str(body).unwrap_or_else(|_| match body {
            "" => Value::Null,
            other => Value::from(other),
        }),
    }
}
