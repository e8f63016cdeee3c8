//! Settings whose effect is not seen in the bytes that are relayed.

use std::process::Command;

use lb_tests::{Backend, Behaviour, Config, Daemon, Loopback, client};
use rustix::process::Signal;

use crate::settings::Side::{Client, Server};

/// Which end of a connection a socket is.
#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// The timer that `ss` shows for the established sockets at this end of connections to `address`.
fn timers(side: Side, address: std::net::SocketAddr) -> String {
    let filter = match side {
        Client => format!("dst = {address}"),
        Server => format!("src = {address}"),
    };
    let output = Command::new("ss").args(["-tnoH", "state", "established", &filter]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn keepalive_probes_clients_and_backends_as_configured() {
    for (listener, pool, probes_client, probes_backend) in
        [("", "", true, false), ("keepalive = \"off\"", "keepalive = \"30s\"", false, true)]
    {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
        let config = Config::new().listener("web", at.port(0), listener);
        let _daemon = Daemon::start(config.pool("web", [&backend], pool));
        let stream = client::connect(at.port(0)).unwrap();
        assert_eq!(client::read_line(&stream).unwrap(), "b");
        assert_eq!(timers(Server, at.port(0)).contains("keepalive"), probes_client, "{listener:?}");
        assert_eq!(timers(Client, at.backend(0)).contains("keepalive"), probes_backend, "{pool:?}");
    }
}

#[test]
fn access_records_can_be_switched_off_and_levels_hold() {
    for (log, records, says_ready) in [
        ("access = true\nlevel = \"info\"", 1, true),
        ("access = false", 0, true),
        ("access = true\nlevel = \"error\"", 1, false),
    ] {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
        let config = Config::new().listener("web", at.port(0), "").pool("web", [&backend], "").to_string();
        let config = config.replace("format = \"json\"", &format!("format = \"json\"\n{log}"));
        let mut daemon = lb_tests::Launch::new(&config).spawn();
        let patience = std::time::Duration::from_secs(10);
        lb_tests::eventually(patience, "the daemon serves", || client::connect(at.port(0)).is_ok());
        let stream = client::connect(at.port(0)).unwrap();
        assert_eq!(client::read_line(&stream).unwrap(), "b");
        let client = stream.local_addr().unwrap().to_string();
        drop(stream);
        daemon.signal(Signal::TERM);
        assert!(daemon.wait_exit(patience).success());
        let text = daemon.log_text();
        assert_eq!(text.lines().filter(|line| line.contains(&client)).count(), records, "{log:?}\n{text}");
        assert_eq!(text.contains("\"ready\""), says_ready, "{log:?}\n{text}");
    }
}
