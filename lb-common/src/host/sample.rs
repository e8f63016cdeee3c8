//! Frames of every kind, well-formed and odd, with what has to become of them: for the packet logic on the host
//! and for the program in the kernel alike. They are put together byte by byte, by nothing that the packet logic
//! uses.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{DropReason, PassReason, checksum};

/// What has to become of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It goes to a backend.
    Forward,
    /// It goes to the kernel, untouched.
    Pass(PassReason),
    /// It goes nowhere.
    Drop(DropReason),
}

/// A frame and what has to become of it, where there are listeners for TCP and UDP at [`PORT`](Self::PORT) of
/// the addresses here.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What is special about it.
    pub name: String,
    /// From the Ethernet header on.
    pub frame: Vec<u8>,
    /// What has to become of it.
    pub expected: Expected,
}

impl Sample {
    /// Where the listeners are.
    pub const LOCAL_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
    /// Where the listeners are.
    pub const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    /// Where the listeners are.
    pub const PORT: u16 = 443;

    const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
}

/// VLAN tags in front of the EtherType.
const TAGS: [(&str, &[u8]); 4] = [
    ("untagged", &[]),
    ("VLAN 5", &[0x81, 0x00, 0x00, 0x05]),
    ("service VLAN 6", &[0x88, 0xa8, 0x00, 0x06]),
    ("QinQ 6, 5", &[0x88, 0xa8, 0x00, 0x06, 0x81, 0x00, 0x00, 0x05]),
];

const SYN: u8 = 2;
const ACK: u8 = 16;

/// All of them.
pub fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (tags, bytes) in TAGS {
        for (name, packet, expected) in v4() {
            let frame = [&Sample::MACS, bytes, &[0x08, 0x00], &packet].concat();
            samples.push(Sample { name: format!("IPv4, {tags}: {name}"), frame, expected });
        }
        for (name, packet, expected) in v6() {
            let frame = [&Sample::MACS, bytes, &[0x86, 0xdd], &packet].concat();
            samples.push(Sample { name: format!("IPv6, {tags}: {name}"), frame, expected });
        }
    }
    samples.extend(not_ip());
    samples
}

fn not_ip() -> Vec<Sample> {
    let frame = |rest: &[u8]| [&Sample::MACS, rest].concat();
    let mut triple = vec![0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0];
    triple.extend(ipv4(6, &tcp(SYN)));
    [
        ("ARP", [&[0x08, 0x06], [0; 28].as_slice()].concat()),
        ("three tags", triple),
        ("a tag and no more", vec![0x81, 0x00]),
        ("a tag that is cut off", vec![0x81, 0x00, 0x00]),
        ("IEEE 802.3 length", vec![0x00, 0x26, 0x42, 0x42, 0x03]),
    ]
    .into_iter()
    .map(|(name, rest)| Sample {
        name: name.to_owned(),
        frame: frame(&rest),
        expected: Expected::Pass(PassReason::NotIp),
    })
    .collect()
}

fn v4() -> Vec<(&'static str, Vec<u8>, Expected)> {
    use Expected::{Drop, Forward, Pass};
    let plain = || ipv4(6, &tcp(SYN));
    vec![
        ("TCP SYN", plain(), Forward),
        ("TCP ACK of an unknown flow", ipv4(6, &tcp(ACK)), Forward),
        ("UDP", ipv4(17, &udp(b"hello")), Forward),
        ("UDP without data", ipv4(17, &udp(b"")), Forward),
        ("padding behind the packet", [plain(), vec![0; 18]].concat(), Forward),
        ("don't fragment", changed(plain(), 6, &[0x40, 0]), Forward),
        ("reserved fragment bit", changed(plain(), 6, &[0x80, 0]), Forward),
        ("another address", changed(plain(), 19, &[2]), Pass(PassReason::NoListener)),
        ("another port", changed(plain(), 22, &[1, 2]), Pass(PassReason::NoListener)),
        ("port 0", changed(plain(), 22, &[0, 0]), Pass(PassReason::NoListener)),
        ("ICMP", ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3]), Pass(PassReason::OtherProtocol)),
        ("SCTP to the same port", ipv4(132, &tcp(SYN)), Pass(PassReason::OtherProtocol)),
        ("first fragment", changed(plain(), 6, &[0x20, 0]), Drop(DropReason::Fragment)),
        (
            "first fragment for another port",
            changed(changed(plain(), 6, &[0x20, 0]), 22, &[1, 2]),
            Pass(PassReason::NoListener),
        ),
        ("second fragment", changed(plain(), 6, &[0x20, 1]), Pass(PassReason::Fragment)),
        ("last fragment", changed(plain(), 6, &[0, 9]), Pass(PassReason::Fragment)),
        ("options", with_options(&tcp(SYN)), Drop(DropReason::IpOptions)),
        (
            "options, another port",
            changed(with_options(&tcp(SYN)), 30, &[1, 2]),
            Pass(PassReason::NoListener),
        ),
        (
            "header longer than the packet",
            changed(ipv4(17, &udp(b"")), 0, &[0x4f]),
            Pass(PassReason::TooShort),
        ),
        ("header shorter than it may be", changed(plain(), 0, &[0x44]), Pass(PassReason::Malformed)),
        ("version 6", changed(plain(), 0, &[0x65]), Pass(PassReason::Malformed)),
        ("cut in the IP header", cut(plain(), 19), Pass(PassReason::TooShort)),
        ("cut before the ports", cut(plain(), 22), Pass(PassReason::TooShort)),
        ("cut in the TCP header", cut(plain(), 39), Drop(DropReason::Malformed)),
        ("cut in the data", cut(ipv4(17, &udp(b"hello")), 30), Drop(DropReason::Malformed)),
        ("total length below the headers", changed(plain(), 2, &[0, 39]), Drop(DropReason::Malformed)),
        ("total length 0", changed(plain(), 2, &[0, 0]), Drop(DropReason::Malformed)),
        ("as long as the MTU allows", ipv4(17, &udp(&[7; 1432])), Forward),
        ("longer than the MTU allows", ipv4(17, &udp(&[7; 1453])), Drop(DropReason::TooBig)),
    ]
}

fn v6() -> Vec<(&'static str, Vec<u8>, Expected)> {
    use Expected::{Drop, Forward, Pass};
    let plain = || ipv6(6, &tcp(SYN));
    let behind = |first, extensions: &[u8]| ipv6(first, &[extensions, &tcp(SYN)].concat());
    let long = [vec![60, 63], vec![0; 510], vec![6, 63], vec![0; 510]].concat();
    let unknown_then_port = |first| changed(behind(first, &[6, 0, 1, 4, 0, 0, 0, 0]), 50, &[1, 2]);
    vec![
        ("TCP SYN", plain(), Forward),
        ("TCP ACK of an unknown flow", ipv6(6, &tcp(ACK)), Forward),
        ("UDP", ipv6(17, &udp(b"hello")), Forward),
        ("padding behind the packet", [plain(), vec![0; 18]].concat(), Forward),
        ("another address", changed(plain(), 39, &[2]), Pass(PassReason::NoListener)),
        ("another network", changed(plain(), 24, &[0x30]), Pass(PassReason::NoListener)),
        ("another port", changed(plain(), 42, &[1, 2]), Pass(PassReason::NoListener)),
        ("ICMPv6", ipv6(58, &[128, 0, 0, 0, 0, 1, 0, 1]), Pass(PassReason::OtherProtocol)),
        ("no next header", ipv6(59, &[0; 8]), Pass(PassReason::OtherProtocol)),
        ("hop-by-hop options", behind(0, &[6, 0, 1, 4, 0, 0, 0, 0]), Forward),
        ("hop-by-hop options, another port", unknown_then_port(0), Pass(PassReason::NoListener)),
        (
            "destination options of 16 bytes",
            behind(60, &[[6, 1, 1, 12].as_slice(), &[0; 12]].concat()),
            Forward,
        ),
        ("routing header, all visited", behind(43, &[6, 0, 4, 0, 0, 0, 0, 0]), Forward),
        (
            "routing header, another destination",
            behind(43, &[6, 0, 4, 1, 0, 0, 0, 0]),
            Pass(PassReason::ExtensionHeaders),
        ),
        ("two extension headers", behind(0, &[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0]), Forward),
        (
            "seven extension headers",
            behind(60, &[[60, 0, 1, 4, 0, 0, 0, 0].repeat(6), vec![6, 0, 1, 4, 0, 0, 0, 0]].concat()),
            Pass(PassReason::ExtensionHeaders),
        ),
        ("a kilobyte of extension headers", behind(60, &long), Pass(PassReason::ExtensionHeaders)),
        ("atomic fragment", behind(44, &[6, 0, 0, 0, 0, 0, 0, 9]), Forward),
        ("first fragment", behind(44, &[6, 0, 0, 1, 0, 0, 0, 9]), Drop(DropReason::Fragment)),
        ("second fragment", behind(44, &[6, 0, 0, 9, 0, 0, 0, 9]), Pass(PassReason::Fragment)),
        ("extension header that is cut off", ipv6(0, &[6, 0]), Pass(PassReason::TooShort)),
        ("version 4", changed(plain(), 0, &[0x40]), Pass(PassReason::Malformed)),
        ("cut in the IP header", cut(plain(), 39), Pass(PassReason::TooShort)),
        ("cut before the ports", cut(plain(), 42), Pass(PassReason::TooShort)),
        ("cut in the TCP header", cut(plain(), 59), Drop(DropReason::Malformed)),
        ("payload length 0", changed(plain(), 4, &[0, 0]), Drop(DropReason::Malformed)),
        ("longer than the MTU allows", ipv6(17, &udp(&[7; 1420])), Drop(DropReason::TooBig)),
    ]
}

fn tcp(flags: u8) -> Vec<u8> {
    let ports = [[0x9c, 0x40], Sample::PORT.to_be_bytes()].concat();
    [&ports, [0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0].as_slice()].concat()
}

fn udp(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 8).unwrap_or(u16::MAX);
    let header = [[0x9c, 0x40], Sample::PORT.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    [&header, data].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    with_header(vec![0x45], protocol, &[], payload)
}

fn with_options(payload: &[u8]) -> Vec<u8> {
    // A timestamp option, and two that do nothing.
    with_header(vec![0x47], 6, &[68, 4, 5, 0, 1, 1, 1, 0], payload)
}

fn with_header(mut packet: Vec<u8>, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + options.len() + payload.len()).unwrap_or(u16::MAX);
    packet.push(0xb9);
    packet.extend(length.to_be_bytes());
    packet.extend([0x12, 0x34, 0, 0, 61, protocol, 0, 0]);
    packet.extend(Sample::CLIENT_V4.octets());
    packet.extend(Sample::LOCAL_V4.octets());
    packet.extend(options);
    let sum = checksum::of(&packet).to_ne_bytes();
    [changed(packet, 10, &sum), payload.to_vec()].concat()
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut packet = vec![0x6b, 0x95, 0x43, 0x21];
    packet.extend(length.to_be_bytes());
    packet.extend([next_header, 61]);
    packet.extend(Sample::CLIENT_V6.octets());
    packet.extend(Sample::LOCAL_V6.octets());
    packet.extend(payload);
    packet
}

/// The packet with other bytes at `offset`.
fn changed(mut packet: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    packet.splice(offset..offset + bytes.len(), bytes.iter().copied());
    packet
}

/// The first `length` bytes of the packet.
fn cut(mut packet: Vec<u8>, length: usize) -> Vec<u8> {
    packet.truncate(length);
    packet
}
