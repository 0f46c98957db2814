//! Batches as people watch them, each with what has become of what it is about.

use crate::{
    auth::Caller,
    csv::{self, ROWS_PER_READ},
    page::{self, Page},
    problem::Problem,
    query::{StrictPath, StrictQuery},
    state::ApiState,
    wire::Time,
};
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use orchestrator::ids::SagaId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use workflows::{
    batches::{self, Batch, BatchItem, Counts, ItemFilter},
    ids::{BatchId, RefundId},
};

/// The names of these lists in cursors.
const LIST: &str = "batches";
const ITEMS: &str = "batch-items";
const COLUMNS: [&str; 5] = ["refundId", "sagaId", "verdict", "result", "detail"];

/// A batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchShown {
    #[schema(value_type = String)]
    batch_id: BatchId,
    /// `retry`, `cancel`; `replay` of refunds.
    act: &'static str,
    #[schema(value_type = Object)]
    filter: Value,
    /// `planned`, `running`, `paused`, `completed`, `aborted`.
    state: &'static str,
    /// Why, in the person's words; null where it is kept from the caller.
    reason: Option<String>,
    by: Option<String>,
    planned_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    /// Why it came to its end before it was through.
    end_reason: Option<String>,
    rate_per_second: i32,
    concurrency: i32,
    /// How many sagas stand where.
    counts: CountsShown,
    /// The reason and the person are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

/// How many sagas of a batch stand where.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountsShown {
    waiting: i64,
    still_running: i64,
    fixed: i64,
    failed_again: i64,
    not_attempted: i64,
}

/// A batch with what has become of its sagas.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchDetails {
    #[serde(flatten)]
    batch: BatchShown,
    items: Vec<ItemShown>,
    next: Option<String>,
}

/// What has become of one saga, or of one refund.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ItemShown {
    /// Of a refund, the one that carries it out; null where there is no such refund.
    #[schema(value_type = Option<String>)]
    saga_id: Option<SagaId>,
    /// Where refunds are tried again.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<RefundId>,
    /// What the plan has said.
    verdict: String,
    /// `waiting`, `stillRunning`, `fixed`, `failedAgain`, `notAttempted`.
    result: &'static str,
    /// Why it failed, or was not attempted.
    detail: Option<String>,
}

/// Which page of batches.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BatchesQuery {
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Which of a batch's sagas.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ItemsQuery {
    /// With this result.
    result: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

impl BatchShown {
    fn of(batch: Batch, redacted: bool) -> Self {
        let Counts { waiting, still_running, fixed, failed_again, not_attempted } = batch.counts;
        Self {
            batch_id: batch.batch_id,
            act: batch.work.as_str(),
            filter: batch.filter,
            state: batch.state.as_str(),
            reason: (!redacted).then_some(batch.reason),
            by: (!redacted).then_some(batch.by),
            planned_at: batch.planned_at.into(),
            started_at: batch.started_at.map(Time),
            finished_at: batch.finished_at.map(Time),
            end_reason: batch.end_reason.filter(|_| !redacted),
            rate_per_second: batch.rate_per_second,
            concurrency: batch.concurrency,
            counts: CountsShown { waiting, still_running, fixed, failed_again, not_attempted },
            redacted,
        }
    }
}

/// Batches that were begun, the newest first.
#[utoipa::path(get, path = "/batches", tag = "batches", operation_id = "listBatches", params(BatchesQuery),
    responses((status = 200, body = Page<BatchShown>)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    StrictQuery(query): StrictQuery<BatchesQuery>,
) -> Result<Json<Page<BatchShown>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = page::decode(LIST, query.cursor.as_deref())?;
    let rows = batches::list(state.engine.pool(), before, limit + 1).await?;
    let redacted = caller.sees_redacted();
    Ok(Json(Page::from_rows(LIST, rows, limit, |last| last.batch_id, |batch| BatchShown::of(batch, redacted))))
}

/// A batch or a plan: how far it has come, and what has become of each; as `text/csv` every result.
#[utoipa::path(get, path = "/batches/{id}", tag = "batches", operation_id = "showBatch",
    params(("id" = String, Path), ItemsQuery), 
    responses((status = 200, content((BatchDetails = "application/json"), (String = "text/csv")))))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    StrictPath(batch): StrictPath<BatchId>,
    StrictQuery(query): StrictQuery<ItemsQuery>,
) -> Result<Response, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::decode(ITEMS, query.cursor.as_deref())?;
    let pool = state.engine.pool();
    let found = batches::find(pool, batch).await?.ok_or_else(|| Problem::not_found("batch"))?;
    if csv::is_wanted(&headers) {
        return Ok(as_csv(state, batch, query.result, after));
    }
    let filter = ItemFilter { result: query.result.as_deref(), after };
    let rows = batches::items(pool, batch, filter, limit + 1).await?;
    let Page { items, next } = Page::from_rows(ITEMS, rows, limit, |last| last.position, item_shown);
    Ok(Json(BatchDetails { batch: BatchShown::of(found, caller.sees_redacted()), items, next }).into_response())
}

/// None is added and none changes its place.
fn as_csv(state: ApiState, batch: BatchId, result: Option<String>, after: Option<i32>) -> Response {
    csv::document(&COLUMNS, after, move |after| {
        let (state, result) = (state.clone(), result.clone());
        async move {
            let filter = ItemFilter { result: result.as_deref(), after };
            let rows = batches::items(state.engine.pool(), batch, filter, ROWS_PER_READ.into()).await?;
            let last = rows.last().map(|last| last.position);
            let more = rows.len() == usize::from(ROWS_PER_READ);
            let mut text = String::new();
            rows.iter().for_each(|item| add_item(&mut text, item));
            Ok((text, more.then_some(last)))
        }
    })
}

fn add_item(text: &mut String, item: &BatchItem) {
    let cells = [
        &item.refund_id.map(|refund| refund.to_string()).unwrap_or_default(),
        &item.saga_id.map(|saga| saga.to_string()).unwrap_or_default(),
        item.verdict.as_str(),
        item.result,
        item.detail.as_deref().unwrap_or_default(),
    ];
    csv::add_line(text, cells);
}

fn item_shown(item: BatchItem) -> ItemShown {
    let BatchItem { saga_id, refund_id, verdict, result, detail, .. } = item;
    ItemShown { saga_id, refund_id, verdict, result, detail }
}
