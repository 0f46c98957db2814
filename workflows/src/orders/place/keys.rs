//! Idempotency keys: one order per key, for as long as the key lives.

use super::Placing;
use crate::ids::OrderId;
use orchestrator::ids::SagaId;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgExecutor, PgPool};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

/// How many expired keys one statement deletes.
const EXPIRED_PER_BATCH: i64 = 10_000;

/// Whose, and the key.
pub(crate) type Key<'a> = (&'a str, &'a str);

/// What a key was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) digest: Vec<u8>,
    pub(super) order_id: OrderId,
    pub(super) saga_id: SagaId,
}

/// The keys of a batch.
pub(super) struct Keys<'a> {
    /// Those that are used up.
    pub(super) taken: HashMap<Key<'a>, Taken>,
    /// Those that were free, and the request in whose name each is held until it is known who gets it.
    free: Vec<(Key<'a>, OrderId)>,
}

impl<'a> Keys<'a> {
    /// Holds those that are free, and finds out what the others were taken for: by an earlier request, by one at
    /// this moment (whose end is waited for), or by this one before its answer was lost.
    pub(super) async fn hold_in_tx(tx: &mut PgConnection, batch: &[&'a Placing]) -> Result<Self, sqlx::Error> {
        // in the order of the keys, so that two batches cannot wait for each other
        let mut first = BTreeMap::new();
        for placing in batch {
            first.entry(placing.key()).or_insert(*placing);
        }
        let held = hold_in_tx(tx, &first).await?;
        let (free, used): (Vec<_>, Vec<_>) = first
            .into_iter()
            .map(|(key, placing)| (key, placing.order_id))
            .partition(|((owner, key), _)| held.contains(&((*owner).to_owned(), (*key).to_owned())));
        let used: Vec<_> = used.into_iter().map(|(key, _)| key).collect();
        Ok(Self { taken: find_in_tx(tx, &used).await?, free })
    }

    /// Leaves each key that was free to the request that got it, and gives back those that nobody got.
    pub(super) async fn settle_in_tx(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (mut given, mut left) = (Vec::new(), Vec::new());
        for (key, held_for) in &self.free {
            match self.taken.get(key) {
                Some(taken) if taken.order_id == *held_for => {}
                Some(taken) => given.push((*key, taken)),
                None => left.push(*key),
            }
        }
        give_in_tx(tx, &given).await?;
        leave_in_tx(tx, &left).await
    }
}

fn columns(keys: &[Key<'_>]) -> (Vec<String>, Vec<String>) {
    keys.iter().map(|(owner, key)| ((*owner).to_owned(), (*key).to_owned())).unzip()
}

/// Inserts those that are not there, and answers which.
async fn hold_in_tx(
    tx: &mut PgConnection,
    wanted: &BTreeMap<Key<'_>, &Placing>,
) -> Result<HashSet<(String, String)>, sqlx::Error> {
    let (owners, keys) = columns(&wanted.keys().copied().collect::<Vec<_>>());
    let rows = sqlx::query!(
        "insert into booking.idempotency_keys (owner, key, digest, order_id, saga_id)
         select * from unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::uuid[])
         on conflict (owner, key) do nothing
         returning owner, key",
        &owners,
        &keys,
        &wanted.values().map(|placing| placing.digest.clone()).collect::<Vec<_>>(),
        &wanted.values().map(|placing| placing.order_id.0).collect::<Vec<_>>(),
        &wanted.values().map(|placing| placing.saga_id.0).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.owner, row.key)).collect())
}

async fn find_in_tx<'a>(tx: &mut PgConnection, used: &[Key<'a>]) -> Result<HashMap<Key<'a>, Taken>, sqlx::Error> {
    if used.is_empty() {
        return Ok(HashMap::new());
    }
    let (owners, keys) = columns(used);
    let rows = sqlx::query!(
        r#"select asked.place as "place!", k.digest, k.order_id, k.saga_id
           from unnest($1::text[], $2::text[]) with ordinality as asked (owner, key, place)
           join booking.idempotency_keys k on k.owner = asked.owner and k.key = asked.key"#,
        &owners,
        &keys,
    )
    .fetch_all(tx)
    .await?;
    if rows.len() < used.len() {
        // it expired between the two statements: the same again finds it free
        return Err(sqlx::Error::Protocol("an idempotency key has just expired".into()));
    }
    let taken = rows.into_iter().filter_map(|row| {
        let key = used.get(usize::try_from(row.place - 1).ok()?)?;
        let taken = Taken { digest: row.digest, order_id: OrderId(row.order_id), saga_id: SagaId(row.saga_id) };
        Some((*key, taken))
    });
    Ok(taken.collect())
}

async fn give_in_tx(tx: &mut PgConnection, given: &[(Key<'_>, &Taken)]) -> Result<(), sqlx::Error> {
    if given.is_empty() {
        return Ok(());
    }
    let (owners, keys) = columns(&given.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    sqlx::query!(
        "update booking.idempotency_keys k
         set digest = given.digest, order_id = given.order_id, saga_id = given.saga_id
         from unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::uuid[])
             as given (owner, key, digest, order_id, saga_id)
         where k.owner = given.owner and k.key = given.key",
        &owners,
        &keys,
        &given.iter().map(|(_, taken)| taken.digest.clone()).collect::<Vec<_>>(),
        &given.iter().map(|(_, taken)| taken.order_id.0).collect::<Vec<_>>(),
        &given.iter().map(|(_, taken)| taken.saga_id.0).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await
    .map(drop)
}

async fn leave_in_tx(tx: &mut PgConnection, left: &[Key<'_>]) -> Result<(), sqlx::Error> {
    if left.is_empty() {
        return Ok(());
    }
    let (owners, keys) = columns(left);
    sqlx::query!(
        "delete from booking.idempotency_keys k
         using unnest($1::text[], $2::text[]) as abandoned (owner, key)
         where k.owner = abandoned.owner and k.key = abandoned.key",
        &owners,
        &keys,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// What a key was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUsed {
    /// This request, now or before.
    ForThis,
    /// Another one.
    ForAnother,
}

/// Takes a key for a request about an order that is there, unless another has it.
pub(crate) async fn use_once(
    executor: impl PgExecutor<'_>,
    (owner, key): Key<'_>,
    body: &Value,
    order: OrderId,
    saga: SagaId,
) -> Result<KeyUsed, sqlx::Error> {
    let digest = digest(body);
    let taken_for = sqlx::query_scalar!(
        "insert into booking.idempotency_keys as k (owner, key, digest, order_id, saga_id)
         values ($1, $2, $3, $4, $5)
         -- changes nothing, so that the row that is there is returned as well
         on conflict (owner, key) do update set digest = k.digest
         returning digest",
        owner,
        key,
        digest,
        order.0,
        saga.0,
    )
    .fetch_one(executor)
    .await?;
    Ok(if taken_for == digest { KeyUsed::ForThis } else { KeyUsed::ForAnother })
}

/// Of a request's body.
pub(super) fn digest(body: &Value) -> Vec<u8> {
    Sha256::digest(body.to_string().as_bytes()).to_vec()
}

/// Forgets a batch of keys that are older than `age`.
///
/// # Errors
/// The database's.
pub async fn expire_keys(pool: &PgPool, age: Duration) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from booking.idempotency_keys where (owner, key) in (
             select owner, key from booking.idempotency_keys
             where created_at < now() - make_interval(secs => $1)
             order by created_at limit $2)",
        age.as_secs_f64(),
        EXPIRED_PER_BATCH,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
