//! Least response time: two choices by the product of how long a member takes to answer and how busy it is, as in
//! Finagle's and linkerd's "peak EWMA" balancers (<https://twitter.github.io/finagle/guide/Clients.html#load-balancing>).

use std::cmp::Ordering;
use std::time::Duration;

use crate::contender::Contender;
use crate::random::{self, TwoChoices};
use crate::{BackendIndex, Candidates, Member};

/// Of two members drawn by weight, the one of the lower cost: response time × (connections + 1) / weight.
///
/// A member whose response time is not known is tried as soon as it is drawn, but with one connection at a time until
/// it has answered: it costs nothing while it is idle and else more than any whose time is known. Two such members are
/// compared by connections per weight.
///
/// Two idle members are equals, so that the first drawn is taken and weights are respected, unless one takes more than
/// twice as long.
#[derive(Debug)]
pub struct LeastResponseTime(TwoChoices);

impl LeastResponseTime {
    /// How many times as long an idle member takes to answer before that counts. By less the times of equal members
    /// differ by chance, and the luckiest would get all connections of a pool that has little to do.
    const MARGIN: u64 = 2;

    /// Builds over `members`, all of a weight above 0.
    pub fn build(members: &[Member<'_>]) -> Self {
        Self(TwoChoices::build(members))
    }

    /// The better of two different usable members, or the only one; `random` is uniform.
    pub fn pick(&self, random: u64, candidates: &impl Candidates) -> Option<BackendIndex> {
        self.0.pick_by(random, candidates, |a, b| {
            match (candidates.response_time(a.backend), candidates.response_time(b.backend)) {
                (Some(time), Some(other)) => compare_cost(a, nanos(time), b, nanos(other)),
                (None, Some(_)) => unknown_to_known(a),
                (Some(_), None) => unknown_to_known(b).reverse(),
                (None, None) => random::compare_load(a, b),
            }
        })
    }
}

fn compare_cost(a: &Contender, nanos: u64, b: &Contender, other: u64) -> Ordering {
    let (shorter, longer) = (nanos.min(other), nanos.max(other));
    if a.is_idle() && b.is_idle() {
        let differ = longer / LeastResponseTime::MARGIN > shorter;
        return if differ { nanos.cmp(&other) } else { Ordering::Equal };
    }
    a.compare_cost(nanos, b, other)
}

fn unknown_to_known(unknown: &Contender) -> Ordering {
    if unknown.is_idle() { Ordering::Less } else { Ordering::Greater }
}

/// At least one, so that connections count even where all times have decayed to nothing.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}
