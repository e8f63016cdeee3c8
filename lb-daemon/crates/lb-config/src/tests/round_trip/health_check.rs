//! Every health check that can be.

use std::sync::Arc;

use lb_model::{
    BodyMatch, DnsProbe, ExecProbe, HealthCheck, HttpProbe, Jitter, Probe, RecordType, StatusRanges,
    TlsProbe, TlsVerification, UdpAnswer, UdpProbe,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{count, dns_name, duration, named, path, positive};

pub(super) fn health_check() -> impl Strategy<Value = HealthCheck> {
    let interval = || duration(HealthCheck::MIN_INTERVAL);
    (probe(), interval(), interval(), positive(), count(), count(), jitter(), option::of(1u16..)).prop_map(
        |(probe, interval, fast_interval, timeout, rise, fall, jitter, port)| HealthCheck {
            probe,
            interval,
            fast_interval,
            timeout,
            rise,
            fall,
            jitter,
            port,
        },
    )
}

fn jitter() -> impl Strategy<Value = Jitter> {
    (0..=500u16).prop_map(|permille| format!("{}.{}%", permille / 10, permille % 10).parse().unwrap())
}

fn probe() -> impl Strategy<Value = Probe> {
    let records = select(vec!["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]);
    let record = records.prop_map(|record| record.parse::<RecordType>().unwrap());
    prop_oneof![
        Just(Probe::Tcp),
        http().prop_map(Probe::Http),
        udp().prop_map(Probe::Udp),
        (dns_name(), record).prop_map(|(name, record)| Probe::Dns(DnsProbe { name: named(&name), record })),
        exec().prop_map(Probe::Exec),
    ]
}

/// Any text, also one that TOML has to escape.
fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(any::<char>(), length).prop_map(String::from_iter)
}

fn http() -> impl Strategy<Value = HttpProbe> {
    let method = select(vec!["GET", "HEAD", "OPTIONS"]).prop_map(named);
    let path = "/[a-z0-9$&'()*+,;=:@%!~._?/-]{0,20}".prop_map(|path| named(&path));
    let host = select(vec!["a.example", "a.example:80", "[::1]:443", "10.0.0.1"]).prop_map(named);
    (option::of(tls()), method, path, option::of(host), status(), option::of(body())).prop_map(
        |(tls, method, path, host, expect, body)| HttpProbe { tls, method, path, host, expect, body },
    )
}

fn status() -> impl Strategy<Value = StatusRanges> {
    vec((200u16..600, 200u16..600), 1..4).prop_map(|ranges| {
        let ranges: Vec<_> = ranges.iter().map(|&(a, b)| format!("{}-{}", a.min(b), a.max(b))).collect();
        named(&ranges.join(","))
    })
}

fn body() -> impl Strategy<Value = BodyMatch> {
    text(1..20).prop_flat_map(|contains| {
        (contains.len()..=HttpProbe::MAX_BODY)
            .prop_map(move |within| BodyMatch { contains: contains.as_str().into(), within })
    })
}

fn tls() -> impl Strategy<Value = TlsProbe> {
    let verify = prop_oneof![
        Just(TlsVerification::System),
        Just(TlsVerification::None),
        path().prop_map(TlsVerification::CaFile),
    ];
    let server_name = select(vec!["a.example", "10.0.0.1", "2001:db8::1"]).prop_map(named);
    (option::of(server_name), verify).prop_map(|(server_name, verify)| TlsProbe { server_name, verify })
}

fn udp() -> impl Strategy<Value = UdpProbe> {
    let bytes = || {
        let text = text(1..20).prop_map(|text| text.into_bytes().into());
        prop_oneof![text, vec(any::<u8>(), 1..20).prop_map(Arc::<[u8]>::from)]
    };
    let expect = prop_oneof![
        Just(UdpAnswer::NotRefused),
        Just(UdpAnswer::Any),
        bytes().prop_map(UdpAnswer::StartsWith),
        bytes().prop_map(UdpAnswer::Contains),
    ];
    (prop_oneof![Just(Arc::default()), bytes()], expect).prop_map(|(send, expect)| UdpProbe { send, expect })
}

fn exec() -> impl Strategy<Value = ExecProbe> {
    let program = prop_oneof!["[a-z]{1,8}".prop_map(Into::into), path()];
    let arg = text(0..8).prop_map(|text| text.replace('\0', ""));
    (program, vec(arg, 0..4)).prop_map(|(program, args)| ExecProbe { program, args: args.into() })
}
