//! The flow table's protocol, on the memory of the host.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

fn entry(listener: u16, backend: u16, state: State, deadline: u16) -> Entry {
    Entry::new(ListenerId(listener), BackendIndex(backend), 1, state, Tick(deadline))
}

fn states() -> impl Strategy<Value = State> {
    (0..=5u8).prop_map(State)
}

proptest! {
    #[test]
    fn an_entry_keeps_its_fields(
        listener: u16, backend: u16, generation: u8, state in states(), deadline: u16, later: u16,
    ) {
        let entry = Entry::new(ListenerId(listener), BackendIndex(backend), generation, state, Tick(deadline));
        let moved = entry.moved_to(State::CLOSING, Tick(later));
        for entry in [entry, moved] {
            prop_assert_eq!(entry.listener(), ListenerId(listener));
            prop_assert_eq!(entry.backend(), BackendIndex(backend));
            prop_assert_eq!(entry.generation(), generation);
        }
        prop_assert_eq!((entry.state(), entry.deadline()), (state, Tick(deadline)));
        prop_assert_eq!((moved.state(), moved.deadline()), (State::CLOSING, Tick(later)));
    }

    /// Empty before closing before new; never one that is alive or being written; of one kind the oldest.
    #[test]
    fn the_readiest_way_is_the_least_worth(ways in prop::array::uniform4((states(), 0..100u16)), now in 0..100u16) {
        let line = Line::default();
        for (way, (state, deadline)) in line.ways.iter().zip(ways) {
            let empty = u64::from(state.0) << 16;
            way.entry.store(if state >= State::NEW { entry(1, 1, state, deadline).0 } else { empty });
        }
        let worth = |(state, deadline): (State, u16)| match state {
            State::FREE | State::VACANT => Some((0, 0)),
            State::CLAIMED => None,
            _ if deadline < now => Some((0, 0)),
            State::CLOSING => Some((1, deadline)),
            State::NEW => Some((2, deadline)),
            _ => None,
        };
        let least = ways.into_iter().filter_map(worth).min();
        let (seen, readiness) = line.readiest(Tick(now));
        if let Some(least) = least {
            let chosen = if seen.entry.has_flow() {
                worth((seen.entry.state(), seen.entry.deadline().0))
            } else {
                worth((seen.entry.state(), 0))
            };
            prop_assert_eq!(chosen, Some(least));
            prop_assert_eq!(readiness.rank(), Rank(3 - least.0));
        } else {
            prop_assert_eq!(readiness.rank(), Rank::NEVER);
        }
    }
}

#[test]
fn a_flow_is_found_by_its_key_and_listener_only() {
    let line = Line::default();
    assert!(!line.find(0, ListenerId(1), LoadOrder::NATIVE).entry.has_flow());
    let (free, _) = line.readiest(Tick(0));
    free.insert(7, entry(1, 2, State::NEW, 30)).unwrap();
    assert_eq!(line.find(7, ListenerId(1), LoadOrder::NATIVE).entry, entry(1, 2, State::NEW, 30));
    assert!(!line.find(7, ListenerId(2), LoadOrder::NATIVE).entry.has_flow());
    assert!(!line.find(8, ListenerId(1), LoadOrder::NATIVE).entry.has_flow());
}

#[test]
fn a_way_that_changed_since_it_was_seen_is_left_alone() {
    let line = Line::default();
    let (free, _) = line.readiest(Tick(0));
    free.insert(7, entry(1, 2, State::NEW, 30)).unwrap();
    assert_eq!(free.insert(8, entry(1, 3, State::NEW, 30)), Err(Lost));
    let seen = line.find(7, ListenerId(1), LoadOrder::NATIVE);
    seen.advance(seen.entry.moved_to(State::CONFIRMED, Tick(60))).unwrap();
    assert_eq!(seen.advance(seen.entry.moved_to(State::CLOSING, Tick(5))), Err(Lost));
    assert_eq!(seen.vacate(), Err(Lost));
    assert_eq!(line.find(7, ListenerId(1), LoadOrder::NATIVE).entry, entry(1, 2, State::CONFIRMED, 60));
}

#[test]
fn a_way_that_is_being_written_is_left_alone() {
    let line = Line::default();
    line.ways.iter().for_each(|way| way.entry.store(Entry::CLAIMED.0));
    let (seen, readiness) = line.readiest(Tick(0));
    assert_eq!(readiness.rank(), Rank::NEVER);
    assert_eq!(seen.insert(7, entry(1, 1, State::NEW, 30)), Err(Lost));
}

#[test]
fn a_line_that_was_full_once_overflows_for_ever() {
    let line = Line::default();
    for key in 0..u64::from(Line::WAYS) {
        assert!(!line.overflows());
        line.readiest(Tick(0)).0.insert(key, entry(1, 1, State::CONFIRMED, 9)).unwrap();
    }
    assert!(line.overflows());
    assert_eq!(line.readiest(Tick(0)).1.rank(), Rank::NEVER);
    line.find(2, ListenerId(1), LoadOrder::NATIVE).vacate().unwrap();
    assert!(!line.find(2, ListenerId(1), LoadOrder::NATIVE).entry.has_flow());
    assert_eq!(line.readiest(Tick(0)).1.rank(), Rank::EMPTY);
    assert!(line.overflows());
}

/// How a variant of the protocol finds a flow.
type Find = fn(&Line, u64, ListenerId) -> Entry;

/// The protocol.
fn found(line: &Line, key: u64, listener: ListenerId) -> Entry {
    line.find(key, listener, LoadOrder::NATIVE).entry
}

/// The protocol without the second read of the key.
fn found_without_second_read(line: &Line, key: u64, listener: ListenerId) -> Entry {
    let way = line.ways.iter().find(|way| way.key.load() == key);
    way.map(|way| Entry(way.entry.load())).filter(|entry| entry.listener() == listener).unwrap_or(Entry::FREE)
}

/// Two threads that insert, find, expire and sweep 16 flows, each with a backend of its own, in one line of
/// four. Stops at the first packet that would go to another flow's backend and says how many finds it took;
/// `None` if there was none in `finds`.
fn race(find: Find, finds: u64) -> Option<u64> {
    let (line, done) = (Line::default(), AtomicBool::new(false));
    let count = AtomicU64::new(0);
    let worker = |mut random: u64| {
        while !done.load(Ordering::Relaxed) {
            random = crate::flow_hash::absorb(random, 1);
            let (key, act) = (random >> 60, u16_at(random, 0));
            let backend = u16::try_from(key).unwrap();
            let entry_found = find(&line, key, ListenerId(1));
            let n = count.fetch_add(1, Ordering::Relaxed);
            if entry_found.has_flow() && entry_found.backend() != BackendIndex(backend) {
                done.store(true, Ordering::Relaxed);
                return Some(n);
            }
            if n >= finds {
                return None;
            }
            let seen = line.find(key, ListenerId(1), LoadOrder::NATIVE);
            let now = Tick(act % 64);
            let _: Result<(), Lost> = match seen.entry.has_flow() {
                true if act % 8 == 0 => seen.vacate(),
                true => seen.advance(seen.entry.moved_to(State::CONFIRMED, now)),
                false => line.readiest(now).0.insert(key, entry(1, backend, State::NEW, now.0)),
            };
        }
        None
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| worker(2));
        let here = worker(1);
        here.or(other.join().unwrap())
    })
}

#[test]
fn racing_cpus_never_take_a_flow_for_another() {
    assert_eq!(race(found, 3_000_000), None);
}

/// Shows that the race above would be lost by a protocol that is almost right.
#[test]
fn without_the_second_read_they_do() {
    assert!(race(found_without_second_read, 300_000_000).is_some());
}
