//! Which tickets let nobody in any more, for gates that check codes without asking us.

use crate::{auth::Address, cached, page, problem::Problem, query::StrictQuery, state::ApiState};
use axum::{extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workflows::{
    ids::{EventId, TicketId},
    tickets,
};

/// For so long a gate may let somebody in whose ticket was taken back.
const CACHE: &str = "public, max-age=30";
/// The name of this list in cursors.
const LIST: &str = "ticket-revocations";

/// Of which event.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevocationsQuery {
    #[param(value_type = String)]
    event_id: EventId,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Some of an event's tickets that were taken back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TicketRevocations {
    /// By their ids.
    items: Vec<RevokedTicket>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
    /// The same, for copies: `SRR1.<key id>.<payload>.<signature>`, signed as tickets' codes are. The payload says of which
    /// event (`e`), as of when (`at`), behind which ticket (`after`) and up to which (`through`), and which tickets (`t`).
    signed: String,
}

/// A ticket that lets nobody in any more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokedTicket {
    #[schema(value_type = String)]
    ticket_id: TicketId,
}

/// The tickets of an event that were taken back. With the keys at `/.well-known/ticket-keys` it is all that a gate needs that
/// works without a network.
#[utoipa::path(get, path = "/.well-known/ticket-revocations", tag = "machines", operation_id = "listTicketRevocations",
    params(RevocationsQuery),
    responses((status = 200, body = TicketRevocations), (status = 304, description = "As named by If-None-Match")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Address(address): Address,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<RevocationsQuery>,
) -> Result<Response, Problem> {
    state.limits.count_address(address)?;
    let limit = page::limit(query.limit)?;
    let after: Option<TicketId> = page::decode(LIST, query.cursor.as_deref())?;
    let found = tickets::revocations(state.engine.pool(), query.event_id, after, limit).await?;
    let found = found.ok_or_else(|| Problem::not_found("event"))?;
    let version = version(&state, &found);
    if let Some(response) = cached::not_modified(&headers, CACHE, &version)? {
        return Ok(response);
    }
    let body = TicketRevocations {
        next: found.through.map(|last| page::encode(LIST, &last)),
        signed: found.signed(&state.ticket_keys).map_err(Problem::internal)?,
        items: found.tickets.into_iter().map(|ticket_id| RevokedTicket { ticket_id }).collect(),
    };
    cached::answer(CACHE, &version, &body)
}

/// Another key signs another list.
fn version(state: &ApiState, found: &tickets::Revocations) -> String {
    let key = state.ticket_keys.published().next().map_or("", |key| key.key_id);
    format!("{key}-{}", found.version())
}
