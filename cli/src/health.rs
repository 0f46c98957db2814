//! A worker's health and metrics, where it listens for them.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Serves `/healthz`, `/readyz` and `/metrics`.
pub(crate) async fn serve(
    address: SocketAddr,
    pool: PgPool,
    metrics: PrometheusHandle,
    stopping: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let ready = move || async move {
        let answered = orchestrator::db::answers(&pool).await;
        if answered {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
        }
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || async move { metrics.render() }));
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    Ok(tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(error = %error, "The worker's health server has ended: {error}");
        }
    }))
}
