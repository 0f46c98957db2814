//! A database of its own for each test.

use private_servers::TestServers;
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::path::Path;

/// A new database with the schema.
pub(crate) async fn database() -> PgPool {
    let make = || {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        TestServers::shared().database(&migrations).unwrap()
    };
    let url = tokio::task::spawn_blocking(make).await.unwrap();
    PgPoolOptions::new().max_connections(16).connect(&url).await.unwrap()
}
