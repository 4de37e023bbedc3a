//! How a handle tells its task to end, and what becomes of the member then.

use tokio::sync::watch;

/// What becomes of a member that closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaveMode {
    /// A member without instance id leaves at once; one with an instance id stays until its session ends, so that it
    /// can come back without a rebalance.
    #[default]
    Default,
    /// Leaves at once.
    Leave,
    /// Stays until its session ends.
    Remain,
}

/// Told once; what is told first counts.
#[derive(Debug)]
pub(super) struct Closing(watch::Sender<Option<LeaveMode>>);

impl Closing {
    pub(super) fn new() -> Closing {
        Closing(watch::Sender::new(None))
    }

    /// Tells the task to end.
    pub(super) fn close(&self, mode: LeaveMode) {
        self.0.send_if_modified(|closing| closing.is_none() && closing.replace(mode).is_none());
    }

    /// Comes back when the task is to end.
    pub(super) async fn closed(&self) -> LeaveMode {
        let mut closing = self.0.subscribe();
        let mode = closing.wait_for(Option::is_some).await;
        mode.ok().and_then(|mode| *mode).unwrap_or_default()
    }

    /// Does `work` until it ends or the task is to end.
    pub(super) async fn run(&self, work: impl Future<Output = ()>) -> LeaveMode {
        tokio::select! {
            biased;
            mode = self.closed() => mode,
            () = work => LeaveMode::Default,
        }
    }
}
