//! A trace goes from the request through the saga's steps in another process to the calls of gateways, and whoever takes the
//! spans holds nothing up.

use super::{super::client::Api, gateways::STRIPE, world::World};
use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value as Kind},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use reqwest::header::{HeaderMap, HeaderValue};
use std::{
    collections::BTreeSet,
    future::pending,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

type Spans = Arc<Mutex<Vec<Span>>>;

/// Takes spans, and answers or not.
struct Collector {
    endpoint: String,
    spans: Spans,
}

impl Collector {
    async fn start(answers: bool) -> Self {
        let spans = Spans::default();
        let take = move |State(spans): State<Spans>, body: Bytes| async move {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
            if !answers {
                pending::<()>().await;
            }
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        // ends with the test's runtime
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, spans }
    }

    fn variables(&self) -> [(&str, &str); 1] {
        [("SHOWRUNNER_TELEMETRY__OTLP_ENDPOINT", &self.endpoint)]
    }

    /// The spans of the caller's trace with this name.
    fn named(&self, name: &str) -> Vec<Span> {
        let of_trace = |span: &&Span| hex(&span.trace_id) == TRACE && span.name == name;
        self.spans.lock().unwrap().iter().filter(of_trace).cloned().collect()
    }

    /// The one that there is.
    #[track_caller]
    fn one(&self, name: &str) -> Span {
        let named = self.named(name);
        assert_eq!(named.len(), 1, "{name}: {:?}", self.names());
        named.into_iter().next().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let told = |span: &Span| format!("{} {}", hex(&span.trace_id), span.name);
        self.spans.lock().unwrap().iter().map(told).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute, as text.
fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute: &&KeyValue| attribute.key == key)?;
    let AnyValue { value } = found.value.clone()?;
    Some(match value? {
        Kind::StringValue(text) => text,
        Kind::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// The same client in a trace of its own.
fn traced(api: &Api) -> Api {
    let traceparent = HeaderValue::from_str(&format!("00-{TRACE}-{CALLER}-01")).unwrap();
    let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), traceparent)]);
    Api { http: reqwest::Client::builder().default_headers(headers).build().unwrap(), ..api.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_one_trace_from_its_request_to_the_gateway_and_back() {
    let world = World::with_gateways([STRIPE, STRIPE]).await;
    let collector = Collector::start(true).await;
    let (mut server, api) = world.api(&collector.variables()).await;
    let mut worker = world.worker("worker", &collector.variables()).await;
    let event = api.event(10).await;
    let buyer = traced(&api);
    let placed = buyer.order(&event, "ann").await;
    api.confirmed(&placed).await;
    buyer.cancel(&placed).await;
    api.order_is(&placed, "cancelled").await;
    world.is_sound(&api).await;
    // what is left is exported before a process ends
    for program in [&mut server, &mut worker] {
        program.terminate();
        assert!(program.ended().await.success());
    }

    let request = collector.one("POST /orders");
    assert_eq!((hex(&request.parent_span_id).as_str(), request.kind()), (CALLER, SpanKind::Server));
    assert_eq!(attribute(&request, "http.status").as_deref(), Some("202"));
    let hold = collector.one("hold");
    let pay = collector.one("pay");
    for (turn, step) in [(&hold, "hold"), (&pay, "pay")] {
        assert_eq!(turn.parent_span_id, request.span_id, "{step}");
        assert_eq!(attribute(turn, "saga.id").as_deref(), Some(placed.saga.as_str()));
        assert_eq!(attribute(turn, "step.name").as_deref(), Some(step));
    }
    assert_eq!(attribute(&pay, "step.outcome").as_deref(), Some("done"));
    let charge = collector.one("charge at primary");
    assert_eq!((&charge.parent_span_id, charge.kind()), (&pay.span_id, SpanKind::Client));
    assert_eq!(attribute(&charge, "gateway.name").as_deref(), Some("primary"));
    // the saga that gives the money back is started by another request of the same trace
    let cancel = collector.one("POST /orders/{id}/cancel");
    let refund = collector.one("refund at primary");
    let turns = collector.spans.lock().unwrap();
    let submit = turns.iter().find(|span| span.span_id == refund.parent_span_id).unwrap();
    assert_eq!(submit.parent_span_id, cancel.span_id);
    for span in turns.iter() {
        let keys: BTreeSet<_> = span.attributes.iter().map(|attribute| &attribute.key).collect();
        assert_eq!(keys.len(), span.attributes.len(), "said twice: {span:?}");
    }
    let told = format!("{turns:?}");
    for kept_back in ["pm_card_visa", "ann@", "srt_", "sk_test"] {
        assert!(!told.contains(kept_back), "{kept_back} is exported");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_nothing_up() {
    let world = World::with_gateways([STRIPE, STRIPE]).await;
    let collector = Collector::start(false).await;
    let (mut server, api) = world.api(&collector.variables()).await;
    let mut worker = world.worker("worker", &collector.variables()).await;
    let event = api.event(10).await;
    for buyer in ["ann", "bob", "cid"] {
        let placed = traced(&api).order(&event, buyer).await;
        api.confirmed(&placed).await;
    }
    world.is_sound(&api).await;
    for program in [&mut server, &mut worker] {
        program.terminate();
        assert!(program.ended().await.success());
    }
    assert!(!collector.names().is_empty(), "it was asked");
}
