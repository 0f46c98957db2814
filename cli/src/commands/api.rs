//! `showrunner api`

use std::sync::Arc;

use anyhow::Context;
use api::{ApiParts, ApiSettings, ApiState, LimitSettings};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use workflows::{
    access::AccessTokens,
    approvals::Asks,
    orders::{OrderWaits, Places},
    payments::Webhooks,
    refunds::Refunds,
};

use crate::{commands::migrate, config::Config, listening, measuring, output, stack::Stack, stopping, tls};

/// Serves the API until it is told to stop; then answers what it has begun.
pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let stopping = stopping::on_signals()?;
    let tls = tls::load(&config.security)?;
    let metrics = measuring::install()?;
    let stack = Stack::build(config).await?;
    let _measuring = measuring::keep(metrics.clone(), &stack);
    let _breakers = stack.keep_breakers();
    migrate::definitions(&stack.engine, config.worker.demo_actions).await?;
    let listener = listen(config)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    output::remark(&format!("serving {scheme}://{}", listener.local_addr()?));
    let state = state(&stack, config, Some(metrics), &stopping);
    api::serve(listener, tls, state, stopping).await.context("serving the API")
}

fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.http.listen;
    listening::listen(address).with_context(|| format!("listening on {address} (http.listen)"))
}

/// What the API's handlers use.
pub(crate) fn state(
    stack: &Stack,
    config: &Config,
    metrics: Option<PrometheusHandle>,
    draining: &CancellationToken,
) -> ApiState {
    let pool = stack.engine.pool().clone();
    ApiState::new(ApiParts {
        engine: stack.engine.clone(),
        holds: stack.holds.clone(),
        places: Places::new(stack.engine.clone(), stack.booking.order_hold()),
        waits: OrderWaits::new(pool.clone()),
        webhooks: Webhooks::new(stack.engine.clone(), Arc::clone(&stack.gateways)),
        refunds: Refunds::new(stack.engine.clone(), &stack.booking),
        asks: Asks::new(stack.engine.clone(), &stack.booking),
        gateways: Arc::clone(&stack.gateways),
        ticket_keys: stack.ticket_keys.clone(),
        audit_head: stack.audit_head.clone(),
        tokens: AccessTokens::new(pool),
        migrations: Some(&migrate::MIGRATIONS),
        metrics,
        draining: draining.clone(),
        settings: ApiSettings {
            limits: LimitSettings {
                user_per_minute: config.limits.user_per_minute,
                address_per_minute: config.limits.address_per_minute,
                trusted_per_minute: config.limits.trusted_per_minute,
            },
            settlement_missing_days: stack.booking.settlement_missing_days,
            ..ApiSettings::default()
        },
    })
}
