//! The store in PostgreSQL. What every move writes is written set-based, in one transaction for many sagas.

mod acts;
mod cases;
mod children;
mod claims;
mod hints;
mod journal;
mod moves;
mod outbox;
mod starts;
mod wake;

pub use outbox::enqueue_in_tx;

use super::{ActRow, Append, Claim, Journals, KeyHolder, StartKey, Store, Stored, StoredDefinition, Taken, Tx, Waiter};
use crate::{
    ids::SagaId,
    journal::Moment,
    outbox::{Destination, DueMessage, Message, Rest},
};
use async_trait::async_trait;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres as Database, Transaction, postgres::PgPoolOptions};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

/// How a transaction begins. Plans live as long as their connection and are made with whatever is in the tables then;
/// on the first day of a week, and of a database, nothing is, and reading all of it seems to cost nothing.
const BEGIN: &str = "begin; set local enable_seqscan = off";

/// A claim, a renewal, and one that is handed back: none waits for another, nor for the pool.
const CLAIMS_AT_ONCE: u32 = 3;
/// How long they wait for the database.
const ACQUIRE_MAX: Duration = Duration::from_secs(10);

/// Production's store: a pool of connections to a database that has the schema.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    /// For single statements about claims, outside of any transaction; connected when there is the first.
    claims: PgPool,
}

impl Postgres {
    /// On this pool; see [`crate::db::connect`].
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        // Its own: a lease is renewed however busy the pool is.
        let options = pool.connect_options().as_ref().clone().options([("enable_seqscan", "off")]);
        let claims = PgPoolOptions::new()
            .max_connections(CLAIMS_AT_ONCE)
            .acquire_timeout(ACQUIRE_MAX)
            .connect_lazy_with(options);
        Self { pool, claims }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

#[async_trait]
impl Store for Postgres {
    type Tx = PgConnection;
    type Open = Transaction<'static, Database>;

    async fn begin(&self) -> Stored<Self::Open> {
        self.pool.begin_with(BEGIN).await
    }

    async fn commit(&self, tx: Self::Open) -> Stored<()> {
        tx.commit().await
    }

    async fn claim(&self, worker: &str, limit: usize, lease_secs: i32) -> Stored<Taken> {
        claims::claim(&self.claims, worker, limit, lease_secs).await
    }

    async fn renew(&self, held: &[(SagaId, i64)], lease_secs: i32) -> Stored<Vec<SagaId>> {
        claims::renew(&self.claims, held, lease_secs).await
    }

    async fn hand_back(&self, held: &[(SagaId, i64)]) -> Stored<()> {
        claims::hand_back(&self.claims, held).await
    }

    async fn put_off(&self, claims: &[Claim], pause: Duration) -> Stored<()> {
        claims::put_off(&self.claims, claims, pause).await
    }

    async fn sweep(&self) -> Stored<u64> {
        claims::sweep(&self.pool).await
    }

    async fn journals(&self, sagas: &[SagaId]) -> Stored<(Journals, Moment)> {
        let wanted: Vec<_> = sagas.iter().map(|saga_id| (*saga_id, 0)).collect();
        let mut connection = self.claims.acquire().await?;
        let now = now(&mut connection).await?;
        Ok((journal::journals_after(&mut connection, &wanted).await?, now))
    }

    async fn definition(&self, name: &str, version: i32) -> Stored<Option<StoredDefinition>> {
        sqlx::query_as!(
            StoredDefinition,
            "select document, source, digest, created_at, created_by from engine.definitions
             where name = $1 and version = $2",
            name,
            version
        )
        .fetch_optional(&self.pool)
        .await
    }

    async fn active_version(&self, name: &str) -> Stored<Option<i32>> {
        sqlx::query_scalar!("select version from engine.active_definitions where name = $1", name)
            .fetch_optional(&self.pool)
            .await
    }

    async fn due_messages(&self, destination: Destination, limit: i64) -> Stored<Vec<DueMessage>> {
        outbox::due(&self.pool, destination, limit).await
    }

    async fn delivered(&self, messages: &[Uuid]) -> Stored<()> {
        outbox::delivered(&self.pool, messages).await
    }

    async fn postpone(&self, message: &DueMessage, rest: Rest, error: &str) -> Stored<()> {
        outbox::postpone(&self.pool, message, rest, error).await
    }

    async fn announce(&self) -> Stored<()> {
        hints::announce(&self.pool).await
    }

    async fn listen(&self, hint: &(dyn Fn() + Send + Sync)) -> Stored<()> {
        hints::listen(&self.pool, hint).await
    }
}

/// The database's time now, not that of the transaction's beginning.
pub(crate) async fn now(connection: &mut PgConnection) -> Stored<Moment> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(connection).await
}

#[async_trait]
impl Tx for PgConnection {
    async fn now(&mut self) -> Stored<Moment> {
        now(self).await
    }

    async fn lock_claims(&mut self, sagas: &[SagaId]) -> Stored<HashMap<SagaId, Option<i64>>> {
        claims::lock(self, sagas).await
    }

    async fn lock_saga(&mut self, saga: SagaId) -> Stored<()> {
        claims::lock_with_projection(self, saga).await
    }

    async fn journals_after(&mut self, after: &[(SagaId, i64)]) -> Stored<Journals> {
        journal::journals_after(self, after).await
    }

    async fn news(&mut self, seen: &[(SagaId, i64)]) -> Stored<(Journals, Moment)> {
        journal::news(self, seen).await
    }

    async fn append(&mut self, appends: &[Append], lease_secs: i32) -> Stored<()> {
        moves::append(self, appends, lease_secs).await
    }

    async fn take_keys(&mut self, keys: &[StartKey]) -> Stored<(Vec<Option<KeyHolder>>, Moment)> {
        starts::take_keys(self, keys).await
    }

    async fn create(&mut self, appends: &[Append], priorities: &[i16]) -> Stored<()> {
        starts::create(self, appends, priorities).await
    }

    async fn wait_for_end(&mut self, child: SagaId, parent: SagaId, key: &str) -> Stored<bool> {
        children::wait_for_end(self, child, parent, key).await
    }

    async fn take_waiters(&mut self, ended: &[SagaId]) -> Stored<Vec<Waiter>> {
        children::take_waiters(self, ended).await
    }

    async fn enqueue(&mut self, messages: &[Message]) -> Stored<()> {
        enqueue_in_tx(self, messages).await
    }

    async fn act_done(&mut self, act: &ActRow<'_>) -> Stored<Option<i64>> {
        acts::done(self, act).await
    }

    async fn record_acts(&mut self, acts: &[(ActRow<'_>, Value)], outcome: &str) -> Stored<()> {
        acts::record(self, acts, outcome).await
    }

    async fn save(&mut self) -> Stored<()> {
        sqlx::raw_sql("savepoint step").execute(self).await.map(drop)
    }

    async fn keep(&mut self) -> Stored<()> {
        sqlx::raw_sql("release savepoint step").execute(self).await.map(drop)
    }

    async fn undo(&mut self) -> Stored<()> {
        // it outlives what is rolled back to it, and the next one would lie inside it
        sqlx::raw_sql("rollback to savepoint step; release savepoint step").execute(self).await.map(drop)
    }
}
