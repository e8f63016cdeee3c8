//! One address sends more connections than anybody can serve.
//!
//! What Sluice has against that: the listener's `max_connections`, which keeps the flood from everything else; its
//! `max_connections_per_client`, which keeps one address from taking all places of the listener; and its `deny`, which takes
//! an operator.

use std::net::{SocketAddr, TcpStream};

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, ClosedLoop, Config, Daemon, Loopback, client, eventually};

use super::books::Books;
use super::visitors::Visitors;
use super::{PATIENCE, POOL, THREADS, steady};

/// Connections of a flood, and how many of them its listener takes at once.
const FLOOD: usize = 1500;
const LIMIT: usize = 20;

/// May be lost: nobody. The flood gets as many connections as its listener may have, and the rest of it waits in the
/// kernel; other listeners do not notice, and the flooded one serves everybody again when the flood is over.
#[test]
fn a_flood_is_held_to_the_limit_of_its_listener() {
    let at = Loopback::new();
    let [one, two] = steady(at);
    let target = Backend::start("target", at.backend(2), Behaviour::Tag);
    let config = Config::new()
        .listener("web", at.port(0), "")
        .pool("web", [&one, &two], POOL)
        .listener("flooded", at.port(1), &format!("max_connections = {LIMIT}"))
        .pool("flooded", [&target], "");
    let daemon = Daemon::start(config);
    let traffic = Visitors::local(at).start(THREADS);

    let flooder = Loopback::new();
    let flood: Vec<_> = (0..FLOOD).map(|_| connect_from(flooder, at.port(1))).collect();
    target.wait_open(LIMIT);
    traffic.wait_for_more();
    assert_eq!(target.most_open(), LIMIT, "never more than the limit at once");
    flood.into_iter().for_each(client::reset);
    let after = connect_from(at, at.port(1));
    assert_eq!(client::read_line(&after).unwrap(), "target");
    drop(after);

    Books::close(&daemon, traffic.stop()).assert_nobody_is_lost();
    let of_flooded = || daemon.access_records().into_iter().filter(|record| record.listener == "flooded");
    eventually(PATIENCE, "everybody of the flood has a record", || of_flooded().count() > FLOOD);
    for record in of_flooded().filter(|record| record.client.ip() == flooder.ip()) {
        let left = [Termination::ClientReset, Termination::ClientGone];
        assert!(left.contains(&record.reason), "he left: {record:?}");
    }
}

/// May be lost: only what one address has beyond its share, which is reset at once. Everybody else of the same listener is
/// served throughout, and the flooder gets places again when it leaves some.
#[test]
fn a_flood_from_one_address_takes_no_more_than_its_share_of_the_listener() {
    let at = Loopback::new();
    let backends = steady(at);
    let limits = format!("max_connections = 200\nmax_connections_per_client = {LIMIT}");
    let config = Config::new().listener("web", at.port(0), &limits).pool("web", &backends, POOL);
    let daemon = Daemon::start(config);
    let traffic = Visitors::local(at).start(THREADS);

    let flooder = Loopback::new();
    let source = SocketAddr::new(flooder.ip(), 0);
    // Some notice that they are reset while they still connect.
    let flood: Vec<_> = (0..FLOOD).filter_map(|_| client::connect_from(source, at.port(0)).ok()).collect();
    let of_flooder = || {
        let records = daemon.access_records().into_iter();
        records.filter(|record| record.client.ip() == flooder.ip()).collect::<Vec<_>>()
    };
    eventually(PATIENCE, "all but its share are refused", || of_flooder().len() == FLOOD - LIMIT);
    for record in of_flooder() {
        assert_eq!((record.reason, record.tries), (Termination::ClientLimit, 0), "{record:?}");
    }
    traffic.wait_for_more();
    assert_eq!(of_flooder().len(), FLOOD - LIMIT, "its share stays open");
    flood.into_iter().for_each(client::reset);
    eventually(PATIENCE, "its places are free", || of_flooder().len() == FLOOD);
    let again = Visitors::from(flooder, at.port(0)).start(1);
    again.wait_for_more();

    let visits = [again, traffic].into_iter().flat_map(ClosedLoop::stop);
    for visit in visits {
        let client = visit.client;
        visit.outcome.unwrap_or_else(|error| panic!("{client} lost something: {error:#}"));
    }
}

/// May be lost: only who is denied, and nobody before that. Everybody else of the same listener is served throughout.
#[test]
fn a_flood_is_denied_while_the_listener_goes_on_serving_everybody_else() {
    let at = Loopback::new();
    let backends = steady(at);
    let config = |lines: &str| Config::new().listener("web", at.port(0), lines).pool("web", &backends, POOL);
    let daemon = Daemon::start(config(""));
    let traffic = Visitors::local(at).start(THREADS);
    let flooder = Loopback::new();
    let flooders = Visitors::from(flooder, at.port(0));
    let flood = flooders.start(THREADS);

    assert!(daemon.access_records().iter().all(|record| record.reason == Termination::Finished));
    daemon.reload(config(&format!("deny = [\"{}\"]", flooder.ip())));
    let after = flooders.came();
    flood.wait_for_more();
    traffic.wait_for_more();

    let visits = [flood, traffic].into_iter().flat_map(ClosedLoop::stop).collect();
    let books = Books::close(&daemon, visits);
    for lost in &books.lost {
        assert_eq!(
            (lost.record.client.ip(), lost.record.reason),
            (flooder.ip(), Termination::Denied),
            "{lost}"
        );
        assert_eq!((lost.record.tries, lost.record.backend.as_deref()), (0, None), "{lost}");
    }
    let served_late = books
        .served
        .iter()
        .filter(|record| record.client.ip() == flooder.ip() && Visitors::number_of(record.client) >= after);
    assert_eq!(served_late.count(), 0, "nobody who is denied is served after the reload");
    assert!(!books.lost.is_empty(), "the flood went on after the reload");
}

fn connect_from(source: Loopback, listen: SocketAddr) -> TcpStream {
    client::connect_from(SocketAddr::new(source.ip(), 0), listen).unwrap()
}
