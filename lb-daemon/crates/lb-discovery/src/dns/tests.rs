//! Lookups against name servers that answer well, badly, at length or not at all.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;

use hickory_resolver::proto::op::ResponseCode;
use lb_model::DiscoverySettings;
use tempfile::NamedTempFile;
use tokio::net::UdpSocket;

use super::*;
use crate::endpoint::Endpoint;
use crate::known::{Known, Learned};
use crate::name_server::{self, Entry, NameServer, Transport, Zone, address, alias, reply, service};

/// Long enough for every answer that comes at all.
const PATIENT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn dns(servers: &[SocketAddr], timeout: Duration) -> Dns {
    let settings = Settings { servers: servers.to_vec(), search: vec![], timeout };
    // What this machine has in its own file is none of these tests' business.
    Dns { hosts_file: "/nonexistent".into(), ..Dns::new(settings) }
}

fn query(name: &str) -> DiscoveryQuery {
    DiscoveryQuery::Addresses { name: name.parse().unwrap(), port: Some(80) }
}

fn services(name: &str) -> DiscoveryQuery {
    DiscoveryQuery::Services { name: name.parse().unwrap() }
}

async fn resolve(dns: Dns, query: DiscoveryQuery, families: IpFamilies) -> Result<Resolution, LookupError> {
    let settings = DiscoverySettings { families, ..DiscoverySettings::DEFAULT };
    Arc::new(dns).resolve(Arc::new(Wanted { query, settings })).await
}

/// What a resolution means to someone who knew nothing.
fn learn(resolution: Resolution) -> (Arc<[Endpoint]>, Learned) {
    let mut known = Known::default();
    let learned = known.learn(Ok(resolution), tokio::time::Instant::now().into_std(), Duration::ZERO);
    (known.endpoints(), learned)
}

fn found(resolution: Resolution) -> Vec<String> {
    learn(resolution).0.iter().map(|endpoint| endpoint.address().to_string()).collect()
}

fn ttl(resolution: Resolution) -> Option<Duration> {
    learn(resolution).1.ttl
}

/// Why there is no IPv4 address of "db.example".
async fn reason(server: &NameServer, timeout: Duration) -> NoAnswer {
    let result = resolve(dns(&[server.address], timeout), query("db.example"), IpFamilies::Ipv4).await;
    result.unwrap_err().reason
}

#[tokio::test]
async fn asks_for_the_families_that_are_wanted() {
    let zone = Zone::default();
    zone.addresses("db.example", 60, &["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
    let server = NameServer::with(&zone).await;
    let ask = async |families| {
        found(resolve(dns(&[server.address], PATIENT), query("db.example"), families).await.unwrap())
    };
    assert_eq!(ask(IpFamilies::Ipv4).await, ["192.0.2.1:80", "192.0.2.2:80"]);
    assert_eq!(ask(IpFamilies::Ipv6).await, ["[2001:db8::1]:80"]);
    assert_eq!(zone.asked(), ["A db.example", "AAAA db.example"], "no more than that");
    assert_eq!(ask(IpFamilies::Both).await, ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"]);
}

#[tokio::test]
async fn says_why_there_is_nothing() {
    let zone = Zone::default();
    let server = NameServer::with(&zone).await;
    assert_eq!(reason(&server, PATIENT).await, NoAnswer::NoSuchName);
    zone.addresses("db.example", 60, &["2001:db8::1"]);
    assert_eq!(reason(&server, PATIENT).await, NoAnswer::NoRecord);
    zone.addresses("db.example", 60, &["0.0.0.0"]);
    assert_eq!(reason(&server, PATIENT).await, NoAnswer::NoRecord);
    zone.fails("db.example", RecordType::A, ResponseCode::ServFail);
    assert_eq!(reason(&server, PATIENT).await, NoAnswer::Rcode("SERVFAIL".into()));
    zone.fails("db.example", RecordType::A, ResponseCode::Refused);
    assert_eq!(reason(&server, PATIENT).await, NoAnswer::Rcode("REFUSED".into()));
    zone.set("db.example", RecordType::A, Entry::Silence);
    assert_eq!(reason(&server, SHORT).await, NoAnswer::Timeout(SHORT));
}

#[tokio::test]
async fn a_server_that_only_refers_to_others_is_no_help() {
    let server = NameServer::start(|question, _| {
        let mut message = question.into_response();
        let ns = hickory_resolver::proto::rr::rdata::NS(name_server::name("ns.example"));
        let data = hickory_resolver::proto::rr::RData::NS(ns);
        message.authorities.push(Record::from_rdata(name_server::name("example"), 60, data));
        vec![message.to_vec().unwrap()]
    })
    .await;
    assert_eq!(reason(&server, PATIENT).await, NoAnswer::Referral);
}

#[tokio::test]
async fn one_family_may_fail_alone() {
    let zone = Zone::default();
    zone.addresses("db.example", 60, &["192.0.2.1"]);
    zone.fails("db.example", RecordType::AAAA, ResponseCode::ServFail);
    let server = NameServer::with(&zone).await;
    let resolution = resolve(dns(&[server.address], PATIENT), query("db.example"), IpFamilies::Both).await;
    let (endpoints, learned) = learn(resolution.unwrap());
    assert_eq!(endpoints.len(), 1);
    assert_eq!(learned.failure.unwrap().to_string(), "AAAA of db.example: the name server answered SERVFAIL");
}

#[tokio::test]
async fn follows_aliases_within_a_reply_and_from_reply_to_reply() {
    let zone = Zone::default();
    let chain = vec![alias("a.example", 50, "b.example"), alias("b.example", 7, "c.example")];
    zone.set("a.example", RecordType::A, Entry::Records(chain, vec![]));
    zone.addresses("c.example", 60, &["192.0.2.1"]);
    let server = NameServer::with(&zone).await;
    let ask = async |name| resolve(dns(&[server.address], PATIENT), query(name), IpFamilies::Ipv4).await;
    let resolution = ask("a.example").await.unwrap();
    assert_eq!(found(resolution.clone()), ["192.0.2.1:80"]);
    assert_eq!(ttl(resolution), Some(Duration::from_secs(7)), "the lowest of the chain's");
    let there_and_back = |from, to| Entry::Records(vec![alias(from, 50, to)], vec![]);
    zone.set("x.example", RecordType::A, there_and_back("x.example", "y.example"));
    zone.set("y.example", RecordType::A, there_and_back("y.example", "x.example"));
    let error = ask("x.example").await.unwrap_err();
    assert_eq!(error.reason, NoAnswer::TooManyAliases(MAX_ALIASES));
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let ips: Vec<_> = (0..200).map(|n| format!("192.0.2.{n}")).collect();
    let server = NameServer::start(move |question, transport| {
        let mut message = question.into_response();
        match transport {
            Transport::Udp => message.metadata.truncation = true,
            Transport::Tcp => message.answers = ips.iter().map(|ip| address("db.example", 60, ip)).collect(),
        }
        vec![message.to_vec().unwrap()]
    })
    .await;
    let resolution = resolve(dns(&[server.address], PATIENT), query("db.example"), IpFamilies::Ipv4).await;
    assert_eq!(found(resolution.unwrap()).len(), 200);
}

#[tokio::test]
async fn forged_and_broken_replies_are_not_taken() {
    let forged = |question: &Message| {
        let mut other_id = question.clone();
        other_id.metadata.id ^= 1;
        let mut other_name = question.clone();
        other_name.queries[0].set_name(name_server::name("other.example"));
        let lies = |question| reply(question, vec![address("db.example", 60, "192.0.2.66")], vec![]);
        vec![b"\x00".to_vec(), b"garbage that is no DNS".to_vec(), lies(other_id), lies(other_name)]
    };
    let server = NameServer::start(move |question, _| {
        let mut packets = forged(&question);
        packets.push(reply(question, vec![address("db.example", 60, "192.0.2.1")], vec![]));
        packets
    })
    .await;
    let resolution = resolve(dns(&[server.address], PATIENT), query("db.example"), IpFamilies::Ipv4).await;
    assert_eq!(found(resolution.unwrap()), ["192.0.2.1:80"]);
    // With the right id, but no message after it: whoever sent that is the server, or knows all that it does.
    let server = NameServer::start(|question, _| {
        vec![[&question.metadata.id.to_be_bytes()[..], b"\xff\xff\xff\xff\xff\xff"].concat()]
    })
    .await;
    assert!(!reason(&server, SHORT).await.is_negative());
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_fails_and_first_from_then_on() {
    let (failing, working) = (Zone::default(), Zone::default());
    failing.fails("db.example", RecordType::A, ResponseCode::ServFail);
    working.addresses("db.example", 60, &["192.0.2.1"]);
    let (first, second) = (NameServer::with(&failing).await, NameServer::with(&working).await);
    let dns = Arc::new(dns(&[first.address, second.address], PATIENT));
    let settings = DiscoverySettings { families: IpFamilies::Ipv4, ..DiscoverySettings::DEFAULT };
    let wanted = Arc::new(Wanted { query: query("db.example"), settings });
    for _ in 0..3 {
        let resolution = Arc::clone(&dns).resolve(Arc::clone(&wanted)).await;
        assert_eq!(found(resolution.unwrap()), ["192.0.2.1:80"]);
    }
    assert_eq!(failing.asked().len(), 1);
    // That there is no such name is an answer: nobody else is asked.
    let nothing = Wanted { query: query("nothing.example"), settings };
    assert!(Arc::clone(&dns).resolve(Arc::new(nothing)).await.is_err());
    assert_eq!(failing.asked().len(), 1);
}

#[tokio::test]
async fn a_silent_server_does_not_keep_the_next_from_being_asked() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let zone = Zone::default();
    zone.addresses("db.example", 60, &["192.0.2.1"]);
    let server = NameServer::with(&zone).await;
    let servers = [silent.local_addr().unwrap(), server.address];
    let resolution = resolve(dns(&servers, SHORT), query("db.example"), IpFamilies::Ipv4).await;
    assert_eq!(found(resolution.unwrap()), ["192.0.2.1:80"]);
}

#[tokio::test]
async fn services_have_targets_with_addresses() {
    let zone = Zone::default();
    let name = "_http._tcp.example";
    let records = vec![
        service(name, 50, [10, 5, 8080], "a.example"),
        service(name, 20, [10, 1, 8081], "a.example"),
        service(name, 50, [20, 0, 8080], "b.example"),
        service(name, 50, [30, 0, 8080], "gone.example"),
    ];
    // The address of one target comes along.
    zone.set(name, RecordType::SRV, Entry::Records(records, vec![address("a.example", 40, "192.0.2.1")]));
    zone.addresses("b.example", 60, &["192.0.2.2"]);
    let server = NameServer::with(&zone).await;
    let resolution =
        resolve(dns(&[server.address], PATIENT), services(name), IpFamilies::Ipv4).await.unwrap();
    let (endpoints, learned) = learn(resolution);
    let endpoint =
        |ip: &str, port, weight, rank| Endpoint { ip: ip.parse().unwrap(), port: Some(port), weight, rank };
    let expected = [
        endpoint("192.0.2.1", 8080, 5, 0),
        endpoint("192.0.2.1", 8081, 1, 0),
        endpoint("192.0.2.2", 8080, 1, 1),
    ];
    assert_eq!(*endpoints, expected);
    let lowest = Some(Duration::from_secs(20));
    assert_eq!(learned, Learned { ttl: lowest, failure: None }, "that one target is gone is no failure");
    assert!(!zone.asked().contains(&"A a.example".into()), "known already");
}

#[tokio::test]
async fn a_service_may_be_an_alias_or_not_available() {
    let zone = Zone::default();
    let (name, other) = ("_http._tcp.example", "_http._tcp.other");
    let records = vec![alias(name, 50, other), service(other, 50, [0, 0, 80], "a.example")];
    zone.set(name, RecordType::SRV, Entry::Records(records, vec![]));
    zone.addresses("a.example", 60, &["192.0.2.1"]);
    zone.set("_off._tcp.example", RecordType::SRV, {
        Entry::Records(vec![service("_off._tcp.example", 50, [0, 0, 0], ".")], vec![])
    });
    let server = NameServer::with(&zone).await;
    let ask = async |name| resolve(dns(&[server.address], PATIENT), services(name), IpFamilies::Ipv4).await;
    assert_eq!(found(ask(name).await.unwrap()), ["192.0.2.1:80"]);
    let error = ask("_off._tcp.example").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "SRV of _off._tcp.example: the service is declared not available (its target is \".\")"
    );
}

#[tokio::test]
async fn no_more_than_so_many_questions_at_once() {
    let zone = Zone::default();
    let name = "_http._tcp.example";
    let targets: Vec<_> = (0..2 * MAX_QUESTIONS).map(|n| format!("t{n}.example")).collect();
    let records = targets.iter().map(|target| service(name, 60, [0, 0, 80], target)).collect();
    zone.set(name, RecordType::SRV, Entry::Records(records, vec![]));
    targets.iter().for_each(|target| zone.set(target, RecordType::A, Entry::Silence));
    let server = NameServer::with(&zone).await;
    let all_under_way = async {
        zone.has_been_asked(1 + MAX_QUESTIONS).await;
        // What was sent before this was received before it.
        assert!(resolve(dns(&[server.address], PATIENT), query("last"), IpFamilies::Ipv4).await.is_err());
    };
    tokio::select! {
        _ = resolve(dns(&[server.address], PATIENT), services(name), IpFamilies::Ipv4) => panic!("nobody answers"),
        () = all_under_way => {}
    }
    let questions: BTreeSet<_> = zone.asked().into_iter().collect();
    assert_eq!(questions.len(), 2 + MAX_QUESTIONS, "whatever was asked more than once: {questions:?}");
}

#[tokio::test]
async fn the_hosts_file_comes_first() {
    let zone = Zone::default();
    zone.addresses("db.example", 60, &["192.0.2.66", "2001:db8::1"]);
    let server = NameServer::with(&zone).await;
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(b"192.0.2.1 DB.example\n\xff\n").unwrap();
    let ask = async |name, families| {
        let dns = Dns { hosts_file: file.path().into(), ..dns(&[server.address], PATIENT) };
        resolve(dns, query(name), families).await.unwrap()
    };
    let resolution = ask("db.example", IpFamilies::Both).await;
    assert_eq!(found(resolution.clone()), ["192.0.2.1:80"], "and all that it says is all there is");
    assert_eq!(ttl(resolution), Some(Duration::ZERO), "a file may change at any time");
    assert_eq!(found(ask("db.example", IpFamilies::Ipv6).await), ["[2001:db8::1]:80"]);
    assert_eq!(found(ask("localhost", IpFamilies::Both).await), ["127.0.0.1:80", "[::1]:80"]);
    assert_eq!(zone.asked(), ["AAAA db.example"]);
}

#[tokio::test]
async fn search_domains_are_for_names_that_do_not_exist() {
    let zone = Zone::default();
    zone.addresses("web.two.example", 60, &["192.0.2.1"]);
    zone.addresses("db.example", 60, &["2001:db8::1"]);
    zone.addresses("db.example.two.example", 60, &["192.0.2.66"]);
    zone.fails("down", RecordType::A, ResponseCode::ServFail);
    zone.addresses("down.two.example", 60, &["192.0.2.66"]);
    let server = NameServer::with(&zone).await;
    let ask = async |name: &str| {
        let mut settings = dns(&[server.address], PATIENT).settings;
        settings.search = ["one.example.", "two.example."].map(|name| name.parse().unwrap()).into();
        let dns = Dns { hosts_file: "/nonexistent".into(), ..Dns::new(settings) };
        let query = if name.starts_with('_') { services(name) } else { query(name) };
        resolve(dns, query, IpFamilies::Ipv4).await
    };
    assert_eq!(found(ask("web").await.unwrap()), ["192.0.2.1:80"]);
    assert_eq!(zone.asked(), ["A web", "A web.one.example", "A web.two.example"]);
    let reason = async |name| ask(name).await.unwrap_err().reason;
    assert_eq!(reason("db.example").await, NoAnswer::NoRecord, "it exists, without an IPv4 address");
    assert_eq!(
        reason("down").await,
        NoAnswer::Rcode("SERVFAIL".into()),
        "which does not say that it is not there"
    );
    let target = vec![service("_x._tcp.example", 60, [0, 0, 80], "nothing")];
    zone.set("_x._tcp.example", RecordType::SRV, Entry::Records(target, vec![]));
    let asked = zone.asked().len();
    assert_eq!(reason("_x._tcp.example").await, NoAnswer::NoSuchName);
    assert_eq!(
        zone.asked()[asked..],
        ["SRV _x._tcp.example", "A nothing"],
        "it is its target that does not exist"
    );
    let error = ask("web.").await.unwrap_err();
    assert_eq!(error.to_string(), "A of web: there is no such name (NXDOMAIN)");
    let error = ask("nothing").await.unwrap_err();
    assert_eq!(error.to_string(), "A of nothing: there is no such name (NXDOMAIN)", "as it was written");
}

#[test]
fn the_longest_names_are_names() {
    // Without a runtime, too: whoever sets what is wanted need not have one.
    let dns = dns(&["192.0.2.53:53".parse().unwrap()], SHORT);
    let label = "x".repeat(63);
    let longest = [&*label, &label, &label, &label[..61]].join(".");
    for name in [".", "a", "_http._tcp.example", "xn--bcher-kva.example.", "10.0.0.1", &longest] {
        assert!(dns.candidates(&name.parse().unwrap())[0].is_fqdn(), "{name}");
    }
}

#[test]
fn name_servers_of_ones_own_come_without_search_domains() {
    let servers = ["192.0.2.53:5353".parse().unwrap()];
    let settings = Settings::new(&servers);
    assert_eq!((settings.servers, settings.search), (servers.to_vec(), vec![]));
    assert!(!Settings::new(&[]).servers.is_empty(), "those of the system, or this machine");
}
