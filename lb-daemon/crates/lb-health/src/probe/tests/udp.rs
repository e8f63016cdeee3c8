//! UDP probes against an echo, silence and a refusal.

use lb_model::{UdpAnswer, UdpProbe};

use super::*;

fn udp(send: &[u8], expect: UdpAnswer) -> Probe {
    Probe::Udp(UdpProbe { send: send.into(), expect })
}

async fn echo(socket: UdpSocket) {
    let mut buffer = vec![0; 2048];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(&buffer[..length], peer).await.unwrap();
    }
}

#[tokio::test]
async fn looks_at_the_answer() {
    let (socket, address) = udp_socket().await;
    let bytes = |text: &str| text.as_bytes().into();
    let cases = [
        (UdpAnswer::NotRefused, Ok(())),
        (UdpAnswer::Any, Ok(())),
        (UdpAnswer::StartsWith(bytes("pi")), Ok(())),
        (UdpAnswer::Contains(bytes("ng")), Ok(())),
        (UdpAnswer::StartsWith(bytes("ng")), Err(ProbeError::Answer(4))),
        (UdpAnswer::Contains(bytes("pong")), Err(ProbeError::Answer(4))),
    ];
    beside(echo(socket), async {
        for (expect, result) in cases {
            let latency = probe(address, udp(b"ping", expect.clone()), PATIENT).await;
            assert_eq!(latency.map(|latency| assert!(latency.is_some())), result, "{expect:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn silence_is_good_only_where_it_may_be() {
    let (_silent, address) = udp_socket().await;
    assert_eq!(probe(address, udp(b"log", UdpAnswer::NotRefused), SHORT).await, Ok(None));
    let result = probe(address, udp(b"ping", UdpAnswer::Any), SHORT).await;
    assert_eq!(message(result), "no answer within 500ms");
}

#[tokio::test]
async fn a_refusal_is_known_at_once() {
    let address = refusing().await;
    for expect in [UdpAnswer::NotRefused, UdpAnswer::Any] {
        assert_eq!(probe(address, udp(b"ping", expect), PATIENT).await, Err(ProbeError::Refused));
    }
}
