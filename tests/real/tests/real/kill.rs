//! `kanat sync` killed at random instants and run again until it is done: nothing lost, nothing doubled, and whoever reads the
//! table in between finds whole files only.

use std::time::{Duration, Instant};

use kanat_bench::Shape;
use kanat_tests::{Contents, Job, Kafka, Layout};

const KILLS_NORMALIZED: usize = 14;
const KILLS_RAW: usize = 6;
const RECORDS: u64 = 300_000;
/// Small files, so that several are sealed within one run.
const FILE_SIZE_MB: f64 = 1.0;

fn kill_until_done(kafka: &Kafka, topic: &str, layout: Layout, kills: usize, random: &mut fastrand::Rng) {
    let whole_run = time_of_a_whole_run(kafka, topic, layout);
    let offsets = kafka.offsets_file(topic);
    let mut killed = 0;
    while killed < kills {
        let job = Job::new(kafka, topic, layout, FILE_SIZE_MB);
        // A job ends when a run outlives its instant; then the next starts from nothing.
        while !job.sync_at_most(whole_run.mul_f64(random.f64() * 1.1)).is_done() {
            killed += 1;
            job.table().assert_readable();
        }
        job.table().assert_holds(&offsets, &[]);
        job.table().assert_ids(RECORDS);
    }
}

fn time_of_a_whole_run(kafka: &Kafka, topic: &str, layout: Layout) -> Duration {
    let job = Job::new(kafka, topic, layout, FILE_SIZE_MB);
    let started = Instant::now();
    job.sync();
    let elapsed = started.elapsed();
    assert!(job.table().file_count() > 8, "several files are sealed within one run");
    elapsed
}

#[test]
#[expect(clippy::print_stdout, reason = "a failed random test must say how to replay it")]
fn killed_at_random_instants_nothing_is_lost_or_doubled() {
    let seed = std::env::var("KANAT_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("replay with KANAT_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let kafka = Kafka::shared();
    let topic = "kill-sync";
    let contents = Contents { shape: Shape::Flat10, count: RECORDS, partitions: 4, options: vec!["--codec", "zstd"] };
    kafka.load(topic, &contents);
    kill_until_done(kafka, topic, Layout::Normalized, KILLS_NORMALIZED, &mut random);
    kill_until_done(kafka, topic, Layout::Raw, KILLS_RAW, &mut random);
}
