//! What a scrape gets.

use std::collections::{BTreeMap, BTreeSet};

use lb_model::{Health, Standing};

use super::*;
use crate::metrics::exposition::Value;
use crate::metrics::families::{self, Kind};

/// The families that a text has samples of, each with its type and the names of its labels.
fn families_of(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            current = name.to_owned();
            assert!(families.insert(current.clone(), (kind.to_owned(), BTreeSet::new())).is_none(), "{line}");
        } else if !line.starts_with("# HELP ") {
            let series = line.rsplit_once(' ').unwrap().0;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let (kind, seen) = families.get_mut(&current).unwrap();
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|suffix| name == format!("{current}{suffix}")), "{line}");
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            seen.extend(names.map(|(name, _)| name.to_owned()).filter(|name| name != "le"));
        }
    }
    families
}

#[test]
fn a_full_report_has_every_metric_of_the_table_and_no_other() {
    let expected: BTreeMap<_, _> = families::all()
        .map(|family| {
            let labels = family.labels.iter().map(|&label| label.to_owned()).collect();
            (family.name.to_owned(), (family.kind.to_string(), labels))
        })
        .collect();
    assert_eq!(expected.len(), families::all().count(), "names are unique");
    assert_eq!(families_of(&render(&Sheets::used().report())), expected);
}

#[test]
fn names_and_explanations_are_as_prometheus_wants_them() {
    for family in families::all() {
        let name = family.name;
        assert!(name.starts_with("sluice_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        assert!(!family.help.contains(['\\', '\n', '|']) && family.help.ends_with('.'), "{name}");
    }
}

#[test]
fn buckets_are_those_of_the_table() {
    let text = render(&Sheets::used().report());
    for family in families::all() {
        let Kind::Histogram(bounds) = family.kind else { continue };
        let bucket = format!("{}_bucket{{", family.name);
        let seen: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with(&bucket))
            .map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap())
            .collect();
        let mut expected: Vec<_> =
            bounds.iter().map(|&micros| Value::from(Duration::from_micros(micros)).to_string()).collect();
        expected.push("+Inf".into());
        // Once for each whose histogram it is.
        assert!(!seen.is_empty(), "{}", family.name);
        seen.chunks(expected.len()).for_each(|seen| assert_eq!(seen, expected, "{}", family.name));
    }
}

/// The samples of `text` whose series begin with `prefix`.
fn samples<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(prefix)).collect()
}

#[test]
fn workers_are_summed_and_told_apart() {
    let text = render(&Sheets::used().report());
    for line in [
        "sluice_listener_connections_total{listener=\"web\"} 30",
        "sluice_listener_ended_total{listener=\"web\",reason=\"finished\"} 3",
        "sluice_listener_ended_total{listener=\"web\",reason=\"internal\"} 0",
        "sluice_listener_active_connections{listener=\"web\"} 25",
        "sluice_listener_connection_limit{listener=\"web\"} 50",
        "sluice_listener_in_bytes_total{listener=\"web\"} 300",
        "sluice_listener_out_bytes_total{listener=\"web\"} 3000",
        "sluice_listener_connection_duration_seconds_bucket{listener=\"web\",le=\"0.1\"} 0",
        "sluice_listener_connection_duration_seconds_bucket{listener=\"web\",le=\"0.5\"} 2",
        "sluice_listener_connection_duration_seconds_sum{listener=\"web\"} 0.6",
        "sluice_listener_queue_wait_seconds_count{listener=\"web\"} 2",
        "sluice_pool_backends{pool=\"servers\",state=\"active\"} 1",
        "sluice_pool_backends{pool=\"servers\",state=\"unhealthy\"} 1",
        "sluice_pool_backends{pool=\"servers\",state=\"draining\"} 0",
        "sluice_pool_panic{pool=\"servers\"} 1",
        "sluice_pool_queue_length{pool=\"servers\"} 6",
        "sluice_discovery_failing_seconds{pool=\"servers\",query=\"web.example.com:80\"} 2.5",
        "sluice_backend_up{pool=\"servers\",backend=\"a\"} 1",
        "sluice_backend_up{pool=\"servers\",backend=\"b\"} 0",
        "sluice_backend_check_duration_seconds{pool=\"servers\",backend=\"a\"} 0.00125",
        "sluice_backend_weight{pool=\"servers\",backend=\"a\"} 3",
        "sluice_backend_active_connections{pool=\"servers\",backend=\"a\"} 7",
        "sluice_backend_connections_total{pool=\"servers\",backend=\"a\"} 3",
        "sluice_backend_connect_failures_total{pool=\"servers\",backend=\"a\",reason=\"connect_failed\"} 6",
        "sluice_backend_connect_failures_total{pool=\"servers\",backend=\"a\",reason=\"connect_timeout\"} 3",
        "sluice_backend_connect_seconds_bucket{pool=\"servers\",backend=\"a\",le=\"0.0001\"} 0",
        "sluice_backend_connect_seconds_bucket{pool=\"servers\",backend=\"a\",le=\"0.00025\"} 2",
        "sluice_backend_first_byte_seconds_bucket{pool=\"servers\",backend=\"a\",le=\"10\"} 0",
        "sluice_backend_first_byte_seconds_bucket{pool=\"servers\",backend=\"a\",le=\"+Inf\"} 2",
        "sluice_backend_first_byte_seconds_sum{pool=\"servers\",backend=\"a\"} 120",
        "sluice_worker_connections_total{worker=\"0\"} 10",
        "sluice_worker_connections_total{worker=\"1\"} 20",
        "sluice_worker_loop_lag_seconds_sum{worker=\"1\"} 0.003",
        "sluice_worker_pipes{worker=\"1\"} 2",
        "sluice_config_reloads_total{result=\"refused\"} 4",
        "sluice_config_last_reload_success 0",
        "sluice_build_info{version=\"0.1.0\"} 1",
        "process_start_time_seconds 1700000000.25",
        "process_cpu_seconds_total 1.5",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn the_xdp_data_path_tells_what_it_counts_and_holds() {
    let text = render(&Sheets::used().report());
    for line in [
        "sluice_xdp_listener_in_packets_total{listener=\"dns\"} 101",
        "sluice_xdp_listener_in_bytes_total{listener=\"web\"} 1002",
        "sluice_xdp_listener_flows_total{listener=\"web\"} 12",
        "sluice_xdp_backend_in_packets_total{pool=\"servers\",backend=\"a\"} 103",
        "sluice_xdp_backend_in_bytes_total{pool=\"servers\",backend=\"b\"} 1004",
        "sluice_xdp_backend_flows_total{pool=\"servers\",backend=\"b\"} 14",
        "sluice_xdp_passed_packets_total{reason=\"not_ip\"} 1",
        "sluice_xdp_dropped_packets_total{reason=\"inconsistent\"} 16",
        "sluice_xdp_flow_events_total{event=\"no_room\"} 24",
        "sluice_xdp_flow_table_flows{family=\"ipv4\",state=\"confirmed\"} 21",
        "sluice_xdp_flow_table_flows{family=\"ipv6\",state=\"closing\"} 32",
        "sluice_xdp_flow_table_ways{family=\"ipv6\"} 512",
        "sluice_xdp_flow_table_bytes{family=\"ipv4\"} 4096",
        "sluice_xdp_flow_table_swept_flows_total{family=\"ipv6\"} 42",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_backend_is_in_one_state() {
    let sheets = Sheets::used();
    for state in Standing::ALL {
        let mut report = sheets.report();
        report.pools[0].backends[0].state = state;
        let text = render(&report);
        let of_a = samples(&text, "sluice_backend_state{pool=\"servers\",backend=\"a\",");
        let is: Vec<_> = of_a.iter().filter(|line| line.ends_with(" 1")).collect();
        assert_eq!(of_a.len(), Standing::ALL.len());
        assert_eq!(is.len(), 1);
        assert!(is[0].contains(&format!("state=\"{}\"", state.label())), "{is:?}");
    }
}

#[test]
fn what_operators_do_to_a_backend_does_not_make_it_fail() {
    let sheets = Sheets::used();
    for (state, health, up) in [
        (Standing::Active, None, 1),
        (Standing::Active, Some(Health::Unknown), 1),
        (Standing::Standby, Some(Health::Healthy), 1),
        (Standing::Draining, Some(Health::Healthy), 1),
        (Standing::Draining, Some(Health::Unhealthy), 0),
        (Standing::Disabled, None, 1),
        (Standing::Unhealthy, Some(Health::Unhealthy), 0),
        (Standing::BackingOff, Some(Health::Healthy), 0),
    ] {
        let mut report = sheets.report();
        (report.pools[0].backends[0].state, report.pools[0].backends[0].health) = (state, health);
        let up = format!("sluice_backend_up{{pool=\"servers\",backend=\"a\"}} {up}");
        assert!(render(&report).contains(&up), "{state:?} {health:?}");
    }
}

#[test]
fn what_is_not_known_is_not_there() {
    let sheets = Sheets::used();
    let mut report = sheets.report();
    report.process = Process::default();
    report.listeners.clear();
    report.pools[0].backends.remove(0);
    report.pools[0].backends[0].health = Some(Health::Unknown);
    report.xdp = None;
    let text = render(&report);
    for absent in [
        "process_open_fds",
        "process_cpu",
        "sluice_listener_",
        "backend=\"a\"",
        "sluice_backend_connection_limit",
        "sluice_backend_check_",
        "sluice_xdp_",
    ] {
        assert!(!text.contains(absent), "{absent} in\n{text}");
    }
    assert_eq!(samples(&text, "sluice_discovery_answers{").len(), 1);
    report.xdp = Some(XdpReport {
        flow_tables: vec![FlowTableReport { flows: None, ..xdp().flow_tables[0] }],
        ..xdp()
    });
    assert_eq!(samples(&render(&report), "sluice_xdp_flow_table_flows"), [""; 0]);
}

#[test]
fn names_cannot_break_out_of_their_label() {
    let sheets = Sheets::used();
    let mut report = sheets.report();
    report.version = "1\"} 2\nevil 1\\";
    assert!(render(&report).lines().any(|l| l == r#"sluice_build_info{version="1\"} 2\nevil 1\\"} 1"#));
}
