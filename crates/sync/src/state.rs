//! `state.json`: which consumer group carries the positions of which streams.
//!
//! The shape is OLake's, so that either program can go on where the other stopped. Offsets are not in
//! it; they are committed to the group on the broker. The file is replaced whole (see
//! [`write_atomically`]).

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::Warning;
use crate::config::section::Section;
use crate::error::Result;
use crate::files::{parse_json, read_text, write_atomically};

/// Version of the state layout that is written.
const VERSION: i64 = 7;

/// What one sync leaves for the next.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The group whose committed offsets are the positions; `None` before the first commit.
    pub consumer_group_id: Option<String>,
    /// Ids of the streams that have been synced, `<namespace>.<topic>`, sorted.
    pub streams: Vec<String>,
    /// Keys that are kept without being understood.
    pub extra: Map<String, Value>,
}

impl State {
    /// Reads `state.json`. A file that is absent is an empty state.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`](crate::Error).
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>)> {
        if !path.try_exists().unwrap_or(true) {
            return Ok((Self::default(), Vec::new()));
        }
        Self::parse(&read_text(path)?, &path.display().to_string())
    }

    /// Reads the text of `state.json`; `file` names it in errors. An empty text and `{}` are an empty state.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`](crate::Error).
    pub fn parse(text: &str, file: &str) -> Result<(Self, Vec<Warning>)> {
        let mut warnings = Vec::new();
        if text.trim().is_empty() {
            return Ok((Self::default(), warnings));
        }
        let value = parse_json(text, file)?;
        let mut root = Section::root(file, &value)?;
        if let Some(kind) = root.string("type")?.filter(|kind| *kind != "STREAM" && *kind != "GLOBAL") {
            return Err(root.wrong("type", format!("must be STREAM, not {kind}")));
        }
        if let Some(version) = root.integer("version")?.filter(|version| *version > VERSION) {
            let message = format!("is {version}, newer than {VERSION}; what it adds is kept but not used");
            warnings.push(Warning::new(file, "version", message));
        }
        let mut state = Self::default();
        if let Some(mut global) = root.section("global")? {
            state.streams = global.strings("streams")?.unwrap_or_default();
            if let Some(mut inner) = global.section("state")? {
                state.consumer_group_id = inner.string("consumer_group_id")?.map(str::to_owned);
                inner.finish(&mut warnings);
            }
            global.finish(&mut warnings);
        }
        // Per-stream states of other OLake sources have no meaning here.
        root.ignore("streams");
        state.extra = root.finish(&mut warnings);
        state.streams.sort();
        state.streams.dedup();
        Ok((state, warnings))
    }

    /// Notes that `id` has been synced.
    pub fn add_stream(&mut self, id: &str) {
        if let Err(index) = self.streams.binary_search_by(|known| known.as_str().cmp(id)) {
            self.streams.insert(index, id.to_owned());
        }
    }

    /// Forgets that `id` has been synced.
    pub fn remove_stream(&mut self, id: &str) {
        self.streams.retain(|known| known != id);
    }

    /// The state as it stands in the file.
    pub fn to_json(&self) -> Value {
        let state = self.consumer_group_id.as_ref().map(|group| json!({"consumer_group_id": group}));
        let mut root = json!({
            "type": "STREAM",
            "version": VERSION,
            "global": {"state": state, "streams": self.streams},
        });
        if let Value::Object(members) = &mut root {
            members.extend(self.extra.clone());
        }
        root
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// [`Error::FileUnwritable`](crate::Error::FileUnwritable) with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomically(path, self.to_json().to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_seed_form_and_olakes_and_writes_the_same_shape() {
        for text in [
            r#"{"type":"STREAM","global":{"state":{"consumer_group_id":"g"},"streams":["topics.b","topics.a"]}}"#,
            r#"{"type":"STREAM","version":7,"global":{"state":{"consumer_group_id":"g"},"streams":["topics.a","topics.b"]}}"#,
        ] {
            let (state, warnings) = State::parse(text, "state.json").unwrap();
            assert_eq!(warnings, []);
            assert_eq!(
                state.to_json().to_string(),
                r#"{"type":"STREAM","version":7,"global":{"state":{"consumer_group_id":"g"},"streams":["topics.a","topics.b"]}}"#
            );
        }
    }

    #[test]
    fn a_state_before_the_first_commit_has_no_group() {
        let text = r#"{"type":"STREAM","version":7,"global":{"state":null,"streams":["topics.bench-c"]}}"#;
        let (state, _) = State::parse(text, "state.json").unwrap();
        assert_eq!(state.consumer_group_id, None);
        assert_eq!(state.to_json().to_string(), text);
        for empty in ["", " \n", "{}"] {
            assert_eq!(State::parse(empty, "state.json").unwrap().0, State::default());
        }
    }

    #[test]
    fn streams_come_and_go_and_unknown_keys_stay() {
        let (mut state, warnings) = State::parse(r#"{"type":"STREAM","note":1}"#, "state.json").unwrap();
        assert_eq!(warnings.len(), 1);
        for id in ["topics.b", "topics.a", "topics.b"] {
            state.add_stream(id);
        }
        state.remove_stream("topics.b");
        assert_eq!(state.streams, ["topics.a"]);
        assert_eq!(state.to_json()["note"], 1);
    }

    #[test]
    fn wrong_states_are_one_sentence_with_the_key() {
        for (text, sentence) in [
            ("[]", "state.json: the top level must be an object, not a list"),
            (r#"{"type":"OTHER"}"#, "state.json: type must be STREAM, not OTHER"),
            (r#"{"global":{"streams":[1]}}"#, "state.json: global.streams[0] must be a string, not a number"),
            (
                r#"{"global":{"state":{"consumer_group_id":5}}}"#,
                "state.json: global.state.consumer_group_id must be a string, not a number",
            ),
        ] {
            assert_eq!(State::parse(text, "state.json").unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn readers_never_see_half_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(State::load(&path).unwrap().0, State::default(), "an absent file is an empty state");
        let long = State { streams: (0..500).map(|n| format!("topics.{n:03}")).collect(), ..State::default() };
        let short = State { consumer_group_id: Some("g".to_owned()), ..State::default() };
        long.save(&path).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..20 {
                    short.save(&path).unwrap();
                    long.save(&path).unwrap();
                }
            });
            while !writer.is_finished() {
                let (seen, _) = State::load(&path).unwrap();
                assert!(seen == long || seen == short);
            }
        });
        assert_eq!(State::load(&path).unwrap().0, long);
    }
}
