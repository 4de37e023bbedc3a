//! Asking a running sync to end early: one side asks, every clone of the token sees it.

use tokio::sync::watch;

/// The asking side. Dropping it without asking changes nothing.
#[derive(Debug)]
pub struct ShutdownHandle(watch::Sender<bool>);

/// The waiting side.
#[derive(Debug, Clone)]
pub struct ShutdownToken(watch::Receiver<bool>);

/// A connected pair.
pub fn shutdown_channel() -> (ShutdownHandle, ShutdownToken) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownHandle(sender), ShutdownToken(receiver))
}

impl ShutdownHandle {
    /// Asks for the end. Asking twice is the same as asking once.
    pub fn shutdown(&self) {
        self.0.send_replace(true);
    }
}

impl ShutdownToken {
    /// Whether the end was asked for.
    pub fn is_shutdown(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the end is asked for; never, when the handle is gone. Cancel safe.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
