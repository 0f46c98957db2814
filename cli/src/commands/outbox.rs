//! `showrunner outbox`: messages that have not been delivered, over the HTTP API.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{arguments::Remote, output};

/// What to do with messages.
#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// List those that have not been delivered, the newest first
    List(ListArguments),
    /// Have a dead one tried again, now and as often as a new one
    Retry {
        /// Its id
        message: String,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Of `outbox list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only those in this state: dead (nobody tries them any more), waiting
    #[arg(long)]
    state: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on where a list ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [(&str, &str); 8] = [
    ("MESSAGE", "/messageId"),
    ("TOPIC", "/topic"),
    ("ABOUT", "/payload"),
    ("STATE", "/state"),
    ("ATTEMPTS", "/attempts"),
    ("LAST ERROR", "/lastError"),
    ("CREATED", "/createdAt"),
    ("DUE", "/dueAt"),
];

/// Does it.
pub(crate) async fn run(command: OutboxCommand) -> anyhow::Result<()> {
    match command {
        OutboxCommand::List(asked) => list(asked).await,
        OutboxCommand::Retry { message, reason, remote } => {
            let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            let answer = remote.client().post(&["outbox", &message, "retry"], &body).await?;
            show(&remote, &answer, [&answer]);
            Ok(())
        }
    }
}

async fn list(asked: ListArguments) -> anyhow::Result<()> {
    let options = [("state", asked.state), ("cursor", asked.cursor), ("limit", Some(asked.limit.to_string()))];
    let query: Vec<_> = options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = asked.remote.client().get(&["outbox"], &query).await?;
    show(&asked.remote, &answer, answer["items"].as_array().into_iter().flatten());
    if !asked.remote.json {
        output::more(&answer);
    }
    Ok(())
}

fn show<'a>(remote: &Remote, answer: &Value, messages: impl IntoIterator<Item = &'a Value>) {
    if remote.json {
        output::json(answer);
    } else {
        output::table(messages, &COLUMNS);
    }
}
