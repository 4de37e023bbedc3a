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
