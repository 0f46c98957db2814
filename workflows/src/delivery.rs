//! Where the outbox's messages go: one topic, one line.

use crate::{
    cases::{CASE_MAIL, CASE_WEBHOOK, Notified},
    mail::Mailer,
    seat_cache::SeatCache,
    seats::{SEATS_CHANGED, deliver_seats_changed},
    tickets::{TICKETS_MAIL, deliver_tickets},
};
use anyhow::Context;
use async_trait::async_trait;
use orchestrator::outbox::{self, Destination};
use serde_json::Value;
use sqlx::PgPool;

/// Delivers our messages.
#[derive(Clone)]
pub struct Deliver {
    /// The truth.
    pub pool: PgPool,
    /// What is told of it.
    pub cache: SeatCache,
    /// What sends mail. Without it, mail waits.
    pub mailer: Option<Mailer>,
    /// Who is told of cases.
    pub notified: Notified,
}

impl Deliver {
    fn mailer(&self) -> Result<&Mailer, anyhow::Error> {
        self.mailer.as_ref().context("no mail server is named here")
    }
}

#[async_trait]
impl outbox::Deliver for Deliver {
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error> {
        match topic {
            SEATS_CHANGED => deliver_seats_changed(&self.pool, &self.cache, payload).await,
            TICKETS_MAIL => deliver_tickets(&self.pool, self.mailer()?, payload).await,
            CASE_MAIL => self.notified.deliver_mail(self.mailer()?, payload).await,
            CASE_WEBHOOK => self.notified.deliver_webhook(payload).await,
            unknown => anyhow::bail!("nobody takes messages on the topic `{unknown}`"),
        }
    }

    fn reaches(&self, destination: Destination) -> bool {
        match destination {
            Destination::Inside => true,
            Destination::Outside => self.mailer.is_some(),
            Destination::Operators => self.notified.webhook.is_some(),
        }
    }
}
