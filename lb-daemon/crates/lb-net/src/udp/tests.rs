//! Ports and flows with real sockets: clients and backends are the standard library's.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;

use super::*;

/// For what does not come: long enough that only a failure gets there.
const DEADLINE: Duration = Duration::from_secs(20);

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn socket(ip: IpAddr) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A backend that refuses everybody, and keeps its port from others: it is connected to somebody else.
fn refusing(ip: IpAddr) -> (UdpSocket, SocketAddr) {
    let (backend, address) = socket(ip);
    backend.connect((ip, 9)).unwrap();
    (backend, address)
}

/// Refuses all but `flow` from now on.
fn accept_from(backend: &UdpSocket, flow: &UdpFlow) {
    let address = SockRef::from(flow).local_addr().unwrap().as_socket().unwrap();
    backend.connect(address).unwrap();
}

fn port(ip: IpAddr, coalescing: Coalescing) -> UdpPort {
    let options = UdpOptions { receive_buffer: 4 << 20, coalescing };
    let mut sets = bind_udp_all(&[(ip, 0).into()], options, 1).unwrap();
    UdpPort::new(Arc::new(sets.remove(0).remove(0).into())).unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it did not happen")
}

/// Receives until there are `count` datagrams on the wire's count.
async fn recv_all(port: &UdpPort, count: usize) -> UdpBatch {
    let mut batch = UdpBatch::new(count);
    while batch.datagrams().map(|datagram| datagram.count()).sum::<usize>() < count {
        soon(poll_fn(|cx| port.poll_recv(cx, &mut batch))).await.unwrap();
    }
    batch
}

async fn ready(events: &UdpFlowEvents) -> Vec<u64> {
    let mut ids = Vec::new();
    soon(poll_fn(|cx| events.poll_ready(cx, &mut ids))).await.unwrap();
    ids
}

/// Lets the runtime look at what is ready, and says whether `events` has anything.
async fn is_ready_now(events: &UdpFlowEvents) -> bool {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    let mut cx = Context::from_waker(Waker::noop());
    matches!(events.poll_ready(&mut cx, &mut Vec::new()), Poll::Ready(Ok(())))
}

fn datagram(payload: &[u8], peer: SocketAddr, local: SocketAddr) -> Datagram<'_> {
    Datagram { peer, local, payload, segment: None }
}

fn to_backend(payload: &[u8]) -> Datagram<'_> {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    datagram(payload, nobody, nobody)
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

#[tokio::test]
async fn a_wildcard_answers_from_the_address_that_was_asked() {
    let port = port(Ipv4Addr::UNSPECIFIED.into(), Coalescing::Off);
    let (client, client_address) = socket(V4);
    let asked: Vec<SocketAddr> =
        (2..=9).map(|last| (Ipv4Addr::new(127, 0, 0, last), port.address().port()).into()).collect();
    for (&address, n) in asked.iter().zip(0u8..) {
        client.send_to(&[n], address).unwrap();
    }
    let batch = recv_all(&port, asked.len()).await;
    let locals: Vec<_> = batch.datagrams().map(|datagram| datagram.local).collect();
    assert_eq!(locals, asked);
    assert!(batch.datagrams().all(|datagram| datagram.peer == client_address));

    let sent = port.send(&mut UdpSender::new(), batch.datagrams());
    assert_eq!((sent.datagrams, sent.bytes), (8, 8));
    for (address, n) in asked.into_iter().zip(0u8..) {
        let mut answer = [0; 2];
        assert_eq!(client.recv_from(&mut answer).unwrap(), (1, address));
        assert_eq!(answer[0], n);
    }
}

#[tokio::test]
async fn a_wildcard_knows_its_ipv6_address() {
    let port = port(Ipv6Addr::UNSPECIFIED.into(), Coalescing::On);
    let (client, client_address) = socket(V6);
    let asked = SocketAddr::from((V6, port.address().port()));
    client.connect(asked).unwrap();
    client.send(b"ask").unwrap();
    let batch = recv_all(&port, 1).await;
    assert_eq!(batch.datagrams().collect::<Vec<_>>(), [datagram(b"ask", client_address, asked)]);
    port.send(&mut UdpSender::new(), [datagram(b"answer", client_address, asked)].into_iter());
    assert_eq!(received(&client), b"answer", "a connected client takes it from whom it asked only");
}

#[tokio::test]
async fn what_goes_through_a_port_and_a_flow_stays_as_it_is() {
    for ip in [V4, V6] {
        for coalescing in [Coalescing::Off, Coalescing::On] {
            let (port, (client, client_address), (backend, backend_address)) =
                (port(ip, coalescing), socket(ip), socket(ip));
            let flow = UdpFlow::connect(backend_address, coalescing).unwrap();
            let events = UdpFlowEvents::new().unwrap();
            events.watch(&flow, 7).unwrap();
            let mut sender = UdpSender::new();

            // As large as UDP can be, and as small.
            let largest = if ip.is_ipv4() { 65_507 } else { 65_527 };
            for size in [0, 1, 200, 1472, 9000, largest] {
                let question: Vec<u8> = (0..size).map(|n: usize| u8::try_from(n % 251).unwrap()).collect();
                client.send_to(&question, port.address()).unwrap();
                let batch = recv_all(&port, 1).await;
                let expected = datagram(&question, client_address, port.address());
                assert_eq!(batch.datagrams().collect::<Vec<_>>(), [expected]);
                let sent = flow.send(&mut sender, batch.datagrams());
                assert_eq!((sent.datagrams, sent.bytes), (1, size));

                let mut buffer = vec![0; 65_536];
                let (length, from) = backend.recv_from(&mut buffer).unwrap();
                assert_eq!(buffer[..length], question);
                backend.send_to(&buffer[..length], from).unwrap();

                assert_eq!(ready(&events).await, [7]);
                let mut answers = UdpBatch::new(4);
                flow.recv(&mut answers, client_address, port.address()).unwrap();
                assert_eq!(answers.datagrams().collect::<Vec<_>>(), [expected]);
                port.send(&mut sender, answers.datagrams());
                assert_eq!(received(&client), question);
            }
        }
    }
}

#[tokio::test]
async fn more_than_a_batch_holds_waits_for_the_next() {
    let port = port(V4, Coalescing::Off);
    let (client, _) = socket(V4);
    for n in 0..200u8 {
        client.send_to(&[n], port.address()).unwrap();
    }
    let (mut batch, mut all) = (UdpBatch::new(8), Vec::new());
    while all.len() < 200 {
        soon(poll_fn(|cx| port.poll_recv(cx, &mut batch))).await.unwrap();
        if batch.is_full() {
            let none = soon(poll_fn(|cx| port.poll_recv(cx, &mut batch))).await.unwrap();
            assert_eq!(none, UdpReceived { datagrams: 0, drained: false });
        }
        all.extend(batch.datagrams().map(|datagram| datagram.payload.to_vec()));
        batch.clear();
        assert!(batch.is_empty());
    }
    assert_eq!(all, (0..200).map(|n| vec![n]).collect::<Vec<_>>());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(port.poll_recv(&mut cx, &mut batch).is_pending(), "nothing is left");
}

#[tokio::test]
async fn a_port_wakes_up_for_a_datagram() {
    let port = port(V4, Coalescing::Off);
    let (client, _) = socket(V4);
    let mut batch = UdpBatch::new(4);
    let receiving = soon(poll_fn(|cx| port.poll_recv(cx, &mut batch)));
    let sending = async { client.send_to(b"ask", port.address()).unwrap() };
    let (received, _) = tokio::join!(receiving, sending);
    assert_eq!(received.unwrap().datagrams, 1);
}

#[tokio::test]
async fn one_batch_collects_the_answers_of_many_flows() {
    let (port, (backend, backend_address)) = (port(V4, Coalescing::Off), socket(V4));
    let (mut sender, events) = (UdpSender::new(), UdpFlowEvents::new().unwrap());
    let clients: Vec<_> = (0..100).map(|_| socket(V4)).collect();
    let flows: Vec<_> =
        clients.iter().map(|_| UdpFlow::connect(backend_address, Coalescing::Off).unwrap()).collect();
    for (flow, id) in flows.iter().zip(0..) {
        events.watch(flow, id).unwrap();
        flow.send(&mut sender, [to_backend(&[u8::try_from(id).unwrap()])].into_iter());
    }
    let mut buffer = [0];
    for _ in &flows {
        let (_, from) = backend.recv_from(&mut buffer).unwrap();
        backend.send_to(&buffer, from).unwrap();
    }

    let mut answers = UdpBatch::new(flows.len());
    while !answers.is_full() {
        for id in ready(&events).await {
            let n = usize::try_from(id).unwrap();
            flows[n].recv(&mut answers, clients[n].1, port.address()).unwrap();
        }
    }
    assert_eq!(port.send(&mut sender, answers.datagrams()).datagrams, 100);
    for ((client, _), n) in clients.iter().zip(0..) {
        assert_eq!(received(client), [n]);
    }
}

#[tokio::test]
async fn a_flow_is_told_of_until_nothing_is_left() {
    let (backend, backend_address) = socket(V4);
    let flow = UdpFlow::connect(backend_address, Coalescing::Off).unwrap();
    let events = UdpFlowEvents::new().unwrap();
    events.watch(&flow, 3).unwrap();
    flow.send(&mut UdpSender::new(), [to_backend(b"ask")].into_iter());
    let (_, from) = backend.recv_from(&mut [0; 8]).unwrap();
    for n in 0..10 {
        backend.send_to(&[n], from).unwrap();
    }
    let (mut answers, mut times) = (UdpBatch::new(16), 0);
    while answers.datagrams().count() < 10 {
        assert_eq!(ready(&events).await, [3]);
        flow.recv(&mut answers, from, backend_address).unwrap();
        times += 1;
    }
    assert!(times < 10, "a burst takes fewer receives than it has datagrams: {times}");
    assert!(answers.datagrams().map(|datagram| datagram.payload[0]).eq(0..10));
    assert!(!is_ready_now(&events).await);

    backend.send_to(b"more", from).unwrap();
    drop(flow);
    assert!(!is_ready_now(&events).await, "a flow that is closed is watched no more");
}

#[tokio::test]
async fn equal_datagrams_travel_together_and_arrive_apart() {
    let payloads: Vec<_> = (0..10).map(|n| vec![n; 200]).chain([vec![10; 50], vec![11; 300]]).collect();
    for coalescing in [Coalescing::Off, Coalescing::On] {
        let (port, other) = (port(V4, coalescing), socket(V4));
        let flow = UdpFlow::connect(port.address(), coalescing).unwrap();
        let mut sender = UdpSender::new();
        let sent = flow.send(&mut sender, payloads.iter().map(|payload| to_backend(payload)));
        assert_eq!((sent.datagrams, sent.bytes), (12, 2350));

        let batch = recv_all(&port, 12).await;
        let mut arrived = Vec::new();
        for datagram in batch.datagrams() {
            let size = datagram.segment.map_or(usize::MAX, |segment| usize::from(segment.get()));
            arrived.extend(datagram.payload.chunks(size).map(<[u8]>::to_vec));
        }
        assert_eq!(arrived, payloads);
        let coalesced: Vec<_> = batch.datagrams().map(|datagram| datagram.count()).collect();
        match coalescing {
            Coalescing::Off => assert_eq!(coalesced, [1; 12]),
            Coalescing::On => assert_eq!(coalesced, [11, 1]),
        }

        // On to somebody who takes them one by one, by a kernel that would cut them and by one that would not.
        for largest in [u16::MAX, 0] {
            port.largest_together.set(largest);
            let onward = batch.datagrams().map(|datagram| Datagram { peer: other.1, ..datagram });
            assert_eq!(port.send(&mut sender, onward).datagrams, 12);
            for payload in &payloads {
                assert_eq!(&received(&other.0), payload);
            }
        }
    }
}

#[tokio::test]
async fn a_datagram_that_is_too_large_costs_only_itself() {
    let ((backend, backend_address), port) = (socket(V4), port(V4, Coalescing::Off));
    let flow = UdpFlow::connect(backend_address, Coalescing::Off).unwrap();
    let mut sender = UdpSender::new();
    let (huge, payloads) = (vec![0; 65_508], [b"first", b"third"]);
    let [first, third] = payloads.map(|payload| datagram(payload, backend_address, port.address()));
    let all = [first, Datagram { payload: &huge, ..first }, third];
    for sent in [flow.send(&mut sender, all.into_iter()), port.send(&mut sender, all.into_iter())] {
        assert_eq!((sent.datagrams, sent.too_big, sent.failed, sent.no_buffer), (2, 1, 0, 0));
        assert!(sent.error.is_none(), "that is nobody's fault but the sender's");
        assert_eq!(payloads.map(|_| received(&backend)), payloads);
    }
    let nothing = flow.recv(&mut UdpBatch::new(1), backend_address, backend_address).unwrap();
    assert_eq!(nothing.datagrams, 0, "it is not told again");
}

#[tokio::test]
async fn a_refusal_is_told_once_without_asking() {
    for ip in [V4, V6] {
        let (_backend, nobody) = refusing(ip);
        let flow = UdpFlow::connect(nobody, Coalescing::Off).unwrap();
        let events = UdpFlowEvents::new().unwrap();
        events.watch(&flow, 1).unwrap();
        let sent = flow.send(&mut UdpSender::new(), [to_backend(b"ask")].into_iter());
        assert!(sent.error.is_none());

        assert_eq!(ready(&events).await, [1]);
        let mut batch = UdpBatch::new(4);
        let error = flow.recv(&mut batch, nobody, nobody).unwrap_err();
        assert!(matches!(error, UdpError::Refused(_)), "{error}");
        assert_eq!(flow.recv(&mut batch, nobody, nobody).unwrap().datagrams, 0);
        assert!(!is_ready_now(&events).await, "it would be told of for ever");
    }
}

#[tokio::test]
async fn a_refusal_that_the_socket_no_longer_tells_of_is_told() {
    let (_backend, address) = refusing(V4);
    let flow = UdpFlow::connect(address, Coalescing::Off).unwrap();
    let events = UdpFlowEvents::new().unwrap();
    events.watch(&flow, 1).unwrap();
    flow.send(&mut UdpSender::new(), [to_backend(b"ask")].into_iter());
    ready(&events).await;
    assert!(SockRef::from(&flow).take_error().unwrap().is_some());

    let error = flow.recv(&mut UdpBatch::new(1), address, address).unwrap_err();
    assert!(matches!(error, UdpError::Refused(_)), "{error}");
    assert!(!is_ready_now(&events).await);
}

#[tokio::test]
async fn who_sends_is_told_of_an_earlier_refusal_and_loses_nothing() {
    for count in [1, 3] {
        let (backend, address) = refusing(V4);
        let flow = UdpFlow::connect(address, Coalescing::Off).unwrap();
        let events = UdpFlowEvents::new().unwrap();
        events.watch(&flow, 1).unwrap();
        let mut sender = UdpSender::new();
        flow.send(&mut sender, [to_backend(b"lost")].into_iter());
        ready(&events).await;

        accept_from(&backend, &flow);
        let sent = flow.send(&mut sender, [to_backend(b"found")].into_iter().cycle().take(count));
        assert_eq!((sent.datagrams, sent.failed), (count, 0));
        assert!(matches!(sent.error, Some(UdpError::Refused(_))), "{:?}", sent.error);
        for _ in 0..count {
            assert_eq!(received(&backend), b"found");
        }
        let nothing = flow.recv(&mut UdpBatch::new(1), address, address).unwrap();
        assert_eq!(nothing.datagrams, 0, "it is not told again");
        assert!(!is_ready_now(&events).await);
    }
}

#[tokio::test]
async fn many_refusals_do_not_stop_up_a_flow() {
    let (backend, address) = refusing(V4);
    let flow = UdpFlow::connect(address, Coalescing::Off).unwrap();
    let (mut sender, mut batch) = (UdpSender::new(), UdpBatch::new(1));
    let mut refusals = 0;
    for _ in 0..3000 {
        let sent = flow.send(&mut sender, [to_backend(&[0; 1000])].into_iter());
        refusals += usize::from(sent.error.is_some());
    }
    assert!(refusals > 0);
    while flow.recv(&mut batch, address, address).is_err() {}

    accept_from(&backend, &flow);
    flow.send(&mut sender, [to_backend(b"ask")].into_iter());
    assert_eq!(received(&backend), b"ask");
    backend.send(b"answer").unwrap();
    flow.recv(&mut batch, address, address).unwrap();
    assert!(batch.datagrams().map(|datagram| datagram.payload).eq([b"answer"]));
}

#[tokio::test]
async fn an_answer_from_an_address_that_is_gone_is_counted() {
    let port = port(Ipv4Addr::UNSPECIFIED.into(), Coalescing::Off);
    let (client, client_address) = socket(V4);
    let [gone, here] =
        ["192.0.2.77", "127.0.0.5"].map(|ip| (ip.parse::<IpAddr>().unwrap(), port.address().port()));
    let answers = [gone, gone, here].map(|local| datagram(b"answer", client_address, local.into()));
    let sent = port.send(&mut UdpSender::new(), answers.into_iter());
    assert_eq!((sent.datagrams, sent.failed), (1, 2));
    assert_eq!(received(&client), b"answer");
    assert_eq!(port.largest_together.get(), u16::MAX, "their size was not what was wrong");
}

#[test]
fn a_flow_costs_a_few_bytes_beside_its_socket() {
    assert!(size_of::<UdpFlow>() <= 8, "{} bytes", size_of::<UdpFlow>());
}
