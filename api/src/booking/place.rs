//! Placing an order: what a buyer has on hold becomes an order, and its saga starts.

use crate::{
    auth::Caller,
    problem::{Problem, kinds},
    replay,
    state::ApiState,
    strict_json::StrictJson,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use orchestrator::{ids::SagaId, start::StartError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use workflows::{
    ids::{HoldId, OrderId},
    orders::{InvalidPaymentMethod, PaymentMethod, PlaceError, PlaceOrder, Placed, Placement},
};

/// What a buyer wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"reserveId": "hld_0190f5ab63d07e7a9c2f8d1b4c5e6f70", "paymentMethod": "pm_card_visa",
    "idempotencyKey": "cart-17", "email": "anna@example.org"}))]
pub(crate) struct OrderBody {
    #[schema(value_type = String)]
    reserve_id: HoldId,
    /// A token, or `{gatewayName: token}` where gateways don't share a vault. Never a card number.
    payment_method: Value,
    /// The same key and body again: the same order.
    idempotency_key: String,
    /// Where the tickets go.
    email: Option<String>,
}

/// Where to look.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderPlaced {
    #[schema(value_type = String)]
    order_id: OrderId,
    #[schema(value_type = String)]
    saga_id: SagaId,
    status: &'static str,
}

/// Places an order. It extends the hold.
#[utoipa::path(post, path = "/orders", tag = "booking", operation_id = "placeOrder", request_body = OrderBody,
    responses((status = 202, body = OrderPlaced)))]
pub(crate) async fn place(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    StrictJson(body): StrictJson<OrderBody>,
) -> Result<Response, Problem> {
    let payment_method: PaymentMethod = serde_json::from_value(body.payment_method)
        .map_err(|_| Problem::invalid_value("/paymentMethod", "must be a token, or tokens by gateway"))?;
    payment_method.check().map_err(PlaceError::from).map_err(problem)?;
    if let Some(name) = payment_method.gateways().find(|name| state.gateways.get(name).is_none()) {
        return Err(Problem::invalid_value("/paymentMethod", format!("there is no gateway `{name}`")));
    }
    let request = PlaceOrder {
        hold_id: body.reserve_id,
        payment_method,
        idempotency_key: body.idempotency_key,
        email: body.email,
    };
    match state.places.place(&caller, request).await.map_err(problem)? {
        Placed::New(placement) => Ok(accepted(placement)),
        Placed::Replayed(placement) => Ok(replay::marked(accepted(placement))),
    }
}

fn accepted(Placement { order_id, saga_id, status }: Placement) -> Response {
    let span = tracing::Span::current();
    span.record("order.id", tracing::field::display(order_id)).record("saga.id", tracing::field::display(saga_id));
    let location = [(header::LOCATION, format!("/orders/{order_id}"))];
    let body = OrderPlaced { order_id, saga_id, status: status.as_str() };
    (StatusCode::ACCEPTED, location, Json(body)).into_response()
}

fn problem(error: PlaceError) -> Problem {
    match error {
        PlaceError::PaymentMethod(InvalidPaymentMethod::CardData) => Problem::card_data(),
        PlaceError::PaymentMethod(error) => Problem::invalid_value("/paymentMethod", error.to_string()),
        PlaceError::Key => Problem::invalid_value("/idempotencyKey", error.to_string()),
        PlaceError::Email => Problem::invalid_value("/email", error.to_string()),
        PlaceError::NotFound => Problem::not_found("hold"),
        PlaceError::HoldExpired => Problem::new(&kinds::HOLD_EXPIRED, "The seats are no longer kept."),
        PlaceError::OrderExists => Problem::new(&kinds::ORDER_EXISTS, "The hold has an order already."),
        PlaceError::IdempotencyConflict => Problem::idempotency_conflict(),
        PlaceError::Start(StartError::Database(error)) | PlaceError::Database(error) => error.into(),
        PlaceError::Start(error) => Problem::internal(error),
        PlaceError::Commit(error) => error.into(),
    }
}
