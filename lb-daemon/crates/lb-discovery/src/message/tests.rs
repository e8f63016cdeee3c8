//! Replies as they come, and as they should not.

use hickory_resolver::proto::op::{MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::SOA;
use proptest::prelude::*;

use super::*;
use crate::name_server::{address, alias, name, service};

fn message(answers: Vec<Record>) -> Message {
    let mut message = Message::new(1, MessageType::Response, OpCode::Query);
    message.answers = answers;
    message
}

fn end_of_zone() -> Record {
    Record::from_rdata(name("example"), 60, RData::SOA(SOA::new(name("ns"), name("admin"), 1, 1, 1, 1, 1)))
}

#[test]
fn follows_aliases_and_takes_the_lowest_ttl_on_the_way() {
    // In whatever order they come, and whatever else is in there.
    let reply = message(vec![
        address("c.example", 50, "192.0.2.1"),
        alias("b.example", 9, "C.example"),
        address("other.example", 1, "192.0.2.66"),
        alias("a.example", 40, "b.example"),
        address("c.example", 60, "192.0.2.2"),
    ]);
    let Reply::Records(records, ttl) = read(&reply, &name("A.example"), RecordType::A) else { panic!() };
    assert_eq!(addresses(&records), ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert_eq!(ttl.duration(), Duration::from_secs(9));
}

#[test]
fn an_alias_that_leads_out_of_the_reply_is_to_be_asked_for() {
    let reply = message(vec![alias("a.example", 40, "b.example"), alias("b.example", 30, "c.example")]);
    let expected = Reply::Alias(name("c.example"), Ttl(30));
    assert_eq!(read(&reply, &name("a.example"), RecordType::A), expected);
}

#[test]
fn an_alias_of_nothing_is_nothing() {
    let mut reply = message(vec![alias("a.example", 40, "b.example")]);
    reply.authorities.push(end_of_zone());
    let name = name("a.example");
    assert_eq!(read(&reply, &name, RecordType::A), Reply::Nothing(NoAnswer::NoRecord));
    reply.metadata.response_code = ResponseCode::NXDomain;
    assert_eq!(read(&reply, &name, RecordType::A), Reply::Nothing(NoAnswer::NoSuchName));
}

#[test]
fn aliases_in_a_circle_end_somewhere() {
    let reply = message(vec![alias("a.example", 40, "b.example"), alias("b.example", 30, "a.example")]);
    assert!(!matches!(read(&reply, &name("a.example"), RecordType::A), Reply::Records(..)));
}

#[test]
fn addresses_that_nobody_can_connect_to_are_none() {
    let ips = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:192.0.2.1", "2001:db8::1"];
    let records = ips.map(|ip| address("a.example", 60, ip));
    assert_eq!(addresses(&records), ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
}

#[test]
fn services_are_ranked_by_priority_and_have_some_weight() {
    let records = [
        service("_x._tcp.example", 60, [20, 0, 82], "b.example"),
        service("_x._tcp.example", 60, [5, 7, 80], "A.example"),
        service("_x._tcp.example", 60, [10, 3, 81], "a.example"),
        service("_x._tcp.example", 60, [5, 0, 0], "no-port.example"),
        service("_x._tcp.example", 60, [0, 0, 1], "."),
    ];
    let found: Vec<_> = targets(&records).unwrap().into_iter().map(|(_, target)| target).collect();
    let target =
        |host: &str, port, weight, rank| Target { host: host.into(), port: Some(port), weight, rank };
    let expected =
        [target("b.example", 82, 1, 2), target("a.example", 80, 7, 0), target("a.example", 81, 3, 1)];
    assert_eq!(found, expected);
}

#[test]
fn a_service_may_be_declared_not_available() {
    let root = [service("_x._tcp.example", 60, [0, 0, 0], ".")];
    assert_eq!(targets(&root), Err(NoAnswer::NotAvailable));
    let no_port = [service("_x._tcp.example", 60, [0, 0, 0], "a.example")];
    assert_eq!(targets(&no_port), Err(NoAnswer::NoRecord));
}

#[test]
fn names_are_shown_without_their_last_dot() {
    assert_eq!((&*text(&name("a.example.")), &*text(&Name::root())), ("a.example", "."));
}

proptest! {
    #[test]
    fn any_reply_can_be_read(
        links in prop::collection::vec((0_u8..6, 0_u8..6, any::<u32>(), 0_u8..3), 0..12),
        start in 0_u8..6,
    ) {
        let label = |n| format!("n{n}.example");
        let records = links.iter().map(|&(from, to, ttl, kind)| match kind {
            0 => alias(&label(from), ttl, &label(to)),
            1 => address(&label(from), ttl, "192.0.2.1"),
            _ => service(&label(from), ttl, [u16::from(to), 0, 1], &label(to)),
        });
        let reply = message(records.collect());
        for record in [RecordType::A, RecordType::SRV] {
            match read(&reply, &name(&label(start)), record) {
                Reply::Records(found, ttl) => {
                    prop_assert!(found.iter().all(|found| found.record_type() == record));
                    prop_assert!(found.iter().all(|found| ttl.0 <= found.ttl));
                }
                Reply::Alias(end, _) => prop_assert!(end != name(&label(start))),
                Reply::Nothing(reason) => prop_assert!(reason.is_negative()),
            }
        }
    }
}
