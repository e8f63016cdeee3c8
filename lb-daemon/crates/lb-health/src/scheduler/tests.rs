//! The shell, with probes that are scripted and time that is paused; the probes themselves are tested with real servers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use lb_model::{HealthCheck, Probe};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const MOST: usize = 256;

fn target(port: u16) -> Target {
    let key = TargetKey { pool: "web".parse().unwrap(), backend: format!("b{port}").parse().unwrap() };
    Target {
        key,
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        check: HealthCheck::new(Probe::Tcp),
        first: b"",
    }
}

fn check_fast(target: Target) -> Target {
    let check = HealthCheck {
        interval: Duration::from_millis(50),
        fast_interval: Duration::from_millis(10),
        ..target.check
    };
    Target { check, ..target }
}

/// Runs `test` while the scheduler runs with `probe`; `test` gets the events.
async fn drive<P, F, T>(
    scheduler: &Scheduler,
    probe: P,
    test: impl AsyncFnOnce(mpsc::Receiver<Event>) -> T,
) -> T
where
    P: Fn(Arc<ProbeKey>) -> F,
    F: Future<Output = ProbeResult> + Send + 'static,
{
    let (events, received) = mpsc::channel(10_000);
    let running = scheduler.drive(probe, |event| events.try_send(event).unwrap());
    tokio::select! {
        done = test(received) => done,
        () = running => unreachable!("runs for ever"),
        // Of paused time.
        () = tokio::time::sleep(Duration::from_secs(3600)) => panic!("what the test waits for does not happen"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_backend_is_out_when_it_should_be() {
    let scheduler = Scheduler::new(MOST);
    let broken = tokio::time::Instant::now() + Duration::from_secs(60);
    let probe = move |_| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        if tokio::time::Instant::now() < broken { Ok(None) } else { Err(ProbeError::Refused) }
    };
    scheduler.set_targets(vec![target(80)]);
    let [up, down] = drive(&scheduler, probe, async |mut events| {
        [events.recv().await.unwrap(), events.recv().await.unwrap()]
    })
    .await;
    assert_eq!((up.to, down.to), (Health::Healthy, Health::Unhealthy));
    let took = down.at - broken.into_std();
    let longest = HealthCheck::DEFAULT_INTERVAL + 2 * HealthCheck::DEFAULT_FAST_INTERVAL;
    assert!(took <= longest.mul_f64(1.1) + Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_at_once_and_none_overlaps_itself() {
    const TARGETS: u16 = 1000;
    let scheduler = Scheduler::new(MOST);
    let under_way = Arc::new(Mutex::new((HashSet::new(), 0)));
    let most = Arc::clone(&under_way);
    let probe = move |key: Arc<ProbeKey>| {
        let under_way = Arc::clone(&under_way);
        async move {
            {
                let (now, most) = &mut *under_way.lock().unwrap();
                assert!(now.insert(key.address), "{} overlaps itself", key.address);
                *most = now.len().max(*most);
            }
            // Longer than the interval.
            tokio::time::sleep(Duration::from_secs(3)).await;
            under_way.lock().unwrap().0.remove(&key.address);
            Ok(None)
        }
    };
    scheduler.set_targets((1..=TARGETS).map(target).collect());
    let began = tokio::time::Instant::now();
    drive(&scheduler, probe, async |mut events| {
        let mut order = vec![];
        for _ in 0..TARGETS {
            order.push(events.recv().await.unwrap().target.backend);
        }
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), usize::from(TARGETS));
        // Four batches: whoever came first does not come again before the last has had its turn.
        assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    assert_eq!(most.lock().unwrap().1, MOST);
}

#[tokio::test(start_paused = true)]
async fn a_removed_targets_probe_ends_at_once_and_frees_its_place() {
    struct Ended(mpsc::Sender<()>);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }
    let scheduler = Scheduler::new(MOST);
    let (ended, mut has_ended) = mpsc::channel(10);
    let (started, mut has_started) = mpsc::channel(10);
    let probe = move |key: Arc<ProbeKey>| {
        let (ended, started) = (ended.clone(), started.clone());
        async move {
            if key.address.port() == 1 {
                let _ended = Ended(ended);
                started.send(()).await.unwrap();
                std::future::pending::<()>().await;
            }
            Ok(None)
        }
    };
    scheduler.set_targets(vec![target(1)]);
    drive(&scheduler, probe, async |mut events| {
        has_started.recv().await.unwrap();
        scheduler.set_targets(vec![target(2)]);
        has_ended.recv().await.unwrap();
        let event = events.recv().await.unwrap();
        assert_eq!(event.target, target(2).key);
        assert_eq!(scheduler.health(&target(1).key), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_is_no_verdict_and_is_tried_again() {
    let scheduler = Scheduler::new(MOST);
    let tries = Arc::new(Mutex::new(0));
    let probe = move |_| {
        let tries = Arc::clone(&tries);
        async move {
            let nth = {
                let mut tries = tries.lock().unwrap();
                *tries += 1;
                *tries
            };
            assert!(nth > 1, "a bug");
            Ok(None)
        }
    };
    scheduler.set_targets(vec![target(1)]);
    let event = drive(&scheduler, probe, async |mut events| events.recv().await.unwrap()).await;
    assert_eq!((event.from, event.to), (Health::Unknown, Health::Healthy));
}

#[tokio::test]
async fn follows_a_real_backend_that_comes_and_goes() {
    // An address of its own, so that nobody else takes the port meanwhile.
    let listener = TcpListener::bind("127.0.3.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let scheduler = Scheduler::new(MOST);
    scheduler.set_targets(vec![Target { address, ..check_fast(target(1)) }]);
    let (sender, mut events) = mpsc::channel(10);
    let mut running = pin!(scheduler.run(|event| sender.try_send(event).unwrap()));
    let mut next = async || {
        tokio::select! {
            event = events.recv() => event.unwrap(),
            () = &mut running => unreachable!("runs for ever"),
        }
    };
    assert_eq!(next().await.to, Health::Healthy);
    drop(listener);
    let down = next().await;
    assert_eq!((down.to, down.reason), (Health::Unhealthy, Some(ProbeError::Refused)));
    let _again = TcpListener::bind(address).await.unwrap();
    assert_eq!(next().await.to, Health::Healthy);
    let status = &scheduler.snapshot()[0];
    assert!(status.latency.is_some() && status.since.is_some());
}
