//! Limits that are changed while connections are counted against them.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use lb_tests::{Backend, Behaviour, Config, Daemon, Loopback, client, eventually};

use super::{PATIENCE, assert_goes_on, open};

/// Where a limit is set.
#[derive(Debug, Clone, Copy)]
enum Of {
    Listener,
    Process,
    Backend,
}

const ALL: [Of; 3] = [Of::Listener, Of::Process, Of::Backend];

struct Site {
    of: Of,
    at: Loopback,
    backend: Backend,
    daemon: Daemon,
}

impl Site {
    fn start(of: Of, limit: Option<usize>) -> Self {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
        let daemon = Daemon::start(Self::config(of, at, &backend, limit));
        Self { of, at, backend, daemon }
    }

    fn config(of: Of, at: Loopback, backend: &Backend, limit: Option<usize>) -> Config {
        let line = limit.map_or(String::new(), |limit| format!("max_connections = {limit}"));
        let (global, listener, entry) = match of {
            Of::Process => (line.as_str(), "", ""),
            Of::Listener => ("", line.as_str(), ""),
            Of::Backend => ("", "", line.as_str()),
        };
        let queue = "queue = { limit = 100, timeout = \"60s\" }";
        Config::new().global(global).listener("web", at.port(0), listener).pool_of(
            "web",
            &[backend.entry(entry)],
            queue,
        )
    }

    fn limit(&self, limit: Option<usize>) {
        self.daemon.reload(Self::config(self.of, self.at, &self.backend, limit));
    }

    fn open(&self) -> TcpStream {
        open(self.at.port(0)).0
    }

    /// Clients that are not served for now.
    fn wait(&self, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| client::connect(self.at.port(0)).unwrap()).collect()
    }
}

/// How many of them have been greeted.
fn greeted(streams: &[TcpStream]) -> usize {
    let is_greeted = |stream: &&TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        match peeked {
            Ok(n) => n > 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("a client that waits was not to be reset: {error}"),
        }
    };
    streams.iter().filter(is_greeted).count()
}

#[track_caller]
fn wait_greeted(site: &Site, streams: &[TcpStream], count: usize) {
    eventually(PATIENCE, &format!("{count} are served ({:?})", site.of), || greeted(streams) >= count);
}

/// Catches: those who wait at the old limit and are not woken by the new one.
#[test]
fn a_limit_that_is_raised_lets_in_as_many_as_wait() {
    for of in ALL {
        let site = Site::start(of, Some(1));
        let _first = site.open();
        let waiting = site.wait(6);
        site.limit(Some(4));
        wait_greeted(&site, &waiting, 3);
        lb_tests::observe(Duration::from_millis(50));
        assert_eq!((greeted(&waiting), site.backend.most_open()), (3, 4), "{of:?}: not more than the limit");
    }
}

/// Catches: those who wait and are forgotten when there is nothing to wait for any more.
#[test]
fn a_limit_that_is_removed_lets_in_everybody() {
    for of in ALL {
        let site = Site::start(of, Some(1));
        let _first = site.open();
        let waiting = site.wait(6);
        site.limit(None);
        wait_greeted(&site, &waiting, 6);
    }
}

/// Catches: connections that are cut by a lower limit, or a limit that counts only what came after it.
#[test]
fn a_limit_that_is_lowered_cuts_nobody_and_then_holds() {
    for of in ALL {
        for before in [None, Some(6)] {
            let site = Site::start(of, before);
            let mut open: Vec<_> = (0..5).map(|_| site.open()).collect();
            site.limit(Some(2));
            open.iter().for_each(assert_goes_on);
            let waiting = site.wait(3);
            // Three leave, and two are there: as many as may be.
            open.truncate(2);
            site.backend.wait_open(2);
            lb_tests::observe(Duration::from_millis(50));
            assert_eq!(greeted(&waiting), 0, "{of:?}: it is full");
            open.truncate(1);
            wait_greeted(&site, &waiting, 1);
            lb_tests::observe(Duration::from_millis(50));
            assert_eq!(greeted(&waiting), 1, "{of:?}: one left, one came");
            drop(open);
            wait_greeted(&site, &waiting, 2);
        }
    }
}

/// Catches: a limit in status and metrics that is not the one in force.
#[test]
fn the_limit_in_force_is_shown() {
    let site = Site::start(Of::Listener, Some(7));
    let shown = || site.daemon.status().listeners[0].max_connections;
    assert_eq!(shown(), Some(7));
    assert_eq!(site.daemon.metric("sluice_listener_connection_limit{listener=\"web\"}"), 7.0);
    site.limit(Some(9));
    assert_eq!(shown(), Some(9));
    assert_eq!(site.daemon.metric("sluice_listener_connection_limit{listener=\"web\"}"), 9.0);
    site.limit(None);
    assert_eq!(shown(), None);

    let site = Site::start(Of::Backend, Some(7));
    site.limit(Some(9));
    assert_eq!(site.daemon.backend("web", "b").max_connections, Some(9));
}
