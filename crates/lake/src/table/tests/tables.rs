//! Many files: rolling, partition folders, bounds.

use std::sync::Arc;

use arrow_array::{Float64Array, Int64Array};

use super::super::{FileOptions, RowFolders, TableOptions};
use super::{batch, footer, is_text, numbered, numbers_in, table, tree};
use crate::error::Error;

#[test]
fn no_rows_leave_no_file_and_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db/orders");
    let mut writer = table(&path, TableOptions::default());
    writer.write(&numbered(0, 0)).unwrap();
    writer.write_split(&numbered(0, 0), &RowFolders::new()).unwrap();
    assert_eq!(writer.finish_files().unwrap(), []);
    assert!(!path.exists());
}

#[test]
fn files_roll_by_size() {
    let folder = tempfile::tempdir().unwrap();
    let options = TableOptions { file_bytes_max: 100_000, ..TableOptions::default() };
    let mut writer = table(folder.path(), options);
    for chunk in 0..50 {
        writer.write(&numbered(chunk * 500, 500)).unwrap();
    }
    let unsealed = writer.unsealed_bytes();
    assert_eq!(writer.unsealed_rows(), 25_000);
    let files = writer.finish_files().unwrap();
    assert!(files.len() >= 6, "{}", files.len());
    let chunk_bytes = 500 * 60;
    assert!(files.iter().all(|file| file.bytes < 100_000 + chunk_bytes), "{files:?}");
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    assert!(total.abs_diff(unsealed) < unsealed / 10, "{unsealed} was the estimate, {total} it became");
    let numbers: Vec<i64> = files.iter().flat_map(|file| numbers_in(&file.temporary)).collect();
    assert_eq!(numbers, (0..25_000).collect::<Vec<_>>());
    assert_eq!((writer.unsealed_bytes(), writer.memory_bytes(), writer.open_files()), (0, 0, 0));
}

#[test]
fn another_schema_starts_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path(), TableOptions::default());
    writer.write(&batch(vec![("n", Arc::new(Int64Array::from(vec![1, 2])))])).unwrap();
    writer.write(&batch(vec![("n", Arc::new(Int64Array::from(vec![3])))])).unwrap();
    writer.write(&batch(vec![("n", Arc::new(Float64Array::from(vec![4.5])))])).unwrap();
    assert_eq!(writer.open_files(), 1);
    let files = writer.finish_files().unwrap();
    assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn columns_are_in_byte_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path(), TableOptions::default());
    let text = Arc::clone(numbered(0, 3).column(1));
    let number = Arc::clone(numbered(7, 3).column(0));
    let shared = || Arc::clone(&text);
    writer.write(&batch(vec![("b", shared()), ("é", shared()), ("_x", shared()), ("n", number)])).unwrap();
    let files = writer.finish_files().unwrap();
    let schema = footer(&files[0].temporary).file_metadata().schema_descr_ptr();
    assert_eq!(schema.columns().iter().map(|column| column.name()).collect::<Vec<_>>(), ["_x", "b", "n", "é"]);
    assert_eq!(numbers_in(&files[0].temporary), [7, 8, 9]);
    assert!(is_text(super::read(&files[0].temporary)[0].column(0).data_type()));
}

#[test]
fn rows_go_to_their_folders_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path(), TableOptions::default());
    for chunk in 0..4 {
        let mut folders = RowFolders::new();
        for row in 0..300 {
            folders.push(["dt=1", "dt=2/country=pt", ""][row % 3]);
        }
        writer.write_split(&numbered(chunk * 300, 300), &folders).unwrap();
    }
    // A chunk all of whose rows go to one folder.
    let mut folders = RowFolders::new();
    (0..30).for_each(|_| folders.push("dt=1"));
    writer.write_split(&numbered(1200, 30), &folders).unwrap();

    assert_eq!(writer.open_files(), 3);
    let files = writer.finish_files().unwrap();
    assert_eq!(files.len(), 3);
    for (folder_name, remainder, extra) in [("dt=1", 0, 30), ("dt=2/country=pt", 1, 0), ("", 2, 0)] {
        let wanted = folder.path().join(folder_name);
        let file =
            files.iter().find(|file| file.path.parent() == Some(&*wanted) || file.path.parent().unwrap() == wanted);
        let expected: Vec<i64> = (0..1200).filter(|n| n % 3 == remainder).chain(1200..1200 + extra).collect();
        assert_eq!(numbers_in(&file.unwrap().temporary), expected, "{folder_name}");
    }
}

#[test]
fn folders_for_other_rows_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path(), TableOptions::default());
    let mut folders = RowFolders::new();
    folders.push("a");
    let error = writer.write_split(&numbered(0, 2), &folders).unwrap_err();
    assert!(matches!(error, Error::RowFolders { folders: 1, rows: 2 }));
    assert_eq!(tree(folder.path()), Vec::<String>::new());
}

#[test]
fn few_files_are_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path(), TableOptions { open_files_max: 4, ..TableOptions::default() });
    for chunk in 0..10 {
        let mut folders = RowFolders::new();
        (0..100).for_each(|row| folders.push(&format!("p={}", (chunk * 3 + row) % 10)));
        writer.write_split(&numbered(chunk * 100, 100), &folders).unwrap();
        assert!(writer.open_files() <= 4);
    }
    let files = writer.finish_files().unwrap();
    let mut numbers: Vec<i64> = files.iter().flat_map(|file| numbers_in(&file.temporary)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    assert!(files.iter().all(|file| file.rows > 0));
}

#[test]
fn open_files_share_one_memory_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileOptions { compression: "none".parse().unwrap(), row_group_bytes_max: 1 << 20 };
    let options = TableOptions { file, memory_bytes_max: 2 << 20, ..TableOptions::default() };
    let mut writer = table(folder.path(), options);
    for chunk in 0..60 {
        let mut folders = RowFolders::new();
        (0..2000).for_each(|row| folders.push(&format!("p={}", row % 16)));
        writer.write_split(&numbered(chunk * 2000, 2000), &folders).unwrap();
        assert!(writer.memory_bytes() <= 2 << 20);
    }
    writer.flush_row_groups().unwrap();
    assert_eq!(writer.memory_bytes(), 0);
    let files = writer.finish_files().unwrap();
    assert_eq!(files.len(), 16);
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 120_000);
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path(), TableOptions { file_bytes_max: 1, ..TableOptions::default() });
    writer.write(&numbered(0, 100)).unwrap();
    writer.write(&numbered(100, 100)).unwrap();
    assert_eq!(tree(folder.path()).len(), 2);
    drop(writer);
    assert_eq!(tree(folder.path()), Vec::<String>::new());
}
