//! What the XDP data path tells.

use lb_common::Family as IpFamily;

use crate::metrics::exposition::Samples;
use crate::metrics::families::{Family, Kind};
use crate::metrics::{FlowTableReport, Report, XdpCounts};

pub(super) static FAMILIES: [Family; 13] = [
    Family {
        name: "sluice_xdp_listener_in_packets_total",
        kind: Kind::Counter,
        help: "Packets from clients that were sent to backends.",
        labels: &["listener"],
        samples: |report, out| of_listeners(report, out, |counts| counts.packets),
    },
    Family {
        name: "sluice_xdp_listener_in_bytes_total",
        kind: Kind::Counter,
        help: "Bytes of packets from clients that were sent to backends, from the client's IP header on.",
        labels: &["listener"],
        samples: |report, out| of_listeners(report, out, |counts| counts.bytes),
    },
    Family {
        name: "sluice_xdp_listener_flows_total",
        kind: Kind::Counter,
        help: "Flows that were put into the flow table.",
        labels: &["listener"],
        samples: |report, out| of_listeners(report, out, |counts| counts.flows),
    },
    Family {
        name: "sluice_xdp_backend_in_packets_total",
        kind: Kind::Counter,
        help: "Packets from clients that were sent to the backend.",
        labels: &["pool", "backend"],
        samples: |report, out| of_backends(report, out, |counts| counts.packets),
    },
    Family {
        name: "sluice_xdp_backend_in_bytes_total",
        kind: Kind::Counter,
        help: "Bytes of packets from clients that were sent to the backend, from the client's IP header on.",
        labels: &["pool", "backend"],
        samples: |report, out| of_backends(report, out, |counts| counts.bytes),
    },
    Family {
        name: "sluice_xdp_backend_flows_total",
        kind: Kind::Counter,
        help: "Flows that were put into the flow table with this backend.",
        labels: &["pool", "backend"],
        samples: |report, out| of_backends(report, out, |counts| counts.flows),
    },
    Family {
        name: "sluice_xdp_passed_packets_total",
        kind: Kind::Counter,
        help: "Packets that went on to the kernel untouched, by reason.",
        labels: &["reason"],
        samples: |report, out| {
            for (reason, packets) in report.xdp.iter().flat_map(|xdp| &xdp.passed) {
                out.put(&[reason.label()], *packets);
            }
        },
    },
    Family {
        name: "sluice_xdp_dropped_packets_total",
        kind: Kind::Counter,
        help: "Packets for a listener that were dropped, by reason. no_backend: nobody in the pool takes new flows; \
               too_big: larger than the MTU of the route to the backend, with the outer header; no_headroom: the \
               driver leaves no room for the outer header; inconsistent: a bug of Sluice.",
        labels: &["reason"],
        samples: |report, out| {
            for (reason, packets) in report.xdp.iter().flat_map(|xdp| &xdp.dropped) {
                out.put(&[reason.label()], *packets);
            }
        },
    },
    Family {
        name: "sluice_xdp_flow_events_total",
        kind: Kind::Counter,
        help: "What happened to the flow tables. missed: a packet of an unknown flow; inserted: a flow got an empty \
               place, replaced_closing or replaced_new: that of a flow that was ending or had sent one packet; no_room \
               or lost_race: a flow got none and may change its backend when backends change; found_in_neighbour: a \
               packet of a flow whose own line was full.",
        labels: &["event"],
        samples: |report, out| {
            for (event, times) in report.xdp.iter().flat_map(|xdp| &xdp.flow_events) {
                out.put(&[event.label()], *times);
            }
        },
    },
    Family {
        name: "sluice_xdp_flow_table_flows",
        kind: Kind::Gauge,
        help: "Flows in the flow table by state, as of its last sweep: new (one packet), confirmed (more), closing (FIN \
               or RST); absent before the first sweep.",
        labels: &["family", "state"],
        samples: |report, out| {
            for table in flow_tables(report) {
                let Some(flows) = table.flows else { continue };
                let states = [("new", flows.new), ("confirmed", flows.confirmed), ("closing", flows.closing)];
                for (state, flows) in states {
                    out.put(&[label(table.family), state], flows);
                }
            }
        },
    },
    Family {
        name: "sluice_xdp_flow_table_ways",
        kind: Kind::Gauge,
        help: "Flows that the flow table can hold at most; at half of that 1 in 1000 finds no place.",
        labels: &["family"],
        samples: |report, out| of_flow_tables(report, out, |table| table.ways),
    },
    Family {
        name: "sluice_xdp_flow_table_bytes",
        kind: Kind::Gauge,
        help: "Memory of the flow table.",
        labels: &["family"],
        samples: |report, out| of_flow_tables(report, out, |table| table.bytes),
    },
    Family {
        name: "sluice_xdp_flow_table_swept_flows_total",
        kind: Kind::Counter,
        help: "Flows that sweeps took out of the flow table: idle, ended, or of a listener or backend that is gone.",
        labels: &["family"],
        samples: |report, out| of_flow_tables(report, out, |table| table.swept),
    },
];

/// A sample of every listener: one of its counts.
fn of_listeners(report: &Report<'_>, out: &mut Samples<'_>, count: impl Fn(&XdpCounts) -> u64) {
    for listener in report.xdp.iter().flat_map(|xdp| &xdp.listeners) {
        out.put(&[listener.name], count(&listener.counts));
    }
}

/// A sample of every backend: one of its counts.
fn of_backends(report: &Report<'_>, out: &mut Samples<'_>, count: impl Fn(&XdpCounts) -> u64) {
    for backend in report.xdp.iter().flat_map(|xdp| &xdp.backends) {
        out.put(&[backend.pool, backend.name], count(&backend.counts));
    }
}

/// A sample of every flow table.
fn of_flow_tables(report: &Report<'_>, out: &mut Samples<'_>, value: impl Fn(&FlowTableReport) -> u64) {
    for table in flow_tables(report) {
        out.put(&[label(table.family)], value(table));
    }
}

fn flow_tables<'r>(report: &'r Report<'_>) -> impl Iterator<Item = &'r FlowTableReport> {
    report.xdp.iter().flat_map(|xdp| &xdp.flow_tables)
}

fn label(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ipv4",
        IpFamily::V6 => "ipv6",
    }
}
