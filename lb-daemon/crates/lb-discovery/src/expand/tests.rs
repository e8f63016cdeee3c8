//! From endpoints to backends.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::time::Duration;

use lb_model::{Algorithm, DiscoverySettings, PassiveHealth, Percent, Queue, Zones};
use proptest::prelude::*;

use super::*;

fn services(name: &str) -> DiscoveryQuery {
    DiscoveryQuery::Services { name: name.parse().unwrap() }
}

fn discovery(name: &str) -> Discovery {
    Discovery {
        query: services(name),
        weight: Weight(2),
        tier: 1,
        zone: Some("rack-1".parse().unwrap()),
        max_connections: NonZeroU32::new(100),
        health_check: None,
    }
}

fn endpoint(n: u32, weight: u16, rank: u8) -> Endpoint {
    let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n));
    Endpoint { ip, port: Some(80), weight, rank }
}

fn backend(name: &str, address: &str) -> Backend {
    Backend {
        name: name.parse().unwrap(),
        address: address.parse().unwrap(),
        weight: Weight::DEFAULT,
        max_connections: None,
        tier: 0,
        zone: None,
        health_check: None,
    }
}

fn pool(backends: Vec<Backend>, discover: Vec<Discovery>) -> Pool {
    Pool {
        name: "web".parse().unwrap(),
        balance: Algorithm::RoundRobin,
        backends,
        discover,
        discovery: DiscoverySettings::DEFAULT,
        connect_timeout: Duration::from_secs(1),
        connect_tries: NonZeroU8::MIN,
        keepalive: None,
        queue: Queue { limit: 0, timeout: Duration::ZERO },
        passive_health: PassiveHealth {
            failures: NonZeroU32::MIN,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(1),
            max_ejected: Percent::ALL,
        },
        slow_start: None,
        panic_threshold: Percent::ZERO,
        zones: Zones::Ignore,
        send_proxy: None,
        http: lb_model::HttpUpstream::DEFAULT,
    }
}

/// What the pool gets where every name has these endpoints.
fn all_have(pool: &Pool, endpoints: Vec<Endpoint>) -> (Vec<Backend>, Vec<Note>) {
    let endpoints: Arc<[_]> = endpoints.into();
    backends(pool, |_| Some(Arc::clone(&endpoints)))
}

#[test]
fn a_backend_has_what_the_template_and_the_record_say() {
    let pool = pool(vec![], vec![discovery("a")]);
    let (found, notes) = all_have(&pool, vec![endpoint(1, 3, 0), endpoint(2, 1, 2)]);
    let expected = |address: &str, weight, tier| Backend {
        weight: Weight(weight),
        tier,
        zone: Some("rack-1".parse().unwrap()),
        max_connections: NonZeroU32::new(100),
        ..backend(address, address)
    };
    assert_eq!(found, [expected("10.0.0.1:80", 6, 1), expected("10.0.0.2:80", 2, 3)]);
    assert_eq!(notes, []);
}

#[test]
fn a_name_without_an_answer_has_no_backends() {
    let pool = pool(vec![], vec![discovery("a")]);
    assert_eq!(backends(&pool, |_| None), (vec![], vec![]));
}

#[test]
fn who_comes_first_has_the_address_and_the_name() {
    let same_address = backend("db", "10.0.0.1:80");
    let same_name = backend("10.0.0.2:80", "192.0.2.1:80");
    let pool = pool(vec![same_address, same_name], vec![discovery("a"), discovery("b")]);
    let (found, notes) = all_have(&pool, vec![endpoint(1, 1, 0), endpoint(2, 1, 0), endpoint(3, 1, 0)]);
    assert_eq!(found.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>(), ["10.0.0.3:80"]);
    let dropped: Vec<_> =
        notes.iter().map(|note| (note.query.name().as_str(), note.addresses.len())).collect();
    assert_eq!(dropped, [("a", 2), ("b", 3)]);
    assert_eq!(
        notes[0].to_string(),
        "2 of the addresses of a (for example 10.0.0.1:80) are left out: the pool has a backend with that address \
         or name"
    );
}

#[test]
fn a_pool_takes_no_more_than_it_may_have() {
    let pool = pool(vec![backend("db", "192.0.2.1:80")], vec![discovery("a")]);
    let (found, notes) = all_have(&pool, (0..5000).map(|n| endpoint(n, 1, 0)).collect());
    assert_eq!(found.len(), Pool::MAX_BACKENDS - 1);
    assert_eq!((notes[0].reason, notes[0].addresses.len()), (Reason::TooMany, 5000 - found.len()));
    assert!(notes[0].to_string().ends_with("a pool has at most 4096 backends"));
}

#[test]
fn tiers_end_where_they_do() {
    let last = Discovery { tier: 250, ..discovery("a") };
    let (found, _) = all_have(&pool(vec![], vec![last]), vec![endpoint(1, 1, 9)]);
    assert_eq!(found[0].tier, 255);
}

proptest! {
    #[test]
    fn weights_keep_their_ratio(
        template in any::<u16>(),
        weights in prop::collection::vec(1_u16.., 1..20),
    ) {
        let endpoints: Vec<_> = (0..).zip(&weights).map(|(n, &weight)| endpoint(n, weight, 0)).collect();
        let discovery = Discovery { weight: Weight(template), ..discovery("a") };
        let (found, _) = all_have(&pool(vec![], vec![discovery]), endpoints);
        let exact: Vec<_> = weights.iter().map(|&weight| f64::from(template) * f64::from(weight)).collect();
        let most = exact.iter().copied().fold(0.0, f64::max);
        let scale = f64::min(1.0, f64::from(u16::MAX) / f64::max(most, 1.0));
        for (backend, exact) in found.iter().zip(exact) {
            prop_assert!((f64::from(backend.weight.0) - exact * scale).abs() < 1.001, "{found:?}");
            prop_assert_eq!(backend.weight.0 == 0, template == 0, "only the template takes backends out");
        }
    }

    #[test]
    fn names_and_addresses_are_unique_whatever_is_found(
        first in prop::collection::vec(0_u32..30, 0..40),
        second in prop::collection::vec(0_u32..30, 0..40),
    ) {
        let pool = pool(vec![backend("10.0.0.7:80", "10.0.0.8:80")], vec![discovery("a"), discovery("b")]);
        let of = |ns: &[u32]| ns.iter().map(|&n| endpoint(n, 1, 0)).collect::<Arc<[_]>>();
        let (found, notes) =
            backends(&pool, |query| Some(of(if *query == services("a") { &first } else { &second })));
        let all: Vec<_> = pool.backends.iter().chain(&found).collect();
        prop_assert_eq!(all.iter().map(|backend| &backend.name).collect::<HashSet<_>>().len(), all.len());
        prop_assert_eq!(all.iter().map(|backend| backend.address).collect::<HashSet<_>>().len(), all.len());
        let dropped: usize = notes.iter().map(|note| note.addresses.len()).sum();
        prop_assert_eq!(found.len() + dropped, first.len() + second.len(), "nothing is lost in silence");
    }
}
