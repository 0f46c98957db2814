//! `showrunner audit`

use anyhow::Context;
use clap::Subcommand;
use orchestrator::acts::{ChainHead, ChainReport};
use serde_json::json;

use crate::{arguments::JsonArguments, config::Config, output, stack::Stack};

/// Of `showrunner audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Look along the chain of acts, and at the head that is kept outside the database
    Verify(JsonArguments),
}

/// Looks at the record, on the database.
pub(crate) async fn run(config: &Config, command: AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify(arguments) = command;
    let stack = Stack::build(config).await?;
    // read first: the chain grows on
    let kept = stack.audit_head.as_ref().map(|file| file.read()).transpose()?;
    let report = stack.engine.verify_acts(kept.flatten().as_ref()).await?;
    let is_without_head = kept == Some(None) && report.head != ChainHead::START;
    if arguments.json {
        output::json(&shown(&report, kept.flatten(), is_without_head));
    }
    if let Some(broken) = report.broken {
        return Err(broken).context("the record of acts is not what was sealed");
    }
    anyhow::ensure!(
        !is_without_head,
        "{} acts are sealed and no head is kept in security.audit_head_file: whether the last ones are missing cannot be said",
        report.head.number
    );
    output::remark(&format!("{} acts are what was sealed, {} wait for their seal", report.head.number, report.waiting));
    match kept.flatten() {
        Some(kept) => output::remark(&format!("the head that is kept, {}, is in the chain", kept.number)),
        None => output::remark(
            "no head is kept outside the database (security.audit_head_file): a tail that is cut off does not show",
        ),
    }
    Ok(())
}

fn shown(report: &ChainReport, kept: Option<ChainHead>, is_without_head: bool) -> serde_json::Value {
    json!({
        "intact": report.broken.is_none() && !is_without_head,
        "sealed": report.head.number,
        "digest": report.head.digest_in_hex(),
        "waiting": report.waiting,
        "waitingSince": report.waiting_since,
        "brokenAt": report.broken.as_ref().and_then(|broken| broken.number()),
        "detail": report.broken.as_ref().map(ToString::to_string),
        "kept": kept.map(|kept| kept.number),
    })
}
