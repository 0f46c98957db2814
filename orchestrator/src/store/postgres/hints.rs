//! Hints between processes, by NOTIFY.

use crate::store::Stored;
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};

/// The channel.
const CHANNEL: &str = "engine_wake";

pub(super) async fn announce(pool: &PgPool) -> Stored<()> {
    // its COMMIT need not be on disk before others hear of it: a hint may be lost
    sqlx::query!(
        "select set_config('synchronous_commit', 'off', true) as off, pg_notify($1, '')::text as told",
        CHANNEL
    )
    .fetch_one(pool)
    .await
    .map(drop)
}

pub(super) async fn listen(pool: &PgPool, hint: &(dyn Fn() + Send + Sync)) -> Stored<()> {
    // A connection of its own: one that is kept for good must not be missing from the pool.
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(pool.connect_options().as_ref().clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.recv().await?;
        hint();
    }
}
