//! Sockets that clients send to: one set of SO_REUSEPORT sockets per worker, as for TCP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::Coalescing;
use crate::listen::{BindError, Presence, bindable_anywhere, ensure_bindable};
use crate::sockopt::set_option;

/// How ports receive.
#[derive(Debug, Clone, Copy)]
pub struct UdpOptions {
    /// How much each socket may queue, in bytes of the kernel's memory: a small datagram takes 768 of them. A process
    /// without CAP_NET_ADMIN gets no more than net.core.rmem_max.
    pub receive_buffer: usize,
    /// Whether clients' datagrams may come coalesced.
    pub coalescing: Coalescing,
}

/// Makes `sets` sockets for each of `addresses`; the result has one list of sockets per set. All or nothing.
///
/// The kernel sends all datagrams from one client address and port to the same set, as long as no set comes or goes.
pub fn bind_udp_all(
    addresses: &[SocketAddr],
    options: UdpOptions,
    sets: usize,
) -> Result<Vec<Vec<UdpSocket>>, BindError> {
    let one = |&address: &SocketAddr| bind(address, options).map_err(|error| BindError { address, error });
    (0..sets).map(|_| addresses.iter().map(one).collect()).collect()
}

/// [`ensure_free`](crate::ensure_free) for UDP, whose ports are others than TCP's.
pub fn ensure_udp_free(address: SocketAddr, ours: &[SocketAddr]) -> Result<Presence, BindError> {
    ensure_bindable(address, ours, plain_socket)
}

fn bind(address: SocketAddr, options: UdpOptions) -> io::Result<UdpSocket> {
    let socket = bindable_anywhere(plain_socket(address)?, address)?;
    socket.set_reuse_port(true)?;
    if address.ip().is_unspecified() {
        tell_local_addresses(&socket, address)?;
    }
    if options.coalescing == Coalescing::On {
        set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1)?;
    }
    // By force only with CAP_NET_ADMIN. Less than asked for is no reason not to serve.
    if sockopt::set_socket_recv_buffer_size_force(&socket, options.receive_buffer).is_err() {
        socket.set_recv_buffer_size(options.receive_buffer)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Makes the kernel tell which address of this host each datagram was sent to.
fn tell_local_addresses(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let (level, option) = if address.is_ipv6() {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    Ok(set_option(socket.as_fd(), level, option, 1)?)
}

/// Without SO_REUSEADDR, which for UDP would let others share the port.
fn plain_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: UdpOptions = UdpOptions { receive_buffer: 1 << 20, coalescing: Coalescing::On };

    /// On an address that other tests do not use.
    fn free() -> SocketAddr {
        UdpSocket::bind("127.0.0.77:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn each_worker_has_a_socket_for_each_address() {
        let addresses = [free(), free()];
        let sets = bind_udp_all(&addresses, OPTIONS, 3).unwrap();
        assert_eq!(sets.len(), 3);
        for set in sets {
            let bound: Vec<_> = set.iter().map(|socket| socket.local_addr().unwrap()).collect();
            assert_eq!(bound, addresses);
        }
    }

    #[test]
    fn an_address_in_use_is_refused_even_with_reuseport() {
        let address = free();
        assert_eq!(ensure_udp_free(address, &[]).unwrap(), Presence::Here);
        let bound = bind_udp_all(&[address], OPTIONS, 2).unwrap();
        let error = ensure_udp_free(address, &[]).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("ss -lntup"), "{error}");
        assert_eq!(ensure_udp_free(address, &[address]).unwrap(), Presence::Here, "ours");
        drop(bound);
        assert!(ensure_udp_free(address, &[]).is_ok());
    }

    #[test]
    fn a_tcp_port_is_another_port() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        assert!(ensure_udp_free(address, &[]).is_ok());
        assert!(crate::ensure_free(address, &[]).is_err());
    }

    #[test]
    fn an_address_that_is_not_here_can_be_served() {
        let absent = "192.0.2.77:18080".parse().unwrap();
        assert_eq!(ensure_udp_free(absent, &[]).unwrap(), Presence::Absent);
        assert!(bind_udp_all(&[absent], OPTIONS, 1).is_ok());
    }
}
