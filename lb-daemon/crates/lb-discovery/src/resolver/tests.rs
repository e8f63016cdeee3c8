//! The shell: with lookups that are scripted and time that is paused, and with a real name server.

use std::net::IpAddr;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use lb_model::{DiscoveryQuery, DiscoverySettings, IpFamilies};
use tokio::sync::mpsc;

use super::*;
use crate::known::{Family, Found, Target};
use crate::name_server::{Entry, NameServer, Zone, service};
use crate::schedule::State;

fn wanted(name: &str) -> Wanted {
    let query = DiscoveryQuery::Addresses { name: name.parse().unwrap(), port: Some(80) };
    let settings = DiscoverySettings { families: IpFamilies::Ipv4, ..DiscoverySettings::DEFAULT };
    Wanted { query, settings }
}

fn one_address(ttl: Duration, ip: [u8; 4]) -> LookupResult {
    let target = Target::named("host", Some(80));
    let found = Found { what: vec![IpAddr::from(ip)], ttl };
    let addresses = [((Arc::clone(&target.host), Family::V4), Ok(found))].into();
    Resolution::new(vec![target], None, addresses)
}

fn shown(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(|endpoint| endpoint.address().to_string()).collect()
}

/// Runs `test` while the resolver runs; `test` gets the changes.
async fn while_running<T>(
    run: impl AsyncFnOnce(mpsc::Sender<Change>),
    test: impl AsyncFnOnce(mpsc::Receiver<Change>) -> T,
) -> T {
    let (changes, received) = mpsc::channel(1000);
    tokio::select! {
        done = test(received) => done,
        () = run(changes) => unreachable!("runs for ever"),
        // Of paused time, or of a test that hangs.
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("what the test waits for does not happen"),
    }
}

async fn drive<P, F, T>(
    resolver: &Resolver,
    resolve: P,
    test: impl AsyncFnOnce(mpsc::Receiver<Change>) -> T,
) -> T
where
    P: Fn(Arc<Wanted>) -> F,
    F: Future<Output = LookupResult> + Send + 'static,
{
    let run = async |changes: mpsc::Sender<Change>| {
        resolver.drive(resolve, |change| changes.try_send(change).unwrap()).await;
    };
    while_running(run, test).await
}

async fn run<T>(resolver: &Resolver, test: impl AsyncFnOnce(mpsc::Receiver<Change>) -> T) -> T {
    let run = async |changes: mpsc::Sender<Change>| {
        resolver.run(|change| changes.try_send(change).unwrap()).await;
    };
    while_running(run, test).await
}

#[tokio::test(start_paused = true)]
async fn resolves_as_the_ttl_says() {
    let resolver = Resolver::default();
    let began = tokio::time::Instant::now();
    let lookups = Arc::new(Mutex::new(vec![]));
    let times = Arc::clone(&lookups);
    let resolve = move |_| {
        let mut times = times.lock().unwrap();
        times.push(began.elapsed().as_secs());
        let nth = u8::try_from(times.len()).unwrap();
        async move { one_address(Duration::from_secs(7), [192, 0, 2, nth]) }
    };
    resolver.set_wanted(vec![wanted("a")], &[]);
    drive(&resolver, resolve, async |mut changes| {
        for nth in 1..=3 {
            assert_eq!(shown(&changes.recv().await.unwrap().endpoints), [format!("192.0.2.{nth}:80")]);
        }
    })
    .await;
    assert_eq!(*lookups.lock().unwrap(), [0, 7, 14]);
}

#[tokio::test(start_paused = true)]
async fn first_answers_are_waited_for_but_not_for_ever() {
    let resolver = Resolver::default();
    let resolve = |wanted: Arc<Wanted>| async move {
        match wanted.query.name().as_str() {
            "slow" => tokio::time::sleep(Duration::from_secs(3)).await,
            "never" => std::future::pending().await,
            _ => {}
        }
        one_address(Duration::from_secs(3000), [192, 0, 2, 1])
    };
    let waited = async |resolver: &Resolver| {
        let began = tokio::time::Instant::now();
        resolver.first_answers(Duration::from_secs(10)).await;
        began.elapsed().as_secs()
    };
    assert_eq!(waited(&resolver).await, 0, "nothing is wanted");
    resolver.set_wanted(vec![wanted("fast"), wanted("slow")], &[]);
    drive(&resolver, resolve, async |_| {
        assert_eq!(waited(&resolver).await, 3);
        assert!(resolver.answer(&wanted("fast")).is_some() && resolver.answer(&wanted("slow")).is_some());
        resolver.set_wanted(vec![wanted("fast"), wanted("never")], &[]);
        assert_eq!(waited(&resolver).await, 10);
        assert_eq!(resolver.answer(&wanted("never")), None);
        resolver.set_wanted(vec![wanted("fast")], &[]);
        assert_eq!(waited(&resolver).await, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_nobody_wants_any_more_ends_at_once() {
    struct Ended(mpsc::Sender<()>);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }
    let resolver = Resolver::default();
    let (ended, mut has_ended) = mpsc::channel(10);
    let (started, mut has_started) = mpsc::channel(10);
    let resolve = move |_| {
        let (ended, started) = (ended.clone(), started.clone());
        async move {
            let _ended = Ended(ended);
            started.send(()).await.unwrap();
            std::future::pending().await
        }
    };
    resolver.set_wanted(vec![wanted("a")], &[]);
    drive(&resolver, resolve, async |_| {
        has_started.recv().await.unwrap();
        // Other name servers: the old question is of no use.
        resolver.set_wanted(vec![wanted("a")], &["192.0.2.53:53".parse().unwrap()]);
        has_ended.recv().await.unwrap();
        has_started.recv().await.unwrap();
        resolver.set_wanted(vec![], &["192.0.2.53:53".parse().unwrap()]);
        has_ended.recv().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_panics_is_a_failure_and_is_tried_again() {
    let resolver = Resolver::default();
    let tries = Arc::new(Mutex::new(0));
    let resolve = move |_| {
        let nth = {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            *tries
        };
        async move {
            assert!(nth > 1, "a bug");
            one_address(Duration::from_secs(30), [192, 0, 2, 1])
        }
    };
    resolver.set_wanted(vec![wanted("a")], &[]);
    drive(&resolver, resolve, async |mut changes| {
        resolver.first_answers(Duration::from_secs(10)).await;
        assert!(matches!(resolver.snapshot()[0].state, State::Failing { .. }));
        changes.recv().await.unwrap();
        assert_eq!(resolver.snapshot()[0].state, State::Resolved);
    })
    .await;
}

/// As short as it gets, so that a real server can be watched.
fn impatient(query: DiscoveryQuery, keep: Duration) -> Wanted {
    let (min_ttl, max_ttl) = (Duration::from_millis(10), Duration::from_millis(20));
    Wanted { query, settings: DiscoverySettings { families: IpFamilies::Both, min_ttl, max_ttl, keep } }
}

#[tokio::test]
async fn follows_a_real_name_as_it_changes_vanishes_and_returns() {
    let zone = Zone::default();
    zone.addresses("db.example", 0, &["192.0.2.1", "2001:db8::1"]);
    let server = NameServer::with(&zone).await;
    let resolver = Resolver::default();
    let query = DiscoveryQuery::Addresses { name: "db.example".parse().unwrap(), port: Some(80) };
    let wanted = impatient(query, Duration::from_millis(300));
    resolver.set_wanted(vec![wanted.clone()], &[server.address]);
    run(&resolver, async |mut changes| {
        let mut next = async || shown(&changes.recv().await.unwrap().endpoints);
        assert_eq!(next().await, ["192.0.2.1:80", "[2001:db8::1]:80"]);
        zone.addresses("db.example", 0, &["192.0.2.2", "2001:db8::1", "192.0.2.1"]);
        assert_eq!(next().await, ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"]);
        for family in [RecordType::A, RecordType::AAAA] {
            zone.fails("db.example", family, ResponseCode::ServFail);
        }
        // Both at once, or one after the other.
        let mut last = next().await;
        while !last.is_empty() {
            last = next().await;
        }
        let State::Failing { reason, kept_until, .. } = &resolver.snapshot()[0].state else { panic!() };
        assert_eq!((&reason.reason, *kept_until), (&NoAnswer::Rcode("SERVFAIL".into()), None));
        zone.addresses("db.example", 0, &["192.0.2.3"]);
        assert_eq!(next().await, ["192.0.2.3:80"]);
        assert_eq!(shown(&resolver.answer(&wanted).unwrap()), ["192.0.2.3:80"]);
    })
    .await;
}

#[tokio::test]
async fn a_vanished_name_is_kept() {
    let zone = Zone::default();
    zone.addresses("db.example", 0, &["192.0.2.1"]);
    let server = NameServer::with(&zone).await;
    let resolver = Resolver::default();
    let query = DiscoveryQuery::Addresses { name: "db.example".parse().unwrap(), port: Some(80) };
    let wanted = impatient(query, Duration::from_secs(3600));
    resolver.set_wanted(vec![wanted.clone()], &[server.address]);
    run(&resolver, async |mut changes| {
        changes.recv().await.unwrap();
        for family in [RecordType::A, RecordType::AAAA] {
            zone.fails("db.example", family, ResponseCode::NXDomain);
        }
        // Often enough that it has failed more than once.
        zone.has_been_asked(zone.asked().len() + 10).await;
        assert!(matches!(resolver.snapshot()[0].state, State::Failing { kept_until: Some(_), .. }));
        assert_eq!(shown(&resolver.answer(&wanted).unwrap()), ["192.0.2.1:80"]);
        assert!(changes.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn other_name_servers_are_asked_at_once() {
    let (old, new) = (Zone::default(), Zone::default());
    let name = "_http._tcp.example";
    let records = |target, port| vec![service(name, 3600, [0, 0, port], target)];
    old.set(name, RecordType::SRV, Entry::Records(records("a.example", 80), vec![]));
    old.addresses("a.example", 3600, &["192.0.2.1"]);
    new.set(name, RecordType::SRV, Entry::Records(records("b.example", 81), vec![]));
    new.addresses("b.example", 3600, &["192.0.2.2"]);
    let (before, after) = (NameServer::with(&old).await, NameServer::with(&new).await);
    let resolver = Resolver::default();
    let query = DiscoveryQuery::Services { name: name.parse().unwrap() };
    let wanted = Wanted { query, settings: DiscoverySettings::DEFAULT };
    resolver.set_wanted(vec![wanted.clone()], &[before.address]);
    run(&resolver, async |mut changes| {
        assert_eq!(shown(&changes.recv().await.unwrap().endpoints), ["192.0.2.1:80"]);
        resolver.set_wanted(vec![wanted.clone()], &[before.address]);
        let asked = old.asked().len();
        resolver.set_wanted(vec![wanted.clone()], &[after.address]);
        assert_eq!(shown(&changes.recv().await.unwrap().endpoints), ["192.0.2.2:81"]);
        assert_eq!(old.asked().len(), asked, "nobody asks those of before, nor did they ask again");
    })
    .await;
}
