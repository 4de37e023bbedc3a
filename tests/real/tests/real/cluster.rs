//! Three nodes, one of which dies.

use std::time::Duration;

use kanat_bench::Shape;
use kanat_tests::{Contents, Job, Kafka, Layout};

/// A node that is killed while its partitions are read, and another one at the next run, cost time and no records.
#[test]
fn a_sync_outlives_the_death_of_a_node() {
    let kafka = Kafka::start(3);
    let topic = "cluster-sync";
    let count = 600_000;
    kafka.load(topic, &Contents { shape: Shape::Flat10, count, partitions: 6, options: vec!["--codec", "zstd"] });
    let offsets = kafka.offsets_file(topic);

    let job = Job::new(&kafka, topic, Layout::Normalized, 16.0);
    let running = job.spawn_sync();
    kafka.kill_node(2);
    job.finish(running, Duration::from_secs(90));
    job.table().assert_holds(&offsets, &[]);
    job.table().assert_ids(count);

    // The killed node is down when this run begins, and is among the bootstrap servers.
    let job = Job::new(&kafka, topic, Layout::Raw, 16.0);
    let running = job.spawn_sync();
    kafka.start_node(2);
    kafka.kill_node(3);
    job.finish(running, Duration::from_secs(90));
    job.table().assert_holds(&offsets, &[]);
    kafka.start_node(3);
}
