//! One saga: what happened to it, and why it stands where it stands.

use super::list::shown_tags;
use crate::{
    auth::Caller,
    problem::Problem,
    query::{Nothing, StrictPath, StrictQuery},
    sagas::acts,
    state::ApiState,
    wire::Time,
};
use axum::{Json, extract::State};
use orchestrator::{
    acts::ActOption,
    ids::SagaId,
    journal::Recorded,
    view::{self, SagaView, WaitingOn},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A saga with its journal. `input`, `outputs` and each entry's `detail` are null where they are kept from the
/// caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saga {
    #[schema(value_type = String)]
    saga_id: SagaId,
    definition: String,
    version: i32,
    /// `running`, `waiting`, `paused`, `compensating`, `completed`, `compensated`, `stuck`, `killed`.
    state: &'static str,
    /// Where it stands; null when it is finished.
    step: Option<String>,
    /// The last entry of the journal.
    seq: i64,
    input: Option<Value>,
    /// By step.
    outputs: Option<BTreeMap<String, Value>>,
    journal: Vec<JournalEntry>,
    tags: BTreeMap<String, Option<String>>,
    /// The code of what made it stuck or compensate.
    failure_code: Option<String>,
    created_at: Time,
    finished_at: Option<Time>,
    /// Until when its pivot must be done.
    deadline_at: Option<Time>,
    /// Payloads and personal data are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JournalEntry {
    seq: i64,
    at: Time,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// All that the entry says.
    detail: Option<Value>,
    /// The person or program from outside that did it; null where that is kept from the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Option<String>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

impl JournalEntry {
    /// An entry as this caller may see it.
    pub(crate) fn of(recorded: &Recorded, redacted: bool) -> Self {
        let entry = &recorded.entry;
        Self {
            seq: recorded.seq,
            at: recorded.at.into(),
            kind: entry.kind(),
            step: entry.step().map(str::to_owned),
            attempt: entry.attempt(),
            detail: if redacted { None } else { detail(recorded) },
            by: entry.by().map(|by| (!redacted).then(|| by.to_owned())),
            redacted,
        }
    }
}

/// What an entry says beside what stands next to it.
fn detail(recorded: &Recorded) -> Option<Value> {
    let mut detail = serde_json::to_value(&recorded.entry).ok()?;
    let members = detail.as_object_mut()?;
    for beside in ["kind", "step", "attempt", "by"] {
        members.remove(beside);
    }
    Some(detail)
}

impl Saga {
    fn of(view: SagaView, redacted: bool) -> Self {
        let outputs = view.outputs();
        let SagaView { listed, run, journal } = view;
        Self {
            saga_id: listed.saga_id,
            definition: listed.definition,
            version: listed.version,
            state: run.state.as_str(),
            step: listed.step,
            seq: run.seq,
            input: (!redacted).then_some(run.input),
            outputs: (!redacted).then_some(outputs),
            journal: journal.iter().map(|recorded| JournalEntry::of(recorded, redacted)).collect(),
            tags: shown_tags(listed.tags, redacted),
            failure_code: listed.failure_code,
            created_at: listed.created_at.into(),
            finished_at: listed.finished_at.map(Time),
            deadline_at: listed.deadline_at.map(Time),
            redacted,
        }
    }
}

/// One saga with its whole journal.
#[utoipa::path(get, path = "/sagas/{id}", tag = "sagas", operation_id = "getSaga",
    params(("id" = String, Path)), responses((status = 200, body = Saga)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    StrictPath(id): StrictPath<SagaId>,
    StrictQuery(Nothing {}): StrictQuery<Nothing>,
) -> Result<Json<Saga>, Problem> {
    tracing::Span::current().record("saga.id", tracing::field::display(id));
    let view = state.engine.saga(id).await?.ok_or_else(|| Problem::not_found("saga"))?;
    Ok(Json(Saga::of(view, caller.sees_redacted())))
}

/// Why a saga stands where it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Why {
    /// For people. What went wrong stands in it by its code alone where its words are kept from the caller.
    sentence: String,
    /// `worker`, `gateway`, `timer`, `signal`, `person`, `nothing`.
    #[schema(value_type = String)]
    waiting_on: WaitingOn,
    since: Time,
    next: NextThing,
    /// What a person can do, and why not.
    #[schema(value_type = Vec<Value>)]
    acts: Vec<ActOption>,
    /// Payloads and personal data are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

/// What happens next by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NextThing {
    /// In words; empty when nothing does.
    what: String,
    step: Option<String>,
    /// When at the latest.
    at: Option<Time>,
}

impl Why {
    fn of(why: view::Why, redacted: bool) -> Self {
        Self {
            sentence: if redacted { why.sentence_by_codes } else { why.sentence },
            waiting_on: why.waiting_on,
            since: why.since.into(),
            next: NextThing { what: why.next.what, step: why.next.step, at: why.next.at.map(Time) },
            acts: why.acts,
            redacted,
        }
    }
}

/// Why a saga stands where it stands, what happens next, and what a person can do.
#[utoipa::path(get, path = "/sagas/{id}/why", tag = "sagas", operation_id = "whySaga",
    params(("id" = String, Path)), responses((status = 200, body = Why)))]
pub(crate) async fn why(
    State(state): State<ApiState>,
    caller: Caller,
    StrictPath(id): StrictPath<SagaId>,
    StrictQuery(Nothing {}): StrictQuery<Nothing>,
) -> Result<Json<Why>, Problem> {
    tracing::Span::current().record("saga.id", tracing::field::display(id));
    let why = state.engine.why(id).await.map_err(acts::problem)?.ok_or_else(|| Problem::not_found("saga"))?;
    Ok(Json(Why::of(why, caller.sees_redacted())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_is_told_why_by_codes() {
        let why = view::Why {
            sentence: "Everything was taken back because: cancelled by olga: ada is ill.".to_owned(),
            sentence_by_codes: "Everything was taken back because: cancelled.".to_owned(),
            waiting_on: WaitingOn::Nothing,
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
            next: view::NextThing { what: String::new(), step: None, at: None },
            acts: Vec::new(),
        };
        assert_eq!(Why::of(why.clone(), false).sentence, why.sentence);
        let seen = serde_json::to_value(Why::of(why.clone(), true)).unwrap();
        assert_eq!((&seen["sentence"], &seen["redacted"]), (&Value::from(why.sentence_by_codes), &Value::from(true)));
        assert!(!seen.to_string().contains("olga"));
    }
}
