//! Any frame: no access beyond its end, what passes or is dropped is untouched, what is sent is the packet in an
//! outer one.
#![no_main]

use std::num::NonZeroU8;
use std::sync::LazyLock;

use lb_common::host::{HostPacket, HostTables, Sample};
use lb_common::{
    Backend, BackendIndex, Choice, Config, Family, Half, Listed, ListenerControl, ListenerId, LoadOrder, Mac,
    Pool, PoolId, PortRange, Protocol, RingLine, Secret, Service, Timeouts, Tunnel, V4, V6, Verdict, balance,
    write_table,
};
use libfuzzer_sys::fuzz_target;

/// TCP and UDP at the samples' addresses, to backend 0 or, with IPv6, to backend 1.
static TABLES: LazyLock<HostTables> = LazyLock::new(|| {
    let timeouts = Timeouts { new: 30, confirmed: 60, closing: 10, _pad: 0 };
    let tables = HostTables::new(
        Config {
            line_secret: Secret::new([3; 9]),
            key_secret: Secret::new([5; 9]),
            flow_shift: [64 - 4; 2],
            listener_shift: 64 - 4,
            tick_shift: 8,
            load_order: LoadOrder::NATIVE,
            timeouts: [timeouts; 2],
        },
        8,
    );
    let ports = PortRange::one(Sample::PORT);
    let control = ListenerControl::new(0x9e37_79b9_7f4a_7c15, Half::Upper, 0);
    let service = |id, pool, protocol| Service::new(ListenerId(id), PoolId(pool), protocol, 600);
    let v4 = [(1, Protocol::Tcp), (2, Protocol::Udp)].map(|(id, protocol)| Listed {
        local: V4::from(Sample::LOCAL_V4),
        ports,
        service: service(id, 0, protocol),
    });
    let v6 = [(3, Protocol::Tcp), (4, Protocol::Udp)].map(|(id, protocol)| Listed {
        local: V6::from(Sample::LOCAL_V6),
        ports,
        service: service(id, 1, protocol),
    });
    write_table(&tables.listeners_v4, control, &v4).expect("two listeners have room");
    write_table(&tables.listeners_v6, control, &v6).expect("two listeners have room");
    let v4 = Tunnel::V4 { source: V4(1), destination: V4(2) };
    let v6 = Tunnel::V6 { source: V6([1, 2]), destination: V6([3, 4]) };
    for (number, tunnel) in [v4, v6].into_iter().enumerate() {
        let mac = Mac::new([2, 0, 0, 0, 0, 1]);
        let (next_hop, interface_mac) = (mac, mac);
        let (generation, interface, mtu, entropy) = (NonZeroU8::MIN, 1, 1500, u32::MAX);
        tables.backends[number].store(&Backend {
            generation,
            next_hop,
            interface_mac,
            interface,
            mtu,
            entropy,
            tunnel,
        });
        let id = PoolId(number as u16);
        let first = RingLine::first(id, Half::Lower) as usize;
        for line in &tables.rings[first..first + RingLine::LINES as usize] {
            line.store([BackendIndex(number as u16); 32]);
        }
        tables.pools[number].store(Pool { seed: 7, choice: Choice::Tuple, half: Half::Lower });
    }
    for family in [Family::V4, Family::V6] {
        tables.control.set_listeners(family, control);
    }
    tables
});

fuzz_target!(|frame: &[u8]| {
    let mut packet = HostPacket::new(frame);
    let sent = |packet: &HostPacket| packet.bytes();
    match balance(&mut packet, &*TABLES) {
        Verdict::Transmit => {
            let sent = sent(&packet);
            assert!(sent.len() == frame.len() + 20 || sent.len() == frame.len() + 40);
            // The IP header is behind two tags at most.
            assert!(sent.ends_with(&frame[22.min(frame.len())..]));
        }
        Verdict::Pass(_) | Verdict::Drop(_) => assert_eq!(sent(&packet), frame),
        Verdict::Redirect(interface) => panic!("to interface {interface}, where no backend is"),
    }
});
