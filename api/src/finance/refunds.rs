//! Refunds: every one there is, and a second person's decision about one.

use super::approvals::{Approval, DecisionBody, decide};
use crate::{
    auth::{Address, Caller},
    csv::{self, ROWS_PER_READ},
    page::{self, Page},
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    state::ApiState,
    strict_json::StrictJson,
    wire::{self, Amount, Time},
};
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use orchestrator::ids::SagaId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workflows::{
    ids::{ApprovalId, OrderId, RefundId},
    refunds::{self, REFUND_STATES, RefundFilter, RefundPosition},
};

/// The name of this list in cursors.
const LIST: &str = "refunds";
const COLUMNS: [&str; 16] = [
    "refundId",
    "orderId",
    "sagaId",
    "gateway",
    "reference",
    "amountMinor",
    "outstandingMinor",
    "currency",
    "seatIds",
    "state",
    "attempts",
    "reason",
    "requestedAt",
    "requestedBy",
    "approvalId",
    "finishedAt",
];

/// Which refunds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RefundsQuery {
    /// `requested`, `approved`, `rejected`, `submitted`, `pending`, `inDoubt`, `succeeded`, `failed`.
    state: Option<String>,
    /// Asked for then or later.
    #[serde(default, deserialize_with = "wire::time")]
    from: Option<DateTime<Utc>>,
    /// Asked for before.
    #[serde(default, deserialize_with = "wire::time")]
    to: Option<DateTime<Utc>>,
    /// An order's or a refund's id, or a gateway's reference of a refund or its payment.
    q: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A refund.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refund {
    #[schema(value_type = String)]
    refund_id: RefundId,
    #[schema(value_type = String)]
    order_id: OrderId,
    #[schema(value_type = String)]
    saga_id: SagaId,
    gateway: String,
    /// The gateway's name for it, once there is one.
    reference: Option<String>,
    amount: Amount,
    /// What of it is not back yet.
    outstanding: Amount,
    /// Whose tickets it takes back.
    seat_ids: Vec<String>,
    /// `requested`, `approved`, `rejected`, `submitted`, `pending`, `inDoubt`, `succeeded`, `failed`.
    state: String,
    /// How often the gateway was asked.
    attempts: i32,
    reason: String,
    requested_at: Time,
    /// A person, or the saga that takes an order back.
    requested_by: String,
    /// What a second person decides about, where it needs one.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
    finished_at: Option<Time>,
}

impl From<refunds::Refund> for Refund {
    fn from(refund: refunds::Refund) -> Self {
        Self {
            refund_id: refund.refund_id,
            order_id: refund.order_id,
            saga_id: refund.saga_id,
            gateway: refund.gateway,
            reference: refund.reference,
            amount: refund.amount.into(),
            outstanding: refund.outstanding.into(),
            seat_ids: refund.seat_ids,
            state: refund.state,
            attempts: refund.attempts,
            reason: refund.reason,
            requested_at: refund.requested_at.into(),
            requested_by: refund.requested_by,
            approval_id: refund.approval_id,
            finished_at: refund.finished_at.map(Time),
        }
    }
}

/// Refunds, the newest first; as `text/csv` all that match.
#[utoipa::path(get, path = "/refunds", tag = "finance", operation_id = "listRefunds", params(RefundsQuery),
    responses((status = 200, content((Page<Refund> = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<RefundsQuery>,
) -> Result<Response, Problem> {
    let limit = page::limit(query.limit)?;
    if query.state.as_deref().is_some_and(|state| !REFUND_STATES.contains(&state)) {
        let detail = format!("state must be one of {}.", REFUND_STATES.join(", "));
        return Err(Problem::new(&kinds::INVALID_PARAMETER, detail).with("parameter", "state"));
    }
    let after: Option<RefundPosition> = page::decode(LIST, query.cursor.as_deref())?;
    let text = query.q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter = RefundFilter { state: query.state, from: query.from, to: query.to, text, after, limit: limit + 1 };
    if csv::is_wanted(&headers) {
        return Ok(as_csv(state, filter));
    }
    let rows = refunds::list(state.engine.pool(), &filter).await?;
    Ok(Json(Page::from_rows(LIST, rows, limit, position, Refund::from)).into_response())
}

fn position(refund: &refunds::Refund) -> RefundPosition {
    (refund.requested_at, refund.refund_id)
}

/// No refund changes its place: as many reads as it takes miss none and tell none twice.
fn as_csv(state: ApiState, filter: RefundFilter) -> Response {
    let filter = RefundFilter { limit: ROWS_PER_READ.into(), ..filter };
    csv::document(&COLUMNS, filter, move |filter| {
        let state = state.clone();
        async move {
            let rows = refunds::list(state.engine.pool(), &filter).await?;
            let after = rows.last().map(position);
            let more = rows.len() == usize::from(ROWS_PER_READ);
            let mut text = String::new();
            rows.iter().for_each(|refund| add_refund(&mut text, refund));
            Ok((text, more.then_some(RefundFilter { after, ..filter })))
        }
    })
}

fn add_refund(text: &mut String, refund: &refunds::Refund) {
    let cells = [
        &refund.refund_id.to_string(),
        &refund.order_id.to_string(),
        &refund.saga_id.to_string(),
        refund.gateway.as_str(),
        refund.reference.as_deref().unwrap_or_default(),
        &refund.amount.amount_minor.to_string(),
        &refund.outstanding.amount_minor.to_string(),
        refund.amount.currency.code(),
        &refund.seat_ids.join(" "),
        &refund.state,
        &refund.attempts.to_string(),
        &refund.reason,
        &wire::utc(refund.requested_at),
        &refund.requested_by,
        &refund.approval_id.map(|approval| approval.to_string()).unwrap_or_default(),
        &refund.finished_at.map(wire::utc).unwrap_or_default(),
    ];
    csv::add_line(text, cells);
}

/// One refund.
#[utoipa::path(get, path = "/refunds/{id}", tag = "finance", operation_id = "getRefund",
    params(("id" = String, Path)), responses((status = 200, body = Refund)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    StrictPath(refund): StrictPath<RefundId>,
) -> Result<Json<Refund>, Problem> {
    find(&state, refund).await.map(|refund| Json(refund.into()))
}

pub(super) async fn find(state: &ApiState, refund: RefundId) -> Result<refunds::Refund, Problem> {
    refunds::find(state.engine.pool(), refund).await?.ok_or_else(|| Problem::not_found("refund"))
}

/// Who decides, from where, about which refund, and why.
type Deciding = (State<ApiState>, Caller, Address, StrictPath<RefundId>, StrictJson<DecisionBody>);

/// Consents to a refund that somebody else has asked for.
#[utoipa::path(post, path = "/refunds/{id}/approve", tag = "finance", operation_id = "approveRefund",
    params(("id" = String, Path)), request_body = DecisionBody, responses((status = 202, body = Approval)))]
pub(crate) async fn approve(deciding: Deciding) -> Result<Response, Problem> {
    decide_about(deciding, true).await
}

/// Refuses a refund that somebody else has asked for.
#[utoipa::path(post, path = "/refunds/{id}/reject", tag = "finance", operation_id = "rejectRefund",
    params(("id" = String, Path)), request_body = DecisionBody, responses((status = 202, body = Approval)))]
pub(crate) async fn reject(deciding: Deciding) -> Result<Response, Problem> {
    decide_about(deciding, false).await
}

async fn decide_about(deciding: Deciding, consents: bool) -> Result<Response, Problem> {
    let (State(state), caller, address, StrictPath(refund), StrictJson(body)) = deciding;
    let approval = find(&state, refund)
        .await?
        .approval_id
        .ok_or_else(|| Problem::new(&kinds::ALREADY_DECIDED, "The refund needs nobody's consent."))?;
    decide(&state, &caller, address, approval, consents, &body).await
}
