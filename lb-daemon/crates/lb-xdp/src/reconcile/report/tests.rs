//! What a scrape is told of packets: on the memory of the host whatever the history, and in the kernel.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use lb_common::host::{Expected, HostPacket, HostTables, Sample, samples};
use lb_common::{Protocol, Tick, Verdict, balance};
use lb_telemetry::metrics::{Configuration, PerWorker, Process, ReloadResult, Report, render};
use proptest::prelude::*;

use crate::desired::{Desired, DesiredListener};
use crate::program::Balancer;
use crate::program::tests::{CAPACITY, load};
use crate::reconcile::tests::tables;
use crate::reconcile::{GRACE, Outcome};
use crate::tests::{ACK, SYN, Tunnels, backend, beginning, desired, listeners, memory, pool, segment};

use super::*;

/// A frame that some listener may be for, which it is by address and protocol.
struct Probe {
    address: IpAddr,
    protocol: Protocol,
    frame: Vec<u8>,
    /// Where the last byte of the outer destination is once it has been sent on.
    destination: usize,
    /// Where the length of the packet without an IPv6 header is.
    length: usize,
}

impl Probe {
    /// One for each of the samples' listeners.
    fn all() -> Vec<Self> {
        let named = |name: &str| samples().into_iter().find(|sample| sample.name == name).unwrap().frame;
        let probe = |(family, kind, address, protocol, destination, length)| Self {
            address,
            protocol,
            frame: named(&format!("{family}, untagged: {kind}")),
            destination,
            length,
        };
        let (v4, v6) = (Sample::LOCAL_V4.into(), Sample::LOCAL_V6.into());
        [
            ("IPv4", "TCP SYN", v4, Protocol::Tcp, 33, 16),
            ("IPv4", "UDP", v4, Protocol::Udp, 33, 16),
            ("IPv6", "TCP SYN", v6, Protocol::Tcp, 53, 18),
            ("IPv6", "UDP", v6, Protocol::Udp, 53, 18),
        ]
        .map(probe)
        .into()
    }

    /// The frame of another client.
    fn from(&self, client: u8) -> Vec<u8> {
        let mut frame = self.frame.clone();
        frame[if self.address.is_ipv4() { 29 } else { 37 }] = client;
        frame
    }

    /// From the IP header on.
    fn bytes(&self) -> u64 {
        let header = if self.address.is_ipv6() { 40 } else { 0 };
        header + u64::from(u16::from_be_bytes([self.frame[self.length], self.frame[self.length + 1]]))
    }
}

/// What a name has, as one sees it who watches packets.
type Watched<N> = BTreeMap<N, Counts>;

/// A balancer on the host, and somebody who watches its packets.
struct Watch {
    tables: HostTables,
    reconciler: Reconciler,
    now: Instant,
    applied: Desired,
    clients: u8,
    listeners: Watched<String>,
    backends: Watched<(String, String)>,
}

impl Watch {
    fn new() -> Self {
        Self {
            tables: tables(1),
            reconciler: Reconciler::new(&crate::reconcile::tests::CAPACITY),
            now: beginning(),
            applied: Desired::default(),
            clients: 0,
            listeners: Watched::new(),
            backends: Watched::new(),
        }
    }

    /// Reconciles if there is room, and forgets the names that are gone.
    fn apply(&mut self, desired: Desired) {
        self.now += GRACE * 2;
        if self.reconciler.reconcile(memory(&self.tables), &desired, self.now) != Ok(Outcome::Applied) {
            return;
        }
        keep_only(&mut self.listeners, desired.listeners.iter().map(|listener| listener.name.clone()));
        let backends = desired
            .pools
            .iter()
            .flat_map(|pool| pool.backends.iter().map(|backend| (pool.name.clone(), backend.name.clone())));
        keep_only(&mut self.backends, backends);
        self.applied = desired;
    }

    fn sweep(&mut self) {
        self.now += GRACE * 2;
        self.reconciler.sweep(memory(&self.tables), &self.tables, Tick(0), self.now).unwrap();
    }

    /// Sends a packet of a new client to each address and protocol, and watches where it goes.
    fn send(&mut self) {
        self.clients += 1;
        for probe in Probe::all() {
            let flows = self.flows();
            let mut packet = HostPacket::new(&probe.from(self.clients));
            if balance(&mut packet, &self.tables) != Verdict::Transmit {
                continue;
            }
            let counts = Counts { packets: 1, bytes: probe.bytes(), flows: self.flows() - flows };
            let mut listeners = self.applied.listeners.iter();
            let listener = listeners
                .find(|listener| (listener.address, listener.protocol) == (probe.address, probe.protocol))
                .unwrap();
            let last = packet.bytes()[probe.destination];
            let pool = self.applied.pools.iter().find(|pool| pool.name == listener.pool).unwrap();
            let backend = pool.backends.iter().find(|backend| last_byte(backend.route.destination) == last);
            let backend = (pool.name.clone(), backend.unwrap().name.clone());
            add(&mut self.listeners, &listener.name, counts);
            add(&mut self.backends, &backend, counts);
        }
    }

    /// Flows that were put into the tables.
    fn flows(&self) -> u64 {
        [FlowEvent::Inserted, FlowEvent::ReplacedClosing, FlowEvent::ReplacedNew]
            .map(|event| self.tables.events.of(event as u64))
            .iter()
            .sum()
    }

    /// What a scrape is told of listeners and of backends.
    fn told(&self) -> (Watched<String>, Watched<(String, String)>) {
        let report = self.reconciler.report(&self.tables).unwrap();
        let counts = |XdpCounts { packets, bytes, flows }| Counts { packets, bytes, flows };
        let listeners = report.listeners.iter();
        let backends = report.backends.iter();
        (
            listeners.map(|listener| (listener.name.to_owned(), counts(listener.counts))).collect(),
            backends
                .map(|backend| ((backend.pool.to_owned(), backend.name.to_owned()), counts(backend.counts)))
                .collect(),
        )
    }
}

fn keep_only<N: Ord>(watched: &mut Watched<N>, names: impl Iterator<Item = N>) {
    let names: BTreeSet<N> = names.collect();
    *watched = names
        .into_iter()
        .map(|name| watched.remove_entry(&name).unwrap_or((name, Counts::default())))
        .collect();
}

fn add<N: Ord>(watched: &mut Watched<N>, name: &N, counts: Counts) {
    let total = watched.get_mut(name).unwrap();
    *total = total.plus(counts);
}

fn last_byte(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}

/// What happens to a balancer.
#[derive(Debug, Clone)]
enum Step {
    Apply(Desired),
    Sweep,
    Send,
}

/// Some of the four listeners, under some of two names; pools whose backends have some of three names at some of
/// four addresses.
fn any_desired() -> impl Strategy<Value = Desired> {
    let names = prop::collection::vec(prop::option::weighted(0.8, 0..2), 4);
    let listeners = names.prop_map(|names| {
        let named = |(listener, name): (DesiredListener, Option<i32>)| {
            name.map(|name| DesiredListener { name: format!("listener {name}"), ..listener })
        };
        listeners().into_iter().zip(names).filter_map(named).collect::<Vec<_>>()
    });
    let backends = |tunnels| {
        let places = prop::sample::subsequence(vec![1, 2, 3, 4], 0..=3);
        (places, Just(vec!["a", "b", "c"]).prop_shuffle()).prop_map(move |(places, names)| {
            places.iter().zip(names).map(|(&place, name)| backend(name, tunnels, place)).collect::<Vec<_>>()
        })
    };
    (listeners, backends(Tunnels::V4), backends(Tunnels::V6)).prop_map(|(listeners, v4, v6)| Desired {
        seed: 7,
        listeners,
        pools: vec![pool("v4", v4), pool("v6", v6)],
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![2 => any_desired().prop_map(Step::Apply), 1 => Just(Step::Sweep), 3 => Just(Step::Send)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever watches the packets counts what a scrape is told: a name that stays loses nothing, one that comes
    /// begins at 0, and none is given what is another's.
    #[test]
    fn names_have_what_was_sent_for_them(steps in prop::collection::vec(any_step(), 1..24)) {
        let mut watch = Watch::new();
        watch.apply(desired(Tunnels::V4));
        for step in steps {
            match step {
                Step::Apply(desired) => watch.apply(desired),
                Step::Sweep => watch.sweep(),
                Step::Send => watch.send(),
            }
            prop_assert_eq!(watch.told(), (watch.listeners.clone(), watch.backends.clone()));
        }
    }
}

#[test]
fn flow_tables_tell_what_the_last_sweep_found() {
    let mut watch = Watch::new();
    watch.apply(desired(Tunnels::V4));
    watch.send();
    let capacity = watch.reconciler.capacity;
    let [v4, _] = watch.reconciler.report(&watch.tables).unwrap().flow_tables.try_into().unwrap();
    assert_eq!((v4.bytes, v4.ways), (capacity.flow_bytes(Family::V4), capacity.flow_bytes(Family::V4) / 16));
    assert!(v4.flows.is_none());
    watch.sweep();
    watch.apply(Desired::default());
    watch.sweep();
    watch.sweep();
    let report = watch.reconciler.report(&watch.tables).unwrap();
    for table in &report.flow_tables {
        let FlowStates { new, confirmed, closing } = table.flows.unwrap();
        assert_eq!((new, confirmed, closing, table.swept), (0, 0, 0, 2), "{table:?}");
    }
}

/// The series of the XDP data path in a scrape.
fn scrape(reconciler: &Reconciler, kernel: &Balancer) -> BTreeMap<String, u64> {
    let text = render(&Report {
        version: "0",
        started: Duration::ZERO,
        process: Process::default(),
        log_lines_dropped: 0,
        access_log_lines_lost: 0,
        configuration: Configuration {
            generation: 1,
            snapshots: 1,
            epoch: 1,
            applied_at: Duration::ZERO,
            warnings: 0,
            reloads_applied: 0,
            reloads_refused: 0,
            last_reload: ReloadResult::Applied,
        },
        workers: &PerWorker::new(1),
        listeners: Vec::new(),
        pools: Vec::new(),
        discoveries: Vec::new(),
        xdp: Some(reconciler.report(kernel).unwrap()),
    });
    let series = text.lines().filter_map(|line| line.strip_prefix("sluice_xdp_")?.rsplit_once(' '));
    series.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// The series that a scrape should have.
struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Every series of what is there, with nothing counted and after no sweep.
    fn of(desired: &Desired) -> Self {
        let mut tally = Self(BTreeMap::new());
        for listener in &desired.listeners {
            tally.listener(&listener.name, Counts::default());
        }
        for pool in &desired.pools {
            pool.backends
                .iter()
                .for_each(|backend| tally.backend(&pool.name, &backend.name, Counts::default()));
        }
        PassReason::ALL.iter().for_each(|&reason| tally.passed(reason, 0));
        DropReason::ALL.iter().for_each(|&reason| tally.dropped(reason, 0));
        FlowEvent::ALL.iter().for_each(|&event| tally.event(event, 0));
        for family in ["ipv4", "ipv6"] {
            // Room for 1000 flows.
            for (what, n) in [("ways", 2048), ("bytes", 2048 * 16), ("swept_flows_total", 0)] {
                tally.add(format!("flow_table_{what}{{family=\"{family}\"}}"), n);
            }
        }
        tally
    }

    fn add(&mut self, series: String, n: u64) {
        *self.0.entry(series).or_default() += n;
    }

    fn listener(&mut self, name: &str, counts: Counts) {
        for (what, n) in each_of(counts) {
            self.add(format!("listener_{what}_total{{listener=\"{name}\"}}"), n);
        }
    }

    fn backend(&mut self, pool: &str, name: &str, counts: Counts) {
        for (what, n) in each_of(counts) {
            self.add(format!("backend_{what}_total{{pool=\"{pool}\",backend=\"{name}\"}}"), n);
        }
    }

    fn passed(&mut self, reason: PassReason, n: u64) {
        self.add(format!("passed_packets_total{{reason=\"{}\"}}", reason.label()), n);
    }

    fn dropped(&mut self, reason: DropReason, n: u64) {
        self.add(format!("dropped_packets_total{{reason=\"{}\"}}", reason.label()), n);
    }

    fn event(&mut self, event: FlowEvent, n: u64) {
        self.add(format!("flow_events_total{{event=\"{}\"}}", event.label()), n);
    }

    /// A new flow, which took an empty way.
    fn inserted(&mut self) {
        self.event(FlowEvent::Missed, 1);
        self.event(FlowEvent::Inserted, 1);
    }

    /// Flows that a sweep left: new, confirmed, closing.
    fn left(&mut self, family: &str, flows: [u64; 3]) {
        for (state, n) in ["new", "confirmed", "closing"].into_iter().zip(flows) {
            self.add(format!("flow_table_flows{{family=\"{family}\",state=\"{state}\"}}"), n);
        }
    }
}

fn each_of(counts: Counts) -> [(&'static str, u64); 3] {
    [("in_packets", counts.packets), ("in_bytes", counts.bytes), ("flows", counts.flows)]
}

/// What can be read off a sample that was sent on.
struct Sent {
    pool: &'static str,
    backend: &'static str,
    protocol: u8,
    /// From the IP header on, without the outer one.
    bytes: u64,
}

impl Sent {
    fn read(frame: &[u8]) -> Self {
        let tags =
            frame[12..].chunks(4).take_while(|tag| [[0x81, 0], [0x88, 0xa8]].contains(&[tag[0], tag[1]]));
        let outer = &frame[14 + 4 * tags.count()..];
        // The samples' IPv4 addresses have IPv4 tunnels, and their IPv6 addresses IPv6 ones.
        let (pool, last, inner) =
            if outer[0] >> 4 == 4 { ("v4", 19, &outer[20..]) } else { ("v6", 39, &outer[40..]) };
        let length = |at: usize| u64::from(u16::from_be_bytes([inner[at], inner[at + 1]]));
        // Of those with IPv6 only TCP has extension headers.
        let (protocol, bytes) = match pool {
            "v4" => (inner[9], length(2)),
            _ => (if inner[6] == 17 { 17 } else { 6 }, 40 + length(4)),
        };
        let backend = ["a", "b", "c"][usize::from(outer[last]) - 1];
        Self { pool, backend, protocol, bytes }
    }
}

/// A segment of this client to 198.51.100.`last`: 40 bytes from the IP header on.
fn segment_to(last: u8, client: u32, flags: u8) -> Vec<u8> {
    let mut frame = segment(client, 40_000, flags);
    frame[33] = last;
    frame
}

/// A listener for TCP at 198.51.100.`last`.
fn listener_at(name: &str, last: u8, pool: &str) -> DesiredListener {
    DesiredListener {
        name: name.to_owned(),
        address: Ipv4Addr::new(198, 51, 100, last).into(),
        pool: pool.to_owned(),
        ..listeners().swap_remove(0)
    }
}

/// Only a driver without headroom is missing, which the kernel does not play here.
#[test]
fn a_scrape_finds_exactly_the_packets_that_the_kernel_got() {
    let Some(mut kernel) = load() else { return };
    let mut desired = desired(Tunnels::V4);
    desired.listeners.extend([listener_at("nobody", 50, "none"), listener_at("lone", 51, "lone")]);
    desired.pools.extend([pool("none", vec![]), pool("lone", vec![backend("x", Tunnels::V4, 77)])]);
    let mut reconciler = Reconciler::new(&CAPACITY);
    assert_eq!(reconciler.reconcile(kernel.memory(), &desired, beginning()), Ok(Outcome::Applied));
    let mut tally = Tally::of(&desired);
    assert_eq!(scrape(&reconciler, &kernel), tally.0);

    let mut known = HashSet::new();
    for Sample { frame, expected, .. } in samples() {
        let ran = kernel.run(&frame).unwrap();
        match expected {
            Expected::Pass(reason) => tally.passed(reason, 1),
            Expected::Drop(reason) => tally.dropped(reason, 1),
            Expected::Forward => {
                let Sent { pool, backend, protocol, bytes } = Sent::read(&ran.packet);
                // All samples of a family and protocol are of one flow.
                let is_new = known.insert((pool, protocol));
                let counts = Counts { packets: 1, bytes, flows: is_new.into() };
                tally.listener(if protocol == 6 { "tcp" } else { "udp" }, counts);
                tally.backend(pool, backend, counts);
                if is_new {
                    tally.inserted();
                }
            }
        }
    }
    assert_eq!(known.len(), 4);
    assert_eq!(scrape(&reconciler, &kernel), tally.0);

    assert_eq!(kernel.run(&segment_to(50, 1, SYN)).unwrap().action, 1);
    tally.event(FlowEvent::Missed, 1);
    tally.dropped(DropReason::NoBackend, 1);
    assert_eq!(kernel.run(&segment_to(51, 1, SYN)).unwrap().packet[33], 77);
    let counts = Counts { packets: 1, bytes: 40, flows: 1 };
    tally.listener("lone", counts);
    tally.backend("lone", "x", counts);
    tally.inserted();
    // Backends were numbered in their order: x came after a, b and c twice.
    kernel.memory().backends[6].clear();
    assert_eq!(kernel.run(&segment_to(51, 2, SYN)).unwrap().action, 1);
    tally.event(FlowEvent::Missed, 1);
    tally.dropped(DropReason::Inconsistent, 1);
    assert_eq!(scrape(&reconciler, &kernel), tally.0);

    let tick = kernel.clock().now().unwrap();
    reconciler.sweep(kernel.memory(), &kernel, tick, beginning()).unwrap();
    tally.left("ipv4", [0, 2, 0]);
    tally.left("ipv6", [0, 2, 0]);
    tally.add("flow_table_swept_flows_total{family=\"ipv4\"}".to_owned(), 1);
    assert_eq!(scrape(&reconciler, &kernel), tally.0);
}

#[test]
fn a_listener_that_gets_anothers_number_in_the_kernel_begins_at_zero() {
    let Some(mut kernel) = load() else { return };
    let with = |names: &[(&str, u8)]| Desired {
        seed: 7,
        listeners: names.iter().map(|(name, last)| listener_at(name, *last, name)).collect(),
        pools: names.iter().map(|(name, last)| pool(name, vec![backend("x", Tunnels::V4, *last)])).collect(),
    };
    let (stays, first, second) = (("stays", 50), ("first", 51), ("second", 52));
    let tick = kernel.clock().now().unwrap();
    let (mut reconciler, mut now) = (Reconciler::new(&CAPACITY), beginning());
    let mut apply = |names: &[(&str, u8)]| {
        now += GRACE * 2;
        let outcome = reconciler.reconcile(kernel.memory(), &with(names), now);
        assert_eq!(outcome, Ok(Outcome::Applied));
        now += GRACE * 2;
        reconciler.tend(kernel.memory(), now);
        now += GRACE * 2;
        reconciler.sweep(kernel.memory(), &kernel, tick, now).unwrap();
        scrape(&reconciler, &kernel)
    };
    let send = |last| assert_eq!(kernel.run(&segment_to(last, 1, ACK)).unwrap().action, 3);
    let packets = |scrape: &BTreeMap<String, u64>, name: &str| {
        [
            format!("listener_in_packets_total{{listener=\"{name}\"}}"),
            format!("backend_in_packets_total{{pool=\"{name}\",backend=\"x\"}}"),
        ]
        .map(|series| scrape.get(&series).copied())
    };
    apply(&[stays, first]);
    [50, 51, 51].into_iter().for_each(send);
    let scraped = apply(&[stays]);
    assert_eq!((packets(&scraped, "stays"), packets(&scraped, "first")), ([Some(1); 2], [None; 2]));
    let scraped = apply(&[stays, second]);
    assert_eq!((packets(&scraped, "stays"), packets(&scraped, "second")), ([Some(1); 2], [Some(0); 2]));
    [50, 52].into_iter().for_each(send);
    let scraped = apply(&[stays, second]);
    assert_eq!((packets(&scraped, "stays"), packets(&scraped, "second")), ([Some(2); 2], [Some(1); 2]));
    // Both numbers were `first`'s before.
    assert_eq!(kernel.listener(ListenerId(2)).unwrap().packets, 3);
    assert_eq!(kernel.backend(BackendIndex(1)).unwrap().packets, 3);
}
