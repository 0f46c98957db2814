//! What gateways tell us of their own accord. A wrong signature counts against the address that it came from, so
//! that it cannot be guessed; a right one is never refused for being frequent.

use crate::{
    auth::Address,
    clock,
    problem::{Problem, kinds},
    query::StrictPath,
    sagas::{acts, start},
    state::ApiState,
    strict_json::read_body,
};
use axum::{
    Json,
    extract::{Request, State},
};
use serde::Serialize;
use std::net::IpAddr;
use utoipa::ToSchema;
use workflows::{gateways::WebhookError, payments::NewsError};

/// The largest webhook.
const WEBHOOK_BYTES_MAX: usize = 1024 * 1024;

/// News that were taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Received {
    received: bool,
}

impl Received {
    pub(super) const YES: Json<Self> = Json(Self { received: true });
}

/// A gateway's webhook, in its own format and signature. A repeat changes nothing.
#[utoipa::path(post, path = "/webhooks/{gateway}", tag = "booking", operation_id = "receiveWebhook",
    params(("gateway" = String, Path)), request_body(content = String, content_type = "application/json"),
    responses((status = 200, body = Received)))]
pub(crate) async fn receive(
    State(state): State<ApiState>,
    Address(address): Address,
    StrictPath(gateway): StrictPath<String>,
    request: Request,
) -> Result<Json<Received>, Problem> {
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body, WEBHOOK_BYTES_MAX).await?;
    let taken = state.webhooks.gateway_news(&gateway, &parts.headers, &body, clock::now()).await;
    taken.map_err(|error| problem(&state, address, error))?;
    Ok(Received::YES)
}

/// News that were refused, as a problem.
pub(crate) fn problem(state: &ApiState, address: IpAddr, error: NewsError) -> Problem {
    match error {
        NewsError::UnknownGateway(_) => Problem::not_found("gateway"),
        NewsError::UnknownOrder => Problem::not_found("order"),
        NewsError::Webhook(WebhookError::Unreadable(why)) => Problem::new(&kinds::MALFORMED_JSON, why),
        NewsError::Webhook(error) => wrong_signature(state, address, error.to_string()),
        NewsError::Signal(error) => acts::problem(error),
        NewsError::Start(error) => start::problem(error),
        NewsError::Moving => {
            Problem::new(&kinds::OVERLOADED, "What the news is about moves at this moment.").retry_after(1)
        }
        NewsError::Database(error) => error.into(),
    }
}

/// 400, or 429 when the address has tried too often.
pub(super) fn wrong_signature(state: &ApiState, address: IpAddr, why: impl Into<String>) -> Problem {
    state.limits.count_address(address).err().unwrap_or_else(|| Problem::new(&kinds::INVALID_SIGNATURE, why))
}
