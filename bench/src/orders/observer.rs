//! Sees sagas finish, on a connection of its own: asks for the few that are under way, by their key.

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Between two looks at what is under way.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A saga, and who wants to know when it is seen to be finished.
type Watched = (Uuid, oneshot::Sender<Instant>);

/// See the module.
pub(super) struct Observer {
    watched: mpsc::UnboundedSender<Watched>,
    _looking: AbortOnDropHandle<anyhow::Result<()>>,
}

impl Observer {
    /// Over this database.
    pub(super) async fn start(url: &str) -> anyhow::Result<Self> {
        let connection = PgConnection::connect(url).await.context("connecting to observe")?;
        let (watched, under_way) = mpsc::unbounded_channel();
        Ok(Self { watched, _looking: AbortOnDropHandle::new(tokio::spawn(look(connection, under_way))) })
    }

    /// When a saga is seen to be finished.
    pub(super) async fn finished(&self, saga: Uuid) -> anyhow::Result<Instant> {
        let (told, seen) = oneshot::channel();
        self.watched.send((saga, told)).context("the observer has ended")?;
        seen.await.context("the observer has ended")
    }
}

async fn look(mut connection: PgConnection, mut under_way: mpsc::UnboundedReceiver<Watched>) -> anyhow::Result<()> {
    let mut open: HashMap<Uuid, oneshot::Sender<Instant>> = HashMap::new();
    loop {
        if open.is_empty() {
            let Some(watched) = under_way.recv().await else { return Ok(()) };
            open.extend([watched]);
        }
        open.extend(std::iter::from_fn(|| under_way.try_recv().ok()));
        let finished: Vec<Uuid> = sqlx::query_scalar(
            "select saga_id from engine.saga_states where saga_id = any($1) and finished_at is not null",
        )
        .bind(open.keys().copied().collect::<Vec<_>>())
        .fetch_all(&mut connection)
        .await?;
        let now = Instant::now();
        for told in finished.iter().filter_map(|saga| open.remove(saga)) {
            // who does not wait any more need not be told
            let _gone = told.send(now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
