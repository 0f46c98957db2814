//! What this process measures: collected, described, and kept current for whoever asks.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    metric_names::{Kind, METRICS},
    stack::Stack,
};

/// How often the database is looked at, and what was collected is summed up.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Has metrics collected, once per process.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder().context("collecting metrics")?;
    for metric in METRICS {
        let help = match metric.labels {
            [] => metric.help.to_owned(),
            labels => format!("{} By {}.", metric.help, labels.join(", ")),
        };
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit(), help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit(), help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.unit(), help),
        }
    }
    Ok(handle)
}

/// Keeps gauges current until it is dropped, and what was collected small: also when nobody ever asks.
pub(crate) fn keep(collected: PrometheusHandle, stack: &Stack) -> AbortOnDropHandle<()> {
    let (engine, gateways) = (stack.engine.clone(), Arc::clone(&stack.gateways));
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            collected.run_upkeep();
            let looked = async {
                engine.measure().await?;
                workflows::measure(engine.pool(), &gateways).await
            };
            if let Err(error) = looked.await {
                tracing::warn!(error = %error, "Metrics are not current: {error}");
            }
        }
    }))
}
