//! Kills a process that writes and seals, at random instants, and looks at what readers see.
//!
//! The test binary runs itself as the writer: it seals numbered rows, says how far it has got, and goes on until it is
//! killed. After every kill each number that was sealed is in the table exactly once.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, reason = "the writer talks to its parent, the parent to whoever runs it")]

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use kanat_lake::table::{JournalEntry, JournalOptions, Owner, RowFolders, SealJournal, TableOptions, TableWriter};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const KILLS: u64 = 25;
const SEAL_ROWS: i64 = 400;
const WRITER: &str = "--writer";
const SEED_VARIABLE: &str = "KANAT_TEST_SEED";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let [_, mode, folder] = arguments.as_slice()
        && mode == WRITER
    {
        write_until_killed(Path::new(folder));
    }
    let seed = env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("killing a writer {KILLS} times, {SEED_VARIABLE}={seed}");
    kill_and_look(seed);
    println!("every sealed row was there once");
    ExitCode::SUCCESS
}

fn open(table: &Path) -> (SealJournal, i64) {
    let owner = Owner::new("killed");
    let options = JournalOptions { table: table.to_owned(), beside: Vec::new(), owner };
    let (journal, entries) = SealJournal::open(options).expect("the journal opens after any crash");
    // The "consumer group" of this test: a file that is replaced, after the seal and before the entry goes.
    let mut next = std::fs::read_to_string(table.with_extension("offset")).map_or(0, |text| text.parse().unwrap());
    for entry in entries {
        next = next.max(entry.progress()["to"].as_i64().unwrap());
        record_and_complete(table, &journal, &entry);
    }
    (journal, next)
}

fn record_and_complete(table: &Path, journal: &SealJournal, entry: &JournalEntry) {
    let temporary = table.with_extension("offset.new");
    std::fs::write(&temporary, entry.progress()["to"].to_string()).unwrap();
    std::fs::rename(temporary, table.with_extension("offset")).unwrap();
    journal.complete(entry).unwrap();
}

fn write_until_killed(table: &Path) -> ! {
    let (journal, mut next) = open(table);
    let mut writer = TableWriter::new(table.to_owned(), journal.owner().clone(), TableOptions::default());
    loop {
        let mut folders = RowFolders::new();
        (next..next + SEAL_ROWS).for_each(|number| folders.push(["p=0", "p=1", "p=2"][(number % 3) as usize]));
        let numbers = Int64Array::from_iter_values(next..next + SEAL_ROWS);
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        writer
            .write_split(&RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers)]).unwrap(), &folders)
            .unwrap();
        let files = writer.finish_files().unwrap();
        let entry = journal.seal(&files, &serde_json::json!({ "to": next + SEAL_ROWS })).unwrap();
        next += SEAL_ROWS;
        record_and_complete(table, &journal, &entry);
        println!("{next}");
        std::io::stdout().flush().unwrap();
    }
}

fn kill_and_look(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("orders");
    let mut sealed = 0;
    for _ in 0..KILLS {
        sealed = run_and_kill(&table, Duration::from_micros(random.u64(0..15_000))).max(sealed);
        let (journal, next) = open(&table);
        assert!(next >= sealed, "{sealed} rows were sealed, {next} are known");
        let mut numbers: Vec<i64> = parquet_files(&table).iter().flat_map(|path| numbers_in(path)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers.len() as i64, next, "rows of the table");
        assert!(numbers.into_iter().eq(0..next), "each number once");
        drop(journal);
    }
    assert!(sealed > 0, "no writer got as far as one seal");
}

/// Lets the writer seal once, then go on for a while. Returns how far it said it had got.
fn run_and_kill(table: &Path, pause: Duration) -> i64 {
    let mut writer = Command::new(env::current_exe().unwrap())
        .arg(WRITER)
        .arg(table)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test can run itself");
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut sealed = lines.next().map_or(0, |line| line.unwrap().parse().unwrap());
    let start = Instant::now();
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    // A line may be cut by the kill.
    for line in lines.map_while(Result::ok) {
        sealed = line.parse().map_or(sealed, |number: i64| number.max(sealed));
    }
    sealed
}

fn parquet_files(table: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![table.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files.push(path);
            } else {
                let name = path.file_name().unwrap().to_str().unwrap();
                assert_eq!(name, "lock", "the next run removes what a kill left behind");
            }
        }
    }
    files
}

fn numbers_in(path: &Path) -> Vec<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.flat_map(|batch| batch.unwrap()["n"].as_primitive::<Int64Type>().values().to_vec()).collect()
}
