//! Leases, the queue, back-off and views, as a data path uses them.

use std::num::NonZeroU32;
use std::task::Poll;
use std::time::Duration;

use lb_balance::{FlowHash, Protocol, Turn};
use lb_model::{
    Algorithm, Config, Global, Log, LogFormat, LogLevel, MaxConnections, PassiveHealth, Pool, PoolId, Queue,
    Weight, Workers,
};

use std::io;

use super::*;
use crate::{Lease, NoLease, NoPlace, Tried, Waiting};

const BACKOFF: Duration = Duration::from_secs(1);

fn config(backends: &[(u16, Option<u32>)]) -> Config {
    let backend = |(i, &(weight, limit)): (usize, &(u16, Option<u32>))| lb_model::Backend {
        name: format!("b{i}").parse().unwrap(),
        address: format!("192.0.2.{i}:80").parse().unwrap(),
        weight: Weight(weight),
        max_connections: limit.and_then(NonZeroU32::new),
    };
    let pool = Pool {
        name: "p".parse().unwrap(),
        balance: Algorithm::RoundRobin,
        backends: backends.iter().enumerate().map(backend).collect(),
        connect_timeout: Duration::from_secs(5),
        connect_tries: 3.try_into().unwrap(),
        keepalive: None,
        queue: Queue { limit: 2, timeout: Duration::from_secs(1) },
        passive_health: PassiveHealth {
            failures: 1.try_into().unwrap(),
            backoff: BACKOFF,
            max_backoff: 8 * BACKOFF,
        },
    };
    Config {
        global: Global {
            workers: Workers::Auto,
            max_connections: MaxConnections::Auto,
            drain_timeout: Duration::from_secs(1),
            hash_seed: 0,
        },
        log: Log { level: LogLevel::Info, format: LogFormat::Human, access: true },
        listeners: vec![],
        pools: vec![pool],
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn pool(runtime: &Runtime) -> Arc<PoolView> {
    Arc::clone(runtime.view().pool(PoolId(0)).unwrap())
}

fn turn(count: u32) -> Turn {
    let flow = FlowHash::of_tuple(0, Protocol::Tcp, ([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
    Turn { flow, count }
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
    let runtime = Runtime::new(config(&[(1, Some(1)), (1, Some(1))]), now());
    let pool = pool(&runtime);
    let tried = Tried::default();
    let first = pool.try_lease(turn(0), &tried).unwrap();
    let second = pool.try_lease(turn(0), &tried).unwrap();
    assert_eq!((name(&first), name(&second)), ("b0", "b1"));
    assert_eq!(pool.try_lease(turn(0), &tried).unwrap_err(), NoLease::AllFull);

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
    let runtime = Runtime::new(config(&[(1, Some(1))]), now());
    let pool = pool(&runtime);
    let tried = Tried::default();
    let lease = pool.try_lease(turn(0), &tried).unwrap();
    let gone = pool.wait(&tried).unwrap();
    let mut stays = pool.wait(&tried).unwrap();
    drop(gone);
    drop(lease);
    assert_eq!(pool.try_lease(turn(0), &tried).unwrap_err(), NoLease::AllFull, "the place is promised");
    drop(granted(&mut stays).await.unwrap());
    assert!(pool.try_lease(turn(0), &tried).is_ok());
}

#[tokio::test]
async fn a_grant_that_nobody_collects_goes_to_the_next() {
    let runtime = Runtime::new(config(&[(1, Some(1))]), now());
    let pool = pool(&runtime);
    let tried = Tried::default();
    let lease = pool.try_lease(turn(0), &tried).unwrap();
    let leaves = pool.wait(&tried).unwrap();
    let mut next = pool.wait(&tried).unwrap();
    drop(lease); // grants `leaves`, who is about to go
    drop(leaves);
    assert!(granted(&mut next).await.is_some());
}

#[tokio::test]
async fn tried_backends_are_left_out() {
    let runtime = Runtime::new(config(&[(1, None), (1, Some(1))]), now());
    let pool = pool(&runtime);
    let mut tried = Tried::default();
    tried.insert(pool.try_lease(turn(0), &tried).unwrap().backend());
    let held = pool.try_lease(turn(0), &tried).unwrap();
    assert_eq!(name(&held), "b1");
    assert_eq!(pool.try_lease(turn(0), &tried).unwrap_err(), NoLease::AllFull);
    let mut waiting = pool.wait(&tried).unwrap();
    assert!(granted(&mut waiting).await.is_none(), "b0 has room but was tried");
    drop(held);
    let held = granted(&mut waiting).await.unwrap();
    tried.insert(held.backend());
    assert_eq!(pool.try_lease(turn(0), &tried).unwrap_err(), NoLease::NoBackend);
}

#[tokio::test]
async fn weight_zero_takes_nothing() {
    let runtime = Runtime::new(config(&[(0, None)]), now());
    assert_eq!(pool(&runtime).try_lease(turn(0), &Tried::default()).unwrap_err(), NoLease::NoBackend);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_is_left_alone_for_its_back_off() {
    let runtime = Arc::new(Runtime::new(config(&[(1, None), (1, None)]), now()));
    let maintained = Arc::clone(&runtime);
    let (tried, before) = (Tried::default(), pool(&runtime));
    let maintain = async move { maintained.maintain().await };
    let test = async {
        let lease = before.try_lease(turn(0), &tried).unwrap();
        runtime.connect_failed(&before, lease.backend(), &refused(), now());
        tokio::task::yield_now().await;
        assert_eq!(runtime.view().epoch, 2);
        let picks = |n| name(&pool(&runtime).try_lease(turn(n), &tried).unwrap()).to_owned();
        assert_eq!((picks(0), picks(1)), ("b1".into(), "b1".into()));

        tokio::time::sleep(BACKOFF).await;
        tokio::task::yield_now().await;
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b1".into()));

        // The other one fails too: b0 alone, then nobody is left, so that all are tried.
        runtime.connect_failed(&before, before.backends().nth(1).unwrap().0, &refused(), now());
        tokio::task::yield_now().await;
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b0".into()));
        runtime.connect_failed(&before, lease.backend(), &refused(), now());
        tokio::task::yield_now().await;
        assert!(pool(&runtime).is_fail_open());
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b1".into()));

        // One success and the pool is well again, as a whole: the one that answered first must not get everything.
        runtime.connect_succeeded(&pool(&runtime), lease.backend());
        tokio::task::yield_now().await;
        assert!(!pool(&runtime).is_fail_open());
        assert_eq!((picks(0), picks(1)), ("b0".into(), "b1".into()));
    };
    tokio::select! { biased; () = maintain => unreachable!("maintain never ends"), () = test => {} }
}

/// Threads take and give back places while others queue: nobody is forgotten, and no limit is exceeded.
#[test]
fn no_wake_up_is_lost_between_threads() {
    let runtime = Runtime::new(config(&[(1, Some(1)), (1, Some(2))]), now());
    let pool = &pool(&runtime);
    let served = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let served = &served;
            scope.spawn(move || {
                let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
                rt.block_on(async {
                    for n in 0..2000 {
                        let lease = match pool.try_lease(turn(n + thread), &Tried::default()) {
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
    let runtime = Runtime::new(config(&[(1, None), (1, None)]), now());
    let before = pool(&runtime);
    let b0 = Arc::clone(before.try_lease(turn(0), &Tried::default()).unwrap().backend());
    runtime.connect_failed(&before, &b0, &refused(), now());
    tokio::time::advance(BACKOFF).await;
    runtime.refresh(now());
    let pool = pool(&runtime);
    let take = |n| pool.try_lease(turn(n), &Tried::default()).unwrap();

    let trial = take(0);
    assert_eq!((name(&trial), name(&take(0))), ("b0", "b1"));
    drop(trial); // without a word on how it went
    let trial = take(0);
    assert_eq!((name(&trial), name(&take(0))), ("b0", "b1"));
    runtime.connect_succeeded(&pool, trial.backend());
    assert_eq!((name(&take(0)), name(&take(0))), ("b0", "b0"));

    runtime.connect_failed(&pool, &b0, &refused(), now());
    tokio::time::advance(2 * BACKOFF).await;
    runtime.refresh(now());
    let trial = take(0);
    runtime.connect_failed(&pool, trial.backend(), &refused(), now());
    runtime.refresh(now());
    let view = runtime.view();
    let picks = (0..4).map(|n| {
        name(&view.pool(PoolId(0)).unwrap().try_lease(turn(n), &Tried::default()).unwrap()).to_owned()
    });
    assert!(picks.into_iter().all(|name| name == "b1"));
}

/// Those who wait must not be sent one after the other to a backend that has just begun its back-off.
#[tokio::test]
async fn a_back_off_holds_for_the_queue_before_the_next_view() {
    let runtime = Runtime::new(config(&[(1, Some(1)), (1, Some(1))]), now());
    let pool = pool(&runtime);
    let lease = pool.try_lease(turn(0), &Tried::default()).unwrap();
    let other = pool.try_lease(turn(1), &Tried::default()).unwrap();
    let mut waiting = pool.wait(&Tried::default()).unwrap();
    runtime.connect_failed(&pool, lease.backend(), &refused(), now());
    drop(lease);
    assert!(granted(&mut waiting).await.is_none());

    // Once the view has it that everybody backs off, everybody is tried.
    runtime.connect_failed(&pool, other.backend(), &refused(), now());
    runtime.refresh(now());
    assert!(granted(&mut waiting).await.is_some());
}
