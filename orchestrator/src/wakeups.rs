//! Hints between processes that there is work. A hint may be lost or come twice; whoever waits for one also looks
//! by itself from time to time.

use crate::store::Store;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// NOTIFY takes a lock that serialises commits: one process sends at most one in this time.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(5);
/// Between two tries to listen.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Tells other processes of work that was committed here, outside of the transactions that committed it.
pub(crate) async fn announce<S: Store>(store: S, committed: Arc<Notify>) {
    loop {
        committed.notified().await;
        if let Err(error) = store.announce().await {
            tracing::debug!(error = %error, "A hint could not be sent: {error}");
        }
        tokio::time::sleep(ANNOUNCE_PAUSE).await;
    }
}

/// Calls `hint` whenever another process has announced work. Never ends; a lost connection is taken up again.
pub(crate) async fn listen<S: Store>(store: S, hint: impl Fn() + Send + Sync) {
    loop {
        if let Err(error) = store.listen(&hint).await {
            tracing::debug!(error = %error, "Listening for hints was interrupted: {error}");
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
        hint();
    }
}
