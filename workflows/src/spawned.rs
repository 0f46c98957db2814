//! Work that goes on when the one who asked for it has gone: a future that is dropped while its transaction
//! begins can leave the connection in a state that loses the next borrower's write.

use tokio::task::JoinHandle;

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
