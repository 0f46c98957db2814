//! Starting a saga on any definition.

use crate::{
    auth::{Address, Caller},
    problem::{Problem, kinds},
    replay, routes,
    state::ApiState,
    strict_json::StrictJson,
    text, wire,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Datelike, Utc};
use orchestrator::{
    ids::SagaId,
    start::{Start, StartError, Started},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use workflows::definitions::NOT_BY_HAND;

/// The most tags of a saga.
const TAGS_MAX: usize = 32;
/// Sagas begin before this year: a deadline, which may be a year and a day later, is still a time of RFC 3339.
const START_YEAR_END: i32 = 9998;

/// A saga to be started.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"definition": "demo-greeting", "input": {"name": "Anna"}, "idempotencyKey": "first"}))]
pub(crate) struct StartSaga {
    definition: String,
    /// The active one when it is left out.
    version: Option<i32>,
    /// Must satisfy the definition's schema.
    input: Value,
    /// The same key and body again: the same saga.
    idempotency_key: String,
    /// What lists filter by.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// Nothing runs before.
    #[serde(default, deserialize_with = "wire::time")]
    start_at: Option<DateTime<Utc>>,
    /// Higher ones go first.
    #[serde(default)]
    priority: i16,
}

/// Where to look.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SagaStarted {
    #[schema(value_type = String)]
    saga_id: SagaId,
}

/// Starts a saga. A token that acts for one user cannot: what a saga may touch is not bound to a user.
#[utoipa::path(post, path = "/sagas", tag = "sagas", operation_id = "startSaga", request_body = StartSaga,
    responses((status = 202, body = SagaStarted)))]
pub(crate) async fn start(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictJson(body): StrictJson<StartSaga>,
) -> Result<Response, Problem> {
    if caller.user.is_some() {
        let detail = "A token that acts for one user may not start sagas itself.";
        return Err(Problem::wrong_role(detail, |role| routes::CLIENT_OR_OPERATOR.allows(role)));
    }
    if NOT_BY_HAND.contains(&body.definition.as_str()) {
        let detail = format!("{} is started by what it follows from.", body.definition);
        return Err(Problem::new(&kinds::NOT_BY_HAND, detail));
    }
    if body.start_at.is_some_and(|at| at.year() >= START_YEAR_END) {
        return Err(Problem::invalid_value("/startAt", format!("must be before the year {START_YEAR_END}")));
    }
    if body.tags.len() > TAGS_MAX {
        return Err(Problem::invalid_value("/tags", format!("may have at most {TAGS_MAX} members")));
    }
    for (tag, value) in &body.tags {
        text::name("/tags", tag)?;
        text::name("/tags", value)?;
    }
    let start = Start {
        definition: body.definition,
        version: body.version,
        input: body.input,
        owner: caller.key_owner(),
        key: text::name("/idempotencyKey", &body.idempotency_key)?.to_owned(),
        tags: body.tags,
        starts_at: body.start_at,
        priority: body.priority,
        parent: None,
        by: caller.name,
    };
    let started = state.engine.start_asked(start, Some(address)).await.map_err(problem)?;
    let saga_id = started.saga_id();
    tracing::Span::current().record("saga.id", tracing::field::display(saga_id));
    let location = [(header::LOCATION, format!("/sagas/{saga_id}"))];
    let response = (StatusCode::ACCEPTED, location, Json(SagaStarted { saga_id })).into_response();
    match started {
        Started::New(_) => Ok(response),
        Started::Known(_) => Ok(replay::marked(response)),
        Started::Conflict(_) => Err(Problem::idempotency_conflict()),
    }
}

/// A start that was refused, as a problem.
pub(crate) fn problem(error: StartError) -> Problem {
    match error {
        StartError::UnknownDefinition { .. } => Problem::new(&kinds::UNKNOWN_DEFINITION, error.to_string()),
        StartError::InvalidInput(mistakes) => {
            Problem::mistakes(&kinds::INVALID_INPUT, &mistakes, |one| (&one.pointer, &one.message))
        }
        StartError::Database(error) => error.into(),
        StartError::Commit(error) => error.into(),
    }
}
