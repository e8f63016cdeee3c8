//! The network breaks, between the balancer and one of its backends.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_tests::{
    Backend, Behaviour, Config, Daemon, Lab, Launch, LinkState, Namespace, Verdict, client, eventually,
};

use super::books::Books;
use super::visitors::{Held, Visitors};
use super::{HELD, PATIENCE, POOL, THREADS, wait_until_it_fails, wait_until_it_is_used};

const BACKEND_PORT: u16 = 9000;

/// Two backends in namespaces of their own, of which the first is the victim.
struct Site {
    lab: Arc<Lab>,
    victim: Backend,
    _steady: Backend,
    daemon: Daemon,
    visitors: Visitors,
}

impl Site {
    fn start(pool: &str) -> Option<Self> {
        let lab = Arc::new(Lab::require(2)?);
        let [near, far] = lab.backends.as_slice() else { unreachable!("a lab with two backends") };
        let [victim, steady] = [("victim", near), ("steady", far)].map(|(name, host)| {
            let address = SocketAddr::new(host.v4, BACKEND_PORT);
            Backend::start_in(&host.namespace, name, address, Behaviour::Exchange)
        });
        // A link is not always ready for the first packet after it was made.
        for backend in [&victim, &steady] {
            lab.balancer.enter(|| client::connect(backend.address())).unwrap();
        }
        let listen = SocketAddr::new(Lab::BALANCER_V4, 80);
        let config = Config::new().listener("web", listen, "").pool("web", [&victim, &steady], pool);
        let daemon = Launch::new(config).inside(&lab.balancer).start();
        let visitors = Visitors::across(&lab, listen.port());
        Some(Self { lab, victim, _steady: steady, daemon, visitors })
    }

    /// What becomes of the victim's packets from now on.
    fn filter(&self, verdict: Verdict) {
        self.victims_namespace().filter(BACKEND_PORT, verdict).unwrap();
    }

    fn victims_namespace(&self) -> &Namespace {
        &self.lab.backends.first().unwrap().namespace
    }
}

/// May be lost: nobody. Whoever is refused is taken to the other backend, and who is connected is not concerned.
#[test]
fn a_backend_that_begins_to_refuse_loses_nobody() {
    let Some(site) = Site::start(POOL) else { return };
    let held = site.visitors.hold(HELD);
    let traffic = site.visitors.start(THREADS);
    for _ in 0..3 {
        site.filter(Verdict::Refuse);
        wait_until_it_fails(&site.daemon, "victim");
        traffic.wait_for_more();
        site.filter(Verdict::Accept);
        wait_until_it_is_used(&site.daemon, "victim");
    }
    let books = Books::close(&site.daemon, Held::finish_all(held, traffic.stop()));
    books.assert_nobody_is_lost();
    assert!(books.served.iter().any(|record| record.tries == 2), "some were refused first");
}

/// May be lost: nobody. TCP sends again what vanished in a gap, and a connect that is not answered in time goes to the
/// other backend.
#[test]
fn a_flapping_link_loses_nobody() {
    let Some(site) = Site::start(POOL) else { return };
    let held = site.visitors.hold(HELD);
    let traffic = site.visitors.start(THREADS);
    let mut in_the_gaps = vec![];
    for _ in 0..5 {
        site.lab.balancer.set_link("backend0", LinkState::Down).unwrap();
        // The others may all be connected to the victim, and wait.
        in_the_gaps.extend(site.visitors.start(THREADS).stop());
        site.lab.balancer.set_link("backend0", LinkState::Up).unwrap();
        wait_until_it_is_used(&site.daemon, "victim");
    }
    let visits = Held::finish_all(held, traffic.stop()).into_iter().chain(in_the_gaps).collect();
    let books = Books::close(&site.daemon, visits);
    books.assert_nobody_is_lost();
    assert!(books.served.iter().any(|record| record.tries == 2), "some met the gap first");
}

/// May be lost: nobody. TCP sends again what vanished, and a connect whose first packet vanished goes to the other
/// backend.
#[test]
fn a_fifth_of_the_packets_vanishes_and_all_content_arrives() {
    // Otherwise it would be left alone after the first connect that fails. And the kernel sends a SYN again after a second,
    // only to be slow on that connection ever after (RFC 6298, 5.7): sooner, another backend is tried.
    let stubborn =
        "balance = \"round_robin\"\nconnect_timeout = \"500ms\"\npassive_health = { failures = 1000 }";
    let Some(site) = Site::start(stubborn) else { return };
    let traffic = site.visitors.start(THREADS);
    site.filter(Verdict::LoseFifth);
    let enough = site.victim.accepted() + THREADS;
    eventually(PATIENCE, "the victim gets connections all the same", || site.victim.accepted() >= enough);
    for namespace in [&site.lab.balancer, site.victims_namespace()] {
        let what = format!("{} sends again what was lost", namespace.name());
        eventually(PATIENCE, &what, || namespace.retransmissions() > 0);
    }
    site.filter(Verdict::Accept);
    Books::close(&site.daemon, traffic.stop()).assert_nobody_is_lost();
}
