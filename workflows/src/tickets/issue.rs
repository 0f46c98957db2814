//! The step that makes the tickets of an order whose seats are sold.

use super::{Payload, TicketKeys, mail};
use crate::ids::{OrderId, TicketId};
use async_trait::async_trait;
use orchestrator::action::{Answer, Call, Halt, LocalAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// `tickets.issue`: one ticket per seat of the order, and one message that mails them to the buyer, where there is an
/// address. Twice gives the same tickets, and no second message.
#[derive(Debug, Clone)]
pub struct IssueTickets {
    /// What signs their codes.
    pub keys: TicketKeys,
}

/// What [`IssueTickets`] needs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssueInput {
    /// The order.
    pub order_id: OrderId,
}

/// What [`IssueTickets`] gives. The codes are not in it: they are for their owner alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedTickets {
    /// In the order of the seats.
    pub ticket_ids: Vec<TicketId>,
}

#[async_trait]
impl LocalAction for IssueTickets {
    const NAME: &'static str = "tickets.issue";
    type Input = IssueInput;
    type Output = IssuedTickets;

    async fn run(&self, tx: &mut PgConnection, _call: &Call, input: IssueInput) -> Answer<IssuedTickets> {
        let order = sqlx::query!(
            r#"select event_id, seat_ids,
                   exists(select from booking.order_emails e where e.order_id = o.order_id) as "has_address!"
               from booking.orders o where order_id = $1"#,
            input.order_id.0
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| Halt::permanent("unknown-order", format!("there is no order {}", input.order_id)))?;

        let mut tickets = Vec::with_capacity(order.seat_ids.len());
        let mut codes = Vec::with_capacity(order.seat_ids.len());
        for seat in &order.seat_ids {
            let ticket = TicketId::of(input.order_id, seat);
            let payload = Payload { ticket: ticket.0, event: order.event_id, seat: seat.clone() };
            codes.push(self.keys.sign(&payload).map_err(|error| Halt::permanent("ticket-code", error.to_string()))?);
            tickets.push(ticket);
        }
        let ids: Vec<_> = tickets.iter().map(|ticket| ticket.0).collect();
        let issued = sqlx::query!(
            "insert into booking.tickets (ticket_id, order_id, event_id, seat_id, code)
             select ticket_id, $1, $2, seat_id, code
             from unnest($3::uuid[], $4::text[], $5::text[]) as issued (ticket_id, seat_id, code)
             on conflict (ticket_id) do nothing",
            input.order_id.0,
            order.event_id,
            &ids,
            &order.seat_ids,
            &codes,
        )
        .execute(&mut *tx)
        .await
        .map_err(|error| sold_twice(error, input.order_id))?;
        if issued.rows_affected() > 0 && order.has_address {
            mail::ask_in_tx(tx, input.order_id).await?;
        }
        Ok(IssuedTickets { ticket_ids: tickets })
    }
}

/// The constraint that no seat is sold twice is a matter for a person, not for another attempt.
fn sold_twice(error: sqlx::Error, order: OrderId) -> Halt {
    match error.as_database_error().and_then(|refused| refused.constraint()) {
        Some("one_live_ticket_per_seat") => {
            Halt::permanent("seat-sold-twice", format!("a seat of {order} has a live ticket of another order"))
        }
        _ => error.into(),
    }
}
