//! What reconciling does to packets, on the memory of the host.

use std::net::{Ipv4Addr, Ipv6Addr};

use lb_common::host::{HostPacket, HostTables, Sample, samples};
use lb_common::{Config, PassReason, PortRange, Protocol, Secret, Timeouts, Verdict, balance};
use proptest::prelude::*;

use crate::tests::{ACK, Tunnels, backend, beginning, desired, memory, pool, segment};

use super::*;

pub(super) const CAPACITY: Capacity =
    Capacity { flows_v4: 100, flows_v6: 100, listeners: 12, pools: 4, backends: 12 };

/// Tables of a boot, whose random words `boot` stands for.
pub(super) fn tables(boot: u64) -> HostTables {
    let timeouts = Timeouts { new: 30, confirmed: 60, closing: 10, _pad: 0 };
    let shift = |lines: u32| u64::BITS - lines.trailing_zeros();
    let config = Config {
        line_secret: Secret::new([boot; 9]),
        key_secret: Secret::new([!boot; 9]),
        flow_shift: [Family::V4, Family::V6].map(|family| shift(CAPACITY.flow_lines(family))),
        listener_shift: shift(CAPACITY.listener_lines()),
        tick_shift: 8,
        load_order: lb_common::LoadOrder::NATIVE,
        timeouts: [timeouts; 2],
    };
    // Numbers of listeners begin at 1.
    HostTables::new(config, usize::from(CAPACITY.backends) + 1)
}

/// An instance of the balancer.
struct Instance {
    tables: HostTables,
    reconciler: Reconciler,
    now: Instant,
}

impl Instance {
    fn new(boot: u64) -> Self {
        Self { tables: tables(boot), reconciler: Reconciler::new(&CAPACITY), now: beginning() }
    }

    fn with(desired: &Desired) -> Self {
        let mut instance = Self::new(1);
        instance.apply(desired);
        instance
    }

    /// Reconciles after all that may rest has rested.
    fn apply(&mut self, desired: &Desired) {
        self.now += GRACE * 2;
        assert_eq!(self.try_apply(desired), Ok(Outcome::Applied));
        self.now += GRACE * 2;
        self.reconciler.tend(memory(&self.tables), self.now);
        self.now += GRACE * 2;
        self.sweep();
    }

    fn sweep(&mut self) {
        self.reconciler.sweep(memory(&self.tables), &self.tables, Tick(0), self.now).unwrap();
    }

    fn try_apply(&mut self, desired: &Desired) -> Result<Outcome, ReconcileError> {
        self.reconciler.reconcile(memory(&self.tables), desired, self.now)
    }

    /// What becomes of a packet of a TCP flow that is not known.
    fn run(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut packet = HostPacket::new(frame);
        (balance(&mut packet, &self.tables), packet.bytes())
    }

    fn passes(&self, address: Ipv4Addr, port: u16) -> bool {
        self.run(&to(address, port)).0 == Verdict::Pass(PassReason::NoListener)
    }
}

/// A TCP ACK of a client's port, to the samples' IPv4 address; it leaves no trace in the flow table.
fn ack_v4(client_port: u16) -> Vec<u8> {
    segment(u32::from_be_bytes([192, 0, 2, 7]), client_port, ACK)
}

/// A TCP ACK to an address and port.
fn to(address: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut frame = ack_v4(1);
    frame[30..34].copy_from_slice(&address.octets());
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame
}

fn ack_v6(client_port: u16) -> Vec<u8> {
    let frames = samples().into_iter().map(|sample| (sample.name, sample.frame));
    let (_, mut frame) =
        frames.into_iter().find(|(name, _)| name == "IPv6, untagged: TCP ACK of an unknown flow").unwrap();
    frame[54..56].copy_from_slice(&client_port.to_be_bytes());
    frame
}

/// A few of six backends, some of them dead.
fn backends(tunnels: Tunnels) -> impl Strategy<Value = Vec<DesiredBackend>> {
    let backend = (0..6u8, any::<bool>()).prop_map(move |(n, alive)| {
        let standing = if alive { Standing::Alive } else { Standing::Dead };
        DesiredBackend { standing, ..backend(&format!("backend {n}"), tunnels, n + 1) }
    });
    prop::collection::vec(backend, 0..5).prop_map(|mut backends| {
        backends.sort_by(|a, b| a.name.cmp(&b.name));
        backends.dedup_by(|a, b| a.name == b.name);
        backends
    })
}

fn any_desired() -> impl Strategy<Value = Desired> {
    let listeners = prop::sample::subsequence(desired(Tunnels::V4).listeners, 0..=4);
    (listeners, backends(Tunnels::V4), backends(Tunnels::V6), 0..3u32).prop_map(
        |(listeners, v4, v6, seed)| Desired { seed, listeners, pools: vec![pool("v4", v4), pool("v6", v6)] },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the history, the order of things and the secrets of the boot: the same configuration makes the
    /// same of every packet.
    #[test]
    fn history_and_order_do_not_matter(mut history in prop::collection::vec(any_desired(), 1..6)) {
        let mut old = Instance::new(0x1234_5678_9abc_def1);
        history.iter().for_each(|desired| old.apply(desired));
        let mut last = history.pop().unwrap();
        last.listeners.reverse();
        last.pools.reverse();
        let fresh = Instance::with(&last);
        for port in 0..64 {
            for frame in [ack_v4(port), ack_v6(port)] {
                prop_assert_eq!(old.run(&frame), fresh.run(&frame));
            }
        }
    }
}

#[test]
fn splice_and_xdp_choose_the_same_backend() {
    let mut desired = desired(Tunnels::V4);
    for choice in [Choice::Tuple, Choice::Client] {
        desired.pools[0].choice = choice;
        let instance = Instance::with(&desired);
        let pool = &desired.pools[0];
        for n in 1..500 {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + n * 77);
            let port = 1000 + u16::try_from(n).unwrap();
            let (client, local) = ((address, port).into(), (Sample::LOCAL_V4, Sample::PORT).into());
            let hash = match choice {
                Choice::Client => lb_balance::FlowHash::of_client(desired.seed, address.into()),
                Choice::Tuple | Choice::None => {
                    lb_balance::FlowHash::of_tuple(desired.seed, lb_balance::Protocol::Tcp, client, local)
                }
            };
            let chosen = pool.slots[hash.place(0, lb_balance::Maglev::SLOTS)];
            let (verdict, sent) = instance.run(&segment(address.to_bits(), port, ACK));
            assert_eq!(verdict, Verdict::Transmit);
            let destination = IpAddr::from([10, 0, 0, sent[33]]);
            assert_eq!(destination, pool.backends[chosen.index()].route.destination);
        }
    }
}

#[test]
fn a_change_moves_only_what_maglev_moves() {
    let mut desired = desired(Tunnels::V4);
    let mut instance = Instance::with(&desired);
    let destinations =
        |instance: &Instance| (1..1000).map(|port| instance.run(&ack_v4(port)).1[33]).collect::<Vec<_>>();
    let before = destinations(&instance);
    desired.pools[0] = pool("v4", desired.pools[0].backends[..2].to_vec());
    instance.apply(&desired);
    let after = destinations(&instance);
    let moved = before.iter().zip(&after).filter(|(before, after)| **before != 3 && before != after).count();
    assert!(moved < 60, "{moved} of 1000 flows of backends that stayed");
    assert!(after.iter().all(|&backend| backend != 3));
}

#[test]
fn one_port_comes_before_a_range() {
    let mut desired = desired(Tunnels::V4);
    let listener = |name: &str, first, last, pool: &str| DesiredListener {
        name: name.to_owned(),
        address: Ipv4Addr::new(198, 51, 100, 9).into(),
        ports: PortRange::new(first, last).unwrap(),
        protocol: Protocol::Tcp,
        pool: pool.to_owned(),
        idle: 10,
    };
    desired.pools.push(pool("other", vec![backend("x", Tunnels::V4, 77)]));
    desired.listeners.extend([listener("range", 1000, 2000, "v4"), listener("one", 1500, 1500, "other")]);
    let mut instance = Instance::with(&desired);
    let address = Ipv4Addr::new(198, 51, 100, 9);
    assert!([999, 2001, 443].iter().all(|&port| instance.passes(address, port)));
    assert!([1000, 1499, 1501, 2000].iter().all(|&port| instance.run(&to(address, port)).1[33] != 77));
    assert_eq!(instance.run(&to(address, 1500)).1[33], 77);
    let wildcard = DesiredListener {
        address: Ipv4Addr::new(198, 51, 100, 10).into(),
        ..listener("all", 0, 65535, "other")
    };
    desired.listeners.push(wildcard);
    instance.apply(&desired);
    assert!(
        [1, 999, 65535]
            .iter()
            .all(|&port| instance.run(&to(Ipv4Addr::new(198, 51, 100, 10), port)).1[33] == 77)
    );
    desired.listeners.retain(|listener| listener.address.is_ipv6());
    instance.apply(&desired);
    assert!([1000, 1500, 443].iter().all(|&port| instance.passes(address, port)));
}

#[test]
fn what_was_in_use_a_moment_ago_is_not_written() {
    let mut desired = desired(Tunnels::V4);
    let mut instance = Instance::with(&desired);
    instance.now += GRACE;
    desired.pools[0] = pool("v4", desired.pools[0].backends[..2].to_vec());
    assert_eq!(instance.try_apply(&desired), Ok(Outcome::Applied));
    let before = instance.run(&ack_v4(1));
    let switched = instance.now;
    instance.now += GRACE / 2;
    desired.pools[0] = pool("v4", desired.pools[0].backends[..1].to_vec());
    assert_eq!(instance.try_apply(&desired), Ok(Outcome::NotBefore(switched + GRACE)));
    assert_eq!(instance.run(&ack_v4(1)), before);
    instance.now = switched + GRACE;
    assert_eq!(instance.try_apply(&desired), Ok(Outcome::Applied));
    assert_eq!(instance.run(&ack_v4(1)).1[33], 1);
}

#[test]
fn numbers_rest_until_a_sweep() {
    let mut desired = desired(Tunnels::V4);
    let mut instance = Instance::with(&desired);
    for round in 0..20 {
        let names: Vec<_> = (0..9).map(|n| backend(&format!("{round} {n}"), Tunnels::V4, n)).collect();
        desired.pools = vec![pool("v4", names), pool("v6", vec![])];
        desired.listeners.retain(|listener| listener.address.is_ipv4());
        instance.now += GRACE * 2;
        assert!(matches!(instance.try_apply(&desired), Err(ReconcileError::NoRoom { what: "backends", .. })));
        // Those of the round before have to go first, and a sweep has to see that they have.
        instance.now += GRACE * 2;
        assert_eq!(instance.try_apply(&Desired::default()), Ok(Outcome::Applied));
        instance.now += GRACE * 2;
        // This sweep empties the backends, so programs may know them still.
        instance.sweep();
        assert!(matches!(instance.try_apply(&desired), Err(ReconcileError::NoRoom { what: "backends", .. })));
        instance.now += GRACE * 2;
        instance.sweep();
        instance.apply(&desired);
    }
}

#[test]
fn what_no_map_can_say_is_refused_with_its_reason() {
    let good = desired(Tunnels::V4);
    let mut instance = Instance::with(&good);
    let mut refused = |change: &dyn Fn(&mut Desired)| {
        let mut desired = good.clone();
        change(&mut desired);
        instance.now += GRACE * 2;
        let error = instance.try_apply(&desired).unwrap_err().to_string();
        assert_eq!(instance.run(&ack_v4(1)).0, Verdict::Transmit, "nothing changed");
        error
    };
    let v6 = Ipv6Addr::LOCALHOST.into();
    assert_eq!(
        refused(&|desired| desired.listeners[2].pool = "v4".to_owned()),
        "listener tcp has an IPv6 address: backend a of its pool v4 needs one too"
    );
    assert_eq!(
        refused(&|desired| desired.pools[0].backends[1].route.source = v6),
        "backend b of pool v4: its address and the tunnel's source must be of one family"
    );
    assert_eq!(
        refused(&|desired| drop(desired.pools.pop())),
        "listener tcp wants pool v6, which is not among those that XDP has"
    );
    let ranges = |desired: &mut Desired| {
        let first = desired.listeners[0].clone();
        desired.listeners.extend((1..6).map(|n| DesiredListener {
            name: format!("range {n}"),
            ports: PortRange::new(n * 100, n * 100 + 9).unwrap(),
            ..first.clone()
        }));
    };
    assert_eq!(refused(&ranges), "XDP takes at most four port ranges at one address and protocol");
    let many = |desired: &mut Desired| {
        desired.pools[0].backends = (0..20).map(|n| backend(&format!("{n}"), Tunnels::V4, n)).collect();
    };
    assert_eq!(
        refused(&many),
        "the XDP maps have room for 6 more backends, and 20 are new: make them larger and restart"
    );
}
