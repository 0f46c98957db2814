//! What our books have of the lines of a file: found by the gateways' names, set-based.

use super::{
    file::{Line, Movement},
    outcome::Expected,
};
use crate::{
    gateways::{IdempotencyKey, Reference},
    ids::{OrderId, PaymentId, RefundId},
    ledger::{Account, PostingKind},
    money::{Money, currency_from_code},
    orders::impossible,
    payments::Gateways,
};
use orchestrator::ids::Uuid;
use sqlx::PgConnection;
use std::collections::HashMap;

/// What is known of a line's movement.
#[derive(Debug, Clone, Default)]
pub(super) struct Counterpart {
    pub(super) order_id: Option<OrderId>,
    pub(super) payment_id: Option<PaymentId>,
    pub(super) refund_id: Option<RefundId>,
    /// The posting of it.
    pub(super) expected: Option<Expected>,
    /// Another line has settled that posting, or a person has.
    pub(super) is_taken: bool,
    /// An earlier file has had this very line.
    pub(super) was_in_earlier_file: bool,
}

/// The kind of the postings that a line settles; those of captures are found by their charges.
fn kind_of(movement: Movement) -> Option<PostingKind> {
    match movement {
        Movement::Refund => Some(PostingKind::RefundSucceeded),
        Movement::RefundReturned => Some(PostingKind::RefundReversed),
        Movement::Dispute => Some(PostingKind::DisputeOpened),
        Movement::DisputeReturned => Some(PostingKind::DisputeWon),
        Movement::Capture | Movement::Fee | Movement::Payout | Movement::Other => None,
    }
}

/// The counterparts of lines of `gateway`, in the lines' order.
pub(super) async fn find(
    tx: &mut PgConnection,
    gateways: &Gateways,
    gateway: &str,
    lines: &[&Line],
) -> Result<Vec<Counterpart>, sqlx::Error> {
    let unheard = unheard_of(tx, gateways, gateway, lines).await?;
    let text = |name: Option<&Reference>| name.map(|name| name.as_str().to_owned());
    let rows = sqlx::query_as!(
        Found,
        r#"with line as (
               select * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $9::uuid[])
                   with ordinality as line (movement, kind, payment, own, name, identity, unheard, place)
           )
           select coalesce(charge.order_id, posting.order_id) as "order_id?",
                  coalesce(charge.payment_id, posting.payment_id) as "payment_id?",
                  coalesce(posting.refund_id, refund.refund_id) as "refund_id?",
                  posting.posting_id as "posting_id?", entry.amount_minor as "amount_minor?", entry.currency as "currency?",
                  exists (select from booking.settlement_lines s
                          where s.posting_id = posting.posting_id and s.outcome not in ('missing', 'duplicate'))
                  or exists (select from booking.settlement_lines s
                             where s.posting_id = posting.posting_id and s.outcome = 'missing'
                               and s.state in ('received', 'writtenOff')) as "is_taken!",
                  exists (select from booking.settlement_lines s
                          where s.gateway = $1 and s.identity = line.identity) as "was_in_earlier_file!"
           from line
           left join lateral (
               select p.order_id, p.payment_id from booking.payments p
               where p.gateway = $1 and (p.reference in (line.payment, line.own) or p.payment_id = line.unheard)
               -- of several under one name of ours, the one that has money
               order by coalesce(p.reference = line.payment, false) desc, p.captured_minor desc, p.payment_id limit 1
           ) charge on true
           left join lateral (
               select r.refund_id from booking.refunds r
               where r.reference = line.name and r.payment_id = charge.payment_id
               order by r.refund_id limit 1
           ) refund on line.movement in ('refund', 'refundReturned')
           left join lateral (
               -- each part by an index of its own
               select p.* from booking.ledger_postings p
               where line.movement = 'capture' and p.key = 'capture:pay_' || replace(charge.payment_id::text, '-', '')
               union all
               select p.* from booking.ledger_postings p
               where line.movement in ('refund', 'refundReturned') and p.gateway = $1 and p.reference = line.name
                 and p.kind in ('refundSucceeded', 'refundReversed') and p.kind = line.kind
               union all
               select p.* from booking.ledger_postings p
               where line.movement in ('dispute', 'disputeReturned') and p.gateway = $1 and p.reference = line.name
                 and p.kind like 'dispute%' and p.kind = line.kind
               order by at, posting_id limit 1
           ) posting on true
           left join lateral (
               select e.amount_minor, e.currency
               from booking.ledger_entries e join booking.ledger_accounts a on a.account_id = e.account_id
               where e.posting_id = posting.posting_id and a.name = $8
           ) entry on true
           order by line.place"#,
        gateway,
        &lines.iter().map(|line| line.movement.as_str().to_owned()).collect::<Vec<_>>(),
        &lines.iter().map(|line| kind_of(line.movement).map(|kind| kind.as_str().to_owned())).collect::<Vec<_>>()
            as &[Option<String>],
        &lines.iter().map(|line| text(line.payment.as_ref())).collect::<Vec<_>>() as &[Option<String>],
        &lines.iter().map(|line| text(line.own.as_ref())).collect::<Vec<_>>() as &[Option<String>],
        &lines.iter().map(|line| text(line.name())).collect::<Vec<_>>() as &[Option<String>],
        &lines.iter().map(|line| line.identity.clone()).collect::<Vec<_>>(),
        Account::Clearing(gateway.to_owned()).to_string(),
        &unheard as &[Option<Uuid>],
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Found::read).collect()
}

/// For each line the charge that our own name in it means, of those that have no name yet: no answer of theirs was heard.
async fn unheard_of(
    tx: &mut PgConnection,
    gateways: &Gateways,
    gateway: &str,
    lines: &[&Line],
) -> Result<Vec<Option<Uuid>>, sqlx::Error> {
    let order_of = |line: &&Line| line.own.as_ref().and_then(Reference::named::<OrderId>);
    let orders: Vec<_> = lines.iter().filter_map(order_of).map(|order| order.0).collect();
    let Some(speaks) = gateways.get(gateway).map(|configured| &configured.gateway).filter(|_| !orders.is_empty())
    else {
        return Ok(vec![None; lines.len()]);
    };
    let charges = sqlx::query!(
        "select payment_id, order_id, key from booking.payments
         where gateway = $1 and order_id = any($2) and reference is null",
        gateway,
        &orders
    )
    .fetch_all(tx)
    .await?;
    let mut by_name = HashMap::new();
    for charge in charges {
        let wrong = |error| impossible("booking.payments", "key", PaymentId(charge.payment_id), error);
        let key = IdempotencyKey::new(charge.key).map_err(wrong)?;
        if let Some(own) = speaks.own_reference(OrderId(charge.order_id), &key) {
            by_name.insert(own, charge.payment_id);
        }
    }
    Ok(lines.iter().map(|line| by_name.get(line.own.as_ref()?).copied()).collect())
}

/// A row of what is found.
struct Found {
    order_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    refund_id: Option<Uuid>,
    posting_id: Option<Uuid>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    is_taken: bool,
    was_in_earlier_file: bool,
}

impl Found {
    fn read(self) -> Result<Counterpart, sqlx::Error> {
        let posted = self.posting_id.zip(self.amount_minor).zip(self.currency);
        Ok(Counterpart {
            order_id: self.order_id.map(OrderId),
            payment_id: self.payment_id.map(PaymentId),
            refund_id: self.refund_id.map(RefundId),
            expected: posted.map(|((posting, amount), code)| expected(posting, amount, &code)).transpose()?,
            is_taken: self.is_taken,
            was_in_earlier_file: self.was_in_earlier_file,
        })
    }
}

fn expected(posting: Uuid, amount_minor: i64, code: &str) -> Result<Expected, sqlx::Error> {
    let wrong = |error| impossible("booking.ledger_entries", "currency", posting, error);
    Ok(Expected { posting, amount: Money::new(amount_minor, currency_from_code(code).map_err(wrong)?) })
}
