//! A definition tried out on paper.

use super::VERSION;
use crate::{
    problem::{Problem, kinds},
    query::StrictPath,
    sagas::show::JournalEntry,
    state::ApiState,
    strict_json::StrictJson,
};
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use orchestrator::{
    action::Failure,
    mock_run::{MockCall, MockRun, MockRunError, MockSignal, MockStep, Script, Truncated},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use utoipa::ToSchema;

/// What a saga is given and what its steps answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "input": {"name": "Anna"},
    "answers": {"greet": {"action": [{"answer": "transient", "code": "busy", "takesMs": 200}, {"answer": "done"}]}}}))]
pub(crate) struct MockRunBody {
    /// Must satisfy the definition's schema.
    input: Value,
    /// By step, what its `action`, its `compensation` and its `probe` answer, one after another; the last answer goes on.
    /// What is not named is done, with an output of the form that the action has.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Value>)]
    answers: BTreeMap<String, MockStep>,
    /// Signals from outside, `afterMs` the start.
    #[serde(default)]
    #[schema(value_type = Vec<Value>)]
    signals: Vec<MockSignal>,
}

/// What a saga would do, when, and how it would end.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MockRunShown {
    name: String,
    version: i32,
    /// How it ends, or where it stands when nothing more happens by itself.
    state: &'static str,
    /// Why it is taken back, or stuck.
    cause: Option<FailureShown>,
    /// For what it waits at the end, where it does.
    waits_for: Option<String>,
    took_ms: i64,
    /// `entries` or `time`, where it was not followed to its end.
    truncated: Option<&'static str>,
    /// The calls that it would make, in order.
    path: Vec<CallShown>,
    /// The steps that would be taken back, in order.
    compensated: Vec<String>,
    journal: Vec<JournalEntry>,
}

/// A call that would be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallShown {
    step: String,
    /// `action`, `compensation` or `probe`.
    half: &'static str,
    attempt: u32,
    /// The action or probe.
    calls: String,
    /// After the start of the saga.
    after_ms: i64,
    took_ms: u64,
    /// Null where it cannot be put together.
    input: Option<Value>,
    answer: &'static str,
    failure: Option<FailureShown>,
}

/// Why something was not done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureShown {
    code: String,
    message: String,
}

impl From<Failure> for FailureShown {
    fn from(Failure { code, message }: Failure) -> Self {
        Self { code, message }
    }
}

impl CallShown {
    fn of(call: MockCall, began: DateTime<Utc>) -> Self {
        Self {
            step: call.step,
            half: call.half.as_str(),
            attempt: call.attempt,
            calls: call.calls,
            after_ms: (call.at - began).num_milliseconds(),
            took_ms: millis(call.took),
            input: call.input,
            answer: call.answer,
            failure: call.failure.map(FailureShown::from),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl MockRunShown {
    fn of(name: String, version: i32, run: MockRun) -> Self {
        Self {
            name,
            version,
            state: run.state.as_str(),
            cause: run.cause.map(FailureShown::from),
            waits_for: run.waits_for,
            took_ms: run.took.num_milliseconds(),
            truncated: run.truncated.map(|truncated| match truncated {
                Truncated::Entries => "entries",
                Truncated::Time => "time",
            }),
            path: run.path.into_iter().map(|call| CallShown::of(call, run.began)).collect(),
            compensated: run.compensated,
            journal: run.journal.iter().map(|recorded| JournalEntry::of(recorded, false)).collect(),
        }
    }
}

/// What a saga of this version would do: its steps are answered from a script, no action is called, nothing is written, and
/// time is virtual. Backoffs last as long as they may.
#[utoipa::path(post, path = "/definitions/{name}/{version}/mock-run", tag = "definitions",
    operation_id = "mockRunDefinition", params(("name" = String, Path), ("version" = i32, Path)),
    request_body = MockRunBody, responses((status = 200, body = MockRunShown)))]
pub(crate) async fn run(
    State(state): State<ApiState>,
    StrictPath((name, version)): StrictPath<(String, i32)>,
    StrictJson(body): StrictJson<MockRunBody>,
) -> Result<Json<MockRunShown>, Problem> {
    let known = state.engine.catalog().get(&name, version).await?.ok_or_else(|| Problem::not_found(VERSION))?;
    let MockRunBody { input, answers, signals } = body;
    let run = state.engine.mock_run(&known, &Script { input, answers, signals }).map_err(|error| match error {
        MockRunError::Invalid(mistakes) => {
            Problem::mistakes(&kinds::INVALID_INPUT, &mistakes, |one| (&one.pointer, &one.message))
        }
        MockRunError::Corrupt(corrupt) => Problem::internal(corrupt),
    })?;
    Ok(Json(MockRunShown::of(name, version, run)))
}
