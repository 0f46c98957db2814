//! Holds: seats that are one buyer's for a while. The buyer's reserve makes one, the order takes it over, and
//! the order's saga commits or releases it. Postgres decides; Redis absorbs (see [`crate::seat_cache`]).
//!
//! Locks are taken in one order everywhere: the hold, then its seats by their ids.

mod bind;
mod in_order;
mod release;
mod reserve;
mod state;
mod store;
mod sweep;

pub use bind::{BindError, Bindable, bind_in_tx, lock_bindable_in_tx};
pub use in_order::{
    BoundHold, CommitError, CommittedHold, ConfirmError, NewOrderHold, Released, commit_in_tx, confirm_in_tx,
    hold_for_order_in_tx, release_order_in_tx, return_seats_in_tx,
};
pub use release::ReleaseError;
pub use reserve::{Reserve, ReserveError, Reserved, SEATS_PER_HOLD_MAX, Wish};
pub use state::{HoldEvent, HoldState, IllegalHoldTransition};
pub use store::Hold;
pub use sweep::sweep_expired;

use crate::{ids::EventId, seat_cache::SeatCache};
use sqlx::PgPool;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Makes, changes and releases holds. Cheap to clone.
#[derive(Clone)]
pub struct Holds {
    pool: PgPool,
    cache: SeatCache,
    hold_ttl: Duration,
    /// events that Redis is being told of
    warming: Arc<Mutex<BTreeSet<EventId>>>,
}

impl Holds {
    /// Over a database and a Redis; a hold without an order lasts `hold_ttl`.
    #[must_use]
    pub fn new(pool: PgPool, cache: SeatCache, hold_ttl: Duration) -> Self {
        Self { pool, cache, hold_ttl, warming: Arc::default() }
    }

    /// The Redis that it asks.
    #[must_use]
    pub fn cache(&self) -> &SeatCache {
        &self.cache
    }
}
