//! Work that goes on when the one who asked for it has gone: a future that is dropped while its transaction
//! begins can leave the connection in a state that loses the next borrower's write.

use tokio::task::JoinHandle;
use tracing::Instrument;

/// Does the work in a task of its own, as part of what is going on.
pub(crate) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    finish(tokio::spawn(work.in_current_span())).await
}

/// Waits for such work. Its panic is ours.
pub(crate) async fn finish<T>(work: JoinHandle<T>) -> T {
    match work.await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // cancelled: the runtime is shutting down, and whoever waits here goes with it
            Err(_) => std::future::pending().await,
        },
    }
}
