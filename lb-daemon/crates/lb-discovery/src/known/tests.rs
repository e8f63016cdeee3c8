//! What counts after results of all kinds.

use proptest::prelude::*;

use super::*;

const KEEP: Duration = Duration::from_secs(60);

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn error(reason: NoAnswer) -> LookupError {
    LookupError { record: "A", name: "db.example".into(), reason }
}

fn broken() -> LookupError {
    error(NoAnswer::Rcode("SERVFAIL".into()))
}

fn nothing() -> LookupError {
    error(NoAnswer::NoRecord)
}

fn found(ips: &[&str]) -> Result<Found<Vec<IpAddr>>, LookupError> {
    Ok(Found { what: ips.iter().map(|ip| ip.parse().unwrap()).collect(), ttl: Duration::from_secs(30) })
}

type Half = Result<Found<Vec<IpAddr>>, LookupError>;

/// A host's addresses.
fn host(v4: Half, v6: Half) -> Result<Resolution, LookupError> {
    let target = Target::named("db.example", Some(80));
    let key = |family| (Arc::clone(&target.host), family);
    let addresses = [(key(Family::V4), v4), (key(Family::V6), v6)].into();
    Resolution::new(vec![target], None, addresses)
}

fn ips(known: &Known) -> Vec<String> {
    known.endpoints().iter().map(|endpoint| endpoint.ip.to_string()).collect()
}

#[test]
fn both_families_are_taken() {
    let mut known = Known::default();
    let learned =
        known.learn(host(found(&["192.0.2.2", "192.0.2.1"]), found(&["2001:db8::1"])), start(), KEEP);
    assert_eq!(learned, Learned { ttl: Some(Duration::from_secs(30)), failure: None });
    assert_eq!(ips(&known), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
}

#[test]
fn a_family_that_has_nothing_is_empty_at_once() {
    let (mut known, now) = (Known::default(), start());
    known.learn(host(found(&["192.0.2.1"]), found(&["2001:db8::1"])), now, KEEP);
    let learned = known.learn(host(found(&["192.0.2.1"]), Err(nothing())), now, KEEP);
    assert_eq!((learned.failure, ips(&known)), (None, vec!["192.0.2.1".into()]));
}

#[test]
fn a_family_that_fails_keeps_what_it_had_for_a_while() {
    let (mut known, now) = (Known::default(), start());
    known.learn(host(found(&["192.0.2.1"]), found(&["2001:db8::1"])), now, KEEP);
    let half = || host(found(&["192.0.2.9"]), Err(broken()));
    let learned = known.learn(half(), now + KEEP / 2, KEEP);
    assert_eq!(learned, Learned { ttl: Some(Duration::from_secs(30)), failure: Some(broken()) });
    assert_eq!(ips(&known), ["192.0.2.9", "2001:db8::1"]);
    assert_eq!(known.kept_until(KEEP), Some(now + KEEP));
    known.learn(half(), now + KEEP, KEEP);
    assert_eq!((ips(&known), known.kept_until(KEEP)), (vec!["192.0.2.9".into()], None));
}

#[test]
fn a_name_that_has_nothing_any_more_keeps_all_for_a_while() {
    for gone in [
        host(Err(nothing()), Err(nothing())),
        host(Err(broken()), Err(nothing())),
        Err(error(NoAnswer::NotAvailable)),
        Err(error(NoAnswer::Timeout(Duration::from_secs(2)))),
    ] {
        let (mut known, now) = (Known::default(), start());
        known.learn(host(found(&["192.0.2.1"]), found(&["2001:db8::1"])), now, KEEP);
        assert!(known.learn(gone.clone(), now + KEEP / 2, KEEP).failure.is_some());
        assert_eq!(ips(&known), ["192.0.2.1", "2001:db8::1"], "{gone:?}");
        known.learn(gone.clone(), now + KEEP, KEEP);
        assert!(ips(&known).is_empty(), "{gone:?}");
    }
}

#[test]
fn of_two_reasons_the_one_that_says_more_is_told() {
    let absent = || error(NoAnswer::NoSuchName);
    assert_eq!(host(Err(nothing()), Err(broken())), Err(broken()));
    assert_eq!(host(Err(absent()), Err(nothing())), Err(nothing()));
    assert_eq!(host(Err(absent()), Err(absent())), Err(absent()));
}

#[test]
fn nothing_is_kept_where_nothing_shall_be() {
    let (mut known, now) = (Known::default(), start());
    known.learn(host(found(&["192.0.2.1"]), Err(nothing())), now, Duration::ZERO);
    known.learn(Err(broken()), now, Duration::ZERO);
    assert!(ips(&known).is_empty());
}

#[test]
fn a_target_that_fails_has_its_old_addresses_and_its_new_place() {
    let (mut known, now) = (Known::default(), start());
    let service = |targets: &[(&str, u16, Half)]| {
        let target = |host: &str, port| Target { port: Some(port), weight: 5, ..Target::named(host, None) };
        let addresses =
            targets.iter().map(|(host, _, half)| (((*host).into(), Family::V4), half.clone())).collect();
        let targets = targets.iter().map(|(host, port, _)| target(host, *port)).collect();
        Resolution::new(targets, Some(Duration::from_secs(10)), addresses)
    };
    let shown = |known: &Known| known.endpoints().iter().map(|e| e.address().to_string()).collect::<Vec<_>>();
    let all = [
        ("a", 80, found(&["192.0.2.1"])),
        ("b", 80, found(&["192.0.2.2"])),
        ("c", 80, found(&["192.0.2.3"])),
    ];
    assert_eq!(known.learn(service(&all), now, KEEP).ttl, Some(Duration::from_secs(10)));
    assert_eq!(shown(&known), ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"]);
    // "b" has moved to another port and its addresses cannot be had; "c" is gone.
    let learned =
        known.learn(service(&[("a", 80, found(&["192.0.2.1"])), ("b", 81, Err(broken()))]), now, KEEP);
    assert_eq!(learned.failure, Some(broken()));
    assert_eq!(shown(&known), ["192.0.2.1:80", "192.0.2.2:81"]);
}

#[test]
fn one_address_is_one_endpoint() {
    let target = |host: &str, weight, rank| Target { host: host.into(), port: Some(80), weight, rank };
    let addresses = ["a", "b", "c"].map(|host| ((host.into(), Family::V4), found(&["192.0.2.1"])));
    let targets = vec![target("a", 9, 1), target("b", 1, 0), target("c", 2, 0)];
    let mut known = Known::default();
    known.learn(Resolution::new(targets, None, addresses.into()), start(), KEEP);
    let ip = "192.0.2.1".parse().unwrap();
    assert_eq!(*known.endpoints(), [Endpoint { ip, port: Some(80), weight: 2, rank: 0 }]);
}

#[test]
fn another_question_about_the_name_takes_over_what_fits() {
    let mut known = Known::default();
    known.learn(host(found(&["192.0.2.1"]), found(&["2001:db8::1"])), start(), KEEP);
    let query = DiscoveryQuery::Addresses { name: "db.example".parse().unwrap(), port: None };
    let adapted = known.adapted(&query, IpFamilies::Ipv4);
    assert_eq!(
        adapted.endpoints().iter().map(|e| e.address().to_string()).collect::<Vec<_>>(),
        ["192.0.2.1"]
    );
}

proptest! {
    #[test]
    fn the_order_of_an_answer_means_nothing(
        addresses in prop::collection::vec(0_u8..20, 1..20).prop_flat_map(|all| {
            (Just(all.clone()), Just(all).prop_shuffle())
        }),
    ) {
        let endpoints = |ns: &[u8]| {
            let ips: Vec<_> = ns.iter().map(|n| format!("192.0.2.{n}")).collect();
            let mut known = Known::default();
            let ips: Vec<_> = ips.iter().map(String::as_str).collect();
            known.learn(host(found(&ips), Err(nothing())), start(), KEEP);
            known.endpoints()
        };
        prop_assert_eq!(endpoints(&addresses.0), endpoints(&addresses.1));
    }

    /// Against the rule itself: an address counts if it was there the last time its family could be asked and the
    /// name had any, and that is not too long ago.
    #[test]
    fn no_address_counts_that_was_not_confirmed_within_keep(
        steps in prop::collection::vec((0_u8..3, 0_u8..3, 1_u64..50), 1..40),
    ) {
        let (mut known, mut now) = (Known::default(), start());
        let mut confirmed: BTreeMap<Family, Instant> = BTreeMap::new();
        for (v4, v6, seconds) in steps {
            now += Duration::from_secs(seconds);
            let half = |kind, ip: &str| match kind {
                0 => found(&[ip]),
                1 => Err(nothing()),
                _ => Err(broken()),
            };
            let kinds = [(Family::V4, v4), (Family::V6, v6)];
            known.learn(host(half(v4, "192.0.2.1"), half(v6, "2001:db8::1")), now, KEEP);
            let fresh = kinds.iter().any(|&(_, kind)| kind == 0);
            for (family, kind) in kinds {
                match kind {
                    0 => { confirmed.insert(family, now); }
                    1 if fresh => { confirmed.remove(&family); }
                    _ => {}
                }
            }
            confirmed.retain(|_, at| now - *at < KEEP);
            let counts: Vec<_> = confirmed.keys().copied().collect();
            let has = |endpoint: &Endpoint| if endpoint.ip.is_ipv4() { Family::V4 } else { Family::V6 };
            prop_assert_eq!(known.endpoints().iter().map(has).collect::<Vec<_>>(), counts);
            let kept = confirmed.values().copied().filter(|&at| at < now).min();
            prop_assert_eq!(known.kept_until(KEEP), kept.map(|at| at + KEEP));
        }
    }
}
