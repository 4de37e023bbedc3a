//! Division of connectors and tasks among workers, by their number alone.
//!
//! * [`eager`]: everything anew at each rebalance.
//! * [`Incremental`]: what runs stays where it runs. Work of a worker that was lost waits for it for a while; work is
//!   moved to balance the load only when nothing waits.

use std::collections::{BTreeMap, BTreeSet};

use super::protocol::Work;
use crate::store::status::WorkId;

/// Work by member id.
pub type Allocation = BTreeMap<String, Work>;

/// Divides everything: connectors first, then tasks, around the circle of members.
pub fn eager(configured: &Work, members: &BTreeSet<String>) -> Allocation {
    let mut allocation: Allocation = members.iter().map(|member| (member.clone(), Work::new())).collect();
    let connectors = configured.iter().filter(|id| id.task.is_none());
    let tasks = configured.iter().filter(|id| id.task.is_some());
    let circle: Vec<&String> = members.iter().collect();
    if circle.is_empty() {
        return allocation;
    }
    for (at, id) in connectors.chain(tasks).enumerate() {
        if let Some(work) = allocation.get_mut(circle[at % circle.len()]) {
            work.insert(id.clone());
        }
    }
    allocation
}

/// What one worker is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// What it takes on.
    pub assigned: Work,
    /// What it lets go.
    pub revoked: Work,
}

/// What all workers are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Division {
    /// By member id.
    pub changes: BTreeMap<String, Change>,
    /// After how many milliseconds everybody joins again; 0 for never.
    pub delay_ms: u64,
}

/// The leader's memory between rebalances.
#[derive(Debug, Clone)]
pub struct Incremental {
    delay_ms_max: u64,
    /// What was assigned in the last rebalance, to whom.
    previous: Allocation,
    /// Generation of that rebalance.
    generation: i32,
    /// Until when lost work waits.
    waits_until_ms: Option<u64>,
    /// Workers that came with nothing while work waits: they are given it.
    newcomers: BTreeSet<String>,
    /// Rebalances in a row that moved work to balance the load.
    moves_in_a_row: u32,
    /// Until when no work is moved again.
    rests_until_ms: u64,
}

impl Incremental {
    /// A leader without memory; lost work waits for `delay_ms_max` milliseconds at most.
    pub fn new(delay_ms_max: u64) -> Incremental {
        Incremental {
            delay_ms_max,
            previous: Allocation::new(),
            generation: -1,
            waits_until_ms: None,
            newcomers: BTreeSet::new(),
            moves_in_a_row: 0,
            rests_until_ms: 0,
        }
    }

    /// Divides what is configured among members, given what each runs. `last_generation` is the last that the leader
    /// itself saw complete: when another leader has led meanwhile, what this one remembers is worth nothing.
    pub fn divide(
        &mut self,
        configured: &Work,
        running: &Allocation,
        last_generation: i32,
        generation: i32,
        now_ms: u64,
    ) -> Division {
        if self.generation != last_generation {
            self.previous.clear();
            self.waits_until_ms = None;
            self.newcomers.clear();
        }
        let mut changes: BTreeMap<String, Change> =
            running.keys().map(|member| (member.clone(), Change::default())).collect();
        let mut loads = running.clone();
        self.revoke_wrong(configured, &mut loads, &mut changes);
        let active: Work = loads.values().flatten().cloned().collect();
        let before: Work = self.previous.values().flatten().cloned().collect();
        let revoked: Work = changes.values().flat_map(|change| change.revoked.iter().cloned()).collect();
        let free = configured.iter().filter(|id| !active.contains(*id) && !revoked.contains(*id));
        let (lost, created): (Vec<WorkId>, Vec<WorkId>) = free.cloned().partition(|id| before.contains(id));
        let returned = self.returned(&lost, running, now_ms);
        for id in created.into_iter().chain(returned) {
            give(id, &mut loads, &mut changes);
        }
        let delay_ms = self.waits_until_ms.map_or(0, |until| until.saturating_sub(now_ms));
        if delay_ms == 0 && revoked.is_empty() {
            self.balance(&mut loads, &mut changes, now_ms);
        }
        // What is to be let go still belongs to nobody else; it is created anew in the rebalance that follows.
        self.previous = loads;
        if let Some(until) = self.waits_until_ms {
            // Lost work that waits is remembered as lost.
            self.remember_lost(&lost, until);
        }
        self.generation = generation;
        Division { changes, delay_ms }
    }

    /// Takes away what is not configured any more, and what more than one worker runs.
    fn revoke_wrong(&self, configured: &Work, loads: &mut Allocation, changes: &mut BTreeMap<String, Change>) {
        let mut counts: BTreeMap<WorkId, usize> = BTreeMap::new();
        for id in loads.values().flatten() {
            *counts.entry(id.clone()).or_default() += 1;
        }
        for (member, work) in loads {
            let wrong: Vec<WorkId> =
                work.iter().filter(|id| !configured.contains(*id) || counts[*id] > 1).cloned().collect();
            for id in wrong {
                work.remove(&id);
                changes.entry(member.clone()).or_default().revoked.insert(id);
            }
        }
    }

    /// Lost work that is to be given to somebody now.
    fn returned(&mut self, lost: &[WorkId], running: &Allocation, now_ms: u64) -> Vec<WorkId> {
        if lost.is_empty() {
            self.waits_until_ms = None;
            self.newcomers.clear();
            return Vec::new();
        }
        let departed = self.previous.keys().any(|member| !running.contains_key(member));
        // Nobody went: an assignment did not arrive, and there is nobody to wait for.
        if self.delay_ms_max == 0 || (!departed && self.waits_until_ms.is_none()) {
            return lost.to_vec();
        }
        match self.waits_until_ms {
            Some(until) if now_ms >= until => {
                self.waits_until_ms = None;
                self.newcomers.clear();
                lost.to_vec()
            }
            Some(_) => {
                self.newcomers.extend(running.iter().filter(|(_, work)| work.is_empty()).map(|(m, _)| m.clone()));
                Vec::new()
            }
            None => {
                self.waits_until_ms = Some(now_ms.saturating_add(self.delay_ms_max));
                self.newcomers.extend(running.iter().filter(|(_, work)| work.is_empty()).map(|(m, _)| m.clone()));
                Vec::new()
            }
        }
    }

    /// Keeps lost work among what was assigned, under no living member's name.
    fn remember_lost(&mut self, lost: &[WorkId], _until: u64) {
        self.previous.entry(String::new()).or_default().extend(lost.iter().cloned());
    }

    /// Takes work from those who have more than their share. It is given out in the rebalance that follows.
    fn balance(&mut self, loads: &mut Allocation, changes: &mut BTreeMap<String, Change>, now_ms: u64) {
        if now_ms < self.rests_until_ms {
            return;
        }
        let mut moved = false;
        for is_connector in [true, false] {
            let is_kind = |id: &&WorkId| id.task.is_none() == is_connector;
            let total: usize = loads.values().map(|work| work.iter().filter(is_kind).count()).sum();
            let (share, mut more) = (total / loads.len().max(1), total % loads.len().max(1));
            // Those with most keep one more than the share, as far as it does not divide evenly.
            let mut members: Vec<(usize, String)> =
                loads.iter().map(|(member, work)| (work.iter().filter(is_kind).count(), member.clone())).collect();
            members.sort_by(|a, b| b.cmp(a));
            for (count, member) in members {
                let keep = share + usize::from(more > 0 && count > share);
                more -= usize::from(more > 0 && count > share);
                let Some(work) = loads.get_mut(&member) else { continue };
                let change = changes.entry(member).or_default();
                // What was only just given is not taken away again.
                let surplus: Vec<WorkId> = work
                    .iter()
                    .filter(is_kind)
                    .filter(|id| !change.assigned.contains(*id))
                    .take(count.saturating_sub(keep))
                    .cloned()
                    .collect();
                for id in surplus {
                    work.remove(&id);
                    change.revoked.insert(id);
                    moved = true;
                }
            }
        }
        if moved {
            // 1 ms, 40 ms, 1.6 s, ...: a group that never settles must not stop its work all the time.
            let rest = 40_u64.saturating_pow(self.moves_in_a_row).min(self.delay_ms_max);
            self.rests_until_ms = now_ms.saturating_add(rest);
            self.moves_in_a_row += 1;
        } else {
            self.moves_in_a_row = 0;
        }
    }
}

/// Gives work to whoever has the least of its kind; among equals to the first.
fn give(id: WorkId, loads: &mut Allocation, changes: &mut BTreeMap<String, Change>) {
    let is_connector = id.task.is_none();
    let load = |work: &Work| work.iter().filter(|other| other.task.is_none() == is_connector).count();
    let least = loads.iter().min_by_key(|(_, work)| load(work)).map(|(member, _)| member.clone());
    if let Some(member) = least {
        loads.entry(member.clone()).or_default().insert(id.clone());
        changes.entry(member).or_default().assigned.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(connectors: usize, tasks: u32) -> Work {
        let names = (0..connectors).map(|number| format!("c{number}"));
        names
            .flat_map(|name| {
                let tasks = (0..tasks).map({
                    let name = name.clone();
                    move |task| WorkId::task(name.clone(), task)
                });
                tasks.chain([WorkId::connector(name)]).collect::<Vec<_>>()
            })
            .collect()
    }

    /// A group whose members do what they are told.
    struct Group {
        leader: Incremental,
        running: Allocation,
        generation: i32,
        now_ms: u64,
    }

    impl Group {
        fn new(members: &[&str]) -> Group {
            let running = members.iter().map(|member| ((*member).to_owned(), Work::new())).collect();
            Group { leader: Incremental::new(300_000), running, generation: 0, now_ms: 1000 }
        }

        fn rebalance(&mut self, configured: &Work) -> u64 {
            let (last, next) = (self.generation - 1, self.generation);
            let division = self.leader.divide(configured, &self.running, last, next, self.now_ms);
            self.generation += 1;
            for (member, change) in division.changes {
                let Some(work) = self.running.get_mut(&member) else { continue };
                work.retain(|id| !change.revoked.contains(id));
                work.extend(change.assigned);
            }
            division.delay_ms
        }

        /// Rebalances until nothing changes, and returns the last delay.
        fn settle(&mut self, configured: &Work) -> u64 {
            for _ in 0..20 {
                let before = self.running.clone();
                let delay = self.rebalance(configured);
                self.now_ms += 1000;
                if self.running == before {
                    return delay;
                }
            }
            panic!("the group does not settle: {:?}", self.running);
        }

        fn loads(&self) -> Vec<usize> {
            self.running.values().map(BTreeSet::len).collect()
        }

        fn check(&self, configured: &Work) {
            let all: Vec<&WorkId> = self.running.values().flatten().collect();
            let unique: BTreeSet<&WorkId> = all.iter().copied().collect();
            assert_eq!(all.len(), unique.len(), "something runs twice");
            assert!(unique.iter().copied().eq(configured.iter()), "something does not run");
        }
    }

    #[test]
    fn the_first_rebalance_gives_everything() {
        let work = configured(2, 4);
        let mut group = Group::new(&["a"]);
        assert_eq!(group.rebalance(&work), 0);
        group.check(&work);
    }

    #[test]
    fn a_new_worker_gets_its_share_and_the_rest_stays() {
        let work = configured(2, 4);
        let mut group = Group::new(&["a"]);
        group.settle(&work);
        let before = group.running["a"].clone();
        group.running.insert("b".to_owned(), Work::new());
        group.settle(&work);
        group.check(&work);
        assert_eq!(group.loads(), [5, 5]);
        assert!(group.running["a"].is_subset(&before));
    }

    #[test]
    fn lost_work_waits_and_is_given_out_when_the_time_is_over() {
        let work = configured(3, 3);
        let mut group = Group::new(&["a", "b", "c"]);
        group.settle(&work);
        group.running.remove("b");
        let delay = group.rebalance(&work);
        assert_eq!(delay, 300_000);
        assert!(group.loads().iter().sum::<usize>() < work.len());
        group.now_ms += 100_000;
        assert_eq!(group.rebalance(&work), 200_000);
        group.now_ms += 200_000;
        group.settle(&work);
        group.check(&work);
    }

    #[test]
    fn a_worker_that_comes_back_empty_gets_the_work_when_the_time_is_over() {
        let work = configured(2, 4);
        let mut group = Group::new(&["a", "b"]);
        group.settle(&work);
        let stays = group.running["a"].clone();
        group.running.remove("b");
        group.rebalance(&work);
        group.running.insert("b2".to_owned(), Work::new());
        group.now_ms += 1000;
        group.rebalance(&work);
        group.now_ms += 300_000;
        group.settle(&work);
        group.check(&work);
        assert_eq!(group.running["a"], stays);
    }

    #[test]
    fn an_assignment_that_did_not_arrive_is_given_again_at_once() {
        let work = configured(2, 2);
        let mut group = Group::new(&["a", "b"]);
        group.settle(&work);
        // Nobody went, but one has lost what it was given.
        group.running.insert("b".to_owned(), Work::new());
        assert_eq!(group.rebalance(&work), 0);
        group.settle(&work);
        group.check(&work);
    }

    #[test]
    fn deleted_work_is_revoked_and_doubled_work_settles() {
        let work = configured(2, 2);
        let mut group = Group::new(&["a", "b"]);
        group.settle(&work);
        let fewer = configured(1, 2);
        group.settle(&fewer);
        group.check(&fewer);
        let twice = group.running["a"].clone();
        group.running.get_mut("b").unwrap().extend(twice);
        group.settle(&fewer);
        group.check(&fewer);
    }

    #[test]
    fn a_new_leader_trusts_nobodys_memory() {
        let work = configured(2, 2);
        let mut group = Group::new(&["a", "b"]);
        group.settle(&work);
        group.leader = Incremental::new(300_000);
        group.running.remove("b");
        // It never saw b, so nothing is lost: what does not run is new.
        assert_eq!(group.rebalance(&work), 0);
        group.check(&work);
    }

    #[test]
    fn eager_goes_around_the_circle() {
        let members = ["a", "b"].map(str::to_owned).into();
        let allocation = eager(&configured(2, 1), &members);
        assert_eq!(allocation.values().map(BTreeSet::len).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(eager(&configured(1, 1), &BTreeSet::new()).len(), 0);
    }

    /// Members come and go by chance; once they stay, everything runs once and loads differ by no more than one of
    /// each kind.
    #[test]
    fn any_history_settles() {
        let seeds =
            std::env::var("KANAT_SEED").ok().and_then(|seed| seed.parse().ok()).map_or(0..200, |s: u64| s..s + 1);
        for seed in seeds {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut group = Group::new(&["m0", "m1"]);
            let mut work = configured(2, 3);
            for _ in 0..15 {
                match random.u8(..5) {
                    0 => drop(group.running.insert(format!("m{}", random.u8(..6)), Work::new())),
                    1 if group.running.len() > 1 => {
                        let gone = random.choice(group.running.keys()).unwrap().clone();
                        group.running.remove(&gone);
                    }
                    2 => work = configured(random.usize(1..5), random.u32(0..5)),
                    3 => group.leader = Incremental::new(300_000),
                    _ => group.now_ms += random.u64(..400_000),
                }
                group.rebalance(&work);
            }
            group.now_ms += 1_000_000;
            for _ in 0..10 {
                group.rebalance(&work);
                group.now_ms += 400_000;
            }
            group.check(&work);
            let loads = group.loads();
            let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
            assert!(spread <= 2, "KANAT_SEED={seed}: {loads:?}");
        }
    }
}
