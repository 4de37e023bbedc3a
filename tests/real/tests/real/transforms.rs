//! The tables of transforms in `crates/connect/tests/tables` say what Kafka Connect really does.

use std::path::Path;

use kanat_tests::{peers_dir, run_with_input};

/// Each line expects what Kafka Connect does with its record today.
#[test]
fn tables_hold_what_kafka_connect_does() {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/connect/tests/tables");
    for name in ["transforms.jsonl", "header_texts.jsonl"] {
        let table = std::fs::read_to_string(tables.join(name)).unwrap();
        let mut java = std::process::Command::new(peers_dir().join("java.sh"));
        let printed = run_with_input(java.arg("Transforms"), |input| input.write_all(table.as_bytes()));
        let parse = |text: &str| text.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>();
        let (expected, printed) = (parse(&table).unwrap(), parse(&printed).unwrap());
        assert_eq!(expected.len(), printed.len());
        // Messages with the address of an object in them differ from run to run.
        for (expected, printed) in expected.iter().zip(&printed).filter(|(case, _)| !case.to_string().contains("Spec@"))
        {
            assert_eq!(expected["expect"], printed["expect"], "{name}: {expected}");
        }
    }
}
