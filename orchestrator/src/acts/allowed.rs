//! Which acts a saga's state allows, and what each would do.

use super::{Act, fork};
use crate::{
    action::{Lane, Registry},
    definition::Definition,
    moves, plan,
    run::{LaneRun, Phase, Run},
    saga::State,
    store::Store,
};
use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::Value;

/// An act, and whether it can be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActOption {
    /// Its name.
    pub act: &'static str,
    /// Whether the saga allows it now.
    pub allowed: bool,
    /// What it would do, or why it is refused.
    pub reason: String,
}

/// Whether an act can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Undo {
    /// It can.
    Possible,
    /// It cannot.
    Impossible,
}

/// What an act would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effects {
    /// In words.
    pub summary: String,
    /// The steps that would run, in order: `release seats (compensation of hold)`.
    pub steps: Vec<PlannedStep>,
    /// Whether it can be taken back.
    pub undo: Undo,
}

/// A step that an act would run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// The step.
    pub step: String,
    /// Its half.
    pub lane: Lane,
    /// The action.
    pub action: String,
}

/// Whether the saga's state allows `act`.
pub(super) fn allowed<S: Store>(
    definition: &Definition,
    run: &Run,
    act: &Act,
    registry: &Registry<S>,
) -> Result<(), String> {
    if let Act::Fork { step, .. } = act {
        return fork::allowed(definition, run, step, registry);
    }
    if run.state.is_finished() {
        return Err(format!("it is {} already", run.state));
    }
    match act {
        Act::Cancel if run.compensating => Err("it is being compensated already".to_owned()),
        Act::Cancel if run.cancel.is_some() => Err("it has been cancelled already".to_owned()),
        Act::Cancel if plan::past_pivot(definition, run) => {
            Err("its pivot is behind it: from here it only goes forward".to_owned())
        }
        Act::Cancel if let Some(parent) = run.parent => {
            // a refund that is taken back would leave the order that waits for it with the buyer's money
            Err(format!("it belongs to saga {parent}, which counts on its end: cancel that one"))
        }
        Act::Cancel | Act::Kill | Act::Signal { .. } | Act::Fork { .. } => Ok(()),
        Act::Resume if run.state == State::Paused => Ok(()),
        Act::Resume => Err("it is not paused".to_owned()),
        _ if run.state == State::Paused => Err("it is paused: resume it".to_owned()),
        Act::Retry => retryable(run),
        Act::Pause { .. } if run.state == State::Stuck => {
            Err("it rests already, until a person does something".to_owned())
        }
        Act::Pause { .. } => Ok(()),
        Act::Probe if run.steps.values().any(|step| matches!(step.lane(lane_of(run)).phase, Phase::Doubt(_))) => Ok(()),
        Act::Probe => Err("nothing of it is in doubt".to_owned()),
        // a step that is given may be the pivot, and behind that a cancellation that was accepted would be lost
        _ if run.cancel.is_some() && !run.compensating => {
            Err("it has been cancelled: what was done is taken back next".to_owned())
        }
        Act::Skip { step, .. } => {
            let standing = standing(definition, run, step)?;
            if moves_money(definition, run, step, registry) {
                return Err(format!("`{step}` moves money: complete it with evidence"));
            }
            if standing.may_be_done {
                return Err(format!("`{step}` may have been done: ask the other side, or complete it with evidence"));
            }
            Ok(())
        }
        Act::Complete { step, .. } => standing(definition, run, step).map(drop),
        Act::EditInput { step, .. } => {
            let standing = standing(definition, run, step)?;
            if run.compensating {
                return Err("it is being taken back, with what its steps were done with".to_owned());
            }
            if standing.may_be_done || (standing.attempt > 0 && moves_money(definition, run, step, registry)) {
                return Err(format!("`{step}` was tried with what it had, and may not be tried with anything else"));
            }
            Ok(())
        }
    }
}

fn lane_of(run: &Run) -> Lane {
    if run.compensating { Lane::Compensation } else { Lane::Forward }
}

/// The half of the step that the saga stands at, while nobody is in the middle of it.
fn standing(definition: &Definition, run: &Run, step: &str) -> Result<LaneRun, String> {
    match moves::current_step(definition, run) {
        Some(current) if current == step => {}
        Some(current) => return Err(format!("it stands at `{current}`, not at `{step}`")),
        None => return Err("it stands at no step".to_owned()),
    }
    let standing = run.step(step).lane(lane_of(run)).clone();
    if standing.phase == Phase::Open {
        return Err(format!("a worker is in the middle of `{step}`: its answer comes first"));
    }
    Ok(standing)
}

fn moves_money<S: Store>(definition: &Definition, run: &Run, step: &str, registry: &Registry<S>) -> bool {
    let found = definition.steps.iter().find(|candidate| candidate.step == step);
    let registered = found.and_then(|step| registry.get(step.action_of(lane_of(run))));
    registered.is_some_and(|registered| registered.money)
}

fn retryable(run: &Run) -> Result<(), String> {
    let lane = lane_of(run);
    let due = run.steps.values().any(|step| {
        matches!(
            step.lane(lane).phase,
            Phase::Failed { .. } | Phase::Retry(_) | Phase::Doubt(_) | Phase::Parked { .. } | Phase::Open
        )
    });
    if due || run.state == State::Stuck { Ok(()) } else { Err("nothing has failed or is to be tried again".to_owned()) }
}

/// What `act` would do, for people.
pub(super) fn effects(definition: &Definition, run: &Run, act: &Act) -> Effects {
    let effects = |summary: String, steps, undo| Effects { summary, steps, undo };
    match act {
        Act::Retry => {
            let step = crate::moves::current_step(definition, run).unwrap_or_default();
            effects(format!("tries `{step}` again at once"), planned_retry(definition, run), Undo::Impossible)
        }
        Act::Cancel => {
            let steps = planned_compensations(definition, run);
            effects(format!("takes back what was done: {} compensations", steps.len()), steps, Undo::Impossible)
        }
        Act::Kill => {
            let left = planned_compensations(definition, run).len();
            effects(
                format!("stops it for good; {left} steps that may have had an effect stay as they are"),
                Vec::new(),
                Undo::Impossible,
            )
        }
        Act::Signal { name, .. } => effects(format!("delivers the signal `{name}`"), Vec::new(), Undo::Impossible),
        Act::Probe => effects("asks the other side at once".to_owned(), Vec::new(), Undo::Impossible),
        Act::Pause { until } => effects(paused(run, *until), Vec::new(), Undo::Possible),
        Act::Resume => effects("goes on where it stands".to_owned(), planned_retry(definition, run), Undo::Possible),
        Act::Skip { step, .. } => {
            effects(format!("goes on without `{step}`, with the output that is given"), Vec::new(), Undo::Impossible)
        }
        Act::Complete { step, .. } => {
            let half = if run.compensating { "the compensation of " } else { "" };
            effects(
                format!("takes {half}`{step}` for done, on the evidence that is given"),
                Vec::new(),
                Undo::Impossible,
            )
        }
        Act::EditInput { step, .. } => {
            let steps = planned_retry(definition, run);
            effects(format!("tries `{step}` again at once, with the input that is given"), steps, Undo::Impossible)
        }
        Act::Fork { step, .. } => effects(
            format!("begins another saga in its place, which takes over what was done before `{step}`"),
            planned_from(definition, step),
            Undo::Impossible,
        ),
    }
}

/// What a pause does, and what it does not stop.
fn paused(run: &Run, until: Option<crate::journal::Moment>) -> String {
    let time = |at: crate::journal::Moment| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let end = until.map_or_else(|| "until somebody resumes it".to_owned(), |until| format!("until {}", time(until)));
    let deadline = run.deadline_at.filter(|_| !run.compensating);
    let deadline = deadline.map(|at| format!(", and its deadline at {} still counts", time(at))).unwrap_or_default();
    format!("begins nothing more {end}; a call on its way comes to its end, signals are kept, holds run on{deadline}")
}

fn planned_retry(definition: &Definition, run: &Run) -> Vec<PlannedStep> {
    let Some(step) = crate::moves::current_step(definition, run) else { return Vec::new() };
    let lane = lane_of(run);
    let found = definition.steps.iter().find(|candidate| candidate.step == step);
    let action = found.map(|found| found.action_of(lane).to_owned());
    action.map(|action| PlannedStep { step, lane, action }).into_iter().collect()
}

fn planned_from(definition: &Definition, step: &str) -> Vec<PlannedStep> {
    let planned = definition.steps.iter().skip_while(|candidate| candidate.step != step);
    let lane = Lane::Forward;
    planned.map(|step| PlannedStep { step: step.step.clone(), lane, action: step.action_of(lane).to_owned() }).collect()
}

fn planned_compensations(definition: &Definition, run: &Run) -> Vec<PlannedStep> {
    let touched = definition.steps.iter().rev().filter(|step| run.step(&step.step).forward.phase != Phase::Untouched);
    touched
        .filter_map(|step| {
            let action = step.compensation.as_ref()?.action.clone();
            Some(PlannedStep { step: step.step.clone(), lane: Lane::Compensation, action })
        })
        .collect()
}

/// Every act with whether it can be done now, in the order in which a person would consider them.
#[must_use]
pub fn options<S: Store>(definition: &Definition, run: &Run, registry: &Registry<S>) -> Vec<ActOption> {
    let step = moves::current_step(definition, run).unwrap_or_default();
    [
        Act::Retry,
        Act::Probe,
        Act::Skip { step: step.clone(), output: Value::Null },
        Act::Complete { step: step.clone(), output: Value::Null, evidence: String::new() },
        Act::EditInput { step, input: Value::Null },
        Act::Pause { until: None },
        Act::Resume,
        Act::Cancel,
        Act::Kill,
        Act::Signal { name: String::new(), payload: Value::Null },
    ]
    .into_iter()
    .map(|act| match allowed(definition, run, &act, registry) {
        Ok(()) => ActOption { act: act.name(), allowed: true, reason: what_it_does(&act).to_owned() },
        Err(reason) => ActOption { act: act.name(), allowed: false, reason },
    })
    .chain([fork::option(definition, run, registry)])
    .collect()
}

fn what_it_does(act: &Act) -> &'static str {
    match act {
        Act::Retry => "tries again at once what failed or waits for its turn",
        Act::Cancel => "takes back what was done, in reverse order",
        Act::Kill => "stops it for good and takes nothing back",
        Act::Signal { .. } => "delivers a signal that a step may wait for",
        Act::Probe => "asks the other side at once what became of a call",
        Act::Pause { .. } => "begins nothing more until it is resumed",
        Act::Resume => "goes on",
        Act::Skip { .. } => "goes on without the step, with an output that is given",
        Act::Complete { .. } => "takes the step for done, on evidence that is given",
        Act::EditInput { .. } => "tries the step again with an input that is given",
        Act::Fork { .. } => "begins another saga in its place",
    }
}
