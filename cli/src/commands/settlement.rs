//! `showrunner settlement`: what gateways have paid out, over the HTTP API.

mod days;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use crate::{arguments::Remote, output};

/// How much of a file tells which protocol's report it is.
const HEADING_BYTES: usize = 4_096;

/// What to do with settlements.
#[derive(Debug, Subcommand)]
pub(crate) enum SettlementCommand {
    /// Take a gateway's settlement file into the books, and show what does not agree with them
    Import {
        /// The file, as the gateway writes it
        file: PathBuf,
        /// Whose it is [default: the only gateway that writes such files]
        #[arg(long)]
        gateway: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a settlement
    Show {
        /// Its id
        id: String,
        /// Only lines with this outcome: matched, missing, unexpected, over, under, wrongCurrency, duplicate
        #[arg(long)]
        outcome: Option<String>,
        /// Only lines that are for a person
        #[arg(long)]
        open: bool,
        /// All of them as CSV
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Do something about a line: resume, refund, write-off, received
    Act(Act),
    /// See days, and sign them off
    #[command(subcommand)]
    Days(days::DaysCommand),
}

/// An act on a line.
#[derive(Debug, Args)]
pub(crate) struct Act {
    /// The settlement's id
    id: String,
    /// The line's number
    line: u32,
    /// resume, refund, write-off or received
    act: String,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [(&str, &str); 8] = [
    ("LINE", "/line"),
    ("OUTCOME", "/outcome"),
    ("STATE", "/state"),
    ("MOVEMENT", "/movement"),
    ("REFERENCE", "/name"),
    ("GROSS", "/gross"),
    ("EXPECTED", "/expected"),
    ("ACTS", "/acts"),
];

/// Does it.
pub(crate) async fn run(command: SettlementCommand) -> anyhow::Result<()> {
    match command {
        SettlementCommand::Days(command) => days::run(command).await,
        SettlementCommand::Import { file, gateway, remote } => import(&file, gateway, &remote).await,
        SettlementCommand::Show { id, outcome, open, csv, remote } => {
            let mut query = vec![("limit", "500".to_owned()), ("open", open.to_string())];
            query.extend(outcome.map(|outcome| ("outcome", outcome)));
            if csv {
                remote.client().get_csv(&["settlements", &id], &query, output::part).await?;
                return Ok(());
            }
            let answer = remote.client().get(&["settlements", &id], &query).await?;
            show(&remote, &answer);
            Ok(())
        }
        SettlementCommand::Act(Act { id, line, act, reason, remote }) => {
            let path = ["settlements", &id, "lines", &line.to_string(), &act];
            let answer = remote.client().post(&path, &json!({ "reason": reason })).await?;
            if remote.json {
                output::json(&answer);
                return Ok(());
            }
            if let (Some("write-off"), Some(approval)) = (answer["act"].as_str(), answer["approvalId"].as_str()) {
                output::remark(&format!("{approval}: done when somebody else approves it"));
            }
            show(&remote, &json!({ "lines": [answer] }));
            Ok(())
        }
    }
}

async fn import(file: &Path, gateway: Option<String>, remote: &Remote) -> anyhow::Result<()> {
    let text = tokio::fs::read(file).await.with_context(|| format!("reading {}", file.display()))?;
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => {
            let heading = &text[..text.len().min(HEADING_BYTES)];
            only_gateway(remote, &String::from_utf8_lossy(heading)).await?
        }
    };
    let answer = remote.client().post_csv(&["settlements"], &[("gateway", gateway)], text).await?;
    let id = answer["settlementId"].as_str().unwrap_or_default();
    if remote.json {
        output::json(&answer);
        return Ok(());
    }
    // what agrees is counted; what does not is shown
    let query = [("open", "true".to_owned()), ("limit", "500".to_owned())];
    let open = remote.client().get(&["settlements", id], &query).await?;
    show(remote, &open);
    Ok(())
}

/// The only gateway that speaks the protocol whose report this is.
async fn only_gateway(remote: &Remote, heading: &str) -> anyhow::Result<String> {
    let protocol = if heading.contains("balance_transaction_id") { "stripe" } else { "adyen" };
    let answer = remote.client().get(&["gateways"], &[]).await?;
    let all = answer["items"].as_array().into_iter().flatten();
    let mut names = all.filter(|one| one["protocol"] == protocol).filter_map(|one| one["name"].as_str());
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name.to_owned()),
        (None, _) => anyhow::bail!("no gateway writes such a file: say whose it is with --gateway"),
        (Some(_), Some(_)) => anyhow::bail!("several gateways write such files: say whose it is with --gateway"),
    }
}

fn show(remote: &Remote, answer: &Value) {
    if remote.json {
        output::json(answer);
        return;
    }
    if let Some(id) = answer["settlementId"].as_str() {
        let counts = answer["counts"].as_object().into_iter().flatten();
        let counts: Vec<_> = counts.map(|(outcome, count)| format!("{count} {outcome}")).collect();
        output::remark(&format!("{id} of {}: {}", output::text(answer.get("gateway")), counts.join(", ")));
    }
    let rows = answer["lines"].as_array().into_iter().flatten().map(|line| {
        let mut row = line.clone();
        row["name"] =
            if line["reference"].is_null() { line["paymentReference"].clone() } else { line["reference"].clone() };
        row
    });
    output::table(&rows.collect::<Vec<_>>(), &COLUMNS);
}
