//! What changed between two catalogs, seen by somebody who has to act on it: the selected streams that
//! are new or are to be synced in another way. Only the files are compared; no broker is asked.

use std::collections::BTreeMap;

use serde_json::Map;

use super::{Catalog, SelectedStream, Stream};

/// The streams that `new` selects and that `old` does not select, or selects otherwise.
/// A changed stream keeps the destination of `old`, where its data lies.
pub fn difference(old: &Catalog, new: &Catalog) -> Catalog {
    let mut selected_streams: BTreeMap<String, Vec<SelectedStream>> = BTreeMap::new();
    let mut streams = Vec::new();
    for (namespace, selected) in selections(new) {
        let Some(stream) = new.stream(&selected.stream_name) else { continue };
        let before = find(old, &selected.stream_name);
        if let Some((old_selected, old_stream)) = &before
            && !differs(old_selected, old_stream, &selected, stream)
        {
            continue;
        }
        let mut stream = stream.clone();
        if let Some((_, old_stream)) = before {
            stream.destination_database.clone_from(&old_stream.destination_database);
            stream.destination_table.clone_from(&old_stream.destination_table);
        }
        selected_streams.entry(namespace).or_default().push(selected);
        streams.push(stream);
    }
    Catalog { selected_streams: Some(selected_streams), streams, extra: Map::new() }
}

/// Every selection with its namespace. A catalog without selections selects every stream.
fn selections(catalog: &Catalog) -> Vec<(String, SelectedStream)> {
    match &catalog.selected_streams {
        Some(namespaces) => namespaces
            .iter()
            .flat_map(|(namespace, streams)| streams.iter().map(|stream| (namespace.clone(), stream.clone())))
            .collect(),
        None => catalog.streams.iter().map(|it| (it.namespace.clone(), SelectedStream::of(it))).collect(),
    }
}

fn find<'a>(catalog: &'a Catalog, topic: &str) -> Option<(SelectedStream, &'a Stream)> {
    let stream = catalog.stream(topic)?;
    let selected = match &catalog.selected_streams {
        Some(_) => catalog.selected(topic)?.clone(),
        None => SelectedStream::of(stream),
    };
    Some((selected, stream))
}

/// Whether one of the settings that decide what lands in the table is another.
fn differs(old: &SelectedStream, old_stream: &Stream, new: &SelectedStream, new_stream: &Stream) -> bool {
    old.normalization != new.normalization
        || old.partition_regex != new.partition_regex
        || old.filter != new.filter
        || old.filter_config != new.filter_config
        || old.use_source_column_names != new.use_source_column_names
        || old.append_mode != new.append_mode
        || old_stream.sync_mode != new_stream.sync_mode
        || old_stream.destination_database != new_stream.destination_database
        || old_stream.destination_table != new_stream.destination_table
        || (new_stream.sync_mode == "incremental" && old_stream.cursor_field != new_stream.cursor_field)
}

#[cfg(test)]
mod tests {
    use super::super::tests::catalog_of;
    use super::*;

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.streams.iter().map(|stream| stream.name.as_str()).collect()
    }

    /// A catalog of one topic, changed by `change`.
    fn changed(change: impl FnOnce(&mut SelectedStream, &mut Stream)) -> Catalog {
        let mut catalog = catalog_of(&[("a", &["x"])]);
        let selected = &mut catalog.selected_streams.as_mut().unwrap().get_mut("topics").unwrap()[0];
        change(selected, &mut catalog.streams[0]);
        catalog
    }

    #[test]
    fn equal_catalogs_differ_in_nothing() {
        let catalog = catalog_of(&[("a", &["x"]), ("b", &[])]);
        let delta = difference(&catalog, &catalog);
        assert_eq!(names(&delta), [""; 0]);
        assert_eq!(delta.to_json(), serde_json::json!({"selected_streams": {}, "streams": []}));
    }

    #[test]
    fn every_setting_that_shapes_the_table_counts() {
        let old = changed(|_, _| ());
        let changes: [fn(&mut SelectedStream, &mut Stream); 9] = [
            |selected, _| selected.normalization = true,
            |selected, _| selected.partition_regex = "/{x,,}".to_owned(),
            |selected, _| selected.filter = Some("x > 1".to_owned()),
            |selected, _| selected.filter_config = Some(serde_json::json!({"conditions": []})),
            |selected, _| selected.use_source_column_names = true,
            |selected, _| selected.append_mode = false,
            |_, stream| stream.sync_mode = "cdc".to_owned(),
            |_, stream| stream.destination_database = "other".to_owned(),
            |_, stream| stream.destination_table = "other".to_owned(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert_eq!(names(&difference(&old, &changed(change))), ["a"], "change {index}");
        }
    }

    #[test]
    fn cursor_schema_and_columns_do_not_count() {
        let old = changed(|_, _| ());
        let new = changed(|selected, stream| {
            selected.selected_columns = None;
            stream.cursor_field = Some("x".to_owned());
            stream.properties.clear();
        });
        assert_eq!(names(&difference(&old, &new)), [""; 0]);
        let incremental = |cursor: &str| {
            let cursor = cursor.to_owned();
            changed(|_, stream| {
                stream.sync_mode = "incremental".to_owned();
                stream.cursor_field = Some(cursor);
            })
        };
        assert_eq!(names(&difference(&incremental("x"), &incremental("y"))), ["a"]);
    }

    #[test]
    fn new_streams_are_listed_and_changed_ones_keep_their_old_destination() {
        let old = changed(|_, stream| stream.destination_table = "old_table".to_owned());
        let mut new = catalog_of(&[("a", &["x"]), ("b", &[]), ("unselected", &[])]);
        new.selected_streams.as_mut().unwrap().get_mut("topics").unwrap().pop();
        let delta = difference(&old, &new);
        assert_eq!(names(&delta), ["a", "b"]);
        assert_eq!(delta.stream("a").unwrap().destination_table, "old_table");
        assert_eq!(delta.selected_streams.unwrap()["topics"].len(), 2);
    }
}
