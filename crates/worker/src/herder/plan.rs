//! What to start and stop of one connector, given what should run and what does. No I/O.

use std::collections::BTreeMap;

use crate::store::config_log::TargetState;

/// What should run here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Desired {
    /// Revision of the configuration to run the connector with; `None` when it is not to run here.
    pub(super) connector: Option<u64>,
    /// What connector and tasks should be doing.
    pub(super) target: TargetState,
    /// Tasks to run here, with the revision of their configuration.
    pub(super) tasks: BTreeMap<u32, u64>,
}

/// Something that runs, or has failed and is kept until it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runs {
    /// Revision of its configuration.
    pub(super) revision: u64,
    /// What it was told to be doing.
    pub(super) target: TargetState,
}

/// What runs here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) connector: Option<Runs>,
    pub(super) tasks: BTreeMap<u32, Runs>,
}

/// One step, to be taken in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    StopTasks(Vec<u32>),
    StopConnector,
    StartConnector,
    /// Tell the connector what to be doing.
    MoveConnector,
    StartTasks(Vec<u32>),
    /// Tell these tasks what to be doing.
    MoveTasks(Vec<u32>),
}

/// The steps that lead from what runs to what should. Tasks end before their connector, and start after it.
pub(super) fn plan(desired: &Desired, running: &Running) -> Vec<Step> {
    let mut steps = Vec::new();
    let outdated = running.tasks.iter().filter(|(task, runs)| desired.tasks.get(task) != Some(&runs.revision));
    let outdated: Vec<u32> = outdated.map(|(task, _)| *task).collect();
    let stays = |task: &u32| running.tasks.contains_key(task) && !outdated.contains(task);
    let missing: Vec<u32> = desired.tasks.keys().filter(|task| !stays(task)).copied().collect();
    let moved = running.tasks.iter().filter(|(task, runs)| !outdated.contains(task) && runs.target != desired.target);
    let moved: Vec<u32> = moved.map(|(task, _)| *task).collect();
    if !outdated.is_empty() {
        steps.push(Step::StopTasks(outdated));
    }
    match (desired.connector, running.connector) {
        (None, Some(_)) => steps.push(Step::StopConnector),
        (Some(_), None) => steps.push(Step::StartConnector),
        (Some(revision), Some(runs)) if revision != runs.revision => {
            steps.extend([Step::StopConnector, Step::StartConnector]);
        }
        (Some(_), Some(runs)) if runs.target != desired.target => steps.push(Step::MoveConnector),
        _ => {}
    }
    if !missing.is_empty() {
        steps.push(Step::StartTasks(missing));
    }
    if !moved.is_empty() {
        steps.push(Step::MoveTasks(moved));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: TargetState = TargetState::Started;

    fn desired(connector: Option<u64>, target: TargetState, tasks: &[(u32, u64)]) -> Desired {
        Desired { connector, target, tasks: tasks.iter().copied().collect() }
    }

    fn running(connector: Option<u64>, target: TargetState, tasks: &[(u32, u64)]) -> Running {
        let runs = |revision| Runs { revision, target };
        let tasks = tasks.iter().map(|(task, revision)| (*task, runs(*revision))).collect();
        Running { connector: connector.map(runs), tasks }
    }

    #[test]
    fn a_new_connector_starts_before_its_tasks() {
        let steps = plan(&desired(Some(1), STARTED, &[(0, 1), (1, 1)]), &Running::default());
        assert_eq!(steps, [Step::StartConnector, Step::StartTasks(vec![0, 1])]);
    }

    #[test]
    fn what_runs_as_it_should_is_left_alone() {
        let now = running(Some(1), STARTED, &[(0, 1)]);
        assert_eq!(plan(&desired(Some(1), STARTED, &[(0, 1)]), &now), []);
    }

    #[test]
    fn new_configurations_restart_what_they_concern() {
        let now = running(Some(1), STARTED, &[(0, 1), (1, 2)]);
        let steps = plan(&desired(Some(1), STARTED, &[(0, 2), (1, 2)]), &now);
        assert_eq!(steps, [Step::StopTasks(vec![0]), Step::StartTasks(vec![0])]);
        let steps = plan(&desired(Some(2), STARTED, &[(0, 1), (1, 2)]), &now);
        assert_eq!(steps, [Step::StopConnector, Step::StartConnector]);
    }

    #[test]
    fn a_target_moves_everything() {
        let now = running(Some(1), STARTED, &[(0, 1)]);
        let steps = plan(&desired(Some(1), TargetState::Paused, &[(0, 1)]), &now);
        assert_eq!(steps, [Step::MoveConnector, Step::MoveTasks(vec![0])]);
        // A stopped connector has no tasks.
        let steps = plan(&desired(Some(1), TargetState::Stopped, &[]), &now);
        assert_eq!(steps, [Step::StopTasks(vec![0]), Step::MoveConnector]);
    }

    #[test]
    fn what_is_gone_stops_tasks_first() {
        let now = running(Some(1), STARTED, &[(0, 1), (1, 1)]);
        assert_eq!(plan(&Desired::default(), &now), [Step::StopTasks(vec![0, 1]), Step::StopConnector]);
    }
}
