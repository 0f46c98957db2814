//! Which acts a saga's state allows, and what each would do.

use super::Act;
use crate::{
    action::Lane,
    definition::Definition,
    plan,
    run::{Phase, Run},
    saga::State,
};
use serde::Serialize;

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
pub(super) fn allowed(definition: &Definition, run: &Run, act: &Act) -> Result<(), String> {
    if run.state.is_finished() {
        return Err(format!("it is {} already", run.state));
    }
    match act {
        Act::Retry => retryable(run),
        Act::Cancel if run.compensating => Err("it is being compensated already".to_owned()),
        Act::Cancel if run.cancel.is_some() => Err("it has been cancelled already".to_owned()),
        Act::Cancel if plan::past_pivot(definition, run) => {
            Err("its pivot is behind it: from here it only goes forward".to_owned())
        }
        Act::Cancel if let Some(parent) = run.parent => {
            // a refund that is taken back would leave the order that waits for it with the buyer's money
            Err(format!("it belongs to saga {parent}, which counts on its end: cancel that one"))
        }
        Act::Cancel | Act::Kill | Act::Signal { .. } => Ok(()),
    }
}

fn retryable(run: &Run) -> Result<(), String> {
    if run.state == State::Paused {
        return Err("it is paused: resume it".to_owned());
    }
    let lane = if run.compensating { Lane::Compensation } else { Lane::Forward };
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
    }
}

fn planned_retry(definition: &Definition, run: &Run) -> Vec<PlannedStep> {
    let Some(step) = crate::moves::current_step(definition, run) else { return Vec::new() };
    let lane = if run.compensating { Lane::Compensation } else { Lane::Forward };
    let found = definition.steps.iter().find(|candidate| candidate.step == step);
    let action = found.map(|found| match (lane, &found.compensation) {
        (Lane::Compensation, Some(compensation)) => compensation.action.clone(),
        _ => found.action.clone(),
    });
    action.map(|action| PlannedStep { step, lane, action }).into_iter().collect()
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
pub fn options(definition: &Definition, run: &Run) -> Vec<ActOption> {
    let signal = Act::Signal { name: String::new(), payload: serde_json::Value::Null };
    [Act::Retry, Act::Cancel, Act::Kill, signal]
        .into_iter()
        .map(|act| match allowed(definition, run, &act) {
            Ok(()) => ActOption { act: act.name(), allowed: true, reason: what_it_does(&act).to_owned() },
            Err(reason) => ActOption { act: act.name(), allowed: false, reason },
        })
        .collect()
}

fn what_it_does(act: &Act) -> &'static str {
    match act {
        Act::Retry => "tries again at once what failed or waits for its turn",
        Act::Cancel => "takes back what was done, in reverse order",
        Act::Kill => "stops it for good and takes nothing back",
        Act::Signal { .. } => "delivers a signal that a step may wait for",
    }
}
