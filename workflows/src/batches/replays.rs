//! One refund of a batch: tried again, and what has become of that.

use super::turn::{Acted, Order, Taken};
use crate::{
    ids::RefundId,
    refunds::{ReplayError, ReplayRefund, Replayed, replay},
};
use orchestrator::{Engine, acts::ActError, start::StartError};
use sqlx::PgPool;

/// What has become of refunds that were tried again: fixed only when all of the money is back.
pub(super) async fn hear(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.batch_items i
         set state = heard.state, detail = heard.failure_code
         from (
             select a.batch_id, a.position, s.failure_code,
                 case
                     when r.state = 'succeeded' then 'fixed'
                     when s.finished_at is not null then 'failedAgain'
                     when s.state = 'stuck' and s.seq > a.acted_seq then 'failedAgain'
                 end as state
             from booking.batch_items a
             join booking.refunds r on r.refund_id = a.refund_id
             left join engine.saga_states s on s.saga_id = r.saga_id
             where a.state = 'acted'
         ) heard
         where heard.state is not null and i.batch_id = heard.batch_id and i.position = heard.position
             and i.state = 'acted'"
    )
    .execute(pool)
    .await
    .map(drop)
}

/// Has it tried again, as one person would. None: nobody knows what became of that, and it is taken again.
pub(super) async fn one(engine: &Engine, order: &Order, taken: &Taken, refund_id: RefundId) -> Option<Acted> {
    let wanted = ReplayRefund {
        refund_id,
        reason: order.reason.clone(),
        by: order.by.clone(),
        address: order.address.as_deref().and_then(|address| address.parse().ok()),
    };
    let position = taken.position;
    let acted = |saga_id, seq| Some(Acted { position, state: "acted", saga_id, seq: Some(seq), detail: None });
    match replay(engine, wanted).await {
        Ok(Replayed::New(saga_id, seq) | Replayed::Before(saga_id, seq)) => acted(Some(saga_id), seq),
        // whoever had it before us has done it
        Err(ReplayError::AlreadyRefunded) if taken.is_again => acted(None, 0),
        Err(
            ReplayError::Database(error)
            | ReplayError::Act(ActError::Database(error))
            | ReplayError::Start(StartError::Database(error)),
        ) => {
            let batch_id = order.batch_id;
            tracing::warn!(
                batch.id = %batch_id, refund.id = %refund_id, error = %error,
                "Batch {batch_id} could not have {refund_id} tried again and does so later: {error}"
            );
            None
        }
        Err(refused) => Some(Acted::refused(position, refused)),
    }
}
