//! Actions that do nothing for anybody: for tutorials, and for trying out what the engine does.
//! Registered only where the configuration allows them.

use crate::{
    action::{Answer, Call, ExternalAction, Halt, LocalAction, Notebook, Probe, Probed, Registry, RegistryError, Wait},
    store::Store,
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// Adds all of them.
///
/// # Errors
/// [`RegistryError`] when one of the names is taken.
pub fn register<S: Store>(registry: &mut Registry<S>) -> Result<(), RegistryError> {
    registry.local(Echo)?.external(Fail)?.local(WaitFor)?.external(Crash)?.external(Hang)?.local(Undo)?.probe(Ask)?;
    Ok(())
}

/// `demo.echo`: gives back what it gets.
pub struct Echo;

/// What [`Echo`] gives.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Echoed {
    /// What it got.
    pub echo: Value,
}

#[async_trait]
impl<S: Store> LocalAction<S> for Echo {
    const NAME: &'static str = "demo.echo";
    const SET_BASED: bool = true;
    type Input = Value;
    type Output = Echoed;

    async fn run(&self, _tx: &mut S::Tx, _call: &Call, input: Value) -> Answer<Echoed> {
        Ok(Echoed { echo: input })
    }
}

/// `demo.fail`: fails in the way that it is asked to, and then succeeds.
pub struct Fail;

/// What [`Fail`] takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailInput {
    /// How many attempts fail before one succeeds; without it, all of them.
    #[serde(default)]
    pub times: Option<u32>,
    /// In which way.
    #[serde(default)]
    pub kind: FailKind,
    /// The failure's code; without it, `demo`.
    #[serde(default)]
    pub code: Option<String>,
    /// With the kind `inDoubt`: it was done all the same, and the probe will find it.
    #[serde(default)]
    pub executed: bool,
}

/// In which way [`Fail`] fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailKind {
    /// Another attempt may help.
    Transient,
    /// No other attempt helps.
    #[default]
    Permanent,
    /// Nobody knows what became of it.
    InDoubt,
}

/// What [`Fail`] and [`Crash`] give when they have failed often enough.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Survived {
    /// The attempt that succeeded.
    pub attempt: u32,
}

/// What [`Fail`] notes when it is done without an answer; [`Ask`] looks for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Done {
    demo_done: Value,
}

#[async_trait]
impl ExternalAction for Fail {
    const NAME: &'static str = "demo.fail";
    type Input = FailInput;
    type Output = Survived;

    async fn run(&self, call: &Call, notebook: &dyn Notebook, _: &Value, input: FailInput) -> Answer<Survived> {
        if input.times.is_some_and(|times| call.attempt > times) {
            return Ok(Survived { attempt: call.attempt });
        }
        let code = input.code.as_deref().unwrap_or("demo");
        let message = format!("attempt {} fails, as it was asked to", call.attempt);
        match input.kind {
            FailKind::Transient => Err(Halt::transient(code, message)),
            FailKind::Permanent => Err(Halt::permanent(code, message)),
            FailKind::InDoubt => {
                if input.executed {
                    notebook.note(json!(Done { demo_done: json!({ "attempt": call.attempt }) })).await?;
                }
                Err(Halt::in_doubt(code, message))
            }
        }
    }
}

/// `demo.wait`: waits for a signal, for a time, or for whichever comes first.
pub struct WaitFor;

/// What [`WaitFor`] takes; with nothing at all, it waits for the signal `continue`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitInput {
    /// The signal's name.
    #[serde(default)]
    pub signal: Option<String>,
    /// The time, in milliseconds; at most a year.
    #[serde(default)]
    #[schemars(range(max = 31_536_000_000_u64))]
    pub ms: Option<u64>,
}

/// The longest that [`WaitFor`] waits for a time, in milliseconds.
const WAIT_MS_MAX: u64 = 365 * 24 * 3_600_000;

/// What [`WaitFor`] gives.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct Waited {
    /// The signal that came; null when the time did.
    pub signal: Option<String>,
    /// What came with the signal.
    pub payload: Value,
}

#[async_trait]
impl<S: Store> LocalAction<S> for WaitFor {
    const NAME: &'static str = "demo.wait";
    const SET_BASED: bool = true;
    type Input = WaitInput;
    type Output = Waited;

    async fn run(&self, _tx: &mut S::Tx, call: &Call, input: WaitInput) -> Answer<Waited> {
        waited(call, input).map_err(|wait| Halt::Wait(*wait))
    }
}

fn waited(call: &Call, input: WaitInput) -> Result<Waited, Box<Wait>> {
    if let Some(signal) = &call.signal {
        return Ok(Waited { signal: Some(signal.name.clone()), payload: signal.payload.clone() });
    }
    if call.wait_elapsed {
        return Ok(Waited { signal: None, payload: Value::Null });
    }
    let until = input.ms.map(|ms| call.now + Duration::from_millis(ms.min(WAIT_MS_MAX)));
    let signal = match (input.signal, until) {
        (None, None) => Some("continue".to_owned()),
        (signal, _) => signal,
    };
    let reason = match (&signal, until) {
        (Some(name), None) => format!("the signal `{name}`"),
        (Some(name), Some(_)) => format!("the signal `{name}` or a time"),
        (None, _) => "a time".to_owned(),
    };
    Err(Box::new(Wait { signal, until, reason, ..Wait::default() }))
}

/// `demo.crash`: takes the whole process down, a number of times.
pub struct Crash;

/// What [`Crash`] takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrashInput {
    /// How many attempts end with the process.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// The intent of a [`Crash`]: an attempt that ended with its process leaves nothing else behind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WillCrash {
    demo_crash: u32,
}

#[async_trait]
impl ExternalAction for Crash {
    const NAME: &'static str = "demo.crash";
    type Input = CrashInput;
    type Output = Survived;

    async fn intent(&self, call: &Call, _: &CrashInput) -> Answer<Value> {
        let crashed = call.notes_as::<WillCrash>().map(|earlier| earlier.demo_crash).max().unwrap_or(0);
        Ok(json!(WillCrash { demo_crash: crashed.saturating_add(1).max(call.attempt) }))
    }

    async fn run(&self, _: &Call, _: &dyn Notebook, intent: &Value, input: CrashInput) -> Answer<Survived> {
        let attempt = WillCrash::deserialize(intent).map_or(u32::MAX, |intent| intent.demo_crash);
        if attempt <= input.times {
            tracing::warn!(attempt.number = attempt, "demo.crash ends this process, as it was asked to");
            std::process::abort();
        }
        Ok(Survived { attempt })
    }
}

/// `demo.hang`: never answers.
pub struct Hang;

/// What [`Hang`] takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HangInput {
    /// It blocks its thread as well, so that it cannot even be timed out.
    #[serde(default)]
    pub block: bool,
}

#[async_trait]
impl ExternalAction for Hang {
    const NAME: &'static str = "demo.hang";
    type Input = HangInput;
    type Output = Value;

    async fn run(&self, _: &Call, _: &dyn Notebook, _: &Value, input: HangInput) -> Answer<Value> {
        if input.block {
            tracing::warn!("demo.hang blocks a thread of this process for ever, as it was asked to");
            loop {
                std::thread::park();
            }
        }
        std::future::pending().await
    }
}

/// `demo.undo`: the compensation of all of them; leaves nothing but its entry in the journal.
pub struct Undo;

/// What [`Undo`] gives.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Undone {
    /// What the step had given, if it had answered.
    pub undone: Option<Value>,
}

#[async_trait]
impl<S: Store> LocalAction<S> for Undo {
    const NAME: &'static str = "demo.undo";
    const SET_BASED: bool = true;
    type Input = Value;
    type Output = Undone;

    async fn run(&self, _tx: &mut S::Tx, call: &Call, _: Value) -> Answer<Undone> {
        Ok(Undone { undone: call.output.clone() })
    }
}

/// `demo.probe`: finds what a `demo.fail` has noted, and otherwise that nothing was done.
pub struct Ask;

#[async_trait]
impl Probe for Ask {
    const NAME: &'static str = "demo.probe";
    type Input = Value;
    type Output = Value;

    async fn probe(&self, call: &Call, _: &dyn Notebook, _: Value) -> Answer<Probed<Value>> {
        Ok(match call.notes_as::<Done>().last() {
            Some(note) => Probed::Executed(note.demo_done),
            None => Probed::NotExecuted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        action::{Child, Erased, Lane, Signal},
        ids::{SagaId, Uuid},
    };
    use chrono::DateTime;

    struct NoNotebook;
    #[async_trait]
    impl Notebook for NoNotebook {
        async fn note(&self, _: Value) -> Result<(), Halt> {
            Ok(())
        }
        async fn note_unless_told(&self, _: Value) -> Result<(), Halt> {
            Ok(())
        }
        async fn note_and_start(&self, _: Value, _: Child) -> Result<(), Halt> {
            Ok(())
        }
    }

    fn call(attempt: u32, notes: Vec<Value>) -> Call {
        Call {
            saga_id: SagaId(Uuid::nil()),
            keys_of: SagaId(Uuid::nil()),
            definition: "demo".to_owned(),
            tags: std::collections::BTreeMap::new(),
            saga_input: json!({}),
            step: "a".to_owned(),
            lane: Lane::Forward,
            attempt,
            now: DateTime::UNIX_EPOCH,
            deadline: None,
            notes,
            output: None,
            cause: None,
            failure: None,
            attempts_left: None,
            signal: None,
            signals: Vec::new(),
            wait_elapsed: false,
        }
    }

    async fn run(name: &str, call: &Call, input: Value) -> Answer<Value> {
        let mut registry: Registry = Registry::new();
        register(&mut registry).unwrap();
        match &registry.get(name).unwrap().erased {
            Erased::External(action) => {
                let intent = action.intent(call, &input).await?;
                action.run(call, &NoNotebook, &intent, input).await
            }
            _ => panic!("`{name}` is not external"),
        }
    }

    #[tokio::test]
    async fn fail_fails_so_often_and_in_the_way_it_is_asked_to() {
        let input = json!({"times": 1, "kind": "transient", "code": "busy"});
        let failed = run("demo.fail", &call(1, vec![]), input.clone()).await;
        assert!(matches!(failed, Err(Halt::Transient { failure, .. }) if failure.code == "busy"));
        assert_eq!(run("demo.fail", &call(2, vec![]), input).await, Ok(json!({"attempt": 2})));
        assert!(matches!(run("demo.fail", &call(9, vec![]), json!({})).await, Err(Halt::Permanent(_))));
        let in_doubt = run("demo.fail", &call(1, vec![]), json!({"kind": "inDoubt"})).await;
        assert!(matches!(in_doubt, Err(Halt::InDoubt(_))));
    }

    #[tokio::test]
    async fn probe_finds_what_was_noted() {
        let asked = |notes| async move { Ask.probe(&call(1, notes), &NoNotebook, json!({})).await };
        assert_eq!(asked(vec![json!({"other": 1})]).await, Ok(Probed::NotExecuted));
        let noted = asked(vec![json!({"demoDone": {"attempt": 1}})]).await;
        assert_eq!(noted, Ok(Probed::Executed(json!({"attempt": 1}))));
    }

    #[tokio::test]
    async fn crash_counts_the_intents_that_were_left_behind() {
        let crashed_before = call(2, vec![json!({"demoCrash": 1})]);
        assert_eq!(Crash.intent(&crashed_before, &CrashInput { times: 1 }).await, Ok(json!({"demoCrash": 2})));
        assert_eq!(run("demo.crash", &crashed_before, json!({})).await, Ok(json!({"attempt": 2})));
        assert_eq!(run("demo.crash", &call(1, vec![]), json!({"times": 0})).await, Ok(json!({"attempt": 1})));
    }

    #[test]
    fn wait_waits_until_a_signal_or_a_time_has_come() {
        let waits =
            |call: &Call, signal: Option<&str>, ms| waited(call, WaitInput { signal: signal.map(str::to_owned), ms });
        let wait = |signal: Option<&str>, ms| match waits(&call(1, vec![]), signal, ms) {
            Err(wait) => (wait.signal, wait.until.map(|until| until.timestamp_millis())),
            Ok(waited) => panic!("{waited:?}"),
        };
        assert_eq!(wait(None, None), (Some("continue".to_owned()), None));
        assert_eq!(wait(Some("go"), Some(5)), (Some("go".to_owned()), Some(5)));
        assert_eq!(wait(None, Some(u64::MAX)), (None, Some(365 * 24 * 3_600_000)));

        let signal = Signal { seq: 1, name: "go".to_owned(), payload: json!(7) };
        let signalled = Call { signal: Some(signal), ..call(1, vec![]) };
        let answer = waits(&signalled, Some("go"), None).unwrap();
        assert_eq!((answer.signal.as_deref(), answer.payload), (Some("go"), json!(7)));
        let elapsed = Call { wait_elapsed: true, ..call(1, vec![]) };
        assert_eq!(waits(&elapsed, Some("go"), Some(5)).unwrap().signal, None);
    }
}
