//! Where a move stands against the journal as it is now.

use super::Move;
use crate::{
    run::Run,
    store::{ReadError, Store, Written},
};
use std::sync::Arc;

/// See the module.
pub(super) enum Standing {
    /// The claim holds; the saga as it is now.
    Held(Arc<Run>),
    /// It is written already; the saga as it is now.
    Done(Arc<Run>),
    /// The claim is lost.
    Superseded,
}

/// Folds what others have appended meanwhile. A move that is found written was ours: its COMMIT's answer was lost.
pub(super) fn catch_up<S: Store>(of: &Move<S>, written: &[Written], token_holds: bool) -> Result<Standing, ReadError> {
    let mut run = Arc::clone(&of.run);
    let mut done = false;
    for (recorded, move_id) in written {
        done |= *move_id == of.id;
        Arc::make_mut(&mut run).apply(recorded)?;
    }
    Ok(match (done, token_holds) {
        // an intent that is found written by a claim that is lost meanwhile allows no call any more
        (true, false) if of.what.is_in_call() => Standing::Superseded,
        (true, _) => Standing::Done(run),
        (false, true) => Standing::Held(run),
        (false, false) => Standing::Superseded,
    })
}
