//! `showrunner settlement days`: days that finance signs off.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{arguments::Remote, output};

/// What to do with a day of UTC.
#[derive(Debug, Subcommand)]
pub(crate) enum DaysCommand {
    /// Show a day as it was signed off, or as it stands
    Show {
        /// As 2026-12-31
        date: String,
        /// Print CSV: its report
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Sign a day off once it is over: its report stays as it is
    Close {
        /// As 2026-12-31
        date: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Does it.
pub(crate) async fn run(command: DaysCommand) -> anyhow::Result<()> {
    match command {
        DaysCommand::Show { date, csv: true, remote } => {
            remote.client().get_csv(&["days", &date], &[], output::part).await?;
        }
        DaysCommand::Show { date, csv: false, remote } => {
            show(&remote, &remote.client().get(&["days", &date], &[]).await?);
        }
        DaysCommand::Close { date, reason, remote } => {
            let answer = remote.client().post(&["days", &date, "close"], &json!({ "reason": reason })).await?;
            show(&remote, &answer);
        }
    }
    Ok(())
}

fn show(remote: &Remote, day: &Value) {
    const FILES: [(&str, &str); 3] = [("SETTLEMENT", "/settlementId"), ("GATEWAY", "/gateway"), ("LINES", "/lines")];
    const OPEN: [(&str, &str); 3] = [("OPEN LINES", "/lines"), ("OUTCOME", "/outcome"), ("GATEWAY", "/gateway")];
    if remote.json {
        output::json(day);
        return;
    }
    let text = |name: &str| output::text(day.get(name));
    output::remark(&if day["closed"] == true {
        format!("{} was closed at {} by {}: {}", text("date"), text("closedAt"), text("closedBy"), text("reason"))
    } else {
        format!("{} is not closed", text("date"))
    });
    let report = &day["report"];
    let part = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    output::table(&part("accounts"), &[("ACCOUNT", "/account"), ("BALANCE", "/balance")]);
    for sum in part("trialBalance") {
        output::line(&format!("trial balance: {}", output::text(Some(&sum))));
    }
    let postings = report["postings"].as_object().into_iter().flatten();
    let postings: Vec<_> = postings.map(|(kind, count)| json!({ "kind": kind, "count": count })).collect();
    for (rows, columns) in [
        (postings, &[("POSTINGS", "/count"), ("KIND", "/kind")][..]),
        (part("settlements"), &FILES),
        (part("openLines"), &OPEN),
    ] {
        if !rows.is_empty() {
            output::line("");
            output::table(&rows, columns);
        }
    }
}
