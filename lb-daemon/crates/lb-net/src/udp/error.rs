//! What can go wrong with a datagram, told apart by whose fault it is.

use std::io;

use rustix::io::Errno;

/// Why a datagram was not delivered, or a flow not opened.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// Nobody listens on the backend's port: it answered with an ICMP error.
    #[error("nobody listens there: {0}")]
    Refused(io::Error),
    /// The network, or a firewall, says that there is no way to the backend.
    #[error("no way to get there: {0}")]
    Unreachable(io::Error),
    /// A datagram too large for UDP or for the way, where it may not be fragmented.
    #[error("the datagram is too large: {0}")]
    TooBig(io::Error),
    /// This host lacks descriptors, ports, buffers or memory; another backend would not help.
    #[error("this host is out of resources: {0}")]
    LocalResources(io::Error),
    /// None of these.
    #[error("cannot send or receive: {0}")]
    Other(io::Error),
}

impl From<Errno> for UdpError {
    fn from(errno: Errno) -> Self {
        let error = io::Error::from(errno);
        match errno {
            Errno::CONNREFUSED => Self::Refused(error),
            Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN => {
                Self::Unreachable(error)
            }
            // "Administratively prohibited", no such protocol, and this host's own firewall.
            Errno::ACCESS | Errno::NOPROTOOPT | Errno::PERM => Self::Unreachable(error),
            Errno::MSGSIZE => Self::TooBig(error),
            // AGAIN: the socket's buffer is full, or, when a flow is opened, no port is left.
            Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::MFILE | Errno::NFILE => {
                Self::LocalResources(error)
            }
            Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => Self::LocalResources(error),
            _ => Self::Other(error),
        }
    }
}

impl UdpError {
    /// Whether it says something about the receiver or the way there, and not about this host or the datagram.
    pub fn is_of_receiver(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unreachable(_) => true,
            Self::TooBig(_) | Self::LocalResources(_) | Self::Other(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_blamed_on_whom_it_comes_from() {
        for errno in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::ACCESS, Errno::PERM] {
            assert!(UdpError::from(errno).is_of_receiver(), "{errno}");
        }
        for errno in [Errno::MSGSIZE, Errno::AGAIN, Errno::NOBUFS, Errno::MFILE, Errno::INVAL] {
            assert!(!UdpError::from(errno).is_of_receiver(), "{errno}");
        }
        assert!(matches!(UdpError::from(Errno::CONNREFUSED), UdpError::Refused(_)));
        assert!(matches!(UdpError::from(Errno::HOSTUNREACH), UdpError::Unreachable(_)));
        assert!(matches!(UdpError::from(Errno::MSGSIZE), UdpError::TooBig(_)));
        assert!(matches!(UdpError::from(Errno::AGAIN), UdpError::LocalResources(_)));
    }
}
