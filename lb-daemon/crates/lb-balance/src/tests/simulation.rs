//! Pools in virtual time: what a user would see of a whole algorithm rather than of one pick.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// Five backends that serve one request after the other, and clients that come at random, 100 a second for each.
struct Pool {
    balancer: Balancer,
    state: State,
    times: Vec<PeakEwma>,
    /// When each backend has served all that it has.
    free: [Duration; Pool::BACKENDS],
    /// Requests by their end: backend and duration.
    running: BinaryHeap<Reverse<(Duration, usize, Duration)>>,
    epoch: Instant,
    now: Duration,
    count: u32,
    chance: Chance,
}

/// What clients saw for some time.
#[derive(Debug, Default)]
struct Seen {
    picks: [u32; Pool::BACKENDS],
    latency: Duration,
}

impl Seen {
    fn requests(&self) -> u32 {
        self.picks.iter().sum()
    }

    fn share_of_first(&self) -> f64 {
        f64::from(self.picks[0]) / f64::from(self.requests())
    }

    fn mean_latency(&self) -> Duration {
        self.latency / self.requests()
    }
}

impl Pool {
    const BACKENDS: usize = 5;
    const SERVICE: Duration = Duration::from_millis(2);

    fn new(algorithm: Algorithm) -> Self {
        let names = names(Self::BACKENDS);
        Self {
            balancer: Balancer::build(algorithm, &members(&names, &[1u32; Self::BACKENDS])),
            state: State::idle(Self::BACKENDS),
            times: vec![PeakEwma::default(); Self::BACKENDS],
            free: [Duration::ZERO; Self::BACKENDS],
            running: BinaryHeap::new(),
            epoch: epoch(),
            now: Duration::ZERO,
            count: 0,
            chance: Chance(1),
        }
    }

    /// Lets time pass while the first backend takes `slowdown` times as long as the others.
    fn run(&mut self, seconds: u64, slowdown: u32) -> Seen {
        let mut seen = Seen::default();
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            let gap = -(1.0 - self.chance.fraction()).ln() / (100.0 * Self::BACKENDS as f64);
            self.now += Duration::from_secs_f64(gap);
            self.finish_requests();
            let picked = self.pick();
            let service = if picked == 0 { Self::SERVICE * slowdown } else { Self::SERVICE };
            self.free[picked] =
                self.free[picked].max(self.now) + service.mul_f64(0.5 + self.chance.fraction());
            let latency = self.free[picked] - self.now;
            self.running.push(Reverse((self.free[picked], picked, latency)));
            self.state.0[picked].in_flight += 1;
            seen.picks[picked] += 1;
            seen.latency += latency;
        }
        seen
    }

    fn finish_requests(&mut self) {
        while let Some(&Reverse((end, backend, latency))) = self.running.peek()
            && end <= self.now
        {
            self.running.pop();
            self.state.0[backend].in_flight -= 1;
            self.times[backend].observe(latency, self.epoch + end);
        }
    }

    fn pick(&mut self) -> usize {
        for (backend, time) in self.state.0.iter_mut().zip(&self.times) {
            backend.response_time = time.value(self.epoch + self.now);
        }
        self.count += 1;
        let turn = Turn { random: self.chance.next(), ..turn(self.count) };
        self.balancer.pick(turn, &self.state).unwrap().index()
    }
}

/// A backend becomes ten times as slow and then fast again. Measured here: 0.1 % of the requests while it is slow, where
/// fewest connections would give it 7 % and make the mean latency half as long again.
#[test]
fn least_response_time_avoids_a_backend_while_it_is_slow() {
    let [least_time, least_connections, random] =
        [Algorithm::LeastResponseTime, Algorithm::LeastConnections, Algorithm::Random].map(|algorithm| {
            let mut pool = Pool::new(algorithm);
            [pool.run(20, 1), pool.run(60, 10), pool.run(60, 1), pool.run(30, 1)]
        });
    let [before, slow, _, recovered] = &least_time;
    assert!((0.17..0.23).contains(&before.share_of_first()), "{before:?}");
    assert!(slow.share_of_first() < 0.02, "{slow:?}");
    assert!((0.17..0.23).contains(&recovered.share_of_first()), "{recovered:?}");
    for other in [least_connections, random] {
        assert!(slow.mean_latency() < other[1].mean_latency(), "{slow:?}, others {:?}", other[1]);
    }
}

/// The backends of the first of two tiers fail one after the other.
#[test]
fn a_failing_tier_spills_what_envoys_table_says() {
    let names = names(20);
    for failed in 0..=10u16 {
        let healthy = u64::from(10 - failed);
        let loads =
            share_load(&[Capacity { usable: healthy, total: 10 }, Capacity { usable: 10, total: 10 }]);
        let usable: Vec<_> =
            (failed..20).map(|i| TierMember { weight: 1, tier: usize::from(i >= 10) }).collect();
        let weights = spread(&usable, &loads);
        let members: Vec<_> = (failed..20)
            .zip(weights)
            .map(|(i, weight)| Member { index: BackendIndex(i), name: &names[usize::from(i)], weight })
            .collect();
        let expected = (healthy * 14).min(100) as f64 / 100.0;
        let table =
            Maglev::build(&members.iter().copied().filter(|member| member.weight > 0).collect::<Vec<_>>());
        let in_first = |picks: &mut dyn Iterator<Item = BackendIndex>| {
            let (first, second): (Vec<_>, Vec<_>) = picks.partition(|backend| backend.index() < 10);
            first.len() as f64 / (first.len() + second.len()) as f64
        };
        let share = in_first(&mut table.slots().iter().copied());
        assert!((share - expected).abs() < 0.001, "{failed} failed: {share} of the slots, not {expected}");
        for algorithm in [Algorithm::RoundRobin, Algorithm::Random] {
            let balancer = Balancer::build(algorithm, &members);
            let state = State::idle(20);
            let share = in_first(&mut (0..65_536).map(|n| balancer.pick(turn(n), &state).unwrap()));
            assert!(
                (share - expected).abs() < 0.01,
                "{algorithm:?}, {failed} failed: {share}, not {expected}"
            );
        }
    }
}
