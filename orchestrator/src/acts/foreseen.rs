//! What an act would do to each of many sagas.

use super::{Act, Effects, allowed};
use crate::{
    catalog::Known,
    engine::Engine,
    ids::SagaId,
    moves,
    run::Run,
    store::{ReadError, Store, Written},
};
use std::sync::Arc;

/// How many journals are read at once.
const SAGAS_AT_ONCE: usize = 256;

/// What an act would do to one saga, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// The saga.
    pub saga_id: SagaId,
    /// Its last entry; 0 where it could not be read.
    pub seq: i64,
    /// The step that it stands at.
    pub step: Option<String>,
    /// What the act would do, or why it would be refused.
    pub outcome: Result<Effects, String>,
}

impl<S: Store> Engine<S> {
    /// What `act` would do to each of these sagas, in their order. One that does not exist, or does not read, is refused
    /// like any other.
    ///
    /// # Errors
    /// The database's.
    pub async fn foresee(&self, sagas: &[SagaId], act: &Act) -> Result<Vec<Foreseen>, sqlx::Error> {
        let mut foreseen = Vec::with_capacity(sagas.len());
        for sagas in sagas.chunks(SAGAS_AT_ONCE) {
            let (mut journals, _) = self.store().journals(sagas).await?;
            for saga_id in sagas.iter().copied() {
                foreseen.push(match self.foresee_one(saga_id, journals.remove(&saga_id)).await? {
                    Ok((run, known)) => Foreseen {
                        saga_id,
                        seq: run.seq,
                        step: moves::current_step(&known.definition, &run),
                        outcome: allowed::allowed(&known.definition, &run, act, self.registry())
                            .map(|()| allowed::effects(&known.definition, &run, act)),
                    },
                    Err(why) => Foreseen { saga_id, seq: 0, step: None, outcome: Err(why.to_owned()) },
                });
            }
        }
        Ok(foreseen)
    }

    /// A saga with its definition, or why it cannot be had.
    async fn foresee_one(
        &self,
        saga_id: SagaId,
        journal: Option<Result<Vec<Written>, ReadError>>,
    ) -> Result<Result<(Run, Arc<Known>), &'static str>, sqlx::Error> {
        let Ok(written) = journal.unwrap_or_else(|| Ok(Vec::new())) else {
            return Ok(Err("its journal does not read"));
        };
        let journal: Vec<_> = written.into_iter().map(|(recorded, _)| recorded).collect();
        if journal.is_empty() {
            return Ok(Err("there is no such saga"));
        }
        let Ok(run) = Run::replay(saga_id, &journal) else { return Ok(Err("its journal does not read")) };
        let known = self.catalog().get(&run.definition, run.version).await?;
        Ok(known.map(|known| (run, known)).ok_or("its definition is unknown"))
    }
}
