//! `/_sandbox`: the knobs and the books. No authentication, but only from this machine.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::faults::Rule;
use crate::stripe::{Challenge, Gateway};
use crate::wire::Wire;

/// The control's routes.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/_sandbox/healthz", get(healthz))
        .route("/_sandbox/books", get(books))
        .route("/_sandbox/faults", get(list_faults).post(set_fault).delete(clear_faults))
        .route("/_sandbox/challenges/{id}", get(challenge))
        .layer(middleware::from_fn(loopback_only))
        .with_state(gateway)
}

async fn loopback_only(ConnectInfo(wire): ConnectInfo<Wire>, request: Request, next: Next) -> Response {
    if wire.is_loopback() {
        next.run(request).await
    } else {
        problem(StatusCode::FORBIDDEN, "forbidden", "only for this machine")
    }
}

async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn books(State(gateway): State<Arc<Gateway>>) -> Response {
    Json(gateway.books().await).into_response()
}

async fn list_faults(State(gateway): State<Arc<Gateway>>) -> Response {
    Json(json!({"items": gateway.faults.list()})).into_response()
}

async fn set_fault(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Response {
    match Rule::parse(&body) {
        Ok(rule) => {
            gateway.faults.set(rule);
            list_faults(State(gateway)).await
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, "invalid-fault", &error.to_string()),
    }
}

async fn clear_faults(State(gateway): State<Arc<Gateway>>) -> StatusCode {
    gateway.faults.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeQuery {
    #[serde(default)]
    outcome: ChallengeOutcome,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChallengeOutcome {
    #[default]
    Pass,
    Fail,
}

/// Where a buyer is sent by `next_action`: going there passes the challenge, `?outcome=fail` fails
/// it, and both lead back to the merchant.
async fn challenge(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    query: Result<Query<ChallengeQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let outcome = match query {
        Ok(Query(query)) => match query.outcome {
            ChallengeOutcome::Pass => Challenge::Passed,
            ChallengeOutcome::Fail => Challenge::Failed,
        },
        Err(error) => {
            let detail = error.body_text();
            return problem(StatusCode::BAD_REQUEST, "invalid-outcome", &detail);
        }
    };
    match gateway.finish_challenge(&id, outcome).await {
        Ok(Some(return_url)) => Redirect::to(&return_url).into_response(),
        Ok(None) => Json(json!({"status": "done"})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(error)).into_response(),
    }
}

fn problem(status: StatusCode, slug: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("/problems/{slug}"),
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, content_type, body.to_string()).into_response()
}
