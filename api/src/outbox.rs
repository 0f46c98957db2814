//! Messages that have not been delivered, and another try for those that nobody tries by themselves any more.

use crate::{
    auth::{Address, Caller},
    page::{self, Page},
    problem::Problem,
    query::{StrictPath, StrictQuery},
    state::ApiState,
    strict_json::StrictJsonOrNothing,
    text,
    wire::Time,
};
use axum::{Json, extract::State, http::StatusCode};
use orchestrator::{
    catalog::Author,
    ids::MessageId,
    outbox::{KeptMessage, KeptState},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The name of this list in cursors.
const LIST: &str = "outbox";
/// What is written down where a person gives no reason.
const NO_REASON: &str = "(no reason was given)";

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OutboxQuery {
    /// `dead`: nobody tries them any more. `waiting`: they are tried when they are due. Without it, both.
    state: Option<StateWanted>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum StateWanted {
    Dead,
    Waiting,
}

impl From<StateWanted> for KeptState {
    fn from(wanted: StateWanted) -> Self {
        match wanted {
            StateWanted::Dead => Self::Dead,
            StateWanted::Waiting => Self::Waiting,
        }
    }
}

/// A message that has not been delivered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OutboxMessage {
    #[schema(value_type = String)]
    message_id: MessageId,
    /// `tickets.mail`, `case.mail`, `case.webhook`, `seats.changed`, `engine.signal`.
    topic: String,
    /// `outside`: to a server that is not ours; `operators`: to whoever looks after us; `inside`.
    destination: String,
    /// `waiting` or `dead`.
    state: &'static str,
    /// How often it was tried.
    attempts: i32,
    /// Why the last try failed.
    last_error: Option<String>,
    created_at: Time,
    /// When it is tried next. Null when it is dead.
    due_at: Option<Time>,
    /// What it is about: references, such as an order.
    payload: Value,
}

impl From<KeptMessage> for OutboxMessage {
    fn from(kept: KeptMessage) -> Self {
        Self {
            message_id: kept.message_id,
            topic: kept.topic,
            destination: kept.destination,
            state: kept.state.as_str(),
            attempts: kept.attempts,
            last_error: kept.last_error,
            created_at: kept.created_at.into(),
            due_at: (kept.state == KeptState::Waiting).then(|| kept.due_at.into()),
            payload: kept.payload,
        }
    }
}

/// Messages that have not been delivered, the newest first.
#[utoipa::path(get, path = "/outbox", tag = "outbox", operation_id = "listOutbox", params(OutboxQuery),
    responses((status = 200, body = Page<OutboxMessage>)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<OutboxQuery>,
) -> Result<Json<Page<OutboxMessage>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before: Option<MessageId> = page::decode(LIST, query.cursor.as_deref())?;
    let rows = state.engine.kept_messages(query.state.map(KeptState::from), before, limit + 1).await?;
    Ok(Json(Page::from_rows(LIST, rows, limit, |last| last.message_id, OutboxMessage::from)))
}

/// Why a person wants another try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the mailbox is there now"}))]
pub(crate) struct RetryMessage {
    /// Why, in the person's words.
    reason: Option<String>,
}

/// Has a dead message tried again, now and as often as a new one. One that is tried anyway stays as it is.
#[utoipa::path(post, path = "/outbox/{id}/retry", tag = "outbox", operation_id = "retryMessage",
    params(("id" = String, Path)), request_body = Option<RetryMessage>,
    responses((status = 202, body = OutboxMessage)))]
pub(crate) async fn retry(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath(id): StrictPath<MessageId>,
    StrictJsonOrNothing(body): StrictJsonOrNothing<RetryMessage>,
) -> Result<(StatusCode, Json<OutboxMessage>), Problem> {
    let given = body.and_then(|body| body.reason);
    let reason = given.as_deref().map(text::reason).transpose()?.unwrap_or(NO_REASON);
    let by = Author { name: &caller.name, address: Some(address) };
    let kept = state.engine.retry_message(id, by, reason).await?.ok_or_else(|| Problem::not_found("message"))?;
    Ok((StatusCode::ACCEPTED, Json(kept.into())))
}
