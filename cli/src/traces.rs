//! OpenTelemetry traces, off unless `telemetry.otlp_endpoint` says where they go. What is exported waits in a bounded queue
//! for a thread of its own, so that a collector that is slow or away costs spans and nothing else.

mod losses;

use std::{collections::HashMap, time::Duration};

use anyhow::Context;
use opentelemetry::{
    propagation::TextMapPropagator,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use orchestrator::trace::Traces;
use reqwest::Url;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, registry::LookupSpan};

/// How long one export may take.
const EXPORT_WITHIN: Duration = Duration::from_secs(5);
/// How long the last spans may take when the process ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// Where OTLP over HTTP takes traces.
const PATH: &str = "/v1/traces";
/// The header, and what is kept of it.
const TRACEPARENT: &str = "traceparent";

/// Exports spans until it is dropped; then what is left, within its time.
pub(crate) struct Exporting(SdkTracerProvider);

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_WITHIN) {
            tracing::warn!(error = %error, "The last spans were not exported: {error}");
        }
    }
}

/// Exports to a collector.
pub(crate) fn export(endpoint: &str) -> anyhow::Result<Exporting> {
    let mut url: Url = endpoint.parse().context("telemetry.otlp_endpoint is not a URL")?;
    if url.path() == "/" {
        url.set_path(PATH);
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(url.as_str())
        .with_timeout(EXPORT_WITHIN)
        .build()
        .context("telemetry.otlp_endpoint")?;
    let resource = Resource::builder().with_service_name("showrunner").build();
    Ok(Exporting(
        SdkTracerProvider::builder().with_span_processor(losses::counted(exporter)).with_resource(resource).build(),
    ))
}

impl Exporting {
    /// What turns spans into OpenTelemetry's.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("showrunner"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
    }
}

/// How traces go along with sagas. Where nothing is exported there are none.
pub(crate) fn traces() -> Traces {
    let current = || {
        let context = tracing::Span::current().context();
        if !context.span().span_context().is_valid() {
            return None;
        }
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        carrier.remove(TRACEPARENT)
    };
    let follow = |span: &tracing::Span, traceparent: &str| {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
        let parent = TraceContextPropagator::new().extract(&carrier);
        if parent.span().span_context().is_valid() {
            // it cannot be set where nothing is exported
            let _ = span.set_parent(parent);
        }
    };
    Traces::new(current, follow)
}
