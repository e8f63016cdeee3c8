//! DNS probes against a server that answers well, badly, at length or not at all.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use lb_model::{DnsProbe, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn dns(record: RecordType) -> Probe {
    Probe::Dns(DnsProbe { name: "health.example".parse().unwrap(), record })
}

/// Answers the next datagram with what `answer` makes of it.
async fn answer_once(socket: &UdpSocket, answer: impl Fn(Message) -> Vec<u8>) {
    let mut buffer = vec![0; 2048];
    let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
    let query = Message::from_vec(&buffer[..length]).unwrap();
    socket.send_to(&answer(query), peer).await.unwrap();
}

fn with(query: Message, code: ResponseCode, addresses: &[[u8; 4]]) -> Message {
    let mut answer = query.into_response();
    answer.metadata.response_code = code;
    let name = answer.queries[0].name().clone();
    for &[a, b, c, d] in addresses {
        answer.add_answer(Record::from_rdata(name.clone(), 60, RData::A(A::new(a, b, c, d))));
    }
    answer
}

#[tokio::test]
async fn wants_an_answer_with_a_record() {
    let (socket, address) = udp_socket().await;
    let ask = |record, answer: fn(Message) -> Vec<u8>| {
        let socket = &socket;
        async move { beside(answer_once(socket, answer), probe(address, dns(record), PATIENT)).await }
    };
    let one = |query| with(query, ResponseCode::NoError, &[[192, 0, 2, 1]]).to_vec().unwrap();
    assert!(ask(RecordType::A, one).await.is_ok());
    assert_eq!(ask(RecordType::Aaaa, one).await, Err(ProbeError::NoRecord), "of another type");
    let none = |query| with(query, ResponseCode::NoError, &[]).to_vec().unwrap();
    assert_eq!(ask(RecordType::A, none).await, Err(ProbeError::NoRecord));
    let failed = |query| with(query, ResponseCode::ServFail, &[]).to_vec().unwrap();
    assert_eq!(message(ask(RecordType::A, failed).await), "answered SERVFAIL");
    let unknown = |query| with(query, ResponseCode::NXDomain, &[]).to_vec().unwrap();
    assert_eq!(message(ask(RecordType::A, unknown).await), "answered NXDOMAIN");
    let garbage = |_| b"\x00\x01garbage".to_vec();
    assert!(message(ask(RecordType::A, garbage).await).starts_with("answer is no valid DNS: "));
    let other = |mut query: Message| {
        query.metadata.id ^= 1;
        with(query, ResponseCode::NoError, &[[192, 0, 2, 1]]).to_vec().unwrap()
    };
    assert!(message(ask(RecordType::A, other).await).ends_with("not a response to the question"));
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let (listener, address) = listener().await;
    let socket = UdpSocket::bind(address).await.unwrap();
    let server = async {
        answer_once(&socket, |query| {
            let mut answer = with(query, ResponseCode::NoError, &[]);
            answer.metadata.truncation = true;
            answer.to_vec().unwrap()
        })
        .await;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut query).await.unwrap();
        let query = Message::from_vec(&query).unwrap();
        let answer = with(query, ResponseCode::NoError, &[[192, 0, 2, 1]; 100]).to_vec().unwrap();
        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
        std::future::pending::<()>().await;
    };
    assert!(beside(server, probe(address, dns(RecordType::A), PATIENT)).await.is_ok());
}

#[tokio::test]
async fn silence_times_out_and_refusal_is_known_at_once() {
    let (_silent, address) = udp_socket().await;
    assert_eq!(message(probe(address, dns(RecordType::A), SHORT).await), "no answer within 500ms");
    assert_eq!(probe(refusing().await, dns(RecordType::A), PATIENT).await, Err(ProbeError::Refused));
}
