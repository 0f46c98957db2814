//! `/_sandbox`: the knobs and the books. No authentication, but only from this machine.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::faults::{Kind, Rule};
use crate::gateway::{Dispute, Gateway, Protocol};
use crate::settlement::Mistakes;
use crate::wire::Wire;

/// The control's routes, and those that only the gateway's protocol has.
pub(crate) fn router<P: Protocol>(gateway: Arc<Gateway<P>>, of_the_protocol: Router) -> Router {
    Router::new()
        .route("/_sandbox/healthz", get(healthz))
        .route("/_sandbox/books", get(books::<P>))
        .route("/_sandbox/calls", get(calls::<P>))
        .route("/_sandbox/settlement.csv", get(settlement_file::<P>))
        .route("/_sandbox/disputes", post(dispute::<P>))
        .route("/_sandbox/faults", get(list_faults::<P>).post(set_fault::<P>).delete(clear_faults::<P>))
        .with_state(gateway)
        .merge(of_the_protocol)
        .layer(middleware::from_fn(loopback_only))
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

async fn books<P: Protocol>(State(gateway): State<Arc<Gateway<P>>>) -> Response {
    Json(gateway.books().await).into_response()
}

async fn calls<P: Protocol>(State(gateway): State<Arc<Gateway<P>>>) -> Response {
    Json(json!({"items": gateway.calls.list()})).into_response()
}

async fn settlement_file<P: Protocol>(
    State(gateway): State<Arc<Gateway<P>>>,
    mistakes: Result<Query<Mistakes>, QueryRejection>,
) -> Response {
    let mistakes = match mistakes {
        Ok(Query(mistakes)) => mistakes,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "invalid-mistakes", &error.body_text()),
    };
    let content_type = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    (content_type, gateway.settlement(&mistakes).await).into_response()
}

/// What a buyer's bank wants back, or how that ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisputeBody {
    /// The gateway's name for the payment.
    payment: String,
    state: Dispute,
}

async fn dispute<P: Protocol>(State(gateway): State<Arc<Gateway<P>>>, body: Bytes) -> Response {
    let DisputeBody { payment, state } = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "invalid-dispute", &error.to_string()),
    };
    let told = gateway.act(Kind::Charge, |objects, context| P::dispute(objects, &payment, state, context));
    if told.await {
        StatusCode::NO_CONTENT.into_response()
    } else {
        problem(StatusCode::NOT_FOUND, "not-found", "no such payment has taken money")
    }
}

async fn list_faults<P: Protocol>(State(gateway): State<Arc<Gateway<P>>>) -> Response {
    Json(json!({"items": gateway.faults.list()})).into_response()
}

async fn set_fault<P: Protocol>(State(gateway): State<Arc<Gateway<P>>>, body: Bytes) -> Response {
    match Rule::parse(&body) {
        Ok(rule) => {
            gateway.faults.set(rule);
            list_faults(State(gateway)).await
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, "invalid-fault", &error.to_string()),
    }
}

async fn clear_faults<P: Protocol>(State(gateway): State<Arc<Gateway<P>>>) -> StatusCode {
    gateway.faults.clear();
    StatusCode::NO_CONTENT
}

/// What a buyer who is sent to a challenge does there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChallengeQuery {
    #[serde(default)]
    pub(crate) outcome: Challenge,
}

/// How the buyer leaves a challenge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Challenge {
    /// As the issuer wanted.
    #[default]
    #[serde(rename = "pass")]
    Passed,
    /// Not as the issuer wanted.
    #[serde(rename = "fail")]
    Failed,
}

/// 400 for a query that says something else.
pub(crate) fn invalid_outcome(error: &QueryRejection) -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid-outcome", &error.body_text())
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
