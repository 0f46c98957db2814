//! Looking at sagas: lists, one saga, and why it stands where it stands.

mod follow;
mod list;

pub use follow::{Happened, Place};
pub use list::{Cursor, Filter, Listed, Page, Search};

use crate::{
    action::Failure,
    acts::{self, ActError, ActOption},
    engine::Engine,
    ids::SagaId,
    journal::{Moment, Recorded},
    plan::{self, Next},
    run::{Phase, Run},
    saga::State,
    store::{self, ReadError},
};
use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A saga with its whole journal.
#[derive(Debug, Clone)]
pub struct SagaView {
    /// What lists show of it.
    pub listed: Listed,
    /// The fold of its journal.
    pub run: Run,
    /// What happened, oldest first.
    pub journal: Vec<Recorded>,
}

impl SagaView {
    /// The outputs of the steps that are done, by step.
    #[must_use]
    pub fn outputs(&self) -> BTreeMap<String, Value> {
        self.run.outputs().into_iter().map(|(step, output)| (step.to_owned(), output.clone())).collect()
    }
}

/// Who must do something next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitingOn {
    /// A worker: the next step is due.
    Worker,
    /// The other side of a call.
    Gateway,
    /// The clock.
    Timer,
    /// Somebody's signal.
    Signal,
    /// A person.
    Person,
    /// Nobody: it is finished.
    Nothing,
}

/// Why a saga stands where it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// For people.
    pub sentence: String,
    /// The same for those who see no payloads: what went wrong by its code, and not in anybody's words.
    pub sentence_by_codes: String,
    /// Whose turn it is.
    pub waiting_on: WaitingOn,
    /// Since when.
    pub since: Moment,
    /// What happens next by itself, in words, and when.
    pub next: NextThing,
    /// What a person can do.
    pub acts: Vec<ActOption>,
}

/// What happens next by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextThing {
    /// In words; empty when nothing does.
    pub what: String,
    /// The step it happens in.
    pub step: Option<String>,
    /// When at the latest.
    pub at: Option<Moment>,
}

impl Engine {
    /// One saga.
    ///
    /// # Errors
    /// [`ReadError`] when the database or the journal cannot be read.
    pub async fn saga(&self, saga_id: SagaId) -> Result<Option<SagaView>, ReadError> {
        let mut connection = self.pool().acquire().await?;
        let journal = store::journal(&mut *connection, saga_id).await?;
        let Some(listed) = list::one(&mut connection, saga_id).await? else { return Ok(None) };
        if journal.is_empty() {
            return Ok(None);
        }
        let run = Run::replay(saga_id, &journal)?;
        Ok(Some(SagaView { listed, run, journal }))
    }

    /// Why a saga stands where it stands; none when there is no such saga.
    ///
    /// # Errors
    /// As [`Engine::saga`].
    pub async fn why(&self, saga_id: SagaId) -> Result<Option<Why>, ActError> {
        let (run, known) = match self.load(saga_id).await {
            Ok(loaded) => loaded,
            Err(ActError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(view) = self.saga(saga_id).await? else { return Ok(None) };
        let mut connection = self.pool().acquire().await?;
        let now = store::now(&mut connection).await?;
        let next = plan::plan(&known.definition, &run, now);
        let name = |index: usize| known.definition.steps[index].step.clone();
        let step = crate::moves::current_step(&known.definition, &run);
        let thing = next_thing(&next, run.state.is_finished(), step.clone(), name);
        let tell = |told| sentence(&run, &next, step.as_deref().unwrap_or("nothing"), told);
        Ok(Some(Why {
            sentence: tell(|failure| failure.message.trim_end_matches('.')),
            sentence_by_codes: tell(|failure| &failure.code),
            waiting_on: waiting_on(&run, &next),
            since: view.journal.last().map_or(run.created_at, |recorded| recorded.at),
            next: thing,
            acts: acts::options(&known.definition, &run, self.registry()),
        }))
    }
}

fn waiting_on(run: &Run, next: &Next) -> WaitingOn {
    match next {
        Next::Run(_) | Next::Decide(_) => WaitingOn::Worker,
        Next::Probe(_) => WaitingOn::Gateway,
        Next::Sleep(sleep) => match sleep.turn {
            plan::Turn::Timer => WaitingOn::Timer,
            plan::Turn::Signal => WaitingOn::Signal,
            plan::Turn::Gateway => WaitingOn::Gateway,
        },
        Next::Rest if run.state.is_finished() => WaitingOn::Nothing,
        Next::Rest => WaitingOn::Person,
    }
}

fn next_thing(next: &Next, is_finished: bool, step: Option<String>, name: impl Fn(usize) -> String) -> NextThing {
    let thing = |what: &str, step, at| NextThing { what: what.to_owned(), step, at };
    match next {
        Next::Run(due) => thing("the step is attempted", Some(name(due.step)), None),
        Next::Probe(due) => thing("the other side is asked what became of the call", Some(name(due.step)), None),
        Next::Sleep(sleep) => thing(&format!("it waits for {}", sleep.reason), step, sleep.until),
        Next::Decide(_) => thing("the next decision is recorded", step, None),
        Next::Rest if is_finished => thing("", None, None),
        Next::Rest => thing("a person decides what becomes of it: `acts` says what may be done", step, None),
    }
}

/// Why, in a sentence; `told` is what is said of a failure.
fn sentence(run: &Run, next: &Next, step: &str, told: fn(&Failure) -> &str) -> String {
    let back = if run.compensating { " while it is being taken back" } else { "" };
    let cause = run.cause.as_ref().map(|cause| format!(" because: {}", told(cause))).unwrap_or_default();
    match (run.state, next) {
        (State::Completed, _) => "It is completed: every step is done.".to_owned(),
        (State::Compensated, _) => format!("Everything it did was taken back{cause}."),
        (State::Killed, _) => "A person has stopped it; nothing was taken back.".to_owned(),
        (State::Stuck, _) => {
            let why = run.stuck.as_ref().map_or("", |stuck| told(&stuck.failure));
            format!("It is stuck at `{step}`{back} and needs a person: {why}.")
        }
        (State::Paused, _) => "A person has paused it.".to_owned(),
        (_, Next::Run(_) | Next::Probe(_)) if in_call(run, step) => {
            format!("A worker is in the middle of `{step}`{back}{cause}.")
        }
        (_, Next::Probe(_)) => {
            format!("What became of a call of `{step}` is in doubt; the other side is asked{back}{cause}.")
        }
        (_, Next::Sleep(sleep)) => {
            let until = sleep.until.map(|until| until_when(run, sleep.turn, until)).unwrap_or_default();
            format!("It waits in `{step}`{back} for {}{until}{cause}.", sleep.reason)
        }
        _ => format!("A worker owes it `{step}`{back}{cause}."),
    }
}

/// What the clock is asked for is due; everything else may come before its time is over, as may the saga's deadline.
fn until_when(run: &Run, turn: plan::Turn, until: Moment) -> String {
    let time = until.to_rfc3339_opts(SecondsFormat::Secs, true);
    match turn {
        plan::Turn::Timer if run.deadline_at != Some(until) => format!(", due at {time}"),
        _ => format!(", until {time} at the latest"),
    }
}

fn in_call(run: &Run, step: &str) -> bool {
    let lane = if run.compensating { crate::action::Lane::Compensation } else { crate::action::Lane::Forward };
    run.step(step).lane(lane).phase == Phase::Open
}
