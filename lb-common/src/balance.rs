//! The way of a packet through the balancer.

use crate::encapsulate::encapsulate;
use crate::flow;
use crate::header::{ETHERNET, TAG, ethertype};
use crate::listener::{self, ListenerLine};
use crate::parse::{Datagram, Odd, Parse};
use crate::track::{Destination, Look};
use crate::verdict::Exit;
use crate::{
    Address, BackendEntry, BackendIndex, Config, Control, Counter, DropReason, Family, FlowEvent, ListenerId,
    ListenerV4, ListenerV6, Packet, PassReason, PoolEntry, PoolId, RingLine, Service, V4, V6, Verdict,
};

/// What the balancer reads and writes beside the packet. Everything but the configuration is shared with
/// userspace and with other CPUs; `None` is for an index beyond the table.
pub trait Tables {
    /// What is fixed since the program was loaded.
    fn config(&self) -> &Config;
    /// The kernel's clock, in jiffies.
    fn jiffies(&self) -> u64;
    /// Where the listeners are.
    fn control(&self) -> Option<&Control>;
    /// A line of the listeners at IPv4 addresses.
    fn listeners_v4(&self, line: u32) -> Option<&ListenerLine<ListenerV4>>;
    /// A line of the listeners at IPv6 addresses.
    fn listeners_v6(&self, line: u32) -> Option<&ListenerLine<ListenerV6>>;
    /// A pool.
    fn pool(&self, id: PoolId) -> Option<&PoolEntry>;
    /// A line of the rings of all pools.
    fn ring(&self, line: u32) -> Option<&RingLine>;
    /// A backend.
    fn backend(&self, index: BackendIndex) -> Option<&BackendEntry>;
    /// A line of the flow table of this family.
    fn flows(&self, family: Family, line: u32) -> Option<&flow::Line>;
    /// What this CPU counts for a listener.
    fn listener_counter(&self, id: ListenerId) -> Option<&Counter>;
    /// What this CPU counts for a backend.
    fn backend_counter(&self, index: BackendIndex) -> Option<&Counter>;
    /// Counts a packet that passes.
    fn count_pass(&self, reason: PassReason);
    /// Counts a packet that is dropped.
    fn count_drop(&self, reason: DropReason);
    /// Counts an event of the flow table.
    fn count_flow(&self, event: FlowEvent);
}

/// Decides on a packet, and where it is for a listener, makes it what is to be sent. What passes is untouched.
#[inline(always)]
pub fn balance<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    match forward_frame(packet, tables) {
        Ok(verdict) => verdict,
        Err(Exit::Pass(reason)) => {
            tables.count_pass(reason);
            Verdict::Pass(reason)
        }
        Err(Exit::Drop(reason)) => {
            tables.count_drop(reason);
            Verdict::Drop(reason)
        }
    }
}

/// Where the IP header is behind one VLAN tag.
const TAGGED: usize = ETHERNET + TAG;
/// Where it is behind two.
const DOUBLE_TAGGED: usize = TAGGED + TAG;

#[inline(always)]
fn forward_frame<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Verdict, Exit> {
    let kind = |packet: &P, ip: usize| {
        packet.window::<2>(ip - 2).map(|window| window.get::<u16, 0>()).ok_or(PassReason::NotIp)
    };
    match kind(packet, ETHERNET)? {
        ethertype::IPV4 => forward::<V4, _, _, ETHERNET>(packet, tables),
        ethertype::IPV6 => forward::<V6, _, _, ETHERNET>(packet, tables),
        ethertype::VLAN | ethertype::SERVICE_VLAN => match kind(packet, TAGGED)? {
            ethertype::IPV4 => forward::<V4, _, _, TAGGED>(packet, tables),
            ethertype::IPV6 => forward::<V6, _, _, TAGGED>(packet, tables),
            ethertype::VLAN => match kind(packet, DOUBLE_TAGGED)? {
                ethertype::IPV4 => forward::<V4, _, _, DOUBLE_TAGGED>(packet, tables),
                ethertype::IPV6 => forward::<V6, _, _, DOUBLE_TAGGED>(packet, tables),
                _ => Err(PassReason::NotIp.into()),
            },
            _ => Err(PassReason::NotIp.into()),
        },
        _ => Err(PassReason::NotIp.into()),
    }
}

/// Forwards an IP packet whose header is at `IP`.
#[inline(always)]
fn forward<A: Parse, P: Packet, T: Tables, const IP: usize>(
    packet: &mut P,
    tables: &T,
) -> Result<Verdict, Exit> {
    if let Some(datagram) = A::plain(packet, IP) {
        return forward_datagram::<_, _, _, IP>(packet, tables, &datagram);
    }
    core::hint::cold_path();
    match A::odd(packet, IP)? {
        Odd::Fit(datagram) => forward_datagram::<_, _, _, IP>(packet, tables, &datagram),
        Odd::Unfit { local, ports, protocol, reason } => {
            listener::find(tables, local, ports, protocol).ok_or(PassReason::NoListener)?;
            Err(reason.into())
        }
    }
}

/// Forwards what was read of the packet whose IP header is at `IP`.
///
/// It is inlined wherever it is called, as is [`send`]: where two ways of a packet meet, all that both have to say is
/// carried over the stack, since BPF has few registers.
#[inline(always)]
fn forward_datagram<A: Address, P: Packet, T: Tables, const IP: usize>(
    packet: &mut P,
    tables: &T,
    datagram: &Datagram<A>,
) -> Result<Verdict, Exit> {
    let tuple = &datagram.tuple;
    let service =
        listener::find(tables, tuple.local, tuple.ports, tuple.protocol).ok_or(PassReason::NoListener)?;
    let look = Look::up(tables, tuple, service)?;
    if let Some(destination) = look.known(tables, datagram, service) {
        return send::<_, _, _, IP>(packet, tables, datagram, service, destination);
    }
    core::hint::cold_path();
    let (destination, is_new) = look.unknown(tables, datagram, service)?;
    let verdict = send::<_, _, _, IP>(packet, tables, datagram, service, destination)?;
    if is_new {
        counters(tables, service, destination).for_each(|counter| counter.flows.add_own(1));
    }
    Ok(verdict)
}

/// Sends the packet to its backend, and counts it.
#[inline(always)]
fn send<A: Address, P: Packet, T: Tables, const IP: usize>(
    packet: &mut P,
    tables: &T,
    datagram: &Datagram<A>,
    service: Service,
    destination: Destination<'_>,
) -> Result<Verdict, Exit> {
    let verdict = encapsulate::<_, _, IP>(packet, datagram, destination.backend, destination.hop)?;
    counters(tables, service, destination).for_each(|counter| counter.packet(datagram.length));
    Ok(verdict)
}

/// Those of the listener and of the backend.
#[inline(always)]
fn counters<'t, T: Tables>(
    tables: &'t T,
    service: Service,
    destination: Destination<'_>,
) -> impl Iterator<Item = &'t Counter> {
    [tables.listener_counter(service.listener()), tables.backend_counter(destination.index)]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests;
