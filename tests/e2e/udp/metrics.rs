//! What is told of flows and datagrams is what there was.

use lb_tests::{Daemon, UdpAnswers};

use super::{LONG, Site, ask_all, wait_for_metric};

/// A series of the listener.
fn of_listener(name: &str) -> String {
    format!("sluice_listener_{name}{{listener=\"dns\"}}")
}

#[track_caller]
fn assert_all(daemon: &Daemon, expected: &[(&str, u64)]) {
    for &(name, value) in expected {
        wait_for_metric(daemon, &of_listener(name), value);
    }
}

#[test]
fn counters_are_the_truth() {
    const CLIENTS: u64 = 10;

    let site = Site::answering(UdpAnswers::Echo, ["a"], &format!("{LONG}\nmax_connections = 10"), "");
    let clients = site.clients(10);
    // 0, 1, … 9 bytes: 45 from each.
    for size in 0..10 {
        for client in &clients {
            client.send(&vec![b'x'; size]);
            assert_eq!(client.receive().len(), size);
        }
    }
    let shed = site.client();
    (0..7).for_each(|_| shed.send(b"no place"));
    site.wait_for_dropped("new_flow_shed", 7);
    assert_all(
        &site.daemon,
        &[
            ("connections_total", CLIENTS),
            ("active_connections", CLIENTS),
            ("connection_limit", 10),
            ("in_datagrams_total", CLIENTS * 10),
            ("out_datagrams_total", CLIENTS * 10),
            ("in_bytes_total", CLIENTS * 45),
            ("out_bytes_total", CLIENTS * 45),
        ],
    );
    let backend = |name: &str| format!("sluice_backend_{name}{{pool=\"dns\",backend=\"a\"}}");
    for (name, value) in
        [("active_connections", CLIENTS), ("in_bytes_total", CLIENTS * 45), ("out_bytes_total", CLIENTS * 45)]
    {
        wait_for_metric(&site.daemon, &backend(name), value);
    }
    // Nothing else was dropped, for no other reason.
    let metrics = site.daemon.metrics();
    let dropped = metrics.lines().filter(|line| line.starts_with("sluice_listener_dropped_datagrams_total{"));
    let dropped: Vec<_> = dropped.filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(dropped.len(), 1, "{dropped:?}");
}

#[test]
fn ends_are_counted_by_reason() {
    let site = Site::start(["a"], &format!("{LONG}\nreplies = 1"), "");
    ask_all(&site.clients(12));
    let ended = |reason: &str| format!("sluice_listener_ended_total{{listener=\"dns\",reason=\"{reason}\"}}");
    wait_for_metric(&site.daemon, &ended("finished"), 12);
    wait_for_metric(&site.daemon, &ended("idle_timeout"), 0);
    assert_all(
        &site.daemon,
        &[("connections_total", 12), ("active_connections", 0), ("connection_duration_seconds_count", 12)],
    );
}

/// Clients of a TCP listener send no datagrams: it has none of these series.
#[test]
fn only_listeners_of_datagrams_count_datagrams() {
    let site = Site::start(["a"], LONG, "");
    let config = site.config(LONG, "").listener("web", site.at.port(1), "");
    site.daemon.reload(config.udp_pool("web", &site.backends, ""));
    let metrics = site.daemon.metrics();
    let of_web: Vec<_> = metrics
        .lines()
        .filter(|line| line.contains("datagrams") && line.contains("listener=\"web\""))
        .collect();
    assert!(of_web.is_empty(), "{of_web:?}");
    assert!(metrics.contains(&of_listener("in_datagrams_total")));
}

#[test]
fn status_shows_the_protocol_and_the_flows() {
    let site = Site::answering(UdpAnswers::Echo, ["a"], &format!("{LONG}\nmax_connections = 50"), "");
    let clients = site.clients(5);
    for client in &clients {
        client.send(b"1234");
        client.receive();
    }
    wait_for_metric(&site.daemon, &of_listener("out_bytes_total"), 20);
    let status = site.daemon.status();
    let [listener] = status.listeners.as_slice() else { panic!("one listener: {status:?}") };
    assert_eq!((listener.name.as_str(), listener.protocol.as_str()), ("dns", "udp"));
    assert_eq!((listener.connections, listener.connections_total), (5, 5));
    assert_eq!((listener.bytes_in, listener.bytes_out, listener.max_connections), (20, 20, Some(50)));
    assert_eq!(site.daemon.backend("dns", "a").connections, 5);
    let text = site.daemon.sluice(["status"]);
    let line = text.lines().find(|line| line.contains(&site.listen().to_string())).unwrap_or_default();
    assert!(line.contains("udp") && line.contains("5"), "{text}");
}
