//! The listeners: which addresses, protocols and ports are ours.
//!
//! A table is lines of four entries. A listener with one port is in the line of (address, protocol, port), one
//! with more in the line of (address, protocol): so a look-up reads one line, or two where there are listeners
//! with more ports. Userspace writes a table that is not in use, with a multiplier that leaves no line
//! over-full, and then switches.

use crate::bits::{u8_at, u16_at, u32_at};
use crate::{Address, ListenerControl, PoolId, Ports, Protocol, Tables, V4, V6, Word};

/// A listener's number, from 1: it stands for exactly one (address, protocol) as long as a flow is known by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

/// What a listener says of its packets, in a word: id 16, pool 16, idle time 16, protocol 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service(u64);

impl Service {
    /// A service whose flows may be `idle` for so many ticks.
    pub fn new(id: ListenerId, pool: PoolId, protocol: Protocol, idle: u16) -> Self {
        let PoolId(pool) = pool;
        Self(u64::from(id.0) << 48 | u64::from(pool) << 32 | u64::from(idle) << 16 | protocol as u64)
    }

    /// Whose it is.
    #[inline(always)]
    pub fn listener(self) -> ListenerId {
        ListenerId(u16_at(self.0, 48))
    }

    /// Where its flows go.
    #[inline(always)]
    pub fn pool(self) -> PoolId {
        PoolId(u16_at(self.0, 32))
    }

    /// How long a flow may be idle, in ticks.
    #[inline(always)]
    pub fn idle(self) -> u16 {
        u16_at(self.0, 16)
    }

    /// The transport protocol; `None` for an entry that is empty.
    #[inline(always)]
    pub fn protocol(self) -> Option<Protocol> {
        Protocol::from_number(u8_at(self.0, 0))
    }

    #[inline(always)]
    fn has_protocol(self, number: u8) -> bool {
        u8_at(self.0, 0) == number
    }
}

/// The ports of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    /// How many more.
    more: u16,
}

impl PortRange {
    /// From `first` to `last`, both included; `None` if there is no port between them.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        Some(Self { first, more: last.checked_sub(first)? })
    }

    /// Just this one.
    pub const fn one(port: u16) -> Self {
        Self { first: port, more: 0 }
    }

    /// Whether there is more than one.
    pub fn is_range(self) -> bool {
        self.more > 0
    }

    #[inline(always)]
    fn contains(self, port: u16) -> bool {
        port.wrapping_sub(self.first) <= self.more
    }

    /// The port that counts for the entry's place; 0, which no packet of a client can have, for all ranges.
    fn placed(self) -> u16 {
        if self.is_range() { 0 } else { self.first }
    }

    #[inline(always)]
    fn to_bits(self) -> u32 {
        u32::from(self.first) << 16 | u32::from(self.more)
    }

    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        Self { first: u16_at(bits.into(), 16), more: u16_at(bits.into(), 0) }
    }
}

/// A listener's memory in a table. Empty where it is all zero.
pub trait ListenerEntry<A> {
    /// Whether it is at this address and just this port.
    fn is_at(&self, local: A, port: u16) -> bool;
    /// Whether it is at this address and this port is one of its ports.
    fn covers(&self, local: A, port: u16) -> bool;
    /// What the entry says, whatever the address.
    fn service(&self) -> Service;
    /// Writes the entry, in a table that is not in use.
    fn store(&self, local: A, ports: PortRange, service: Service);
    /// Empties the entry, in a table that is not in use.
    fn clear(&self);
}

/// A listener at an IPv4 address.
#[derive(Debug, Default)]
#[repr(C, align(16))]
pub struct ListenerV4 {
    /// Address in the lower half, ports in the upper.
    place: Word,
    service: Word,
}

impl ListenerV4 {
    #[inline(always)]
    fn place(local: V4, ports: PortRange) -> u64 {
        u64::from(ports.to_bits()) << 32 | u64::from(local.0)
    }
}

impl ListenerEntry<V4> for ListenerV4 {
    #[inline(always)]
    fn is_at(&self, local: V4, port: u16) -> bool {
        self.place.load() == Self::place(local, PortRange::one(port))
    }

    #[inline(always)]
    fn covers(&self, local: V4, port: u16) -> bool {
        let place = self.place.load();
        u32_at(place, 0) == local.0 && PortRange::from_bits(u32_at(place, 32)).contains(port)
    }

    #[inline(always)]
    fn service(&self) -> Service {
        Service(self.service.load())
    }

    fn store(&self, local: V4, ports: PortRange, service: Service) {
        self.place.store(Self::place(local, ports));
        self.service.store(service.0);
    }

    fn clear(&self) {
        self.place.store(0);
        self.service.store(0);
    }
}

/// A listener at an IPv6 address.
#[derive(Debug, Default)]
#[repr(C, align(32))]
pub struct ListenerV6 {
    address: [Word; 2],
    ports: Word,
    service: Word,
}

impl ListenerV6 {
    #[inline(always)]
    fn has_address(&self, local: V6) -> bool {
        let [high, low] = &self.address;
        // Addresses of one network differ in their lower half.
        low.load() == local.0[1] && high.load() == local.0[0]
    }
}

impl ListenerEntry<V6> for ListenerV6 {
    #[inline(always)]
    fn is_at(&self, local: V6, port: u16) -> bool {
        self.has_address(local) && self.ports.load() == u64::from(PortRange::one(port).to_bits())
    }

    #[inline(always)]
    fn covers(&self, local: V6, port: u16) -> bool {
        self.has_address(local) && PortRange::from_bits(u32_at(self.ports.load(), 0)).contains(port)
    }

    #[inline(always)]
    fn service(&self) -> Service {
        Service(self.service.load())
    }

    fn store(&self, local: V6, ports: PortRange, service: Service) {
        for (word, half) in self.address.iter().zip(local.0) {
            word.store(half);
        }
        self.ports.store(ports.to_bits().into());
        self.service.store(service.0);
    }

    fn clear(&self) {
        self.address.iter().chain([&self.ports, &self.service]).for_each(|word| word.store(0));
    }
}

/// Entries that are looked through together.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct ListenerLine<E> {
    entries: [E; 4],
}

impl<E> ListenerLine<E> {
    /// The first that fits, and has this protocol.
    #[inline(always)]
    fn find<A>(&self, protocol: u8, fits: impl Fn(&E) -> bool) -> Option<Service>
    where
        E: ListenerEntry<A>,
    {
        let of_protocol = |service: &Service| service.has_protocol(protocol);
        self.entries.iter().find_map(|entry| fits(entry).then(|| entry.service()).filter(of_protocol))
    }

    /// Adds an entry to the line, which must not be in use; `None` if it is full. The first that fits a packet
    /// decides.
    fn add<A: Address<Listener = E>>(&self, local: A, ports: PortRange, service: Service) -> Option<()>
    where
        E: ListenerEntry<A>,
    {
        let free = self.entries.iter().find(|entry| entry.service().protocol().is_none())?;
        free.store(local, ports, service);
        Some(())
    }

    /// Empties the line, which must not be in use.
    fn clear<A>(&self)
    where
        E: ListenerEntry<A>,
    {
        self.entries.iter().for_each(E::clear);
    }
}

const _: () = assert!(size_of::<ListenerLine<ListenerV4>>() == 64);
const _: () = assert!(size_of::<ListenerLine<ListenerV6>>() == 128);

/// A listener of a table that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<A> {
    /// Its address.
    pub local: A,
    /// Its ports.
    pub ports: PortRange,
    /// What it says of its packets.
    pub service: Service,
}

/// A line would have to hold more than four listeners: try another multiplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineFull;

/// Writes the one of two tables that `control` names, which must not be in use. `lines` has both, in turns, each of a
/// power of two of lines, two at least. Listeners with one port have to come first.
pub fn write_table<A: Address>(
    lines: &[ListenerLine<A::Listener>],
    control: ListenerControl,
    listeners: &[Listed<A>],
) -> Result<(), LineFull> {
    let shift = u64::BITS - lines.len().trailing_zeros();
    lines.iter().skip(control.half() as usize).step_by(2).for_each(ListenerLine::clear::<A>);
    listeners.iter().try_for_each(|&Listed { local, ports, service }| {
        let number = service.protocol().map_or(0, |protocol| protocol as u8);
        let line = control.line(key(local, ports.placed(), number), shift);
        lines.get(line as usize).and_then(|line| line.add(local, ports, service)).ok_or(LineFull)
    })
}

#[inline(always)]
fn key<A: Address>(local: A, port: u16, protocol: u8) -> u64 {
    u64::from(local.folded()) << 24 | u64::from(port) << 8 | u64::from(protocol)
}

/// The listener to which packets with this address, port and protocol are sent.
#[inline(always)]
pub(crate) fn find<A: Address, T: Tables>(
    tables: &T,
    local: A,
    ports: Ports,
    protocol: u8,
) -> Option<Service> {
    let control = tables.control()?.listeners(A::FAMILY);
    let shift = tables.config().listener_shift;
    let at = |placed| control.line(key(local, placed, protocol), shift);
    let port = ports.local();
    let one = A::listeners(tables, at(port))?.find(protocol, |entry| entry.is_at(local, port));
    if one.is_some() || !control.has_ranges() {
        return one;
    }
    core::hint::cold_path();
    A::listeners(tables, at(0))?.find(protocol, |entry| entry.covers(local, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_has_its_ends() {
        let range = PortRange::new(1000, 2000).unwrap();
        assert!([1000, 1500, 2000].iter().all(|&port| range.contains(port)));
        assert!([0, 999, 2001, 65535].iter().all(|&port| !range.contains(port)));
        assert_eq!(PortRange::new(2, 1), None);
        assert!((0..=u16::MAX).all(|port| PortRange::new(0, u16::MAX).unwrap().contains(port)));
        assert_eq!(PortRange::from_bits(range.to_bits()), range);
    }

    proptest! {
        #[test]
        fn a_word_keeps_a_service(id in 1u16.., pool: u16, idle: u16) {
            let service = Service::new(ListenerId(id), PoolId(pool), Protocol::Udp, idle);
            prop_assert_eq!(service.listener(), ListenerId(id));
            prop_assert_eq!(service.pool(), PoolId(pool));
            prop_assert_eq!(service.idle(), idle);
            prop_assert_eq!(service.protocol(), Some(Protocol::Udp));
        }

        /// Also where a line has several that fit but for one field.
        #[test]
        fn a_line_finds_what_was_added_and_nothing_else(address: u32, other: u32, port in 1u16..65535) {
            let line = ListenerLine::<ListenerV4>::default();
            let service = |id, protocol| Service::new(ListenerId(id), PoolId(1), protocol, 1);
            line.add(V4(address), PortRange::one(port), service(1, Protocol::Tcp)).unwrap();
            line.add(V4(address), PortRange::one(port), service(2, Protocol::Udp)).unwrap();
            line.add(V4(address), PortRange::new(1, u16::MAX).unwrap(), service(3, Protocol::Tcp)).unwrap();
            let found = |address, port, protocol| {
                let exactly = line.find(protocol, |entry: &ListenerV4| entry.is_at(V4(address), port));
                let covering = line.find(protocol, |entry: &ListenerV4| entry.covers(V4(address), port));
                [exactly, covering].map(|service| service.map(|service| service.listener().0))
            };
            prop_assert_eq!(found(address, port, 6), [Some(1), Some(1)]);
            prop_assert_eq!(found(address, port + 1, 6), [None, Some(3)]);
            prop_assert_eq!(found(address, port, 17), [Some(2), Some(2)]);
            prop_assert_eq!(found(address, port, 1), [None; 2]);
            prop_assert_eq!(found(address, port ^ 1, 17), [None; 2]);
            if other != address {
                prop_assert_eq!(found(other, port, 6), [None; 2]);
            }
            line.add(V4(other), PortRange::one(port), service(4, Protocol::Udp)).unwrap();
            prop_assert_eq!(line.add(V4(other), PortRange::one(port), service(5, Protocol::Tcp)), None);
        }
    }
}
