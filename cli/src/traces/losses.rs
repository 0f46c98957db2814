//! Spans that are not exported are counted: the SDK's queue drops what it has no room for without telling. So we bound what
//! waits by ourselves, before that queue, and learn from the exporter what has gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

/// How many spans may wait for the exporter, those included that it has in its hands.
const WAITING_SPANS_MAX: usize = 2048;

/// Exports in batches, from a thread of its own.
pub(super) fn counted(exporter: impl SpanExporter + 'static) -> impl SpanProcessor {
    let waiting = Waiting::default();
    let exporter = Counted { exporter, waiting: waiting.clone() };
    // its queue cannot be fuller than what waits
    let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING_SPANS_MAX).build();
    Bounded { waiting, processor: BatchSpanProcessor::builder(exporter).with_batch_config(batches).build() }
}

/// How many wait.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// Whether there is room for one more, which it takes.
    fn enter(&self) -> bool {
        let one_more = |waiting| (waiting < WAITING_SPANS_MAX).then_some(waiting + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    fn leave(&self, spans: usize) {
        self.0.fetch_sub(spans, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct Bounded<P> {
    waiting: Waiting,
    processor: P,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.enter() {
            self.processor.on_end(span);
        } else {
            metrics::counter!("showrunner_spans_lost_total", "why" => "full").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    waiting: Waiting,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        self.waiting.leave(spans);
        if exported.is_err() {
            let lost = u64::try_from(spans).unwrap_or(u64::MAX);
            metrics::counter!("showrunner_spans_lost_total", "why" => "untaken").increment(lost);
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use metrics_exporter_prometheus::PrometheusBuilder;
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::{error::OTelSdkError, trace::SdkTracerProvider};
    use std::sync::Mutex;

    use super::*;

    /// Answers, and refuses, only when it is told to.
    #[derive(Debug)]
    struct Hangs {
        asked: Sender<usize>,
        let_go: Mutex<Receiver<()>>,
    }

    impl SpanExporter for Hangs {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let _ = self.asked.send(batch.len());
            let _ = self.let_go.lock().unwrap().recv();
            Err(OTelSdkError::InternalFailure("refused".to_owned()))
        }
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted_and_holds_nobody_up() {
        let (asked, being_asked) = channel();
        let (let_go, going) = channel();
        let processor = counted(Hangs { asked, let_go: Mutex::new(going) });
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("test");
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            for _ in 0..WAITING_SPANS_MAX + 7 {
                drop(tracer.start("span"));
            }
        });
        let told = recorder.handle().render();
        assert!(told.contains("showrunner_spans_lost_total{why=\"full\"} 7\n"), "{told}");
        // what waits goes, though it is refused, and there is room again
        drop(let_go);
        let mut gone = 0;
        while gone < WAITING_SPANS_MAX {
            let _ = provider.force_flush();
            gone += being_asked.recv().unwrap();
        }
        metrics::with_local_recorder(&recorder, || drop(tracer.start("span")));
        assert!(recorder.handle().render().contains("why=\"full\"} 7\n"));
    }
}
