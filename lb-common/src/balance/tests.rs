//! Packets in, packets out, on the host.

use std::num::NonZeroU8;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use etherparse::{IpNumber, Ipv4Slice, Ipv6Slice, SlicedPacket};
use proptest::prelude::*;

use crate::host::{Expected, HostPacket, HostTables, Sample, samples};
use crate::{
    Address, Backend, Choice, Half, Listed, ListenerControl, LoadOrder, Mac, Pool, PortRange, Protocol,
    SLOTS, Secret, Service, Timeouts, Tunnel, Tuple, write_table,
};

use super::*;

const SEED: u32 = 7;
const NEXT_HOP: [u8; 6] = [2, 0, 0, 0, 0, 9];
const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const JIFFIES_PER_TICK: u64 = 1 << 8;
const IDLE: u16 = 600;
const TIMEOUTS: Timeouts = Timeouts { new: 30, confirmed: 60, closing: 10, _pad: 0 };

fn outer_v4(last: u8) -> Tunnel {
    Tunnel::V4 {
        source: V4::from(Ipv4Addr::new(172, 16, 0, 0)),
        destination: V4::from(Ipv4Addr::new(10, 0, 0, last)),
    }
}

fn outer_v6(last: u16) -> Tunnel {
    let address = |last| V6::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    Tunnel::V6 { source: address(0), destination: address(last) }
}

fn backend(tunnel: Tunnel) -> Backend {
    let (next_hop, interface_mac) = (Mac::new(NEXT_HOP), Mac::new(OWN_MAC));
    // The last two bytes of the source.
    let entropy = u32::from_be(0xffff);
    Backend { generation: NonZeroU8::MIN, next_hop, interface_mac, interface: 1, mtu: 1500, entropy, tunnel }
}

/// How a family's packets go to the backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    V4InV4,
    V4InV6,
}

/// Listeners for TCP and UDP at both addresses of the samples; pool 0 for IPv4 has backends 1 and 2, pool 1 for
/// IPv6 has 3 and 4.
fn tables(way: Way) -> HostTables {
    let config = Config {
        line_secret: Secret::new([3; 9]),
        key_secret: Secret::new([5; 9]),
        flow_shift: [64 - 6; 2],
        listener_shift: 64 - 4,
        tick_shift: 8,
        load_order: LoadOrder::NATIVE,
        timeouts: [TIMEOUTS; 2],
    };
    let tables = HostTables::new(config, 8);
    let port = PortRange::one(Sample::PORT);
    let service = |id, pool, protocol| Service::new(ListenerId(id), PoolId(pool), protocol, IDLE);
    let control = ListenerControl::new(0x9e37_79b9_7f4a_7c15, Half::Upper, 0);
    let listed = |id, protocol| Listed {
        local: V4::from(Sample::LOCAL_V4),
        ports: port,
        service: service(id, 0, protocol),
    };
    write_table::<V4>(&tables.listeners_v4, control, &[listed(1, Protocol::Tcp), listed(2, Protocol::Udp)])
        .unwrap();
    let listed = |id, protocol| Listed {
        local: V6::from(Sample::LOCAL_V6),
        ports: port,
        service: service(id, 1, protocol),
    };
    write_table::<V6>(&tables.listeners_v6, control, &[listed(3, Protocol::Tcp), listed(4, Protocol::Udp)])
        .unwrap();
    tables.control.set_listeners(Family::V4, control);
    tables.control.set_listeners(Family::V6, control);
    for last in [1, 2] {
        let tunnel = if way == Way::V4InV4 { outer_v4(last) } else { outer_v6(last.into()) };
        tables.backends[usize::from(last)].store(&backend(tunnel));
        tables.backends[usize::from(last) + 2].store(&backend(outer_v6(u16::from(last) + 2)));
    }
    set_ring(&tables, 0, Half::Lower, &[1, 2]);
    set_ring(&tables, 1, Half::Lower, &[3, 4]);
    tables
}

/// Gives a pool a ring in which these backends take turns.
fn set_ring(tables: &HostTables, pool: u16, half: Half, backends: &[u16]) {
    let first = RingLine::first(PoolId(pool), half);
    for line in 0..RingLine::LINES {
        let slot = |i| BackendIndex(backends[(line as usize * 32 + i) % backends.len()]);
        tables.rings[(first + line) as usize].store(std::array::from_fn(slot));
    }
    tables.pools[usize::from(pool)].store(Pool { seed: SEED, choice: Choice::Tuple, half });
}

fn wait(tables: &HostTables, ticks: u16) {
    tables.jiffies.fetch_add(u64::from(ticks) * JIFFIES_PER_TICK, Ordering::Relaxed);
}

/// Runs a frame; the verdict and what is left of the frame.
fn run(tables: &HostTables, frame: &[u8]) -> (Verdict, Vec<u8>) {
    let mut packet = HostPacket::new(frame);
    let verdict = balance(&mut packet, tables);
    (verdict, packet.bytes())
}

/// Checks with another parser that `sent` is `frame` in an outer packet; returns the destination.
fn decode(frame: &[u8], sent: &[u8]) -> IpAddr {
    let before = SlicedPacket::from_ethernet(frame);
    let after = SlicedPacket::from_ethernet(sent).unwrap();
    let tags = |packet: &SlicedPacket<'_>| packet.vlan_ids();
    if let Ok(before) = &before {
        assert_eq!(tags(&after), tags(before));
    }
    assert_eq!((&sent[..6], &sent[6..12]), (&NEXT_HOP[..], &OWN_MAC[..]));
    let ip = frame.len() - inner_length(frame);
    match after.net.unwrap() {
        etherparse::NetSlice::Ipv4(outer) => {
            let header = outer.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            assert_eq!((header.protocol(), header.ttl(), header.identification()), (IpNumber::IPV4, 64, 0));
            assert!(header.dont_fragment() && !header.more_fragments());
            let inner = Ipv4Slice::from_slice(&frame[ip..]).unwrap();
            assert_eq!(header.dcp(), inner.header().dcp());
            assert_eq!(header.ecn(), inner.header().ecn());
            assert_eq!(outer.payload().payload, &frame[ip..ip + usize::from(inner.header().total_len())]);
            assert_eq!(header.source_addr().octets()[..2], [172, 16]);
            header.destination_addr().into()
        }
        etherparse::NetSlice::Ipv6(outer) => {
            let header = outer.header();
            let (number, length, class) = match frame[ip] >> 4 {
                4 => {
                    let inner = Ipv4Slice::from_slice(&frame[ip..]).unwrap();
                    (IpNumber::IPV4, usize::from(inner.header().total_len()), frame[ip + 1])
                }
                _ => {
                    let inner = Ipv6Slice::from_slice(&frame[ip..]).unwrap();
                    let header = inner.header();
                    (IpNumber::IPV6, 40 + usize::from(header.payload_length()), header.traffic_class())
                }
            };
            assert_eq!(
                (header.next_header(), header.hop_limit(), header.traffic_class()),
                (number, 64, class)
            );
            assert_eq!(usize::from(header.payload_length()), length);
            assert_eq!(&sent[sent.len() - (frame.len() - ip)..], &frame[ip..]);
            assert_ne!(header.flow_label().value(), 0);
            header.destination_addr().into()
        }
        etherparse::NetSlice::Arp(_) => panic!("ARP"),
    }
}

/// Bytes from the IP header on, by the EtherTypes.
fn inner_length(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(&frame[at..at + 2], [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    frame.len() - at - 2
}

#[test]
fn every_sample_becomes_what_it_has_to() {
    for way in [Way::V4InV4, Way::V4InV6] {
        let tables = tables(way);
        for Sample { name, frame, expected } in samples() {
            let (verdict, sent) = run(&tables, &frame);
            match expected {
                Expected::Forward => {
                    assert_eq!(verdict, Verdict::Transmit, "{name}, {way:?}");
                    let destination = decode(&frame, &sent);
                    assert_eq!(
                        destination.is_ipv4(),
                        way == Way::V4InV4 && name.starts_with("IPv4"),
                        "{name}"
                    );
                }
                Expected::Pass(reason) => {
                    assert_eq!(verdict, Verdict::Pass(reason), "{name}");
                    assert_eq!(sent, frame, "{name}");
                }
                Expected::Drop(reason) => assert_eq!(verdict, Verdict::Drop(reason), "{name}"),
            }
        }
    }
}

#[test]
fn out_of_another_interface_frames_have_no_tags() {
    let tables = tables(Way::V4InV4);
    for entry in &tables.backends {
        if let Some(backend) = entry.load() {
            entry.store(&Backend { interface: 3, ..backend });
        }
    }
    for Sample { name, frame, .. } in
        samples().into_iter().filter(|sample| sample.expected == Expected::Forward)
    {
        let (verdict, sent) = run(&tables, &frame);
        assert_eq!(verdict, Verdict::Redirect(3), "{name}");
        let untagged = [&frame[..12], &frame[frame.len() - inner_length(&frame) - 2..]].concat();
        decode(&untagged, &sent);
    }
}

#[test]
fn without_room_in_front_a_packet_is_dropped() {
    let tables = tables(Way::V4InV6);
    let frame = samples().swap_remove(0).frame;
    let mut packet = HostPacket::with_headroom(&frame, 39);
    assert_eq!(balance(&mut packet, &tables), Verdict::Drop(DropReason::NoHeadroom));
    assert_eq!(packet.bytes(), frame);
}

proptest! {
    /// Whatever comes: what passes is untouched, what is sent is the packet in an outer one, nothing panics or
    /// reads beyond the end (which the host's packets would notice).
    #[test]
    fn any_bytes(
        sample: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);
        static TABLES: LazyLock<HostTables> = LazyLock::new(|| tables(Way::V4InV4));
        let mut frame = sample.get(&SAMPLES).frame.clone();
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()));
        }
        let (verdict, sent) = run(&TABLES, &frame);
        match verdict {
            Verdict::Transmit => {
                prop_assert!(sent.len() == frame.len() + 20 || sent.len() == frame.len() + 40);
                prop_assert!(sent.ends_with(&frame[frame.len() - inner_length(&frame)..]));
            }
            Verdict::Pass(_) | Verdict::Drop(_) => prop_assert_eq!(sent, frame),
            Verdict::Redirect(_) => prop_assert!(false, "no backend is there"),
        }
    }

    /// The kernel chooses what splice chooses.
    #[test]
    fn the_flow_hash_is_that_of_lb_balance(
        seed: u32, client: u32, local: u32, client_v6: u128, local_v6 in 1u128 << 64..,
        ports in any::<[u16; 2]>(), udp: bool,
    ) {
        let (number, protocol) =
            if udp { (17, lb_balance::Protocol::Udp) } else { (6, lb_balance::Protocol::Tcp) };
        let wire_ports = crate::Ports(u32::from(ports[1].to_be()) << 16 | u32::from(ports[0].to_be()));
        let place = |hash: crate::flow_hash::FlowHash| hash.place(0, SLOTS) as usize;
        let (client, local) = (Ipv4Addr::from_bits(client), Ipv4Addr::from_bits(local));
        let tuple = Tuple { client: V4::from(client), local: V4::from(local), ports: wire_ports, protocol: number };
        let of_tuple = |client: IpAddr, local: IpAddr| {
            let (client, local) = (SocketAddr::new(client, ports[0]), SocketAddr::new(local, ports[1]));
            lb_balance::FlowHash::of_tuple(seed, protocol, client, local).place(0, SLOTS)
        };
        prop_assert_eq!(place(V4::tuple_hash(seed, &tuple)), of_tuple(client.into(), local.into()));
        prop_assert_eq!(
            place(V4::client_hash(seed, tuple.client)),
            lb_balance::FlowHash::of_client(seed, client.into()).place(0, SLOTS)
        );
        let (client, local) = (Ipv6Addr::from_bits(client_v6), Ipv6Addr::from_bits(local_v6));
        let tuple = Tuple { client: V6::from(client), local: V6::from(local), ports: wire_ports, protocol: number };
        prop_assert_eq!(place(V6::tuple_hash(seed, &tuple)), of_tuple(client.into(), local.into()));
        if client.to_ipv4_mapped().is_none() {
            prop_assert_eq!(
                place(V6::client_hash(seed, tuple.client)),
                lb_balance::FlowHash::of_client(seed, client.into()).place(0, SLOTS)
            );
        }
    }
}

/// A TCP segment from a client's port.
fn segment(client: u32, flags: u8) -> Vec<u8> {
    static SEGMENT: LazyLock<Vec<u8>> = LazyLock::new(|| samples().swap_remove(0).frame);
    let mut frame = SEGMENT.clone();
    frame[26..30].copy_from_slice(&client.to_be_bytes());
    frame[47] = flags;
    frame
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN_ACK: u8 = 17;
const RST: u8 = 4;

/// The last byte of the backend's address to which the segment went.
fn sent_to(tables: &HostTables, client: u32, flags: u8) -> u8 {
    let (verdict, sent) = run(tables, &segment(client, flags));
    assert_eq!(verdict, Verdict::Transmit);
    sent[33]
}

/// The state of the client's flow.
fn state(tables: &HostTables, client: u32) -> Option<flow::State> {
    let key = u64::from(u32::from_ne_bytes([0x9c, 0x40, 1, 0xbb])) << 32 | u64::from(client.to_be());
    let found = tables.flows_v4.iter().map(|line| line.find(key, ListenerId(1), LoadOrder::NATIVE).entry);
    let mut found = found.filter(|entry| entry.has_flow());
    let state = found.next().map(flow::Entry::state);
    assert_eq!(found.next(), None, "the flow is there twice");
    state
}

/// After this every flow that is not known goes to backend 2.
fn only_backend_2(tables: &HostTables) {
    set_ring(tables, 0, Half::Upper, &[2]);
}

/// A client whose flows Maglev gives to backend 1.
fn client_of_backend_1(tables: &HostTables) -> u32 {
    (1..).find(|&client| sent_to(tables, client, ACK) == 1).unwrap()
}

#[test]
fn a_flow_stays_where_it_began_through_its_life() {
    let tables = tables(Way::V4InV4);
    let client = client_of_backend_1(&tables);
    assert_eq!(state(&tables, client), None, "a flow that began elsewhere is not remembered");
    assert_eq!(sent_to(&tables, client, SYN), 1);
    assert_eq!(state(&tables, client), Some(flow::State::NEW));
    only_backend_2(&tables);
    for (flags, then) in [
        (SYN, flow::State::NEW),
        (ACK, flow::State::CONFIRMED),
        (ACK, flow::State::CONFIRMED),
        (SYN, flow::State::CONFIRMED),
        (FIN_ACK, flow::State::CLOSING),
        (ACK, flow::State::CLOSING),
        (RST, flow::State::CLOSING),
    ] {
        assert_eq!(sent_to(&tables, client, flags), 1, "{flags}");
        assert_eq!(state(&tables, client), Some(then), "{flags}");
    }
    assert_eq!(sent_to(&tables, client, SYN), 2, "a new flow of the same ports");
    assert_eq!(state(&tables, client), Some(flow::State::NEW));
    let counted = |counter: &Counter| (counter.packets.load(), counter.flows.load());
    assert_eq!(counted(&tables.backend_counters[1]).1, 1);
    assert_eq!(counted(&tables.backend_counters[2]).1, 1);
    assert_eq!(counted(&tables.listener_counters[1]).1, 2);
}

#[test]
fn flows_are_forgotten_after_the_time_of_their_state() {
    for (packets, timeout) in [
        (vec![SYN], TIMEOUTS.new),
        (vec![SYN, ACK], TIMEOUTS.confirmed),
        (vec![SYN, ACK, ACK], IDLE),
        (vec![SYN, ACK, ACK, FIN_ACK], TIMEOUTS.closing),
    ] {
        for (ticks, expected) in [(timeout, 1), (timeout + 1, 2)] {
            let tables = tables(Way::V4InV4);
            let client = client_of_backend_1(&tables);
            packets.iter().for_each(|&flags| assert_eq!(sent_to(&tables, client, flags), 1));
            only_backend_2(&tables);
            wait(&tables, ticks);
            assert_eq!(sent_to(&tables, client, ACK), expected, "{packets:?} and {ticks} ticks");
        }
    }
}

#[test]
fn a_busy_flow_is_kept_and_written_rarely() {
    let tables = tables(Way::V4InV4);
    let client = client_of_backend_1(&tables);
    for flags in [SYN, ACK, ACK] {
        sent_to(&tables, client, flags);
    }
    only_backend_2(&tables);
    for _ in 0..200 {
        wait(&tables, IDLE / 2);
        assert_eq!(sent_to(&tables, client, ACK), 1);
    }
}

#[test]
fn flows_of_a_dead_backend_choose_again_at_once() {
    let tables = tables(Way::V4InV4);
    let client = client_of_backend_1(&tables);
    for flags in [SYN, ACK, ACK] {
        sent_to(&tables, client, flags);
    }
    let alive = tables.backends[1].load().unwrap();
    only_backend_2(&tables);
    tables.backends[1].store(&Backend { generation: NonZeroU8::MAX, ..alive });
    assert_eq!(sent_to(&tables, client, ACK), 2);
}

#[test]
fn without_a_backend_packets_are_dropped() {
    let tables = tables(Way::V4InV4);
    tables.pools[0].store(Pool { seed: SEED, choice: Choice::None, half: Half::Lower });
    assert_eq!(run(&tables, &segment(1, SYN)).0, Verdict::Drop(DropReason::NoBackend));
}

/// Also where the table is far too small: 256 ways for 100 flows and a flood of a hundred thousand.
#[test]
fn a_flood_of_new_flows_takes_nothing_from_confirmed_ones() {
    let tables = tables(Way::V4InV4);
    let clients: Vec<(u32, u8)> = (0..100).map(|client| (client, sent_to(&tables, client, SYN))).collect();
    let known: Vec<_> = clients
        .into_iter()
        .filter(|&(client, backend)| {
            assert_eq!(sent_to(&tables, client, ACK), backend);
            state(&tables, client) == Some(flow::State::CONFIRMED)
        })
        .collect();
    assert!(known.len() > 95, "{}", known.len());
    for spoofed in 0..100_000 {
        sent_to(&tables, 0x0a00_0000 + spoofed, SYN);
    }
    only_backend_2(&tables);
    for (client, backend) in known {
        assert_eq!(sent_to(&tables, client, ACK), backend);
    }
}

#[test]
fn a_flow_in_the_neighbour_of_its_line_is_found() {
    let tables = tables(Way::V4InV4);
    // Five times as many confirmed flows as there are ways: every line is full, and most have a flow of their
    // neighbour.
    for client in 0..1280 {
        sent_to(&tables, client, SYN);
        sent_to(&tables, client, ACK);
    }
    let held: Vec<u32> =
        (0..1280).filter(|&client| state(&tables, client) == Some(flow::State::CONFIRMED)).collect();
    assert_eq!(held.len(), 256);
    let before: Vec<u8> = held.iter().map(|&client| sent_to(&tables, client, ACK)).collect();
    only_backend_2(&tables);
    let after: Vec<u8> = held.iter().map(|&client| sent_to(&tables, client, ACK)).collect();
    assert_eq!(before, after);
    assert!(tables.events.of(FlowEvent::FoundInNeighbour as u64) > 10);
    assert!(tables.events.of(FlowEvent::NoRoom as u64) > 0);
}
