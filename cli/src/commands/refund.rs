//! `showrunner refund`: money that goes back to buyers, over the HTTP API.

mod replays;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    arguments::Remote,
    commands::approval::{self, Decision},
    output,
};

/// What to do with refunds.
#[derive(Debug, Subcommand)]
pub(crate) enum RefundCommand {
    /// List refunds, the newest first
    List(List),
    /// Show one
    Show {
        /// The refund
        refund: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give an order's money back: all that is left, some seats, or an amount
    Request(Request),
    /// Consent to a refund that somebody else has asked for
    Approve(Decision),
    /// Refuse a refund that somebody else has asked for
    Reject(Decision),
    /// Try again what is outstanding of a refund that has failed, needs a person, or has come back
    Replay(Decision),
    /// Try many again: a plan first, then a batch
    #[command(subcommand)]
    Replays(replays::ReplaysCommand),
}

/// Which refunds.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those in this state: requested, approved, rejected, submitted, pending, inDoubt, succeeded, failed
    #[arg(long)]
    state: Option<String>,
    /// Only those asked for then or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only those asked for before (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// An order, a refund, or a gateway's reference
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Print CSV: all that match
    #[arg(long, conflicts_with_all = ["json", "limit"])]
    csv: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What is to go back.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The order
    order: String,
    /// So much, in minor units; without seats, the tickets stay valid [default: all that is left, or the seats' shares]
    #[arg(long, value_name = "MINOR")]
    amount: Option<i64>,
    /// A seat whose ticket is taken back; may be given several times
    #[arg(long = "seat", value_name = "SEAT")]
    seats: Vec<String>,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    /// The same key and request again are the same refund
    #[arg(long)]
    key: String,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [(&str, &str); 8] = [
    ("REFUND", "/refundId"),
    ("ORDER", "/orderId"),
    ("STATE", "/state"),
    ("GATEWAY", "/gateway"),
    ("AMOUNT", "/amount"),
    ("OUTSTANDING", "/outstanding"),
    ("REQUESTED", "/requestedAt"),
    ("BY", "/requestedBy"),
];

/// Does it.
pub(crate) async fn run(command: RefundCommand) -> anyhow::Result<()> {
    match command {
        RefundCommand::List(asked) => list(&asked).await,
        RefundCommand::Show { refund, remote } => {
            let answer = remote.client().get(&["refunds", &refund], &[]).await?;
            show(&remote, answer);
            Ok(())
        }
        RefundCommand::Request(asked) => request(&asked).await,
        RefundCommand::Approve(decision) => approval::decide("refunds", &decision, "approve").await,
        RefundCommand::Reject(decision) => approval::decide("refunds", &decision, "reject").await,
        RefundCommand::Replays(command) => replays::run(command).await,
        RefundCommand::Replay(decision) => {
            let answer = approval::post("refunds", &decision, "replay").await?;
            show_one(&decision.remote, &answer);
            Ok(())
        }
    }
}

async fn list(asked: &List) -> anyhow::Result<()> {
    let given = [("state", &asked.state), ("from", &asked.from), ("to", &asked.to), ("q", &asked.search)];
    let mut query: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    if asked.csv {
        asked.remote.client().get_csv(&["refunds"], &query, output::part).await?;
        return Ok(());
    }
    query.push(("limit", asked.limit.to_string()));
    let answer = asked.remote.client().get(&["refunds"], &query).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::table(answer["items"].as_array().into_iter().flatten(), &COLUMNS);
    if answer["next"].is_string() {
        output::remark("there are more: narrow it down, or raise --limit");
    }
    Ok(())
}

async fn request(asked: &Request) -> anyhow::Result<()> {
    let mut body = json!({ "reason": asked.reason, "idempotencyKey": asked.key });
    if let Some(amount) = asked.amount {
        body["amount"] = amount.into();
    }
    if !asked.seats.is_empty() {
        body["seatIds"] = json!(asked.seats);
    }
    let answer = asked.remote.client().post(&["orders", &asked.order, "refunds"], &body).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    let columns = [("REFUND", "/refundId"), ("STATE", "/state"), ("APPROVAL", "/approvalId"), ("SAGA", "/sagaId")];
    output::table([&answer], &columns);
    if answer["approvalId"].is_string() {
        output::remark("it waits for a second person: showrunner refund approve");
    }
    Ok(())
}

/// As a row of the list.
fn show_one(remote: &Remote, answer: &Value) {
    if remote.json {
        output::json(answer);
    } else {
        output::table([answer], &COLUMNS);
    }
}

fn show(remote: &Remote, answer: Value) {
    if remote.json {
        output::json(&answer);
        return;
    }
    let members = answer.as_object().into_iter().flatten();
    let rows: Vec<_> = members.map(|(name, value)| json!({ "name": name, "value": value })).collect();
    output::table(&rows, &[("", "/name"), ("", "/value")]);
}
