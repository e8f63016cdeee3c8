//! Who takes the load, against the tables of Envoy's documentation, and what weights make of it.

use proptest::prelude::*;

use super::*;

/// Tiers of 100 members of weight 1, so many of them usable.
fn healthy(percents: &[u64]) -> Vec<Capacity> {
    percents.iter().map(|&usable| Capacity { usable, total: 100 }).collect()
}

/// The three tables of Envoy's page. It calculates in whole percents: ours are never a whole one away.
#[test]
fn loads_are_those_of_envoys_tables() {
    for (usable, expected) in [
        (&[100, 100][..], &[100, 0][..]),
        (&[72, 100], &[100, 0]),
        (&[71, 100], &[99, 1]),
        (&[50, 100], &[70, 30]),
        (&[25, 100], &[35, 65]),
        (&[0, 100], &[0, 100]),
        (&[72, 72], &[100, 0]),
        (&[71, 71], &[99, 1]),
        (&[50, 50], &[70, 30]),
        (&[25, 25], &[50, 50]),
        (&[100, 100, 100], &[100, 0, 0]),
        (&[72, 72, 100], &[100, 0, 0]),
        (&[71, 71, 100], &[99, 1, 0]),
        (&[50, 50, 100], &[70, 30, 0]),
        (&[25, 100, 100], &[35, 65, 0]),
        (&[25, 25, 100], &[35, 35, 30]),
        (&[25, 25, 20], &[36, 36, 28]),
    ] {
        let loads = share_load(&healthy(usable));
        for (load, &expected) in loads.iter().zip(expected) {
            assert!((load.percent() - f64::from(expected)).abs() < 1.0, "{usable:?}: {loads:?}");
        }
    }
    assert_eq!(share_load(&healthy(&[50, 100])), [Load(700_000_000), Load(300_000_000)]);
    assert_eq!(share_load(&healthy(&[0, 0])), [Load::ZERO; 2]);
    assert_eq!(share_load(&[]), []);
}

#[test]
fn a_tier_with_a_single_usable_member_of_very_many_serves() {
    assert_eq!(share_load(&[Capacity { usable: 1, total: u64::MAX }]), [Load::ALL]);
}

#[test]
fn weights_stay_where_one_tier_has_everything() {
    let members = [(5, 0), (0, 0), (9, 1), (u32::MAX, 0), (7, 2)];
    let members = members.map(|(weight, tier)| TierMember { weight, tier });
    assert_eq!(spread(&members, &[Load::ALL, Load::ZERO]), [5, 0, 0, u32::MAX, 0]);
    assert_eq!(spread(&members, &[Load::ZERO, Load::ALL]), [0, 0, 9, 0, 0]);
    assert_eq!(spread(&members, &[Load::ZERO, Load::ZERO]), [0; 5]);
}

#[test]
fn no_share_is_too_small_for_a_weight() {
    let members = [(1, 0), (u32::MAX, 0), (1, 1)].map(|(weight, tier)| TierMember { weight, tier });
    assert_eq!(spread(&members, &[Load(1), Load(999_999_999)]), [1, 4, u32::MAX]);
}

/// Half of the own zone's members in the first tier are down, and so is half of that tier.
#[test]
fn zones_work_within_tiers() {
    let zones = [0, 1, 1].map(|tier| TierMember { weight: 6, tier });
    let weights =
        spread(&zones, &share_load(&[Capacity { usable: 6, total: 12 }, Capacity { usable: 12, total: 24 }]));
    let first = weights.iter().map(|&weight| TierMember { weight, tier: 0 });
    let members: Vec<_> = first.chain([TierMember { weight: 6, tier: 1 }]).collect();
    let weights = spread(&members, &share_load(&healthy(&[50, 100])));
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    for (weight, share) in weights.into_iter().zip([0.7 * 0.7, 0.7 * 0.15, 0.7 * 0.15, 0.3]) {
        assert!((f64::from(weight) / total - share).abs() < 1e-6, "{weight} of {total} for {share}");
    }
}

fn capacities() -> impl Strategy<Value = Vec<Capacity>> {
    let capacity = (0u64..1 << 32, 0u64..1 << 32);
    let small = (0u64..20, 0u64..20);
    let capacity =
        prop_oneof![capacity, small].prop_map(|(a, b)| Capacity { usable: a.min(b), total: a.max(b) });
    prop::collection::vec(capacity, 1..6)
}

/// Members with weights as configured ones, scaled or not, in three tiers.
fn tier_members() -> impl Strategy<Value = Vec<TierMember>> {
    let weight = prop_oneof![Just(0), 1u32..10, 1u32..=65_535];
    prop::collection::vec((weight, 0usize..3).prop_map(|(weight, tier)| TierMember { weight, tier }), 1..40)
}

proptest! {
    #[test]
    fn loads_sum_up_to_all_if_anybody_is_usable(tiers in capacities()) {
        let loads = share_load(&tiers);
        let any = tiers.iter().any(|tier| tier.usable > 0);
        prop_assert_eq!(loads.iter().map(|load| load.0).sum::<u64>(), if any { Load::ALL.0 } else { 0 });
        for (tier, load) in tiers.iter().zip(&loads) {
            prop_assert!(tier.usable > 0 || *load == Load::ZERO);
        }
    }

    #[test]
    fn the_first_tier_that_is_healthy_enough_leaves_nothing(tiers in capacities()) {
        let enough = |tier: &Capacity| tier.usable > 0 && tier.usable * 7 >= tier.total * 5;
        if let Some(first) = tiers.iter().position(enough) {
            let loads = share_load(&tiers);
            prop_assert!(loads[first + 1..].iter().all(|&load| load == Load::ZERO), "{:?}", loads);
            prop_assert!(first > 0 || loads[0] == Load::ALL);
        }
    }

    /// Who recovers is never given less for it, and nobody else is given more.
    #[test]
    fn more_capacity_gets_more_load(
        tiers in capacities(),
        tier in any::<prop::sample::Index>(),
        more in any::<prop::sample::Index>(),
    ) {
        let tier = tier.index(tiers.len());
        let mut better = tiers.clone();
        let room = tiers[tier].total - tiers[tier].usable;
        better[tier].usable += more.index(usize::try_from(room).unwrap() + 1) as u64;
        let (before, after) = (share_load(&tiers), share_load(&better));
        // A billionth may go either way where sums are rounded.
        prop_assert!(after[tier].0 + 1 >= before[tier].0, "{:?} {:?}", before, after);
        for other in (0..tiers.len()).filter(|&other| other != tier) {
            prop_assert!(before[other].0 + 1 >= after[other].0, "tier {}: {:?} {:?}", other, before, after);
        }
    }

    #[test]
    fn spread_gives_tiers_their_loads_and_keeps_proportions(
        members in tier_members(),
        usable in prop::array::uniform3(0u64..=100),
    ) {
        let loads = share_load(&healthy(&usable));
        let weights = spread(&members, &loads);
        let sum = |tier: Option<usize>, of: &dyn Fn(usize) -> u32| -> f64 {
            let those = (0..members.len()).filter(|&i| tier.is_none_or(|tier| members[i].tier == tier));
            those.map(|i| f64::from(of(i))).sum()
        };
        let serving = (0..3).filter(|&tier| sum(Some(tier), &|i| members[i].weight) > 0.0);
        let served: f64 = serving.map(|tier| loads[tier].percent()).sum();
        for (i, member) in members.iter().enumerate() {
            let load = loads[member.tier];
            prop_assert_eq!(weights[i] > 0, member.weight > 0 && load > Load::ZERO);
            if weights[i] > 0 {
                let in_tier = f64::from(member.weight) / sum(Some(member.tier), &|i| members[i].weight);
                let expected = load.percent() / served * in_tier;
                let got = f64::from(weights[i]) / sum(None, &|i| weights[i]);
                prop_assert!((got / expected - 1.0).abs() < 0.01, "{} instead of {}", got, expected);
            }
        }
    }

    #[test]
    fn nothing_overflows(
        members in prop::collection::vec((any::<u32>(), 0usize..4), 0..10),
        tiers in prop::collection::vec((any::<u64>(), any::<u64>()), 0..4),
    ) {
        let tiers: Vec<_> = tiers.into_iter().map(|(usable, total)| Capacity { usable, total }).collect();
        let loads = share_load(&tiers);
        let members: Vec<_> = members.into_iter().map(|(weight, tier)| TierMember { weight, tier }).collect();
        for (member, weight) in members.iter().zip(spread(&members, &loads)) {
            let served = loads.get(member.tier).is_some_and(|&load| load > Load::ZERO);
            prop_assert_eq!(weight > 0, member.weight > 0 && served);
        }
    }
}
