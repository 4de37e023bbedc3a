//! `kanat demo`, with fewer records than a user would see.

use crate::support::{kanat, rows};

#[test]
fn the_demo_shows_rates_and_a_table_and_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("demo")).unwrap();
    std::fs::write(folder.path().join("demo/notes.txt"), "mine").unwrap();
    for round in 0..2 {
        let outcome = kanat(folder.path(), &["demo", "--dir", "demo", "--records", "20000"]).ok();
        for text in ["rows/s", "synced    20,000 rows", "order_id", "unit_price", "_kafka_offset", "\"express\""] {
            assert!(outcome.stdout.contains(text), "round {round}: no {text} in\n{}", outcome.stdout);
        }
        assert_eq!(outcome.stderr, "");
        let project = crate::support::Project { folder: tempfile::tempdir_in(folder.path()).unwrap() };
        let files = project.parquet_files("../demo/lake");
        assert_eq!(rows(&files), 20_000, "round {round}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("demo/notes.txt")).unwrap(), "mine");
    for name in ["source.json", "destination.json", "streams.json", "state.json", "stats.json"] {
        let text = std::fs::read_to_string(folder.path().join("demo").join(name)).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{name}");
    }
}
