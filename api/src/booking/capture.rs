//! The payment's webhook for one order, in a form of our own.

use super::webhooks::{Received, problem, wrong_signature};
use crate::{
    auth::Address,
    clock,
    problem::Problem,
    query::StrictPath,
    state::ApiState,
    strict_json::{self, JSON_BYTES_MAX, read_body},
};
use axum::{
    Json,
    extract::{Request, State},
};
use serde::Deserialize;
use utoipa::ToSchema;
use workflows::{
    ids::OrderId,
    payments::{CaptureNews, CaptureStatus, NewsError},
};

/// The header with `t=<unix>,v1=<hex hmac-sha256 of "t.body">`.
const SIGNATURE: &str = "x-signature";

/// What became of a charge. Members that are not known here are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"gateway": "primary", "reference": "pi_3Nk", "status": "captured", "amount": 9000,
    "eventId": "evt_77"}))]
pub(crate) struct CaptureBody {
    gateway: String,
    reference: String,
    /// `captured` or `declined`.
    #[schema(value_type = String)]
    status: CaptureStatus,
    /// Minor units of the order's currency.
    amount: i64,
    /// The same id again is the same news.
    event_id: String,
}

/// Tells what became of an order's charge. Signed with the gateway's webhook secret in `x-signature`:
/// `t=<unix>,v1=<hex hmac-sha256 of "t.body">`, at most five minutes off. The gateway is asked; its answer holds.
#[utoipa::path(post, path = "/orders/{id}/capture", tag = "booking", operation_id = "captureOrder",
    params(("id" = String, Path), ("x-signature" = String, Header)), request_body = CaptureBody,
    responses((status = 200, body = Received)))]
pub(crate) async fn capture(
    State(state): State<ApiState>,
    Address(address): Address,
    StrictPath(order): StrictPath<OrderId>,
    request: Request,
) -> Result<Json<Received>, Problem> {
    tracing::Span::current().record("order.id", tracing::field::display(order));
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body, JSON_BYTES_MAX).await?;
    let Some(signed) = parts.headers.get(SIGNATURE).and_then(|value| value.to_str().ok()) else {
        return Err(wrong_signature(&state, address, "The body is not signed."));
    };
    let read: CaptureBody = strict_json::read(&body)?;
    let news = CaptureNews {
        gateway: read.gateway,
        reference: read.reference,
        status: read.status,
        amount: read.amount,
        event_id: read.event_id,
    };
    let taken = state.webhooks.capture_news(order, &news, signed, &body, clock::now()).await;
    taken.map_err(|error| match error {
        // Nobody can have signed it.
        NewsError::UnknownGateway(_) => wrong_signature(&state, address, "No gateway has this name."),
        error => problem(&state, address, error),
    })?;
    Ok(Received::YES)
}
