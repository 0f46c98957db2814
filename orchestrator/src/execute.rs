//! Carries a plan out: runs one attempt of one step, or asks what became of one. Decides nothing.

use crate::{
    action::{
        Answer, AnyExternal, AnyLocal, AnyProbe, Call, Child, Erased, Failure, Halt, Lane, Notebook, Registry, Signal,
        Wait,
    },
    definition::{
        Definition, Step,
        mapping::{self, MappingError},
    },
    engine::{Claimed, Engine},
    ids::SagaId,
    journal::{Moment, StuckCause},
    moves::{Outcome, What},
    plan::{self, Due, Next},
    run::{Phase, Resumed, Run},
    start::{Prepared, Start, StartError},
    store::{Postgres, Store},
};
use async_trait::async_trait;
use futures::FutureExt;
use serde_json::Value;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// After so many claims without progress a saga is stuck: every worker that took it died.
pub(crate) const CLAIMS_MAX: i32 = 5;

/// What one attempt came to; recorded by [`Engine::settle`].
pub struct Report<S: Store = Postgres> {
    pub(crate) what: What<S>,
    pub(crate) child: Option<Prepared>,
    /// The claim was lost on the way: nothing is written.
    pub(crate) superseded: bool,
}

impl<S: Store> Report<S> {
    fn of(what: What<S>) -> Self {
        Self { what, child: None, superseded: false }
    }
}

impl<S: Store> Engine<S> {
    /// Runs what is due for a claimed saga: one attempt of one step, or one probe. Never fails: whatever happens
    /// is in the report. A local action is not run here but in the transaction of its move.
    pub async fn execute(&self, mut claimed: Claimed) -> (Claimed, Report<S>) {
        if claimed.known.is_missing() {
            let missing = format!("there is no version {} of `{}`", claimed.known.version, claimed.known.name);
            let failure = Failure::new("definition-unknown", missing);
            return (claimed, Report::of(What::Stop { step: None, cause: StuckCause::DefinitionUnknown, failure }));
        }
        if claimed.claims > CLAIMS_MAX {
            let failure = Failure::new("worker-lost", format!("{CLAIMS_MAX} workers died with it, one after another"));
            let step = crate::moves::current_step(&claimed.known.definition, &claimed.run);
            return (claimed, Report::of(What::Stop { step, cause: StuckCause::WorkerLost, failure }));
        }
        let known = Arc::clone(&claimed.known);
        let now = self.clock().now();
        let what = match plan::plan(&known.definition, &claimed.run, now) {
            Next::Run(due) => self.attempt(&mut claimed, due, now).await,
            Next::Probe(due) => self.ask(&mut claimed, due, now).await,
            Next::Sleep(_) | Next::Decide(_) | Next::Rest => What::Decide,
        };
        let superseded = claimed.is_lost();
        let report = self.with_child(&claimed.run, what).await;
        (claimed, Report { superseded, ..report })
    }

    async fn attempt(&self, claimed: &mut Claimed, due: Due, now: Moment) -> What<S> {
        let known = Arc::clone(&claimed.known);
        let step = &known.definition.steps[due.step];
        let (name, timeout) = half(step, due.lane);
        let Some(registered) = self.registry().get(name) else { return unknown(step, name) };
        let call = call_of(&claimed.run, step, due, now);
        let input = match step_input(step, &claimed.run) {
            Ok(input) => input,
            Err(error) => return refused(due, "invalid-input", &error),
        };
        match &registered.erased {
            Erased::Local(action) => {
                What::Local { due, call: Box::new(call), input, action: Arc::<dyn AnyLocal<S>>::clone(action) }
            }
            Erased::External(action) => self.call_out(claimed, due, action.as_ref(), call, input, timeout).await,
            Erased::Probe(_) => unknown(step, name),
        }
    }

    /// Commits the intent, then calls. No call follows a lost claim.
    async fn call_out(
        &self,
        claimed: &mut Claimed,
        due: Due,
        action: &dyn AnyExternal,
        call: Call,
        input: Value,
        timeout: Duration,
    ) -> What<S> {
        let seen = claimed.run.seq;
        let intent = match self.guarded(&call, timeout, action.intent(&call, &input)).await {
            Ok(intent) => intent,
            // nothing was asked of anybody yet
            Err(Halt::InDoubt(failure)) => {
                return What::Answered { due, answer: Err(Halt::Transient { failure, after: None }) };
            }
            Err(halt) => return What::Answered { due, answer: Err(halt) },
        };
        match self.record(claimed, What::Intend { due, intent: intent.clone() }, None).await {
            Recorded::Yes => {}
            Recorded::Interrupted | Recorded::Superseded => return What::Decide,
        }
        // the commit has taken its time
        let call = Call { now: self.clock().now(), ..call };
        let notebook = JournalNotebook::new(self, claimed, due, seen);
        let answer = self.guarded(&call, timeout, action.run(&call, &notebook, &intent, input)).await;
        notebook.give_back(claimed);
        What::Answered { due, answer }
    }

    async fn ask(&self, claimed: &mut Claimed, due: Due, now: Moment) -> What<S> {
        let known = Arc::clone(&claimed.known);
        let step = &known.definition.steps[due.step];
        let name = step.probe.as_deref().unwrap_or_default();
        let probe: Arc<dyn AnyProbe> = match self.registry().get(name).map(|registered| &registered.erased) {
            Some(Erased::Probe(probe)) => Arc::clone(probe),
            _ => return unknown(step, name),
        };
        let call = call_of(&claimed.run, step, due, now);
        let input = match step_input(step, &claimed.run) {
            Ok(input) => input,
            Err(error) => return What::Probed { due, found: Err(Halt::permanent("invalid-input", error.to_string())) },
        };
        if !self.still_holds(claimed).await {
            claimed.lose();
            return What::Decide;
        }
        let notebook = JournalNotebook::new(self, claimed, due, claimed.run.seq);
        let found = self.guarded(&call, step.timeout, probe.probe(&call, &notebook, input)).await;
        notebook.give_back(claimed);
        What::Probed { due, found }
    }

    /// Resolves the saga that an answer waits for, before any transaction.
    async fn with_child(&self, run: &Run, what: What<S>) -> Report<S> {
        match what {
            What::Answered { due, answer: Err(Halt::Wait(wait)) } => self.waits(run, due, wait).await,
            What::Probed { due, found: Err(Halt::Wait(wait)) } => match self.child_of(run, &wait).await {
                Ok(child) => Report { child, ..Report::of(What::Probed { due, found: Err(Halt::Wait(wait)) }) },
                Err(halt) => Report::of(What::Probed { due, found: Err(halt) }),
            },
            what => Report::of(what),
        }
    }

    /// An action's wait, with the saga that it waits for.
    pub(crate) async fn waits(&self, run: &Run, due: Due, wait: Wait) -> Report<S> {
        match self.child_of(run, &wait).await {
            Ok(child) => Report { child, ..Report::of(What::Answered { due, answer: Err(Halt::Wait(wait)) }) },
            Err(halt) => Report::of(What::Answered { due, answer: Err(halt) }),
        }
    }

    async fn child_of(&self, run: &Run, wait: &Wait) -> Answer<Option<Prepared>> {
        match wait.child.clone() {
            Some(child) => self.child(run, child).await.map(Some),
            None => Ok(None),
        }
    }

    async fn child(&self, run: &Run, child: Child) -> Answer<Prepared> {
        match self.prepare(SagaId(self.fresh_id()), child_start(run, child)).await {
            Ok(prepared) => Ok(prepared),
            Err(StartError::Database(error)) => Err(Halt::transient("database", error.to_string())),
            Err(error) => Err(Halt::permanent("child", error.to_string())),
        }
    }

    /// Runs an external call within its time. A call that ran out of it, or panicked, may have had its effect.
    async fn guarded<T>(&self, of: &Call, timeout: Duration, calling: impl Future<Output = Answer<T>>) -> Answer<T> {
        let _watching = self.watch().begin(of, timeout);
        match tokio::time::timeout(timeout, AssertUnwindSafe(calling).catch_unwind()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => Err(Halt::in_doubt("panic", "the action panicked; see the log")),
            Err(_) => Err(Halt::in_doubt("timeout", format!("no answer within {} ms", timeout.as_millis()))),
        }
    }

    /// Appends an entry in the middle of a call, and takes over what others have appended.
    async fn record(&self, claimed: &mut Claimed, what: What<S>, child: Option<Prepared>) -> Recorded {
        if claimed.is_lost() {
            return Recorded::Superseded;
        }
        let recorded = self.append_in_call(claimed, what, child).await;
        match recorded {
            Outcome::Moved { run, interrupted, .. } => {
                claimed.run = run;
                match interrupted {
                    true => Recorded::Interrupted,
                    false if self.still_holds(claimed).await => Recorded::Yes,
                    false => Recorded::Superseded,
                }
            }
            Outcome::Superseded | Outcome::WantsChild(..) | Outcome::Unreadable(_) => {
                claimed.lose();
                Recorded::Superseded
            }
        }
    }

    /// Whether a call may follow. A process that was stopped or cut off for longer than its lease asks first: others
    /// may have the saga by now.
    async fn still_holds(&self, claimed: &Claimed) -> bool {
        if !claimed.is_surely_ours()
            && let Err(error) = self.keep_leases().await
        {
            tracing::warn!(saga.id = %claimed.saga_id(), error = %error, "Leases could not be renewed: {error}");
        }
        claimed.is_surely_ours()
    }
}

/// What a step's action takes: what a person has given, or else what the definition says. A compensation and a probe take
/// what their action takes.
pub(crate) fn step_input(step: &Step, run: &Run) -> Result<Value, MappingError> {
    match &run.step(&step.step).input {
        Some(given) => Ok(given.clone()),
        None => mapping::step_input(step, &run.input, &run.outputs()),
    }
}

enum Recorded {
    Yes,
    Interrupted,
    Superseded,
}

/// Sagas started by sagas share one namespace of keys, so that whoever asks first starts it.
pub const CHILD_OWNER: &str = "saga";

fn child_start(run: &Run, child: Child) -> Start {
    Start {
        definition: child.definition,
        version: None,
        input: child.input,
        owner: CHILD_OWNER.to_owned(),
        key: child.key,
        tags: child.tags,
        starts_at: None,
        priority: 0,
        parent: Some(run.saga_id),
        by: format!("saga {}", run.saga_id),
    }
}

/// A local action with all that it is run with.
pub(crate) struct LocalStep<S: Store> {
    pub(crate) due: Due,
    pub(crate) action: Arc<dyn AnyLocal<S>>,
    pub(crate) call: Call,
    pub(crate) input: Value,
    pub(crate) timeout: Duration,
}

/// The local step that is due for a saga; none where it is another kind of step, or one that cannot be prepared.
pub(crate) fn local_step<S: Store>(
    registry: &Registry<S>,
    definition: &Definition,
    run: &Run,
    due: Due,
    now: Moment,
) -> Option<LocalStep<S>> {
    let step = &definition.steps[due.step];
    let (name, timeout) = half(step, due.lane);
    let Erased::Local(action) = &registry.get(name)?.erased else { return None };
    let input = step_input(step, run).ok()?;
    Some(LocalStep {
        due,
        action: Arc::<dyn AnyLocal<S>>::clone(action),
        call: call_of(run, step, due, now),
        input,
        timeout,
    })
}

/// The registered name and the timeout of one half of a step.
pub(crate) fn half(step: &Step, lane: Lane) -> (&str, Duration) {
    let timeout = match (lane, &step.compensation) {
        (Lane::Compensation, Some(compensation)) => compensation.timeout,
        _ => step.timeout,
    };
    (step.action_of(lane), timeout)
}

fn unknown<S: Store>(step: &Step, name: &str) -> What<S> {
    let failure = Failure::new("action-unknown", format!("this release knows no action `{name}`"));
    What::Stop { step: Some(step.step.clone()), cause: StuckCause::DefinitionUnknown, failure }
}

fn refused<S: Store>(due: Due, code: &str, error: &dyn std::error::Error) -> What<S> {
    What::Answered { due, answer: Err(Halt::permanent(code, error.to_string())) }
}

/// What an action learns of the call it is to make.
fn call_of(run: &Run, step: &Step, due: Due, now: Moment) -> Call {
    let touched = run.step(&step.step);
    let lane = touched.lane(due.lane);
    let mut notes = touched.forward.notes.clone();
    if due.lane == Lane::Compensation {
        notes.extend(touched.compensation.notes.iter().cloned());
    }
    let resumed = match &lane.phase {
        Phase::Waiting(wait) => {
            let signal = wait.signal_name().and_then(|name| run.signal(&name).cloned());
            Some(signal.map_or(Resumed::ByTime, Resumed::BySignal))
        }
        _ => lane.resumed.clone(),
    };
    Call {
        saga_id: run.saga_id,
        keys_of: run.keys_of,
        definition: run.definition.clone(),
        tags: run.tags.clone(),
        saga_input: run.input.clone(),
        step: step.step.clone(),
        lane: due.lane,
        attempt: due.attempt,
        now,
        deadline: run.deadline_at,
        notes,
        output: touched.forward.output.clone(),
        cause: run.cause.clone(),
        failure: lane.failure.clone(),
        attempts_left: step.retry_of(due.lane).left(lane.failures),
        signals: run.signals.iter().filter(|signal| !is_taken(&resumed, signal)).cloned().collect(),
        wait_elapsed: matches!(resumed, Some(Resumed::ByTime)),
        signal: match resumed {
            Some(Resumed::BySignal(signal)) => Some(signal),
            _ => None,
        },
    }
}

/// A wait that has just ended has not taken its signal out of the saga's yet.
fn is_taken(resumed: &Option<Resumed>, signal: &Signal) -> bool {
    matches!(resumed, Some(Resumed::BySignal(taken)) if taken.seq == signal.seq)
}

/// Appends notes under the claim.
struct JournalNotebook<'a, S: Store> {
    engine: &'a Engine<S>,
    due: Due,
    /// The last entry that the call has seen.
    seen: i64,
    claimed: Mutex<Claimed>,
}

impl<'a, S: Store> JournalNotebook<'a, S> {
    fn new(engine: &'a Engine<S>, claimed: &Claimed, due: Due, seen: i64) -> Self {
        Self { engine, due, seen, claimed: Mutex::new(claimed.clone()) }
    }

    async fn append(&self, note: Value, unless_told_after: Option<i64>, child: Option<Prepared>) -> Result<(), Halt> {
        let mut claimed = self.claimed.lock().await;
        match self.engine.record(&mut claimed, What::Note { due: self.due, note, unless_told_after }, child).await {
            Recorded::Yes => Ok(()),
            Recorded::Interrupted | Recorded::Superseded => Err(Halt::Superseded),
        }
    }

    /// What the call has appended becomes what the claim's holder knows.
    fn give_back(self, claimed: &mut Claimed) {
        *claimed = self.claimed.into_inner();
    }
}

#[async_trait]
impl<S: Store> Notebook for JournalNotebook<'_, S> {
    async fn note(&self, note: Value) -> Result<(), Halt> {
        self.append(note, None, None).await
    }

    async fn note_unless_told(&self, note: Value) -> Result<(), Halt> {
        self.append(note, Some(self.seen), None).await
    }

    async fn note_and_start(&self, note: Value, child: Child) -> Result<(), Halt> {
        let child = self.engine.child(&self.claimed.lock().await.run, child).await?;
        self.append(note, Some(self.seen), Some(child)).await
    }
}
