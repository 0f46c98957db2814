//! `showrunner definition`: what there is to run, over the HTTP API.

mod local;
mod mock_run;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Subcommand;
use orchestrator::definition::{self, Definition};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{arguments::Remote, output};

/// What to do with definitions.
#[derive(Debug, Subcommand)]
pub(crate) enum DefinitionCommand {
    /// List what there is
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Print one, in its active version or another
    Show {
        /// Its name
        name: String,
        /// Its version
        version: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Say every mistake in a document, without asking a server
    Validate {
        /// A YAML document
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a document, or a version, says otherwise than the active version or another
    Diff {
        /// A YAML document, or the name of a definition
        #[arg(value_name = "FILE|NAME")]
        what: PathBuf,
        /// Not the active version of it
        #[arg(long)]
        version: Option<u32>,
        /// Of a name: against this version, not the active one or the one before
        #[arg(long)]
        against: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show what a saga would do: nothing is called and nothing is written
    MockRun {
        /// The definition's name
        name: String,
        /// JSON: `{"input": ..., "answers": {STEP: {"action": [...]}}, "signals": [...]}`
        file: PathBuf,
        /// Not the active version
        #[arg(long)]
        version: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Add a version
    Apply {
        /// A YAML document
        file: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
    /// Make a version the one that new sagas use
    Activate {
        /// Its name
        name: String,
        /// Its version
        version: u32,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

const COLUMNS: [(&str, &str); 5] =
    [("NAME", "/name"), ("VERSION", "/version"), ("ACTIVE", "/active"), ("SAGAS", "/sagas"), ("DIGEST", "/digest")];

/// How many definitions are asked for at once.
const PAGE: u32 = 500;

/// Does it.
pub(crate) async fn run(command: DefinitionCommand) -> anyhow::Result<()> {
    match command {
        DefinitionCommand::List { remote } => list(&remote).await,
        DefinitionCommand::Show { name, version, remote } => show(&name, version, &remote).await,
        DefinitionCommand::Validate { file, json } => local::validate(&file, json),
        DefinitionCommand::Diff { what, version, against, remote } => match what.to_str() {
            Some(name) if !what.exists() && !name.contains(['/', '.']) => {
                versions(name, version, against, &remote).await
            }
            _ => diff(&what, version, &remote).await,
        },
        DefinitionCommand::MockRun { name, file, version, remote } => try_out(&name, &file, version, &remote).await,
        DefinitionCommand::Apply { file, remote } => apply(&file, &remote).await,
        DefinitionCommand::Activate { name, version, reason, remote } => {
            let path = ["definitions", &name, &version.to_string(), "activate"];
            let answer = remote.client().post(&path, &json!({ "reason": reason })).await?;
            if remote.json {
                output::json(&answer);
            } else if let Some(approval) = answer.get("approvalId").and_then(Value::as_str) {
                output::line(&format!("new sagas of {name} use it once a second person approves: {approval}"));
            } else {
                output::line(&format!("new sagas of {name} use version {version}"));
            }
            Ok(())
        }
    }
}

async fn list(remote: &Remote) -> anyhow::Result<()> {
    let client = remote.client();
    let (mut items, mut next) = (Vec::new(), None::<String>);
    loop {
        let cursor = next.take().map(|next| ("cursor", next));
        let query: Vec<_> = [("limit", PAGE.to_string())].into_iter().chain(cursor).collect();
        let answer = client.get(&["definitions"], &query).await?;
        items.extend(answer["items"].as_array().into_iter().flatten().cloned());
        next = answer["next"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    if remote.json {
        output::json(&json!({ "items": items, "next": null }));
    } else {
        items.iter_mut().for_each(count_live);
        output::table(&items, &COLUMNS);
    }
    Ok(())
}

/// How many sagas run on all versions of a definition, for its row.
fn count_live(definition: &mut Value) {
    let versions = definition["versions"].as_array().into_iter().flatten();
    let live = versions.flat_map(|version| version["live"].as_object().into_iter().flat_map(|live| live.values()));
    definition["sagas"] = json!(live.filter_map(Value::as_i64).sum::<i64>());
}

async fn show(name: &str, version: Option<u32>, remote: &Remote) -> anyhow::Result<()> {
    output::json(&get(name, version, remote).await?);
    Ok(())
}

/// One version, or the active one.
async fn get(name: &str, version: Option<u32>, remote: &Remote) -> anyhow::Result<Value> {
    let version = version.map(|version| version.to_string());
    let path: Vec<_> = ["definitions", name].into_iter().chain(version.as_deref()).collect();
    Ok(remote.client().get(&path, &[]).await?)
}

/// A document against a version.
async fn diff(file: &Path, version: Option<u32>, remote: &Remote) -> anyhow::Result<()> {
    let ours = local::document(file)?;
    let name = ours.saga.clone();
    let theirs = get(&name, version, remote).await?;
    let known =
        Definition::deserialize(&theirs["document"]).context("this release does not read the server's version")?;
    let found: Vec<_> = definition::differences(&known, &ours)?
        .into_iter()
        .map(|one| json!({ "path": one.path, "before": one.before, "after": one.after }))
        .collect();
    tell(&json!({ "name": name, "against": theirs["version"], "differences": found }), remote);
    Ok(())
}

/// A version against another.
async fn versions(name: &str, version: Option<u32>, against: Option<u32>, remote: &Remote) -> anyhow::Result<()> {
    let version = version_of(name, version, remote).await?;
    let against: Vec<_> = against.map(|against| ("against", against.to_string())).into_iter().collect();
    let found = remote.client().get(&["definitions", name, &version, "diff"], &against).await?;
    tell(&found, remote);
    Ok(())
}

/// What differs, a line each: what only the first says with `-`, what only the second says with `+`.
fn tell(found: &Value, remote: &Remote) {
    if remote.json {
        return output::json(found);
    }
    let differences = found["differences"].as_array().into_iter().flatten();
    let lines: Vec<_> = differences.flat_map(lines_of).collect();
    if lines.is_empty() {
        let (name, against) = (output::text(found.get("name")), output::text(found.get("against")));
        output::line(&format!("{name} version {against} says the same"));
    }
    lines.iter().for_each(|line| output::line(line));
}

fn lines_of(difference: &Value) -> Vec<String> {
    let path = output::text(difference.get("path"));
    let line = |(sign, side): (char, &str)| {
        let value = difference.get(side).filter(|value| !value.is_null())?;
        Some(format!("{sign} {path}: {value}"))
    };
    [('-', "before"), ('+', "after")].into_iter().filter_map(line).collect()
}

/// The version that is asked for, or the active one.
async fn version_of(name: &str, version: Option<u32>, remote: &Remote) -> anyhow::Result<String> {
    Ok(match version {
        Some(version) => version.to_string(),
        None => output::text(get(name, None, remote).await?.get("version")),
    })
}

async fn try_out(name: &str, file: &Path, version: Option<u32>, remote: &Remote) -> anyhow::Result<()> {
    let script = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let script: Value = serde_json::from_str(&script).with_context(|| format!("{} is not JSON", file.display()))?;
    let version = version_of(name, version, remote).await?;
    let run = remote.client().post(&["definitions", name, &version, "mock-run"], &script).await?;
    if remote.json {
        output::json(&run);
    } else {
        mock_run::draw(&run);
    }
    Ok(())
}

/// The document itself says what it is called; here its name is looked up by the server's rules alone.
async fn apply(file: &Path, remote: &Remote) -> anyhow::Result<()> {
    let document = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let name = name_of(&document).with_context(|| format!("{} has no line `saga: NAME`", file.display()))?;
    let answer = remote.client().put_yaml(&["definitions", name], document.clone()).await?;
    if remote.json {
        output::json(&answer);
    } else {
        let version = output::text(answer.get("version"));
        let activate = format!("showrunner definition activate {name} {version} --reason WHY");
        output::line(&format!("{name} version {version} is there; `{activate}` makes it active"));
    }
    Ok(())
}

/// The name that a document gives itself, in its line `saga: NAME`.
fn name_of(document: &str) -> Option<&str> {
    let after = document.lines().find_map(|line| line.strip_prefix("saga:"))?;
    let name = after.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_a_line_for_each_side() {
        let lines = |difference: Value| lines_of(&difference);
        let both = lines(json!({ "path": "steps.pay.timeout", "before": 5, "after": 6 }));
        assert_eq!(both, ["- steps.pay.timeout: 5", "+ steps.pay.timeout: 6"]);
        assert_eq!(lines(json!({ "path": "deadline", "before": 1, "after": null })), ["- deadline: 1"]);
    }

    #[test]
    fn a_document_says_what_it_is_called() {
        assert_eq!(name_of("# saga: no\nsaga: \"book-tickets\" # yes\nsteps: []"), Some("book-tickets"));
        assert_eq!(name_of("steps:\n  saga: x"), None);
    }
}
