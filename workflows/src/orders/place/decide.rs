//! Which requests of a batch become orders: a pure function from the requests, the keys that are used up and the
//! holds as they stand. Requests that fight for a key or a hold get it in the order in which they came, as if each
//! had had a transaction of its own.

use super::{
    PlaceError, Placed, Placing,
    keys::{Key, Taken},
};
use crate::{holds::Bindable, ids::HoldId};
use std::collections::HashMap;

/// What becomes of a batch.
pub(super) struct Decided {
    /// What each is told, in order.
    pub(super) answers: Vec<Result<Placed, PlaceError>>,
    /// The places in the batch of those that become orders now: they have got their keys and their holds.
    pub(super) placed: Vec<usize>,
}

/// Decides one after the other.
pub(super) fn decide<'a>(
    batch: &[&'a Placing],
    taken: &mut HashMap<Key<'a>, Taken>,
    holds: &mut HashMap<HoldId, Bindable>,
) -> Decided {
    let mut placed = Vec::new();
    let answers = batch.iter().enumerate().map(|(place, placing)| {
        if let Some(first) = taken.get(&placing.key()) {
            return placing.answer_of(first);
        }
        let hold = holds.get_mut(&placing.request.hold_id).ok_or(PlaceError::NotFound)?;
        hold.bind(placing.order_id, placing.principal.user.as_deref())?;
        taken.insert(placing.key(), placing.taken());
        placed.push(place);
        Ok(Placed::New(placing.placement()))
    });
    let answers = answers.collect();
    Decided { answers, placed }
}

#[cfg(test)]
mod tests;
