//! Five sequential commits: what a saga of four steps costs in time when nothing but the disk is waited for.

use super::Reference;
use crate::latency::STARTS_PER_SECOND;
use std::time::{Duration, Instant};

/// Commits five times in a row, again and again at the pace at which sagas are started, and gives each five's time in
/// milliseconds.
pub(super) async fn five(of: &Reference<'_>, time: Duration) -> anyhow::Result<Vec<f64>> {
    let mut connection = of.empty().await?;
    let mut samples = Vec::new();
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / STARTS_PER_SECOND);
    while began.elapsed() < time {
        pace.tick().await;
        let at = Instant::now();
        for _ in 0..5 {
            sqlx::query("insert into commits (payload) values ($1)").bind(&of.entry).execute(&mut connection).await?;
        }
        samples.push(at.elapsed().as_secs_f64() * 1_000.0);
    }
    // the first prepares the statement
    samples.remove(0);
    Ok(samples)
}
