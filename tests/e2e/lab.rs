//! Through a network: client, balancer and backends in namespaces of their own.

use std::io::Write as _;
use std::net::SocketAddr;

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Content, Exchange, Lab, Launch, LinkState, Namespace, client};

const PORT: u16 = 9000;

fn listen_v4(port: u16) -> SocketAddr {
    SocketAddr::new(Lab::BALANCER_V4, port)
}

fn listen_v6(port: u16) -> SocketAddr {
    SocketAddr::new(Lab::BALANCER_V6, port)
}

/// A backend in every backend namespace, on IPv4.
fn backends(lab: &Lab, behaviour: Behaviour) -> Vec<Backend> {
    let start = |(index, host): (usize, &lb_tests::LabBackend)| {
        Backend::start_in(&host.namespace, &format!("b{index}"), SocketAddr::new(host.v4, PORT), behaviour)
    };
    lab.backends.iter().enumerate().map(start).collect()
}

#[test]
fn content_survives_a_network_of_either_family() {
    let Some(lab) = Lab::require(1) else { return };
    let [host] = lab.backends.as_slice() else { unreachable!("a lab with one backend") };
    let start =
        |name, ip| Backend::start_in(&host.namespace, name, SocketAddr::new(ip, PORT), Behaviour::Exchange);
    let (v4, v6) = (start("v4", host.v4), start("v6", host.v6));
    // Each family in front of each: the balancer is where they meet.
    let config = Config::new()
        .listener("to4", "*:81", "")
        .pool("to4", [&v4], "")
        .listener("to6", "*:82", "")
        .pool("to6", [&v6], "");
    let daemon = Launch::new(config).inside(&lab.balancer).start();
    for (seed, address) in (0..).zip([listen_v4(81), listen_v6(81), listen_v4(82), listen_v6(82)]) {
        let stream = lab.client.enter(|| client::connect(address)).unwrap();
        let exchanged = Exchange { seed, up: 10 << 20, down: 10 << 20 }.run(&stream).unwrap();
        let record = daemon.wait_for_record(stream.local_addr().unwrap());
        assert_eq!((record.bytes_in, record.bytes_out), (exchanged.bytes_in, exchanged.bytes_out));
        assert_eq!(record.local, address);
    }
}

#[test]
fn a_wildcard_of_one_family_leaves_the_other_alone() {
    let Some(lab) = Lab::require(1) else { return };
    let backends = backends(&lab, Behaviour::Tag);
    let config = Config::new()
        .listener("only4", "0.0.0.0:81", "")
        .pool("only4", &backends, "")
        .listener("only6", "[::]:82", "")
        .pool("only6", &backends, "");
    let _daemon = Launch::new(config).inside(&lab.balancer).start();
    let connect = |address| lab.client.enter(|| client::connect(address));
    for address in [listen_v4(81), listen_v6(82)] {
        assert_eq!(client::read_line(&connect(address).unwrap()).unwrap(), "b0");
    }
    for address in [listen_v6(81), listen_v4(82)] {
        assert_eq!(connect(address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "{address}");
    }
}

#[test]
fn a_backend_without_a_port_gets_the_clients_port() {
    let Some(lab) = Lab::require(1) else { return };
    let [host] = lab.backends.as_slice() else { unreachable!("a lab with one backend") };
    let backends: Vec<_> = (8000..=8009)
        .map(|port| {
            let address = SocketAddr::new(host.v4, port);
            Backend::start_in(&host.namespace, &format!("port{port}"), address, Behaviour::Tag)
        })
        .collect();
    let entry = format!("\"{}\"", host.v4);
    let config = Config::new().listener("range", "*:8000-8009", "").pool_of("range", &[entry], "");
    let _daemon = Launch::new(config).inside(&lab.balancer).start();
    for backend in &backends {
        for address in [listen_v4(backend.address().port()), listen_v6(backend.address().port())] {
            let stream = lab.client.enter(|| client::connect(address)).unwrap();
            assert_eq!(client::read_line(&stream).unwrap(), backend.name());
        }
    }
}

#[test]
fn the_link_of_one_backend_breaks_and_the_others_do_not_care() {
    let Some(lab) = Lab::require(2) else { return };
    let backends = backends(&lab, Behaviour::Tag);
    let listen = listen_v4(80);
    let config = Config::new().listener("web", listen, "idle_timeout = \"2s\"").pool(
        "web",
        &backends,
        "balance = \"round_robin\"\nconnect_timeout = \"300ms\"",
    );
    let daemon = Launch::new(config).inside(&lab.balancer).start();
    let open = || {
        let stream = lab.client.enter(|| client::connect(listen)).unwrap();
        (client::read_line(&stream).unwrap(), stream)
    };
    let mut streams: Vec<_> = (0..12).map(|_| open()).collect();
    lab.balancer.set_link("backend0", LinkState::Down).unwrap();
    let (cut, unharmed): (Vec<_>, Vec<_>) = streams.drain(..).partition(|(name, _)| name == "b0");
    assert!(!cut.is_empty() && !unharmed.is_empty(), "both have connections");

    let content = Content::new(1).take(200_000);
    for (_, stream) in &unharmed {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = stream;
                stream.write_all(&content).unwrap()
            });
            assert!(client::read_bytes(stream, content.len()).unwrap() == content);
        });
    }
    for _ in 0..6 {
        assert_eq!(open().0, "b1", "new clients go where there is a way");
    }
    for (_, stream) in &cut {
        assert_ne!(client::read_to_end(stream).1, lb_tests::End::Failed(std::io::ErrorKind::WouldBlock));
        let record = daemon.wait_for_record(stream.local_addr().unwrap());
        assert!(matches!(record.reason, Termination::IdleTimeout | Termination::BackendLost), "{record:?}");
    }
}

#[test]
fn curl_is_served() {
    let Some(lab) = Lab::require(2) else { return };
    let backends = backends(&lab, Behaviour::Http);
    let config = Config::new().listener("web", "*:80", "");
    let config = config.pool("web", &backends, "balance = \"round_robin\"");
    let _daemon = Launch::new(config).inside(&lab.balancer).start();
    for host in ["10.77.0.1", "[fd77::1]"] {
        let answers: Vec<_> = (0..16).map(|_| curl(&lab.client, &format!("http://{host}/"))).collect();
        for backend in &backends {
            let line = format!("{}\n", backend.name());
            assert!(answers.contains(&line), "{line:?} is not among {answers:?}");
        }
    }
}

#[track_caller]
fn curl(client: &Namespace, url: &str) -> String {
    let output = client.command("curl").args(["-sS", "--max-time", "10", url]).output().unwrap();
    assert!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
