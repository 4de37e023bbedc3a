//! Code of connectors is run apart, so that its panics end nothing else.

use tokio::task::JoinError;

/// Runs a future on a task of its own.
///
/// # Errors
/// What it panicked with.
pub(crate) async fn guarded<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let mut running = AbortOnDrop(tokio::spawn(future));
    (&mut running.0).await.map_err(panic_message)
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn panic_message(error: JoinError) -> String {
    if !error.is_panic() {
        return "was given up by the worker".to_owned();
    }
    let payload = error.into_panic();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.as_deref().unwrap_or("without a message"))
}
