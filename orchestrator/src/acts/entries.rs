//! Acts as journal entries.

use super::{Act, ActRequest};
use crate::{
    action::Lane,
    ids::SagaId,
    journal::{ActKind, Entry},
    judge::storable,
    run::Run,
    saga::State,
};
use serde_json::Value;

/// What an act appends to its saga's journal; `into` is the saga that a fork has begun.
pub(super) fn of(request: &ActRequest, run: &Run, into: Option<SagaId>) -> Vec<Entry> {
    let shown = |act, evidence: Option<&String>| Entry::Acted {
        act,
        reason: request.reason.clone(),
        by: request.by.clone(),
        evidence: evidence.cloned(),
    };
    let acted = |act| shown(act, None);
    let lane = if run.compensating { Lane::Compensation } else { Lane::Forward };
    let succeeded = |step: &String, output: &Value| Entry::Succeeded {
        step: step.clone(),
        lane,
        attempt: run.step(step).lane(lane).attempt.max(1),
        output: storable(output.clone()),
        probed: false,
    };
    match &request.act {
        Act::Retry => vec![acted(ActKind::Retry)],
        Act::Probe => vec![acted(ActKind::Probe)],
        Act::Pause { until } => vec![acted(ActKind::Pause), Entry::Paused { until: *until }],
        Act::Resume => vec![acted(ActKind::Resume), Entry::Resumed],
        Act::Skip { step, output } => vec![acted(ActKind::Skip), succeeded(step, output)],
        Act::Complete { step, output, evidence } => {
            vec![shown(ActKind::Complete, Some(evidence)), succeeded(step, output)]
        }
        Act::EditInput { step, input } => {
            vec![acted(ActKind::EditInput), Entry::InputGiven { step: step.clone(), input: storable(input.clone()) }]
        }
        Act::Fork { step, .. } => {
            let forked = into.map(|saga| Entry::ForkedInto { saga, step: step.clone() });
            std::iter::once(acted(ActKind::Fork)).chain(forked).collect()
        }
        // what is paused is taken back at once, or when its call has come to its end
        Act::Cancel if run.state == State::Paused => vec![acted(ActKind::Cancel), Entry::Resumed],
        Act::Cancel => vec![acted(ActKind::Cancel)],
        Act::Kill => vec![acted(ActKind::Kill), Entry::Killed],
        Act::Signal { name, payload } => {
            vec![Entry::Signalled { name: name.clone(), payload: storable(payload.clone()), by: request.by.clone() }]
        }
    }
}
