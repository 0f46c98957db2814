//! Hints between processes that there is work. A hint may be lost or come twice; whoever waits for one also looks
//! by itself from time to time.

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// The channel of NOTIFY.
const CHANNEL: &str = "engine_wake";
/// NOTIFY takes a lock that serialises commits: one process sends at most one in this time.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(5);
/// Between two tries to listen.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Tells other processes of work that was committed here, outside of the transactions that committed it.
pub(crate) async fn announce(pool: PgPool, committed: Arc<Notify>) {
    loop {
        committed.notified().await;
        if let Err(error) = sqlx::query!("select pg_notify($1, '')", CHANNEL).execute(&pool).await {
            tracing::debug!(error = %error, "A hint could not be sent: {error}");
        }
        tokio::time::sleep(ANNOUNCE_PAUSE).await;
    }
}

/// Calls `hint` whenever another process has announced work. Never ends; a lost connection is taken up again.
pub(crate) async fn listen(pool: PgPool, hint: impl Fn()) {
    loop {
        if let Err(error) = listen_once(&pool, &hint).await {
            tracing::debug!(error = %error, "Listening for hints was interrupted: {error}");
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
        hint();
    }
}

async fn listen_once(pool: &PgPool, hint: &impl Fn()) -> Result<(), sqlx::Error> {
    // A connection of its own: one that is kept for good must not be missing from the pool.
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(pool.connect_options().as_ref().clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.recv().await?;
        hint();
    }
}
