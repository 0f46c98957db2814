//! `showrunner check`

use orchestrator::Engine;
use serde_json::{Value, json};
use workflows::invariants;

use crate::{arguments::JsonArguments, config::Config, output, stack::Stack};

/// Runs every invariant; fails with what is violated.
pub(crate) async fn run(config: &Config, arguments: &JsonArguments) -> anyhow::Result<()> {
    let stack = Stack::build(config).await?;
    let violations = violations(&stack.engine).await?;
    if arguments.json {
        output::json(&json!({ "items": violations }));
    } else if !violations.is_empty() {
        output::table(&violations, &[("INVARIANT", "/invariant"), ("SUBJECT", "/subject"), ("DETAIL", "/detail")]);
    }
    anyhow::ensure!(violations.is_empty(), "{} invariants are violated", violations.len());
    output::remark("every invariant holds");
    Ok(())
}

/// What is violated, of the engine's and of ours.
pub(crate) async fn violations(engine: &Engine) -> anyhow::Result<Vec<Value>> {
    let engines = engine.violations().await?.into_iter();
    let acts = invariants::of_acts(engine).await?;
    let ours = invariants::violations(engine.pool()).await?.into_iter().chain(acts);
    Ok(engines
        .chain(ours.map(|one| (one.invariant, one.subject, one.detail)))
        .map(|(invariant, subject, detail)| json!({ "invariant": invariant, "subject": subject, "detail": detail }))
        .collect())
}
