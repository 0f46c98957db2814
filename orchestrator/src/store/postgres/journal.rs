//! Reading journals.

use crate::{
    ids::SagaId,
    store::{self, Journals, Stored},
};
use sqlx::PgConnection;
use std::collections::HashMap;

/// The journals of several sagas, each from behind the `seq` that is given for it.
pub(super) async fn journals_after(connection: &mut PgConnection, after: &[(SagaId, i64)]) -> Stored<Journals> {
    let saga_ids: Vec<_> = after.iter().map(|(saga_id, _)| saga_id.0).collect();
    let seqs: Vec<_> = after.iter().map(|(_, seq)| *seq).collect();
    let rows = sqlx::query!(
        r#"select j.saga_id, j.seq, j.at, j.entry, j.move_id
           from engine.journal j
           join unnest($1::uuid[], $2::int8[]) as m (saga_id, seq) on j.saga_id = m.saga_id and j.seq > m.seq
           where j.saga_id = any($1::uuid[])
           order by j.saga_id, j.seq"#,
        &saga_ids,
        &seqs
    )
    .fetch_all(connection)
    .await?;
    let mut journals: Journals = after.iter().map(|(saga_id, _)| (*saga_id, Ok(Vec::new()))).collect();
    for row in rows {
        store::collect(&mut journals, SagaId(row.saga_id), row.seq, row.at, row.entry, row.move_id);
    }
    Ok(journals)
}

/// The same of those sagas only that have gone on.
pub(super) async fn news(tx: &mut PgConnection, seen: &[(SagaId, i64)]) -> Stored<Journals> {
    let saga_ids: Vec<_> = seen.iter().map(|(saga_id, _)| saga_id.0).collect();
    let rows = sqlx::query!("select saga_id, seq from engine.sagas where saga_id = any($1::uuid[])", &saga_ids)
        .fetch_all(&mut *tx)
        .await?;
    let seqs: HashMap<_, _> = rows.into_iter().map(|row| (row.saga_id, row.seq)).collect();
    let behind: Vec<_> =
        seen.iter().filter(|(saga_id, seq)| seqs.get(&saga_id.0).is_some_and(|now| now > seq)).copied().collect();
    if behind.is_empty() {
        return Ok(Journals::new());
    }
    journals_after(tx, &behind).await
}
