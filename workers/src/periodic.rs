//! Work that comes round, under apalis like everything else. With many processes each run is claimed by one.

use crate::queue::LocalQueue;
use apalis::prelude::Data;
use futures::future::BoxFuture;
use orchestrator::schedules::{self, Schedule};
use sqlx::PgPool;
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often we look whether something is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

type Work = Arc<dyn Fn() -> BoxFuture<'static, Result<(), anyhow::Error>> + Send + Sync>;

/// Something to be done again and again.
#[derive(Clone)]
pub struct Chore {
    /// When.
    pub schedule: Schedule,
    work: Work,
}

impl Chore {
    /// A chore that does `work` every `every`.
    pub fn new<F, Fut>(name: &'static str, every: Duration, work: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), anyhow::Error>> + Send + 'static,
    {
        Self { schedule: Schedule { name, every }, work: Arc::new(move || Box::pin(work())) }
    }
}

/// The one list of chores.
pub type Chores = Arc<[Chore]>;

/// Looks for runs that are due and claims them, until it is dropped.
pub(crate) async fn claim(pool: PgPool, chores: Chores, queue: LocalQueue<String>) {
    let all: Vec<_> = chores.iter().map(|chore| chore.schedule).collect();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match schedules::claim_due(&pool, &all).await {
            Ok(due) => due.into_iter().for_each(|name| queue.push(name)),
            Err(error) => tracing::warn!(error = %error, "Periodic work could not be claimed: {error}"),
        }
    }
}

/// The handler: one run of one chore. A run that fails is made good by the next one.
pub(crate) async fn run_chore(name: String, chores: Data<Chores>, pool: Data<PgPool>) -> Result<(), Infallible> {
    let Some(chore) = chores.iter().find(|chore| chore.schedule.name == name) else { return Ok(()) };
    let begun = Instant::now();
    let done = (chore.work)().await;
    let labels = [("chore", name.clone()), ("outcome", if done.is_ok() { "done" } else { "failed" }.to_owned())];
    metrics::histogram!("showrunner_chore_seconds", &labels).record(begun.elapsed());
    if let Err(error) = done {
        tracing::warn!(schedule.name = name, error = %error, "Periodic work `{name}` failed: {error:#}");
    }
    if let Err(error) = schedules::finished(&pool, &name).await {
        tracing::debug!(schedule.name = name, error = %error, "The end of `{name}` was not recorded: {error}");
    }
    Ok(())
}
