//! A DNS server whose zone the test writes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::Watched;
use crate::service;

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// Addresses of both families, with a TTL in seconds.
    Addresses(u32, Vec<IpAddr>),
    /// SRV records, with a TTL in seconds.
    Services(u32, Vec<Service>),
    /// The answer SERVFAIL.
    Failure,
    /// No answer.
    Silence,
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The lowest is used first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name of the host.
    pub target: String,
}

/// A DNS server (UDP). It stops with this value.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Watched<Zone>>,
    service: Option<service::Service>,
}

#[derive(Debug, Default)]
struct Zone {
    names: HashMap<String, Records>,
    asked: Vec<String>,
}

impl NameServer {
    /// Starts it on `address`. Of all names it says that they do not exist.
    pub fn start(address: SocketAddr) -> Self {
        let mut server = Self { address, zone: Arc::default(), service: None };
        server.restart();
        server
    }

    /// Closes its socket, so that questions are refused.
    pub fn stop(&mut self) {
        self.service = None;
    }

    /// Starts it again after [`Self::stop`].
    pub fn restart(&mut self) {
        let socket =
            UdpSocket::bind(self.address).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        socket.set_nonblocking(true).expect("any socket can be");
        let zone = Arc::clone(&self.zone);
        let name = format!("dns {}", self.address);
        self.service = Some(service::Service::start(&name, move || serve(socket, zone)));
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces what is known of a name.
    pub fn set(&self, name: &str, records: Records) {
        self.zone.change(|zone| zone.names.insert(name.into(), records));
    }

    /// Gives a name these addresses and a TTL of 0.
    pub fn addresses(&self, name: &str, ips: &[IpAddr]) {
        self.set(name, Records::Addresses(0, ips.to_vec()));
    }

    /// Forgets a name: it does not exist.
    pub fn remove(&self, name: &str) {
        self.zone.change(|zone| zone.names.remove(name));
    }

    /// How often it was asked for this: `"A web.example"`.
    pub fn asked(&self, question: &str) -> usize {
        self.zone.read(|zone| count(zone, question))
    }

    /// Waits until it is asked for this so many times more. The answer to the last of them may be on its way still, those
    /// to the ones before have been taken in.
    #[track_caller]
    pub fn wait_asked_again(&self, question: &str, times: usize) {
        let before = self.asked(question);
        let asked = self.zone.wait(PATIENCE, |zone| (count(zone, question) >= before + times).then_some(()));
        assert!(
            asked.is_some(),
            "not asked {times} times more for {question}: {} in all",
            self.asked(question)
        );
    }
}

fn count(zone: &Zone, question: &str) -> usize {
    zone.asked.iter().filter(|asked| *asked == question).count()
}

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn serve(socket: UdpSocket, zone: Arc<Watched<Zone>>) -> io::Result<Infallible> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        let question =
            Message::from_vec(buffer.get(..length).unwrap_or_default()).map_err(io::Error::other)?;
        let answer = zone.change(|zone| answer(zone, question));
        if let Some(answer) = answer {
            socket.send_to(&answer.to_vec().map_err(io::Error::other)?, peer).await?;
        }
    }
}

fn answer(zone: &mut Zone, question: Message) -> Option<Message> {
    let query = question.queries.first().expect("there is a question").clone();
    let (name, kind) = (query.name().to_ascii().to_lowercase(), query.query_type());
    let name = name.trim_end_matches('.');
    zone.asked.push(format!("{kind} {name}"));
    let mut message = question.into_response();
    let record = |ttl, data| Record::from_rdata(query.name().clone(), ttl, data);
    match zone.names.get(name) {
        None => message.metadata.response_code = ResponseCode::NXDomain,
        Some(Records::Failure) => message.metadata.response_code = ResponseCode::ServFail,
        Some(Records::Silence) => return None,
        Some(Records::Addresses(ttl, ips)) => {
            let data = ips.iter().map(|&ip| match ip {
                IpAddr::V4(ip) => RData::A(A(ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
            });
            message.answers =
                data.filter(|data| data.record_type() == kind).map(|d| record(*ttl, d)).collect();
        }
        Some(Records::Services(ttl, services)) if kind == RecordType::SRV => {
            let data = services.iter().map(|service| {
                let mut target = Name::from_ascii(&service.target).expect("it is a name");
                target.set_fqdn(true);
                RData::SRV(SRV::new(service.priority, service.weight, service.port, target))
            });
            message.answers = data.map(|data| record(*ttl, data)).collect();
        }
        Some(Records::Services(..)) => {}
    }
    Some(message)
}
