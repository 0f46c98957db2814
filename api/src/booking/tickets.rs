//! Tickets, for their owners and for gates.

use crate::{
    auth::Caller,
    problem::{Problem, kinds},
    query::StrictPath,
    state::ApiState,
    strict_json::StrictJson,
    wire::Time,
};
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workflows::{
    ids::{EventId, OrderId, TicketId},
    tickets,
};

/// A ticket as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticket {
    #[schema(value_type = String)]
    ticket_id: TicketId,
    #[schema(value_type = String)]
    order_id: OrderId,
    #[schema(value_type = String)]
    event_id: EventId,
    seat_id: String,
    /// What the gate checks.
    code: String,
    /// Whether it still lets anybody in.
    valid: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    issued_at: Time,
}

impl From<tickets::Ticket> for Ticket {
    fn from(ticket: tickets::Ticket) -> Self {
        Self {
            ticket_id: ticket.ticket_id,
            order_id: ticket.order_id,
            event_id: ticket.event_id,
            seat_id: ticket.seat_id,
            code: ticket.code,
            valid: ticket.valid,
            reason: ticket.reason,
            issued_at: ticket.issued_at.into(),
        }
    }
}

/// One ticket.
#[utoipa::path(get, path = "/tickets/{id}", tag = "booking", operation_id = "getTicket",
    params(("id" = String, Path)), responses((status = 200, body = Ticket)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    StrictPath(id): StrictPath<TicketId>,
) -> Result<Json<Ticket>, Problem> {
    let ticket = tickets::find(state.engine.pool(), &caller, id).await?.ok_or_else(|| Problem::not_found("ticket"))?;
    Ok(Json(ticket.into()))
}

/// One ticket on paper, with its QR code: a PDF of one page. One that lets nobody in any more is not printed.
#[utoipa::path(get, path = "/tickets/{id}/pdf", tag = "booking", operation_id = "getTicketPdf",
    params(("id" = String, Path)), responses((status = 200, body = Vec<u8>, content_type = "application/pdf")))]
pub(crate) async fn pdf(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    StrictPath(id): StrictPath<TicketId>,
) -> Result<Response, Problem> {
    let pool = state.engine.pool();
    let ticket = tickets::find(pool, &caller, id).await?.ok_or_else(|| Problem::not_found("ticket"))?;
    let papers = tickets::papers(pool, ticket.order_id, Some(id)).await?;
    if papers.is_empty() {
        let reason = ticket.reason.unwrap_or_else(|| "revoked".to_owned());
        return Err(Problem::new(&kinds::TICKET_REVOKED, "The ticket has been taken back.").with("reason", reason));
    }
    let drawn = tokio::task::spawn_blocking(move || tickets::pdf::document(&papers)).await;
    let document = drawn.map_err(Problem::internal)?.map_err(Problem::internal)?;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{id}.pdf\"")),
    ];
    Ok((headers, document).into_response())
}

/// What somebody shows at the gate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyTicket {
    code: String,
}

/// What a gate learns of a code.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// Lets one person in.
    valid: bool,
    /// Why not: `malformed`, `unknown-key`, `bad-signature`, `unknown-ticket`, `revoked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The seat, where the signature is right.
    seat_id: Option<String>,
    /// The event, where the signature is right.
    #[schema(value_type = Option<String>)]
    event_id: Option<EventId>,
}

/// Checks a code at the gate: its signature, then whether the ticket has been taken back.
#[utoipa::path(post, path = "/tickets/verify", tag = "booking", operation_id = "verifyTicket",
    request_body = VerifyTicket, responses((status = 200, body = Verdict)))]
pub(crate) async fn verify(
    State(state): State<ApiState>,
    StrictJson(body): StrictJson<VerifyTicket>,
) -> Result<Json<Verdict>, Problem> {
    let verdict = tickets::verify(state.engine.pool(), &state.ticket_keys, &body.code).await?;
    Ok(Json(Verdict {
        valid: verdict.valid,
        reason: verdict.reason,
        seat_id: verdict.seat_id,
        event_id: verdict.event_id,
    }))
}
