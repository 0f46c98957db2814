//! Following what happens: one saga's journal, or everybody's.

use crate::{
    engine::Engine,
    ids::SagaId,
    journal::{Moment, Recorded},
    store::{self, ReadError},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Entries are ordered by when they were written, and some become visible later than others that were written after
/// them: for so long they are looked for. A commit that takes longer is in trouble.
const COMMIT_SECS_MAX: u64 = 2;

/// A place in the journals of all sagas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// When the entry was written.
    pub at: Moment,
    /// Whose it is.
    pub saga_id: SagaId,
    /// Its place in that saga's journal.
    pub seq: i64,
}

impl Place {
    /// The first place that an entry can have that is not visible yet, while one at this place is.
    #[must_use]
    pub fn may_still_appear(self) -> Self {
        Self { at: self.at - Duration::from_secs(COMMIT_SECS_MAX), saga_id: SagaId(uuid::Uuid::nil()), seq: 0 }
    }
}

/// An entry of some saga.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// Whose.
    pub saga_id: SagaId,
    /// What.
    pub recorded: Recorded,
}

impl Happened {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { at: self.recorded.at, saga_id: self.saga_id, seq: self.recorded.seq }
    }
}

impl Engine {
    /// What one saga's journal has behind `seq`.
    ///
    /// # Errors
    /// [`ReadError`] when the database or the journal cannot be read.
    pub async fn journal_after(&self, saga_id: SagaId, seq: i64) -> Result<Vec<Recorded>, ReadError> {
        let mut connection = self.pool().acquire().await?;
        store::journal_after(&mut *connection, saga_id, seq).await
    }

    /// The place of an entry that would be written now.
    ///
    /// # Errors
    /// The database's.
    pub async fn place_now(&self) -> Result<Place, sqlx::Error> {
        let mut connection = self.pool().acquire().await?;
        let at = store::now(&mut connection).await?;
        Ok(Place { at, saga_id: SagaId(uuid::Uuid::max()), seq: i64::MAX })
    }

    /// At most `limit` entries of all sagas behind a place, oldest first.
    ///
    /// # Errors
    /// [`ReadError`] when the database or an entry cannot be read.
    pub async fn happened_after(&self, place: Place, limit: u16) -> Result<Vec<Happened>, ReadError> {
        let rows = sqlx::query!(
            "select saga_id, seq, at, entry from engine.journal
             -- said again for an index on the time alone
             where at >= $1 and (at, saga_id, seq) > ($1, $2, $3)
             order by at, saga_id, seq
             limit $4",
            place.at,
            place.saga_id.0,
            place.seq,
            i64::from(limit)
        )
        .fetch_all(self.pool())
        .await?;
        let read = rows.into_iter().map(|row| {
            let saga_id = SagaId(row.saga_id);
            let entry = serde_json::from_value(row.entry).map_err(|source| ReadError::Entry {
                saga_id,
                seq: row.seq,
                source,
            })?;
            Ok(Happened { saga_id, recorded: Recorded { seq: row.seq, at: row.at, entry } })
        });
        read.collect()
    }
}
