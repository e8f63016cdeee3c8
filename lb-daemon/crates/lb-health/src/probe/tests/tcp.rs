//! TCP probes: what they say, and that backends do not notice them.

use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn the_backend_does_not_even_see_it() {
    let (listener, address) = listener().await;
    assert!(probe(address, Probe::Tcp, PATIENT).await.unwrap().is_some());
    // Had the probe's connection been established, it would be accepted first.
    let client = TcpStream::connect(address).await.unwrap();
    let (_accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
}

#[tokio::test]
async fn says_why_it_cannot_connect() {
    let result = probe(refusing().await, Probe::Tcp, PATIENT).await;
    assert_eq!(result, Err(ProbeError::Refused));
    // A multicast address has no route for TCP.
    let result = probe("224.0.0.1:80".parse().unwrap(), Probe::Tcp, PATIENT).await;
    assert!(matches!(result, Err(ProbeError::Unreachable(_))), "{result:?}");
}

#[tokio::test]
async fn a_full_accept_queue_times_out() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut full = vec![];
    // Nobody accepts: from some connection on the kernel drops SYNs.
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        full.push(stream.unwrap());
    }
    assert_eq!(message(probe(address, Probe::Tcp, SHORT).await), "no connection within 500ms");
}

#[tokio::test]
async fn the_port_of_the_check_wins() {
    let (_listener, address) = listener().await;
    let check = HealthCheck { port: Some(address.port()), ..HealthCheck::new(Probe::Tcp) };
    let backend = SocketAddr::new(address.ip(), 1);
    let key = ProbeKey::new(&target(backend, check));
    assert!(run(&key, &TrustStores::default()).await.is_ok());
}
