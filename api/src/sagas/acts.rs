//! What a person does to a saga. Each act names the `seq` that the person saw, so that nobody acts on a saga that
//! has moved since; the same act again, with the same `seq` and body, is answered as the first time.

use crate::{
    auth::{Address, Caller},
    problem::{Problem, kinds},
    query::StrictPath,
    replay,
    state::ApiState,
    strict_json::StrictJson,
    text,
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use orchestrator::{
    acts::{Act, ActAnswer, ActError, ActRequest},
    ids::SagaId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An act.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"reason": "the gateway is back", "seq": 7}))]
pub(crate) struct ActBody {
    /// Why, in the person's words.
    reason: String,
    /// The saga's `seq` that the person saw.
    seq: i64,
    /// Only tells what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// A signal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"name": "go", "payload": {}, "reason": "the buyer called", "seq": 4}))]
pub(crate) struct SignalBody {
    name: String,
    #[serde(default)]
    payload: Value,
    /// Why, in the person's words.
    reason: String,
    /// The saga's `seq` that the person saw.
    seq: i64,
    /// Only tells what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// An act that was done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActDone {
    #[schema(value_type = String)]
    saga_id: SagaId,
    /// Where the saga is now.
    seq: i64,
}

/// Who asks, from where, of which saga, and for what.
type Asked<B> = (State<ApiState>, Caller, Address, StrictPath<SagaId>, StrictJson<B>);

/// Tries again what failed, forward or compensation, now.
#[utoipa::path(post, path = "/sagas/{id}/retry", tag = "sagas", operation_id = "retrySaga",
    params(("id" = String, Path)), request_body = ActBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn retry(asked: Asked<ActBody>) -> Result<Response, Problem> {
    act(asked, Act::Retry).await
}

/// Compensates: takes back what was done.
#[utoipa::path(post, path = "/sagas/{id}/cancel", tag = "sagas", operation_id = "cancelSaga",
    params(("id" = String, Path)), request_body = ActBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn cancel(asked: Asked<ActBody>) -> Result<Response, Problem> {
    act(asked, Act::Cancel).await
}

/// Stops the saga where it is and takes nothing back.
#[utoipa::path(post, path = "/sagas/{id}/kill", tag = "sagas", operation_id = "killSaga",
    params(("id" = String, Path)), request_body = ActBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn kill(asked: Asked<ActBody>) -> Result<Response, Problem> {
    act(asked, Act::Kill).await
}

/// Sends the saga a signal.
#[utoipa::path(post, path = "/sagas/{id}/signal", tag = "sagas", operation_id = "signalSaga",
    params(("id" = String, Path)), request_body = SignalBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn signal(asked: Asked<SignalBody>) -> Result<Response, Problem> {
    let (state, caller, address, saga, StrictJson(body)) = asked;
    let SignalBody { name, payload, reason, seq, dry_run } = body;
    let signal = Act::Signal { name: text::name("/name", &name)?.to_owned(), payload };
    act((state, caller, address, saga, StrictJson(ActBody { reason, seq, dry_run })), signal).await
}

async fn act(
    (State(state), Caller(caller), Address(address), StrictPath(saga_id), StrictJson(body)): Asked<ActBody>,
    act: Act,
) -> Result<Response, Problem> {
    tracing::Span::current().record("saga.id", tracing::field::display(saga_id));
    let reason = text::reason(&body.reason)?.to_owned();
    let address = Some(address.to_string());
    let request = ActRequest { saga_id, act, reason, seq: body.seq, by: caller.name, address };
    if body.dry_run {
        let effects = state.engine.dry_run(&request).await.map_err(problem)?;
        return Ok(Json(effects).into_response());
    }
    match state.engine.act(request).await.map_err(problem)? {
        ActAnswer::Done { seq } => Ok(done(saga_id, seq)),
        ActAnswer::Replayed { seq } => Ok(replay::marked(done(saga_id, seq))),
    }
}

fn done(saga_id: SagaId, seq: i64) -> Response {
    (StatusCode::ACCEPTED, Json(ActDone { saga_id, seq })).into_response()
}

/// An act that was refused, as a problem.
pub(crate) fn problem(error: ActError) -> Problem {
    match error {
        ActError::NotFound => Problem::not_found("saga"),
        ActError::MovedOn { seq, what } => {
            let detail = format!("The saga is at {seq} now: {what}.");
            Problem::new(&kinds::MOVED_ON, detail).with("currentSeq", seq)
        }
        ActError::NotAllowed(reason) => Problem::new(&kinds::NOT_ALLOWED, reason),
        ActError::Database(error) => error.into(),
        ActError::Read(error) => error.into(),
    }
}
