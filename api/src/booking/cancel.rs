//! A buyer's cancellation.

use crate::{
    auth::{Address, Caller},
    problem::{Problem, kinds},
    query::StrictPath,
    replay,
    sagas::{acts, start},
    state::ApiState,
    strict_json::StrictJson,
    text,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use orchestrator::ids::SagaId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workflows::{
    ids::{OrderId, RefundId},
    orders::{self, CancelError, CancelOrder, Cancellation, Cancelled},
};

/// What a buyer asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"reason": "we cannot come"}))]
pub(crate) struct CancelBody {
    /// Why, in the buyer's words.
    reason: String,
    /// The seats to give back; without them, all.
    seat_ids: Option<Vec<String>>,
    /// Not needed: asking again is answered as the first time. The same key with another body is refused.
    idempotency_key: Option<String>,
}

/// How it is carried out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderCancelled {
    /// Null when nothing was charged yet.
    #[schema(value_type = Option<String>)]
    refund_id: Option<RefundId>,
    #[schema(value_type = String)]
    saga_id: SagaId,
}

/// Cancels an order. Nobody has to approve it. Again: the same answer.
#[utoipa::path(post, path = "/orders/{id}/cancel", tag = "booking", operation_id = "cancelOrder",
    params(("id" = String, Path)), request_body = CancelBody, responses((status = 202, body = OrderCancelled)))]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath(order_id): StrictPath<OrderId>,
    StrictJson(body): StrictJson<CancelBody>,
) -> Result<Response, Problem> {
    tracing::Span::current().record("order.id", tracing::field::display(order_id));
    let reason = text::reason(&body.reason)?.to_owned();
    let key = body.idempotency_key.as_deref().map(|key| text::name("/idempotencyKey", key)).transpose()?;
    if body.seat_ids.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::invalid_value("/seatIds", "must have at least one; without it, all seats"));
    }
    let request = CancelOrder {
        order_id,
        reason,
        idempotency_key: key.map(str::to_owned),
        seat_ids: body.seat_ids,
        address: Some(address),
    };
    match orders::cancel(&state.engine, &caller, request).await.map_err(problem)? {
        Cancelled::New(cancellation) => Ok(accepted(order_id, cancellation)),
        Cancelled::Replayed(cancellation) => Ok(replay::marked(accepted(order_id, cancellation))),
    }
}

fn accepted(order_id: OrderId, Cancellation { refund_id, saga_id }: Cancellation) -> Response {
    let location = [(header::LOCATION, format!("/orders/{order_id}"))];
    (StatusCode::ACCEPTED, location, Json(OrderCancelled { refund_id, saga_id })).into_response()
}

fn problem(error: CancelError) -> Problem {
    match error {
        CancelError::NotFound => Problem::not_found("order"),
        CancelError::NotCancellable(why) => Problem::new(&kinds::NOT_CANCELLABLE, why),
        CancelError::IdempotencyConflict => Problem::idempotency_conflict(),
        CancelError::Act(error) => acts::problem(error),
        CancelError::Start(error) => start::problem(error),
        CancelError::Database(error) => error.into(),
    }
}
