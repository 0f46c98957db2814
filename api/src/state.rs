//! What every handler may use.

use crate::{
    audit::AuditChain,
    limits::{LimitSettings, Limits},
    machines::Health,
};
use metrics_exporter_prometheus::PrometheusHandle;
use orchestrator::Engine;
use sqlx::migrate::{Migrate, Migrator};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use workflows::{
    access::AccessTokens,
    approvals::Asks,
    audit_head::HeadFile,
    holds::Holds,
    orders::{OrderWaits, Places},
    payments::{Gateways, Webhooks},
    refunds::Refunds,
    tickets::TicketKeys,
};

/// Where sqlx keeps which migrations were run.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";
/// How long readiness waits for the database.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What an installation decides about the API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// How often one caller may ask.
    pub limits: LimitSettings,
    /// How many requests are answered at once; more are refused with 503.
    pub in_flight_max: usize,
    /// How many streams of events are open at once; more are refused with 503.
    pub streams_max: usize,
    /// After how many days what no settlement file has is missing.
    pub settlement_missing_days: u32,
    /// How long one may take. Longer than the longest `?wait=`.
    pub request_timeout: Duration,
    /// How long a new connection may take until its first request is there, save the body.
    pub first_request_within: Duration,
    /// How long an idle one may take until the next is. Longer than load balancers keep theirs, so that none sends
    /// into one that is just being closed.
    pub next_request_within: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            limits: LimitSettings::default(),
            in_flight_max: 4096,
            streams_max: 64,
            settlement_missing_days: 5,
            request_timeout: Duration::from_secs(60),
            first_request_within: Duration::from_secs(10),
            next_request_within: Duration::from_secs(75),
        }
    }
}

/// What an API is made of.
pub struct ApiParts {
    /// The durable engine.
    pub engine: Engine,
    /// Makes, changes and releases holds.
    pub holds: Holds,
    /// Places orders.
    pub places: Places,
    /// Tells who waits for an order.
    pub waits: OrderWaits,
    /// Takes gateways' news.
    pub webhooks: Webhooks,
    /// Takes requests for refunds.
    pub refunds: Refunds,
    /// Asks second persons.
    pub asks: Asks,
    /// Whom payments talk to.
    pub gateways: Arc<Gateways>,
    /// What signs tickets.
    pub ticket_keys: TicketKeys,
    /// Where the audit log's head is kept, where this process can read it.
    pub audit_head: Option<HeadFile>,
    /// Who calls.
    pub tokens: AccessTokens,
    /// The migrations that this binary brings; without them, readiness does not ask whether the schema is current.
    pub migrations: Option<&'static Migrator>,
    /// What `/metrics` tells; without it, nothing.
    pub metrics: Option<PrometheusHandle>,
    /// Cancelled when the process is to stop: who waits, is answered.
    pub draining: CancellationToken,
    /// What the installation decides.
    pub settings: ApiSettings,
}

/// What every handler may use. A clone is the same.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) engine: Engine,
    pub(crate) holds: Holds,
    pub(crate) places: Places,
    pub(crate) waits: OrderWaits,
    pub(crate) webhooks: Webhooks,
    pub(crate) refunds: Refunds,
    pub(crate) asks: Asks,
    pub(crate) gateways: Arc<Gateways>,
    pub(crate) ticket_keys: TicketKeys,
    pub(crate) audit_chain: Arc<AuditChain>,
    pub(crate) tokens: Arc<AccessTokens>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) settlement_missing_days: u32,
    pub(crate) migrations: Option<&'static Migrator>,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) draining: CancellationToken,
    pub(crate) request_timeout: Duration,
    pub(crate) first_request_within: Duration,
    pub(crate) next_request_within: Duration,
}

impl ApiState {
    /// Of these parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        Self {
            engine: parts.engine,
            holds: parts.holds,
            places: parts.places,
            waits: parts.waits,
            webhooks: parts.webhooks,
            refunds: parts.refunds,
            asks: parts.asks,
            gateways: parts.gateways,
            ticket_keys: parts.ticket_keys,
            audit_chain: Arc::new(AuditChain::new(parts.audit_head)),
            tokens: Arc::new(parts.tokens),
            limits: Arc::new(Limits::new(&parts.settings.limits)),
            in_flight: Arc::new(Semaphore::new(parts.settings.in_flight_max)),
            streams: Arc::new(Semaphore::new(parts.settings.streams_max)),
            settlement_missing_days: parts.settings.settlement_missing_days,
            migrations: parts.migrations,
            metrics: parts.metrics,
            draining: parts.draining,
            request_timeout: parts.settings.request_timeout,
            first_request_within: parts.settings.first_request_within,
            next_request_within: parts.settings.next_request_within,
        }
    }

    /// Whether this process can do its work.
    pub(crate) async fn readiness(&self) -> Health {
        let answered = tokio::time::timeout(READY_WITHIN, self.schema_is_current()).await;
        match answered {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Health::unavailable("the schema is not current: run `showrunner migrate`"),
            Ok(Err(_)) | Err(_) => return Health::unavailable("the database does not answer"),
        }
        if self.holds.cache().answers().await { Health::ok() } else { Health::degraded("Redis does not answer") }
    }

    /// Whether all migrations that this binary brings were run. More may have been, by a newer release.
    async fn schema_is_current(&self) -> Result<bool, sqlx::Error> {
        let mut connection = self.engine.pool().acquire().await?;
        let Some(migrations) = self.migrations else {
            sqlx::Connection::ping(&mut *connection).await?;
            return Ok(true);
        };
        let Ok(applied) = connection.list_applied_migrations(MIGRATIONS_TABLE).await else { return Ok(false) };
        Ok(migrations.iter().all(|wanted| applied.iter().any(|one| one.version == wanted.version)))
    }
}
