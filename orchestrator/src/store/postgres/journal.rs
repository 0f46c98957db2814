//! Reading journals.

use crate::{
    ids::SagaId,
    journal::Moment,
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
           -- the weeks that they are in, and no other
           where j.saga_id >= $3::uuid and j.saga_id <= $4::uuid
           order by j.saga_id, j.seq"#,
        &saga_ids,
        &seqs,
        saga_ids.iter().min(),
        saga_ids.iter().max(),
    )
    .fetch_all(connection)
    .await?;
    let mut journals: Journals = after.iter().map(|(saga_id, _)| (*saga_id, Ok(Vec::new()))).collect();
    for row in rows {
        store::collect(&mut journals, SagaId(row.saga_id), row.seq, row.at, row.entry, row.move_id);
    }
    Ok(journals)
}

/// The same of those sagas only that have gone on, and the time.
pub(super) async fn news(tx: &mut PgConnection, seen: &[(SagaId, i64)]) -> Stored<(Journals, Moment)> {
    let saga_ids: Vec<_> = seen.iter().map(|(saga_id, _)| saga_id.0).collect();
    let rows = sqlx::query!(
        r#"select m.saga_id as "saga_id!", s.seq as "seq?", clock_timestamp() as "now!"
           from unnest($1::uuid[]) as m (saga_id)
           left join engine.sagas s on s.saga_id = m.saga_id and s.saga_id >= $2::uuid and s.saga_id <= $3::uuid"#,
        &saga_ids,
        saga_ids.iter().min(),
        saga_ids.iter().max(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let now = match rows.first() {
        Some(row) => row.now,
        None => super::now(tx).await?,
    };
    let seqs: HashMap<_, _> = rows.into_iter().filter_map(|row| Some((row.saga_id, row.seq?))).collect();
    let behind: Vec<_> =
        seen.iter().filter(|(saga_id, seq)| seqs.get(&saga_id.0).is_some_and(|now| now > seq)).copied().collect();
    if behind.is_empty() {
        return Ok((Journals::new(), now));
    }
    Ok((journals_after(tx, &behind).await?, now))
}
