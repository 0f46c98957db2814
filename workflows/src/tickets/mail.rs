//! The mail that brings an order's tickets: asked for in the move that issues them, sent from the outbox.

use super::{
    paper::{Paper, papers},
    pdf,
};
use crate::{ids::OrderId, mail::Mailer, spawned::finish};
use lettre::{
    Message,
    address::AddressError,
    message::{Attachment, Mailbox, MultiPart, SinglePart, header::ContentType},
};
use orchestrator::outbox::{self, Destination, Refused, enqueue_in_tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

/// The topic of messages that ask for an order's tickets to be mailed.
pub const TICKETS_MAIL: &str = "tickets.mail";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TicketsMail {
    order_id: OrderId,
}

/// Asks for an order's tickets to be mailed.
pub(super) async fn ask_in_tx(tx: &mut PgConnection, order: OrderId) -> Result<(), sqlx::Error> {
    let payload =
        serde_json::to_value(TicketsMail { order_id: order }).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let message = outbox::Message { topic: TICKETS_MAIL.to_owned(), payload, destination: Destination::Outside };
    enqueue_in_tx(tx, &[message]).await
}

/// Delivers a message of the topic [`TICKETS_MAIL`]: with the tickets that let somebody in now. Where there are none
/// any more, or no address, nothing is sent.
///
/// # Errors
/// To be tried again, save [`Refused`].
pub async fn deliver_tickets(pool: &PgPool, mailer: &Mailer, payload: &Value) -> Result<(), anyhow::Error> {
    let order = TicketsMail::deserialize(payload)?.order_id;
    let to = sqlx::query_scalar!("select email from booking.order_emails where order_id = $1", order.0)
        .fetch_optional(pool)
        .await?;
    let papers = papers(pool, order, None).await?;
    let (Some(to), Some(_)) = (to, papers.first()) else {
        tracing::info!(order.id = %order, "The tickets of {order} are mailed to nobody: they, or the address, are gone");
        return Ok(());
    };
    let to: Mailbox = to
        .parse()
        .map(|address| Mailbox::new(None, address))
        .map_err(|error: AddressError| Refused(format!("the order's address cannot be used: {error}")))?;
    let from = mailer.from().clone();
    let written = tokio::task::spawn_blocking(move || write(from, to, order, &papers));
    mailer.send(finish(written).await?).await?;
    tracing::info!(order.id = %order, "The tickets of {order} were mailed");
    Ok(())
}

/// The same order and tickets give the same message, under the same Message-ID, byte for byte.
fn write(from: Mailbox, to: Mailbox, order: OrderId, papers: &[Paper]) -> Result<Message, anyhow::Error> {
    let first = papers.first().ok_or_else(|| anyhow::anyhow!("{order} has no tickets"))?;
    let message_id = format!("<{order}.tickets@{}>", from.email.domain());
    let attachment = Attachment::new(format!("tickets-{order}.pdf"))
        .body(pdf::document(papers)?, ContentType::parse("application/pdf")?);
    let parts = MultiPart::mixed()
        .boundary(format!("=_{order}"))
        .singlepart(SinglePart::plain(text(first, papers)))
        .singlepart(attachment);
    let message = Message::builder()
        .message_id(Some(message_id))
        .date(first.issued_at.into())
        .from(from)
        .to(to)
        .subject(format!("Your tickets: {}", first.event))
        .multipart(parts)?;
    Ok(message)
}

fn text(first: &Paper, papers: &[Paper]) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n\nYour tickets are attached. Show the QR code of each at the entrance.\n\n",
        first.event, first.starts, first.venue
    );
    for paper in papers {
        text.push_str(&format!("- {}, row {}, seat {}\n", paper.section, paper.row, paper.number));
    }
    text.push_str(&format!("\nYour order: {}\n", first.order_id));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TicketId;
    use mailparse::MailHeaderMap;

    fn paper(order: OrderId, number: i32) -> Paper {
        Paper {
            ticket_id: TicketId::of(order, &format!("a-1-{number}")),
            order_id: order,
            event: "Nabucco\r\nBcc: all@example.org".to_owned(),
            venue: "Арена".to_owned(),
            starts: "Friday, 1 June 2035, 20:00 (Europe/Rome)".to_owned(),
            section: "Parterre".to_owned(),
            row: 1,
            number,
            code: format!("SR1.key.{number}.signature"),
            issued_at: "2035-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_mail_is_the_same_each_time_and_holds_to_its_headers() {
        let order = OrderId::fresh();
        let papers = [paper(order, 1), paper(order, 2)];
        let written = || {
            let (from, to) = ("Arena <tickets@example.org>".parse().unwrap(), "anna@example.org".parse().unwrap());
            write(from, to, order, &papers).unwrap().formatted()
        };
        assert_eq!(written(), written());
        let bytes = written();
        let mail = mailparse::parse_mail(&bytes).unwrap();
        let header = |name: &str| mail.headers.get_first_value(name);
        assert_eq!(header("Message-ID").unwrap(), format!("<{order}.tickets@example.org>"));
        assert_eq!(header("To").unwrap(), "anna@example.org");
        assert_eq!(header("Bcc"), None, "a name of an event cannot add a header");
        assert_eq!(header("Date").unwrap(), "Mon, 01 Jan 2035 00:00:00 +0000");
        let text = mail.subparts[0].get_body().unwrap();
        assert!(text.contains("Арена") && text.contains("row 1, seat 2"), "{text}");
        assert!(mail.subparts[1].get_body_raw().unwrap().starts_with(b"%PDF-"));
    }
}
