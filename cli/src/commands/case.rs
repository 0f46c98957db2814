//! `showrunner case`: what needs a person, by cause, over the HTTP API.

use clap::Subcommand;
use serde_json::Value;

use crate::{arguments::Remote, output};

/// What to do with cases.
#[derive(Debug, Subcommand)]
pub(crate) enum CaseCommand {
    /// List the open ones
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Print one with its sagas
    Show {
        /// Its id
        case: String,
        #[command(flatten)]
        remote: Remote,
    },
}

const COLUMNS: [(&str, &str); 12] = [
    ("CASE", "/caseId"),
    ("CAUSE", "/cause"),
    ("DEFINITION", "/definition"),
    ("STEP", "/step"),
    ("CODE", "/code"),
    ("GATEWAY", "/gateway"),
    ("COUNT", "/count"),
    ("OLDEST", "/oldest"),
    ("AT RISK", "/moneyAtRisk"),
    ("BUYERS", "/buyers"),
    ("LAST HOUR", "/trend/lastHour"),
    ("ACT", "/suggestedAct"),
];
const SAGA: [(&str, &str); 1] = [("SAGA", "")];

/// Does it.
pub(crate) async fn run(command: CaseCommand) -> anyhow::Result<()> {
    match command {
        CaseCommand::List { remote } => list(&remote).await,
        CaseCommand::Show { case, remote } => show(&case, &remote).await,
    }
}

async fn list(remote: &Remote) -> anyhow::Result<()> {
    let answer = remote.client().get(&["cases"], &[]).await?;
    if remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::table(answer["items"].as_array().into_iter().flatten(), &COLUMNS);
    Ok(())
}

async fn show(case: &str, remote: &Remote) -> anyhow::Result<()> {
    let answer = remote.client().get(&["cases", case], &[]).await?;
    if remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::table([&answer], &COLUMNS);
    output::line(&format!(
        "{} joined within the last hour, {} in the hour before",
        output::text(answer.pointer("/trend/lastHour")),
        output::text(answer.pointer("/trend/hourBefore"))
    ));
    let sagas: &[Value] = answer["sagaIds"].as_array().map_or(&[], Vec::as_slice);
    output::table(sagas, &SAGA);
    if answer["count"].as_u64() > u64::try_from(sagas.len()).ok() {
        output::remark(&format!("there are more: showrunner saga list --case {case}"));
    }
    Ok(())
}
