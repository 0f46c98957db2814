//! `showrunner refund replays`: many refunds are tried again, first as a plan. What was begun is a batch (`showrunner batch`).

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

use crate::{arguments::Remote, output};

/// What to do with many refunds.
#[derive(Debug, Subcommand)]
pub(crate) enum ReplaysCommand {
    /// Say what would become of each, and do nothing
    Plan(Box<Plan>),
    /// Begin what was planned; more than one refund needs a second person
    Start {
        /// The plan
        plan: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Of `refund replays plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// These refunds
    #[arg(conflicts_with_all = ["state", "from", "to", "search", "failed_again_in", "file"])]
    refunds: Vec<String>,
    /// Those in this state
    #[arg(long)]
    state: Option<String>,
    /// Those asked for then or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Those asked for before (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// An order, a refund, or a gateway's reference
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Those of another batch that have failed again
    #[arg(long, value_name = "BATCH")]
    failed_again_in: Option<String>,
    /// Those that a CSV file names, in a column refundId or orderId
    #[arg(long = "csv", value_name = "FILE", conflicts_with_all = ["state", "from", "to", "search", "failed_again_in"])]
    file: Option<PathBuf>,
    /// Refunds per second
    #[arg(long)]
    rate: Option<u32>,
    /// How many may be on their way at once
    #[arg(long)]
    concurrency: Option<u32>,
    /// The share of failures that ends it, such as 0.2
    #[arg(long, value_name = "SHARE")]
    abort_at: Option<f64>,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

/// Does it.
pub(crate) async fn run(command: ReplaysCommand) -> anyhow::Result<()> {
    match command {
        ReplaysCommand::Plan(asked) => plan(*asked).await,
        ReplaysCommand::Start { plan, remote } => {
            let answer = remote.client().post(&["refunds", "replays"], &json!({ "planId": plan })).await?;
            begun(&remote, &answer);
            Ok(())
        }
    }
}

async fn plan(asked: Plan) -> anyhow::Result<()> {
    let limits = [
        ("ratePerSecond", asked.rate.map(Value::from)),
        ("concurrency", asked.concurrency.map(Value::from)),
        ("abortAtFailureRate", asked.abort_at.map(Value::from)),
    ];
    let limits = limits.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let (client, path) = (asked.remote.client(), ["refunds", "replays"]);
    let answer = if let Some(file) = &asked.file {
        let text = tokio::fs::read(file).await.with_context(|| format!("reading {}", file.display()))?;
        let mut query: Vec<_> = limits.map(|(name, value)| (name, value.to_string())).collect();
        query.push(("reason", asked.reason));
        client.post_csv(&path, &query, text).await?
    } else {
        let mut body: Map<_, _> = limits.map(|(name, value)| (name.to_owned(), value)).collect();
        body.insert("dryRun".to_owned(), true.into());
        body.insert("reason".to_owned(), asked.reason.into());
        if asked.refunds.is_empty() {
            let members = [
                ("state", asked.state),
                ("from", asked.from),
                ("to", asked.to),
                ("q", asked.search),
                ("failedAgainIn", asked.failed_again_in),
            ];
            let filter = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
            body.insert("filter".to_owned(), Value::Object(filter.collect()));
        } else {
            body.insert("refundIds".to_owned(), asked.refunds.into());
        }
        client.post(&path, &Value::Object(body)).await?
    };
    planned(&asked.remote, &answer);
    Ok(())
}

fn planned(remote: &Remote, answer: &Value) {
    const GROUPS: [(&str, &str); 3] = [("REFUNDS", "/count"), ("OUTSTANDING", "/amounts"), ("VERDICT", "/verdict")];
    const BAD_LINES: [(&str, &str); 2] = [("LINE", "/line"), ("REASON", "/reason")];
    if remote.json {
        output::json(answer);
        return;
    }
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (mut groups, bad_lines) = (list("groups"), list("badLines"));
    for group in &mut groups {
        let amounts: Vec<_> =
            group["amounts"].as_array().into_iter().flatten().map(|sum| output::text(Some(sum))).collect();
        group["amounts"] = amounts.join(", ").into();
    }
    output::table(&groups, &GROUPS);
    if !bad_lines.is_empty() {
        output::table(&bad_lines, &BAD_LINES);
    }
    match answer["planId"].as_str().filter(|_| output::would_act(answer)) {
        Some(plan) if answer["needsSecondPerson"] == true => {
            output::line(&format!("{plan}: begin it with `refund replays start`; a second person has to approve it"));
        }
        Some(plan) => output::line(&format!("{plan}: begin it with `refund replays start`")),
        None => output::line("nothing would be done"),
    }
}

fn begun(remote: &Remote, answer: &Value) {
    if remote.json {
        output::json(answer);
    } else if let Some(approval) = answer["approvalId"].as_str() {
        output::line(&format!("it begins once a second person approves: {approval}"));
    } else {
        output::line(&format!("{}: begun", output::text(answer.get("batchId"))));
    }
}
