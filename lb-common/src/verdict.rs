//! What becomes of a packet, and why.
//!
//! These are as wide as a register: narrower fields of a value that is kept on the stack end up where the
//! verifier does not allow to read them.

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Back out of the interface that it came in by.
    Transmit,
    /// Out of the interface of this index.
    Redirect(u32),
    /// On to the kernel, untouched.
    Pass(PassReason),
    /// Nowhere.
    Drop(DropReason),
}

/// Why a packet is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum PassReason {
    /// Neither IPv4 nor IPv6, or behind more than two VLAN tags.
    NotIp = 0,
    /// Neither TCP nor UDP.
    OtherProtocol = 1,
    /// It ends before the ports.
    TooShort = 2,
    /// The IP header contradicts itself.
    Malformed = 3,
    /// A fragment but the first: it has no ports.
    Fragment = 4,
    /// IPv6 extension headers that are unknown, too many, or that name another destination.
    ExtensionHeaders = 5,
    /// No listener has this address, port and protocol.
    NoListener = 6,
}

impl PassReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::NotIp,
        Self::OtherProtocol,
        Self::TooShort,
        Self::Malformed,
        Self::Fragment,
        Self::ExtensionHeaders,
        Self::NoListener,
    ];

    /// The name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::OtherProtocol => "other_protocol",
            Self::TooShort => "too_short",
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::ExtensionHeaders => "extension_headers",
            Self::NoListener => "no_listener",
        }
    }
}

/// Why a packet for a listener goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum DropReason {
    /// The first fragment of a packet: the others could not follow it.
    Fragment = 0,
    /// IPv4 options.
    IpOptions = 1,
    /// The packet is shorter than its headers say, or they than they may be.
    Malformed = 2,
    /// Nobody in the pool takes new flows.
    NoBackend = 3,
    /// With the outer header it would be larger than the way to the backend takes.
    TooBig = 4,
    /// The driver has no room for the outer header in front of the packet.
    NoHeadroom = 5,
    /// A table has not what another table refers to: a bug of Sluice.
    Inconsistent = 6,
}

impl DropReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Fragment,
        Self::IpOptions,
        Self::Malformed,
        Self::NoBackend,
        Self::TooBig,
        Self::NoHeadroom,
        Self::Inconsistent,
    ];

    /// The name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fragment => "fragment",
            Self::IpOptions => "ip_options",
            Self::Malformed => "malformed",
            Self::NoBackend => "no_backend",
            Self::TooBig => "too_big",
            Self::NoHeadroom => "no_headroom",
            Self::Inconsistent => "inconsistent",
        }
    }
}

/// Ends the way of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Pass(PassReason),
    Drop(DropReason),
}

impl From<PassReason> for Exit {
    #[inline(always)]
    fn from(reason: PassReason) -> Self {
        Self::Pass(reason)
    }
}

impl From<DropReason> for Exit {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::FlowEvent;

    use super::*;

    #[test]
    fn numbers_are_places_in_the_list_and_names_differ() {
        fn check(all: impl IntoIterator<Item = (u64, &'static str)>) {
            let mut names = HashSet::new();
            for (place, (number, name)) in all.into_iter().enumerate() {
                assert_eq!(usize::try_from(number), Ok(place), "{name}");
                assert!(names.insert(name), "{name}");
            }
        }
        check(PassReason::ALL.map(|reason| (reason as u64, reason.label())));
        check(DropReason::ALL.map(|reason| (reason as u64, reason.label())));
        check(FlowEvent::ALL.map(|event| (event as u64, event.label())));
    }
}
