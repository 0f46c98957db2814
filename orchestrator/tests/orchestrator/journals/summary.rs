//! What a journal comes to, in words that do not change with the types that say it here. When those change, this
//! follows them, and what it says of an old journal stays the same.

use orchestrator::{
    definition::Definition,
    plan::{Due, Next, Turn},
    run::{LaneRun, Phase, Resumed, Run},
};
use serde_json::{Map, Value, json};

/// What comes next.
pub(super) fn next(definition: &Definition, next: &Next) -> Value {
    let of = |due: &Due| json!({ "step": definition.steps[due.step].step, "lane": due.lane, "attempt": due.attempt });
    match next {
        Next::Run(due) => json!({ "run": of(due) }),
        Next::Probe(due) => json!({ "probe": of(due) }),
        Next::Sleep(sleep) => {
            let turn = match sleep.turn {
                Turn::Timer => "timer",
                Turn::Signal => "signal",
                Turn::Gateway => "gateway",
            };
            json!({ "sleep": { "until": sleep.until, "turn": turn } })
        }
        Next::Decide(entry) => json!({ "decide": entry }),
        Next::Rest => json!("rest"),
    }
}

/// Where a saga stands.
pub(super) fn run(run: &Run) -> Value {
    let steps: Map<String, Value> = run
        .steps
        .iter()
        .map(|(name, step)| {
            (name.clone(), json!({ "forward": lane(&step.forward), "compensation": lane(&step.compensation) }))
        })
        .collect();
    let stuck = run
        .stuck
        .as_ref()
        .map(|stuck| json!({ "step": stuck.step, "lane": stuck.lane, "cause": stuck.cause, "failure": stuck.failure }));
    json!({
        "seq": run.seq,
        "state": run.state,
        "definition": run.definition,
        "version": run.version,
        "input": run.input,
        "tags": run.tags,
        "createdAt": run.created_at,
        "startsAt": run.starts_at,
        "deadlineAt": run.deadline_at,
        "parent": run.parent,
        "steps": steps,
        "signals": run.signals,
        "cancel": run.cancel,
        "cause": run.cause,
        "compensating": run.compensating,
        "stuck": stuck,
    })
}

fn lane(lane: &LaneRun) -> Value {
    let phase = match &lane.phase {
        Phase::Untouched => return Value::Null,
        Phase::Open => json!("open"),
        Phase::Retry(at) => json!({ "retry": at }),
        Phase::Doubt(at) => json!({ "doubt": at }),
        Phase::Waiting(wait) => json!({ "waiting": wait }),
        Phase::Parked { until, reason } => json!({ "parked": { "until": until, "reason": reason } }),
        Phase::Done => json!("done"),
        Phase::Failed { permanent } => json!({ "failed": { "permanent": permanent } }),
    };
    let resumed = lane.resumed.as_ref().map(|resumed| match resumed {
        Resumed::BySignal(signal) => json!({ "bySignal": signal }),
        Resumed::ByTime => json!("byTime"),
    });
    json!({
        "phase": phase,
        "attempt": lane.attempt,
        "failures": lane.failures,
        "notes": lane.notes,
        "output": lane.output,
        "failure": lane.failure,
        "resumed": resumed,
        "mayBeDone": lane.may_be_done,
    })
}
