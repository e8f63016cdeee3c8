//! What every algorithm promises, and what the Maglev paper promises.

use std::collections::HashMap;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

mod simulation;

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Hash,
    Algorithm::RoundRobin,
    Algorithm::IpHash,
    Algorithm::LeastConnections,
    Algorithm::LeastResponseTime,
    Algorithm::Random,
];

/// A backend as a test knows it.
#[derive(Debug, Clone, Copy, Default)]
struct Backend {
    unusable: bool,
    in_flight: u32,
    response_time: Option<Duration>,
}

struct State(Vec<Backend>);

impl State {
    fn idle(len: usize) -> Self {
        Self(vec![Backend::default(); len])
    }
}

impl Candidates for State {
    fn usable(&self, backend: BackendIndex) -> bool {
        !self.0[backend.index()].unusable
    }

    fn in_flight(&self, backend: BackendIndex) -> u32 {
        self.0[backend.index()].in_flight
    }

    fn response_time(&self, backend: BackendIndex) -> Option<Duration> {
        self.0[backend.index()].response_time
    }
}

/// SplitMix64: the same chances in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        lb_common::flow_hash::absorb(self.0, 0)
    }

    /// From 0 up to, but not including, 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant to count from, whichever")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

fn names(len: usize) -> Vec<String> {
    (0..len).map(|i| format!("10.0.{}.{}:80", i / 256, i % 256)).collect()
}

fn members<'a, W: Copy + Into<u32>>(names: &'a [String], weights: &[W]) -> Vec<Member<'a>> {
    let index = |i: usize| BackendIndex(u16::try_from(i).unwrap());
    names
        .iter()
        .zip(weights)
        .enumerate()
        .map(|(i, (name, &weight))| Member { index: index(i), name, weight: weight.into() })
        .collect()
}

fn turn(n: u32) -> Turn {
    let client = std::net::SocketAddr::from(([10, 1, 0, 0], 1024));
    let local = std::net::SocketAddr::from(([10, 2, 0, 1], 80));
    Turn {
        flow: FlowHash::of_tuple(n, Protocol::Tcp, client, local),
        count: n,
        random: lb_common::flow_hash::absorb(n.into(), 1),
    }
}

fn slots_by_name<'a>(maglev: &Maglev, members: &[Member<'a>]) -> Vec<&'a str> {
    let names: HashMap<_, _> = members.iter().map(|member| (member.index, member.name)).collect();
    maglev.slots().iter().map(|slot| names[slot]).collect()
}

fn moved(before: &[&str], after: &[&str]) -> usize {
    before.iter().zip(after).filter(|(b, a)| b != a).count()
}

#[test]
fn nothing_to_pick_from_is_none() {
    for algorithm in ALGORITHMS {
        assert_eq!(Balancer::build(algorithm, &[]).pick(turn(0), &State::idle(0)), None);
        let names = names(2);
        let balancer = Balancer::build(algorithm, &members(&names, &[1u32, 0]));
        let mut state = State::idle(2);
        state.0[0].unusable = true;
        assert_eq!(balancer.pick(turn(0), &state), None, "{algorithm:?}");
    }
}

#[test]
fn weights_are_turns_spread_evenly() {
    let names = names(2);
    let schedule = RoundRobin::build(&members(&names, &[3u32, 1]));
    let picks: Vec<_> = (0..8).map(|n| schedule.pick(n, &State::idle(2)).unwrap().0).collect();
    assert_eq!(picks, [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn no_weight_is_too_small_for_a_slot() {
    let names = names(3);
    let maglev = Maglev::build(&members(&names, &[u32::MAX, u32::MAX, 1]));
    assert!(maglev.slots().contains(&BackendIndex(2)));
}

#[test]
fn least_connections_takes_turns_among_equals() {
    let names = names(3);
    let balancer = LeastConnections::build(&members(&names, &[1u32, 1, 1]));
    let picks: Vec<_> = (0..3).map(|n| balancer.pick(n, &State::idle(3)).unwrap().0).collect();
    assert_eq!(picks, [0, 1, 2]);
}

/// The paper's section 5.3 has Maglev's shares practically equal where Karger's and rendezvous hashing need 30 to 50 %
/// over-provisioning (1,000 backends, 65,537 slots): taking turns makes them differ by at most one slot.
#[test]
fn equal_weights_own_equal_slots() {
    for len in [1, 2, 3, 10, 655, 1000] {
        let names = names(len);
        let maglev = Maglev::build(&members(&names, &vec![1u32; len]));
        assert_eq!(maglev.slots().len(), Maglev::SLOTS as usize);
        let mut counts = vec![0u32; len];
        maglev.slots().iter().for_each(|slot| counts[slot.index()] += 1);
        let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(max - min <= 1, "{len} backends: {min}..{max}");
    }
}

/// The paper's section 5.3 (1,000 backends, 65,537 slots): besides the slots of the backends that fail, a few per cent of
/// the table move at most. Measured here: 0.6, 1.8 and 2.6 %.
#[test]
fn failures_move_few_slots_of_the_survivors() {
    let names = names(1000);
    let all = members(&names, &[1u32; 1000]);
    let before = Maglev::build(&all);
    let before = slots_by_name(&before, &all);
    for (failed, most) in [(1, 0.01), (5, 0.03), (20, 0.05)] {
        let rest = &all[failed..];
        let after = Maglev::build(rest);
        let after = slots_by_name(&after, rest);
        let of_survivors = before
            .iter()
            .zip(&after)
            .filter(|(b, a)| b != a && !all[..failed].iter().any(|member| member.name == **b))
            .count();
        let share = of_survivors as f64 / f64::from(Maglev::SLOTS);
        assert!(share <= most, "{failed} failures move {share} of the survivors' slots");
    }
}

/// Where connections last, weights say how many each member has.
#[test]
fn chosen_by_chance_the_connections_that_last_follow_weights() {
    let weights = [1u32, 2, 3, 10, 20];
    let names = names(weights.len());
    for algorithm in [Algorithm::Random, Algorithm::LeastResponseTime] {
        for response_time in [None, Some(Duration::from_millis(3))] {
            let balancer = Balancer::build(algorithm, &members(&names, &weights));
            let mut state = State::idle(weights.len());
            state.0.iter_mut().for_each(|backend| backend.response_time = response_time);
            for n in 0..3600 {
                let picked = balancer.pick(turn(n), &state).unwrap();
                state.0[picked.index()].in_flight += 1;
            }
            for (backend, &weight) in state.0.iter().zip(&weights) {
                let share = 100 * weight;
                let close = backend.in_flight.abs_diff(share) <= share / 20;
                assert!(close, "{algorithm:?}: {} connections for a share of {share}", backend.in_flight);
            }
        }
    }
}

/// Where every connection is over before the next one comes, weights say how many each member gets.
#[test]
fn chosen_by_chance_the_connections_that_are_over_follow_weights() {
    let weights = [1u32, 2, 3, 10, 20];
    let names = names(weights.len());
    let mut state = State::idle(weights.len());
    // Equal members, measured.
    for (backend, micros) in state.0.iter_mut().zip([1000, 1100, 1200, 1300, 1400]) {
        backend.response_time = Some(Duration::from_micros(micros));
    }
    for algorithm in [Algorithm::Random, Algorithm::LeastResponseTime] {
        let balancer = Balancer::build(algorithm, &members(&names, &weights));
        let mut counts = [0u32; 5];
        (0..36_000).for_each(|n| counts[balancer.pick(turn(n), &state).unwrap().index()] += 1);
        for (&count, &weight) in counts.iter().zip(&weights) {
            let share = 1000 * weight;
            // Five standard deviations of a binomial, which is less than the Poisson's.
            let close = f64::from(count.abs_diff(share)) <= 5.0 * f64::from(share).sqrt();
            assert!(close, "{algorithm:?}: {count} picks for a share of {share}");
        }
    }
}

/// All but a few of many are full: those few are found, and none of them is left out.
#[test]
fn chosen_by_chance_among_few_that_are_usable() {
    let names = names(1000);
    let mut state = State(vec![Backend { unusable: true, ..Backend::default() }; 1000]);
    let usable = [0, 500, 999];
    usable.iter().for_each(|&i| state.0[i].unusable = false);
    for algorithm in [Algorithm::Random, Algorithm::LeastResponseTime] {
        let balancer = Balancer::build(algorithm, &members(&names, &[1u32; 1000]));
        let picked: std::collections::BTreeSet<_> =
            (0..1000).map(|n| balancer.pick(turn(n), &state).unwrap().index()).collect();
        assert!(picked.into_iter().eq(usable), "{algorithm:?}");
    }
}

#[test]
fn of_two_the_one_with_fewer_connections_per_weight_is_taken() {
    let names = names(2);
    let choices = TwoChoices::build(&members(&names, &[3u32, 1]));
    for (connections, expected) in [([5, 2], 0), ([6, 1], 1), ([0, 1], 0), ([3, 0], 1)] {
        let mut state = State::idle(2);
        state.0.iter_mut().zip(connections).for_each(|(backend, n)| backend.in_flight = n);
        for n in 0..50 {
            assert_eq!(choices.pick(turn(n).random, &state), Some(BackendIndex(expected)), "{connections:?}");
        }
    }
}

/// First of two: tried at once, but by one connection at a time until it has answered.
#[test]
fn who_never_answered_is_tried_by_one_connection_at_a_time() {
    let names = names(2);
    let choices = LeastResponseTime::build(&members(&names, &[1u32, 1]));
    let mut state = State::idle(2);
    state.0[1] =
        Backend { in_flight: 9, response_time: Some(Duration::from_millis(1)), ..Backend::default() };
    assert!((0..50).all(|n| choices.pick(turn(n).random, &state) == Some(BackendIndex(0))));
    state.0[0].in_flight = 1;
    assert!((0..50).all(|n| choices.pick(turn(n).random, &state) == Some(BackendIndex(1))));
}

/// An idle member that is clearly slower is left alone, whatever its weight.
#[test]
fn of_two_idle_members_the_clearly_faster_is_taken() {
    let names = names(2);
    let choices = LeastResponseTime::build(&members(&names, &[9u32, 1]));
    let mut state = State::idle(2);
    state.0[0].response_time = Some(Duration::from_millis(21));
    state.0[1].response_time = Some(Duration::from_millis(10));
    assert!((0..50).all(|n| choices.pick(turn(n).random, &state) == Some(BackendIndex(1))));
}

fn weight_or_none() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1u32..5, any::<u32>()]
}

fn backend() -> impl Strategy<Value = Backend> {
    let in_flight = prop_oneof![0u32..9, any::<u32>()];
    let time = prop::option::of(any::<Duration>());
    (any::<bool>(), in_flight, time).prop_map(|(unusable, in_flight, response_time)| Backend {
        unusable,
        in_flight,
        response_time,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_pick_is_usable_and_there_is_one_if_any_is(
        backends in prop::collection::vec((weight_or_none(), backend()), 1..20),
        n in any::<u32>(),
    ) {
        let names = names(backends.len());
        let (weights, backends): (Vec<_>, Vec<_>) = backends.into_iter().unzip();
        let members = members(&names, &weights);
        let possible = weights.iter().zip(&backends).any(|(&weight, backend)| weight > 0 && !backend.unusable);
        let state = State(backends);
        for algorithm in ALGORITHMS {
            match Balancer::build(algorithm, &members).pick(turn(n), &state) {
                Some(backend) => {
                    prop_assert!(state.usable(backend));
                    prop_assert!(weights[backend.index()] > 0);
                }
                None => prop_assert!(!possible, "{:?} found none", algorithm),
            }
        }
    }

    /// Weights mean something in proportion to each other only.
    #[test]
    fn the_scale_of_weights_does_not_matter(
        backends in prop::collection::vec((0u16..100, backend()), 1..12),
        scale in 1u32..=65_536,
        start in any::<u32>(),
    ) {
        let names = names(backends.len());
        let (weights, backends): (Vec<_>, Vec<_>) = backends.into_iter().unzip();
        let scaled: Vec<_> = weights.iter().map(|&weight| u32::from(weight) * scale).collect();
        let state = State(backends);
        for algorithm in ALGORITHMS {
            let one = Balancer::build(algorithm, &members(&names, &weights));
            let other = Balancer::build(algorithm, &members(&names, &scaled));
            prop_assert_eq!(one.maglev().map(Maglev::slots), other.maglev().map(Maglev::slots));
            for n in 0..100 {
                let turn = turn(start.wrapping_add(n));
                prop_assert_eq!(one.pick(turn, &state), other.pick(turn, &state), "{:?}", algorithm);
            }
        }
    }

    #[test]
    fn round_robin_gives_exact_shares_in_every_pass(
        weights in prop::collection::vec(1u16..50, 1..12),
        start in 0u32..1_000_000,
    ) {
        let names = names(weights.len());
        let schedule = RoundRobin::build(&members(&names, &weights));
        let state = State::idle(weights.len());
        let turns = u32::try_from(schedule.turns()).unwrap();
        let start = start / turns * turns; // a pass begins anywhere in the count, but the count wraps at 2^32
        let mut counts = vec![0u64; weights.len()];
        for n in start..start + turns {
            counts[schedule.pick(n, &state).unwrap().index()] += 1;
        }
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        for (count, &weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(count * total, u64::from(turns) * u64::from(weight));
        }
    }

    #[test]
    fn extreme_weights_keep_everybody_in_turn(weights in prop::collection::vec(1u32.., 1..40)) {
        let names = names(weights.len());
        let schedule = RoundRobin::build(&members(&names, &weights));
        let state = State::idle(weights.len());
        let turns = u32::try_from(schedule.turns()).unwrap();
        prop_assert!(turns <= 65_536 + 40);
        let mut counts = vec![0f64; weights.len()];
        for n in 0..turns {
            counts[schedule.pick(n, &state).unwrap().index()] += 1.0;
        }
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        for (count, &weight) in counts.iter().zip(&weights) {
            let share = f64::from(weight) / total * f64::from(turns);
            prop_assert!(*count >= 1.0 && (count - share).abs() <= 1.0 + share * 0.01, "{} for {}", count, share);
        }
    }

    #[test]
    fn least_connections_picks_a_least_load(
        backends in prop::collection::vec((1u32.., any::<u32>()), 1..12),
        n in any::<u32>(),
    ) {
        let names = names(backends.len());
        let weights: Vec<_> = backends.iter().map(|b| b.0).collect();
        let state = State(backends.iter().map(|b| Backend { in_flight: b.1, ..Backend::default() }).collect());
        let balancer = LeastConnections::build(&members(&names, &weights));
        let load = |i: usize| (f64::from(backends[i].1) + 1.0) / f64::from(backends[i].0);
        let picked = load(balancer.pick(n, &state).unwrap().index());
        prop_assert!((0..backends.len()).all(|i| picked <= load(i)));
    }

    #[test]
    fn maglev_shares_follow_weights(weights in prop::collection::vec(1u16..100, 1..30)) {
        let names = names(weights.len());
        let maglev = Maglev::build(&members(&names, &weights));
        let mut counts = vec![0f64; weights.len()];
        maglev.slots().iter().for_each(|slot| counts[slot.index()] += 1.0);
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        for (count, &weight) in counts.iter().zip(&weights) {
            let share = f64::from(Maglev::SLOTS) * f64::from(weight) / total;
            // The last round is cut off somewhere, and every member rounds to whole turns.
            let most = weights.len() as f64;
            prop_assert!((count - share).abs() <= most, "{} slots for a share of {}", count, share);
        }
    }

    #[test]
    fn maglev_depends_on_names_not_on_order_or_index(
        weights in prop::collection::vec(0u16..10, 2..20).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let names = names(weights.len());
        let ordered = members(&names, &weights);
        let mut shuffled = ordered.clone();
        shuffled.sort_by_key(|member| FlowHash::of_tuple(
            (seed & 0xffff_ffff) as u32 ^ u32::from(member.index.0),
            Protocol::Tcp,
            ([1, 1, 1, 1], 1).into(),
            ([1, 1, 1, 2], 2).into(),
        ).place(0, 1 << 30));
        for (i, member) in shuffled.iter_mut().enumerate() {
            member.index = BackendIndex(u16::try_from(i).unwrap());
        }
        let by_name = |members: &[Member<'_>]| -> Vec<String> {
            let Balancer::Hash(maglev) = Balancer::build(Algorithm::Hash, members) else { panic!() };
            slots_by_name(&maglev, members).into_iter().map(String::from).collect()
        };
        prop_assert_eq!(by_name(&ordered), by_name(&shuffled));
    }

    /// Removing a member moves its own slots, and of the others' only a few per cent.
    #[test]
    fn maglev_disruption_is_bounded_with_weights(
        weights in prop::collection::vec(1u16..10, 4..40),
        gone in any::<prop::sample::Index>(),
    ) {
        let names = names(weights.len());
        let all = members(&names, &weights);
        let gone = gone.index(all.len());
        let mut rest = all.clone();
        rest.remove(gone);
        let (before, after) = (Maglev::build(&all), Maglev::build(&rest));
        let moved = moved(&slots_by_name(&before, &all), &slots_by_name(&after, &rest));
        let own = before.slots().iter().filter(|slot| slot.index() == gone).count();
        let slots = f64::from(Maglev::SLOTS);
        let extra = (moved - own) as f64 / slots;
        prop_assert!(extra <= 0.05 + own as f64 / slots * 0.5, "{} of the survivors' slots moved", extra);
    }
}

/// Idle when it is looked at first, and never again: another worker has given it a connection meanwhile.
struct Contested(std::cell::Cell<bool>);

impl Candidates for Contested {
    fn usable(&self, _: BackendIndex) -> bool {
        true
    }

    fn in_flight(&self, _: BackendIndex) -> u32 {
        u32::from(self.0.replace(true))
    }

    fn response_time(&self, _: BackendIndex) -> Option<Duration> {
        None
    }
}

#[test]
fn counts_that_change_during_a_pick_do_no_harm() {
    for weights in [[1, 1], [1, 2]] {
        let members = [0, 1].map(|place: u16| Member {
            index: BackendIndex(place),
            name: ["a", "b"][usize::from(place)],
            weight: weights[usize::from(place)],
        });
        let algorithm = LeastConnections::build(&members);
        for count in 0..10 {
            assert!(algorithm.pick(count, &Contested(false.into())).is_some());
        }
    }
}
