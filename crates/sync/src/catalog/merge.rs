//! What discovery does to a catalog that is already there: the choices stay, the facts are renewed.
//!
//! - A selection stays while its topic exists; a new topic is listed but not selected.
//! - Selected columns stay while they exist. OLake's own columns stay always. Columns never seen
//!   before join when `sync_new_columns` says so.
//! - A stream keeps its mode, cursor, destination and primary key; the schema and the rest are new.
//! - A new stream goes where the others go, when they agree on a database or a prefix.

use super::{Catalog, OLAKE_COLUMNS, SelectedColumns, SelectedStream, Stream};

/// Lays the choices of `old` over the facts of `new`.
pub fn merge(old: &Catalog, new: Catalog) -> Catalog {
    let database = SharedDatabase::of(&old.streams);
    let selected_streams = match &old.selected_streams {
        None => new.selected_streams.clone(),
        Some(selected) => {
            let kept = selected.iter().map(|(namespace, streams)| {
                let streams = streams.iter().filter_map(|it| merge_selection(it, old, &new)).collect();
                (namespace.clone(), streams)
            });
            Some(kept.collect())
        }
    };
    let streams = new.streams.into_iter().map(|stream| merge_stream(stream, old, database.as_ref())).collect();
    Catalog { selected_streams, streams, extra: old.extra.clone() }
}

/// The selection in `old`, fitted to the columns of `new`; `None` when the topic is gone.
fn merge_selection(selected: &SelectedStream, old: &Catalog, new: &Catalog) -> Option<SelectedStream> {
    let stream = new.stream(&selected.stream_name)?;
    let mut merged = selected.clone();
    if let Some(columns) = &mut merged.selected_columns {
        *columns = merge_columns(columns, old.stream(&selected.stream_name), stream);
    }
    Some(merged)
}

fn merge_columns(selected: &SelectedColumns, old: Option<&Stream>, new: &Stream) -> SelectedColumns {
    let known = |name: &String| old.is_some_and(|old| old.properties.contains_key(name));
    let is_ours = |name: &String| {
        OLAKE_COLUMNS.contains(&name.as_str()) || new.properties.get(name).is_some_and(|property| property.olake_column)
    };
    let keep = |name: &&String| {
        selected.columns.contains(*name) || is_ours(name) || (selected.sync_new_columns && !known(name))
    };
    SelectedColumns {
        columns: new.properties.keys().filter(keep).cloned().collect(),
        sync_new_columns: selected.sync_new_columns,
    }
}

fn merge_stream(mut stream: Stream, old: &Catalog, database: Option<&SharedDatabase>) -> Stream {
    let Some(old) = old.stream(&stream.name) else {
        match database {
            Some(SharedDatabase::Constant(name)) => stream.destination_database.clone_from(name),
            Some(SharedDatabase::Prefix(prefix)) => {
                stream.destination_database = format!("{prefix}:{}", stream.namespace);
            }
            None => {}
        }
        return stream;
    };
    stream.sync_mode.clone_from(&old.sync_mode);
    stream.cursor_field.clone_from(&old.cursor_field);
    if !old.destination_database.is_empty() {
        stream.destination_database.clone_from(&old.destination_database);
    }
    if !old.destination_table.is_empty() {
        stream.destination_table.clone_from(&old.destination_table);
    }
    if !old.source_defined_primary_key.is_empty() {
        stream.source_defined_primary_key.clone_from(&old.source_defined_primary_key);
    }
    stream
}

/// What the databases of a catalog have in common.
#[derive(Debug, PartialEq, Eq)]
enum SharedDatabase {
    /// All are `<prefix>:<namespace>`.
    Prefix(String),
    /// All are this one name.
    Constant(String),
}

impl SharedDatabase {
    fn of(streams: &[Stream]) -> Option<Self> {
        let mut shared = None;
        for stream in streams.iter().filter(|stream| !stream.destination_database.is_empty()) {
            let database = match stream.destination_database.split_once(':') {
                Some((prefix, _)) => Self::Prefix(prefix.to_owned()),
                None => Self::Constant(stream.destination_database.clone()),
            };
            match &shared {
                None => shared = Some(database),
                Some(first) if *first == database => {}
                Some(_) => return None,
            }
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{catalog_of, set_types};
    use super::*;

    fn columns(catalog: &Catalog, topic: &str) -> Vec<String> {
        let selected = catalog.selected(topic).unwrap().selected_columns.clone().unwrap();
        selected.columns.into_iter().collect()
    }

    #[test]
    fn choices_stay_and_facts_are_renewed() {
        let mut old = catalog_of(&[("a", &["x"]), ("gone", &["x"])]);
        let stream = &mut old.streams[0];
        stream.sync_mode = "cdc".to_owned();
        stream.destination_database = "lake".to_owned();
        stream.destination_table = "mine".to_owned();
        stream.source_defined_primary_key = vec!["x".to_owned()];
        let selected = &mut old.selected_streams.as_mut().unwrap().get_mut("topics").unwrap()[0];
        selected.normalization = true;
        selected.partition_regex = "/{x,,}".to_owned();
        let mut new = catalog_of(&[("a", &["x", "y"]), ("b", &["z"])]);
        set_types(&mut new, "a", "x", &["number"]);

        let merged = merge(&old, new);
        let stream = merged.stream("a").unwrap();
        assert_eq!((stream.sync_mode.as_str(), stream.destination_table.as_str()), ("cdc", "mine"));
        assert_eq!((stream.destination_database.as_str(), stream.source_defined_primary_key.len()), ("lake", 1));
        assert_eq!(stream.properties["x"].types, "number".parse().into_iter().collect());
        let selected = merged.selected("a").unwrap();
        assert!(selected.normalization && selected.partition_regex == "/{x,,}");
        assert!(merged.selected("gone").is_none() && merged.stream("gone").is_none());
        assert!(merged.stream("b").is_some() && merged.selected("b").is_none(), "new topics are listed, not selected");
    }

    #[test]
    fn selected_columns_follow_the_schema() {
        let ours = ["_olake_id", "_olake_timestamp", "_op_type"].map(str::to_owned);
        for (sync_new, expected) in [(true, vec!["kept", "new"]), (false, vec!["kept"])] {
            let mut old = catalog_of(&[("a", &["kept", "dropped", "gone"])]);
            let selected = &mut old.selected_streams.as_mut().unwrap().get_mut("topics").unwrap()[0];
            selected.selected_columns = Some(SelectedColumns {
                columns: ["kept", "gone"].map(str::to_owned).into(),
                sync_new_columns: sync_new,
            });
            let merged = merge(&old, catalog_of(&[("a", &["kept", "dropped", "new"])]));
            let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            expected.extend(ours.clone());
            expected.sort();
            assert_eq!(columns(&merged, "a"), expected, "sync_new_columns {sync_new}");
        }
    }

    #[test]
    fn a_new_stream_goes_where_the_others_go() {
        for (databases, expected) in [
            (["p:topics", "p:topics"], "p:topics"),
            (["lake", "lake"], "lake"),
            (["p:topics", "q:topics"], "kafka:topics"),
            (["lake", "p:topics"], "kafka:topics"),
        ] {
            let mut old = catalog_of(&[("a", &[]), ("b", &[])]);
            for (stream, database) in old.streams.iter_mut().zip(databases) {
                stream.destination_database = database.to_owned();
            }
            let merged = merge(&old, catalog_of(&[("a", &[]), ("b", &[]), ("c", &[])]));
            assert_eq!(merged.stream("c").unwrap().destination_database, expected, "{databases:?}");
        }
    }

    #[test]
    fn a_file_that_selects_everything_takes_the_new_selection() {
        let mut old = catalog_of(&[("a", &[])]);
        old.selected_streams = None;
        let merged = merge(&old, catalog_of(&[("a", &[]), ("b", &[])]));
        assert!(merged.selected("a").is_some() && merged.selected("b").is_some());
    }
}
