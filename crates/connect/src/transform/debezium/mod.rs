//! Debezium's transforms for events of database changes, under its class names.
//!
//! An event is an *envelope*: a struct whose schema's name ends in `.Envelope`, with the row before and after the
//! change, the operation, the source it came from and the time. Records that are none pass unchanged.

mod event_router;
mod extract_new_record_state;
mod json_payload;
mod logical_table;

use crate::VERSION;
use crate::data::Struct;
use crate::data::Value;
use crate::plugin::{Plugins, TransformationPlugin};
use crate::record::Record;

/// Adds everything.
pub(super) fn register(plugins: &mut Plugins) {
    plugins.add_transformation(TransformationPlugin {
        class: "io.debezium.transforms.ByLogicalTableRouter",
        version: VERSION,
        config_def: logical_table::ByLogicalTableRouter::config_def,
        build: |config| Ok(Box::new(logical_table::ByLogicalTableRouter::build(config)?)),
    });
    plugins.add_transformation(TransformationPlugin {
        class: "io.debezium.transforms.ExtractNewRecordState",
        version: VERSION,
        config_def: extract_new_record_state::ExtractNewRecordState::config_def,
        build: |config| Ok(Box::new(extract_new_record_state::ExtractNewRecordState::build(config)?)),
    });
    plugins.add_transformation(TransformationPlugin {
        class: "io.debezium.transforms.outbox.EventRouter",
        version: VERSION,
        config_def: event_router::EventRouter::config_def,
        build: |config| Ok(Box::new(event_router::EventRouter::build(config)?)),
    });
}

/// The envelope of a record that is an event of a change.
fn envelope(record: &Record) -> Option<&Struct> {
    let name = record.value.schema.as_ref()?.name()?;
    match &record.value.value {
        Value::Struct(fields) if name.ends_with(".Envelope") => Some(fields),
        _ => None,
    }
}

/// The text of a field; `None` when there is none, or it is no text.
fn text<'a>(fields: &'a Struct, name: &str) -> Option<&'a str> {
    fields.get(name).ok()?.as_str()
}

#[cfg(test)]
mod tests;
