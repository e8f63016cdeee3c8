//! What a limit promises, against a model and with threads.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

type Acquiring = Pin<Box<dyn Future<Output = Permit>>>;

fn acquiring(limit: &Rc<Limit>) -> Acquiring {
    let limit = Rc::clone(limit);
    Box::pin(async move { limit.acquire().await })
}

fn poll_once(acquiring: &mut Acquiring) -> Option<Permit> {
    match acquiring.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(permit) => Some(permit),
        Poll::Pending => None,
    }
}

#[derive(Debug, Clone)]
enum Op {
    TryAcquire,
    Acquire,
    /// The n-th of those who wait stops waiting.
    GiveUp(usize),
    /// The n-th of those who are in leaves.
    GiveBack(usize),
    Resize(Option<u32>),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::TryAcquire),
        4 => Just(Op::Acquire),
        1 => any::<usize>().prop_map(Op::GiveUp),
        4 => any::<usize>().prop_map(Op::GiveBack),
        1 => proptest::option::weighted(0.8, 0u32..6).prop_map(Op::Resize),
    ]
}

proptest! {
    /// The model: whoever comes gets in if there is room and nobody waits; whoever waits gets in when all before have.
    #[test]
    fn lets_in_as_many_as_the_limit_says_in_order(start in proptest::option::of(0u32..6), ops in proptest::collection::vec(op(), 0..200)) {
        let limit = Rc::new(Limit::new(start));
        let mut max = start;
        let mut inside: Vec<Permit> = Vec::new();
        let mut line: VecDeque<Acquiring> = VecDeque::new();
        for op in ops {
            let room = |inside: &Vec<Permit>| max.is_none_or(|max| inside.len() < max as usize);
            match op {
                Op::TryAcquire => {
                    let permit = limit.try_acquire();
                    prop_assert_eq!(permit.is_some(), room(&inside) && line.is_empty());
                    inside.extend(permit);
                }
                Op::Acquire => {
                    let mut newcomer = acquiring(&limit);
                    let permit = poll_once(&mut newcomer);
                    prop_assert_eq!(permit.is_some(), room(&inside) && line.is_empty());
                    match permit {
                        Some(permit) => inside.push(permit),
                        None => line.push_back(newcomer),
                    }
                }
                Op::GiveUp(n) if !line.is_empty() => drop(line.remove(n % line.len())),
                Op::GiveBack(n) if !inside.is_empty() => drop(inside.swap_remove(n % inside.len())),
                Op::GiveUp(_) | Op::GiveBack(_) => {}
                Op::Resize(to) => {
                    limit.resize(to);
                    max = to;
                }
            }
            // The first of the line get in as there is room, and nobody behind them does.
            let fits = max.map_or(line.len(), |max| (max as usize).saturating_sub(inside.len()).min(line.len()));
            let granted: Vec<bool> = line
                .iter_mut()
                .map(|waiter| poll_once(waiter).map(|permit| inside.push(permit)).is_some())
                .collect();
            let expected: Vec<bool> = (0..granted.len()).map(|n| n < fits).collect();
            prop_assert_eq!(granted, expected);
            line.drain(..fits);
            prop_assert_eq!(limit.in_use(), inside.len() as u64);
        }
    }
}

#[test]
fn a_permit_that_came_too_late_goes_to_the_next() {
    let limit = Rc::new(Limit::new(Some(1)));
    let held = limit.try_acquire().unwrap();
    let (mut first, mut second) = (acquiring(&limit), acquiring(&limit));
    assert!(poll_once(&mut first).is_none() && poll_once(&mut second).is_none());
    drop(held);
    drop(first);
    assert!(poll_once(&mut second).is_some(), "granted to the first, which was gone before it looked");
    assert_eq!(limit.in_use(), 0);
}

#[test]
fn whoever_keeps_giving_up_does_not_lengthen_the_line() {
    let limit = Rc::new(Limit::new(Some(0)));
    for _ in 0..1000 {
        assert!(poll_once(&mut acquiring(&limit)).is_none());
    }
    assert!(limit.lock().waiting.len() <= 1);
    limit.resize(Some(1));
    assert!(limit.try_acquire().is_some());
}

#[test]
fn threads_never_exceed_the_limit_and_lose_no_permit() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 5_000;
    const MAX: u32 = 3;

    let limit = Limit::new(Some(MAX));
    let inside = AtomicI64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (limit, inside) = (limit.clone(), &inside);
                scope.spawn(move || {
                    let limit = Rc::new(limit);
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        for round in 0..ROUNDS {
                            // Some stop waiting at once, at whatever moment that is for the others.
                            let impatient = (round + thread) % 3 == 0;
                            let permit = if impatient {
                                poll_once(&mut acquiring(&limit))
                            } else {
                                Some(limit.acquire().await)
                            };
                            if permit.is_some() {
                                assert!(inside.fetch_add(1, Ordering::SeqCst) < i64::from(MAX));
                                tokio::task::yield_now().await;
                                inside.fetch_sub(1, Ordering::SeqCst);
                            }
                        }
                    });
                })
            })
            .collect();
        let (resized, done) = (limit.clone(), &done);
        scope.spawn(move || {
            for max in (1..=MAX).cycle().take_while(|_| !done.load(Ordering::SeqCst)) {
                resized.resize(Some(max));
                assert!(resized.in_use() <= u64::from(MAX));
                std::thread::yield_now();
            }
        });
        let panics = workers.into_iter().filter_map(|worker| worker.join().err()).count();
        done.store(true, Ordering::SeqCst);
        assert_eq!(panics, 0);
    });
    limit.resize(Some(MAX));
    assert_eq!(limit.in_use(), 0);
    let limit = Rc::new(limit);
    let all: Vec<_> = std::iter::from_fn(|| limit.try_acquire()).collect();
    assert_eq!(all.len(), MAX as usize, "none was lost and none was made");
}
