//! What a kill leaves behind: seats, money, calls of which nobody knows the outcome. A killed saga is a case until nothing
//! of it is left, whoever has seen to that.

use orchestrator::{
    SagaId,
    cases::{self, KILLED},
};
use sqlx::PgPool;

/// Takes killed sagas out of their cases that have left nothing, or nothing any more, and says how many.
///
/// # Errors
/// The database's.
pub async fn close_killed(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let clean = sqlx::query_scalar!(
        r#"-- each by itself, by indexes
           select open.saga_id as "saga_id!" from engine.open_cases as open
           where open.cause = 'killed' and open.saga_id is not null
             -- an order's own: seats that nobody has a ticket for, money of which that is so, calls in doubt
             and not exists (
                 select from booking.orders o join booking.holds h on h.hold_id = o.hold_id
                 where o.saga_id = open.saga_id and h.state in ('active', 'ordered') and h.expires_at > now())
             and not exists (
                 select from booking.orders o join booking.holds h on h.hold_id = o.hold_id
                 cross join lateral unnest(h.seat_ids) as sold (seat_id)
                 where o.saga_id = open.saga_id and h.state = 'committed'
                   and sold.seat_id <> all (h.returned_seat_ids)
                   and not exists (select from booking.tickets t
                                   where t.order_id = o.order_id and t.seat_id = sold.seat_id and t.revoked_at is null))
             and not exists (
                 select from booking.orders o join booking.payments p on p.order_id = o.order_id
                 where o.saga_id = open.saga_id
                   and (p.status in ('pending', 'inDoubt')
                        or p.captured_minor > p.refunded_minor
                           and not exists (select from booking.tickets t
                                           where t.order_id = o.order_id and t.revoked_at is null)))
             -- a refund's
             and not exists (
                 select from booking.refunds r
                 where r.saga_id = open.saga_id and r.state not in ('succeeded', 'rejected'))
             -- what was left behind by a charge in doubt
             and not exists (
                 select from engine.saga_states s
                 join booking.payments p on p.order_id = substr(s.tags ->> 'order', 5)::uuid
                 where s.saga_id = open.saga_id and s.definition = 'settle-doubt' and p.left_behind_at is not null
                   and (p.status in ('pending', 'inDoubt') or p.captured_minor > p.refunded_minor))"#
    )
    .fetch_all(pool)
    .await?;
    let clean: Vec<_> = clean.into_iter().map(SagaId).collect();
    cases::leave(pool, KILLED, &clean).await
}
