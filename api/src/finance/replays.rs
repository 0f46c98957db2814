//! Many refunds are tried again: planned with what would become of each, then begun as a batch
//! ([`crate::batches`]), exactly as planned.

use crate::{
    auth::{Address, Caller},
    batches::{self, BatchAnswer},
    problem::{Problem, kinds},
    query::StrictQuery,
    replay,
    state::ApiState,
    strict_json::{StrictJson, read_body},
    text,
    wire::{self, Amount},
};
use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use orchestrator::catalog::Author;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write;
use utoipa::{IntoParams, ToSchema};
use workflows::{
    ids::{BatchId, RefundId},
    refunds::{
        REFUND_STATES, RefundFilter,
        replays::{
            self, BadLine, FILE_BYTES_MAX, FileError, PlanReplays, PlanReplaysError, PlannedReplays, ReplayGroup,
            Selection,
        },
    },
};

/// How many bytes of a file's digest stand for a reason that nobody has given.
const DIGEST_BYTES_TOLD: usize = 8;

/// A plan, or the beginning of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"filter": {"state": "failed"}, "dryRun": true, "ratePerSecond": 5,
    "abortAtFailureRate": 0.2, "reason": "the bank is well again"}))]
pub(crate) struct ReplaysBody {
    /// Which refunds.
    filter: Option<ReplaysFilter>,
    /// Or these.
    #[schema(value_type = Option<Vec<String>>)]
    refund_ids: Option<Vec<RefundId>>,
    /// Plans, and does nothing.
    #[serde(default)]
    dry_run: bool,
    /// Refunds per second, at most 1,000 [default: 20].
    rate_per_second: Option<u32>,
    /// How many may be on their way at once, save those that their gateway works on [default: 100].
    concurrency: Option<u32>,
    /// The share of failures among ten results or more that ends it: above 0, at most 1.
    abort_at_failure_rate: Option<f64>,
    /// Why, in the person's words.
    reason: Option<String>,
    /// The plan to begin; then nothing else is given.
    #[schema(value_type = Option<String>)]
    plan_id: Option<BatchId>,
}

/// Which refunds: the members of `GET /refunds`, or `failedAgainIn` alone.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReplaysFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, deserialize_with = "wire::time", skip_serializing_if = "Option::is_none")]
    from: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "wire::time", skip_serializing_if = "Option::is_none")]
    to: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<String>,
    /// Those of another batch of replays that have failed again.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_again_in: Option<BatchId>,
}

/// With a file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileQuery {
    /// A file is only planned [default: true].
    dry_run: Option<bool>,
    /// Refunds per second, at most 1,000 [default: 20].
    rate_per_second: Option<u32>,
    /// How many may be on their way at once, save those that their gateway works on [default: 100].
    concurrency: Option<u32>,
    /// The share of failures among ten results or more that ends it: above 0, at most 1.
    abort_at_failure_rate: Option<f64>,
    /// Why, in the person's words [default: the file's digest].
    reason: Option<String>,
}

/// What would be done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplaysPlan {
    /// By which it is begun; null when it would do nothing to anything.
    #[schema(value_type = Option<String>)]
    plan_id: Option<BatchId>,
    /// The most frequent verdict first.
    groups: Vec<ReplaysGroup>,
    /// Whether it is answered with an `approvalId` when it is begun.
    needs_second_person: bool,
    /// Who has made it, and begins it.
    by: String,
    /// Lines of a file that name no refund that could be tried again.
    bad_lines: Vec<BadLineShown>,
}

/// Refunds of which the same is said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplaysGroup {
    verdict: String,
    /// Whether anything would be done.
    would_act: bool,
    count: i64,
    /// The first 500.
    #[schema(value_type = Vec<String>)]
    refund_ids: Vec<RefundId>,
    /// What is outstanding of all of them, one sum for each currency.
    amounts: Vec<Amount>,
}

/// A line of a file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BadLineShown {
    /// 1 is the heading.
    line: u64,
    reason: String,
}

impl From<PlannedReplays> for ReplaysPlan {
    fn from(planned: PlannedReplays) -> Self {
        let needs_second_person = planned.needs_second_person();
        let bad_line = |BadLine { line, reason }| BadLineShown { line, reason };
        let group = |ReplayGroup { verdict, would_act, count, refunds, amounts }| ReplaysGroup {
            verdict,
            would_act,
            count,
            refund_ids: refunds,
            amounts: amounts.into_iter().map(Amount::from).collect(),
        };
        Self {
            plan_id: planned.batch_id,
            groups: planned.groups.into_iter().map(group).collect(),
            needs_second_person,
            by: planned.by,
            bad_lines: planned.bad_lines.into_iter().map(bad_line).collect(),
        }
    }
}

/// Plans to try many refunds again, or begins what was planned: exactly that, once. The beginning of more than one is answered
/// with an `approvalId`, and happens when a second person in finance has consented. A file (`text/csv` with a column
/// `refundId` or `orderId`, and `amount` to make sure of what is outstanding) is planned; the same file again is the same plan.
#[utoipa::path(post, path = "/refunds/replays", tag = "finance", operation_id = "planOrStartReplays", params(FileQuery),
    request_body(content((ReplaysBody = "application/json"), (String = "text/csv"))),
    responses((status = 200, body = ReplaysPlan, description = "The plan"), (status = 202, body = BatchAnswer)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Address(address): Address,
    StrictQuery(query): StrictQuery<FileQuery>,
    request: Request,
) -> Result<Response, Problem> {
    if is_csv(request.headers()) {
        return plan_file(&state, &caller, query, request).await;
    }
    let StrictJson(body) = StrictJson::<ReplaysBody>::from_request(request, &state).await?;
    if let Some(plan) = body.plan_id {
        let alone = body.filter.is_none() && body.refund_ids.is_none() && !body.dry_run && body.reason.is_none();
        if !alone {
            return Err(Problem::invalid_value("/planId", "is given alone: the plan has everything else"));
        }
        let by = Author { name: &caller.0.name, address: Some(address) };
        return Ok(batches::begun(plan, state.asks.start_replays(plan, by).await?));
    }
    must_be_dry(body.dry_run)?;
    let (selection, filter) = selection(body.filter, body.refund_ids)?;
    let reason = body.reason.ok_or_else(|| Problem::invalid_value("/reason", "is missing"))?;
    let wanted = PlanReplays {
        selection,
        filter,
        limits: batches::limits(body.rate_per_second, body.concurrency, body.abort_at_failure_rate)?,
        reason: text::reason(&reason)?.to_owned(),
        by: caller.0.name,
    };
    plan(&state, wanted).await
}

async fn plan(state: &ApiState, wanted: PlanReplays) -> Result<Response, Problem> {
    let planned = replays::plan(&state.engine, &state.gateways, wanted).await?;
    let is_new = planned.is_new;
    let answer = Json(ReplaysPlan::from(planned)).into_response();
    Ok(if is_new { answer } else { replay::marked(answer) })
}

fn must_be_dry(dry_run: bool) -> Result<(), Problem> {
    if dry_run {
        return Ok(());
    }
    let detail = "Plan first with `dryRun: true`, then send the plan's `planId` alone.";
    Err(Problem::invalid_value("/dryRun", detail))
}

/// Which refunds, and the same as it was said.
fn selection(filter: Option<ReplaysFilter>, refund_ids: Option<Vec<RefundId>>) -> Result<(Selection, Value), Problem> {
    let filter = match (filter, refund_ids) {
        (None, Some(refunds)) => {
            let said = json!({ "refundIds": refunds });
            return Ok((Selection::Refunds(refunds), said));
        }
        (Some(_), Some(_)) => return Err(Problem::invalid_value("/refundIds", "is given in the place of a filter")),
        (None, None) => return Err(Problem::invalid_value("/filter", "is missing")),
        (Some(filter), None) => filter,
    };
    let said = serde_json::to_value(&filter).unwrap_or_default();
    let members = said.as_object().map_or(0, serde_json::Map::len);
    if members == 0 {
        return Err(Problem::invalid_value("/filter", "must say which refunds"));
    }
    let ReplaysFilter { state, from, to, q, failed_again_in } = filter;
    if let Some(batch) = failed_again_in {
        if members > 1 {
            return Err(Problem::invalid_value("/filter/failedAgainIn", "is given alone"));
        }
        return Ok((Selection::FailedAgainIn(batch), said));
    }
    if state.as_deref().is_some_and(|state| !REFUND_STATES.contains(&state)) {
        let detail = format!("must be one of {}", REFUND_STATES.join(", "));
        return Err(Problem::invalid_value("/filter/state", detail));
    }
    let text = q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Ok((Selection::Matching(RefundFilter { state, from, to, text, ..RefundFilter::default() }), said))
}

async fn plan_file(state: &ApiState, caller: &Caller, query: FileQuery, request: Request) -> Result<Response, Problem> {
    must_be_dry(query.dry_run.unwrap_or(true))?;
    let limits = batches::limits(query.rate_per_second, query.concurrency, query.abort_at_failure_rate)?;
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body, FILE_BYTES_MAX).await?;
    let file = replays::read(&bytes).map_err(refused)?;
    let mut digest = String::new();
    for byte in file.digest {
        let _ = write!(digest, "{byte:02x}");
    }
    let reason = match query.reason {
        Some(reason) => text::reason(&reason)?.to_owned(),
        None => format!("as in the file with the SHA-256 {}…", &digest[..2 * DIGEST_BYTES_TOLD]),
    };
    let filter = json!({ "file": digest });
    let by = caller.0.name.clone();
    plan(state, PlanReplays { selection: Selection::File(file), filter, limits, reason, by }).await
}

fn is_csv(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv")
}

fn refused(error: FileError) -> Problem {
    match error {
        FileError::TooLarge => Problem::new(&kinds::BODY_TOO_LARGE, format!("{error}.")),
        FileError::Heading(_) | FileError::TooManyBadLines(_) => {
            Problem::new(&kinds::INVALID_REPLAYS, format!("{error}."))
        }
    }
}

impl From<PlanReplaysError> for Problem {
    fn from(error: PlanReplaysError) -> Self {
        match error {
            PlanReplaysError::TooMany | PlanReplaysError::Nothing => Self::invalid_value("/filter", error.to_string()),
            PlanReplaysError::Database(error) => error.into(),
        }
    }
}
