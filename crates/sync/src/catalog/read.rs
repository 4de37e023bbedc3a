//! From JSON to [`Catalog`].

use std::collections::BTreeMap;
use std::path::Path;

use kanat_lake::DataType;
use kanat_lake::types::TypeSet;
use serde_json::Value;

use super::{Catalog, Property, SelectedColumns, SelectedStream, Stream};
use crate::config::Warning;
use crate::config::section::{Section, kind};
use crate::error::{Error, Result};
use crate::files::{parse_json, read_text};

impl Catalog {
    /// Reads `streams.json`.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`].
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>)> {
        Self::parse(&read_text(path)?, &path.display().to_string())
    }

    /// Reads the text of `streams.json`; `file` names it in errors.
    ///
    /// # Errors
    /// One sentence naming the file and the key, see [`Error`].
    pub fn parse(text: &str, file: &str) -> Result<(Self, Vec<Warning>)> {
        let value = parse_json(text, file)?;
        let mut warnings = Vec::new();
        let catalog = match value.get("catalog") {
            Some(inner) if value.get("type").and_then(Value::as_str) == Some("CATALOG") => {
                catalog(Section::at(file, "catalog".to_owned(), inner)?, &mut warnings)?
            }
            _ => catalog(Section::root(file, &value)?, &mut warnings)?,
        };
        Ok((catalog, warnings))
    }
}

fn catalog(mut root: Section<'_>, warnings: &mut Vec<Warning>) -> Result<Catalog> {
    let file = root.file();
    let key = "streams";
    let items = root.list(key)?.ok_or_else(|| root.missing(key))?;
    let mut streams = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = root.full_key(&format!("{key}[{index}]"));
        streams.push(stream_entry(Section::at(file, path, item)?, warnings)?);
    }
    let selected_streams = selected_streams(&mut root, warnings)?;
    let catalog = Catalog { selected_streams, streams, extra: root.finish(warnings) };
    reject_duplicates(&catalog, file)?;
    Ok(catalog)
}

fn selected_streams(
    root: &mut Section<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<BTreeMap<String, Vec<SelectedStream>>>> {
    const KEY: &str = "selected_streams";
    let Some(value) = root.value(KEY) else { return Ok(None) };
    let Value::Object(namespaces) = value else {
        return Err(root.wrong(KEY, format!("must be an object, not {}", kind(value))));
    };
    let mut selected = BTreeMap::new();
    for (namespace, items) in namespaces {
        let key = format!("{KEY}.{namespace}");
        let Value::Array(items) = items else {
            return Err(root.wrong(&key, format!("must be a list, not {}", kind(items))));
        };
        let mut streams = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = root.full_key(&format!("{key}[{index}]"));
            streams.push(selected_stream(Section::at(root.file(), path, item)?, warnings)?);
        }
        selected.insert(namespace.clone(), streams);
    }
    Ok(Some(selected))
}

fn selected_stream(mut section: Section<'_>, warnings: &mut Vec<Warning>) -> Result<SelectedStream> {
    let stream_name = section.string("stream_name")?.ok_or_else(|| section.missing("stream_name"))?.to_owned();
    Ok(SelectedStream {
        stream_name,
        partition_regex: section.string("partition_regex")?.unwrap_or_default().to_owned(),
        append_mode: append_mode(&mut section)?,
        normalization: section.boolean("normalization")?.unwrap_or(false),
        use_source_column_names: section.boolean("use_source_column_names")?.unwrap_or(false),
        selected_columns: selected_columns(&mut section, warnings)?,
        filter_config: section.value("filter_config").cloned(),
        filter: section.string("filter")?.map(str::to_owned),
        extra: {
            // Known to OLake and without meaning for Kafka: kept, but nothing to report.
            let chunk_column = section.value("chunk_column").cloned();
            let mut extra = section.finish(warnings);
            extra.extend(chunk_column.map(|value| ("chunk_column".to_owned(), value)));
            extra
        },
    })
}

/// `append_mode`, which older files spell `append_only`. A Kafka stream only ever appends by default.
fn append_mode(section: &mut Section<'_>) -> Result<bool> {
    let (first, second) = ("append_mode", "append_only");
    match (section.boolean(first)?, section.boolean(second)?) {
        (Some(left), Some(right)) if left != right => Err(Error::ConflictingKeys {
            file: section.file().to_owned(),
            first: section.full_key(first),
            second: section.full_key(second),
        }),
        (left, right) => Ok(left.or(right).unwrap_or(true)),
    }
}

fn selected_columns(section: &mut Section<'_>, warnings: &mut Vec<Warning>) -> Result<Option<SelectedColumns>> {
    let Some(mut inner) = section.section("selected_columns")? else { return Ok(None) };
    let columns = inner.strings("columns")?.ok_or_else(|| inner.missing("columns"))?.into_iter().collect();
    let sync_new_columns = inner.boolean("sync_new_columns")?.unwrap_or(false);
    inner.finish(warnings);
    Ok(Some(SelectedColumns { columns, sync_new_columns }))
}

fn stream_entry(mut entry: Section<'_>, warnings: &mut Vec<Warning>) -> Result<Stream> {
    let stream = entry.section("stream")?.ok_or_else(|| entry.missing("stream"))?;
    let stream = stream_of(stream, warnings)?;
    entry.finish(warnings);
    Ok(stream)
}

fn stream_of(mut section: Section<'_>, warnings: &mut Vec<Warning>) -> Result<Stream> {
    let text = |section: &mut Section<'_>, key| Ok::<_, Error>(section.string(key)?.unwrap_or_default().to_owned());
    let name = section.string("name")?.ok_or_else(|| section.missing("name"))?.to_owned();
    Ok(Stream {
        name,
        namespace: text(&mut section, "namespace")?,
        properties: properties(&mut section, warnings)?,
        supported_sync_modes: section.strings("supported_sync_modes")?.unwrap_or_default(),
        source_defined_primary_key: section.strings("source_defined_primary_key")?.unwrap_or_default(),
        available_cursor_fields: section.strings("available_cursor_fields")?.unwrap_or_default(),
        sync_mode: text(&mut section, "sync_mode")?,
        cursor_field: section.string("cursor_field")?.map(str::to_owned),
        destination_database: text(&mut section, "destination_database")?,
        destination_table: text(&mut section, "destination_table")?,
        default_stream_properties: section.value("default_stream_properties").cloned(),
        extra: {
            // As above: OLake's, kept, without meaning here.
            let additional = section.value("additional_properties").cloned();
            let mut extra = section.finish(warnings);
            extra.extend(additional.map(|value| ("additional_properties".to_owned(), value)));
            extra
        },
    })
}

fn properties(stream: &mut Section<'_>, warnings: &mut Vec<Warning>) -> Result<BTreeMap<String, Property>> {
    let mut properties = BTreeMap::new();
    let Some(mut schema) = stream.section("type_schema")? else { return Ok(properties) };
    if let Some(value) = schema.value("properties") {
        let Value::Object(members) = value else {
            return Err(schema.wrong("properties", format!("must be an object, not {}", kind(value))));
        };
        for (name, member) in members {
            let path = schema.full_key(&format!("properties.{name}"));
            let property = property(Section::at(schema.file(), path, member)?, warnings)?;
            properties.insert(name.clone(), property);
        }
    }
    schema.finish(warnings);
    Ok(properties)
}

fn property(mut section: Section<'_>, warnings: &mut Vec<Warning>) -> Result<Property> {
    Ok(Property {
        types: types(&mut section)?,
        destination_column_name: section.string("destination_column_name")?.map(str::to_owned),
        olake_column: section.boolean("olake_column")?.unwrap_or(false),
        extra: section.finish(warnings),
    })
}

/// One type name or a list of them.
fn types(section: &mut Section<'_>) -> Result<TypeSet> {
    const KEY: &str = "type";
    let names = match section.value(KEY) {
        None => return Err(section.missing(KEY)),
        Some(Value::String(name)) => vec![name.clone()],
        Some(_) => section.strings(KEY)?.unwrap_or_default(),
    };
    if names.is_empty() {
        return Err(section.wrong(KEY, "must name at least one type"));
    }
    let known =
        |name: &String| name.parse::<DataType>().map_err(|error| section.wrong(KEY, format!("holds an {error}")));
    names.iter().map(known).collect()
}

fn reject_duplicates(catalog: &Catalog, file: &str) -> Result<()> {
    let mut names: Vec<&str> = catalog.streams.iter().map(|stream| stream.name.as_str()).collect();
    if let Some(name) = first_duplicate(&mut names) {
        return Err(Error::wrong_value(file, "streams", format!("holds topic {name} twice")));
    }
    let selected = catalog.selected_streams.iter().flatten().flat_map(|(_, streams)| streams);
    let mut names: Vec<&str> = selected.map(|stream| stream.stream_name.as_str()).collect();
    match first_duplicate(&mut names) {
        Some(name) => Err(Error::wrong_value(file, "selected_streams", format!("selects topic {name} twice"))),
        None => Ok(()),
    }
}

fn first_duplicate<'a>(names: &mut [&'a str]) -> Option<&'a str> {
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
