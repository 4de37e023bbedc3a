//! The seal journal: what readers see after a crash at any step.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::journal::SealStep;
use super::super::{
    FinishedFile, JournalEntry, JournalOptions, Owner, RowFolders, SealJournal, TableOptions, check_folder, clear_table,
};
use super::{numbered, numbers_in, owner, table, tree, visible};
use crate::error::{Error, Result};

/// A warehouse with a table and its dead letters.
struct Warehouse {
    folder: tempfile::TempDir,
}

impl Warehouse {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    fn orders(&self) -> PathBuf {
        self.root().join("orders")
    }

    fn dead_letters(&self) -> PathBuf {
        self.root().join("orders_dead_letter")
    }

    fn open(&self, owner: Owner) -> Result<(SealJournal, Vec<JournalEntry>)> {
        SealJournal::open(JournalOptions { table: self.orders(), beside: vec![self.dead_letters()], owner })
    }

    /// Files of both tables, rows in two partition folders.
    fn files(&self, owner: Owner, first: i64) -> Vec<FinishedFile> {
        let mut orders = super::super::TableWriter::new(self.orders(), owner.clone(), TableOptions::default());
        let mut folders = RowFolders::new();
        (0..100).for_each(|row| folders.push(["dt=1", "dt=2"][row % 2]));
        orders.write_split(&numbered(first, 100), &folders).unwrap();
        let mut dead = super::super::TableWriter::new(self.dead_letters(), owner, TableOptions::default());
        dead.write(&numbered(first + 100, 10)).unwrap();
        let mut files = orders.finish_files().unwrap();
        files.extend(dead.finish_files().unwrap());
        files
    }

    /// What a reader finds in both tables.
    fn rows(&self) -> Vec<i64> {
        let mut numbers: Vec<i64> = visible(&self.root()).iter().flat_map(|path| numbers_in(path)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn temporaries(&self) -> usize {
        tree(&self.root()).iter().filter(|name| name.ends_with(".tmp")).count()
    }
}

fn progress(from: i64, to: i64) -> Value {
    json!({"topic": "orders", "partitions": {"0": [from, to]}})
}

/// Entries as a later run is told of them.
fn told(entries: &[JournalEntry]) -> Vec<Value> {
    entries.iter().map(|entry| entry.progress().clone()).collect()
}

#[test]
fn a_sealed_file_is_part_of_the_table() {
    let warehouse = Warehouse::new();
    let (journal, entries) = warehouse.open(owner()).unwrap();
    assert_eq!(entries, []);
    let files = warehouse.files(owner(), 0);
    assert!(warehouse.rows().is_empty(), "nothing is visible before the seal");
    let entry = journal.seal(&files, &progress(0, 110)).unwrap();
    assert_eq!(warehouse.rows(), (0..110).collect::<Vec<_>>());
    assert_eq!((entry.progress(), entry.files()), (&progress(0, 110), files.as_slice()));
    journal.complete(&entry).unwrap();
    drop(journal);

    let (_journal, entries) = warehouse.open(owner()).unwrap();
    assert_eq!(entries, []);
    assert_eq!(warehouse.rows(), (0..110).collect::<Vec<_>>());
}

#[test]
fn names_are_olakes() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    let _entry = journal.seal(&warehouse.files(owner(), 0), &Value::Null).unwrap();
    for path in visible(&warehouse.root()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (time, id) = name.strip_suffix(".parquet").unwrap().rsplit_once('_').unwrap();
        assert!(ulid::Ulid::from_string(id).is_ok(), "{name}");
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00_00-00-00", "{name}");
    }
}

/// After a crash at any step, the next run sees all of the seal or none of it, and is told which.
#[test]
fn a_crash_at_any_step_loses_nothing_and_doubles_nothing() {
    let steps = [
        (SealStep::FilesDurable, false),
        (SealStep::EntryWritten, false),
        (SealStep::EntryNamed, true),
        (SealStep::Committed, true),
        (SealStep::FirstFileNamed, true),
        (SealStep::FilesNamed, true),
    ];
    for (step, committed) in steps {
        let warehouse = Warehouse::new();
        let (journal, _) = warehouse.open(owner()).unwrap();
        let first = journal.seal(&warehouse.files(owner(), 0), &progress(0, 110)).unwrap();
        journal.complete(&first).unwrap();
        *journal.crash_after.lock().unwrap() = Some(step);
        let files = warehouse.files(owner(), 110);
        assert!(journal.seal(&files, &progress(110, 220)).is_err(), "{step:?}");
        drop(journal);

        let (journal, entries) = warehouse.open(owner()).unwrap();
        assert_eq!(told(&entries), if committed { vec![progress(110, 220)] } else { vec![] }, "{step:?}");
        // The caller starts after what it was told.
        let next = if committed { 220 } else { 110 };
        assert_eq!(warehouse.rows(), (0..next).collect::<Vec<_>>(), "{step:?}");
        assert_eq!(warehouse.temporaries(), 0, "{step:?}");
        for entry in &entries {
            journal.complete(entry).unwrap();
        }
        let entry = journal.seal(&warehouse.files(owner(), next), &progress(next, next + 110)).unwrap();
        journal.complete(&entry).unwrap();
        assert_eq!(warehouse.rows(), (0..next + 110).collect::<Vec<_>>(), "{step:?}");
        drop(journal);
        assert_eq!(warehouse.open(owner()).unwrap().1, [], "{step:?}");
    }
}

/// A crash during recovery is a crash like any other.
#[test]
fn recovery_may_be_repeated() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    *journal.crash_after.lock().unwrap() = Some(SealStep::FirstFileNamed);
    assert!(journal.seal(&warehouse.files(owner(), 0), &progress(0, 110)).is_err());
    drop(journal);
    for _ in 0..3 {
        let (journal, entries) = warehouse.open(owner()).unwrap();
        assert_eq!(told(&entries), [progress(0, 110)]);
        assert_eq!(warehouse.rows(), (0..110).collect::<Vec<_>>());
        drop(journal);
    }
}

#[test]
fn several_entries_are_told_in_order() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    let sealed: Vec<_> = (0..3)
        .map(|seal| journal.seal(&warehouse.files(owner(), seal * 110), &progress(seal, seal + 1)).unwrap())
        .collect();
    drop(journal);
    let (_journal, entries) = warehouse.open(owner()).unwrap();
    let mut expected = sealed.clone();
    // ULIDs of one millisecond are in no order.
    expected.sort_by(|left, right| left.path().cmp(right.path()));
    assert_eq!(entries, expected);
}

#[test]
fn half_an_entry_is_no_entry() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    *journal.crash_after.lock().unwrap() = Some(SealStep::EntryWritten);
    assert!(journal.seal(&warehouse.files(owner(), 0), &progress(0, 110)).is_err());
    let half = fs::read_dir(journal.folder()).unwrap().map(|entry| entry.unwrap().path());
    let half: Vec<PathBuf> = half.filter(|path| path.extension().is_some_and(|it| it == "tmp")).collect();
    let bytes = fs::read(&half[0]).unwrap();
    fs::write(&half[0], &bytes[..bytes.len() / 2]).unwrap();
    drop(journal);
    let (_journal, entries) = warehouse.open(owner()).unwrap();
    assert_eq!((entries, warehouse.rows(), warehouse.temporaries()), (vec![], vec![], 0));
}

/// A damaged entry may or may not have had its files renamed: a person has to look, and is told where.
#[test]
fn a_damaged_entry_stops_the_run() {
    let escape = json!({"version": 1, "owner": "group-a", "progress": null,
        "files": [{"temporary": "../x", "path": "orders/x", "rows": 1, "bytes": 1}]});
    let foreign = json!({"version": 1, "owner": "group-b", "progress": null, "files": []});
    let later = json!({"version": 2, "owner": "group-a", "progress": null, "files": []});
    for damaged in ["", "{\"version\":1,\"own", &escape.to_string(), &foreign.to_string(), &later.to_string()] {
        let warehouse = Warehouse::new();
        let (journal, _) = warehouse.open(owner()).unwrap();
        let path = journal.folder().join("01JD0000000000000000000000.json");
        fs::write(&path, damaged).unwrap();
        let files = warehouse.files(owner(), 0);
        drop(journal);
        let error = warehouse.open(owner()).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(files.iter().all(|file| file.temporary.exists()), "nothing is deleted before a person has looked");
    }
}

#[test]
fn a_lost_file_stops_the_run() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    let files = warehouse.files(owner(), 0);
    let _entry = journal.seal(&files, &progress(0, 110)).unwrap();
    drop(journal);
    fs::remove_file(&files[1].path).unwrap();
    let error = warehouse.open(owner()).unwrap_err();
    assert!(matches!(&error, Error::FileLost { file, .. } if *file == files[1].path), "{error}");
}

#[test]
fn a_cut_file_stops_the_run() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    *journal.crash_after.lock().unwrap() = Some(SealStep::Committed);
    let files = warehouse.files(owner(), 0);
    assert!(journal.seal(&files, &progress(0, 110)).is_err());
    drop(journal);
    fs::File::options().write(true).open(&files[0].temporary).unwrap().set_len(10).unwrap();
    let error = warehouse.open(owner()).unwrap_err();
    assert!(matches!(error, Error::JournalEntry { .. }) && error.to_string().contains("10 bytes"), "{error}");
}

#[test]
fn files_of_another_owner_are_left_alone() {
    let warehouse = Warehouse::new();
    let theirs = Owner::new("group-b");
    let (their_journal, _) = warehouse.open(theirs.clone()).unwrap();
    let their_files = warehouse.files(theirs, 0);
    let mine = warehouse.files(owner(), 500);
    let (journal, _) = warehouse.open(owner()).unwrap();
    assert!(mine.iter().all(|file| !file.temporary.exists()));
    assert!(their_files.iter().all(|file| file.temporary.exists()));
    let entry = their_journal.seal(&their_files, &Value::Null).unwrap();
    assert_eq!(warehouse.rows(), (0..110).collect::<Vec<_>>());
    drop((journal, entry));
}

#[test]
fn one_owner_writes_a_table_once_at_a_time() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    let error = warehouse.open(owner()).unwrap_err();
    let lock = journal.folder().join("lock");
    let expected = format!(
        "another kanat sync is writing table {} with group group-a (lock file {})",
        warehouse.orders().display(),
        lock.display()
    );
    assert_eq!(error.to_string(), expected);
    let error = clear_table(&warehouse.orders()).unwrap_err();
    assert!(matches!(&error, Error::TableInUse { lock: held, .. } if *held == lock), "{error}");
    drop(journal);
    drop(warehouse.open(owner()).unwrap());
}

#[test]
fn a_run_without_rows_leaves_no_folder() {
    let warehouse = Warehouse::new();
    drop(warehouse.open(owner()).unwrap());
    assert!(!warehouse.orders().exists());
}

#[test]
fn threads_seal_their_own_files() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    let journal = Arc::new(journal);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (journal, warehouse) = (Arc::clone(&journal), &warehouse);
            scope.spawn(move || {
                for seal in 0..5 {
                    let first = (thread * 5 + seal) * 110;
                    let entry = journal.seal(&warehouse.files(owner(), first), &progress(first, first + 110)).unwrap();
                    journal.complete(&entry).unwrap();
                }
            });
        }
    });
    assert_eq!(warehouse.rows(), (0..2200).collect::<Vec<_>>());
}

#[test]
fn files_elsewhere_cannot_be_sealed() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut writer = table(elsewhere.path(), TableOptions::default());
    writer.write(&numbered(0, 1)).unwrap();
    let error = journal.seal(&writer.finish_files().unwrap(), &Value::Null).unwrap_err();
    assert!(matches!(error, Error::JournalEntry { .. }), "{error}");
}

#[test]
fn a_cleared_table_is_gone() {
    let warehouse = Warehouse::new();
    let (journal, _) = warehouse.open(owner()).unwrap();
    let _entry = journal.seal(&warehouse.files(owner(), 0), &Value::Null).unwrap();
    drop(journal);
    clear_table(&warehouse.orders()).unwrap();
    assert!(!warehouse.orders().exists() && warehouse.dead_letters().exists());
    clear_table(&warehouse.orders()).unwrap();
}

#[test]
fn folders_are_checked_by_writing() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    check_folder(&below).unwrap();
    assert_eq!(fs::read_dir(&below).unwrap().count(), 0);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = check_folder(&file.join("c")).unwrap_err();
    assert!(error.to_string().contains(Path::new("file/c").to_str().unwrap()), "{error}");
}
