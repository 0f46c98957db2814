//! Every metric that there is: the one list of their names. What is measured names its metric where it measures; a
//! test (`cli/tests/cli/metrics.rs`) compares this list with all that is measured, with `dashboards/grafana/` and with
//! `docs/metrics.md`.

use metrics::Unit;

/// A metric as `/metrics` tells it.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

impl Metric {
    /// What it is measured in, which its name says as well.
    pub(crate) fn unit(&self) -> Unit {
        if self.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count }
    }
}

/// What kind of number it is.
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often what was measured was at most each of these.
    Histogram(&'static [f64]),
}

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const ITEMS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    buckets: &'static [f64],
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), labels, help }
}

/// All of them. Gauges stand in the database and every process says the same: take the greatest, not the sum
/// (connections are each process's own).
pub(crate) const METRICS: &[Metric] = &[
    // the API
    counter("showrunner_http_requests_total", &["method", "route", "status"], "Requests that were answered."),
    histogram("showrunner_http_request_seconds", SECONDS, &["method", "route"], "How long answers took."),
    counter("showrunner_http_requests_shed_total", &[], "Requests refused because too many were in flight."),
    // the engine
    histogram("showrunner_commit_batch_items", ITEMS, &["work"], "Moves, starts or orders of one commit."),
    histogram("showrunner_commit_seconds", SECONDS, &["work"], "How long one commit took until it was durable."),
    counter("showrunner_commit_failures_total", &["work"], "Commits that failed: tried again, split, or given up."),
    gauge("showrunner_sagas", &["definition", "state"], "Sagas that are not finished."),
    counter("showrunner_sagas_finished_total", &["definition", "state"], "Sagas that workers have brought to an end."),
    gauge("showrunner_cases_open", &[], "Sagas and other matters that are in open cases."),
    gauge("showrunner_case_oldest_seconds", &[], "How long the oldest of them has waited for a person."),
    gauge("showrunner_wake_ups_due", &[], "Sagas that a worker could claim now."),
    gauge("showrunner_wake_up_oldest_seconds", &[], "How long the first of them has been due."),
    gauge("showrunner_outbox_messages", &["state"], "Messages that wait to be delivered, or could not be."),
    gauge("showrunner_act_unsealed_oldest_seconds", &[], "How long the oldest act has waited for its seal."),
    gauge("showrunner_audit_chain_broken", &[], "1 where the audit log does not go on from the head that was kept."),
    gauge("showrunner_database_connections", &["state"], "Connections of this process to the database."),
    gauge("showrunner_history_days_missing", &[], "Days of the coming two weeks without a partition. Act when not 0."),
    counter("showrunner_history_weeks_kept_total", &[], "Weeks found older than the retention and still needed."),
    counter("showrunner_history_weeks_dropped_total", &[], "Weeks of history that were dropped."),
    // workers
    counter("showrunner_claims_total", &[], "Sagas that were claimed."),
    counter("showrunner_claims_superseded_total", &[], "Claims whose lease was lost before their move was written."),
    histogram("showrunner_turn_seconds", SECONDS, &["definition", "step"], "How long attempts of steps took."),
    histogram("showrunner_chore_seconds", SECONDS, &["chore", "outcome"], "How long runs of periodic work took."),
    // the business
    histogram(
        "showrunner_gateway_call_seconds",
        SECONDS,
        &["gateway", "operation", "outcome"],
        "How long calls to gateways took, by what came of them.",
    ),
    counter(
        "showrunner_breaker_moves_total",
        &["gateway", "operation", "to"],
        "Moves of breakers, by what they are now.",
    ),
    gauge(
        "showrunner_breaker_open",
        &["gateway", "operation"],
        "1 while the breaker keeps calls away, as this process knows.",
    ),
    gauge("showrunner_sagas_parked", &["gateway", "operation"], "Sagas that wait behind a breaker."),
    counter(
        "showrunner_gateway_calls_held_back_total",
        &["gateway", "operation", "why"],
        "Calls that were not made: behind a breaker, or beyond the retry budget.",
    ),
    counter("showrunner_webhooks_total", &["gateway", "outcome"], "Webhooks, by whether they could be believed."),
    counter(
        "showrunner_webhooks_unmatched_total",
        &["gateway", "reason"],
        "Webhooks that should have mattered to somebody here and did not. Look at booking.webhook_inbox.",
    ),
    counter("showrunner_disputes_total", &["gateway"], "News of disputes that was written down."),
    counter("showrunner_reserves_total", &["outcome"], "Attempts to hold seats."),
    gauge("showrunner_holds", &["state"], "Holds that last: without an order, and with one."),
    gauge("showrunner_orders", &["status"], "Orders that are not settled."),
    gauge("showrunner_refunds", &["state"], "Refunds that are not over."),
    gauge("showrunner_refund_oldest_seconds", &["state"], "How long ago the first of them was asked for."),
    counter("showrunner_seat_cache_calls_total", &["outcome"], "Calls to Redis; away: not asked for a moment."),
    counter(
        "showrunner_spans_lost_total",
        &["why"],
        "Spans that were not exported: too many waited (full), or the collector did not take them (untaken).",
    ),
];
