//! Seeded simulation: client and broker in one thread under a paused clock, connected in memory. A seed draws a
//! cluster, a workload and what goes wrong; the history of the run is checked afterwards.
//!
//! * Every record acknowledged is in the log once, at the offset that was reported.
//! * A record whose failure is certain is not in the log; one whose outcome is unknown is there at most once.
//! * The records of one producer are in each partition in the order in which they were sent.
//! * A consumer sees exactly the log: in order, without gap, nothing twice.
//!
//! Transactions have runs of their own, and rules, in [`transactions`]; consumer groups in [`groups`].
//!
//! `KANAT_SIMULATION_SEED=<seed>` replays one seed and prints every frame and its history; `KANAT_SIMULATION_SEEDS=<count>`
//! sets how many are run; for transactions these are `KANAT_TRANSACTIONS_SEED` and `KANAT_TRANSACTIONS_SEEDS`, for groups `KANAT_GROUPS_SEED` and
//! `KANAT_GROUPS_SEEDS`. A failure
//! names its seed. A seed repeats itself to the last byte and millisecond, which tests here assert.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap is a failed test, and its seed is printed"
)]

mod groups;
mod history;
mod plan;
mod trace;
mod transactions;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::history::History;
use crate::plan::Plan;

/// Seeds run by default; each takes some milliseconds in an unoptimised build.
const SEEDS: u64 = 3_000;
const TRANSACTION_SEEDS: u64 = 200;
/// Half of them of the classic protocol, half of the consumer protocol.
const GROUP_SEEDS: u64 = 600;
/// Seeds that are run twice to compare their traces.
const REPEATED_SEEDS: u64 = 60;
const THREADS: u64 = 2;

/// Runs the world of a seed under a paused clock.
fn simulate<T>(seed: u64, world: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // Back-off, shuffles and partitioners draw from the thread's generator.
    fastrand::seed(seed);
    runtime.block_on(async {
        trace::begin();
        let outcome = world.await;
        trace::end();
        outcome
    })
}

/// Runs one seed; panics when the history breaks a rule.
fn run(seed: u64) -> History {
    let history = simulate(seed, world::run(Plan::draw(seed)));
    history.check();
    history
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Runs many seeds, `<name>_SEEDS` or `count` of them; panics with those that failed. Returns the sum of what they
/// return, and how many they were.
fn run_seeds(name: &str, count: u64, run: impl Fn(u64) -> usize + Sync) -> (usize, u64) {
    let seeds = environment(&format!("{name}_SEEDS")).unwrap_or(count);
    let (next, sum) = (AtomicU64::new(0), AtomicUsize::new(0));
    let failed = std::thread::scope(|scope| {
        let worker = || {
            let mut failed = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return failed;
                }
                match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                    Ok(returned) => drop(sum.fetch_add(returned, Ordering::Relaxed)),
                    Err(_) => {
                        eprintln!("seed {seed} failed: {name}_SEED={seed} replays it");
                        failed.push(seed);
                    }
                }
            }
        };
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
    (sum.into_inner(), seeds)
}

#[test]
fn histories_of_many_seeds_hold() {
    if let Some(seed) = environment("KANAT_SIMULATION_SEED") {
        eprintln!("{:#?}", Plan::draw(seed));
        for line in trace::print(|| run(seed)).lines() {
            eprintln!("{line}");
        }
        return;
    }
    let (acknowledged, seeds) = run_seeds("KANAT_SIMULATION", SEEDS, |seed| run(seed).acknowledged());
    assert!(
        acknowledged as u64 > 10 * seeds,
        "only {acknowledged} records were acknowledged: the faults leave nothing to check"
    );
}

#[test]
fn transactions_of_many_seeds_hold() {
    if let Some(seed) = environment("KANAT_TRANSACTIONS_SEED") {
        eprintln!("{:#?}", transactions::Plan::draw(seed));
        eprintln!("{:#?}", trace::print(|| transactions::run(seed)));
        return;
    }
    let (committed, seeds) =
        run_seeds("KANAT_TRANSACTIONS", TRANSACTION_SEEDS, |seed| transactions::run(seed).committed());
    assert!(committed as u64 > 3 * seeds, "only {committed} transactions were committed: there is little to check");
}

#[test]
fn groups_of_many_seeds_hold() {
    if let Some(seed) = environment("KANAT_GROUPS_SEED") {
        eprintln!("{:#?}", groups::Plan::draw(seed));
        eprintln!("{:#?}", trace::print(|| groups::run(seed)));
        return;
    }
    let all = Mutex::new(groups::Tally::default());
    let (_, seeds) = run_seeds("KANAT_GROUPS", GROUP_SEEDS, |seed| {
        let tally = groups::run(seed);
        all.lock().unwrap().add(tally);
        tally.commits
    });
    let (all, seeds) = (all.into_inner().unwrap(), usize::try_from(seeds).unwrap());
    eprintln!("{all:?} in {seeds} runs");
    let enough = all.commits > 3 * seeds && all.released > seeds && 10 * all.lost > seeds && 10 * all.taken > seeds;
    assert!(enough, "there is little to check: {all:?}");
}

/// Runs seeds twice and compares every request and answer, and when they were sent.
fn assert_repeats(seeds: std::ops::Range<u64>, run: impl Fn(u64)) {
    for seed in seeds {
        let (first, second) = (trace::lines_of(|| run(seed)), trace::lines_of(|| run(seed)));
        assert!(first.len() > 20, "seed {seed} has next to no trace: {first:?}");
        if first == second {
            continue;
        }
        let same = first.iter().zip(&second).take_while(|(one, other)| one == other).count();
        let around = |lines: &[String]| lines[same.saturating_sub(8)..lines.len().min(same + 4)].join("\n");
        panic!("seed {seed} went two ways after {same} lines:\n{}\n\nthen:\n{}", around(&first), around(&second));
    }
}

#[test]
fn a_seed_repeats_every_request_and_answer() {
    assert_repeats(0..REPEATED_SEEDS, |seed| drop(run(seed)));
}

#[test]
fn a_seed_of_transactions_repeats_every_request_and_answer() {
    assert_repeats(0..REPEATED_SEEDS, |seed| drop(transactions::run(seed)));
}

#[test]
fn a_seed_of_a_group_repeats_every_request_and_answer() {
    assert_repeats(0..REPEATED_SEEDS, |seed| {
        groups::run(seed);
    });
}
