//! What Grafana draws: every metric of the list, and nothing that is not there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::sources::with_extensions,
    PREFIX, assert_none,
    metric_names::{Kind, METRICS, Metric},
};

/// Labels that Prometheus gives.
const ITS_LABELS: [&str; 3] = ["le", "instance", "job"];

/// Every query of a dashboard.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("expr").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| queries(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

/// The words of a query that could be names: those in quotes are values.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let outside = query.split('"').step_by(2);
    outside.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_')).filter(|word| !word.is_empty())
}

/// The labels that a query names: in selectors, and behind `by`.
fn labels(query: &str) -> BTreeSet<&str> {
    let outside: Vec<_> = query.split('"').collect();
    let selected = outside.iter().step_by(2).filter_map(|part| {
        let label = part.trim_end_matches(['=', '~', '!']);
        (label.len() < part.len()).then(|| label.rsplit(['{', ',', ' ']).next().unwrap_or_default())
    });
    let by = query.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
    selected.chain(by.flat_map(|labels| labels.split(',').map(str::trim))).collect()
}

/// The metric that a query means by this name: of a histogram only its parts can be asked for.
fn metric(name: &str) -> Option<&'static Metric> {
    let is_histogram = |metric: &&Metric| matches!(metric.kind, Kind::Histogram(_));
    let named = |name: &str| METRICS.iter().find(|metric| metric.name == name);
    let parts = ["_bucket", "_count", "_sum"].iter().filter_map(|part| name.strip_suffix(part));
    parts.filter_map(named).find(is_histogram).or_else(|| named(name).filter(|metric| !is_histogram(metric)))
}

/// What a query of `place` asks for and is not in the list.
pub(super) fn mistakes(place: &str, query: &str) -> Vec<String> {
    let (mut wrong, mut known) = (Vec::new(), BTreeSet::from(ITS_LABELS));
    for name in names(query).filter(|name| name.starts_with(PREFIX)) {
        match metric(name) {
            Some(metric) => known.extend(metric.labels),
            None => wrong.push(format!("{place}: there is no {name}")),
        }
    }
    let unknown = labels(query);
    wrong.extend(unknown.difference(&known).map(|label| format!("{place}: no metric of `{query}` has {label}")));
    wrong
}

/// The dashboards' files, read.
fn dashboards() -> Vec<(String, Value)> {
    let files = with_extensions(&["json"]).into_iter().filter(|file| file.path.starts_with("dashboards/grafana/"));
    let read = files.map(|file| {
        let parsed = serde_json::from_str(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
        (file.path, parsed)
    });
    read.collect()
}

#[test]
fn dashboards_are_as_grafana_wants_them() {
    let mut wrong = Vec::new();
    for (path, dashboard) in dashboards() {
        assert!(dashboard["schemaVersion"].is_u64() && dashboard["uid"].is_string(), "{path}");
        assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource", "{path}: whose Prometheus is chosen");
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = format!("{path}: {}", panel["title"]);
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            let free = (y..y + h).all(|row| (x..x + w).all(|column| taken.insert((row, column))));
            if !ids.insert(panel["id"].as_u64()) || !free || x + w > 24 {
                wrong.push(format!("{title} has an id and a place of its own, 24 columns wide in all"));
            }
            if panel["type"] == "row" {
                continue;
            }
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            let chosen = |part: &Value| part["datasource"]["uid"] == "${datasource}";
            if targets.is_empty() || !chosen(panel) || !targets.iter().all(chosen) {
                wrong.push(format!("{title} asks the Prometheus that is chosen"));
            }
            let said = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
            if !said(&panel["fieldConfig"]["defaults"]["unit"]) || !said(&panel["description"]) {
                wrong.push(format!("{title} has a unit and says what it shows"));
            }
        }
    }
    assert_none(&wrong, "dashboards/grafana/");
}

#[test]
fn dashboards_draw_every_metric_and_no_other() {
    let mut wrong = Vec::new();
    let mut drawn = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        let mut found = Vec::new();
        queries(&dashboard, &mut found);
        for query in found {
            wrong.extend(mistakes(&path, &query));
            drawn.extend(names(&query).filter_map(metric).map(|metric| metric.name));
        }
    }
    let missing = METRICS.iter().filter(|metric| !drawn.contains(metric.name));
    wrong.extend(missing.map(|metric| format!("{} is drawn nowhere", metric.name)));
    assert_none(&wrong, "dashboards/grafana/ and cli/src/metric_names.rs must say the same");
}

#[test]
fn the_rules_about_queries_see_what_they_should() {
    let query = r#"sum by (le, work) (rate(showrunner_b_bucket{state=~"a|b", x!="y"}[1m])) / max by (z) (c)"#;
    assert!(names(query).any(|name| name == "showrunner_b_bucket"));
    assert_eq!(labels(query), BTreeSet::from(["le", "work", "state", "x", "z"]));
}
