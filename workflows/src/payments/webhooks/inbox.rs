//! The inbox: each webhook once, with what became of it. Its row is written in the transaction that does what the
//! webhook asks for, so that there is never one without the other.

use super::{About, News, charges::Concerned, news::CAPTURED};
use chrono::{DateTime, Utc};
use orchestrator::{
    cases::{self, Matter, WEBHOOK_UNMATCHED},
    ids::Uuid,
};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// The charge that a webhook is about is not known here, or not yet.
pub(super) const UNKNOWN_CHARGE: &str = "unknown-charge";
/// Money was taken after the end of its saga, and nothing could be started that gives it back.
pub(super) const LATE_CAPTURE: &str = "late-capture";

/// A gateway says that money was not taken which it has taken.
pub(super) const CONTRADICTS_CAPTURE: &str = "contradicts-capture";

/// Money was taken a second time under one name of ours, as far as we have heard.
pub(super) const SECOND_CAPTURE: &str = "second-capture";

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

    /// Whether there may be more to do once its charge or its saga has moved.
    fn is_open(&self) -> bool {
        matches!(self, Self::Told | Self::Unmatched(UNKNOWN_CHARGE | LATE_CAPTURE | SECOND_CAPTURE))
    }

    /// Says so where nobody else would, and once.
    pub(super) fn tell(&self, news: &News) {
        if news.before.as_ref().is_some_and(|before| before.is(self)) {
            return;
        }
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

/// What had become of news that is taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before {
    outcome: String,
    reason: Option<String>,
}

impl Before {
    fn is(&self, outcome: &Outcome) -> bool {
        self.outcome == outcome.name() && self.reason.as_deref() == outcome.reason()
    }
}

/// Writes down what became of news; false when somebody else has.
pub(super) async fn write(tx: &mut PgConnection, news: &News, outcome: &Outcome) -> Result<bool, sqlx::Error> {
    let written = match &news.before {
        None => take_id(tx, news, outcome).await?,
        Some(before) => change(tx, news, before, outcome).await?,
    };
    let stays = news.before.as_ref().is_some_and(|before| before.is(outcome));
    if written && !stays {
        put_before_a_person(tx, news, outcome).await?;
    }
    Ok(written)
}

/// News that should have mattered to somebody is a case, until it does.
async fn put_before_a_person(tx: &mut PgConnection, news: &News, outcome: &Outcome) -> Result<(), sqlx::Error> {
    let subject = format!("{} {}", news.gateway, news.id);
    if news.before.is_some() {
        cases::close_in_tx(tx, WEBHOOK_UNMATCHED, &subject).await?;
    }
    let Outcome::Unmatched(reason) = outcome else { return Ok(()) };
    let matter = Matter {
        cause: WEBHOOK_UNMATCHED,
        subject,
        code: format!("{}: {reason}", news.kind),
        gateway: Some(news.gateway.clone()),
        message: format!("{} of {}", news.id, news.occurred_at),
        saga: None,
    };
    cases::open_in_tx(tx, &[matter]).await
}

/// Whether the gateway itself has told that it took money under its name and ours for this charge.
pub(super) async fn has_told(pool: &PgPool, gateway: &str, found: &Concerned) -> Result<bool, sqlx::Error> {
    let (theirs, ours) = (found.charge.reference.as_ref(), found.own_name.as_ref());
    sqlx::query_scalar!(
        r#"-- by indexes alone
           select exists (
               select from booking.webhook_inbox
               where gateway = $1 and kind = $2 and reference = $3 and detail ->> 'ownReference' = $4
                 and received_at >= (select created_at from booking.payments where payment_id = $5)
           ) as "told!""#,
        gateway,
        CAPTURED,
        theirs.map(|reference| reference.as_str()),
        ours.map(|reference| reference.as_str()),
        found.charge.payment_id.0
    )
    .fetch_one(pool)
    .await
}

/// Takes the webhook's id; false when somebody else has.
async fn take_id(tx: &mut PgConnection, news: &News, outcome: &Outcome) -> Result<bool, sqlx::Error> {
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

async fn change(tx: &mut PgConnection, news: &News, before: &Before, outcome: &Outcome) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update booking.webhook_inbox
         set outcome = $3, reason = $4, look_again_at = case when $5 then look_again_at end
         where gateway = $1 and webhook_id = $2 and outcome = $6 and reason is not distinct from $7",
        news.gateway,
        news.id,
        outcome.name(),
        outcome.reason(),
        outcome.is_open(),
        before.outcome,
        before.reason
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// News that was kept, as it is written down.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) gateway: String,
    pub(super) webhook_id: String,
    pub(super) reference: Option<String>,
    pub(super) order_id: Option<Uuid>,
    pub(super) detail: Value,
    pub(super) occurred_at: DateTime<Utc>,
    pub(super) before: Before,
}

/// Captures that are to be taken again now: those that no charge shows, soon at first, then ever more seldom. Nobody else
/// gets them before the next time. That of a charge which stays unknown is given up after a month.
pub(super) async fn due_again(pool: &PgPool, limit: i64) -> Result<Vec<Kept>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"-- by indexes alone
           with due as (
               select i.gateway, i.webhook_id, exists (
                   select from booking.payments p
                   where p.gateway = i.gateway and p.reference = i.reference and p.status in ('captured', 'refunded')
               ) as is_shown
               from booking.webhook_inbox i
               where i.kind = 'paymentCaptured' and i.outcome in ('told', 'unmatched') and i.look_again_at <= now()
               order by i.look_again_at
               limit $1
               for update of i skip locked
           )
           update booking.webhook_inbox i
           set look_again_at = case
               when due.is_shown or (i.outcome = 'unmatched' and i.received_at < now() - interval '30 days') then null
               else now() + least(greatest(now() - i.received_at, interval '5 seconds'), interval '1 hour')
           end
           from due
           where i.gateway = due.gateway and i.webhook_id = due.webhook_id
           returning i.gateway, i.webhook_id, i.reference, i.order_id, i.detail,
                     coalesce(i.occurred_at, i.received_at) as "occurred_at!", i.outcome as "outcome!", i.reason,
                     due.is_shown as "is_shown!""#,
        limit
    )
    .fetch_all(pool)
    .await?;
    let open = rows.into_iter().filter(|row| !row.is_shown);
    let kept = open.map(|row| Kept {
        gateway: row.gateway,
        webhook_id: row.webhook_id,
        reference: row.reference,
        order_id: row.order_id,
        detail: row.detail,
        occurred_at: row.occurred_at,
        before: Before { outcome: row.outcome, reason: row.reason },
    });
    Ok(kept.collect())
}

/// Forgets news that were received longer than `age` ago, at most `limit`; what is unmatched waits for a person.
///
/// # Errors
/// The database's.
pub async fn expire_news(pool: &PgPool, age: Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "-- by indexes alone
         delete from booking.webhook_inbox where (gateway, webhook_id) in (
             select gateway, webhook_id from booking.webhook_inbox
             where received_at < now() - make_interval(secs => $1) and outcome is distinct from 'unmatched'
             order by received_at limit $2)",
        age.as_secs_f64(),
        limit
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
