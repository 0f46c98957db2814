//! A database of its own, and a proxy before it for a process whose connections get lost.

use super::{
    Ground, Kept, Loss, PATIENCE, WakeUp,
    proxy::{Losses, Proxy},
};
use crate::database::database;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::{
    Catalog, Postgres, SagaId,
    action::Registry,
    outbox::{Destination, Message},
    store::Stored,
};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// See the module.
pub(crate) struct OnPostgres {
    pub(crate) pool: PgPool,
    losses: Losses,
    proxy: OnceCell<Proxy>,
}

impl OnPostgres {
    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.pool).await.unwrap();
    }
}

/// See [`Ground::somebody_waits`].
pub(super) async fn somebody_waits(pool: &PgPool) {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let waits = "select exists (select from pg_stat_activity
                                    where datname = current_database() and wait_event_type = 'Lock')";
        if sqlx::query_scalar(waits).fetch_one(pool).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody waits");
}

type WakeUpRow = (i16, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<i64>, i32);
type KeptRow = (String, Value, String, DateTime<Utc>, i32, bool, Option<String>);

#[async_trait]
impl Ground for OnPostgres {
    type Store = Postgres;

    async fn new() -> Self {
        let ground = Self { pool: database().await, losses: Losses::default(), proxy: OnceCell::new() };
        ground.execute("create table effects (saga_id uuid not null)").await;
        ground
    }

    fn store(&self) -> Postgres {
        Postgres::new(self.pool.clone())
    }

    async fn frail(&self) -> Postgres {
        let proxy = self.proxy.get_or_init(|| Proxy::before(&self.pool, self.losses.clone())).await;
        Postgres::new(proxy.pool.clone())
    }

    fn lose(&self, loss: Loss, times: usize) {
        self.losses.order(loss, times);
    }

    fn left_to_lose(&self) -> usize {
        self.losses.left()
    }

    async fn bring_along(&self, registry: &Arc<Registry>, documents: &[String]) {
        let documents: Vec<_> = documents.iter().map(|document| ("a test", document.as_str())).collect();
        Catalog::new(self.store(), Arc::clone(registry)).bring_along(&documents).await.unwrap();
    }

    async fn spoil_definition(&self, name: &str) {
        sqlx::query("update engine.definitions set document = document || '{\"fromTheFuture\": 1}' where name = $1")
            .bind(name)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    async fn refuse(&self, text: &str) {
        let check =
            format!("alter table engine.journal add constraint refused check (position('{text}' in entry::text) = 0)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(check)).execute(&self.pool).await.unwrap();
    }

    async fn end_leases(&self) {
        self.execute("update engine.ready set lease_until = '-infinity'").await;
    }

    async fn let_pass(&self, secs: i32) {
        for statement in [
            "update engine.ready set wake_at = wake_at - make_interval(secs => $1),
                                     lease_until = lease_until - make_interval(secs => $1)",
            "update engine.outbox set due_at = due_at - make_interval(secs => $1)",
        ] {
            sqlx::query(statement).bind(f64::from(secs)).execute(&self.pool).await.unwrap();
        }
    }

    async fn lose_wake_ups(&self) {
        self.execute("delete from engine.ready").await;
    }

    async fn somebody_waits(&self) {
        somebody_waits(&self.pool).await;
    }

    async fn wake_up(&self, saga: SagaId) -> Option<WakeUp> {
        let row: Option<WakeUpRow> = sqlx::query_as(
            "select priority, nullif(wake_at, 'infinity'), nullif(lease_until, '-infinity'), token, claims
             from engine.ready where saga_id = $1",
        )
        .bind(saga.0)
        .fetch_optional(&self.pool)
        .await
        .unwrap();
        row.map(|(priority, wake_at, lease_until, token, claims)| WakeUp {
            priority,
            wake_at,
            lease_until,
            token,
            claims,
        })
    }

    async fn open_case(&self, saga: SagaId) -> Option<String> {
        sqlx::query_scalar("select cause from engine.cases where saga_id = $1 and closed_at is null")
            .bind(saga.0)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }

    async fn messages(&self) -> Vec<Kept> {
        let rows: Vec<KeptRow> = sqlx::query_as(
            "select topic, payload, destination, due_at, attempts, state = 'dead', last_error
             from engine.outbox order by message_id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(topic, payload, destination, due_at, attempts, dead, last_error)| Kept {
                message: Message { topic, payload, destination: destination_named(&destination) },
                due_at,
                attempts,
                dead,
                last_error,
            })
            .collect()
    }

    async fn acts(&self, outcome: &str) -> usize {
        let count: i64 =
            sqlx::query_scalar("select count(*) from engine.acts where outcome = $1 and object like 'sag_%'")
                .bind(outcome)
                .fetch_one(&self.pool)
                .await
                .unwrap();
        usize::try_from(count).unwrap()
    }

    async fn violations(&self) -> Vec<String> {
        sqlx::query_scalar("select invariant || ' ' || subject || ': ' || detail from engine.violations")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    async fn have_effect(tx: &mut PgConnection, saga: SagaId) -> Stored<()> {
        sqlx::query("insert into effects (saga_id) values ($1)").bind(saga.0).execute(tx).await.map(drop)
    }

    async fn have_error(tx: &mut PgConnection) -> Stored<()> {
        sqlx::query("select 1 / 0").execute(tx).await.map(drop)
    }

    async fn effects(&self, saga: SagaId) -> usize {
        let count: i64 = sqlx::query_scalar("select count(*) from effects where saga_id = $1")
            .bind(saga.0)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        usize::try_from(count).unwrap()
    }
}

fn destination_named(name: &str) -> Destination {
    Destination::ALL.into_iter().find(|destination| destination.as_str() == name).unwrap()
}
