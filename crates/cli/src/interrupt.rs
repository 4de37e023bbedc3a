//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends the process.

use std::future::Future;

use kanat_sync::error::EXIT_FAILURE;
use kanat_sync::{Error, Result};

/// Waits for the next request to end.
async fn signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Calls `ask` at the first signal and ends the process at the second.
pub(crate) async fn on_signals(ask: impl FnOnce()) {
    if signal().await.is_err() {
        // Without signal handlers the system's default stays: the first Ctrl-C ends the process.
        return std::future::pending().await;
    }
    ask();
    if signal().await.is_ok() {
        std::process::exit(i32::from(EXIT_FAILURE));
    }
    std::future::pending().await
}

/// Runs `work` until it ends or a signal comes; then it is dropped where it stands.
pub(crate) async fn until_signal<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let (asked, signalled) = tokio::sync::oneshot::channel();
    let watch = on_signals(move || {
        // The receiver is gone when the work has just ended: nothing is left to cancel.
        let _ = asked.send(());
    });
    tokio::select! {
        result = work => result,
        Ok(()) = signalled => Err(Error::Cancelled),
        () = watch => Err(Error::Cancelled),
    }
}
