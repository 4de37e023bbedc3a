//! Tables judged by DuckDB.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{peers_dir, run};

/// A folder of Parquet files, read by DuckDB and never by our own code.
#[derive(Clone, Debug)]
pub struct Table {
    dir: PathBuf,
}

impl Table {
    /// The table in the folder `dir`, which need not exist yet.
    pub fn new(dir: PathBuf) -> Table {
        Table { dir }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many `*.parquet` files there are below the folder.
    ///
    /// # Panics
    /// When the folder cannot be listed.
    pub fn file_count(&self) -> usize {
        count_parquet(&self.dir)
    }

    /// Proves that every file at its final name is a whole Parquet file: a reader of the table may come at any instant.
    ///
    /// # Panics
    /// When one is not.
    pub fn assert_readable(&self) {
        self.judge("readable", &[]);
    }

    /// Proves that the table has the (partition, offset) pairs of `offsets_file`, each once, and no row where `never` is true.
    ///
    /// # Panics
    /// When it has not; the message counts what is lost and what is doubled.
    pub fn assert_holds(&self, offsets_file: &Path, never: &[&str]) {
        let mut arguments = vec![OsStr::new("--offsets"), offsets_file.as_os_str()];
        arguments.extend(never.iter().flat_map(|condition| [OsStr::new("--where-none"), OsStr::new(condition)]));
        self.judge("holds", &arguments);
    }

    /// Proves that the column `id` takes each value from 0 to `count` - 1 once.
    ///
    /// # Panics
    /// When it does not.
    pub fn assert_ids(&self, count: u64) {
        self.judge("holds", &[OsStr::new("--ids"), OsStr::new(&count.to_string())]);
    }

    /// The rows of a query over the table `t`, each a JSON object.
    ///
    /// # Panics
    /// When DuckDB refuses the query or a file.
    pub fn query(&self, sql: &str) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).expect("duck_check.py prints JSON lines");
        self.judge("query", &[OsStr::new(sql)]).lines().map(parse).collect()
    }

    /// Every file of every table with its columns and rows: for each table a JSON list as `duck_check.py files` prints it.
    ///
    /// # Panics
    /// When DuckDB refuses a file.
    pub fn files(tables: &[Table]) -> Vec<serde_json::Value> {
        let Some((first, others)) = tables.split_first() else { return Vec::new() };
        let others: Vec<&OsStr> = others.iter().map(|table| table.dir.as_os_str()).collect();
        let parse = |line| serde_json::from_str(line).expect("duck_check.py prints JSON lines");
        first.judge("files", &others).lines().map(parse).collect()
    }

    fn judge(&self, verb: &str, arguments: &[&OsStr]) -> String {
        let script = peers_dir().join("duck_check.py");
        run(Command::new(peers_dir().join("python.sh")).arg(script).arg(verb).arg(&self.dir).args(arguments))
    }
}

fn count_parquet(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("the table's folder can be listed").path();
        count += if path.is_dir() {
            count_parquet(&path)
        } else {
            usize::from(path.extension().is_some_and(|extension| extension == "parquet"))
        };
    }
    count
}
