//! Maglev consistent hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
//! section 3.4), with weights.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::{BackendIndex, Candidates, FlowHash, Member};

/// A lookup table in which every member owns slots in proportion to its weight, and in which a change of the members
/// moves few slots of the others. Where a member's slots are depends on its name alone.
#[derive(Debug)]
pub struct Maglev {
    /// The member at each slot; empty when there are no members.
    slots: Box<[BackendIndex]>,
    /// The members by name, for when the slots tried are unusable.
    members: Box<[BackendIndex]>,
}

impl Maglev {
    /// Slots of a table: the paper's small size, a prime.
    pub const SLOTS: u32 = 65_537;

    /// How many slots of the flow are tried before the members are gone through in order.
    const ATTEMPTS: u32 = 16;

    /// Builds the table over `members`, all of a weight above 0.
    ///
    /// The paper's algorithm 1: the members take turns, each claims the next free slot of its own permutation. A
    /// member's turn comes when its credit, which grows by its weight each round, reaches the greatest weight: equal
    /// weights take turns strictly, so that their shares differ by one slot at most. In the first round everybody has a
    /// turn: no weight is too small for a slot.
    pub fn build(members: &[Member<'_>]) -> Self {
        let mut members = members.to_vec();
        members.sort_unstable_by_key(|member| member.name);
        let mut free = vec![None; Self::SLOTS as usize];
        let greatest = members.iter().map(|member| u64::from(member.weight)).max().unwrap_or(1);
        let mut claims: Vec<_> = members.iter().map(|member| Claim::new(member, greatest)).collect();
        let mut left = if members.is_empty() { 0 } else { Self::SLOTS };
        'rounds: loop {
            for claim in &mut claims {
                if left == 0 {
                    break 'rounds;
                }
                claim.credit += claim.weight;
                if claim.credit >= greatest {
                    claim.credit -= greatest;
                    claim.take_next(&mut free);
                    left -= 1;
                }
            }
            if claims.is_empty() {
                break;
            }
        }
        Self {
            slots: free.into_iter().flatten().collect(),
            members: members.iter().map(|member| member.index).collect(),
        }
    }

    /// The member at the flow's slot or, if that one is unusable, at its next slots: a full or failed member's flows
    /// spread over all others.
    pub fn pick(&self, flow: FlowHash, candidates: &impl Candidates) -> Option<BackendIndex> {
        let hashed = (0..Self::ATTEMPTS).filter_map(|attempt| self.slot(flow, attempt));
        let usable = |backend: &BackendIndex| candidates.usable(*backend);
        hashed.into_iter().find(usable).or_else(|| {
            let len = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
            let (before, after) = self.members.split_at_checked(flow.place(Self::ATTEMPTS, len))?;
            after.iter().chain(before).copied().find(usable)
        })
    }

    /// The table: the member of each slot. Empty without members.
    pub fn slots(&self) -> &[BackendIndex] {
        &self.slots
    }

    fn slot(&self, flow: FlowHash, attempt: u32) -> Option<BackendIndex> {
        self.slots.get(flow.place(attempt, Self::SLOTS)).copied()
    }
}

/// A member that claims slots while a table is built.
struct Claim {
    index: BackendIndex,
    weight: u64,
    credit: u64,
    /// The next slot of the permutation.
    next: u32,
    skip: u32,
}

impl Claim {
    fn new(member: &Member<'_>, greatest: u64) -> Self {
        let place = |key: u64, below: u32| {
            let mut hasher = SipHasher13::new_with_keys(0, key);
            hasher.write(member.name.as_bytes());
            u32::try_from(hasher.finish() % u64::from(below)).unwrap_or(0)
        };
        Self {
            index: member.index,
            weight: member.weight.into(),
            credit: greatest - u64::from(member.weight),
            next: place(0, Maglev::SLOTS),
            skip: place(1, Maglev::SLOTS - 1) + 1,
        }
    }

    /// Takes the next slot of the permutation that is free; there must be one.
    fn take_next(&mut self, slots: &mut [Option<BackendIndex>]) {
        // The table's size is a prime, so `SLOTS` steps of any skip visit every slot.
        for _ in 0..Maglev::SLOTS {
            let slot = self.next;
            self.next = (self.next + self.skip) % Maglev::SLOTS;
            if let Some(free @ None) = slots.get_mut(slot as usize) {
                *free = Some(self.index);
                return;
            }
        }
    }
}
