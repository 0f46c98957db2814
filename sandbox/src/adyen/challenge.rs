//! Where a buyer is sent by `action`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::{Adyen, execute, new_psp_reference};
use crate::control::{ChallengeQuery, invalid_outcome};
use crate::faults::Kind;
use crate::gateway::Gateway;

/// The page's route.
pub(crate) fn router(gateway: Arc<Gateway<Adyen>>) -> Router {
    Router::new().route("/_sandbox/challenges/{id}", get(challenge)).with_state(gateway)
}

/// Going there passes the challenge, `?outcome=fail` fails it, and both lead back to the merchant
/// with a `redirectResult`.
async fn challenge(
    State(gateway): State<Arc<Gateway<Adyen>>>,
    Path(id): Path<String>,
    query: Result<Query<ChallengeQuery>, QueryRejection>,
) -> Response {
    let outcome = match query {
        Ok(Query(query)) => query.outcome,
        Err(error) => return invalid_outcome(&error),
    };
    let finished = gateway.act(Kind::Charge, |store, context| execute::finish_challenge(store, &id, outcome, context));
    match finished.await {
        Ok(return_url) => Redirect::to(&return_url).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(error.body(&new_psp_reference()))).into_response(),
    }
}
