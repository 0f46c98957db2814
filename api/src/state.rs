//! What every handler may use.

use crate::limits::{LimitSettings, Limits};
use metrics_exporter_prometheus::PrometheusHandle;
use orchestrator::Engine;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use workflows::access::AccessTokens;

/// What an installation decides about the API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// How often one caller may ask.
    pub limits: LimitSettings,
    /// How many requests are answered at once; more are refused with 503.
    pub in_flight_max: usize,
    /// How long one may take. Longer than the longest `?wait=`.
    pub request_timeout: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self { limits: LimitSettings::default(), in_flight_max: 4096, request_timeout: Duration::from_secs(60) }
    }
}

/// What every handler may use. A clone is the same.
#[derive(Clone)]
pub struct ApiState {
    /// The durable engine.
    pub engine: Engine,
    pub(crate) settings: Arc<ApiSettings>,
    pub(crate) tokens: Arc<AccessTokens>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) metrics: Option<PrometheusHandle>,
    /// Cancelled when the process drains: who waits, answers now.
    pub(crate) draining: CancellationToken,
}
