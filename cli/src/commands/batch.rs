//! `showrunner batch`: one act on many sagas, over the HTTP API.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::saga::Matching;
use crate::{arguments::Remote, output};

/// What to do with batches.
#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Say what an act would do to each of many sagas, and do nothing
    Plan(Box<PlanArguments>),
    /// Carry out what was planned
    Start(One),
    /// List those that were begun
    List(ListArguments),
    /// Print one: how far it has come, and what has become of each saga
    Show(ShowArguments),
    /// Carry out no further act for now
    Pause(ChangeArguments),
    /// Go on
    Resume(ChangeArguments),
    /// Carry out no further act, for good
    Abort(ChangeArguments),
}

/// Of `batch plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// retry or cancel
    act: String,
    #[command(flatten)]
    matching: Matching,
    /// These sagas alone
    #[arg(long = "saga", value_name = "SAGA")]
    sagas: Vec<String>,
    /// Those of another batch that have failed again
    #[arg(long, value_name = "BATCH")]
    failed_again_in: Option<String>,
    /// Acts per second
    #[arg(long)]
    rate: Option<u32>,
    /// How many sagas may be on their way at once
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

/// One batch.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id
    batch: String,
    #[command(flatten)]
    remote: Remote,
}

/// Of `batch list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on where a list ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Of `batch show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Its id
    batch: String,
    /// Sagas with this result alone: waiting, stillRunning, fixed, failedAgain, notAttempted
    #[arg(long)]
    result: Option<String>,
    /// How many sagas at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on where a list ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Of those that change one.
#[derive(Debug, Args)]
pub(crate) struct ChangeArguments {
    /// Its id
    batch: String,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

/// Does it.
pub(crate) async fn run(command: BatchCommand) -> anyhow::Result<()> {
    match command {
        BatchCommand::Plan(asked) => plan(*asked).await,
        BatchCommand::Start(asked) => {
            let answer = asked.remote.client().post(&["batches"], &json!({ "planId": asked.batch })).await?;
            changed(&asked.remote, &answer);
            Ok(())
        }
        BatchCommand::List(asked) => list(asked).await,
        BatchCommand::Show(asked) => show(asked).await,
        BatchCommand::Pause(asked) => change(&asked, "pause").await,
        BatchCommand::Resume(asked) => change(&asked, "resume").await,
        BatchCommand::Abort(asked) => change(&asked, "abort").await,
    }
}

async fn plan(asked: PlanArguments) -> anyhow::Result<()> {
    const COLUMNS: [(&str, &str); 3] = [("SAGAS", "/count"), ("ACTS", "/wouldAct"), ("VERDICT", "/verdict")];
    let mut filter: Map<_, _> = asked.matching.pairs().into_iter().map(|(name, value)| (name, value.into())).collect();
    if !asked.sagas.is_empty() {
        filter.insert("sagaIds".to_owned(), asked.sagas.into());
    }
    if let Some(batch) = asked.failed_again_in {
        filter.insert("failedAgainIn".to_owned(), batch.into());
    }
    let mut body = json!({ "act": asked.act, "filter": filter, "dryRun": true, "reason": asked.reason });
    let limits = [
        ("ratePerSecond", asked.rate.map(Value::from)),
        ("concurrency", asked.concurrency.map(Value::from)),
        ("abortAtFailureRate", asked.abort_at.map(Value::from)),
    ];
    for (name, value) in limits {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let answer = asked.remote.client().post(&["batches"], &body).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::table(answer["groups"].as_array().into_iter().flatten(), &COLUMNS);
    if output::would_act(&answer) {
        output::remark(&format!("nothing was done: showrunner batch start {}", output::text(answer.get("planId"))));
    } else {
        output::remark("nothing would be done");
    }
    Ok(())
}

async fn list(asked: ListArguments) -> anyhow::Result<()> {
    const COLUMNS: [(&str, &str); 8] = [
        ("BATCH", "/batchId"),
        ("ACT", "/act"),
        ("STATE", "/state"),
        ("FIXED", "/counts/fixed"),
        ("FAILED AGAIN", "/counts/failedAgain"),
        ("STILL RUNNING", "/counts/stillRunning"),
        ("WAITING", "/counts/waiting"),
        ("STARTED", "/startedAt"),
    ];
    let paging = [("cursor", asked.cursor), ("limit", Some(asked.limit.to_string()))];
    let query: Vec<_> = paging.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = asked.remote.client().get(&["batches"], &query).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::table(answer["items"].as_array().into_iter().flatten(), &COLUMNS);
    output::more(&answer);
    Ok(())
}

async fn show(asked: ShowArguments) -> anyhow::Result<()> {
    const COLUMNS: [(&str, &str); 4] =
        [("SAGA", "/sagaId"), ("RESULT", "/result"), ("DETAIL", "/detail"), ("VERDICT", "/verdict")];
    let options = [("result", asked.result), ("cursor", asked.cursor), ("limit", Some(asked.limit.to_string()))];
    let query: Vec<_> = options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let batch = asked.remote.client().get(&["batches", &asked.batch], &query).await?;
    if asked.remote.json {
        output::json(&batch);
        return Ok(());
    }
    for (name, pointer) in [
        ("batch", "/batchId"),
        ("act", "/act"),
        ("filter", "/filter"),
        ("state", "/state"),
        ("because", "/endReason"),
        ("counts", "/counts"),
        ("by", "/by"),
        ("reason", "/reason"),
        ("started", "/startedAt"),
        ("finished", "/finishedAt"),
    ] {
        let text = output::text(batch.pointer(pointer));
        if !text.is_empty() {
            output::line(&format!("{name:<11}{text}"));
        }
    }
    output::line("");
    output::table(batch["items"].as_array().into_iter().flatten(), &COLUMNS);
    output::more(&batch);
    Ok(())
}

async fn change(asked: &ChangeArguments, name: &str) -> anyhow::Result<()> {
    let body = json!({ "reason": asked.reason });
    let answer = asked.remote.client().post(&["batches", &asked.batch, name], &body).await?;
    changed(&asked.remote, &answer);
    Ok(())
}

fn changed(remote: &Remote, answer: &Value) {
    if remote.json {
        output::json(answer);
    } else if let Some(approval) = answer.get("approvalId").and_then(Value::as_str) {
        output::line(&format!("it begins once a second person approves: {approval}"));
    } else {
        output::line(&format!("{} is {}", output::text(answer.get("batchId")), output::text(answer.get("state"))));
    }
}
