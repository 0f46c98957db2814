//! `showrunner worker`

use crate::{
    arguments::ChildArguments,
    commands::migrate,
    config::Config,
    health, measuring,
    stack::{self, Stack},
    stopping,
};

/// Runs sagas until it is told to stop; then drains.
pub(crate) async fn run(config: &Config, arguments: &ChildArguments) -> anyhow::Result<()> {
    let stopping = stopping::on_signals()?;
    if arguments.with_parent {
        stopping::with_parent(&stopping);
    }
    let metrics = measuring::install()?;
    let stack = Stack::build(config).await?;
    let _measuring = measuring::keep(metrics.clone(), &stack);
    let _breakers = stack.keep_breakers();
    let _audit_head = stack.keep_audit_head();
    migrate::definitions(&stack.engine, config.worker.demo_actions).await?;
    let health = match config.worker.listen {
        Some(address) => Some(health::serve(address, stack.engine.pool().clone(), metrics, stopping.clone()).await?),
        None => None,
    };
    workers::run(
        stack::worker_settings(config)?,
        stack.engine.clone(),
        stack.deliver(),
        stack.chores(),
        stopping.clone(),
    )
    .await?;
    if let Some(health) = health {
        health.await?;
    }
    Ok(())
}
