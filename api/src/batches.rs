//! One act on many sagas: planned, begun, watched, held up and ended. Replays of refunds are batches too; they are planned
//! elsewhere (`finance/replays.rs`).

mod show;

pub(crate) use show::{__path_list, __path_show, list, show};

use crate::{
    auth::{Address, Caller},
    problem::{Problem, kinds},
    query::StrictPath,
    replay,
    sagas::{
        acts::{self, ActAsked},
        list::Asked,
    },
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
use orchestrator::{catalog::Author, ids::SagaId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use workflows::{
    approvals::Begun,
    batches::{
        self, BatchAct, BatchEvent, CONCURRENCY_MAX, ChangeError, Changed, Limits, PlanBatch, PlanError, Planned,
        RATE_PER_SECOND_MAX, SAGAS_MAX, Selection,
    },
    ids::BatchId,
    search::{self, Scope},
};

/// How many ids of a group of a plan are told.
const GROUP_IDS_MAX: usize = 500;

/// A plan, or the beginning of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"act": "retry", "filter": {"state": "stuck", "step": "pay"}, "dryRun": true,
    "ratePerSecond": 20, "abortAtFailureRate": 0.2, "reason": "the gateway is back"}))]
pub(crate) struct BatchBody {
    /// `retry`, `cancel`.
    act: Option<String>,
    /// The members of `GET /sagas`, such as `caseId`, or `sagaIds`, or `failedAgainIn`: another batch.
    #[schema(value_type = Option<Object>)]
    filter: Option<Map<String, Value>>,
    /// Plans, and does nothing.
    #[serde(default)]
    dry_run: bool,
    /// Acts per second, at most 1,000 [default: 20].
    rate_per_second: Option<u32>,
    /// How many sagas may be on their way at once [default: 100].
    concurrency: Option<u32>,
    /// The share of failures among ten results or more that ends the batch: above 0, at most 1.
    abort_at_failure_rate: Option<f64>,
    /// Why, in the person's words.
    reason: Option<String>,
    /// The plan to begin; then nothing else is given.
    #[schema(value_type = Option<String>)]
    plan_id: Option<BatchId>,
}

/// What would be done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanShown {
    #[schema(value_type = String)]
    plan_id: BatchId,
    /// The most frequent verdict first.
    groups: Vec<GroupShown>,
}

/// Sagas of which the same is said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupShown {
    verdict: String,
    /// Whether anything would be done to them.
    would_act: bool,
    count: usize,
    /// The first 500.
    #[schema(value_type = Vec<String>)]
    saga_ids: Vec<SagaId>,
}

/// A batch that was begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchStarted {
    #[schema(value_type = String)]
    batch_id: BatchId,
    state: &'static str,
}

/// What became of the beginning of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchAnswer {
    /// It has begun.
    Begun(BatchStarted),
    /// A second person has to consent.
    Asked(ActAsked),
}

/// Why a batch is held up, goes on, or ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the gateway is down again"}))]
pub(crate) struct ReasonBody {
    reason: String,
}

/// Plans an act on many sagas, or begins what was planned: exactly that, once. Above the installation's limit the beginning
/// is answered with an `approvalId`, and happens when a second person has consented.
#[utoipa::path(post, path = "/batches", tag = "batches", operation_id = "planOrStartBatch", request_body = BatchBody,
    responses((status = 200, body = PlanShown, description = "The plan"), (status = 202, body = BatchAnswer)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Address(address): Address,
    StrictJson(body): StrictJson<BatchBody>,
) -> Result<Response, Problem> {
    if let Some(plan) = body.plan_id {
        let alone = body.act.is_none() && body.filter.is_none() && !body.dry_run && body.reason.is_none();
        if !alone {
            return Err(Problem::invalid_value("/planId", "is given alone: the plan has everything else"));
        }
        let by = Author { name: &caller.0.name, address: Some(address) };
        return Ok(begun(plan, state.asks.start(plan, by).await?));
    }
    if !body.dry_run {
        let detail = "Plan first with `dryRun: true`, then send the plan's `planId` alone.";
        return Err(Problem::invalid_value("/dryRun", detail));
    }
    let planned = batches::plan(&state.engine, &wanted(&state, &caller, body).await?).await?;
    Ok(Json(plan_shown(planned)).into_response())
}

/// What has become of the beginning of a plan.
pub(crate) fn begun(plan: BatchId, begun: Begun) -> Response {
    match begun {
        Begun::Now(Changed::Now(now)) => started(plan, now.as_str()),
        Begun::Now(Changed::Already(now)) => replay::marked(started(plan, now.as_str())),
        Begun::Asked(asked) => acts::asked_for(asked, BatchAnswer::Asked),
    }
}

fn started(batch_id: BatchId, state: &'static str) -> Response {
    (StatusCode::ACCEPTED, Json(BatchAnswer::Begun(BatchStarted { batch_id, state }))).into_response()
}

fn plan_shown(planned: Planned) -> PlanShown {
    let groups = planned.groups.into_iter().map(|group| GroupShown {
        verdict: group.verdict,
        would_act: group.would_act,
        count: group.sagas.len(),
        saga_ids: group.sagas.into_iter().take(GROUP_IDS_MAX).collect(),
    });
    PlanShown { plan_id: planned.batch_id, groups: groups.collect() }
}

async fn wanted(state: &ApiState, caller: &Caller, body: BatchBody) -> Result<PlanBatch, Problem> {
    let missing = |pointer| Problem::invalid_value(pointer, "is missing");
    let act: BatchAct = body
        .act
        .as_deref()
        .ok_or_else(|| missing("/act"))?
        .parse()
        .map_err(|error: batches::NotABatchAct| Problem::invalid_value("/act", error.to_string()))?;
    let reason = text::reason(body.reason.as_deref().ok_or_else(|| missing("/reason"))?)?.to_owned();
    let limits = limits(body.rate_per_second, body.concurrency, body.abort_at_failure_rate)?;
    let filter = body.filter.ok_or_else(|| missing("/filter"))?;
    let selection = selection(state, &filter).await?;
    Ok(PlanBatch { act, selection, filter: Value::Object(filter), limits, reason, by: caller.0.name.clone() })
}

#[expect(clippy::float_arithmetic, reason = "a share between 0 and 1 becomes a whole number here, and is none again")]
pub(crate) fn limits(
    rate_per_second: Option<u32>,
    concurrency: Option<u32>,
    abort_at_failure_rate: Option<f64>,
) -> Result<Limits, Problem> {
    let defaults = Limits::default();
    let bounded = |pointer, asked: Option<u32>, default, most| match asked.unwrap_or(default) {
        number if (1..=most).contains(&number) => Ok(number),
        _ => Err(Problem::invalid_value(pointer, format!("must be 1 to {most}"))),
    };
    let permille = match abort_at_failure_rate {
        None => None,
        Some(rate) if rate > 0.0 && rate <= 1.0 => Some((rate * 1_000.0).ceil() as u32),
        Some(_) => return Err(Problem::invalid_value("/abortAtFailureRate", "must be above 0 and at most 1")),
    };
    Ok(Limits {
        rate_per_second: bounded("/ratePerSecond", rate_per_second, defaults.rate_per_second, RATE_PER_SECOND_MAX)?,
        concurrency: bounded("/concurrency", concurrency, defaults.concurrency, CONCURRENCY_MAX)?,
        abort_at_failure_permille: permille,
    })
}

/// Which sagas: named one by one, those of another batch, or what a list would show.
async fn selection(state: &ApiState, filter: &Map<String, Value>) -> Result<Selection, Problem> {
    if filter.is_empty() {
        return Err(Problem::invalid_value("/filter", "must say which sagas"));
    }
    for (alone, read) in
        [("sagaIds", named as fn(&Value) -> Result<Selection, Problem>), ("failedAgainIn", failed_again)]
    {
        let Some(value) = filter.get(alone) else { continue };
        if filter.len() > 1 {
            return Err(Problem::invalid_value(&format!("/filter/{alone}"), "is given alone"));
        }
        return read(value);
    }
    let pairs = filter.iter().map(|(name, value)| match value {
        Value::String(value) if !["limit", "cursor"].contains(&name.as_str()) => Ok((name.clone(), value.clone())),
        Value::String(_) => Err(Problem::invalid_value(&format!("/filter/{name}"), "is not known here")),
        _ => Err(Problem::invalid_value(&format!("/filter/{name}"), "must be a text")),
    });
    let asked = Asked::of(pairs.collect::<Result<_, _>>()?, false)?;
    let mut filter = asked.filter;
    if let Some(text) = asked.text {
        filter.search = Some(search::sagas(state.engine.pool(), &text, Scope::Everything).await?);
    }
    Ok(Selection::Matching(filter))
}

fn named(value: &Value) -> Result<Selection, Problem> {
    let pointer = "/filter/sagaIds";
    let ids: Vec<SagaId> = Deserialize::deserialize(value)
        .map_err(|error: serde_json::Error| Problem::invalid_value(pointer, error.to_string()))?;
    if ids.len() > SAGAS_MAX {
        return Err(Problem::invalid_value(pointer, format!("may have at most {SAGAS_MAX} members")));
    }
    Ok(Selection::Sagas(ids))
}

fn failed_again(value: &Value) -> Result<Selection, Problem> {
    let batch = Deserialize::deserialize(value)
        .map_err(|error: serde_json::Error| Problem::invalid_value("/filter/failedAgainIn", error.to_string()))?;
    Ok(Selection::FailedAgainIn(batch))
}

/// Who asks, from where, of which batch, and why.
type AskedOf = (State<ApiState>, Caller, Address, StrictPath<BatchId>, StrictJson<ReasonBody>);

/// Carries out no further act for now; what is on its way comes to its end.
#[utoipa::path(post, path = "/batches/{id}/pause", tag = "batches", operation_id = "pauseBatch",
    params(("id" = String, Path)), request_body = ReasonBody, responses((status = 202, body = BatchStarted)))]
pub(crate) async fn pause(asked: AskedOf) -> Result<Response, Problem> {
    change(asked, BatchEvent::Paused).await
}

/// Goes on.
#[utoipa::path(post, path = "/batches/{id}/resume", tag = "batches", operation_id = "resumeBatch",
    params(("id" = String, Path)), request_body = ReasonBody, responses((status = 202, body = BatchStarted)))]
pub(crate) async fn resume(asked: AskedOf) -> Result<Response, Problem> {
    change(asked, BatchEvent::Resumed).await
}

/// Carries out no further act, for good.
#[utoipa::path(post, path = "/batches/{id}/abort", tag = "batches", operation_id = "abortBatch",
    params(("id" = String, Path)), request_body = ReasonBody, responses((status = 202, body = BatchStarted)))]
pub(crate) async fn abort(asked: AskedOf) -> Result<Response, Problem> {
    change(asked, BatchEvent::Aborted).await
}

async fn change(
    (State(state), Caller(caller), Address(address), StrictPath(batch), StrictJson(body)): AskedOf,
    event: BatchEvent,
) -> Result<Response, Problem> {
    let reason = text::reason(&body.reason)?;
    let found = batches::find(state.engine.pool(), batch).await?.ok_or_else(|| Problem::not_found("batch"))?;
    if !caller.role.includes(found.work.role()) {
        let detail = format!("A batch that does `{}` is for another role.", found.work.as_str());
        return Err(Problem::wrong_role(detail, |may| may.includes(found.work.role())));
    }
    let by = Author { name: &caller.name, address: Some(address) };
    match batches::change(state.engine.pool(), batch, event, reason, by).await? {
        Changed::Now(now) => Ok(started(batch, now.as_str())),
        Changed::Already(now) => Ok(replay::marked(started(batch, now.as_str()))),
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound => Self::not_found("batch"),
            ChangeError::PlannedByAnother(_) | ChangeError::NothingToDo | ChangeError::NotAllowed(_) => {
                Self::new(&kinds::NOT_ALLOWED, format!("{error}."))
            }
            ChangeError::Database(error) => error.into(),
        }
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::TooMany | PlanError::Nothing => Self::invalid_value("/filter", error.to_string()),
            PlanError::Database(error) => error.into(),
        }
    }
}
