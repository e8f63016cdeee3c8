//! Leases, the queue, back-off and views, as a data path uses them.

use std::num::NonZeroU32;
use std::task::Poll;
use std::time::Duration;

use lb_balance::{FlowHash, Protocol, Turn};
use lb_model::{
    Admin, Algorithm, DiscoverySettings, Global, Http, Log, LogFormat, LogLevel, MaxConnections, PoolId,
    Queue, Watch, Weight, Workers, Zones,
};

use std::io;

use super::*;
use crate::{ChangeKind, Lease, NoLease, NoPlace, Tried, Waiting};

const BACKOFF: Duration = Duration::from_secs(1);

fn config(backends: &[(u16, Option<u32>)]) -> Config {
    let backend = |(i, &(weight, limit)): (usize, &(u16, Option<u32>))| lb_model::Backend {
        name: format!("b{i}").parse().unwrap(),
        address: format!("192.0.2.{i}:80").parse().unwrap(),
        weight: Weight(weight),
        max_connections: limit.and_then(NonZeroU32::new),
        tier: 0,
        zone: None,
        health_check: Some(lb_model::HealthCheck::new(lb_model::Probe::Tcp)),
    };
    let pool = Pool {
        name: "p".parse().unwrap(),
        balance: Algorithm::RoundRobin,
        backends: backends.iter().enumerate().map(backend).collect(),
        discover: vec![],
        discovery: DiscoverySettings::DEFAULT,
        connect_timeout: Duration::from_secs(5),
        connect_tries: 3.try_into().unwrap(),
        keepalive: None,
        queue: Queue { limit: 2, timeout: Duration::from_secs(1) },
        passive_health: PassiveHealth {
            failures: 1.try_into().unwrap(),
            backoff: BACKOFF,
            max_backoff: 8 * BACKOFF,
            max_ejected: Percent::ALL,
        },
        slow_start: None,
        panic_threshold: Percent::ZERO,
        zones: Zones::Ignore,
        send_proxy: None,
        http: lb_model::HttpUpstream::DEFAULT,
    };
    Config {
        global: Global {
            workers: Workers::Auto,
            max_connections: MaxConnections::Auto,
            drain_timeout: Duration::from_secs(1),
            hash_seed: 0,
            zone: None,
            state_dir: None,
            watch: Watch::Off,
            nameservers: vec![],
        },
        log: Log { level: LogLevel::Info, format: LogFormat::Human, access: true },
        admin: Admin::default(),
        listeners: vec![],
        pools: vec![pool],
    }
}

/// A listener `l` whose pool is at `pool`.
fn listener(pool: PoolId) -> lb_model::Listener {
    lb_model::Listener {
        name: "l".parse().unwrap(),
        bind: vec![],
        protocol: lb_model::Protocol::Tcp,
        pool: Some(pool),
        sni: lb_model::SniRoutes::default(),
        http: None,
        accept_proxy: vec![],
        header_timeout: Duration::from_secs(5),
        replies: None,
        max_connections_per_client: None,
        max_connections: None,
        idle_timeout: None,
        keepalive: None,
        access: lb_model::AccessList::default(),
    }
}

fn start(config: Config) -> Runtime {
    Runtime::new(config, Discovered::new(), Overrides::default(), 1, now())
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn pool(runtime: &Runtime) -> Arc<PoolView> {
    Arc::clone(runtime.view().pool(PoolId(0)).unwrap())
}

fn turn(count: u32) -> Turn {
    let flow = FlowHash::of_tuple(0, Protocol::Tcp, ([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
    Turn { flow, count, random: u64::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15) }
}

fn name(lease: &Lease) -> &str {
    lease.backend().name.as_str()
}

async fn granted(waiting: &mut Waiting) -> Option<Lease> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *waiting).poll(cx) {
        Poll::Ready(lease) => Poll::Ready(Some(lease)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

#[tokio::test]
async fn a_full_backend_is_passed_over_and_the_queue_is_first_come_first_served() {
    let runtime = start(config(&[(1, Some(1)), (1, Some(1))]));
    let pool = pool(&runtime);
    let tried = Tried::default();
    let first = pool.try_lease(turn(0), &tried, now()).unwrap();
    let second = pool.try_lease(turn(0), &tried, now()).unwrap();
    assert_eq!((name(&first), name(&second)), ("b0", "b1"));
    assert_eq!(pool.try_lease(turn(0), &tried, now()).unwrap_err(), NoLease::AllFull);

    let mut a = pool.wait(&tried).unwrap();
    let mut b = pool.wait(&tried).unwrap();
    assert_eq!(pool.wait(&tried).unwrap_err(), NoPlace);
    assert!(granted(&mut a).await.is_none());
    drop(second);
    assert!(granted(&mut b).await.is_none(), "the second in the line must not be served first");
    let second = granted(&mut a).await.unwrap();
    assert_eq!(name(&second), "b1");
    drop(first);
    assert_eq!(name(&granted(&mut b).await.unwrap()), "b0");
}

#[tokio::test]
async fn nobody_overtakes_the_queue_and_leaving_it_frees_the_place() {
    let runtime = start(config(&[(1, Some(1))]));
    let pool = pool(&runtime);
    let tried = Tried::default();
    let lease = pool.try_lease(turn(0), &tried, now()).unwrap();
    let gone = pool.wait(&tried).unwrap();
    let mut stays = pool.wait(&tried).unwrap();
    drop(gone);
    drop(lease);
    assert_eq!(
        pool.try_lease(turn(0), &tried, now()).unwrap_err(),
        NoLease::AllFull,
        "the place is promised"
    );
    drop(granted(&mut stays).await.unwrap());
    assert!(pool.try_lease(turn(0), &tried, now()).is_ok());
}

#[tokio::test]
async fn a_grant_that_nobody_collects_goes_to_the_next() {
    let runtime = start(config(&[(1, Some(1))]));
    let pool = pool(&runtime);
    let tried = Tried::default();
    let lease = pool.try_lease(turn(0), &tried, now()).unwrap();
    let leaves = pool.wait(&tried).unwrap();
    let mut next = pool.wait(&tried).unwrap();
    drop(lease); // grants `leaves`, who is about to go
    drop(leaves);
    assert!(granted(&mut next).await.is_some());
}

#[tokio::test]
async fn tried_backends_are_left_out() {
    let runtime = start(config(&[(1, None), (1, Some(1))]));
    let pool = pool(&runtime);
    let mut tried = Tried::default();
    tried.insert(pool.try_lease(turn(0), &tried, now()).unwrap().backend());
    let held = pool.try_lease(turn(0), &tried, now()).unwrap();
    assert_eq!(name(&held), "b1");
    assert_eq!(pool.try_lease(turn(0), &tried, now()).unwrap_err(), NoLease::AllFull);
    let mut waiting = pool.wait(&tried).unwrap();
    assert!(granted(&mut waiting).await.is_none(), "b0 has room but was tried");
    drop(held);
    let held = granted(&mut waiting).await.unwrap();
    tried.insert(held.backend());
    assert_eq!(pool.try_lease(turn(0), &tried, now()).unwrap_err(), NoLease::NoBackend);
}

#[tokio::test]
async fn weight_zero_takes_nothing() {
    let runtime = start(config(&[(0, None)]));
    assert_eq!(pool(&runtime).try_lease(turn(0), &Tried::default(), now()).unwrap_err(), NoLease::NoBackend);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_is_left_alone_for_its_back_off() {
    let runtime = Arc::new(start(config(&[(1, None), (1, None)])));
    let maintained = Arc::clone(&runtime);
    let (tried, before) = (Tried::default(), pool(&runtime));
    let maintain = async move { maintained.maintain().await };
    let test = async {
        let lease = before.try_lease(turn(0), &tried, now()).unwrap();
        runtime.connect_failed(lease.backend(), &refused(), now());
        tokio::task::yield_now().await;
        assert_eq!(runtime.view().epoch, 2);
        let picks = |n| name(&pool(&runtime).try_lease(turn(n), &tried, now()).unwrap()).to_owned();
        assert_eq!((picks(0), picks(1)), ("b1".into(), "b1".into()));

        tokio::time::sleep(BACKOFF).await;
        tokio::task::yield_now().await;
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b1".into()));

        // The other one fails too: b0 alone, then nobody is left, so that all are tried.
        runtime.connect_failed(before.backends().nth(1).unwrap().0, &refused(), now());
        tokio::task::yield_now().await;
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b0".into()));
        runtime.connect_failed(lease.backend(), &refused(), now());
        tokio::task::yield_now().await;
        assert!(pool(&runtime).is_panic());
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b1".into()));

        // One success and the pool is well again, as a whole: the one that answered first must not get everything.
        runtime.connect_succeeded(lease.backend());
        tokio::task::yield_now().await;
        assert!(!pool(&runtime).is_panic());
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b1".into()));
    };
    tokio::select! { biased; () = maintain => unreachable!("maintain never ends"), () = test => {} }
}

/// Threads take and give back places while others queue: nobody is forgotten, and no limit is exceeded.
#[test]
fn no_wake_up_is_lost_between_threads() {
    let runtime = start(config(&[(1, Some(1)), (1, Some(2))]));
    let pool = &pool(&runtime);
    let served = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let served = &served;
            scope.spawn(move || {
                let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
                rt.block_on(async {
                    for n in 0..2000 {
                        let lease = match pool.try_lease(turn(n + thread), &Tried::default(), now()) {
                            Ok(lease) => lease,
                            Err(NoLease::NoBackend) => panic!("there are backends"),
                            Err(NoLease::AllFull) => match pool.wait(&Tried::default()) {
                                Ok(waiting) => waiting.await, // a lost wake-up hangs here
                                Err(NoPlace) => continue,
                            },
                        };
                        let limit = if name(&lease) == "b0" { 1 } else { 2 };
                        assert!(lease.backend().state.in_flight() <= limit);
                        served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        std::thread::yield_now();
                    }
                });
            });
        }
    });
    assert!(served.into_inner() > 0);
    assert!(pool.backends().all(|(backend, _)| backend.state.in_flight() == 0));
}

/// A backend that hangs must delay one client after each back-off, not its whole share of them.
#[tokio::test(start_paused = true)]
async fn after_a_back_off_one_connection_tries_before_the_others_follow() {
    let runtime = start(config(&[(1, None), (1, None)]));
    let before = pool(&runtime);
    let b0 = Arc::clone(before.try_lease(turn(0), &Tried::default(), now()).unwrap().backend());
    runtime.connect_failed(&b0, &refused(), now());
    tokio::time::advance(BACKOFF).await;
    runtime.refresh(&mut runtime.control(), now());
    let pool = pool(&runtime);
    let take = |n| pool.try_lease(turn(n), &Tried::default(), now()).unwrap();

    let trial = take(0);
    assert_eq!((name(&trial), name(&take(0))), ("b0", "b1"));
    drop(trial); // without a word on how it went
    let trial = take(0);
    assert_eq!((name(&trial), name(&take(0))), ("b0", "b1"));
    runtime.connect_succeeded(trial.backend());
    assert_eq!((name(&take(0)), name(&take(0))), ("b0", "b0"));

    runtime.connect_failed(&b0, &refused(), now());
    tokio::time::advance(2 * BACKOFF).await;
    runtime.refresh(&mut runtime.control(), now());
    let trial = take(0);
    runtime.connect_failed(trial.backend(), &refused(), now());
    runtime.refresh(&mut runtime.control(), now());
    let view = runtime.view();
    let picks = (0..4).map(|n| {
        name(&view.pool(PoolId(0)).unwrap().try_lease(turn(n), &Tried::default(), now()).unwrap()).to_owned()
    });
    assert!(picks.into_iter().all(|name| name == "b1"));
}

/// Those who wait must not be sent one after the other to a backend that has just begun its back-off.
#[tokio::test]
async fn a_back_off_holds_for_the_queue_before_the_next_view() {
    let runtime = start(config(&[(1, Some(1)), (1, Some(1))]));
    let pool = pool(&runtime);
    let lease = pool.try_lease(turn(0), &Tried::default(), now()).unwrap();
    let other = pool.try_lease(turn(1), &Tried::default(), now()).unwrap();
    let mut waiting = pool.wait(&Tried::default()).unwrap();
    runtime.connect_failed(lease.backend(), &refused(), now());
    drop(lease);
    assert!(granted(&mut waiting).await.is_none());

    // Once the view has it that everybody backs off, everybody is tried.
    runtime.connect_failed(other.backend(), &refused(), now());
    runtime.refresh(&mut runtime.control(), now());
    assert!(granted(&mut waiting).await.is_some());
}

/// Who gets connections, in turn.
fn turns(runtime: &Runtime, count: u32) -> Vec<String> {
    let pool = pool(runtime);
    (0..count)
        .map(|n| {
            pool.try_lease(turn(n), &Tried::default(), now())
                .map_or_else(|_| "-".into(), |l| name(&l).to_owned())
        })
        .collect()
}

fn share_of(runtime: &Runtime, backend: &str) -> f64 {
    let turns = turns(runtime, 1000);
    turns.iter().filter(|name| *name == backend).count() as f64 / 1000.0
}

fn standing(runtime: &Runtime, backend: &str) -> Standing {
    let pool = pool(runtime);
    pool.backend_views().find(|view| view.backend.name.as_str() == backend).unwrap().standing
}

fn set(runtime: &Runtime, target: &str, change: OverrideChange) -> Result<(), UnknownTarget> {
    let (pool, backend) = target.split_once('/').map_or((target, None), |(pool, b)| (pool, Some(b)));
    let target =
        OverrideTarget { pool: pool.parse().unwrap(), backend: backend.map(|name| name.parse().unwrap()) };
    runtime.change_override(&target, change, 7, now())
}

fn judge(runtime: &Runtime, backend: &str, health: Health) {
    runtime.health_changed(&"p".parse().unwrap(), &backend.parse().unwrap(), health);
    runtime.refresh(&mut runtime.control(), now());
}

#[tokio::test]
async fn an_unhealthy_backend_gets_nothing_until_it_is_healthy() {
    let runtime = start(config(&[(1, None), (1, None)]));
    judge(&runtime, "b0", Health::Unhealthy);
    assert_eq!(turns(&runtime, 4), ["b1"; 4]);
    assert_eq!(standing(&runtime, "b0"), Standing::Unhealthy);
    judge(&runtime, "b0", Health::Healthy);
    assert_eq!(turns(&runtime, 2), ["b0", "b1"]);
}

#[tokio::test]
async fn a_drained_backend_keeps_what_it_has_and_gets_nothing_new() {
    let runtime = start(config(&[(1, None), (1, None)]));
    let before = pool(&runtime).try_lease(turn(0), &Tried::default(), now()).unwrap();
    set(&runtime, "p/b0", OverrideChange::Drain).unwrap();
    assert_eq!(turns(&runtime, 4), ["b1"; 4]);
    assert_eq!((name(&before), before.backend().state.in_flight()), ("b0", 1));
    set(&runtime, "p", OverrideChange::Drain).unwrap();
    assert_eq!(turns(&runtime, 2), ["-"; 2], "all are drained on purpose: that is no panic");
    set(&runtime, "p", OverrideChange::Undrain).unwrap();
    assert_eq!(turns(&runtime, 2), ["b0", "b1"]);
    set(&runtime, "p/b1", OverrideChange::Weight(Weight(0))).unwrap();
    assert_eq!((turns(&runtime, 2), standing(&runtime, "b1")), (vec!["b0".into(); 2], Standing::Disabled));
}

#[tokio::test]
async fn an_override_of_what_there_is_not_says_what_there_is() {
    let runtime = start(config(&[(1, None), (1, None)]));
    let error = set(&runtime, "p/b7", OverrideChange::Drain).unwrap_err();
    assert_eq!(error.to_string(), "pool \"p\" has no backend \"b7\"; known: b0, b1");
    let error = set(&runtime, "q", OverrideChange::Undrain).unwrap_err();
    assert_eq!(error.to_string(), "there is no pool \"q\"; known: p");
    assert_eq!(runtime.overrides(), Overrides::default());
}

#[tokio::test]
async fn a_tier_that_is_short_of_capacity_spills_as_in_envoys_table() {
    let mut config = config(&[(1, None); 8]);
    config.pools[0].backends[4..].iter_mut().for_each(|backend| backend.tier = 1);
    let runtime = start(config);
    let tier_0 = |runtime: &Runtime| (0..4).map(|i| share_of(runtime, &format!("b{i}"))).sum::<f64>();
    assert!((tier_0(&runtime) - 1.0).abs() < 1e-9);
    assert_eq!(standing(&runtime, "b4"), Standing::Standby);
    judge(&runtime, "b0", Health::Unhealthy);
    assert!((tier_0(&runtime) - 1.0).abs() < 1e-9, "75 % of its backends, 140 % of that: enough");
    judge(&runtime, "b1", Health::Unhealthy);
    assert!((tier_0(&runtime) - 0.7).abs() < 0.01, "{}", tier_0(&runtime));
    judge(&runtime, "b2", Health::Unhealthy);
    assert!((tier_0(&runtime) - 0.35).abs() < 0.01, "{}", tier_0(&runtime));
    judge(&runtime, "b3", Health::Unhealthy);
    assert!(tier_0(&runtime) < 1e-9);
    assert_eq!(standing(&runtime, "b4"), Standing::Active);
}

#[tokio::test]
async fn the_own_zone_gets_everything_until_it_is_short_of_capacity() {
    let mut config = config(&[(1, None); 6]);
    config.global.zone = Some("here".parse().unwrap());
    config.pools[0].zones = Zones::PreferLocal;
    for (i, backend) in config.pools[0].backends.iter_mut().enumerate() {
        backend.zone = Some(if i < 4 { "here" } else { "there" }.parse().unwrap());
    }
    let runtime = start(config);
    let there = |runtime: &Runtime| share_of(runtime, "b4") + share_of(runtime, "b5");
    assert!(there(&runtime) < 1e-9);
    judge(&runtime, "b0", Health::Unhealthy);
    assert!(there(&runtime) < 1e-9);
    judge(&runtime, "b1", Health::Unhealthy);
    assert!((there(&runtime) - 0.3).abs() < 0.01, "{}", there(&runtime));
}

#[tokio::test]
async fn below_the_panic_threshold_health_is_ignored_but_no_operator_is() {
    let mut config = config(&[(1, None); 4]);
    config.pools[0].panic_threshold = "50%".parse().unwrap();
    let runtime = start(config);
    set(&runtime, "p/b3", OverrideChange::Drain).unwrap();
    judge(&runtime, "b0", Health::Unhealthy);
    assert_eq!(turns(&runtime, 2), ["b1", "b2"]);
    judge(&runtime, "b1", Health::Unhealthy);
    assert!(pool(&runtime).is_panic());
    assert_eq!(turns(&runtime, 3), ["b0", "b1", "b2"]);
    assert_eq!(standing(&runtime, "b0"), Standing::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_comes_back_gets_its_share_in_ten_steps() {
    let mut config = config(&[(1, None), (1, None)]);
    config.pools[0].slow_start = Some(Duration::from_secs(10));
    let runtime = start(config);
    assert!((share_of(&runtime, "b0") - 0.5).abs() < 0.01, "at the start of the process nobody comes back");
    judge(&runtime, "b0", Health::Unhealthy);
    judge(&runtime, "b0", Health::Healthy);
    let mut shares = vec![];
    for _ in 0..10 {
        runtime.refresh(&mut runtime.control(), now());
        shares.push(share_of(&runtime, "b0"));
        let next = pool(&runtime).next_change(now()).unwrap();
        tokio::time::advance(next - now()).await;
        if shares.len() == 9 {
            break;
        }
    }
    let expected: Vec<_> = (1..10).map(|step| f64::from(step) / f64::from(step + 10)).collect();
    assert!(
        shares.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.02),
        "{shares:?} is not {expected:?}"
    );
    runtime.refresh(&mut runtime.control(), now());
    assert!((share_of(&runtime, "b0") - 0.5).abs() < 0.01);
    assert_eq!(pool(&runtime).next_change(now()), None);
}

#[tokio::test]
async fn no_more_back_off_than_may_at_once() {
    let mut config = config(&[(1, None); 4]);
    config.pools[0].passive_health.max_ejected = "50%".parse().unwrap();
    let runtime = start(config);
    let pool = pool(&runtime);
    for (backend, _) in pool.backends() {
        runtime.connect_failed(backend, &refused(), now());
    }
    runtime.refresh(&mut runtime.control(), now());
    assert_eq!(turns(&runtime, 4), ["b2", "b3", "b2", "b3"]);
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_backends_that_stay() {
    let runtime = start(config(&[(1, None), (1, None)]));
    let lease = pool(&runtime).try_lease(turn(0), &Tried::default(), now()).unwrap();
    judge(&runtime, "b1", Health::Unhealthy);
    set(&runtime, "p/b0", OverrideChange::Drain).unwrap();

    runtime.apply(config(&[(1, None), (1, None), (1, None)]), Discovered::new(), now());
    assert_eq!(turns(&runtime, 2), ["b2", "b2"]);
    let pool = pool(&runtime);
    let states: Vec<_> = pool.backends().map(|(backend, _)| backend.state.in_flight()).collect();
    assert_eq!(states, [1, 0, 0]);
    drop(lease);
    assert_eq!(pool.backends().next().unwrap().0.state.in_flight(), 0);

    // Whose checks are taken away is not unhealthy for ever.
    let mut unchecked = config(&[(1, None), (1, None)]);
    unchecked.pools[0].backends[1].health_check = None;
    runtime.apply(unchecked, Discovered::new(), now());
    runtime.refresh(&mut runtime.control(), now());
    assert_eq!(turns(&runtime, 2), ["b1", "b1"]);
    // Not even by a verdict that was on its way.
    judge(&runtime, "b1", Health::Unhealthy);
    assert_eq!(turns(&runtime, 2), ["b1", "b1"]);
}

#[tokio::test]
async fn a_listener_finds_its_pool_whatever_pools_come_and_go() {
    let with = |names: &[&str]| {
        let mut config = config(&[(1, None)]);
        let pool = config.pools.remove(0);
        config.pools =
            names.iter().map(|name| Pool { name: name.parse().unwrap(), ..pool.clone() }).collect();
        let at = names.iter().position(|name| *name == "mine").unwrap();
        config.listeners = vec![listener(PoolId(u32::try_from(at).unwrap()))];
        config
    };
    let runtime = start(with(&["mine"]));
    let slot = runtime.slot(&"l".parse().unwrap());
    for names in [&["a", "mine"][..], &["mine", "z"], &["a", "b", "mine", "z"]] {
        runtime.apply(with(names), Discovered::new(), now());
        let view = runtime.view();
        let pool = view.pool(view.listener(slot).unwrap().pool.unwrap()).unwrap();
        assert_eq!(pool.settings.name.as_str(), "mine");
    }
}

#[tokio::test]
async fn old_snapshots_go_when_nobody_reads_them() {
    let runtime = start(config(&[(1, None)]));
    let _connections: Vec<_> = (0..100)
        .map(|n| {
            runtime.apply(config(&[(1, None)]), Discovered::new(), now());
            pool(&runtime).try_lease(turn(n), &Tried::default(), now()).unwrap()
        })
        .collect();
    assert_eq!(runtime.snapshots_alive(), 1);
    assert_eq!(runtime.view().snapshot.generation, 101);
}

#[tokio::test]
async fn what_is_discovered_joins_the_pool_and_leaves_it() {
    let runtime = start(config(&[(1, None)]));
    let found = |names: &[&str]| {
        let template = config(&[(1, None)]).pools[0].backends[0].clone();
        let backend = |name: &&str| lb_model::Backend { name: name.parse().unwrap(), ..template.clone() };
        Discovered::from([("p".parse().unwrap(), names.iter().map(backend).collect())])
    };
    runtime.discovered(found(&["d0", "b0"]), now());
    assert_eq!(turns(&runtime, 2), ["b0", "d0"], "the configured one goes before one of the same name");
    let epoch = runtime.view().epoch;
    runtime.discovered(found(&["d0"]), now());
    assert_eq!(runtime.view().epoch, epoch, "nothing changed");
    runtime.discovered(found(&[]), now());
    assert_eq!(turns(&runtime, 2), ["b0", "b0"]);
}

#[tokio::test]
async fn a_plan_tells_what_changes_and_changes_nothing() {
    let hashed = |backends: &[(u16, Option<u32>)]| {
        let mut config = config(backends);
        config.pools[0].balance = Algorithm::Hash;
        config
    };
    let runtime = start(hashed(&[(1, None); 4]));
    let mut new = hashed(&[(1, None); 5]);
    new.pools[0].backends.remove(0);
    new.pools[0].backends[0].weight = Weight(2);
    new.pools[0].connect_timeout = Duration::from_secs(9);
    new.global.hash_seed = 5;
    new.global.workers = Workers::Count(7.try_into().unwrap());
    let plan = runtime.plan(new, Discovered::new(), now());
    assert_eq!(plan.global, ["hash_seed: 0 → 5"]);
    assert_eq!(plan.needs_restart.len(), 1);
    let [pool] = &plan.pools[..] else { panic!("{plan:?}") };
    assert_eq!(pool.change.details, ["connect_timeout: 5s → 9s"]);
    let backends: Vec<_> = pool.backends.iter().map(|change| (change.name.as_str(), change.kind)).collect();
    use ChangeKind::{Added, Changed, Removed};
    assert_eq!(backends, [("b0", Removed), ("b1", Changed), ("b4", Added)]);
    // Shares of 4 x 1/4 become 2/5 and 3 x 1/5: at least 1/4 + 2 x 1/20 has to move, and Maglev moves little more.
    let moved = pool.moved.unwrap();
    assert!((0.35..0.45).contains(&moved), "{moved}");

    assert_eq!((runtime.view().epoch, runtime.snapshots_alive()), (1, 1));
    assert!(runtime.plan(hashed(&[(1, None); 4]), Discovered::new(), now()).is_empty());
}

#[tokio::test]
async fn a_plan_tells_what_changes_of_http() {
    let with = |pools: &[&str], change: &dyn Fn(&mut Http)| {
        let mut config = config(&[(1, None)]);
        let pool = config.pools.remove(0);
        config.pools =
            pools.iter().map(|name| Pool { name: name.parse().unwrap(), ..pool.clone() }).collect();
        let p = PoolId(u32::try_from(pools.iter().position(|name| *name == "p").unwrap()).unwrap());
        let route = lb_model::Route {
            hosts: vec![],
            path_prefix: lb_model::PathPrefix::root(),
            pool: p,
            request_headers: vec![],
            response_headers: vec![],
        };
        let mut http = Http::new(lb_model::RouteTable::new(vec![route]));
        change(&mut http);
        let protocol = lb_model::Protocol::Http;
        config.listeners = vec![lb_model::Listener { protocol, http: Some(http), ..listener(p) }];
        config
    };
    let runtime = start(with(&["p"], &|_| {}));
    let details = |new: Config| {
        let plan = runtime.plan(new, Discovered::new(), now());
        plan.listeners.into_iter().flat_map(|change| change.details).collect::<Vec<_>>()
    };
    // The same pool at another place.
    assert_eq!(details(with(&["o", "p"], &|_| {})), [""; 0]);
    let changed = details(with(&["p"], &|http| {
        http.routes = lb_model::RouteTable::default();
        http.max_header_bytes = 65_536;
        http.max_body_bytes = Some(1 << 20);
        http.min_body_rate = None;
        http.keepalive_timeout = Duration::from_secs(5);
    }));
    assert_eq!(
        changed,
        [
            "routes changes",
            "max_header_bytes: 32KiB → 64KiB",
            "max_body_bytes: no limit → 1MiB",
            "min_body_rate: 240B/s → off",
            "keepalive_timeout: 1m → 5s",
        ]
    );

    let mut new = with(&["p"], &|_| {});
    new.pools[0].http.first_byte_timeout = None;
    let plan = runtime.plan(new, Discovered::new(), now());
    assert_eq!(plan.pools[0].change.details, ["first_byte_timeout: 1m → off"]);
}

/// Flows of datagrams have no connection that would tell them: what the view says of their backend is all they know.
#[tokio::test(start_paused = true)]
async fn flows_stay_with_a_backend_until_it_fails_or_is_removed() {
    let runtime = start(config(&[(1, None), (1, None), (1, None)]));
    let [b0, b1, b2] = [0, 1, 2].map(|n| Arc::clone(pool(&runtime).backends().nth(n).unwrap().0));
    let keep = || [&b0, &b1, &b2].map(|backend| backend.state.keeps_flows());
    assert_eq!(keep(), [true; 3]);

    let target = OverrideTarget { pool: "p".parse().unwrap(), backend: Some("b0".parse().unwrap()) };
    runtime.change_override(&target, OverrideChange::Drain, 0, now()).unwrap();
    runtime.health_changed(&"p".parse().unwrap(), &"b1".parse().unwrap(), Health::Unhealthy);
    runtime.refresh(&mut runtime.control(), now());
    assert_eq!(keep(), [true, false, true]);

    runtime.connect_failed(&b2, &refused(), now());
    assert_eq!(keep(), [true, false, false], "before any new view");
    runtime.refresh(&mut runtime.control(), now());
    assert_eq!(keep(), [true, true, true], "nobody is left who is well: all are tried");

    runtime.apply(config(&[(1, None), (1, None)]), Discovered::new(), now());
    assert!(!b2.state.keeps_flows(), "removed");
    let mut without = config(&[(1, None)]);
    without.pools.clear();
    runtime.apply(without, Discovered::new(), now());
    assert_eq!(keep(), [false; 3], "the pool is gone");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_drains_or_has_no_weight_keeps_its_flows_only_while_it_works() {
    let runtime = start(config(&[(1, None), (1, None), (0, None)]));
    set(&runtime, "p/b1", OverrideChange::Drain).unwrap();
    let keep =
        || pool(&runtime).backends().map(|(backend, _)| backend.state.keeps_flows()).collect::<Vec<_>>();
    assert_eq!(keep(), [true; 3]);
    for backend in ["b1", "b2"] {
        judge(&runtime, backend, Health::Unhealthy);
    }
    assert_eq!(keep(), [true, false, false]);
    for backend in ["b1", "b2"] {
        judge(&runtime, backend, Health::Healthy);
    }
    assert_eq!(keep(), [true; 3]);

    let drained = Arc::clone(pool(&runtime).backends().nth(1).unwrap().0);
    runtime.connect_failed(&drained, &refused(), now());
    runtime.refresh(&mut runtime.control(), now());
    assert_eq!(keep(), [true, false, true]);
    tokio::time::sleep(BACKOFF).await;
    runtime.refresh(&mut runtime.control(), now());
    assert_eq!(keep(), [true; 3]);
}

#[tokio::test]
async fn how_soon_they_answer_is_all_that_tells_backends_of_flows_apart() {
    let mut config = config(&[(1, None), (1, None)]);
    config.pools[0].balance = Algorithm::LeastResponseTime;
    let runtime = start(config);
    let pool = pool(&runtime);
    let [slow, fast] = [0, 1].map(|place| pool.backends().nth(place).unwrap().0);
    assert_eq!(slow.state.response_time(now()), None);
    slow.observe_answer(Duration::from_secs(2), now);
    fast.observe_answer(Duration::from_millis(2), now);
    assert_eq!(turns(&runtime, 4), ["b1"; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_answers_is_forgiven_for_what_it_does_not_refuse() {
    let runtime = start(config(&[(1, None), (1, None)]));
    let backend = Arc::clone(pool(&runtime).backends().next().unwrap().0);
    let back_off = || backend.state.back_off(now()).and_then(|(_, until)| Some(until? - now()));
    let failed = now();
    runtime.connect_failed(&backend, &refused(), failed);
    runtime.not_refused(&backend, failed);
    assert_eq!(back_off(), Some(BACKOFF));
    tokio::time::sleep(BACKOFF).await;
    runtime.connect_failed(&backend, &refused(), now());
    assert_eq!(back_off(), Some(2 * BACKOFF));

    tokio::time::sleep(2 * BACKOFF).await;
    runtime.not_refused(&backend, now());
    runtime.connect_failed(&backend, &refused(), now());
    assert_eq!(back_off(), Some(BACKOFF), "as at first");
}

#[tokio::test(start_paused = true)]
async fn who_would_be_refused_tries_those_that_back_off() {
    let runtime = start(config(&[(1, None), (1, None), (1, None)]));
    let target = OverrideTarget { pool: "p".parse().unwrap(), backend: Some("b2".parse().unwrap()) };
    runtime.change_override(&target, OverrideChange::Drain, 0, now()).unwrap();
    let b0 = Arc::clone(pool(&runtime).backends().next().unwrap().0);
    runtime.connect_failed(&b0, &refused(), now());
    runtime.refresh(&mut runtime.control(), now());

    let pool = pool(&runtime);
    let mut tried = Tried::default();
    let first = pool.try_lease(turn(0), &tried, now()).unwrap();
    assert_eq!(name(&first), "b1");
    tried.insert(first.backend());
    assert_eq!(pool.try_lease(turn(1), &tried, now()).unwrap_err(), NoLease::NoBackend);
    let last_resort = pool.try_lease_backing_off(turn(1), &tried).unwrap();
    assert_eq!(name(&last_resort), "b0", "not the one that is drained");
    tried.insert(last_resort.backend());
    assert!(pool.try_lease_backing_off(turn(2), &tried).is_none());
}
