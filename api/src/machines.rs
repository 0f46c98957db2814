//! For load balancers, monitoring and tools.

use crate::{
    openapi,
    problem::{Problem, kinds},
    query::StrictPath,
    state::ApiState,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::LazyLock;
use utoipa::ToSchema;

/// Whether this process can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`; `degraded`: slower, with the same guarantees; `unavailable`.
    status: &'static str,
    /// Why it is not `ok`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

impl Health {
    pub(crate) fn ok() -> Self {
        Self { status: "ok", reasons: Vec::new() }
    }
    pub(crate) fn degraded(reason: &'static str) -> Self {
        Self { status: "degraded", reasons: vec![reason] }
    }
    pub(crate) fn unavailable(reason: &'static str) -> Self {
        Self { status: "unavailable", reasons: vec![reason] }
    }
}

/// Alive.
#[utoipa::path(get, path = "/healthz", tag = "machines", responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health::ok())
}

/// Ready for requests: the database is reachable and its schema current. Degraded without Redis.
#[utoipa::path(get, path = "/readyz", tag = "machines",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn readyz(State(state): State<ApiState>) -> (StatusCode, Json<Health>) {
    let health = state.readiness().await;
    let status = if health.status == "unavailable" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(health))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "machines",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<ApiState>) -> Response {
    let text = state.metrics.as_ref().map(|handle| handle.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "machines", responses((status = 200, body = Value)))]
pub(crate) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi::text);
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// What a kind of problem means: the address in a problem's `type`.
#[utoipa::path(get, path = "/problems/{slug}", tag = "machines", responses((status = 200, body = Value)))]
pub(crate) async fn problem(StrictPath(slug): StrictPath<String>) -> Result<Json<Value>, Problem> {
    let kind = kinds::by_slug(&slug).ok_or_else(|| Problem::not_found("kind of problem"))?;
    Ok(Json(json!({
        "type": format!("/problems/{}", kind.slug), "status": kind.status.as_u16(), "title": kind.title,
        "about": kind.about,
    })))
}
