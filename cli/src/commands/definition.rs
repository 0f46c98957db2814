//! `showrunner definition`: what there is to run, over the HTTP API.

mod local;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Subcommand;
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
    /// Show how a document differs from the active version, or from another
    Diff {
        /// A YAML document
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

const COLUMNS: [(&str, &str); 4] =
    [("NAME", "/name"), ("VERSION", "/version"), ("ACTIVE", "/active"), ("DIGEST", "/digest")];

/// How many definitions are asked for at once.
const PAGE: u32 = 500;

/// Does it.
pub(crate) async fn run(command: DefinitionCommand) -> anyhow::Result<()> {
    match command {
        DefinitionCommand::List { remote } => list(&remote).await,
        DefinitionCommand::Show { name, version, remote } => show(&name, version, &remote).await,
        DefinitionCommand::Validate { file, json } => local::validate(&file, json),
        DefinitionCommand::Diff { file, version, remote } => diff(&file, version, &remote).await,
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
        output::table(&items, &COLUMNS);
    }
    Ok(())
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

async fn diff(file: &Path, version: Option<u32>, remote: &Remote) -> anyhow::Result<()> {
    let (name, ours) = local::document(file)?;
    let theirs = get(&name, version, remote).await?;
    let differences = local::differences(&theirs["document"], &ours);
    if remote.json {
        output::json(&json!({ "name": name, "version": theirs["version"], "differences": differences }));
    } else if differences.is_empty() {
        output::line(&format!("{name} version {} says the same", output::text(theirs.get("version"))));
    } else {
        differences.iter().for_each(|line| output::line(line));
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
    use super::name_of;

    #[test]
    fn a_document_says_what_it_is_called() {
        assert_eq!(name_of("# saga: no\nsaga: \"book-tickets\" # yes\nsteps: []"), Some("book-tickets"));
        assert_eq!(name_of("steps:\n  saga: x"), None);
    }
}
