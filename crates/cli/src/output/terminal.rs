//! Messages for a person.

use std::collections::BTreeMap;

use kanat_sync::catalog::{Catalog, Stream};
use kanat_sync::message::Message;
use serde_json::Value;

use super::table;

/// Columns of a topic that are shown before the rest is counted.
const COLUMNS_SHOWN_MAX: usize = 30;

/// Readable text, of one line or several.
pub(super) fn render(message: Message<'_>) -> String {
    match message {
        Message::ConnectionStatus(None) => "connection succeeded".to_owned(),
        Message::ConnectionStatus(Some(error)) => format!("connection failed: {error}"),
        Message::Catalog(catalog) => render_catalog(catalog),
        Message::State(state) => {
            let group = state.consumer_group_id.as_deref().unwrap_or("none yet");
            format!("state: consumer group {group}, {} streams synced", state.streams.len())
        }
        Message::Spec(spec) => render_spec(spec),
        Message::Log(_, text) => text.to_owned(),
        Message::Failure(error) => error.to_string(),
    }
}

fn render_catalog(catalog: &Catalog) -> String {
    let streams: Vec<String> = catalog.streams.iter().map(|stream| render_stream(catalog, stream)).collect();
    streams.join("\n\n")
}

fn render_stream(catalog: &Catalog, stream: &Stream) -> String {
    let mark = if catalog.selected(&stream.name).is_some() { "" } else { ", not selected" };
    let head = format!(
        "{}  ->  {}/{} ({} columns{mark})",
        stream.name,
        stream.database_folder(),
        stream.table_folder(),
        stream.properties.len()
    );
    let rows: Vec<Vec<String>> = stream
        .properties
        .iter()
        .take(COLUMNS_SHOWN_MAX)
        .map(|(name, property)| {
            let types: Vec<&str> = property.types.iter().map(kanat_lake::DataType::as_str).collect();
            vec![format!("  {name}"), types.join(" | ")]
        })
        .collect();
    let more = stream.properties.len().saturating_sub(COLUMNS_SHOWN_MAX);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    format!("{head}\n{}{more}", table(&["  column", "type"], &rows, &[]))
}

/// Every key with its type, default and description.
fn render_spec(spec: &Value) -> String {
    let schema = &spec["jsonschema"];
    let mut keys = BTreeMap::new();
    collect(schema, "", &mut keys);
    let rows: Vec<Vec<String>> = keys
        .into_iter()
        .map(|(path, property)| {
            let kind = property["type"].as_str().unwrap_or_default().to_owned();
            let default = match &property["default"] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            vec![path, kind, default, property["description"].as_str().unwrap_or_default().to_owned()]
        })
        .collect();
    let title = schema["title"].as_str().unwrap_or_default();
    format!("{title}\n{}", table(&["key", "type", "default", "meaning"], &rows, &[]))
}

fn collect<'a>(schema: &'a Value, path: &str, keys: &mut BTreeMap<String, &'a Value>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if property["type"] == "object" {
            collect(property, &path, keys);
        } else {
            keys.insert(path, property);
        }
    }
}

#[cfg(test)]
mod tests {
    use kanat_sync::message::Level;
    use kanat_sync::spec::{SpecKind, spec};

    use super::*;

    #[test]
    fn a_person_sees_topics_columns_and_keys() {
        let text = r#"{"selected_streams":{"topics":[]},"streams":[{"stream":{"name":"a.b",
            "type_schema":{"properties":{"id":{"type":["integer","null"]}}}}}]}"#;
        let (catalog, _) = Catalog::parse(text, "streams.json").unwrap();
        let shown = render(Message::Catalog(&catalog));
        assert_eq!(
            shown,
            "a.b  ->  kafka_topics/a_b (1 columns, not selected)\n  column  type\n  id      null | integer"
        );
        assert!(render(Message::Spec(&spec(SpecKind::Source).unwrap())).contains("protocol.security_protocol"));
        assert_eq!(render(Message::Log(Level::Info, "hello")), "hello");
    }
}
