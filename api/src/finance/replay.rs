//! A refund that has failed, or has come back, is tried again.

use super::refunds::{Refund, find};
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
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;
use workflows::{
    ids::RefundId,
    refunds::{self, ReplayError, ReplayRefund, Replayed},
};

/// Why a refund is tried again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"reason": "the bank has opened the account again"}))]
pub(crate) struct ReplayBody {
    /// In the person's words.
    reason: String,
}

/// Tries a refund again that has failed, needs a person, or came back after it had succeeded: what is outstanding of it.
/// What is in doubt is asked about first, and goes on by the same key.
#[utoipa::path(post, path = "/refunds/{id}/replay", tag = "finance", operation_id = "replayRefund",
    params(("id" = String, Path)), request_body = ReplayBody, responses((status = 202, body = Refund)))]
pub(crate) async fn replay(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath(refund_id): StrictPath<RefundId>,
    StrictJson(body): StrictJson<ReplayBody>,
) -> Result<Response, Problem> {
    let reason = text::reason(&body.reason)?.to_owned();
    let wanted = ReplayRefund { refund_id, reason, by: caller.name, address: Some(address) };
    let replayed = refunds::replay(&state.engine, wanted).await.map_err(problem)?;
    let (Replayed::New(saga_id, _) | Replayed::Before(saga_id, _)) = replayed;
    tracing::Span::current().record("saga.id", tracing::field::display(saga_id));
    let answer = (StatusCode::ACCEPTED, Json(Refund::from(find(&state, refund_id).await?))).into_response();
    Ok(if matches!(replayed, Replayed::Before(..)) { replay::marked(answer) } else { answer })
}

fn problem(error: ReplayError) -> Problem {
    match error {
        ReplayError::NotFound => Problem::not_found("refund"),
        ReplayError::AlreadyRefunded => Problem::new(&kinds::ALREADY_REFUNDED, "All of it has gone back."),
        ReplayError::UnderWay(why) => Problem::new(&kinds::REFUND_UNDER_WAY, why),
        ReplayError::NotReplayable(why) => {
            Problem::new(&kinds::NOT_REFUNDABLE, format!("The refund is not made: {why}."))
        }
        ReplayError::Act(error) => acts::problem(error),
        ReplayError::Start(error) => start::problem(error),
        ReplayError::Database(error) => error.into(),
    }
}
