//! `showrunner migrate`

use anyhow::Context;
use orchestrator::{Catalog, Engine, db};
use sqlx::{PgPool, migrate::Migrator};

use crate::{
    config::Config,
    output,
    stack::{self, Stack},
};

/// The schema, in order. Embedded, so that the binary alone is enough.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Brings the schema and the definitions up to date. Twice, or by two at once, does it once.
pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let pool = stack::connect_as_owner(config).await?;
    schema(&pool).await?;
    let stack = Stack::build(config).await?;
    definitions(&stack.engine, config.worker.demo_actions).await?;
    output::remark("the schema and the definitions are up to date");
    Ok(())
}

/// Brings the schema up to date, and what processes may do in it.
pub(crate) async fn schema(pool: &PgPool) -> anyhow::Result<()> {
    MIGRATIONS.run(pool).await.context("bringing the schema up to date")?;
    db::grant_to_processes(pool).await.context("granting processes what they need")
}

/// Adds the definitions that this binary brings along.
pub(crate) async fn definitions(engine: &Engine, demo_actions: bool) -> anyhow::Result<()> {
    let catalog: &Catalog = engine.catalog();
    catalog.bring_along(&workflows::definitions::documents(demo_actions)).await.context("bringing definitions along")
}
