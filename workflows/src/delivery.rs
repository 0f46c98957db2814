//! Where the outbox's messages go: one topic, one line.

use crate::{
    seat_cache::SeatCache,
    seats::{SEATS_CHANGED, deliver_seats_changed},
};
use async_trait::async_trait;
use orchestrator::outbox;
use serde_json::Value;
use sqlx::PgPool;

/// Delivers our messages.
#[derive(Clone)]
pub struct Deliver {
    /// The truth.
    pub pool: PgPool,
    /// What is told of it.
    pub cache: SeatCache,
}

#[async_trait]
impl outbox::Deliver for Deliver {
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error> {
        match topic {
            SEATS_CHANGED => deliver_seats_changed(&self.pool, &self.cache, payload).await,
            unknown => anyhow::bail!("nobody takes messages on the topic `{unknown}`"),
        }
    }
}
