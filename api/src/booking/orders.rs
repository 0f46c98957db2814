//! Orders: what became of them.

use super::order_view::Order;
use crate::{
    auth::Caller,
    page,
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    state::ApiState,
    wire,
};
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;
use workflows::{
    ids::OrderId,
    orders::{self, OrderFilter, OrderStatus},
};

/// The name of this list in cursors.
const LIST: &str = "orders";
/// The longest that an answer waits.
const WAIT_SECS_MAX: u64 = 30;

/// Which orders.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrdersQuery {
    /// Of this user.
    user_id: Option<String>,
    /// With this status.
    status: Option<String>,
    /// Placed then or later.
    #[serde(default, deserialize_with = "wire::time")]
    from: Option<DateTime<Utc>>,
    /// Placed before.
    #[serde(default, deserialize_with = "wire::time")]
    to: Option<DateTime<Utc>>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Orders, the newest first. A token that acts for one user sees that user's alone.
#[utoipa::path(get, path = "/orders", tag = "booking", operation_id = "listOrders", params(OrdersQuery),
    responses((status = 200, body = page::Page<Order>)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    StrictQuery(query): StrictQuery<OrdersQuery>,
) -> Result<Json<page::Page<Order>>, Problem> {
    let limit = page::limit(query.limit)?;
    let status = query
        .status
        .map(|status| status.parse::<OrderStatus>())
        .transpose()
        .map_err(|error| Problem::new(&kinds::INVALID_PARAMETER, error.to_string()).with("parameter", "status"))?;
    let after: Option<OrderId> = page::decode(LIST, query.cursor.as_deref())?;
    let one_more = u16::try_from(limit + 1).map_err(Problem::internal)?;
    let filter = OrderFilter { user: query.user_id, status, from: query.from, to: query.to, after, limit: one_more };
    let rows = orders::list(state.engine.pool(), &caller, &filter).await?;
    Ok(Json(page::Page::from_rows(LIST, rows, limit, |last| last.order_id, Order::from)))
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Answers when the order is settled or needs its buyer, or after so many seconds.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u64>,
}

/// One order.
#[utoipa::path(get, path = "/orders/{id}", tag = "booking", operation_id = "getOrder",
    params(("id" = String, Path), WaitQuery), responses((status = 200, body = Order)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    StrictPath(id): StrictPath<OrderId>,
    StrictQuery(query): StrictQuery<WaitQuery>,
) -> Result<Json<Order>, Problem> {
    tracing::Span::current().record("order.id", tracing::field::display(id));
    let wait_secs = query.wait.unwrap_or(0);
    if wait_secs > WAIT_SECS_MAX {
        let detail = format!("wait may be at most {WAIT_SECS_MAX} seconds.");
        return Err(Problem::new(&kinds::INVALID_PARAMETER, detail).with("parameter", "wait"));
    }
    let pool = state.engine.pool();
    let order = orders::find(pool, &caller, id).await?.ok_or_else(|| Problem::not_found("order"))?;
    if wait_secs == 0 || order.status.is_settled() {
        return Ok(Json(order.into()));
    }
    tokio::select! {
        () = state.waits.wait(id, Duration::from_secs(wait_secs)) => {}
        () = state.draining.cancelled() => {}
    }
    let order = orders::find(pool, &caller, id).await?.ok_or_else(|| Problem::not_found("order"))?;
    Ok(Json(order.into()))
}
