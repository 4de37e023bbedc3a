//! Clients that others wrote against the embedded broker.

use std::process::Command;

use kanat_tests::{DevBroker, peers_dir, run};

/// Kafka's console and admin tools and librdkafka find in `kanat dev` the broker they know.
#[test]
fn java_tools_and_librdkafka_work_with_the_embedded_broker() {
    let broker = DevBroker::start();
    let script = peers_dir().join("broker_interop.py");
    run(Command::new(peers_dir().join("python.sh")).arg(script).arg(broker.bootstrap()));
}

/// Record batches of ours, in every codec, mean to Kafka's own classes what they were meant to.
#[test]
fn kafkas_own_classes_read_our_record_batches() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut writer = Command::new(env!("CARGO"));
    writer.args(["run", "--quiet", "--locked", "-p", "kanat-protocol", "--example", "write_batches", "--"]);
    run(writer.arg(folder.path()).current_dir(peers_dir()));
    run(Command::new(peers_dir().join("java.sh")).arg("FixtureReader").arg(folder.path()));
}
