//! What a person does to a saga. Each act names the `seq` that the person saw, so that nobody acts on a saga that
//! has moved since; the same act again, with the same `seq` and body, is answered as the first time.

use crate::{
    auth::{Address, Caller},
    clock,
    problem::{Problem, kinds},
    query::StrictPath,
    replay,
    state::ApiState,
    strict_json::StrictJson,
    text, wire,
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use orchestrator::{
    acts::{Act, ActAnswer, ActError, ActRequest, Effects},
    catalog::Author,
    ids::SagaId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use workflows::{
    approvals::{self, AskError},
    ids::ApprovalId,
};

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

/// A pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"until": "2026-12-31T19:00:00Z", "reason": "the gateway asked us to wait", "seq": 4}))]
pub(crate) struct PauseBody {
    /// When it ends by itself; without it, when it is resumed.
    #[serde(default, deserialize_with = "wire::time")]
    until: Option<DateTime<Utc>>,
    /// Why, in the person's words.
    reason: String,
    /// The saga's `seq` that the person saw.
    seq: i64,
    /// Only tells what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// A step that is left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"step": "issue", "output": {"ticketIds": []}, "reason": "printed at the door", "seq": 9}))]
pub(crate) struct SkipBody {
    /// The step that the saga stands at.
    step: String,
    /// What later steps take for its output.
    output: Value,
    /// Why, in the person's words.
    reason: String,
    /// The saga's `seq` that the person saw.
    seq: i64,
    /// Only tells what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// A step that was done otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"step": "submit", "output": {}, "evidence": "bank statement of 2 March, line 7", "reason": "paid by hand", "seq": 9}))]
pub(crate) struct CompleteBody {
    /// The step that the saga stands at, in whichever half it is.
    step: String,
    /// What it gave.
    output: Value,
    /// What shows that it was done.
    evidence: String,
    /// Why, in the person's words.
    reason: String,
    /// The saga's `seq` that the person saw.
    seq: i64,
    /// Only tells what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// Another input for a step.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"step": "greet", "input": {"name": "Anna"}, "reason": "a misspelt name", "seq": 3}))]
pub(crate) struct EditInputBody {
    /// The step that the saga stands at.
    step: String,
    /// What its action takes from here on.
    input: Value,
    /// Why, in the person's words.
    reason: String,
    /// The saga's `seq` that the person saw.
    seq: i64,
    /// Only tells what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// A step from which another saga goes on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"step": "commit", "reason": "it was stopped by mistake", "seq": 11}))]
pub(crate) struct ForkBody {
    /// The first step that the other saga runs.
    step: String,
    /// What its action takes, instead of what the definition says.
    #[serde(default)]
    input: Option<Value>,
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

/// A fork that has begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ForkDone {
    #[schema(value_type = String)]
    saga_id: SagaId,
    /// Where the saga is now.
    seq: i64,
    /// The saga that goes on in its place.
    #[schema(value_type = String)]
    forked_into: Option<SagaId>,
}

/// An act that waits for a second person.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActAsked {
    /// What a second person decides about.
    #[schema(value_type = String)]
    approval_id: ApprovalId,
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

/// Stops the saga where it is and takes nothing back, once a second person has consented (`POST /approvals/{id}/approve`).
#[utoipa::path(post, path = "/sagas/{id}/kill", tag = "sagas", operation_id = "killSaga",
    params(("id" = String, Path)), request_body = ActBody,
    responses((status = 202, body = ActAsked), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn kill(asked: Asked<ActBody>) -> Result<Response, Problem> {
    if asked.4.0.dry_run {
        return act(asked, Act::Kill).await;
    }
    let (State(state), Caller(caller), Address(address), StrictPath(saga_id), StrictJson(body)) = asked;
    tracing::Span::current().record("saga.id", tracing::field::display(saga_id));
    let (reason, by) = (text::reason(&body.reason)?.to_owned(), caller.name.clone());
    let request = ActRequest { saga_id, act: Act::Kill, reason, seq: body.seq, by, address: None };
    let by = Author { name: &caller.name, address: Some(address) };
    Ok(asked_for(state.asks.kill(request, by).await?, |asked| asked))
}

/// A second person is asked; `body` makes of that what the route answers with.
pub(crate) fn asked_for<B: Serialize>(asked: approvals::Asked, body: impl Fn(ActAsked) -> B) -> Response {
    let answer = |approval_id| (StatusCode::ACCEPTED, Json(body(ActAsked { approval_id }))).into_response();
    match asked {
        approvals::Asked::New(approval) => answer(approval),
        approvals::Asked::Replayed(approval) => replay::marked(answer(approval)),
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::AskedAlready { approval_id, .. } => {
                Self::new(&kinds::NOT_ALLOWED, format!("{error}.")).with("approvalId", approval_id.to_string())
            }
            AskError::Act(refused) => problem(refused),
            AskError::Definition(refused) => refused.into(),
            AskError::Batch(refused) => refused.into(),
            AskError::Database(error) => error.into(),
        }
    }
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

/// Asks the other side now what became of a call that is in doubt.
#[utoipa::path(post, path = "/sagas/{id}/probe", tag = "sagas", operation_id = "probeSaga",
    params(("id" = String, Path)), request_body = ActBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn probe(asked: Asked<ActBody>) -> Result<Response, Problem> {
    act(asked, Act::Probe).await
}

/// Begins nothing more. A call that is on its way comes to its end, signals are kept, holds and the deadline run on.
#[utoipa::path(post, path = "/sagas/{id}/pause", tag = "sagas", operation_id = "pauseSaga",
    params(("id" = String, Path)), request_body = PauseBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn pause(asked: Asked<PauseBody>) -> Result<Response, Problem> {
    let (state, caller, address, saga, StrictJson(body)) = asked;
    let PauseBody { until, reason, seq, dry_run } = body;
    if until.is_some_and(|until| until <= clock::now()) {
        return Err(Problem::invalid_value("/until", "must be in the future"));
    }
    act((state, caller, address, saga, StrictJson(ActBody { reason, seq, dry_run })), Act::Pause { until }).await
}

/// Goes on after a pause.
#[utoipa::path(post, path = "/sagas/{id}/resume", tag = "sagas", operation_id = "resumeSaga",
    params(("id" = String, Path)), request_body = ActBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn resume(asked: Asked<ActBody>) -> Result<Response, Problem> {
    act(asked, Act::Resume).await
}

/// Goes on without the step that it stands at, with the output that is given.
#[utoipa::path(post, path = "/sagas/{id}/skip", tag = "sagas", operation_id = "skipStep",
    params(("id" = String, Path)), request_body = SkipBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn skip(asked: Asked<SkipBody>) -> Result<Response, Problem> {
    let (state, caller, address, saga, StrictJson(body)) = asked;
    let SkipBody { step, output, reason, seq, dry_run } = body;
    act((state, caller, address, saga, StrictJson(ActBody { reason, seq, dry_run })), Act::Skip { step, output }).await
}

/// Takes the step that it stands at for done, on evidence.
#[utoipa::path(post, path = "/sagas/{id}/complete", tag = "sagas", operation_id = "completeStep",
    params(("id" = String, Path)), request_body = CompleteBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn complete(asked: Asked<CompleteBody>) -> Result<Response, Problem> {
    let (state, caller, address, saga, StrictJson(body)) = asked;
    let CompleteBody { step, output, evidence, reason, seq, dry_run } = body;
    let evidence = text::evidence(&evidence)?.to_owned();
    let complete = Act::Complete { step, output, evidence };
    act((state, caller, address, saga, StrictJson(ActBody { reason, seq, dry_run })), complete).await
}

/// Tries the step that it stands at again, with the input that is given.
#[utoipa::path(post, path = "/sagas/{id}/edit-input", tag = "sagas", operation_id = "editInput",
    params(("id" = String, Path)), request_body = EditInputBody,
    responses((status = 202, body = ActDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn edit_input(asked: Asked<EditInputBody>) -> Result<Response, Problem> {
    let (state, caller, address, saga, StrictJson(body)) = asked;
    let EditInputBody { step, input, reason, seq, dry_run } = body;
    act((state, caller, address, saga, StrictJson(ActBody { reason, seq, dry_run })), Act::EditInput { step, input })
        .await
}

/// Begins another saga in the place of one that is finished, from a step of it. What was done before is taken over, and what
/// runs again has the same keys.
#[utoipa::path(post, path = "/sagas/{id}/fork", tag = "sagas", operation_id = "forkSaga",
    params(("id" = String, Path)), request_body = ForkBody,
    responses((status = 202, body = ForkDone), (status = 200, body = Value, description = "What it would do")))]
pub(crate) async fn fork(asked: Asked<ForkBody>) -> Result<Response, Problem> {
    let (State(state), caller, address, StrictPath(saga_id), StrictJson(body)) = asked;
    let ForkBody { step, input, reason, seq, dry_run } = body;
    let given = StrictJson(ActBody { reason, seq, dry_run });
    let asked = (State(state.clone()), caller, address, StrictPath(saga_id), given);
    let (seq, mark): (_, fn(Response) -> Response) = match carry_out(asked, Act::Fork { step, input }).await? {
        Outcome::Foreseen(effects) => return Ok(Json(effects).into_response()),
        Outcome::Done(ActAnswer::Done { seq }) => (seq, std::convert::identity),
        Outcome::Done(ActAnswer::Replayed { seq }) => (seq, replay::marked),
    };
    // once it is forked it is forked for ever
    let view = state.engine.saga(saga_id).await?.ok_or_else(|| Problem::not_found("saga"))?;
    let forked = ForkDone { saga_id, seq, forked_into: view.run.forked_into };
    Ok(mark((StatusCode::ACCEPTED, Json(forked)).into_response()))
}

async fn act(asked: Asked<ActBody>, act: Act) -> Result<Response, Problem> {
    let StrictPath(saga_id) = asked.3;
    Ok(match carry_out(asked, act).await? {
        Outcome::Foreseen(effects) => Json(effects).into_response(),
        Outcome::Done(ActAnswer::Done { seq }) => done(saga_id, seq),
        Outcome::Done(ActAnswer::Replayed { seq }) => replay::marked(done(saga_id, seq)),
    })
}

/// What became of an act that was asked for.
enum Outcome {
    /// Nothing was done: what it would do.
    Foreseen(Effects),
    /// It is done.
    Done(ActAnswer),
}

async fn carry_out(
    (State(state), Caller(caller), Address(address), StrictPath(saga_id), StrictJson(body)): Asked<ActBody>,
    act: Act,
) -> Result<Outcome, Problem> {
    tracing::Span::current().record("saga.id", tracing::field::display(saga_id));
    let reason = text::reason(&body.reason)?.to_owned();
    let address = Some(address.to_string());
    let request = ActRequest { saga_id, act, reason, seq: body.seq, by: caller.name, address };
    if body.dry_run {
        return state.engine.dry_run(&request).await.map(Outcome::Foreseen).map_err(problem);
    }
    state.engine.act(request).await.map(Outcome::Done).map_err(problem)
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
        ActError::Invalid(mistakes) => {
            Problem::mistakes(&kinds::INVALID_INPUT, &mistakes, |one| (&one.pointer, &one.message))
        }
        ActError::Database(error) => error.into(),
        ActError::Read(error) => error.into(),
    }
}
