//! Listening sockets: one set of SO_REUSEPORT sockets per worker for every address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::sockopt::set_option;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{}", hint(.error))]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the kernel said.
    pub error: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        " (another program, or another Sluice, listens there: `ss -lntup` shows it)"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
    } else {
        ""
    }
}

/// What accepted connections inherit from their listening socket, at no cost per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// After how much silence to probe the peer, in whole seconds; one that is gone is noticed after twice as much.
    pub keepalive: Option<Duration>,
    /// When connections are accepted.
    pub accept: AcceptWhen,
}

/// When the kernel hands a connection over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptWhen {
    /// Once it is established.
    Connected,
    /// Once the client has said something, for protocols in which it speaks first (TCP_DEFER_ACCEPT): the first read need not
    /// wait, and who says nothing costs nothing here. After some ten seconds of silence it is handed over all the same.
    DataHasCome,
}

impl ListenOptions {
    /// Sets what connections inherit that are made from now on.
    pub(crate) fn change(self, listening: &TcpListener) -> io::Result<()> {
        let socket = SockRef::from(listening);
        match self.keepalive {
            Some(after) => set_keepalive(&socket, after)?,
            None => socket.set_keepalive(false)?,
        }
        defer_accept(listening, self.accept)
    }
}

/// Whether this host speaks IPv6 at all.
pub fn has_ipv6() -> bool {
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    new_socket(any).and_then(|socket| socket.bind(&any.into())).is_ok()
}

/// Makes `sets` sockets for each of `addresses`; the result has one list of sockets per set. All or nothing.
pub fn bind_all(
    addresses: &[SocketAddr],
    options: ListenOptions,
    sets: usize,
) -> Result<Vec<Vec<TcpListener>>, BindError> {
    let one = |&address: &SocketAddr| bind(address, options).map_err(|error| BindError { address, error });
    (0..sets).map(|_| addresses.iter().map(one).collect()).collect()
}

/// Whether an address is on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Here,
    /// It is not, or not yet: a virtual IP may come later.
    Absent,
}

/// Makes sure that nobody listens on `address` but this process, which listens on `ours`; says whether it is on
/// this host.
///
/// SO_REUSEPORT would let a second process of the same user bind the same address and silently take a share of the
/// connections; binding once without it tells. Ask for all addresses before binding any: a wildcard that is bound
/// already would make a single address on its port look taken.
///
/// Where one of `ours` overlaps `address` (it is the same, or one of the two is a wildcard), that test would only
/// find ours. There the address is bound with SO_REUSEPORT, which still finds those who listen without it or belong
/// to another user, but not another Sluice of the same user.
pub fn ensure_free(address: SocketAddr, ours: &[SocketAddr]) -> Result<Presence, BindError> {
    ensure_bindable(address, ours, plain_socket)
}

/// [`ensure_free`] for sockets of any protocol, as `plain` makes them.
pub(crate) fn ensure_bindable(
    address: SocketAddr,
    ours: &[SocketAddr],
    plain: fn(SocketAddr) -> io::Result<Socket>,
) -> Result<Presence, BindError> {
    let shared = ours.iter().any(|&ours| overlap(ours, address));
    let probe = |socket: io::Result<Socket>| {
        let socket = socket?;
        socket.set_reuse_port(shared)?;
        socket.bind(&address.into())
    };
    let (result, presence) = match probe(plain(address)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            (probe(plain(address).and_then(|socket| bindable_anywhere(socket, address))), Presence::Absent)
        }
        result => (result, Presence::Here),
    };
    result.map(|()| presence).map_err(|error| BindError { address, error })
}

/// Whether a connection could be meant for both. IPv6 sockets take no IPv4 here.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (any || a.ip() == b.ip())
}

fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<TcpListener> {
    /// The kernel cuts this down to net.core.somaxconn.
    const BACKLOG: i32 = 65_535;

    let socket = new_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(after) = options.keepalive {
        set_keepalive(&socket, after)?;
    }
    if options.accept == AcceptWhen::DataHasCome {
        defer_accept(&socket, options.accept)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// See [`AcceptWhen`].
fn defer_accept(socket: &impl AsFd, when: AcceptWhen) -> io::Result<()> {
    /// The kernel counts in repetitions of its SYN-ACK, which it sends after 1, 3, 7 and 15 seconds.
    const SECONDS: libc::c_int = 10;

    let seconds = if when == AcceptWhen::DataHasCome { SECONDS } else { 0 };
    set_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)?;
    Ok(())
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    bindable_anywhere(plain_socket(address)?, address)
}

/// Lets a socket be bound to an address whether or not it is on this host now: a virtual IP may come later.
pub(crate) fn bindable_anywhere(socket: Socket, address: SocketAddr) -> io::Result<Socket> {
    if address.is_ipv6() {
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    Ok(socket)
}

fn plain_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Probes the peer after `after` of silence, four times at quarters of it: a peer that is gone is noticed after twice
/// `after`.
pub(crate) fn set_keepalive(socket: &Socket, after: Duration) -> io::Result<()> {
    // The kernel counts in whole seconds, from 1 to 32,767.
    let seconds = |d: Duration| Duration::from_secs(d.as_secs().clamp(1, 32_767));
    let keepalive =
        TcpKeepalive::new().with_time(seconds(after)).with_interval(seconds(after / 4)).with_retries(4);
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ListenOptions {
        ListenOptions { keepalive: Some(Duration::from_secs(60)), accept: AcceptWhen::Connected }
    }

    #[test]
    fn an_address_in_use_is_refused_even_with_reuseport() {
        let options = options();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let first = bind_all(&[free], options, 2).unwrap();
        assert_eq!((first.len(), first[0].len()), (2, 1));
        let error = ensure_free(free, &[]).unwrap_err().to_string();
        assert!(error.contains(&free.to_string()) && error.contains("another Sluice"), "{error}");
    }

    #[test]
    fn a_wildcard_and_a_single_address_go_together_if_asked_for_before_either_is_bound() {
        let options = options();
        let single = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let wildcard = SocketAddr::from(([0, 0, 0, 0], single.port()));
        for address in [wildcard, single] {
            assert_eq!(ensure_free(address, &[]).unwrap(), Presence::Here);
        }
        let _bound = [bind_all(&[wildcard], options, 2).unwrap(), bind_all(&[single], options, 2).unwrap()];
        assert!(ensure_free(single, &[]).is_err());
    }

    #[test]
    fn an_address_that_is_not_here_can_be_listened_on() {
        let absent = "192.0.2.77:18080".parse().unwrap();
        assert_eq!(ensure_free(absent, &[]).unwrap(), Presence::Absent);
        assert!(bind_all(&[absent], options(), 1).is_ok());
    }

    #[test]
    fn what_this_process_listens_on_is_not_taken() {
        let options = options();
        let single = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let wildcard = SocketAddr::from(([0, 0, 0, 0], single.port()));
        let bound = bind_all(&[wildcard], options, 2).unwrap();
        assert_eq!(ensure_free(single, &[wildcard]).unwrap(), Presence::Here);
        assert_eq!(ensure_free(wildcard, &[wildcard]).unwrap(), Presence::Here);
        let added = bind_all(&[single], options, 2).unwrap();
        drop(bound);
        assert_eq!(ensure_free(wildcard, &[single]).unwrap(), Presence::Here);
        drop(added);
        let absent = SocketAddr::from(([192, 0, 2, 77], single.port()));
        assert_eq!(ensure_free(absent, &[wildcard]).unwrap(), Presence::Absent);
    }

    #[test]
    fn others_beside_this_process_are_noticed() {
        let options = options();
        let foreign = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = foreign.local_addr().unwrap().port();
        let [ours, wildcard] = [[127, 0, 0, 1], [0, 0, 0, 0]].map(|ip| SocketAddr::from((ip, port)));
        let _bound = bind_all(&[ours], options, 2).unwrap();
        assert!(ensure_free(wildcard, &[ours]).is_err(), "a program that does not share its port");
        drop(foreign);
        ensure_free(wildcard, &[ours]).unwrap();

        // Another Sluice, on an address that none of ours overlaps.
        let other = SocketAddr::from(([127, 0, 0, 2], port));
        let _other = bind_all(&[other], options, 2).unwrap();
        assert!(ensure_free(other, &[ours]).is_err());
    }
}
