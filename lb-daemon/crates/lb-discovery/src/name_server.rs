//! A little name server for tests, on a real socket: UDP and TCP on one port.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a question came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Serves until it is dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl NameServer {
    /// Sends whatever `answer` makes of a question, one packet after the other.
    pub(crate) async fn start(
        answer: impl Fn(Message, Transport) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (listener, socket, address) = sockets().await;
        let answer = Arc::new(answer);
        let mut tasks = JoinSet::new();
        let over_tcp = Arc::clone(&answer);
        tasks.spawn(async move {
            let mut buffer = vec![0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                for packet in answer(question, Transport::Udp) {
                    socket.send_to(&packet, peer).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Clients may go whenever they like.
                let _ = serve(stream, &*over_tcp).await;
            }
        });
        Self { address, _tasks: tasks }
    }

    /// Answers by `zone`.
    pub(crate) async fn with(zone: &Zone) -> Self {
        let zone = zone.clone();
        Self::start(move |question, _| zone.answer(question)).await
    }
}

async fn sockets() -> (TcpListener, UdpSocket, SocketAddr) {
    // A port that is free for TCP is not always free for UDP.
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        if let Ok(socket) = UdpSocket::bind(address).await {
            return (listener, socket, address);
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &impl Fn(Message, Transport) -> Vec<Vec<u8>>,
) -> std::io::Result<()> {
    loop {
        let mut question = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut question).await?;
        for packet in answer(Message::from_vec(&question).unwrap(), Transport::Tcp) {
            stream.write_u16(packet.len().try_into().unwrap()).await?;
            stream.write_all(&packet).await?;
        }
    }
}

/// What is said of names. Of a name that it does not have it says that there is none.
#[derive(Clone, Default)]
pub(crate) struct Zone {
    entries: Arc<Mutex<HashMap<(String, RecordType), Entry>>>,
    asked: Arc<watch::Sender<Vec<String>>>,
}

#[derive(Clone)]
pub(crate) enum Entry {
    /// An answer, and what comes along with it.
    Records(Vec<Record>, Vec<Record>),
    Code(ResponseCode),
    Silence,
}

impl Zone {
    pub(crate) fn set(&self, name: &str, record: RecordType, entry: Entry) {
        self.entries.lock().unwrap().insert((name.into(), record), entry);
    }

    /// Gives a name addresses with a TTL in seconds.
    pub(crate) fn addresses(&self, name: &str, ttl: u32, ips: &[&str]) {
        for kind in [RecordType::A, RecordType::AAAA] {
            let records: Vec<_> = ips.iter().map(|ip| address(name, ttl, ip)).collect();
            let of_kind = records.into_iter().filter(|record| record.record_type() == kind).collect();
            self.set(name, kind, Entry::Records(of_kind, vec![]));
        }
    }

    pub(crate) fn fails(&self, name: &str, record: RecordType, code: ResponseCode) {
        self.set(name, record, Entry::Code(code));
    }

    /// The questions so far, such as "A db.example".
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// Waits until there were so many questions, those included that were asked again.
    pub(crate) async fn has_been_asked(&self, times: usize) {
        self.asked.subscribe().wait_for(|asked| asked.len() >= times).await.unwrap();
    }

    fn answer(&self, question: Message) -> Vec<Vec<u8>> {
        let query = &question.queries[0];
        let key = (query.name().to_ascii().trim_end_matches('.').to_owned(), query.query_type());
        self.asked.send_modify(|asked| asked.push(format!("{} {}", key.1, key.0)));
        let entry = self.entries.lock().unwrap().get(&key).cloned();
        match entry.unwrap_or(Entry::Code(ResponseCode::NXDomain)) {
            Entry::Records(answers, additionals) => vec![reply(question, answers, additionals)],
            Entry::Code(code) => vec![refusal(question, code)],
            Entry::Silence => vec![],
        }
    }
}

pub(crate) fn reply(question: Message, answers: Vec<Record>, additionals: Vec<Record>) -> Vec<u8> {
    let mut message = question.into_response();
    message.answers = answers;
    message.additionals = additionals;
    message.to_vec().unwrap()
}

fn refusal(question: Message, code: ResponseCode) -> Vec<u8> {
    let mut message = question.into_response();
    message.metadata.response_code = code;
    message.to_vec().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(crate) fn address(owner: &str, ttl: u32, ip: &str) -> Record {
    let data = match ip.parse().unwrap() {
        std::net::IpAddr::V4(ip) => RData::A(A(ip)),
        std::net::IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(name(owner), ttl, data)
}

pub(crate) fn alias(owner: &str, ttl: u32, of: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(of))))
}

/// An SRV record with a priority, a weight and a port.
pub(crate) fn service(owner: &str, ttl: u32, [priority, weight, port]: [u16; 3], target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::SRV(SRV::new(priority, weight, port, name(target))))
}
