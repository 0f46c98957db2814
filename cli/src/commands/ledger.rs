//! `showrunner ledger`: what the ledger says, over the HTTP API.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{arguments::Remote, output};

/// How many rows one request asks for.
const ROWS_PER_PAGE: u32 = 500;

/// What to see of it.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// What every account comes to (debit is positive), and that all of them come to nothing
    Balances(Balances),
    /// What happened to money, the oldest first
    Postings(Postings),
}

/// Which balances.
#[derive(Debug, Args)]
pub(crate) struct Balances {
    /// As they were at this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Which postings.
#[derive(Debug, Args)]
pub(crate) struct Postings {
    /// Of this order
    #[arg(long)]
    order: Option<String>,
    /// With an entry in this account
    #[arg(long)]
    account: Option<String>,
    /// Posted then or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Posted before
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where an earlier list goes on
    #[arg(long)]
    cursor: Option<String>,
    /// Print CSV: all that match, a line for each entry
    #[arg(long, conflicts_with_all = ["json", "limit"])]
    csv: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Does it.
pub(crate) async fn run(command: LedgerCommand) -> anyhow::Result<()> {
    match command {
        LedgerCommand::Balances(asked) => balances(asked).await,
        LedgerCommand::Postings(asked) => postings(asked).await,
    }
}

async fn balances(asked: Balances) -> anyhow::Result<()> {
    let query = given([("at", asked.at)]);
    if asked.csv {
        asked.remote.client().get_csv(&["ledger", "accounts"], &query, output::part).await?;
        return Ok(());
    }
    let answer = all_balances(&asked.remote, query).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::table(items(&answer), &[("ACCOUNT", "/account"), ("BALANCE", "/balance")]);
    for trial in answer["trialBalance"].as_array().into_iter().flatten() {
        output::line(&format!("trial balance: {}", output::text(Some(trial))));
    }
    Ok(())
}

async fn postings(asked: Postings) -> anyhow::Result<()> {
    let mut query = given([
        ("order", asked.order),
        ("account", asked.account),
        ("from", asked.from),
        ("to", asked.to),
        ("cursor", asked.cursor),
    ]);
    if asked.csv {
        asked.remote.client().get_csv(&["ledger", "postings"], &query, output::part).await?;
        return Ok(());
    }
    query.push(("limit", asked.limit.to_string()));
    let answer = asked.remote.client().get(&["ledger", "postings"], &query).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    let mut rows = Vec::new();
    for posting in items(&answer) {
        for entry in posting["entries"].as_array().into_iter().flatten() {
            let mut row = entry.clone();
            for name in ["at", "kind", "orderId"] {
                row[name] = posting[name].clone();
            }
            rows.push(row);
        }
    }
    let columns =
        [("AT", "/at"), ("KIND", "/kind"), ("ORDER", "/orderId"), ("ACCOUNT", "/account"), ("AMOUNT", "/amount")];
    output::table(&rows, &columns);
    output::more(&answer);
    Ok(())
}

fn given<const N: usize>(options: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn items(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["items"].as_array().into_iter().flatten()
}

/// Every page of them, with the trial balance of the first.
async fn all_balances(remote: &Remote, mut query: Vec<(&'static str, String)>) -> anyhow::Result<Value> {
    query.push(("limit", ROWS_PER_PAGE.to_string()));
    let client = remote.client();
    let mut answer = client.get(&["ledger", "accounts"], &query).await?;
    let mut found: Vec<_> = items(&answer).cloned().collect();
    while let Some(next) = answer["next"].as_str() {
        query.retain(|(name, _)| *name != "cursor");
        query.push(("cursor", next.to_owned()));
        let page = client.get(&["ledger", "accounts"], &query).await?;
        found.extend(items(&page).cloned());
        answer["next"] = page["next"].clone();
    }
    answer["items"] = json!(found);
    Ok(answer)
}
