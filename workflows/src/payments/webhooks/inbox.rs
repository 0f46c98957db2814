//! The inbox: each webhook once, with what became of it. Its row is written in the transaction that does what the
//! webhook asks for, so that there is never one without the other.

use super::{About, News};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

/// What became of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The saga that it concerns has it.
    Told,
    /// It says nothing new.
    Known,
    /// A saga was started that gives back what was taken too late.
    Settling,
    /// It is written down, and a person's matter.
    Recorded,
    /// It is about nothing of ours.
    Ignored,
    /// It should have mattered to somebody, and does not. Why.
    Unmatched(&'static str),
    /// Somebody else has taken it at the same time.
    Repeated,
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Known => "known",
            Self::Settling => "settling",
            Self::Recorded => "recorded",
            Self::Ignored | Self::Repeated => "ignored",
            Self::Unmatched(_) => "unmatched",
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unmatched(reason) => Some(reason),
            _ => None,
        }
    }

    /// Says so where nobody else would.
    pub(super) fn tell(&self, news: &News) {
        let (gateway, kind) = (&news.gateway, news.kind);
        match self {
            Self::Unmatched(reason) => {
                metrics::counter!(
                    "showrunner_webhooks_unmatched_total", "gateway" => gateway.clone(), "reason" => *reason
                )
                .increment(1);
                tracing::warn!(
                    gateway.name = gateway,
                    webhook.id = news.id,
                    webhook.kind = kind,
                    reason,
                    "Webhook {} of {gateway} ({kind}) is kept, and nothing came of it: {reason}",
                    news.id
                );
            }
            Self::Recorded if matches!(news.about, About::Dispute(_)) => {
                metrics::counter!("showrunner_disputes_total", "gateway" => gateway.clone()).increment(1);
                tracing::warn!(
                    gateway.name = gateway,
                    webhook.id = news.id,
                    "{gateway} tells of a dispute (webhook {})",
                    news.id
                );
            }
            Self::Settling | Self::Recorded => {
                let outcome = self.name();
                tracing::warn!(
                    gateway.name = gateway,
                    webhook.id = news.id,
                    webhook.kind = kind,
                    outcome,
                    "Webhook {} of {gateway} ({kind}) came too late for its saga: {outcome}",
                    news.id
                );
            }
            Self::Told | Self::Known | Self::Ignored | Self::Repeated => {}
        }
    }
}

/// Whether the same news was taken before.
pub(super) async fn knows(pool: &PgPool, news: &News) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from booking.webhook_inbox where gateway = $1 and webhook_id = $2) as "known!""#,
        news.gateway,
        news.id
    )
    .fetch_one(pool)
    .await
}

/// Takes the webhook's id; false when somebody else has.
pub(super) async fn take_id(tx: &mut PgConnection, news: &News, outcome: &Outcome) -> Result<bool, sqlx::Error> {
    let detail: Value = news.detail();
    let taken = sqlx::query!(
        "insert into booking.webhook_inbox
             (gateway, webhook_id, kind, reference, order_id, outcome, reason, detail, occurred_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        news.gateway,
        news.id,
        news.kind,
        news.reference().map(|reference| reference.as_str()),
        news.order.map(|order| order.0),
        outcome.name(),
        outcome.reason(),
        detail,
        news.occurred_at
    )
    .execute(tx)
    .await?;
    Ok(taken.rows_affected() == 1)
}
