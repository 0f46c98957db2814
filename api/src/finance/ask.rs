//! Somebody in finance gives a buyer money back.

use crate::{
    auth::{Address, Caller},
    problem::{Problem, kinds},
    query::StrictPath,
    replay,
    sagas::start,
    state::ApiState,
    strict_json::StrictJson,
    text,
    wire::Amount,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use orchestrator::ids::SagaId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use workflows::{
    ids::{ApprovalId, OrderId, RefundId},
    refunds::{AskError, AskRefund, Asked, NotRefundable, RefundAsked, Wanted},
};

/// What goes back. Neither amount nor seats: all that is left.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"seatIds": ["stalls-1-2"], "reason": "the view was blocked", "idempotencyKey": "claim-77"}))]
pub(crate) struct RefundBody {
    /// So much, in minor units of the order's currency. Without seats, the tickets stay valid.
    #[schema(minimum = 1)]
    amount: Option<i64>,
    /// The seats whose tickets are taken back; without an amount, their shares of what was paid.
    seat_ids: Option<Vec<String>>,
    /// Why, in the person's words.
    reason: String,
    /// The same key and body again: the same refund.
    idempotency_key: String,
}

/// A refund that is begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundBegun {
    #[schema(value_type = String)]
    refund_id: RefundId,
    #[schema(value_type = String)]
    saga_id: SagaId,
    /// `requested` while it waits for a second person.
    state: String,
    /// What a second person decides about, where it needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// Gives an order's money back: all that is left, the shares of some seats, or an amount. Above the limit
/// (`refund_approval_above`) it waits for a second person.
#[utoipa::path(post, path = "/orders/{id}/refunds", tag = "finance", operation_id = "requestRefund",
    params(("id" = String, Path)), request_body = RefundBody, responses((status = 202, body = RefundBegun)))]
pub(crate) async fn ask(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath(order_id): StrictPath<OrderId>,
    StrictJson(body): StrictJson<RefundBody>,
) -> Result<Response, Problem> {
    tracing::Span::current().record("order.id", tracing::field::display(order_id));
    let reason = text::reason(&body.reason)?.to_owned();
    let idempotency_key = text::name("/idempotencyKey", &body.idempotency_key)?.to_owned();
    if body.amount.is_some_and(|amount| amount < 1) {
        return Err(Problem::invalid_value("/amount", "must be at least 1"));
    }
    if body.seat_ids.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::invalid_value("/seatIds", "must have at least one; without it, all seats"));
    }
    let wanted = Wanted { amount_minor: body.amount, seat_ids: body.seat_ids };
    let request = AskRefund { order_id, wanted, reason, idempotency_key, address: Some(address) };
    match state.refunds.ask(&caller, request).await.map_err(problem)? {
        Asked::New(asked) => Ok(accepted(asked)),
        Asked::Replayed(asked) => Ok(replay::marked(accepted(asked))),
    }
}

fn accepted(RefundAsked { refund_id, saga_id, state, approval_id }: RefundAsked) -> Response {
    tracing::Span::current().record("saga.id", tracing::field::display(saga_id));
    let location = [(header::LOCATION, format!("/refunds/{refund_id}"))];
    (StatusCode::ACCEPTED, location, Json(RefundBegun { refund_id, saga_id, state, approval_id })).into_response()
}

fn problem(error: AskError) -> Problem {
    match error {
        AskError::NotFound => Problem::not_found("order"),
        AskError::StillAtWork | AskError::Several | AskError::AsksNobody | AskError::Disputed { .. } => {
            Problem::new(&kinds::NOT_REFUNDABLE, error.to_string())
        }
        AskError::NotRefundable(refused) => not_refundable(&refused),
        AskError::IdempotencyConflict => Problem::idempotency_conflict(),
        AskError::Start(error) => start::problem(error),
        AskError::Database(error) => error.into(),
    }
}

fn not_refundable(refused: &NotRefundable) -> Problem {
    let exceeds = Problem::new(&kinds::EXCEEDS_CAPTURED, refused.to_string());
    match refused {
        NotRefundable::UnknownSeat(_) => Problem::invalid_value("/seatIds", refused.to_string()),
        NotRefundable::GivenBack { left, .. } | NotRefundable::ExceedsCaptured { left, .. } => {
            exceeds.with("left", json!(Amount::from(*left)))
        }
        NotRefundable::NothingLeft => exceeds,
    }
}
