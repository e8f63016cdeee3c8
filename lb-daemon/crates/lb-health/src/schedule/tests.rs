//! The schedule under a made-up clock: scenarios, a simulation of flapping, and its invariants under random acts.

use std::num::NonZeroU32;

use lb_model::{ExecProbe, Jitter, Probe};
use proptest::prelude::*;

use super::*;

const HALF: u32 = u32::MAX / 2;

fn epoch() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn check() -> HealthCheck {
    HealthCheck { jitter: Jitter::NONE, ..HealthCheck::new(Probe::Tcp) }
}

fn key(pool: &str, backend: &str) -> TargetKey {
    TargetKey { pool: pool.parse().unwrap(), backend: backend.parse().unwrap() }
}

fn target(pool: &str, port: u16, check: HealthCheck) -> Target {
    let key = key(pool, &format!("b{port}"));
    Target { key, address: SocketAddr::from(([192, 0, 2, 1], port)), check, first: b"" }
}

fn good() -> ProbeResult {
    Ok(Some(Duration::from_millis(3)))
}

fn events(schedule: &mut Schedule) -> Vec<(String, Health, Health)> {
    std::iter::from_fn(|| schedule.next_event())
        .map(|event| (format!("{}/{}", event.target.pool, event.target.backend), event.from, event.to))
        .collect()
}

/// Runs the next probe, which ends at once with `result`. Returns when it started.
fn step(schedule: &mut Schedule, result: ProbeResult) -> Instant {
    let at = schedule.next_due().unwrap();
    let (id, _) = schedule.start_next(at).unwrap();
    schedule.finish(id, result, at, HALF);
    at
}

#[test]
fn a_new_target_is_probed_at_once_and_then_somewhere_in_its_interval() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    let started: Vec<_> = (0..3).map(|_| step(&mut schedule, good()) - now).collect();
    assert_eq!(started[0], Duration::ZERO);
    assert!(
        (started[1].as_secs_f64() - 1.0).abs() < 0.001,
        "half of the interval, by chance: {:?}",
        started[1]
    );
    assert_eq!(started[2] - started[1], check().interval);
    assert_eq!(events(&mut schedule), [("web/b80".into(), Health::Unknown, Health::Healthy)]);
}

#[test]
fn a_failure_is_confirmed_at_the_fast_interval() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    step(&mut schedule, good());
    events(&mut schedule);
    let mut failures = vec![];
    while schedule.health(&key("web", "b80")) == Some(Health::Healthy) {
        failures.push(step(&mut schedule, Err(ProbeError::Refused)));
    }
    let gaps: Vec<_> = failures.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [check().fast_interval; 2]);
    let event = schedule.next_event().unwrap();
    assert_eq!((event.to, event.reason), (Health::Unhealthy, Some(ProbeError::Refused)));
}

#[test]
fn a_probe_that_outlasts_the_interval_is_not_overtaken() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    step(&mut schedule, good());
    let at = schedule.next_due().unwrap();
    let (id, _) = schedule.start_next(at).unwrap();
    let late = at + 5 * check().interval;
    assert!(schedule.start_next(late).is_none());
    schedule.finish(id, good(), late, HALF);
    assert_eq!(schedule.next_due(), Some(late));
}

#[test]
fn equal_checks_of_one_address_share_a_probe_and_a_verdict() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    let by_port = HealthCheck { port: Some(80), ..check() };
    let other = Target { address: "192.0.2.1:8080".parse().unwrap(), ..target("c", 80, by_port) };
    schedule.set_targets(vec![target("a", 80, check()), target("b", 80, check()), other.clone()], now);
    step(&mut schedule, Err(ProbeError::Refused));
    assert!(schedule.next_due().unwrap() > now, "one probe for all three");
    let told = events(&mut schedule);
    assert_eq!(told.iter().map(|(who, ..)| who.as_str()).collect::<Vec<_>>(), ["a/b80", "b/b80", "c/b80"]);
    // Who joins later is told what is known.
    schedule.set_targets(vec![target("d", 80, check()), other], now);
    assert_eq!(events(&mut schedule), [("d/b80".into(), Health::Unknown, Health::Unhealthy)]);
}

#[test]
fn commands_are_shared_only_under_one_name() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    let exec = Probe::Exec(ExecProbe { program: "true".into(), args: [].into() });
    let target = |name| {
        let check = HealthCheck::new(exec.clone());
        Target { key: key("web", name), address: "192.0.2.1:80".parse().unwrap(), check, first: b"" }
    };
    schedule.set_targets(vec![target("x"), target("y")], now);
    assert!(schedule.start_next(now).is_some() && schedule.start_next(now).is_some());
}

#[test]
fn unchanged_targets_keep_verdict_and_schedule() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    step(&mut schedule, good());
    events(&mut schedule);
    let before = schedule.snapshot();
    schedule.set_targets(vec![target("web", 80, check()), target("web", 81, check())], now);
    assert_eq!(schedule.snapshot()[0], before[0]);
    assert_eq!(schedule.next_due(), Some(now), "the new one");
    assert_eq!(events(&mut schedule), []);
}

#[test]
fn another_check_keeps_the_verdict_until_it_has_its_own() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    step(&mut schedule, Err(ProbeError::Refused));
    events(&mut schedule);
    let slower = HealthCheck { interval: Duration::from_secs(9), ..check() };
    schedule.set_targets(vec![target("web", 80, slower)], now);
    assert_eq!(schedule.health(&key("web", "b80")), Some(Health::Unhealthy));
    assert_eq!(events(&mut schedule), []);
    assert_eq!(step(&mut schedule, good()), now);
    assert_eq!(events(&mut schedule), [("web/b80".into(), Health::Unhealthy, Health::Healthy)]);
}

#[test]
fn another_address_is_another_backend() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    step(&mut schedule, Err(ProbeError::Refused));
    events(&mut schedule);
    let moved = Target { address: "192.0.2.2:80".parse().unwrap(), ..target("web", 80, check()) };
    schedule.set_targets(vec![moved], now);
    assert_eq!(events(&mut schedule), [("web/b80".into(), Health::Unhealthy, Health::Unknown)]);
}

#[test]
fn the_result_of_a_removed_target_is_dropped() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    let (id, _) = schedule.start_next(now).unwrap();
    schedule.set_targets(vec![], now);
    assert!(!schedule.wants(id));
    // It comes back while the old probe is still under way: a new one starts, the old result is nobody's.
    schedule.set_targets(vec![target("web", 80, check())], now);
    schedule.finish(id, Err(ProbeError::Refused), now, HALF);
    assert_eq!(schedule.health(&key("web", "b80")), Some(Health::Unknown));
    assert!(schedule.start_next(now).is_some());
}

#[test]
fn trouble_of_this_host_is_no_verdict() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets(vec![target("web", 80, check())], now);
    step(&mut schedule, good());
    events(&mut schedule);
    for _ in 0..20 {
        step(&mut schedule, Err(ProbeError::Local("too many open files".into())));
    }
    assert_eq!(events(&mut schedule), []);
    let status = &schedule.snapshot()[0];
    assert_eq!(status.health, Health::Healthy);
    assert!(status.last.as_ref().unwrap().result.is_err(), "but it is shown");
    assert_eq!(status.latency, Some(Duration::from_millis(3)));
}

#[test]
fn those_who_wait_longest_start_first() {
    let (mut schedule, now) = (Schedule::default(), epoch());
    schedule.set_targets((1..=50).map(|port| target("web", port, check())).collect(), now);
    let started: Vec<_> =
        std::iter::from_fn(|| schedule.start_next(now)).map(|(_, key)| key.address.port()).collect();
    assert_eq!(started, (1..=50).collect::<Vec<_>>());
}

/// Minutes of a backend that flaps, without a clock: up for `up` seconds, down for `down`.
#[test]
fn flapping_is_damped_by_rise_and_fall() {
    let transitions = |up: u64, down: u64| {
        let (mut schedule, now) = (Schedule::default(), epoch());
        schedule.set_targets(vec![target("web", 80, check())], now);
        let mut count = 0;
        while let Some(at) = schedule.next_due().filter(|&at| at - now < Duration::from_secs(600)) {
            let is_up = (at - now).as_secs() % (up + down) < up;
            step(&mut schedule, if is_up { good() } else { Err(ProbeError::Reset) });
            count += events(&mut schedule).len();
        }
        count
    };
    assert_eq!(transitions(5, 1), 1, "shorter than what it takes to fall");
    assert_eq!(transitions(30, 30), 20, "ten times down, nine times up again, and the first verdict");
}

#[derive(Debug, Clone)]
enum Act {
    /// Sets the targets: for each of some ports in two pools, whether it is there and which of two intervals its check
    /// has. The pools share a probe where both have the same.
    Set(Vec<[(bool, bool); 2]>),
    Advance(u64),
    /// Ends one of the running probes.
    Finish(usize, bool, u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => prop::collection::vec(any::<[(bool, bool); 2]>(), 4).prop_map(Act::Set),
        3 => (0u64..3000).prop_map(Act::Advance),
        6 => any::<(usize, bool, u32)>().prop_map(|(which, good, chance)| Act::Finish(which, good, chance)),
    ];
    prop::collection::vec(act, 1..120)
}

proptest! {
    #[test]
    fn invariants_hold_whatever_happens(acts in acts()) {
        let mut schedule = Schedule::default();
        let mut now = epoch();
        let mut running: Vec<(ProbeId, Arc<ProbeKey>)> = vec![];
        let mut told: HashMap<TargetKey, Health> = HashMap::new();
        for act in acts {
            match act {
                Act::Set(wanted) => {
                    let fall = NonZeroU32::new(2).unwrap();
                    let both = (80..).zip(wanted).flat_map(|(port, [a, b])| [("a", port, a), ("b", port, b)]);
                    let targets = both.filter(|(.., (there, _))| *there).map(|(pool, port, (_, slow))| {
                        let interval = Duration::from_secs(if slow { 5 } else { 1 });
                        target(pool, port, HealthCheck { fall, interval, ..check() })
                    });
                    let targets: Vec<_> = targets.collect();
                    told.retain(|key, _| targets.iter().any(|target| target.key == *key));
                    schedule.set_targets(targets, now);
                    running.retain(|(id, _)| schedule.wants(*id));
                }
                Act::Advance(millis) => now += Duration::from_millis(millis),
                Act::Finish(which, good, chance) if !running.is_empty() => {
                    let (id, _) = running.swap_remove(which % running.len());
                    let local = chance % 8 == 0;
                    let result = match (good, local) {
                        (true, _) => Ok(None),
                        (false, true) => Err(ProbeError::Local("out of descriptors".into())),
                        (false, false) => Err(ProbeError::Refused),
                    };
                    schedule.finish(id, result, now, chance);
                }
                Act::Finish(..) => {}
            }
            while let Some((id, key)) = schedule.start_next(now) {
                prop_assert!(running.iter().all(|(_, other)| *other != key), "overlaps itself");
                running.push((id, key));
            }
            while let Some(event) = schedule.next_event() {
                let before = told.insert(event.target.clone(), event.to).unwrap_or_default();
                prop_assert_eq!(before, event.from);
                prop_assert_ne!(event.from, event.to);
                prop_assert_eq!(event.reason.is_some(), event.to == Health::Unhealthy);
            }
            let statuses = schedule.snapshot();
            for status in &statuses {
                prop_assert_eq!(told.get(&status.target).copied().unwrap_or_default(), status.health);
                prop_assert_eq!(schedule.health(&status.target), Some(status.health));
                prop_assert_eq!(status.reason.is_some(), status.health == Health::Unhealthy);
                prop_assert!(status.next.is_none_or(|next| next > now), "due, but not started");
            }
            let idle = schedule.due.len();
            prop_assert_eq!(schedule.probes.len(), idle + running.len());
            prop_assert_eq!(schedule.ids.len(), schedule.probes.len());
            prop_assert_eq!(schedule.targets.len(), statuses.len());
        }
    }
}
