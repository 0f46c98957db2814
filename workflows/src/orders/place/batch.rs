//! Placing orders as group commit's work: whatever came while the last transaction was on its way to disk shares
//! the next one.

use super::{
    PlaceError, Placed, Placing,
    decide::{Decided, decide},
    keys::Keys,
};
use crate::{
    holds::{Bindable, bind_in_tx, lock_bindable_in_tx},
    orders::{impossible, record::record_all_in_tx},
};
use async_trait::async_trait;
use orchestrator::{
    Engine,
    catalog::Known,
    group_commit::Work,
    start::{Prepared, Started, start_many_in_tx},
};
use sqlx::PgConnection;
use std::{sync::Arc, time::Duration};

/// A request, with the version of the definition that its saga will run.
pub(super) struct Ready {
    pub(super) placing: Placing,
    pub(super) known: Arc<Known>,
}

/// See the module.
pub(super) struct Placements {
    pub(super) engine: Engine,
    pub(super) order_hold: Duration,
}

#[async_trait]
impl Work for Placements {
    const NAME: &'static str = "orders";
    type Item = Ready;
    type Answer = Result<Placed, PlaceError>;

    async fn apply(&self, tx: &mut PgConnection, items: &[Arc<Ready>]) -> Result<Vec<Self::Answer>, sqlx::Error> {
        let batch: Vec<_> = items.iter().map(|item| &item.placing).collect();
        let mut keys = Keys::hold_in_tx(&mut *tx, &batch).await?;
        let wanted = batch.iter().filter(|placing| !keys.taken.contains_key(&placing.key()));
        let wanted: Vec<_> = wanted.map(|placing| placing.request.hold_id).collect();
        let mut holds = lock_bindable_in_tx(&mut *tx, &wanted).await?;

        let Decided { answers, placed } = decide(&batch, &mut keys.taken, &mut holds);

        keys.settle_in_tx(&mut *tx).await?;
        let mut new = Vec::with_capacity(placed.len());
        for item in placed.into_iter().filter_map(|place| items.get(place)) {
            new.extend(holds.get(&item.placing.request.hold_id).map(|bound| (item.as_ref(), bound)));
        }
        if !new.is_empty() {
            self.write_in_tx(tx, &new).await?;
        }
        Ok(answers)
    }

    fn committed(&self) {
        self.engine.hint();
    }
}

impl Placements {
    /// Binds the holds, writes the orders, and starts their sagas.
    async fn write_in_tx(&self, tx: &mut PgConnection, new: &[(&Ready, &Bindable)]) -> Result<(), sqlx::Error> {
        let (ready, bound): (Vec<_>, Vec<_>) = new.iter().copied().unzip();
        bind_in_tx(&mut *tx, &bound, self.order_hold).await?;
        record_all_in_tx(&mut *tx, &ready.iter().map(|ready| &ready.placing).collect::<Vec<_>>()).await?;
        let prepared = new.iter().map(|(Ready { placing, known }, bound)| {
            // its input was checked before it came here
            Prepared::new(placing.saga_id, placing.start(bound.hold()), known)
                .map(|prepared| prepared.traced(placing.trace.clone()))
                .map_err(|error| impossible("engine.definitions", "document", &known.name, error))
        });
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        let started = start_many_in_tx(tx, &prepared.iter().collect::<Vec<_>>()).await?;
        match started.iter().find(|started| !matches!(started, Started::New(_))) {
            // a fresh order's key cannot have been used
            Some(other) => Err(impossible("engine.start_keys", "saga_id", other.saga_id(), "not a new saga's")),
            None => Ok(()),
        }
    }
}
