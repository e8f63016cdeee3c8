//! Sends a datagram and looks at what comes back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use lb_model::{UdpAnswer, UdpProbe};
use memchr::memmem;
use tokio::net::UdpSocket;

use super::{Deadline, ProbeResult};
use crate::error::{ProbeError, Step};

/// No datagram is longer.
const MAX_DATAGRAM: usize = 64 * 1024;

pub(super) async fn probe(address: SocketAddr, probe: &UdpProbe, deadline: Deadline) -> ProbeResult {
    let answer = exchange(address, &probe.send, deadline).await;
    match &probe.expect {
        UdpAnswer::NotRefused if matches!(answer, Err(ProbeError::TimedOut { .. })) => return Ok(None),
        UdpAnswer::NotRefused | UdpAnswer::Any => drop(answer?),
        UdpAnswer::StartsWith(prefix) => expect(&answer?, |answer| answer.starts_with(prefix))?,
        UdpAnswer::Contains(part) => expect(&answer?, |answer| memmem::find(answer, part).is_some())?,
    }
    Ok(Some(deadline.elapsed()))
}

fn expect(answer: &[u8], good: impl Fn(&[u8]) -> bool) -> Result<(), ProbeError> {
    if good(answer) { Ok(()) } else { Err(ProbeError::Answer(answer.len())) }
}

/// Sends `payload` from a socket of its own and returns the first answer. The socket is connected, so that only the
/// backend's answers arrive, and ICMP errors do too.
pub(super) async fn exchange(
    address: SocketAddr,
    payload: &[u8],
    deadline: Deadline,
) -> Result<Vec<u8>, ProbeError> {
    let exchange = async {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        socket.send(payload).await?;
        let mut answer = vec![0; MAX_DATAGRAM];
        let length = socket.recv(&mut answer).await?;
        answer.truncate(length);
        Ok(answer)
    };
    let answer = deadline.within(Step::Answer, exchange).await?;
    answer.map_err(|error: std::io::Error| ProbeError::from_io(&error))
}
