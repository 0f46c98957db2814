//! The alert rules: of metrics that there are, each with a page that says what to do.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    super::sources::{root, with_extensions},
    assert_none,
    dashboards::mistakes,
};

/// What a page of the runbook says.
const PARTS: [&str; 3] = ["**What it means.**", "**Where to look.**", "**What to do.**"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[expect(dead_code, reason = "Prometheus wants one")]
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    lasts: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    runbook: String,
}

fn rules() -> Vec<Rule> {
    let files = with_extensions(&["yaml"]).into_iter().filter(|file| file.path.starts_with("dashboards/alerts/"));
    let read = files.map(|file| {
        let rules: Rules = serde_saphyr::from_str(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
        rules.groups
    });
    read.flatten().flat_map(|group| group.rules).collect()
}

#[test]
fn alerts_are_of_metrics_that_there_are() {
    let rules = rules();
    assert!(rules.len() >= 10, "they were not found");
    let mut wrong: Vec<_> = rules.iter().flat_map(|rule| mistakes(&rule.alert, &rule.expr)).collect();
    for rule in &rules {
        let Rule { alert, lasts, labels, annotations, .. } = rule;
        if !["page", "ticket"].contains(&labels.severity.as_str()) || annotations.summary.is_empty() {
            wrong.push(format!("{alert} says how bad it is, and in a sentence what"));
        }
        let minutes = lasts.strip_suffix('m').and_then(|minutes| minutes.parse::<u32>().ok());
        if minutes.is_none_or(|minutes| minutes > 15) {
            wrong.push(format!("{alert} is told within a quarter of an hour, not after {lasts}"));
        }
    }
    assert_none(&wrong, "dashboards/alerts/ and cli/src/metric_names.rs must say the same");
}

#[test]
fn each_alert_has_a_page_that_says_what_to_do() {
    let text = std::fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let pages: Vec<_> = text.split("\n## ").skip(1).filter_map(|page| page.split_once('\n')).collect();
    let rules = rules();
    let mut wrong = Vec::new();
    for (title, page) in &pages {
        let missing = PARTS.iter().filter(|part| !page.contains(**part));
        wrong.extend(missing.map(|part| format!("docs/runbook.md: {title} has no {part}")));
    }
    for rule in &rules {
        let page = format!("docs/runbook.md#{}", rule.alert.to_lowercase());
        if rule.annotations.runbook != page {
            wrong.push(format!("{} names {} and not {page}", rule.alert, rule.annotations.runbook));
        }
    }
    let alerts: BTreeSet<_> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    let titles: BTreeSet<_> = pages.iter().map(|(title, _)| *title).collect();
    wrong
        .extend(alerts.symmetric_difference(&titles).map(|name| format!("{name} is an alert or a page, and not both")));
    assert_eq!((alerts.len(), titles.len()), (rules.len(), pages.len()), "one is there twice");
    assert_none(&wrong, "dashboards/alerts/ and docs/runbook.md must say the same");
}
