//! What is measured: the rows of the design's table, with their gates.

use lb_common::{Family, Protocol};

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) family: Family,
    pub(crate) protocol: Protocol,
    /// Flows that have packets, a power of two.
    pub(crate) flows: u32,
    pub(crate) traffic: Traffic,
    /// Nanoseconds that a packet may take, beyond what every program costs that does as much to the packet.
    pub(crate) gate: f64,
}

/// What packets there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Of flows that are all confirmed.
    Known,
    /// Each of a flow of its own, while the table is full.
    New,
    /// Each in the middle of a flow that is not in the table, which has a million others.
    MidFlow,
    /// For nobody.
    NotOurs,
}

const MILLION: u32 = 1 << 20;

/// All rows.
pub(crate) const CASES: [Case; 14] = {
    use Family::{V4, V6};
    use Protocol::{Tcp, Udp};
    use Traffic::{Known, MidFlow, New, NotOurs};
    const fn row(
        (name, title): (&'static str, &'static str),
        (family, protocol): (Family, Protocol),
        (traffic, flows): (Traffic, u32),
        gate: f64,
    ) -> Case {
        Case { name, title, family, protocol, flows, traffic, gate }
    }
    [
        row(("xdp.v4.tcp.1", "IPv4 TCP, known flow, 1 flow"), (V4, Tcp), (Known, 1), 25.0),
        row(("xdp.v4.tcp.4k", "IPv4 TCP, known flow, 4k flows"), (V4, Tcp), (Known, 1 << 12), 35.0),
        row(("xdp.v4.tcp.64k", "IPv4 TCP, known flow, 64k flows"), (V4, Tcp), (Known, 1 << 16), 170.0),
        row(("xdp.v4.tcp.1m", "IPv4 TCP, known flow, 1M flows"), (V4, Tcp), (Known, MILLION), 200.0),
        row(
            ("xdp.v4.new", "IPv4 TCP, every packet a new flow, table full"),
            (V4, Tcp),
            (New, 1 << 24),
            230.0,
        ),
        row(("xdp.v4.midflow", "IPv4 TCP, unknown, 1M confirmed"), (V4, Tcp), (MidFlow, MILLION), 200.0),
        row(("xdp.v4.udp.1", "IPv4 UDP, known flow, 1 flow"), (V4, Udp), (Known, 1), 25.0),
        row(("xdp.v4.udp.64k", "IPv4 UDP, known flow, 64k flows"), (V4, Udp), (Known, 1 << 16), 160.0),
        row(("xdp.v6.tcp.1", "IPv6 TCP, known flow, 1 flow"), (V6, Tcp), (Known, 1), 30.0),
        row(("xdp.v6.tcp.4k", "IPv6 TCP, known flow, 4k flows"), (V6, Tcp), (Known, 1 << 12), 40.0),
        row(("xdp.v6.tcp.64k", "IPv6 TCP, known flow, 64k flows"), (V6, Tcp), (Known, 1 << 16), 150.0),
        row(("xdp.v6.tcp.1m", "IPv6 TCP, known flow, 1M flows"), (V6, Tcp), (Known, MILLION), 200.0),
        row(("xdp.v4.pass", "IPv4 TCP, not ours"), (V4, Tcp), (NotOurs, 1), 8.0),
        row(("xdp.v6.pass", "IPv6 TCP, not ours"), (V6, Tcp), (NotOurs, 1), 8.0),
    ]
};
