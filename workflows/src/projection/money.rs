//! Payments and refunds, as the notes and answers of their steps tell them.

use crate::{
    ids::PaymentId,
    money::Money,
    orders::order_of,
    payments::{ChargeOutput, PaymentNote},
    refunds::RefundNote,
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

/// What a move says of charges.
pub(super) async fn payments(tx: &mut PgConnection, moved: &Moved) -> Result<(), sqlx::Error> {
    for entry in &moved.entries {
        if let Some(note) = note_of(entry).and_then(|note| PaymentNote::deserialize(note).ok()) {
            noted(tx, moved, &note).await?;
        }
        match entry {
            Entry::Succeeded { step, lane: Lane::Forward, output, .. } if charges(moved, step) => {
                if let Ok(output) = ChargeOutput::deserialize(output) {
                    captured(tx, &output.gateway, output.key.as_str(), output.reference.as_str(), output.amount).await?;
                }
            }
            Entry::InDoubt { step, lane: Lane::Forward, .. } if charges(moved, step) => in_doubt(tx, moved).await?,
            _ => {}
        }
    }
    Ok(())
}

fn charges(moved: &Moved, step: &str) -> bool {
    moved.action_of(step) == Some(crate::payments::Charge::NAME)
}

async fn noted(tx: &mut PgConnection, moved: &Moved, note: &PaymentNote) -> Result<(), sqlx::Error> {
    let (gateway, key) = note.charge();
    let key = key.as_str();
    match note {
        PaymentNote::Intended { amount, .. } => intended(tx, moved, gateway, key, *amount).await,
        PaymentNote::Prepared { reference, .. } | PaymentNote::ActionRequired { reference, .. } => {
            sqlx::query!(
                "update booking.payments set reference = $3, updated_at = now() where gateway = $1 and key = $2",
                gateway,
                key,
                reference.as_str()
            )
            .execute(tx)
            .await
            .map(drop)
        }
        PaymentNote::Captured { reference, amount, .. } => captured(tx, gateway, key, reference.as_str(), *amount).await,
        PaymentNote::Declined { reference, .. } => {
            ended(tx, gateway, key, "declined", reference.as_ref().map(|reference| reference.as_str())).await
        }
        PaymentNote::Voided { .. } => ended(tx, gateway, key, "voided", None).await,
    }
}

async fn intended(
    tx: &mut PgConnection,
    moved: &Moved,
    gateway: &str,
    key: &str,
    amount: Money,
) -> Result<(), sqlx::Error> {
    let Some(order) = order_of(&moved.saga_input) else { return Ok(()) };
    sqlx::query!(
        "insert into booking.payments (payment_id, order_id, saga_id, gateway, key, status, amount_minor, currency)
         values ($1, $2, $3, $4, $5, 'pending', $6, $7)
         on conflict (gateway, key) do nothing",
        // the same charge has the same id, however often its intent is written
        PaymentId(Uuid::new_v5(&moved.saga_id.0, format!("{gateway}:{key}").as_bytes())).0,
        order.0,
        moved.saga_id.0,
        gateway,
        key,
        amount.amount_minor,
        amount.currency.code(),
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Money was taken: stronger than anything that was believed before, except that it is on its way back.
async fn captured(
    tx: &mut PgConnection,
    gateway: &str,
    key: &str,
    reference: &str,
    amount: Money,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.payments set status = 'captured', captured_minor = $4, reference = $3, updated_at = now()
         where gateway = $1 and key = $2 and status not in ('captured', 'refunded')",
        gateway,
        key,
        reference,
        amount.amount_minor
    )
    .execute(tx)
    .await
    .map(drop)
}

/// No money was taken, and none will be; what was captured stays captured.
async fn ended(
    tx: &mut PgConnection,
    gateway: &str,
    key: &str,
    status: &str,
    reference: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.payments set status = $3, reference = coalesce($4, reference), updated_at = now()
         where gateway = $1 and key = $2 and status in ('pending', 'inDoubt')",
        gateway,
        key,
        status,
        reference
    )
    .execute(tx)
    .await
    .map(drop)
}

async fn in_doubt(tx: &mut PgConnection, moved: &Moved) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.payments set status = 'inDoubt', updated_at = now() where saga_id = $1 and status = 'pending'",
        moved.saga_id.0
    )
    .execute(tx)
    .await
    .map(drop)
}

/// What a move says of refunds. Their success is written by the step that settles them.
pub(super) async fn refunds(tx: &mut PgConnection, moved: &Moved) -> Result<(), sqlx::Error> {
    for entry in &moved.entries {
        match note_of(entry).and_then(|note| RefundNote::deserialize(note).ok()) {
            Some(RefundNote::Intended { refund_id, .. }) => {
                sqlx::query!(
                    "update booking.refunds set state = 'submitted', attempts = attempts + 1, finished_at = null
                     where refund_id = $1 and state <> 'succeeded'",
                    refund_id.0
                )
                .execute(&mut *tx)
                .await?;
            }
            Some(RefundNote::Pending { refund_id, reference }) => {
                sqlx::query!(
                    "update booking.refunds set state = 'pending', reference = $2, finished_at = null
                     where refund_id = $1 and state <> 'succeeded'",
                    refund_id.0,
                    reference.as_str()
                )
                .execute(&mut *tx)
                .await?;
            }
            Some(RefundNote::Failed { refund_id, reference }) => {
                sqlx::query!(
                    "update booking.refunds set state = 'failed', reference = coalesce($2, reference),
                                                finished_at = now()
                     where refund_id = $1 and state <> 'succeeded'",
                    refund_id.0,
                    reference.as_ref().map(|reference| reference.as_str())
                )
                .execute(&mut *tx)
                .await?;
            }
            None => {}
        }
        if let Entry::InDoubt { step, .. } = entry
            && moved.action_of(step) == Some(crate::refunds::SubmitRefund::NAME)
        {
            sqlx::query!(
                "update booking.refunds set state = 'inDoubt' where saga_id = $1 and state in ('submitted', 'pending')",
                moved.saga_id.0
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(())
}
