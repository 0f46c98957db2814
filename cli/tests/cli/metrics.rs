//! The list of metrics, what is measured, what is told of it, and what Grafana draws: each is what the others say.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use super::{
    client::Api,
    dev::{Dev, PATIENCE, Scratch},
    sources::{Source, root, with_extensions},
};

mod alerts;
mod dashboards;
#[path = "../../src/metric_names.rs"]
mod metric_names;

use metric_names::{Kind, METRICS};

const PREFIX: &str = "showrunner_";
/// What makes a metric, and of which kind. Written so that this file does not find itself.
const MAKERS: [(&str, &str); 3] = [
    (concat!("metrics::", "counter!("), "counter"),
    (concat!("metrics::", "gauge!("), "gauge"),
    (concat!("metrics::", "histogram!("), "histogram"),
];
/// Told only where something has gone wrong.
const OF_TROUBLE: [&str; 8] = [
    "showrunner_webhooks_unmatched_total",
    "showrunner_disputes_total",
    "showrunner_commit_failures_total",
    "showrunner_http_requests_shed_total",
    "showrunner_claims_superseded_total",
    "showrunner_breaker_moves_total",
    "showrunner_gateway_calls_held_back_total",
    "showrunner_spans_lost_total",
];

fn kind(of: &Kind) -> &'static str {
    match of {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

fn assert_none(wrong: &[String], why: &str) {
    assert!(wrong.is_empty(), "\n{why}:\n  {}\n", wrong.join("\n  "));
}

/// The name and the kind of every metric that this source measures; where the name cannot be read, why not.
fn measured(source: &Source) -> Vec<Result<(String, &'static str), String>> {
    let found = MAKERS.iter().flat_map(|(maker, kind)| {
        source.text.match_indices(maker).map(|(at, _)| {
            let rest = source.text[at + maker.len()..].trim_start();
            let literal = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
            literal.map(|name| (name.to_owned(), *kind)).ok_or_else(|| {
                let line = source.text[..at].lines().count();
                format!("{}:{line}: {}", source.path, rest.lines().next().unwrap_or_default())
            })
        })
    });
    found.collect()
}

fn all_measured() -> Vec<Result<(String, &'static str), String>> {
    let ours = with_extensions(&["rs"]).into_iter().filter(|file| !file.path.contains("/tests/"));
    ours.flat_map(|file| measured(&file)).collect()
}

#[test]
fn what_is_measured_is_in_the_list_and_what_is_listed_is_measured() {
    let (found, unreadable): (Vec<_>, Vec<_>) = all_measured().into_iter().partition(Result::is_ok);
    let unreadable: Vec<_> = unreadable.into_iter().filter_map(Result::err).collect();
    assert_none(&unreadable, "write a metric's name where it is measured, so that searching for it finds the place");
    let found: BTreeSet<_> = found.into_iter().filter_map(Result::ok).collect();
    let listed: BTreeSet<_> = METRICS.iter().map(|one| (one.name.to_owned(), kind(&one.kind))).collect();
    let differing: Vec<_> = found.symmetric_difference(&listed).map(|(name, kind)| format!("{kind} {name}")).collect();
    assert_none(&differing, "measured and not in cli/src/metric_names.rs, or there and not measured");
    assert_eq!(listed.len(), METRICS.len(), "a metric is listed twice");
}

#[test]
fn nothing_is_measured_behind_the_list_s_back() {
    let hidden = [concat!("use ", "metrics::{"), concat!("use ", "metrics::*")];
    let wrong = with_extensions(&["rs"]).into_iter().filter(|file| {
        !file.path.ends_with("cli/src/measuring.rs") && hidden.iter().any(|text| file.text.contains(text))
    });
    let wrong: Vec<_> = wrong.map(|file| file.path).collect();
    assert_none(&wrong, "write `metrics::counter!(…)` in full, so that the list can be compared with it");
}

#[test]
fn names_say_what_they_are() {
    let mut wrong = Vec::new();
    for metric in METRICS {
        let (name, total) = (metric.name, metric.name.ends_with("_total"));
        if !name.starts_with(PREFIX) || total != matches!(metric.kind, Kind::Counter) {
            wrong.push(format!("{name} begins with {PREFIX}, and ends in _total when it is a counter"));
        }
        let Kind::Histogram(buckets) = &metric.kind else { continue };
        if !["_seconds", "_items"].iter().any(|unit| name.ends_with(unit)) || !buckets.is_sorted() {
            wrong.push(format!("{name} ends in its unit, and its buckets are in order"));
        }
        if metric.help.is_empty() {
            wrong.push(format!("{name} says what it is"));
        }
    }
    assert_none(&wrong, "cli/src/metric_names.rs");
}

/// The table of `docs/metrics.md`.
fn table() -> String {
    let mut table = "| metric | kind | unit | by | what |\n|---|---|---|---|---|\n".to_owned();
    for metric in METRICS {
        let (name, kind, unit, help) = (metric.name, kind(&metric.kind), metric.unit().as_str(), metric.help);
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(", ")).unwrap();
    }
    table
}

/// `UPDATE_DOCS=1 cargo test -p cli the_docs_list` writes the table anew.
#[test]
fn the_docs_list_every_metric() {
    let path = root().join("docs/metrics.md");
    let committed = fs::read_to_string(&path).unwrap();
    let prose = committed.split("| metric |").next().unwrap_or_default();
    let right = format!("{prose}{}", table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &right).unwrap();
    } else {
        assert!(committed == right, "docs/metrics.md is not what the list says: run with UPDATE_DOCS=1 and look at it");
    }
}

#[test]
fn the_rules_about_metrics_see_what_they_should() {
    let text = format!("{}\n    \"showrunner_a_total\", \"x\" => 1); {}NAME)", MAKERS[0].0, MAKERS[1].0);
    let found = measured(&Source { path: "a.rs".to_owned(), text });
    assert_eq!(found[0], Ok(("showrunner_a_total".to_owned(), "counter")));
    assert!(found[1].is_err());
}

/// What a running process tells.
async fn told(http: &reqwest::Client, base: &str) -> String {
    match http.get(format!("{base}/metrics")).send().await {
        Ok(answer) => answer.text().await.unwrap(),
        // it is just starting
        Err(_) => String::new(),
    }
}

/// The names and kinds of what is told; each with the help of the list.
fn types(told: &str) -> BTreeSet<(&str, &str)> {
    let types: BTreeSet<_> = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    for metric in METRICS.iter().filter(|metric| types.contains(&(metric.name, kind(&metric.kind)))) {
        assert!(told.contains(&format!("# HELP {} {}", metric.name, metric.help)), "no help for {}", metric.name);
    }
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_house_tells_what_is_listed_and_nothing_else() {
    let data = Scratch::new("metrics");
    let worker = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let dev = Dev::start(&data.0, &[("SHOWRUNNER_WORKER__LISTEN", &worker)]);
    let api = Api::new(&dev.printed["API"], &dev.printed["admin"]);
    let event = api.event(10).await;
    assert_eq!(api.buy(&event, 1, None).await.unwrap()["status"], "confirmed");
    let forged = api.http.post(format!("{}/webhooks/primary", api.base)).body("{}").send().await.unwrap();
    assert_eq!(forged.status(), 400);

    // what stands in the database is looked at now and then, and periodic work has its turn
    let listed: BTreeSet<_> = METRICS.iter().map(|one| (one.name, kind(&one.kind))).collect();
    let began = Instant::now();
    let (of_api, of_worker) = loop {
        let (of_api, of_worker) =
            (told(&api.http, &api.base).await, told(&api.http, &format!("http://{worker}")).await);
        let types: BTreeSet<_> = types(&of_api).union(&types(&of_worker)).copied().collect();
        let others: Vec<_> = types.difference(&listed).map(|one| format!("{one:?}")).collect();
        assert_none(&others, "told and not in cli/src/metric_names.rs");
        let missing: Vec<_> = listed.difference(&types).filter(|(name, _)| !OF_TROUBLE.contains(name)).collect();
        if missing.is_empty() {
            break (of_api, of_worker);
        }
        assert!(began.elapsed() < PATIENCE, "listed and never told: {missing:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for line in [
        "showrunner_commit_batch_items_bucket{work=\"orders\",le=\"1\"} 1",
        "showrunner_http_request_seconds_bucket{method=\"POST\",route=\"/orders\",le=\"30\"} 1",
        "showrunner_webhooks_total{gateway=\"primary\",outcome=\"refused\"} 1",
        "showrunner_sagas{definition=\"book-tickets\",state=\"stuck\"} 0",
        "showrunner_refunds{state=\"failed\"} 0",
        "showrunner_breaker_open{gateway=\"primary\",operation=\"charge\"} 0",
        "showrunner_sagas_parked{gateway=\"backup\",operation=\"refund\"} 0",
        "showrunner_history_days_missing 0",
    ] {
        assert!(of_api.contains(line), "no {line} in\n{of_api}");
    }
    for line in [
        "showrunner_sagas_finished_total{definition=\"book-tickets\",state=\"completed\"} 1",
        "showrunner_gateway_call_seconds_count{gateway=\"primary\",operation=\"charge\",outcome=\"captured\"} 1",
    ] {
        assert!(of_worker.contains(line), "no {line} in\n{of_worker}");
    }
    dev.stop();
}
