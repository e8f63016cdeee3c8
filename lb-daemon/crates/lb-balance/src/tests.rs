//! What every algorithm promises, and what the Maglev paper promises.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Backends as a test knows them: usable or not, with so many connections.
struct State(Vec<(bool, u32)>);

impl State {
    fn idle(len: usize) -> Self {
        Self(vec![(true, 0); len])
    }
}

impl Candidates for State {
    fn usable(&self, backend: BackendIndex) -> bool {
        self.0[backend.index()].0
    }

    fn in_flight(&self, backend: BackendIndex) -> u32 {
        self.0[backend.index()].1
    }
}

fn names(len: usize) -> Vec<String> {
    (0..len).map(|i| format!("10.0.{}.{}:80", i / 256, i % 256)).collect()
}

fn members<'a>(names: &'a [String], weights: &[u16]) -> Vec<Member<'a>> {
    let index = |i: usize| BackendIndex(u16::try_from(i).unwrap());
    names
        .iter()
        .zip(weights)
        .enumerate()
        .map(|(i, (name, &weight))| Member { index: index(i), name, weight: Weight(weight) })
        .collect()
}

fn turn(n: u32) -> Turn {
    let client = std::net::SocketAddr::from(([10, 1, 0, 0], 1024));
    let local = std::net::SocketAddr::from(([10, 2, 0, 1], 80));
    Turn { flow: FlowHash::of_tuple(n, Protocol::Tcp, client, local), count: n }
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
    for algorithm in [Algorithm::Hash, Algorithm::RoundRobin, Algorithm::LeastConnections] {
        assert_eq!(Balancer::build(algorithm, &[]).pick(turn(0), &State::idle(0)), None);
        let names = names(2);
        let balancer = Balancer::build(algorithm, &members(&names, &[1, 0]));
        assert_eq!(balancer.pick(turn(0), &State(vec![(false, 0), (true, 0)])), None, "{algorithm:?}");
    }
}

#[test]
fn weights_are_turns_spread_evenly() {
    let names = names(2);
    let schedule = RoundRobin::build(&members(&names, &[3, 1]));
    let picks: Vec<_> = (0..8).map(|n| schedule.pick(n, &State::idle(2)).unwrap().0).collect();
    assert_eq!(picks, [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn no_weight_is_too_small_for_a_slot() {
    let names = names(3);
    let maglev = Maglev::build(&members(&names, &[65_535, 65_535, 1]));
    assert!(maglev.slots().contains(&BackendIndex(2)));
}

#[test]
fn least_connections_takes_turns_among_equals() {
    let names = names(3);
    let balancer = LeastConnections::build(&members(&names, &[1, 1, 1]));
    let picks: Vec<_> = (0..3).map(|n| balancer.pick(n, &State::idle(3)).unwrap().0).collect();
    assert_eq!(picks, [0, 1, 2]);
}

/// The paper's section 5.3 has Maglev's shares practically equal where Karger's and rendezvous hashing need 30 to 50 %
/// over-provisioning (1,000 backends, 65,537 slots): taking turns makes them differ by at most one slot.
#[test]
fn equal_weights_own_equal_slots() {
    for len in [1, 2, 3, 10, 655, 1000] {
        let names = names(len);
        let maglev = Maglev::build(&members(&names, &vec![1; len]));
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
    let all = members(&names, &[1; 1000]);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_pick_is_usable_and_there_is_one_if_any_is(
        backends in prop::collection::vec((0u16..5, any::<bool>(), 0u32..9), 1..20),
        n in any::<u32>(),
    ) {
        let names = names(backends.len());
        let weights: Vec<_> = backends.iter().map(|b| b.0).collect();
        let members = members(&names, &weights);
        let state = State(backends.iter().map(|b| (b.1, b.2)).collect());
        let possible = backends.iter().any(|&(weight, usable, _)| weight > 0 && usable);
        for algorithm in [Algorithm::Hash, Algorithm::RoundRobin, Algorithm::LeastConnections] {
            match Balancer::build(algorithm, &members).pick(turn(n), &state) {
                Some(backend) => {
                    prop_assert!(state.usable(backend));
                    prop_assert!(weights[backend.index()] > 0);
                }
                None => prop_assert!(!possible, "{:?} found none", algorithm),
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
    fn extreme_weights_keep_everybody_in_turn(weights in prop::collection::vec(1u16.., 1..40)) {
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
        backends in prop::collection::vec((1u16.., any::<u32>()), 1..12),
        n in any::<u32>(),
    ) {
        let names = names(backends.len());
        let weights: Vec<_> = backends.iter().map(|b| b.0).collect();
        let state = State(backends.iter().map(|b| (true, b.1)).collect());
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
