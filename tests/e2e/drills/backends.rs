//! A backend breaks.

use std::net::SocketAddr;

use lb_admin::BackendState;
use lb_model::Termination;
use lb_tests::{Backend, BackendProcess, Behaviour, Config, Daemon, Loopback, Page, WebServer, eventually};

use super::books::Books;
use super::visitors::{Held, Visitors};
use super::{HELD, PATIENCE, POOL, THREADS, steady, wait_until_it_fails, wait_until_it_is_used};

/// The victim's entry in the pool, with a health check over HTTP at an address of its own.
fn checked(victim: SocketAddr, health: SocketAddr) -> String {
    let port = health.port();
    format!(
        "{{ address = \"{victim}\", name = \"victim\", health_check = {{ type = \"http\", port = {port}, \
         interval = \"50ms\", fast_interval = \"20ms\", timeout = \"200ms\", fall = 2 }} }}"
    )
}

/// May be lost: who is connected to the process when it is killed, as what it knew of them is gone. That is everybody
/// who was held there, and one visitor a thread. Nobody later: a connect that is refused goes to another backend.
#[test]
fn a_killed_backend_takes_with_it_only_those_who_were_connected_to_it() {
    let at = Loopback::new();
    let [one, two] = steady(at);
    let mut victim = BackendProcess::start(&[(at.backend(2), Behaviour::Exchange)]);
    let entry = format!("{{ address = \"{}\", name = \"victim\" }}", at.backend(2));
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool_of("web", &[one.entry(""), two.entry(""), entry], POOL));
    let visitors = Visitors::local(at);
    let held = visitors.hold(HELD);
    let traffic = visitors.start(THREADS);

    victim.kill();
    let killed = visitors.came();
    wait_until_it_fails(&daemon, "victim");
    traffic.wait_for_more();
    victim.restart();
    wait_until_it_is_used(&daemon, "victim");

    let books = Books::close(&daemon, Held::finish_all(held, traffic.stop()));
    books.assert_lost_with("victim", &[Termination::BackendReset, Termination::Finished]);
    let (of_held, of_traffic): (Vec<_>, Vec<_>) =
        books.lost.iter().partition(|lost| Visitors::number_of(lost.record.client) < HELD);
    assert!(!of_held.is_empty(), "some of {HELD} were held there");
    let survivors = books.served.iter().filter(|record| Visitors::number_of(record.client) < HELD);
    assert!(survivors.clone().all(|record| record.backend.as_deref() != Some("victim")), "{books:#?}");
    assert_eq!(of_held.len() + survivors.count(), HELD);
    assert!(of_traffic.len() <= THREADS, "{of_traffic:#?}");
    assert!(
        of_traffic.iter().all(|lost| Visitors::number_of(lost.record.client) < killed),
        "{of_traffic:#?}"
    );
    assert!(books.served.iter().all(|record| record.tries <= 2), "one backend is dead, so one try is wasted");
}

/// May be lost: nobody. Who is connected to the stopped process has to wait, and whoever is sent there until the health
/// check has found out, because its kernel goes on accepting. When it wakes they are served.
#[test]
fn a_hung_backend_that_wakes_again_has_lost_nobody() {
    let at = Loopback::new();
    let [one, two] = steady(at);
    let victim =
        BackendProcess::start(&[(at.backend(2), Behaviour::Exchange), (at.backend(3), Behaviour::Http)]);
    let entries = [one.entry(""), two.entry(""), checked(at.backend(2), at.backend(3))];
    let config = Config::new().listener("web", at.port(0), "").pool_of("web", &entries, POOL);
    let daemon = Daemon::start(config);
    let visitors = Visitors::local(at);
    let held = visitors.hold(HELD);
    let early = visitors.start(THREADS);

    victim.hang();
    daemon.wait_for_state("web", "victim", BackendState::Unhealthy);
    let verdict = visitors.came();
    // The threads of those who came before may all be waiting.
    let late = visitors.start(THREADS).stop();
    let found_out: Vec<_> = late.iter().map(|visit| visit.client).collect();
    assert!(found_out.iter().all(|client| Visitors::number_of(*client) >= verdict));
    victim.wake();
    daemon.wait_for_state("web", "victim", BackendState::Active);
    wait_until_it_is_used(&daemon, "victim");

    let visits = Held::finish_all(held, early.stop()).into_iter().chain(late).collect();
    let books = Books::close(&daemon, visits);
    books.assert_nobody_is_lost();
    let misled: Vec<_> = books
        .served
        .iter()
        .filter(|record| found_out.contains(&record.client) && record.backend.as_deref() == Some("victim"))
        .collect();
    assert!(misled.is_empty(), "nobody is sent there after the verdict: {misled:#?}");
    assert!(books.served.iter().all(|record| record.tries == 1), "it never refused a connection");
}

/// May be lost: who is connected to the stopped process, and whoever is sent there until the health check has found
/// out. The idle timeout ends their wait, and says so. Nobody later.
#[test]
fn a_hung_backend_that_never_wakes_loses_only_who_came_before_the_verdict() {
    let at = Loopback::new();
    let [one, two] = steady(at);
    let victim =
        BackendProcess::start(&[(at.backend(2), Behaviour::Exchange), (at.backend(3), Behaviour::Http)]);
    let entries = [one.entry(""), two.entry(""), checked(at.backend(2), at.backend(3))];
    let config = Config::new().listener("web", at.port(0), "idle_timeout = \"2s\"");
    let daemon = Daemon::start(config.pool_of("web", &entries, POOL));
    let visitors = Visitors::local(at);
    let traffic = visitors.start(THREADS);

    victim.hang();
    daemon.wait_for_state("web", "victim", BackendState::Unhealthy);
    let verdict = visitors.came();
    let late = visitors.start(THREADS).stop();

    let visits = traffic.stop().into_iter().chain(late).collect();
    let books = Books::close(&daemon, visits);
    books.assert_lost_with("victim", &[Termination::IdleTimeout]);
    assert!(!books.lost.is_empty(), "somebody is sent there before the verdict");
    let later: Vec<_> =
        books.lost.iter().filter(|lost| Visitors::number_of(lost.record.client) >= verdict).collect();
    assert!(later.is_empty(), "nobody is sent there after the verdict: {later:#?}");
}

/// May be lost: whoever is sent to the backend until the health check has found out. What they have sent has been
/// received there, so it is not Sluice's to send it to another. Nobody later, and nobody of the others.
#[test]
fn a_resetting_backend_loses_only_who_came_before_the_verdict() {
    let at = Loopback::new();
    let [one, two] = steady(at);
    let victim = Backend::start("victim", at.backend(2), Behaviour::Exchange);
    let health = WebServer::start(at.backend(3));
    health.always(Page::Status(200));
    let entries = [one.entry(""), two.entry(""), checked(victim.address(), health.address())];
    let config = Config::new().listener("web", at.port(0), "").pool_of("web", &entries, POOL);
    let daemon = Daemon::start(config);
    let visitors = Visitors::local(at);
    let held = visitors.hold(HELD);
    let traffic = visitors.start(THREADS);

    victim.behave(Behaviour::Reset);
    let resets = victim.accepted() + THREADS;
    eventually(PATIENCE, "some are reset", || victim.accepted() > resets);
    health.always(Page::Status(503));
    daemon.wait_for_state("web", "victim", BackendState::Unhealthy);
    let verdict = visitors.came();
    traffic.wait_for_more();
    victim.behave(Behaviour::Exchange);
    health.always(Page::Status(200));
    wait_until_it_is_used(&daemon, "victim");

    let books = Books::close(&daemon, Held::finish_all(held, traffic.stop()));
    books.assert_lost_with("victim", &[Termination::BackendReset]);
    assert!(!books.lost.is_empty(), "a reset is not hidden from anybody");
    for lost in &books.lost {
        assert!(Visitors::number_of(lost.record.client) < verdict, "after the verdict: {lost}");
    }
}
