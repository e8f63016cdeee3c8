//! The schedule under a made-up clock.

use std::net::IpAddr;

use lb_model::IpFamilies;
use proptest::prelude::*;

use super::*;
use crate::error::NoAnswer;
use crate::known::{Family, Found, Target};

const SETTINGS: DiscoverySettings = DiscoverySettings {
    families: IpFamilies::Ipv4,
    min_ttl: Duration::from_secs(5),
    max_ttl: Duration::from_secs(300),
    keep: Duration::from_secs(3600),
};

fn epoch() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn wanted(name: &str) -> Wanted {
    let query = DiscoveryQuery::Addresses { name: name.parse().unwrap(), port: Some(80) };
    Wanted { query, settings: SETTINGS }
}

/// The addresses 192.0.2.n with a TTL in seconds.
fn good(ttl: u64, ns: &[u8]) -> Result<Resolution, LookupError> {
    // For whatever name: only the keys have to fit together.
    let target = Target::named("host", Some(80));
    let what = ns.iter().map(|n| IpAddr::from([192, 0, 2, *n])).collect();
    let found = Found { what, ttl: Duration::from_secs(ttl) };
    let addresses = [((Arc::clone(&target.host), Family::V4), Ok(found))].into();
    Resolution::new(vec![target], None, addresses)
}

fn bad(reason: NoAnswer) -> Result<Resolution, LookupError> {
    Err(LookupError { record: "A", name: "db.example".into(), reason })
}

fn broken() -> Result<Resolution, LookupError> {
    bad(NoAnswer::Rcode("SERVFAIL".into()))
}

/// A schedule with one name.
fn schedule_of(wanted: &Wanted) -> (Schedule, Instant) {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_wanted(vec![wanted.clone()], now);
    (schedule, now)
}

/// Resolves the next name, which takes no time. Returns when that was.
fn step(schedule: &mut Schedule, result: Result<Resolution, LookupError>) -> Instant {
    let at = schedule.next_due().unwrap();
    let (id, _) = schedule.start_next(at).unwrap();
    schedule.finish(id, result, at, 0);
    at
}

/// The last bytes of the addresses of the changes since.
fn changes(schedule: &mut Schedule) -> Vec<Vec<u8>> {
    let last = |endpoint: &Endpoint| match endpoint.ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => unreachable!("not asked for"),
    };
    std::iter::from_fn(|| schedule.next_change())
        .map(|change| change.endpoints.iter().map(last).collect())
        .collect()
}

#[test]
fn a_new_name_is_resolved_at_once_and_again_after_its_ttl() {
    let (mut schedule, now) = schedule_of(&wanted("a"));
    assert_eq!(step(&mut schedule, good(30, &[1])), now);
    assert_eq!(step(&mut schedule, good(0, &[1])), now + Duration::from_secs(30));
    assert_eq!(step(&mut schedule, good(86400, &[1])), now + Duration::from_secs(35), "not before min_ttl");
    assert_eq!(schedule.next_due(), Some(now + Duration::from_secs(335)), "not after max_ttl");
    assert_eq!(schedule.snapshot()[0].ttl, Some(Duration::from_secs(86400)));
}

#[test]
fn only_another_set_is_a_change() {
    let (mut schedule, _) = schedule_of(&wanted("a"));
    for ns in [&[1, 2][..], &[2, 1], &[2, 2, 1], &[1, 2, 3], &[3]] {
        step(&mut schedule, good(30, ns));
    }
    assert_eq!(changes(&mut schedule), [vec![1, 2], vec![1, 2, 3], vec![3]]);
}

#[test]
fn a_failure_is_no_change_until_the_answer_is_too_old() {
    let (mut schedule, _) = schedule_of(&wanted("a"));
    let answered = step(&mut schedule, good(30, &[1]));
    let mut reasons = [NoAnswer::NoSuchName, NoAnswer::NoRecord, NoAnswer::Timeout(Duration::from_secs(2))]
        .into_iter()
        .cycle();
    let mut last = answered;
    while !schedule.answer(&wanted("a")).unwrap().is_empty() {
        last = step(&mut schedule, bad(reasons.next().unwrap()));
    }
    assert_eq!(last, answered + SETTINGS.keep, "decided by the result at that very time");
    assert_eq!(changes(&mut schedule), [vec![1], vec![]]);
    step(&mut schedule, good(30, &[1]));
    assert_eq!(changes(&mut schedule), [vec![1]]);
}

#[test]
fn the_status_says_how_it_stands() {
    let (mut schedule, now) = schedule_of(&wanted("a"));
    let state = |schedule: &Schedule| schedule.snapshot()[0].state.clone();
    assert_eq!((state(&schedule), schedule.answer(&wanted("a"))), (State::Unresolved, None));
    assert!(!schedule.has_all_results());
    step(&mut schedule, broken());
    let reason = broken().unwrap_err();
    assert_eq!(state(&schedule), State::Failing { since: now, reason: reason.clone(), kept_until: None });
    assert!(schedule.has_all_results() && schedule.answer(&wanted("a")).unwrap().is_empty());
    let good_at = step(&mut schedule, good(30, &[1]));
    assert_eq!(state(&schedule), State::Resolved);
    let since = step(&mut schedule, broken());
    step(&mut schedule, broken());
    assert_eq!(state(&schedule), State::Failing { since, reason, kept_until: Some(good_at + SETTINGS.keep) });
    assert_eq!(schedule.snapshot()[0].endpoints, 1);
}

#[test]
fn failures_are_retried_ever_more_slowly_until_one_succeeds() {
    let (mut schedule, _) = schedule_of(&wanted("a"));
    let mut times: Vec<_> = (0..9).map(|_| step(&mut schedule, broken())).collect();
    times.push(step(&mut schedule, good(30, &[1])));
    let pauses: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    let failed = step(&mut schedule, broken());
    assert_eq!(schedule.next_due().unwrap() - failed, SETTINGS.min_ttl, "from the beginning");
}

#[test]
fn equal_names_are_one() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_wanted(vec![wanted("a"), wanted("b"), wanted("a")], now);
    let names: Vec<_> = std::iter::from_fn(|| schedule.start_next(now)).map(|(_, wanted)| wanted).collect();
    assert_eq!(names.len(), 2);
}

#[test]
fn what_stays_keeps_its_answer_and_its_time() {
    let (mut schedule, now) = schedule_of(&wanted("a"));
    step(&mut schedule, good(30, &[1]));
    let before = schedule.snapshot();
    schedule.set_wanted(vec![wanted("a"), wanted("b")], now);
    assert_eq!(schedule.snapshot()[0], before[0]);
    assert_eq!(schedule.start_next(now).map(|(_, wanted)| wanted.query.name().to_string()), Some("b".into()));
    schedule.set_wanted(vec![wanted("b")], now);
    assert_eq!((schedule.answer(&wanted("a")), schedule.next_due()), (None, None));
}

#[test]
fn other_settings_begin_with_the_answer_that_there_is() {
    let name: Wanted = wanted("host");
    let (mut schedule, now) = schedule_of(&name);
    step(&mut schedule, good(30, &[1]));
    changes(&mut schedule);
    let port = DiscoveryQuery::Addresses { name: "host".parse().unwrap(), port: Some(81) };
    let other =
        Wanted { query: port, settings: DiscoverySettings { keep: Duration::from_secs(9), ..SETTINGS } };
    schedule.set_wanted(vec![other.clone()], now);
    let addresses = |schedule: &Schedule| schedule.answer(&other).unwrap()[0].address().to_string();
    assert_eq!(addresses(&schedule), "192.0.2.1:81");
    assert!(!schedule.has_all_results(), "its own has yet to come");
    step(&mut schedule, broken());
    assert_eq!(addresses(&schedule), "192.0.2.1:81", "and it is kept as if it were its own");
    assert_eq!(schedule.next_due(), Some(now + SETTINGS.min_ttl));
}

#[test]
fn asked_again_all_are_due_and_late_results_are_nobodys() {
    let (mut schedule, now) = schedule_of(&wanted("a"));
    step(&mut schedule, good(30, &[1]));
    let due = schedule.next_due().unwrap();
    let (late, _) = schedule.start_next(due).unwrap();
    schedule.ask_again(due);
    assert!(!schedule.wants(late));
    schedule.finish(late, good(30, &[66]), due, 0);
    assert_eq!(*schedule.answer(&wanted("a")).unwrap(), [Endpoint { rank: 0, ..endpoint(1) }]);
    assert!(!schedule.has_all_results());
    assert_eq!(step(&mut schedule, good(30, &[2])), due);
    assert_eq!(changes(&mut schedule), [vec![1], vec![2]]);
    assert!(due > now);
}

fn endpoint(n: u8) -> Endpoint {
    Endpoint { ip: IpAddr::from([192, 0, 2, n]), port: Some(80), weight: 1, rank: 0 }
}

#[test]
fn the_log_gets_a_few_of_many_addresses() {
    let many: Vec<_> = (0..100).map(endpoint).collect();
    assert!(Addresses::of(&many, &many[..2]).to_string().starts_with("192.0.2.2:80 192.0.2.3:80 "));
    assert!(Addresses::of(&many, &[]).to_string().ends_with(" 192.0.2.19:80 and 80 more"));
    assert_eq!(Addresses::of(&many[..1], &[]).to_string(), "192.0.2.0:80");
}

proptest! {
    #[test]
    fn pauses_grow_within_their_bounds(
        first in 1_u64..100_000, more in 0_u64..10_000_000, tries in any::<u32>(), chance in any::<u32>(),
    ) {
        let (first, longest) = (Duration::from_millis(first), Duration::from_millis(first + more));
        let pause = backoff(first, longest, tries, chance);
        prop_assert!(first <= pause && pause <= longest.mul_f64(1.251));
        prop_assert!(pause <= backoff(first, longest, tries.saturating_add(1), u32::MAX));
    }

    /// Whatever happens, each name is due or running, never both, and comes at its time.
    #[test]
    fn every_name_stays_on_the_schedule(
        acts in prop::collection::vec((0_u8..6, 0_u64..400, any::<u32>(), 0_u8..8), 1..80),
    ) {
        let (mut schedule, mut now) = (Schedule::default(), epoch());
        let names = ["a", "b", "c"].map(wanted);
        let mut running = vec![];
        let mut told: HashMap<Wanted, Arc<[Endpoint]>> = HashMap::new();
        for (act, seconds, chance, choice) in acts {
            now += Duration::from_secs(seconds);
            let subset = || names.iter().enumerate().filter(|(n, _)| choice & (1 << n) != 0);
            match act {
                0 => schedule.set_wanted(subset().map(|(_, name)| name.clone()).collect(), now),
                1 if choice == 0 => schedule.ask_again(now),
                1..=3 => running.extend(schedule.start_next(now).map(|(id, _)| id)),
                _ => {
                    let result = if choice < 4 { good(seconds, &[choice]) } else { broken() };
                    if let Some(id) = running.pop() {
                        schedule.finish(id, result, now, chance);
                    }
                }
            }
            running.retain(|&id| schedule.wants(id));
            while let Some(change) = schedule.next_change() {
                told.insert(change.wanted, change.endpoints);
            }
            prop_assert_eq!(schedule.due.len() + running.len(), schedule.names.len());
            prop_assert_eq!(schedule.ids.len(), schedule.names.len());
            let longest = SETTINGS.max_ttl.mul_f64(1.251);
            prop_assert!(schedule.due.iter().all(|&(at, _)| at <= now + longest));
            for status in schedule.snapshot() {
                let answer = schedule.answer(&status.wanted).unwrap_or_default();
                prop_assert_eq!(status.endpoints, answer.len());
                if matches!(status.state, State::Resolved) {
                    prop_assert_eq!(Some(&answer), told.get(&status.wanted), "who listens knows it");
                }
            }
        }
    }
}
