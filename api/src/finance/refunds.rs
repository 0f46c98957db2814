//! Refunds: every one there is, and a second person's decision about one.

use super::approvals::{Approval, DecisionBody, decide};
use crate::{
    auth::{Address, Caller},
    page::{self, Page},
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    state::ApiState,
    strict_json::StrictJson,
    wire::{self, Amount, Time},
};
use axum::{Json, extract::State, response::Response};
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

/// Refunds, the newest first.
#[utoipa::path(get, path = "/refunds", tag = "finance", operation_id = "listRefunds", params(RefundsQuery),
    responses((status = 200, body = Page<Refund>)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<RefundsQuery>,
) -> Result<Json<Page<Refund>>, Problem> {
    let limit = page::limit(query.limit)?;
    if query.state.as_deref().is_some_and(|state| !REFUND_STATES.contains(&state)) {
        let detail = format!("state must be one of {}.", REFUND_STATES.join(", "));
        return Err(Problem::new(&kinds::INVALID_PARAMETER, detail).with("parameter", "state"));
    }
    let after: Option<RefundPosition> = page::decode(LIST, query.cursor.as_deref())?;
    let text = query.q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter = RefundFilter { state: query.state, from: query.from, to: query.to, text, after, limit: limit + 1 };
    let rows = refunds::list(state.engine.pool(), &filter).await?;
    Ok(Json(Page::from_rows(LIST, rows, limit, |last| (last.requested_at, last.refund_id), Refund::from)))
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
