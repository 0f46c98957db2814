//! Keeps the head of the audit log outside the database, and says when the log is not what it was.

use std::time::Duration;

use orchestrator::{Engine, acts::ChainError};
use tokio::time::MissedTickBehavior;
use workflows::audit_head::{HeadError, HeadFile};

/// How often the head is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps it, for as long as this is polled.
pub(super) async fn keep_head(file: &HeadFile, engine: &Engine) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // what is wrong is said once, and again when it is something else
    let mut said = String::new();
    loop {
        ticks.tick().await;
        let kept = file.keep(engine).await;
        let broken = matches!(
            kept,
            Err(HeadError::Chain(ChainError::Broken(_)) | HeadError::Signature { .. } | HeadError::Digest(_))
        );
        // while the database or the disk is away nobody knows anything new
        if broken || kept.is_ok() {
            metrics::gauge!("showrunner_audit_chain_broken").set(if broken { 1 } else { 0 });
        }
        let wrong = kept.err().map(|error| format!("{:#}", anyhow::Error::from(error))).unwrap_or_default();
        if wrong == said {
            continue;
        }
        if !wrong.is_empty() {
            tracing::error!(error = wrong, "The head of the audit log is not kept any more: {wrong}");
        } else {
            tracing::info!("The head of the audit log is kept again");
        }
        said = wrong;
    }
}
