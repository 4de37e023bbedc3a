//! The internal topics of a real worker, read and written again.

use serde_json::Value;

use super::config_log::{self, ConfigEvent, ConfigState, TargetState};
use super::offsets::{OffsetState, offset_record};
use super::status::{self, State, StatusState, WorkId};
use super::*;

/// Recorded from Kafka Connect 4.2.0: a history over the REST API and the records it left.
const RECORDED: &str = include_str!("../../../../tests/golden/connect/internal-topics.jsonl");

struct Recorded {
    offset: i64,
    key: String,
    value: Option<String>,
}

impl Recorded {
    fn bytes(&self) -> Option<&[u8]> {
        self.value.as_deref().map(str::as_bytes)
    }
}

fn recorded(topic: &str) -> Vec<Recorded> {
    let lines = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // A time stands as text in the recording.
    let plain = |text: &str| text.replace("\"{{TIMESTAMP}}\"", "1700000000000");
    lines
        .filter(|line| line["topic"] == topic)
        .map(|line| Recorded {
            offset: line["offset"].as_i64().unwrap(),
            key: line["key"].as_str().unwrap().to_owned(),
            value: line["value"].as_str().map(plain),
        })
        .collect()
}

/// The state after the records below `end`.
fn config_at(end: i64) -> ConfigState {
    let mut state = ConfigState::default();
    for record in recorded("connect-configs").iter().filter(|record| record.offset < end) {
        state.apply(record.offset, record.key.as_bytes(), record.bytes()).unwrap();
    }
    state
}

fn parsed(record: &InternalRecord) -> (String, Option<Value>) {
    let value = record.value.as_deref().map(|value| serde_json::from_slice(value).unwrap());
    (String::from_utf8(record.key.clone()).unwrap(), value)
}

#[test]
fn a_configuration_log_adds_up() {
    let state = config_at(8);
    assert_eq!(state.connectors().collect::<Vec<_>>(), ["it-sink", "it-src"]);
    assert_eq!(
        (state.offset(), state.task_count("it-sink"), state.target("it-src")),
        (8, 2, Some(TargetState::Started))
    );
    assert_eq!(state.task("it-sink", 1).unwrap()["topics"].as_deref(), Some("it-topic"));
    assert_eq!(state.session_key().unwrap().algorithm, "HmacSHA256");
    assert_eq!(config_at(9).target("it-src"), Some(TargetState::Paused));
    // Three tasks, then one, then three again.
    assert_eq!((config_at(15).task_count("it-sink"), config_at(20).task_count("it-sink")), (1, 3));
    // Between task records and their commit the tasks are the old ones.
    assert_eq!(config_at(18).tasks("it-sink").count(), 1);
    let stopped = config_at(25);
    assert_eq!((stopped.task_count("it-src"), stopped.target("it-src")), (0, Some(TargetState::Stopped)));
    // A target state may come before its connector.
    assert_eq!(config_at(31).target("it-init"), None);
    assert_eq!(config_at(32).target("it-init"), Some(TargetState::Stopped));
    assert_eq!(config_at(100).connectors().count(), 0);
    assert_eq!(ConfigState::default().offset(), -1);
}

#[test]
fn every_configuration_record_is_written_as_it_was() {
    let mut state = ConfigState::default();
    for record in recorded("connect-configs") {
        let event = state.apply(record.offset, record.key.as_bytes(), record.bytes()).unwrap();
        let name = |prefix: &str| record.key.strip_prefix(prefix).map(str::to_owned);
        let written = if let Some(name) = name("target-state-").filter(|_| record.value.is_some()) {
            let target =
                if state.connector(&name).is_some() { state.target(&name) } else { Some(TargetState::Stopped) };
            config_log::target_record(&name, target.unwrap())
        } else if let Some(name) = name("connector-").filter(|_| record.value.is_some()) {
            config_log::connector_record(&name, state.connector(&name).unwrap())
        } else if let Some(name) = name("commit-") {
            let tasks: Vec<_> = state.tasks(&name).map(|(_, config)| config.clone()).collect();
            config_log::task_records(&name, &tasks).pop().unwrap()
        } else if record.key == "session-key" {
            config_log::session_key_record(state.session_key().unwrap())
        } else {
            match event {
                ConfigEvent::RestartRequested { connector, include_tasks, only_failed } => {
                    config_log::restart_record(&connector, include_tasks, only_failed)
                }
                ConfigEvent::LoggerLevel { logger, level } => config_log::logger_record(&logger, &level),
                _ => continue,
            }
        };
        // Keys of a Java map come in any order; everything else is bytes for bytes.
        let expected =
            InternalRecord { key: record.key.clone().into_bytes(), value: record.bytes().map(<[u8]>::to_vec) };
        assert_eq!(parsed(&written), parsed(&expected));
        if !record.key.starts_with("connector-") {
            assert_eq!(String::from_utf8(written.value.unwrap()).unwrap(), record.value.unwrap());
        }
    }
}

#[test]
fn task_records_come_before_their_commit() {
    let config = config_at(8).task("it-sink", 0).unwrap().clone();
    let records = config_log::task_records("a-b", &[config.clone(), config]);
    let keys: Vec<String> = records.iter().map(|record| parsed(record).0).collect();
    assert_eq!(keys, ["task-a-b-0", "task-a-b-1", "commit-a-b"]);
    assert_eq!(records[2].value.as_deref(), Some(&b"{\"tasks\":2}"[..]));
}

#[test]
fn a_compacted_log_leaves_a_connector_incomplete() {
    let all = recorded("connect-configs");
    let apply = |state: &mut ConfigState, offset: usize| {
        let record = &all[offset];
        state.apply(record.offset, record.key.as_bytes(), record.bytes()).unwrap()
    };
    let mut state = ConfigState::default();
    // The first task of two is gone.
    for offset in [4, 6] {
        apply(&mut state, offset);
    }
    assert_eq!(apply(&mut state, 7), ConfigEvent::Unchanged);
    assert!(state.is_incomplete("it-sink"));
    assert_eq!((state.task_count("it-sink"), state.tasks("it-sink").count()), (0, 0));
    // New tasks make it whole again.
    apply(&mut state, 13);
    assert_eq!(apply(&mut state, 14), ConfigEvent::TasksChanged("it-sink".to_owned()));
    assert!(!state.is_incomplete("it-sink"));
    // Tasks of a connector that is gone mean nothing.
    let mut state = ConfigState::default();
    for offset in [13, 14] {
        assert_eq!(apply(&mut state, offset), ConfigEvent::Unchanged);
    }
    assert_eq!(state.task_count("it-sink"), 0);
}

#[test]
fn records_of_others_are_refused_and_passed() {
    let mut state = ConfigState::default();
    for (key, value) in
        [("hello", "{}"), ("connector-c", "[]"), ("connector-c", "{"), ("task-c-x", "{\"properties\":{}}")]
    {
        assert!(state.apply(0, key.as_bytes(), Some(value.as_bytes())).is_err(), "{key} {value}");
    }
    assert_eq!(state.apply(1, b"commit-c", None).unwrap(), ConfigEvent::Unchanged);
    assert_eq!((state.offset(), state.connectors().count()), (2, 0));
}

#[test]
fn the_status_log_adds_up_and_is_written_as_it_was() {
    let mut state = StatusState::default();
    for record in recorded("connect-status") {
        state.apply(record.key.as_bytes(), record.bytes()).unwrap();
        let written = if let Some(rest) = record.key.strip_prefix("status-topic-") {
            let (topic, connector) = rest.split_once(":connector-").unwrap();
            let (topic, connector) = (topic.to_owned(), connector.to_owned());
            let used = record.value.is_some();
            assert_eq!(state.topics(&connector).any(|used| used == topic), used);
            match used {
                true => status::topic_record(&status::TopicUse {
                    topic,
                    connector,
                    task: 0,
                    discovered_ms: 1_700_000_000_000,
                }),
                false => status::topic_removal_record(&topic, &connector),
            }
        } else {
            let id = match record.key.strip_prefix("status-connector-") {
                Some(name) => WorkId::connector(name),
                None => {
                    let (name, task) = record.key["status-task-".len()..].rsplit_once('-').unwrap();
                    WorkId::task(name, task.parse().unwrap())
                }
            };
            match state.get(&id) {
                Some(status) => status::status_record(&id, status),
                None => status::removal_record(&id),
            }
        };
        assert_eq!(String::from_utf8(written.key).unwrap(), record.key);
        assert_eq!(written.value.map(|value| String::from_utf8(value).unwrap()), record.value);
    }
    assert_eq!(state.tasks("it-src").count(), 0);
}

#[test]
fn late_words_of_an_old_owner_do_not_count() {
    let status = |state, worker: &str, generation| status::Status {
        state,
        trace: None,
        worker_id: worker.to_owned(),
        generation,
        version: None,
    };
    let id = WorkId::task("c", 0);
    let mut state = StatusState::default();
    let apply = |state: &mut StatusState, status: &status::Status| {
        let record = status::status_record(&id, status);
        state.apply(&record.key, record.value.as_deref()).unwrap();
    };
    apply(&mut state, &status(State::Running, "new", 5));
    apply(&mut state, &status(State::Unassigned, "old", 4));
    assert_eq!(state.get(&id).unwrap().state, State::Running);
    assert!(!state.may_replace(&id, "old", 4));
    assert!(state.may_replace(&id, "new", 4) && state.may_replace(&id, "old", 5));
    apply(&mut state, &status(State::Unassigned, "new", 5));
    assert_eq!(state.get(&id).unwrap().state, State::Unassigned);
}

#[test]
fn offsets_are_found_by_the_bytes_of_their_key() {
    let mut state = OffsetState::default();
    let records = recorded("connect-offsets");
    let first = &records[0];
    for record in &records {
        let (key, value) = (record.key.clone().into_bytes(), record.bytes().map(<[u8]>::to_vec));
        state.apply(InternalRecord { key, value });
    }
    assert_eq!(state.entries().len(), 0);
    let key: Value = serde_json::from_str(&first.key).unwrap();
    let partition = key[1].as_object().unwrap();
    let offset: Value = serde_json::from_str(r#"{"position":7,"big":12345678901234567890,"float":1.5}"#).unwrap();
    let record = offset_record("it-src", partition, offset.as_object());
    assert_eq!(String::from_utf8(record.key.clone()).unwrap(), first.key);
    assert_eq!(record.value.as_deref(), Some(&br#"{"position":7,"big":12345678901234567890,"float":1.5}"#[..]));
    state.apply(record);
    assert_eq!(state.get("it-src", partition).unwrap().as_ref(), offset.as_object());
    assert_eq!(state.of_connector("it-src").unwrap().len(), 1);
    assert_eq!(state.of_connector("it").unwrap().len(), 0);
}
