//! A buyer gives a hold back.

use super::{
    Holds,
    state::{HoldEvent, HoldState},
    store,
};
use crate::{
    ids::{EventId, HoldId, OrderId},
    seat_cache::SeatState,
    seats::tell_in_tx,
};
use sqlx::PgPool;

/// Why a hold stays.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// There is none with this id, or it is another user's.
    #[error("there is no such hold")]
    NotFound,
    /// An order was placed with it.
    #[error("the hold has the order {0}")]
    OrderExists(OrderId),
    /// The database failed.
    #[error("the hold could not be released")]
    Database(#[from] sqlx::Error),
}

impl Holds {
    /// Frees a hold's seats. `user`: whose it must be, where the caller acts for one user alone. Again: nothing.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing has changed then.
    pub async fn release(&self, hold: HoldId, user: Option<&str>) -> Result<(), ReleaseError> {
        let (holds, user) = (self.clone(), user.map(str::to_owned));
        let released = async move {
            let (event, freed) = release(&holds.pool, hold, user.as_deref()).await?;
            if !freed.is_empty()
                && let Err(error) = holds.cache.mirror(event, &freed).await
            {
                tracing::debug!(hold.id = %hold, error = %error, "Redis hears later that {hold} is released");
            }
            Ok(())
        };
        crate::spawned::run(released).await
    }
}

async fn release(
    pool: &PgPool,
    hold_id: HoldId,
    user: Option<&str>,
) -> Result<(EventId, Vec<SeatState>), ReleaseError> {
    let mut tx = pool.begin().await?;
    let hold = store::lock_hold(&mut tx, hold_id).await?.ok_or(ReleaseError::NotFound)?;
    if user.is_some_and(|user| user != hold.user_id) || hold.state == HoldState::Void {
        return Err(ReleaseError::NotFound);
    }
    if let Some(order) = hold.order_id {
        return Err(ReleaseError::OrderExists(order));
    }
    let mut freed = Vec::new();
    if hold.state == HoldState::Active {
        store::set_state(&mut tx, hold_id, hold.after(HoldEvent::GivenBack)?).await?;
        freed = store::free_held(&mut tx, hold.event_id, &hold.seat_ids, hold_id).await?;
        let seat_ids: Vec<String> = freed.iter().map(|seat| seat.seat_id.clone()).collect();
        tell_in_tx(&mut tx, hold.event_id, &seat_ids).await?;
    }
    tx.commit().await?;
    Ok((hold.event_id, freed))
}
