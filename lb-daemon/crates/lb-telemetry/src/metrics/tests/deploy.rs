//! The files in `deploy/` speak of metrics that exist.

use std::collections::BTreeSet;

use serde_json::Value;

use super::query::{Selector, groupings, selectors};
use super::*;
use crate::metrics::families::{self, Family, Kind};

/// What Prometheus adds to every series.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];

fn text(path: &str) -> String {
    fs::read_to_string(project_file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The family of `metric`, which may be a series of a histogram.
fn family(metric: &str) -> Option<&'static Family> {
    families::all().find(|family| match family.kind {
        Kind::Counter | Kind::Gauge => family.name == metric,
        Kind::Histogram(_) => {
            metric.strip_prefix(family.name).is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end))
        }
    })
}

/// The labels that series of `metric` have in Prometheus.
fn labels(metric: &str) -> BTreeSet<&'static str> {
    let family = family(metric).unwrap_or_else(|| panic!("there is no metric {metric}"));
    let le = metric.ends_with("_bucket").then_some("le");
    family.labels.iter().copied().chain(OF_THE_SCRAPE).chain(le).collect()
}

/// Checks the metrics of `text`, and that it groups by labels that one of them has.
#[track_caller]
fn assert_known(text: &str) {
    let mut known = BTreeSet::from(OF_THE_SCRAPE);
    for Selector { metric, labels: used } in selectors(text) {
        let labels = labels(&metric);
        for label in &used {
            assert!(labels.contains(label.as_str()), "{metric} has no label {label}: {text}");
        }
        known.extend(labels);
    }
    for label in groupings(text) {
        assert!(known.contains(label.as_str()), "no metric has the label {label}: {text}");
    }
}

/// Every object within `value`.
fn objects(value: &Value) -> Vec<&Value> {
    let below: Vec<&Value> = match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let mut objects: Vec<_> = below.into_iter().flat_map(objects).collect();
    objects.extend(value.is_object().then_some(value));
    objects
}

#[test]
fn alerts_know_their_metrics() {
    let alerts = text("deploy/prometheus/alerts.yml");
    let rules: Vec<_> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 10, "{alerts}");
    for rule in rules {
        assert_known(rule);
        for key in ["expr:", "severity:", "summary:", "description:"] {
            assert!(rule.contains(key), "{key} is missing in {rule}");
        }
    }
}

#[test]
fn tests_of_alerts_know_their_metrics() {
    let tests = text("deploy/prometheus/alerts_test.yml");
    let found = selectors(&tests);
    assert!(found.len() > 10, "{tests}");
    for Selector { metric, labels: used } in found {
        assert!(used.iter().all(|label| labels(&metric).contains(label.as_str())), "{metric} {used:?}");
    }
}

#[test]
fn the_dashboard_knows_its_metrics() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/sluice.json")).unwrap();
    assert_eq!((&dashboard["uid"], &dashboard["title"]), (&"sluice".into(), &"Sluice".into()));
    let mut queries = 0;
    for object in objects(&dashboard) {
        for key in ["expr", "definition"] {
            let Some(query) = object[key].as_str() else { continue };
            let legend = object["legendFormat"].as_str().unwrap_or_default();
            assert!(!selectors(query).is_empty(), "{query}");
            assert_known(&format!("{query} {legend}"));
            assert_eq!(object["datasource"]["uid"], "${datasource}", "{query}");
            queries += 1;
        }
    }
    assert!(queries > 20, "{queries}");
}

#[test]
fn no_two_panels_overlap() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/sluice.json")).unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for y in at("y")..at("y") + at("h") {
            for x in at("x")..at("x") + at("w") {
                assert!(taken.insert((x, y)), "{panel} is where another panel is");
            }
        }
    }
}
