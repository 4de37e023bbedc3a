//! Odd records: what OLake made of them (`tests/golden/olake`) beside what kanat makes of them.
//!
//! The differences found must be exactly those that `tests/golden/olake/DEVIATIONS.md` lists and gives reasons for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use kanat_tests::{Job, Kafka, Layout, Table, peers_dir, run};
use serde_json::Value;

const FILE_SIZE_MB: f64 = 512.0;
/// The time of the run, which no two runs share.
const VOLATILE: &str = "_olake_timestamp";

/// The cells of a row that are not null: column -> type and value as text.
type Row = BTreeMap<String, String>;

struct Case {
    name: String,
    golden: Value,
    jobs: [(Layout, &'static str, Job); 2],
}

fn goldens_dir() -> PathBuf {
    peers_dir().join("../golden/olake")
}

fn goldens() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(goldens_dir()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let parse = |path: PathBuf| {
        let golden = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), golden)
    };
    files.map(parse).collect()
}

fn produce(kafka: &Kafka, stage: &str) {
    let script = goldens_dir().join("produce.py");
    run(Command::new(peers_dir().join("python.sh")).arg(script).args([kafka.bootstrap(), "golden", stage]));
}

/// The rows of a table by their offset.
fn rows(files: &Value) -> BTreeMap<i64, Row> {
    let mut rows = BTreeMap::new();
    for file in files.as_array().unwrap() {
        let Some(columns) = file["columns"].as_object() else { continue };
        for cells in file["rows"].as_array().unwrap() {
            let cells = columns.iter().zip(cells.as_array().unwrap()).filter(|((name, _), _)| *name != VOLATILE);
            let text = |((name, kind), cell): ((&String, &Value), &Value)| {
                Some((name.clone(), format!("{} {:?}", kind.as_str().unwrap(), cell.as_str()?)))
            };
            let offset = cells.clone().find_map(|((name, _), cell)| offset_in(name, cell)).unwrap();
            assert!(rows.insert(offset, cells.filter_map(text).collect()).is_none(), "offset {offset} twice");
        }
    }
    rows
}

fn offset_in(column: &str, cell: &Value) -> Option<i64> {
    match column {
        "_kafka_offset" => cell.as_str()?.parse().ok(),
        "data" => serde_json::from_str::<Value>(cell.as_str()?).ok()?.get("_kafka_offset")?.as_i64(),
        _ => None,
    }
}

/// OLake makes a null key an empty text, so that the two cannot be told apart; kanat keeps it null. That holds for every row of
/// every case, and is applied to OLake's rows before anything is compared.
fn keep_null_keys(golden: &Value, rows: &mut BTreeMap<i64, Row>) {
    let records = golden["at_discovery"].as_array().unwrap().iter().chain(golden["later"].as_array().unwrap());
    let null_keys = (0..).zip(records).filter(|(_, record)| record["key"].is_null());
    for (offset, _) in null_keys {
        let Some(row) = rows.get_mut(&offset) else { continue };
        row.remove("_kafka_key");
        if let Some(data) = row.get_mut("data") {
            *data = data.replacen(r#"\"_kafka_key\":\"\""#, r#"\"_kafka_key\":null"#, 1);
        }
    }
}

/// One line per cell that differs. A row counts as the same if it is what OLake writes with any size of its buffer.
fn differences(place: &str, ours: &BTreeMap<i64, Row>, theirs: &[BTreeMap<i64, Row>]) -> Vec<String> {
    let offsets: BTreeSet<i64> = ours.keys().chain(theirs.iter().flat_map(BTreeMap::keys)).copied().collect();
    let line = |offset| match (ours.get(&offset), theirs[0].get(&offset)) {
        (Some(our_row), _) if theirs.iter().any(|rows| rows.get(&offset) == Some(our_row)) => Vec::new(),
        (Some(our_row), Some(their_row)) => cell_differences(&format!("{place} {offset}"), our_row, their_row),
        (Some(our_row), None) => {
            let payload: Vec<String> = our_row
                .iter()
                .filter(|(column, _)| !column.starts_with('_'))
                .map(|(column, cell)| format!("{column} = {cell}"))
                .collect();
            vec![format!("{place} {offset}: no row -> {}", payload.join(", "))]
        }
        (None, _) => vec![format!("{place} {offset}: a row -> no row")],
    };
    offsets.into_iter().flat_map(line).collect()
}

fn cell_differences(place: &str, ours: &Row, theirs: &Row) -> Vec<String> {
    let columns: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let cell = |row: &Row, column| row.get(column).cloned().unwrap_or_else(|| "null".to_owned());
    let differing = columns.into_iter().filter(|column| ours.get(*column) != theirs.get(*column));
    differing.map(|column| format!("{place} {column}: {} -> {}", cell(theirs, column), cell(ours, column))).collect()
}

fn discovered_differences(case: &Case) -> Vec<String> {
    let types = |properties: &Value| -> BTreeMap<String, String> {
        let properties = properties.as_object().unwrap().iter();
        let names = |property: &Value| {
            let mut names: Vec<String> =
                property["type"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
            names.sort();
            names.join("|")
        };
        properties
            .map(|(key, property)| {
                (key.clone(), format!("{} in {}", names(property), property["destination_column_name"]))
            })
            .collect()
    };
    let (theirs, ours) = (types(&case.golden["discovered"]), types(&case.jobs[0].2.discovered_properties()));
    let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let absent = || "absent".to_owned();
    let line = |key: &&String| {
        let (their, our) =
            (theirs.get(*key).cloned().unwrap_or_else(absent), ours.get(*key).cloned().unwrap_or_else(absent));
        (their != our).then(|| format!("{} discovered {key:?}: {their} -> {our}", case.name))
    };
    keys.iter().filter_map(line).collect()
}

/// The lines of the code blocks of DEVIATIONS.md.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(goldens_dir().join("DEVIATIONS.md")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

#[test]
fn odd_records_become_what_olake_makes_of_them_or_something_documented() {
    let kafka = Kafka::shared();
    produce(kafka, "at_discovery");
    let case = |(name, golden): (String, Value)| {
        let topic = format!("golden-{}", name.replace('_', "-"));
        let job = |layout, key| (layout, key, Job::new(kafka, &topic, layout, FILE_SIZE_MB));
        Case { jobs: [job(Layout::Normalized, "normalized"), job(Layout::Raw, "raw")], name, golden }
    };
    let cases: Vec<Case> = goldens().into_iter().map(case).collect();
    produce(kafka, "later");
    let jobs = || cases.iter().flat_map(|case| &case.jobs).map(|(_, _, job)| job);
    jobs().for_each(Job::sync);
    let tables: Vec<Table> = jobs().map(Job::table).collect();
    let mut read = Table::files(&tables).into_iter();

    let mut found = BTreeSet::new();
    for case in &cases {
        found.extend(discovered_differences(case));
        for (_, key, _) in &case.jobs {
            let synced = &case.golden["synced"];
            let variants = [&synced[*key], &synced[format!("{key}_unbuffered")]];
            let mut theirs: Vec<_> = variants.iter().filter(|it| !it.is_null()).map(|it| rows(&it["files"])).collect();
            theirs.iter_mut().for_each(|rows| keep_null_keys(&case.golden, rows));
            let ours = rows(&read.next().unwrap());
            found.extend(differences(&format!("{} {key}", case.name), &ours, &theirs));
        }
    }
    let documented = documented();
    let surplus: Vec<&String> = found.difference(&documented).collect();
    let missing: Vec<&String> = documented.difference(&found).collect();
    assert!(surplus.is_empty(), "differences from OLake that DEVIATIONS.md does not give a reason for:\n{surplus:#?}");
    assert!(missing.is_empty(), "differences of DEVIATIONS.md that are none:\n{missing:#?}");
}
