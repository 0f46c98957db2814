//! Payments and refunds, as the notes and answers of their steps tell them.

use crate::{
    gateways::IdempotencyKey,
    ids::{OrderId, RefundId},
    ledger::{self, CapturedCharge},
    money::Money,
    orders::order_of,
    payments::{ChargeOutput, PaymentNote},
    refunds::{RefundNote, books},
};
use orchestrator::{
    Moved,
    action::{ExternalAction, Lane},
    ids::Uuid,
    journal::Entry,
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;

/// The note of an entry that is an intent or a note.
fn note_of(entry: &Entry) -> Option<&Value> {
    match entry {
        Entry::Intended { intent: note, .. } | Entry::Noted { note, .. } => Some(note),
        _ => None,
    }
}

/// What moves say of charges, by kind, so that each kind is one statement however many moves there are.
#[derive(Default)]
struct Told {
    intended: Vec<(Uuid, OrderId, Charged, Money)>,
    named: Vec<(Charged, String)>,
    ended: Vec<(Charged, &'static str, Option<String>)>,
    captured: Vec<(Charged, String, Money)>,
    doubted: Vec<Uuid>,
}

/// Which charge: its gateway and its key there.
struct Charged {
    gateway: String,
    key: String,
}

/// What moves say of charges. A charge is of one saga, and a saga is here once.
pub(super) async fn payments(tx: &mut PgConnection, moves: &[Moved]) -> Result<(), sqlx::Error> {
    let mut told = Told::default();
    for moved in moves {
        moved.entries.iter().for_each(|entry| told.hear(moved, entry));
    }
    told.intended(tx).await?;
    told.named(tx).await?;
    told.ended(tx).await?;
    told.captured(tx).await?;
    told.doubted(tx).await
}

fn charges(moved: &Moved, step: &str) -> bool {
    moved.action_of(step) == Some(crate::payments::Charge::NAME)
}

impl Told {
    fn hear(&mut self, moved: &Moved, entry: &Entry) {
        if let Some(note) = note_of(entry).and_then(|note| PaymentNote::deserialize(note).ok()) {
            self.noted(moved, note);
        }
        match entry {
            Entry::Succeeded { step, lane: Lane::Forward, output, .. } if charges(moved, step) => {
                if let Ok(ChargeOutput { gateway, key, reference, amount }) = ChargeOutput::deserialize(output) {
                    self.captured.push((Charged { gateway, key: key.into() }, reference.into(), amount));
                }
            }
            Entry::InDoubt { step, lane: Lane::Forward, .. } if charges(moved, step) => {
                self.doubted.push(moved.saga_id.0);
            }
            _ => {}
        }
    }

    fn noted(&mut self, moved: &Moved, note: PaymentNote) {
        let charged = |gateway, key: IdempotencyKey| Charged { gateway, key: key.into() };
        match note {
            PaymentNote::Intended { gateway, key, amount } => {
                if let Some(order) = order_of(&moved.run.input) {
                    self.intended.push((moved.saga_id.0, order, charged(gateway, key), amount));
                }
            }
            PaymentNote::Prepared { gateway, key, reference }
            | PaymentNote::ActionRequired { gateway, key, reference, .. } => {
                self.named.push((charged(gateway, key), reference.into()));
            }
            PaymentNote::Captured { gateway, key, reference, amount } => {
                self.captured.push((charged(gateway, key), reference.into(), amount));
            }
            PaymentNote::Declined { gateway, key, reference, .. } => {
                self.ended.push((charged(gateway, key), "declined", reference.map(Into::into)));
            }
            PaymentNote::Voided { gateway, key } | PaymentNote::NotExecuted { gateway, key } => {
                self.ended.push((charged(gateway, key), "voided", None));
            }
            PaymentNote::LeftBehind { gateway, key } => self.ended.push((charged(gateway, key), "inDoubt", None)),
            // their entries of doubt, of a wait or of a refund tell
            PaymentNote::Doubted { .. } | PaymentNote::NotEnded { .. } | PaymentNote::Settled { .. } => {}
        }
    }

    /// A charge that was in doubt, or was not executed, and is asked for again is pending again.
    async fn intended(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.intended.is_empty() {
            return Ok(());
        }
        let (gateways, keys) = names(self.intended.iter().map(|(_, _, charged, _)| charged));
        // the same charge has the same id, however often its intent is written
        let id = |(saga, _, charged, _): &(Uuid, OrderId, Charged, Money)| {
            Uuid::new_v5(saga, format!("{}:{}", charged.gateway, charged.key).as_bytes())
        };
        let ids: Vec<_> = self.intended.iter().map(id).collect();
        let orders: Vec<_> = self.intended.iter().map(|(_, order, _, _)| order.0).collect();
        let sagas: Vec<_> = self.intended.iter().map(|(saga, _, _, _)| *saga).collect();
        let amounts: Vec<_> = self.intended.iter().map(|(_, _, _, amount)| amount.amount_minor).collect();
        let currencies: Vec<_> =
            self.intended.iter().map(|(_, _, _, amount)| amount.currency.code().to_owned()).collect();
        sqlx::query!(
            "insert into booking.payments (payment_id, order_id, saga_id, gateway, key, status, amount_minor, currency)
             select payment_id, order_id, saga_id, gateway, key, 'pending', amount_minor, currency
             from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[])
                 as told (payment_id, order_id, saga_id, gateway, key, amount_minor, currency)
             on conflict (gateway, key) do update set status = 'pending', updated_at = now()
             where payments.status in ('inDoubt', 'voided')",
            &ids,
            &orders,
            &sagas,
            &gateways,
            &keys,
            &amounts,
            &currencies,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn named(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.named.is_empty() {
            return Ok(());
        }
        let (gateways, keys) = names(self.named.iter().map(|(charged, _)| charged));
        let references: Vec<_> = self.named.iter().map(|(_, reference)| reference.clone()).collect();
        sqlx::query!(
            "update booking.payments p set reference = told.reference, updated_at = now()
             from unnest($1::text[], $2::text[], $3::text[]) as told (gateway, key, reference)
             where p.gateway = told.gateway and p.key = told.key",
            &gateways,
            &keys,
            &references
        )
        .execute(tx)
        .await
        .map(drop)
    }

    /// No money was taken, and none will be, or nobody knows; what was captured stays captured.
    async fn ended(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.ended.is_empty() {
            return Ok(());
        }
        let (gateways, keys) = names(self.ended.iter().map(|(charged, _, _)| charged));
        let statuses: Vec<_> = self.ended.iter().map(|(_, status, _)| (*status).to_owned()).collect();
        let references: Vec<_> = self.ended.iter().map(|(_, _, reference)| reference.clone()).collect();
        sqlx::query!(
            "update booking.payments p
             set status = told.status, reference = coalesce(told.reference, p.reference), updated_at = now()
             from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as told (gateway, key, status, reference)
             where p.gateway = told.gateway and p.key = told.key and p.status in ('pending', 'inDoubt')",
            &gateways,
            &keys,
            &statuses,
            &references as &[Option<String>]
        )
        .execute(tx)
        .await
        .map(drop)
    }

    /// Money was taken: stronger than anything that was believed before, except that it is on its way back.
    async fn captured(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.captured.is_empty() {
            return Ok(());
        }
        let (gateways, keys) = names(self.captured.iter().map(|(charged, _, _)| charged));
        let references: Vec<_> = self.captured.iter().map(|(_, reference, _)| reference.clone()).collect();
        let amounts: Vec<_> = self.captured.iter().map(|(_, _, amount)| amount.amount_minor).collect();
        let currencies: Vec<_> = self.captured.iter().map(|(_, _, amount)| amount.currency.code().to_owned()).collect();
        let captured = sqlx::query_as!(
            CapturedCharge,
            r#"update booking.payments p
               set status = 'captured', captured_minor = told.amount_minor, currency = told.currency,
                   reference = told.reference, updated_at = now()
               from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
                   as told (gateway, key, reference, amount_minor, currency),
                   booking.orders o
               where p.gateway = told.gateway and p.key = told.key and p.status not in ('captured', 'refunded')
                 and o.order_id = p.order_id
               returning p.payment_id, p.order_id, p.gateway, p.reference, p.captured_minor as amount_minor, p.currency,
                         o.event_id, booking.is_the_orders(p, o.currency) as "is_the_orders!""#,
            &gateways,
            &keys,
            &references,
            &amounts,
            &currencies
        )
        .fetch_all(&mut *tx)
        .await?;
        ledger::captured_in_tx(tx, &captured).await
    }

    async fn doubted(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.doubted.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "update booking.payments set status = 'inDoubt', updated_at = now()
             where saga_id = any($1) and status = 'pending'",
            &self.doubted
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

fn names<'a>(charges: impl Iterator<Item = &'a Charged>) -> (Vec<String>, Vec<String>) {
    charges.map(|charged| (charged.gateway.clone(), charged.key.clone())).unzip()
}

/// What a move says of refunds. Their success is written by the step that settles them.
pub(super) async fn refunds(tx: &mut PgConnection, moved: &Moved) -> Result<(), sqlx::Error> {
    for entry in moved.entries.iter() {
        match note_of(entry).and_then(|note| RefundNote::deserialize(note).ok()) {
            Some(RefundNote::Intended { refund_id, generation, amount, .. }) => {
                books::intended_in_tx(tx, refund_id, generation, amount).await?;
            }
            Some(RefundNote::Pending { refund_id, reference }) => {
                books::pending_in_tx(tx, refund_id, &reference).await?;
            }
            Some(RefundNote::Part { refund_id, generation, reference, amount }) => {
                books::part_returned_in_tx(tx, refund_id, generation, &reference, amount).await?;
            }
            Some(RefundNote::Failed { refund_id, reference, .. }) => {
                books::try_failed_in_tx(tx, refund_id, reference.as_ref()).await?;
            }
            None => {}
        }
        match entry {
            Entry::InDoubt { step, .. } if submits(moved, step) => {
                sqlx::query!(
                    "update booking.refunds set state = 'inDoubt'
                     where saga_id = $1 and state in ('submitted', 'pending')",
                    moved.saga_id.0
                )
                .execute(&mut *tx)
                .await?;
            }
            Entry::Failed { step, retry_at: None, .. } if submits(moved, step) => {
                if let Some(refund) = refund_of(&moved.run.input) {
                    books::given_up_in_tx(tx, refund, &moved.run.step(step).forward.notes).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn submits(moved: &Moved, step: &str) -> bool {
    moved.action_of(step) == Some(crate::refunds::SubmitRefund::NAME)
}

/// The refund that a saga carries out, as its input says.
fn refund_of(input: &Value) -> Option<RefundId> {
    input.get("refundId")?.as_str()?.parse().ok()
}
