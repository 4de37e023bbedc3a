//! From [`Catalog`] to JSON: OLake's shape, always in the same order.

use serde_json::{Map, Value, json};

use super::{Catalog, Property, SelectedStream, Stream};

impl Catalog {
    /// The catalog as it stands in `streams.json`. Equal catalogs give equal texts.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        if let Some(selected) = &self.selected_streams {
            let namespaces = selected.iter().map(|(namespace, streams)| {
                let streams: Vec<Value> = streams.iter().map(selected_stream).collect();
                (namespace.clone(), Value::from(streams))
            });
            root.insert("selected_streams".to_owned(), Value::Object(namespaces.collect()));
        }
        let streams: Vec<Value> = self.streams.iter().map(|it| json!({"stream": stream(it)})).collect();
        root.insert("streams".to_owned(), Value::from(streams));
        with_extra(root, &self.extra)
    }
}

fn selected_stream(selected: &SelectedStream) -> Value {
    let mut object = Map::new();
    object.insert("partition_regex".to_owned(), json!(selected.partition_regex));
    object.insert("stream_name".to_owned(), json!(selected.stream_name));
    object.insert("append_mode".to_owned(), json!(selected.append_mode));
    object.insert("normalization".to_owned(), json!(selected.normalization));
    object.insert("use_source_column_names".to_owned(), json!(selected.use_source_column_names));
    if let Some(columns) = &selected.selected_columns {
        let value = json!({"columns": columns.columns, "sync_new_columns": columns.sync_new_columns});
        object.insert("selected_columns".to_owned(), value);
    }
    if let Some(filter) = &selected.filter {
        object.insert("filter".to_owned(), json!(filter));
    }
    if let Some(filter) = &selected.filter_config {
        object.insert("filter_config".to_owned(), filter.clone());
    }
    with_extra(object, &selected.extra)
}

fn stream(stream: &Stream) -> Value {
    let properties = stream.properties.iter().map(|(name, it)| (name.clone(), property(it)));
    let properties = Value::Object(properties.collect());
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(stream.name));
    object.insert("namespace".to_owned(), json!(stream.namespace));
    object.insert("type_schema".to_owned(), json!({"properties": properties}));
    object.insert("supported_sync_modes".to_owned(), json!(stream.supported_sync_modes));
    object.insert("source_defined_primary_key".to_owned(), json!(stream.source_defined_primary_key));
    object.insert("available_cursor_fields".to_owned(), json!(stream.available_cursor_fields));
    object.insert("sync_mode".to_owned(), json!(stream.sync_mode));
    if let Some(field) = &stream.cursor_field {
        object.insert("cursor_field".to_owned(), json!(field));
    }
    object.insert("destination_database".to_owned(), json!(stream.destination_database));
    object.insert("destination_table".to_owned(), json!(stream.destination_table));
    if let Some(defaults) = &stream.default_stream_properties {
        object.insert("default_stream_properties".to_owned(), defaults.clone());
    }
    with_extra(object, &stream.extra)
}

fn property(property: &Property) -> Value {
    let mut object = Map::new();
    let types: Vec<&str> = property.types.iter().map(kanat_lake::DataType::as_str).collect();
    object.insert("type".to_owned(), json!(types));
    if let Some(name) = &property.destination_column_name {
        object.insert("destination_column_name".to_owned(), json!(name));
    }
    if property.olake_column {
        object.insert("olake_column".to_owned(), json!(true));
    }
    with_extra(object, &property.extra)
}

fn with_extra(mut object: Map<String, Value>, extra: &Map<String, Value>) -> Value {
    object.extend(extra.iter().map(|(key, value)| (key.clone(), value.clone())));
    Value::Object(object)
}
