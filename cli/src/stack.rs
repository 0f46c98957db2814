//! Puts the crates together as a configuration says.

mod audit;
mod cases;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use orchestrator::{
    Engine, EngineSettings, db,
    history::{KeptWeek, OldHistory},
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use tokio_util::task::AbortOnDropHandle;
use workers::{Chore, Chores, WorkerSettings};
use workflows::{
    approvals,
    audit_head::HeadFile,
    batches,
    breakers::BreakerSettings,
    delivery::Deliver,
    gateways::GatewaySettings,
    holds::{self, Holds},
    ledger,
    mail::Mailer,
    orders,
    payments::{self, Gateways, Webhooks},
    projection::BookingProjection,
    redis_link::RedisLink,
    registry::{self, Needs},
    seat_cache::SeatCache,
    seats,
    settings::BookingSettings,
    settlements,
    tickets::TicketKeys,
};

use crate::config::{Breaker, Config, Gateway, Mail, Protocol};
use crate::traces::traces;

use cases::Asking;

/// How many connections one process holds at most.
const CONNECTIONS_MAX: u32 = 32;
/// How long start keys and idempotency keys are kept.
const KEYS_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long webhooks are known for repeats: longer than any gateway sends them again.
const WEBHOOKS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// How long plans that were not begun are kept.
const PLANS_KEPT: Duration = Duration::from_secs(86_400);
/// How long messages that nobody could deliver are kept.
const MESSAGES_KEPT: Duration = Duration::from_secs(400 * 86_400);
/// How long an act waits for its seal: chores are looked for as often.
const SEALED_EVERY: Duration = Duration::from_millis(500);
/// How many rows one run of a chore takes.
const ROWS_PER_RUN: i64 = 10_000;
/// How many holds one run of the sweeper ends.
const HOLDS_PER_RUN: i64 = 1_000;
/// How many captures one run takes again.
const CAPTURES_PER_RUN: i64 = 1_000;

/// Everything that api and workers stand on.
#[derive(Clone)]
pub(crate) struct Stack {
    /// The durable engine.
    pub(crate) engine: Engine,
    /// Makes, changes and releases holds.
    pub(crate) holds: Holds,
    /// Whom payments talk to.
    pub(crate) gateways: Arc<Gateways>,
    /// What signs tickets.
    pub(crate) ticket_keys: TicketKeys,
    /// Where the audit log's head is kept, where it is.
    pub(crate) audit_head: Option<HeadFile>,
    /// What sends mail; without it, mail waits.
    mailer: Option<Mailer>,
    /// When a person is asked, and who is told.
    asking: Asking,
    /// What the installation decides about selling.
    pub(crate) booking: BookingSettings,
    /// How long finished sagas are kept.
    pub(crate) retention_days: i32,
}

/// Connects to the database that the configuration names, as processes do.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<PgPool> {
    db::connect_as_process(database_url(config)?, CONNECTIONS_MAX).await.with_context(|| {
        format!(
            "connecting to the database (DATABASE_URL) as {0}; `showrunner migrate` makes that role, and its owner or an \
             administrator gives it to the login: grant {0} to LOGIN",
            db::PROCESS_ROLE
        )
    })
}

/// Connects to the database that the configuration names, as the login itself: for whom the schema belongs to.
pub(crate) async fn connect_as_owner(config: &Config) -> anyhow::Result<PgPool> {
    db::connect(database_url(config)?, 2).await.context("connecting to the database (DATABASE_URL)")
}

fn database_url(config: &Config) -> anyhow::Result<&str> {
    config.servers.database_url.as_ref().map(ExposeSecret::expose_secret).context("DATABASE_URL is not set")
}

impl Stack {
    /// Puts everything together. The database must have the schema.
    pub(crate) async fn build(config: &Config) -> anyhow::Result<Self> {
        let pool = connect(config).await?;
        let booking = booking(config);
        booking.check()?;
        let redis = match &config.servers.redis_url {
            Some(url) => RedisLink::new(url.expose_secret()).context("REDIS_URL")?,
            None => RedisLink::absent(),
        };
        let gateways = Arc::new(Gateways::build(&config.gateways.iter().map(gateway).collect::<Vec<_>>(), &redis)?);
        let ticket_keys = match &config.security.ticket_key_file {
            Some(file) => TicketKeys::load(file)?,
            None => TicketKeys::development(),
        };
        let audit_head = config.security.audit_head_file.as_ref().map(|file| HeadFile::new(file, ticket_keys.clone()));
        let mailer = mailer(&config.mail)?;
        let asking = Asking::read(&config.cases)?;
        let registry = registry::registry(&Needs {
            gateways: Arc::clone(&gateways),
            ticket_keys: ticket_keys.clone(),
            settings: booking.clone(),
            demo_actions: config.worker.demo_actions,
        })?;
        let settings = EngineSettings {
            lease_secs: i32::try_from(config.worker.lease_secs).context("worker.lease_secs is too long")?,
            traces: traces(),
            ..EngineSettings::default()
        };
        let engine = Engine::new(settings, pool.clone(), Arc::new(registry), Arc::new(BookingProjection));
        let holds = Holds::new(pool, SeatCache::on(redis), booking.hold_ttl());
        let retention_days =
            i32::try_from(config.worker.retention_days).context("worker.retention_days is too long")?;
        Ok(Self { engine, holds, gateways, ticket_keys, audit_head, mailer, asking, booking, retention_days })
    }

    /// Keeps this process's breakers the same as everybody's, until it is dropped.
    pub(crate) fn keep_breakers(&self) -> AbortOnDropHandle<()> {
        let (gateways, pool) = (Arc::clone(&self.gateways), self.engine.pool().clone());
        AbortOnDropHandle::new(tokio::spawn(async move { gateways.keep_breakers(&pool).await }))
    }

    /// Keeps the audit log's head, where it is to be kept, until it is dropped.
    pub(crate) fn keep_audit_head(&self) -> Option<AbortOnDropHandle<()>> {
        let (file, engine) = (self.audit_head.clone()?, self.engine.clone());
        Some(AbortOnDropHandle::new(tokio::spawn(async move { audit::keep_head(&file, &engine).await })))
    }

    /// What delivers the outbox's messages.
    pub(crate) fn deliver(&self) -> Arc<Deliver> {
        Arc::new(Deliver {
            pool: self.engine.pool().clone(),
            cache: self.holds.cache().clone(),
            mailer: self.mailer.clone(),
            notified: self.asking.notified.clone(),
        })
    }

    /// The one list of periodic work.
    pub(crate) fn chores(&self) -> Chores {
        let engine = |every_secs, name, run: fn(Engine) -> futures::future::BoxFuture<'static, anyhow::Result<()>>| {
            let engine = self.engine.clone();
            Chore::new(name, Duration::from_secs(every_secs), move || run(engine.clone()))
        };
        let cache = self.holds.cache().clone();
        let pool = self.engine.pool().clone();
        let webhooks = Webhooks::new(self.engine.clone(), Arc::clone(&self.gateways));
        let matcher = (pool.clone(), Arc::clone(&self.gateways));
        let (keeper, retention_days) = (self.engine.clone(), self.retention_days);
        let sealer = self.engine.clone();
        let mut chores = vec![
            engine(5, "sweep-sagas", |engine| Box::pin(sweep(engine))),
            engine(1, "sweep-holds", |engine| {
                Box::pin(async move { Ok(holds::sweep_expired(engine.pool(), HOLDS_PER_RUN).await.map(drop)?) })
            }),
            engine(3_600, "make-partitions", |engine| Box::pin(make_partitions(engine))),
            Chore::new("drop-old-history", Duration::from_secs(3_600), move || {
                drop_old_history(keeper.clone(), retention_days)
            }),
            engine(86_400, "analyze-history", |engine| Box::pin(async move { Ok(engine.analyze_history().await?) })),
            engine(600, "expire-start-keys", |engine| {
                Box::pin(async move {
                    Ok(orchestrator::start::expire_keys(engine.pool(), KEYS_KEPT, ROWS_PER_RUN).await.map(drop)?)
                })
            }),
            engine(600, "expire-idempotency-keys", |engine| {
                Box::pin(async move { Ok(orders::expire_keys(engine.pool(), KEYS_KEPT).await.map(drop)?) })
            }),
            engine(3_600, "expire-messages", |engine| {
                Box::pin(async move {
                    Ok(orchestrator::outbox::expire(engine.pool(), MESSAGES_KEPT, ROWS_PER_RUN).await.map(drop)?)
                })
            }),
            engine(600, "expire-webhooks", |engine| {
                Box::pin(async move {
                    Ok(payments::expire_news(engine.pool(), WEBHOOKS_KEPT, ROWS_PER_RUN).await.map(drop)?)
                })
            }),
            Chore::new("seal-acts", SEALED_EVERY, move || {
                let engine = sealer.clone();
                async move { Ok(engine.seal_acts().await.map(drop)?) }
            }),
            engine(1, "carry-out-batches", |engine| Box::pin(async move { Ok(batches::carry_out(&engine).await?) })),
            engine(60, "expire-approvals", |engine| {
                Box::pin(async move { Ok(approvals::expire(&engine).await.map(drop)?) })
            }),
            engine(3_600, "expire-plans", |engine| {
                Box::pin(async move { Ok(batches::expire_plans(engine.pool(), PLANS_KEPT).await.map(drop)?) })
            }),
            engine(10, "roll-up-ledger", |engine| Box::pin(async move { Ok(ledger::roll_up(engine.pool()).await?) })),
            Chore::new("take-captures-again", Duration::from_secs(2), move || {
                let webhooks = webhooks.clone();
                async move { Ok(webhooks.take_again(CAPTURES_PER_RUN).await?) }
            }),
            Chore::new("match-settlements-again", Duration::from_secs(10), move || {
                let (pool, gateways) = (matcher.0.clone(), Arc::clone(&matcher.1));
                async move { Ok(settlements::match_again(&pool, &gateways).await.map(drop)?) }
            }),
            Chore::new("warm-seat-cache", Duration::from_secs(2), move || {
                let (pool, cache) = (pool.clone(), cache.clone());
                async move { warm(&pool, &cache).await }
            }),
        ];
        chores.extend(self.asking.chores(&self.engine));
        Arc::from(chores)
    }
}

/// A saga that nobody looked after is a mistake of ours: mended, and said.
async fn sweep(engine: Engine) -> anyhow::Result<()> {
    let found = engine.sweep().await?;
    if found > 0 {
        tracing::error!(sagas = found, "{found} sagas had lost their wake-up and have it again");
    }
    Ok(())
}

/// Without its partition no saga can be started: said long before that happens.
async fn make_partitions(engine: Engine) -> anyhow::Result<()> {
    let missing = engine.make_partitions().await?;
    if missing > 0 {
        tracing::error!(days.missing = missing, "The history has no partition for {missing} of the days to come");
    }
    Ok(())
}

async fn drop_old_history(engine: Engine, retention_days: i32) -> anyhow::Result<()> {
    let OldHistory { dropped, kept, busy } = engine.drop_old_history(retention_days).await?;
    if dropped > 0 {
        tracing::info!(weeks.dropped = dropped, "{dropped} weeks of history were older than the retention");
    }
    for KeptWeek { began_at, saga_id, why } in kept {
        tracing::warn!(saga.id = %saga_id, "The week of {began_at} is kept beyond the retention: {saga_id} {why}");
    }
    if busy {
        tracing::info!("Old history is in use and is dropped later");
    }
    Ok(())
}

async fn warm(pool: &PgPool, cache: &SeatCache) -> anyhow::Result<()> {
    if cache.is_absent() {
        return Ok(());
    }
    // Redis being away is no failure of ours; readiness says so
    match seats::warm_if_cold(pool, cache).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::debug!(error = %error, "Redis could not be warmed: {error}");
            Ok(())
        }
    }
}

/// What `workers::run` wants to know.
pub(crate) fn worker_settings(config: &Config) -> anyhow::Result<WorkerSettings> {
    Ok(WorkerSettings {
        concurrency: usize::try_from(config.worker.concurrency)?,
        lease: Duration::from_secs(config.worker.lease_secs.into()),
        drain: Duration::from_secs(config.worker.drain_secs.into()),
    })
}

fn mailer(mail: &Mail) -> anyhow::Result<Option<Mailer>> {
    let url = mail.smtp_url.expose_secret();
    if url.is_empty() {
        return Ok(None);
    }
    Mailer::new(url, &mail.from).map(Some).context("mail.smtp_url and mail.from")
}

fn booking(config: &Config) -> BookingSettings {
    let from = &config.booking;
    BookingSettings {
        hold_ttl_secs: from.hold_ttl_secs,
        order_hold_secs: from.order_hold_secs,
        refund_approval_above: from.refund_approval_above,
        batch_approval_above: from.batch_approval_above,
        approval_expires_secs: from.approval_expires_secs,
        settlement_missing_days: from.settlement_missing_days,
    }
}

#[expect(clippy::float_arithmetic, reason = "a share between 0 and 1 becomes a whole number here, and is none again")]
fn breaker(from: &Breaker) -> BreakerSettings {
    BreakerSettings {
        failure_permille: (from.failure_rate * 1_000.0).ceil() as u32,
        window_secs: from.window_secs,
        minimum_calls: from.minimum_calls,
        open_secs: from.open_secs,
    }
}

fn gateway(from: &Gateway) -> GatewaySettings {
    let set = |secret: &SecretString| (!secret.expose_secret().is_empty()).then(|| secret.clone());
    GatewaySettings {
        name: from.name.clone(),
        protocol: match from.protocol {
            Protocol::Stripe => "stripe",
            Protocol::Adyen => "adyen",
        }
        .to_owned(),
        base_url: from.base_url.clone(),
        api_key: from.api_key.clone(),
        webhook_secret: from.webhook_secret.clone(),
        webhook_secret_previous: set(&from.webhook_secret_previous),
        return_url: from.return_url.clone(),
        timeout_ms: from.timeout_ms,
        late_window_secs: from.late_window_secs,
        breaker: breaker(&from.breaker),
        merchant_account: (!from.merchant_account.is_empty()).then(|| from.merchant_account.clone()),
    }
}
