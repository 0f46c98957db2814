//! `showrunner saga`: look into sagas and repair them, over the HTTP API.

mod watch;

use std::{fs, io::Read};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{arguments::Remote, client::Client, output};

/// What to do with sagas.
#[derive(Debug, Subcommand)]
pub(crate) enum SagaCommand {
    /// Start one
    Start(StartArguments),
    /// List those that match
    List(ListArguments),
    /// Print one with its journal
    Show(One),
    /// Say in a sentence what one waits for
    Why(One),
    /// Follow one until it ends
    Watch(One),
    /// Try what failed again, now
    Retry(ActArguments),
    /// Stop going forward, and take back what was done
    Cancel(ActArguments),
    /// Stop without taking anything back
    Kill(ActArguments),
    /// Tell one what it waits for
    Signal(SignalArguments),
    /// Ask the other side now what became of a call
    Probe(ActArguments),
    /// Begin nothing more; what is on its way comes to its end
    Pause(PauseArguments),
    /// Go on after a pause
    Resume(ActArguments),
    /// Go on without the step that it stands at
    Skip(SkipArguments),
    /// Take the step that it stands at for done, on evidence
    Complete(CompleteArguments),
    /// Try the step that it stands at again, with another input
    EditInput(EditInputArguments),
    /// Begin another saga in the place of one that is finished, from a step of it
    Fork(ForkArguments),
}

/// Of `saga start`.
#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// What to run
    definition: String,
    /// Its input: JSON, @FILE, or @- for standard input
    #[arg(long, default_value = "{}")]
    input: String,
    /// The same key and input again start nothing new
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Not the active version
    #[arg(long)]
    version: Option<u32>,
    /// What lists are filtered by
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    start_at: Option<String>,
    /// Before others, or after them
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i32>,
    #[command(flatten)]
    remote: Remote,
}

/// Which sagas.
#[derive(Debug, Args)]
pub(crate) struct Matching {
    /// Of this definition
    #[arg(long)]
    definition: Option<String>,
    /// In this state
    #[arg(long)]
    state: Option<String>,
    /// At this step
    #[arg(long)]
    step: Option<String>,
    /// With this tag
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Begun at or after this time (RFC 3339)
    #[arg(long)]
    from: Option<String>,
    /// Begun before this time (RFC 3339)
    #[arg(long)]
    to: Option<String>,
    /// An order, a payment reference, a seat, a saga
    #[arg(long)]
    q: Option<String>,
    /// In this case
    #[arg(long)]
    case: Option<String>,
}

impl Matching {
    /// As the API calls them: a name and a value for each that was given.
    pub(super) fn pairs(self) -> Vec<(String, String)> {
        let filters = [
            ("definition", self.definition),
            ("state", self.state),
            ("step", self.step),
            ("from", self.from),
            ("to", self.to),
            ("q", self.q),
            ("caseId", self.case),
        ];
        let tags = self.tags.into_iter().map(|(name, value)| (format!("tag.{name}"), value));
        filters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).chain(tags).collect()
    }
}

/// Of `saga list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    matching: Matching,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on where a list ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// One saga.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id
    saga: String,
    #[command(flatten)]
    remote: Remote,
}

/// A person's act on a saga.
#[derive(Debug, Args)]
pub(crate) struct ActArguments {
    /// Its id
    saga: String,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    /// The last entry of the journal that you saw; refused when there are newer ones [default: the
    /// last there is]
    #[arg(long)]
    seq: Option<i64>,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Of `saga signal`.
#[derive(Debug, Args)]
pub(crate) struct SignalArguments {
    /// What is signalled
    #[arg(long)]
    name: String,
    /// What comes with it: JSON, @FILE, or @- for standard input
    #[arg(long, default_value = "{}")]
    payload: String,
    #[command(flatten)]
    act: ActArguments,
}

/// Of `saga pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArguments {
    /// Until this time (RFC 3339) [default: until it is resumed]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    act: ActArguments,
}

/// Of `saga skip`.
#[derive(Debug, Args)]
pub(crate) struct SkipArguments {
    /// The step
    #[arg(long)]
    step: String,
    /// What later steps take for its output: JSON, @FILE, or @- for standard input
    #[arg(long, default_value = "{}")]
    output: String,
    #[command(flatten)]
    act: ActArguments,
}

/// Of `saga complete`.
#[derive(Debug, Args)]
pub(crate) struct CompleteArguments {
    #[command(flatten)]
    skip: SkipArguments,
    /// What shows that it was done
    #[arg(long)]
    evidence: String,
}

/// Of `saga edit-input`.
#[derive(Debug, Args)]
pub(crate) struct EditInputArguments {
    /// The step
    #[arg(long)]
    step: String,
    /// What its action takes from here on: JSON, @FILE, or @- for standard input
    #[arg(long)]
    input: String,
    #[command(flatten)]
    act: ActArguments,
}

/// Of `saga fork`.
#[derive(Debug, Args)]
pub(crate) struct ForkArguments {
    /// The first step that the other saga runs
    #[arg(long)]
    step: String,
    /// What its action takes, instead of what the definition says: JSON, @FILE, or @- for standard input
    #[arg(long)]
    input: Option<String>,
    #[command(flatten)]
    act: ActArguments,
}

/// Does it.
pub(crate) async fn run(command: SagaCommand) -> anyhow::Result<()> {
    match command {
        SagaCommand::Start(asked) => start(asked).await,
        SagaCommand::List(asked) => list(asked).await,
        SagaCommand::Show(asked) => show(&asked).await,
        SagaCommand::Why(asked) => why(&asked).await,
        SagaCommand::Watch(asked) => watch::run(&asked.remote.client(), &asked.saga, asked.remote.json).await,
        SagaCommand::Retry(asked) => act(&asked, "retry", Map::new()).await,
        SagaCommand::Cancel(asked) => act(&asked, "cancel", Map::new()).await,
        SagaCommand::Kill(asked) => act(&asked, "kill", Map::new()).await,
        SagaCommand::Signal(asked) => {
            let mut body = Map::new();
            body.insert("name".to_owned(), asked.name.into());
            body.insert("payload".to_owned(), json_argument(&asked.payload)?);
            act(&asked.act, "signal", body).await
        }
        SagaCommand::Probe(asked) => act(&asked, "probe", Map::new()).await,
        SagaCommand::Resume(asked) => act(&asked, "resume", Map::new()).await,
        SagaCommand::Pause(asked) => {
            let until = asked.until.map(|until| ("until".to_owned(), until.into()));
            act(&asked.act, "pause", until.into_iter().collect()).await
        }
        SagaCommand::Skip(asked) => act(&asked.act, "skip", asked.body()?).await,
        SagaCommand::Complete(asked) => {
            let mut body = asked.skip.body()?;
            body.insert("evidence".to_owned(), asked.evidence.into());
            act(&asked.skip.act, "complete", body).await
        }
        SagaCommand::EditInput(asked) => {
            let mut body = Map::new();
            body.insert("step".to_owned(), asked.step.into());
            body.insert("input".to_owned(), json_argument(&asked.input)?);
            act(&asked.act, "edit-input", body).await
        }
        SagaCommand::Fork(asked) => {
            let mut body = Map::new();
            body.insert("step".to_owned(), asked.step.into());
            if let Some(input) = &asked.input {
                body.insert("input".to_owned(), json_argument(input)?);
            }
            act(&asked.act, "fork", body).await
        }
    }
}

impl SkipArguments {
    fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        body.insert("step".to_owned(), self.step.clone().into());
        body.insert("output".to_owned(), json_argument(&self.output)?);
        Ok(body)
    }
}

async fn start(asked: StartArguments) -> anyhow::Result<()> {
    let mut body = json!({
        "definition": asked.definition,
        "input": json_argument(&asked.input)?,
        "idempotencyKey": asked.key,
    });
    let tags: Map<_, _> = asked.tags.into_iter().map(|(name, value)| (name, value.into())).collect();
    let options = [
        ("version", asked.version.map(Value::from)),
        ("tags", (!tags.is_empty()).then_some(Value::Object(tags))),
        ("startAt", asked.start_at.map(Value::from)),
        ("priority", asked.priority.map(Value::from)),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let answer = asked.remote.client().post(&["sagas"], &body).await?;
    if asked.remote.json {
        output::json(&answer);
    } else {
        output::line(&output::text(answer.get("sagaId")));
    }
    Ok(())
}

async fn list(asked: ListArguments) -> anyhow::Result<()> {
    const COLUMNS: [(&str, &str); 6] = [
        ("SAGA", "/sagaId"),
        ("DEFINITION", "/definition"),
        ("VERSION", "/version"),
        ("STATE", "/state"),
        ("STEP", "/step"),
        ("CREATED", "/createdAt"),
    ];
    let matching = asked.matching.pairs();
    let paging = [("cursor", asked.cursor), ("limit", Some(asked.limit.to_string()))];
    let query: Vec<_> = matching
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .chain(paging.into_iter().filter_map(|(name, value)| Some((name, value?))))
        .collect();
    let answer = asked.remote.client().get(&["sagas"], &query).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::table(answer["items"].as_array().into_iter().flatten(), &COLUMNS);
    output::more(&answer);
    Ok(())
}

async fn show(asked: &One) -> anyhow::Result<()> {
    let saga = asked.remote.client().get(&["sagas", &asked.saga], &[]).await?;
    if asked.remote.json {
        output::json(&saga);
        return Ok(());
    }
    for (name, pointer) in [
        ("saga", "/sagaId"),
        ("definition", "/definition"),
        ("version", "/version"),
        ("state", "/state"),
        ("step", "/step"),
        ("seq", "/seq"),
        ("tags", "/tags"),
        ("created", "/createdAt"),
        ("finished", "/finishedAt"),
    ] {
        let text = output::text(saga.pointer(pointer));
        if !text.is_empty() {
            output::line(&format!("{name:<11}{text}"));
        }
    }
    output::line("");
    output::table(saga["journal"].as_array().into_iter().flatten(), &watch::COLUMNS);
    Ok(())
}

async fn why(asked: &One) -> anyhow::Result<()> {
    const ACTS: [(&str, &str); 3] = [("ACT", "/act"), ("ALLOWED", "/allowed"), ("REASON", "/reason")];
    let answer = asked.remote.client().get(&["sagas", &asked.saga, "why"], &[]).await?;
    if asked.remote.json {
        output::json(&answer);
        return Ok(());
    }
    output::line(&output::text(answer.get("sentence")));
    output::line("");
    output::table(answer["acts"].as_array().into_iter().flatten(), &ACTS);
    Ok(())
}

async fn act(asked: &ActArguments, name: &str, mut body: Map<String, Value>) -> anyhow::Result<()> {
    let client = asked.remote.client();
    let seq = match asked.seq {
        Some(seq) => Value::from(seq),
        None => last_seq(&client, &asked.saga).await?,
    };
    body.insert("reason".to_owned(), asked.reason.as_str().into());
    body.insert("seq".to_owned(), seq);
    if asked.dry_run {
        body.insert("dryRun".to_owned(), true.into());
    }
    let answer = client.post(&["sagas", &asked.saga, name], &Value::Object(body)).await?;
    if asked.remote.json || asked.dry_run {
        output::json(&answer);
    } else if let Some(approval) = answer.get("approvalId").and_then(Value::as_str) {
        output::line(&format!("{name} happens once a second person approves: {approval}"));
    } else if let Some(fork) = answer.get("forkedInto").and_then(Value::as_str) {
        output::line(&format!("{fork} goes on in its place"));
    } else {
        output::line(&format!("{name}: accepted"));
    }
    Ok(())
}

async fn last_seq(client: &Client, saga: &str) -> anyhow::Result<Value> {
    let saga = client.get(&["sagas", saga], &[]).await?;
    saga.get("seq").cloned().context("the answer has no seq")
}

/// JSON as it stands, from a file, or from standard input.
fn json_argument(argument: &str) -> anyhow::Result<Value> {
    let text = match argument.strip_prefix('@') {
        None => argument.to_owned(),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
            text
        }
        Some(file) => fs::read_to_string(file).with_context(|| format!("reading {file}"))?,
    };
    serde_json::from_str(&text).with_context(|| format!("{argument} is not JSON"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
