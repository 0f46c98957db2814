//! What becomes of a refund and of its payment in our books: each function here is a place where money has moved, or
//! has turned out not to, and posts it in the same transaction.

use super::{
    standing::{post_in_tx, standing_in_tx},
    tries::has_ended,
};
use crate::{gateways::Reference, ids::RefundId, money::Money};
use orchestrator::ids::SagaId;
use serde_json::Value;
use sqlx::PgConnection;

/// A try is about to be made; it may be one that a person asks for after the gateway has said no.
pub(crate) async fn intended_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    generation: i32,
    amount: Money,
) -> Result<(), sqlx::Error> {
    let before = standing_in_tx(tx, refund).await?;
    sqlx::query!(
        "update booking.refunds
         set state = 'submitted', generation = $2, asked_minor = $3, attempts = attempts + 1, finished_at = null
         where refund_id = $1 and state <> 'succeeded'",
        refund.0,
        generation,
        amount.amount_minor
    )
    .execute(&mut *tx)
    .await?;
    post_in_tx(tx, refund, before, generation).await
}

/// The gateway works on it.
pub(crate) async fn pending_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    reference: &Reference,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.refunds set state = 'pending', reference = $2
         where refund_id = $1 and state not in ('succeeded', 'failed')",
        refund.0,
        reference.as_str()
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A try has failed for certain. The refund has not yet: another try may follow.
pub(crate) async fn try_failed_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    reference: Option<&Reference>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.refunds set state = 'submitted', reference = coalesce($2, reference)
         where refund_id = $1 and state not in ('succeeded', 'failed')",
        refund.0,
        reference.map(Reference::as_str)
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A try has brought back a part.
pub(crate) async fn part_returned_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    generation: i32,
    reference: &Reference,
    amount: Money,
) -> Result<(), sqlx::Error> {
    let before = standing_in_tx(tx, refund).await?;
    sqlx::query!(
        "with part as (
             insert into booking.refund_parts (refund_id, generation, amount_minor, reference)
             values ($1, $2, $4, $3) on conflict do nothing
             returning refund_id, amount_minor
         ), refund as (
             update booking.refunds r
             set state = 'submitted', reference = $3, returned_minor = r.returned_minor + part.amount_minor,
                 finished_at = null
             from part where r.refund_id = part.refund_id
             returning r.payment_id, part.amount_minor
         )
         update booking.payments p
         set refunded_minor = p.refunded_minor + refund.amount_minor, updated_at = now(),
             status = case when p.refunded_minor + refund.amount_minor = p.captured_minor then 'refunded' else p.status end
         from refund where p.payment_id = refund.payment_id",
        refund.0,
        generation,
        reference.as_str(),
        amount.amount_minor
    )
    .execute(&mut *tx)
    .await?;
    post_in_tx(tx, refund, before, generation).await
}

/// The generation that is under way has brought back what it asked for; where none is, a person has said that what is
/// outstanding is back. The refund has succeeded, unless an earlier part has come back to us meanwhile. Nothing happens
/// when it has succeeded before.
pub(crate) async fn returned_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    reference: &Reference,
) -> Result<(), sqlx::Error> {
    let before = standing_in_tx(tx, refund).await?;
    let generation = sqlx::query_scalar!(
        "with seen as (
             select r.refund_id, r.asked_minor, r.outstanding_minor,
                 -- what has brought back a part has a row, and the next one may take its number
                 r.generation + exists (
                     select from booking.refund_parts t where (t.refund_id, t.generation) = (r.refund_id, r.generation)
                 )::integer as generation,
                 r.state = 'failed' or exists (
                     select from booking.refund_parts t where (t.refund_id, t.generation) = (r.refund_id, r.generation)
                 ) as is_over
             from booking.refunds r where r.refund_id = $1 and r.state <> 'succeeded'
         ), part as (
             insert into booking.refund_parts (refund_id, generation, amount_minor, reference)
             select refund_id, generation,
                 case when is_over then outstanding_minor else coalesce(asked_minor, outstanding_minor) end, $2
             from seen
             returning refund_id, generation, amount_minor
         ), refund as (
             update booking.refunds r
             set returned_minor = r.returned_minor + part.amount_minor, reference = $2, finished_at = now(),
                 generation = part.generation,
                 state = case when r.returned_minor + part.amount_minor = r.amount_minor then 'succeeded' else 'failed' end
             from part where r.refund_id = part.refund_id
             returning r.payment_id, part.amount_minor, part.generation
         )
         update booking.payments p
         set refunded_minor = p.refunded_minor + refund.amount_minor, updated_at = now(),
             status = case when p.refunded_minor + refund.amount_minor = p.captured_minor then 'refunded' else p.status end
         from refund where p.payment_id = refund.payment_id
         returning refund.generation",
        refund.0,
        reference.as_str()
    )
    .fetch_optional(&mut *tx)
    .await?;
    match generation {
        Some(generation) => post_in_tx(tx, refund, before, generation).await,
        None => Ok(()),
    }
}

/// No try follows without a person. What is outstanding is still with us, and owed to the buyer; where the last try may
/// still come to something, that is not known, and the refund stays as it is.
pub(crate) async fn given_up_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    notes: &[Value],
) -> Result<(), sqlx::Error> {
    if !has_ended(notes) {
        return Ok(());
    }
    failed_in_tx(tx, refund).await.map(drop)
}

/// Nothing more of it goes back. False when that was known, or it is back.
pub(crate) async fn failed_in_tx(tx: &mut PgConnection, refund: RefundId) -> Result<bool, sqlx::Error> {
    let before = standing_in_tx(tx, refund).await?;
    let generation = sqlx::query_scalar!(
        "update booking.refunds set state = 'failed', finished_at = now()
         where refund_id = $1 and state in ('approved', 'submitted', 'pending', 'inDoubt')
         returning generation",
        refund.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(generation) = generation else { return Ok(false) };
    post_in_tx(tx, refund, before, generation).await?;
    Ok(true)
}

/// A refund whose saga is over, as whoever wants it tried again has seen it.
pub(crate) struct Seen<'a> {
    pub(crate) saga_id: SagaId,
    pub(crate) state: &'a str,
    pub(crate) generation: i32,
}

/// Another saga carries it out from here on, by this generation of the key. False when it has moved since it was seen.
pub(crate) async fn taken_over_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    seen: Seen<'_>,
    (saga, generation): (SagaId, i32),
) -> Result<bool, sqlx::Error> {
    let before = standing_in_tx(tx, refund).await?;
    let moved = sqlx::query!(
        "update booking.refunds
         set saga_id = $2, generation = $3, state = 'approved', asked_minor = null, finished_at = null
         where refund_id = $1 and saga_id = $4 and state = $5 and generation = $6",
        refund.0,
        saga.0,
        generation,
        seen.saga_id.0,
        seen.state,
        seen.generation
    )
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() != 1 {
        return Ok(false);
    }
    post_in_tx(tx, refund, before, generation).await?;
    Ok(true)
}

/// Whose the money is that is with us again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reversed {
    /// Its order's.
    OfOrder,
    /// Of a charge that its order had left behind.
    OfLeftBehind,
}

/// What a generation has brought back has come back to us. Nothing when it has brought back nothing, or another amount,
/// or that was known.
pub(crate) async fn reversed_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    generation: i32,
    amount: Money,
) -> Result<Option<Reversed>, sqlx::Error> {
    let before = standing_in_tx(tx, refund).await?;
    keep_part_of_before_in_tx(tx, refund, generation).await?;
    let of_left_behind = sqlx::query_scalar!(
        r#"with part as (
               update booking.refund_parts t set reversed_at = now()
               from booking.refunds r
               where t.refund_id = $1 and t.generation = $2 and t.amount_minor = $3 and r.currency = $4
                 and t.reversed_at is null and r.refund_id = t.refund_id
               returning t.refund_id, t.amount_minor
           ), refund as (
               update booking.refunds r
               set returned_minor = r.amount_minor - r.outstanding_minor - part.amount_minor,
                   state = case when r.state = 'succeeded' then 'failed' else r.state end,
                   finished_at = case when r.state = 'succeeded' then now() else r.finished_at end
               from part where r.refund_id = part.refund_id
               returning r.payment_id, part.amount_minor
           )
           update booking.payments p
           set refunded_minor = p.refunded_minor - refund.amount_minor, updated_at = now(),
               status = case when p.status = 'refunded' then 'captured' else p.status end
           from refund where p.payment_id = refund.payment_id
           returning p.left_behind_at is not null as "of_left_behind!""#,
        refund.0,
        generation,
        amount.amount_minor,
        amount.currency.code()
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(of_left_behind) = of_left_behind else { return Ok(None) };
    post_in_tx(tx, refund, before, generation).await?;
    Ok(Some(if of_left_behind { Reversed::OfLeftBehind } else { Reversed::OfOrder }))
}

/// The release before wrote a success without its part.
async fn keep_part_of_before_in_tx(
    tx: &mut PgConnection,
    refund: RefundId,
    generation: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into booking.refund_parts (refund_id, generation, amount_minor, reference, returned_at)
         select refund_id, generation, amount_minor, reference, finished_at from booking.refunds
         where refund_id = $1 and generation = $2 and state = 'succeeded' and returned_minor = 0 and reference is not null
         on conflict do nothing",
        refund.0,
        generation
    )
    .execute(tx)
    .await
    .map(drop)
}
