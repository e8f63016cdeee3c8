//! What the tests of several modules need.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;
use std::time::Instant;

use lb_balance::{BackendIndex, Maglev, Member};
use lb_common::host::{HostTables, Sample, samples};
use lb_common::{Choice, Counter, DropReason, FlowEvent, ListenerId, Mac, PassReason, PortRange, Protocol};

use crate::counters::{Counters, CountersError, Counts};
use crate::desired::{Desired, DesiredBackend, DesiredListener, DesiredPool, Route, Standing};
use crate::memory::Memory;

/// A moment from which time goes on as a test says.
#[expect(clippy::disallowed_methods, reason = "an Instant comes from nowhere else")]
pub(crate) fn beginning() -> Instant {
    Instant::now()
}

/// The memory of tables that are not the kernel's.
pub(crate) fn memory(tables: &HostTables) -> Memory<'_> {
    Memory {
        control: &tables.control,
        listeners_v4: &tables.listeners_v4,
        listeners_v6: &tables.listeners_v6,
        pools: &tables.pools,
        rings: &tables.rings,
        backends: &tables.backends,
        flows_v4: &tables.flows_v4,
        flows_v6: &tables.flows_v6,
    }
}

impl Counters for HostTables {
    fn listener(&self, id: ListenerId) -> Result<Counts, CountersError> {
        Ok(counts(&self.listener_counters[usize::from(id.0)]))
    }

    fn backend(&self, index: lb_common::BackendIndex) -> Result<Counts, CountersError> {
        Ok(counts(&self.backend_counters[usize::from(index.0)]))
    }

    fn passed(&self, reason: PassReason) -> Result<u64, CountersError> {
        Ok(self.passed.of(reason as u64))
    }

    fn dropped(&self, reason: DropReason) -> Result<u64, CountersError> {
        Ok(self.dropped.of(reason as u64))
    }

    fn flow_event(&self, event: FlowEvent) -> Result<u64, CountersError> {
        Ok(self.events.of(event as u64))
    }
}

fn counts(counter: &Counter) -> Counts {
    let Counter { packets, bytes, flows } = counter;
    Counts { packets: packets.load(), bytes: bytes.load(), flows: flows.load() }
}

/// The interface that BPF_PROG_TEST_RUN says a packet came in by: that of the loopback device.
pub(crate) const INTERFACE: u32 = 1;

/// A backend at 10.0.0.`last` or fd00::`last`.
pub(crate) fn backend(name: &str, v6: Tunnels, last: u8) -> DesiredBackend {
    let (source, destination): (IpAddr, IpAddr) = match v6 {
        Tunnels::V4 => (Ipv4Addr::new(172, 16, 0, 0).into(), Ipv4Addr::new(10, 0, 0, last).into()),
        Tunnels::V6 => {
            let address = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
            (address(0).into(), address(last.into()).into())
        }
    };
    let route = Route {
        destination,
        source,
        entropy: 0xffff,
        next_hop: Mac::new([2, 0, 0, 0, 0, 9]),
        interface: INTERFACE,
        interface_mac: Mac::new([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
    };
    DesiredBackend { name: name.to_owned(), standing: Standing::Alive, route }
}

/// The family of the tunnels to a pool's backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tunnels {
    V4,
    V6,
}

/// A pool in which all backends that are alive take new flows.
pub(crate) fn pool(name: &str, backends: Vec<DesiredBackend>) -> DesiredPool {
    let alive = (0..).zip(&backends).filter(|(_, backend)| backend.standing == Standing::Alive);
    let members: Vec<_> = alive
        .map(|(place, backend)| Member { index: BackendIndex(place), name: &backend.name, weight: 1 })
        .collect();
    let slots = Maglev::build(&members).slots().to_vec();
    DesiredPool { name: name.to_owned(), choice: Choice::Tuple, backends, slots }
}

/// TCP and UDP at the samples' addresses: those with IPv4 to pool `v4`, those with IPv6 to pool `v6`.
pub(crate) fn listeners() -> Vec<DesiredListener> {
    let listener = |name: &str, address, protocol, pool: &str| DesiredListener {
        name: name.to_owned(),
        address,
        ports: PortRange::one(Sample::PORT),
        protocol,
        pool: pool.to_owned(),
        idle: 600,
    };
    [(Sample::LOCAL_V4.into(), "v4"), (Sample::LOCAL_V6.into(), "v6")]
        .into_iter()
        .flat_map(|(address, pool)| {
            [listener("tcp", address, Protocol::Tcp, pool), listener("udp", address, Protocol::Udp, pool)]
        })
        .collect()
}

/// Pools of three backends each for those listeners.
pub(crate) fn desired(v4: Tunnels) -> Desired {
    let backends =
        |tunnels| ["a", "b", "c"].into_iter().zip(1..).map(|(n, i)| backend(n, tunnels, i)).collect();
    let pools = vec![pool("v4", backends(v4)), pool("v6", backends(Tunnels::V6))];
    Desired { seed: 7, listeners: listeners(), pools }
}

/// A TCP segment to the samples' IPv4 listener.
pub(crate) fn segment(client: u32, client_port: u16, flags: u8) -> Vec<u8> {
    static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| samples().swap_remove(0).frame);
    let mut frame = SAMPLE.clone();
    frame[26..30].copy_from_slice(&client.to_be_bytes());
    frame[34..36].copy_from_slice(&client_port.to_be_bytes());
    frame[47] = flags;
    frame
}

/// Flags of TCP.
pub(crate) const SYN: u8 = 2;
/// Flags of TCP.
pub(crate) const ACK: u8 = 16;
