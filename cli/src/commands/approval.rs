//! `showrunner approval`: what needs a second person, over the HTTP API.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{arguments::Remote, output};

/// What to do with what others ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// List what others ask for, the newest first
    List {
        /// Only those in this state: requested, approved, rejected, expired, void
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Consent
    Approve(Decision),
    /// Refuse
    Reject(Decision),
}

/// A second person's decision.
#[derive(Debug, Args)]
pub(crate) struct Decision {
    /// What it is about
    id: String,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

const COLUMNS: [(&str, &str); 8] = [
    ("APPROVAL", "/approvalId"),
    ("ACT", "/act"),
    ("OBJECT", "/object"),
    ("STATE", "/state"),
    ("ASKED BY", "/requestedBy"),
    ("REASON", "/reason"),
    ("EXPIRES", "/expiresAt"),
    ("DECIDED BY", "/decidedBy"),
];

/// Does it.
pub(crate) async fn run(command: ApprovalCommand) -> anyhow::Result<()> {
    match command {
        ApprovalCommand::List { state, remote } => {
            let query: Vec<_> = state.into_iter().map(|state| ("state", state)).collect();
            let answer = remote.client().get(&["approvals"], &query).await?;
            if remote.json {
                output::json(&answer);
            } else {
                output::table(answer["items"].as_array().into_iter().flatten(), &COLUMNS);
            }
            Ok(())
        }
        ApprovalCommand::Approve(decision) => decide("approvals", &decision, "approve").await,
        ApprovalCommand::Reject(decision) => decide("approvals", &decision, "reject").await,
    }
}

/// Does something to one of these, with the reason alone.
pub(crate) async fn post(kind: &str, decision: &Decision, act: &str) -> anyhow::Result<Value> {
    let body = json!({ "reason": decision.reason });
    Ok(decision.remote.client().post(&[kind, &decision.id, act], &body).await?)
}

/// Decides about one of these.
pub(crate) async fn decide(kind: &str, decision: &Decision, verdict: &str) -> anyhow::Result<()> {
    let answer = post(kind, decision, verdict).await?;
    if decision.remote.json {
        output::json(&answer);
    } else {
        output::table([&answer], &COLUMNS);
    }
    Ok(())
}
