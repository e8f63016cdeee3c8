//! Keeps flows at their backends: a known flow's packets go where its first one went.

use crate::flow::{Entry, Line, Lost, Rank, Seen, State, neighbour};
use crate::parse::{Datagram, TcpFlags};
use crate::{
    Address, BackendEntry, BackendIndex, DropReason, FlowEvent, Hop, Protocol, Service, Tables, Tick, Tuple,
    pool,
};

/// The deadline of a confirmed flow is written again only when it moves by this much: CPUs that see packets of a busy
/// flow share its line without writing.
const GRAIN: u16 = 4;

/// Where a packet goes.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'t> {
    pub(crate) index: BackendIndex,
    pub(crate) backend: &'t BackendEntry,
    pub(crate) hop: Hop,
}

/// A look into the flow table.
pub(crate) struct Look<'a> {
    now: Tick,
    key: u64,
    /// The line in which the flow belongs.
    place: u32,
    home: &'a Line,
    /// The flow, if its entry has one.
    seen: Seen<'a>,
}

impl<'a> Look<'a> {
    /// Looks for the flow of a packet where it belongs.
    #[inline(always)]
    pub(crate) fn up<A: Address, T: Tables>(
        tables: &'a T,
        tuple: &Tuple<A>,
        service: Service,
    ) -> Result<Self, DropReason> {
        let config = tables.config();
        let now = Tick::of_jiffies(tables.jiffies(), config.tick_shift);
        let key = A::flow_key(&config.key_secret, tuple);
        let place = config.flow_line(A::FAMILY, A::line_hash(&config.line_secret, tuple));
        let home = tables.flows(A::FAMILY, place).ok_or(DropReason::Inconsistent)?;
        let seen = home.find(key, service.listener(), config.load_order);
        Ok(Self { now, key, place, home, seen })
    }

    /// Where the flow was given to, if it is known and is to go on there; the packet is written down.
    #[inline(always)]
    pub(crate) fn known<A, T: Tables>(
        &self,
        tables: &'a T,
        datagram: &Datagram<A>,
        service: Service,
    ) -> Option<Destination<'a>> {
        let (known, flags) = (self.seen.entry, datagram.flags);
        if !known.has_flow() || known.deadline().is_over(self.now) {
            return None;
        }
        let backend = tables.backend(known.backend())?;
        let hop = backend.hop_in(known.generation())?;
        if known.state() == State::CONFIRMED && !flags.close() {
            let deadline = self.now.after(service.idle());
            if deadline.0.wrapping_sub(known.deadline().0) >= GRAIN {
                core::hint::cold_path();
                advance(self.seen, State::CONFIRMED, deadline);
            }
        } else {
            core::hint::cold_path();
            if known.state() == State::CLOSING && flags.open() {
                return None;
            }
            let state = next(known.state(), flags);
            let timeouts = tables.config().timeouts(datagram.tuple.protocol);
            let deadline = self.now.after(timeouts.after(known.state(), state, service.idle()));
            advance(self.seen, state, deadline);
        }
        Some(Destination { index: known.backend(), backend, hop })
    }

    /// Where a flow goes that is not known at home, and whether it was put into the table.
    #[inline(always)]
    pub(crate) fn unknown<A: Address, T: Tables>(
        self,
        tables: &'a T,
        datagram: &Datagram<A>,
        service: Service,
    ) -> Result<(Destination<'a>, bool), DropReason> {
        let mut other = self.home;
        let mut look = self;
        if !look.seen.entry.has_flow() && look.home.overflows() {
            other = tables.flows(A::FAMILY, neighbour(look.place)).ok_or(DropReason::Inconsistent)?;
            look.seen = other.find(look.key, service.listener(), tables.config().load_order);
            if look.seen.entry.has_flow() {
                tables.count_flow(FlowEvent::FoundInNeighbour);
                if let Some(destination) = look.known(tables, datagram, service) {
                    return Ok((destination, false));
                }
            }
        }
        let tuple = &datagram.tuple;
        tables.count_flow(FlowEvent::Missed);
        let index = pool::select(tables, service.pool(), tuple).ok_or(DropReason::NoBackend)?;
        let backend = tables.backend(index).ok_or(DropReason::Inconsistent)?;
        let hop = backend.hop().ok_or(DropReason::Inconsistent)?;
        // A TCP flow that began elsewhere (before a restart, at another instance) goes where all instances send it.
        let is_new = if tuple.protocol == Protocol::Udp as u8 || datagram.flags.open() {
            let deadline = look.now.after(tables.config().timeouts(tuple.protocol).new);
            let entry = Entry::new(service.listener(), index, hop.generation(), State::NEW, deadline);
            look.insert(tables, other, entry)
        } else {
            false
        };
        Ok((Destination { index, backend, hop }, is_new))
    }

    /// Puts the flow into its own way if it has one, or into the one, at home or in the `other` line, that is given up
    /// most readily. Returns whether it was put.
    #[inline(always)]
    fn insert<T: Tables>(&self, tables: &T, other: &Line, entry: Entry) -> bool {
        let (place, rank) =
            if self.seen.entry.has_flow() { (self.seen, Rank::EMPTY) } else { self.readiest(other) };
        let replaced = match rank {
            Rank::EMPTY => FlowEvent::Inserted,
            Rank::CLOSING => FlowEvent::ReplacedClosing,
            Rank::NEW => FlowEvent::ReplacedNew,
            _ => {
                tables.count_flow(FlowEvent::NoRoom);
                return false;
            }
        };
        match place.insert(self.key, entry) {
            Ok(()) => {
                tables.count_flow(replaced);
                true
            }
            Err(Lost) => {
                tables.count_flow(FlowEvent::LostRace);
                false
            }
        }
    }

    /// The way that is given up most readily; at home if it is empty there.
    #[inline(always)]
    fn readiest<'b>(&'b self, other: &'b Line) -> (Seen<'b>, Rank) {
        let (home, readiness) = self.home.readiest(self.now);
        if readiness.rank() == Rank::EMPTY {
            return (home, Rank::EMPTY);
        }
        let (other, otherwise) = other.readiest(self.now);
        if otherwise > readiness { (other, otherwise.rank()) } else { (home, readiness.rank()) }
    }
}

/// The state of a flow after a packet.
#[inline(always)]
fn next(state: State, flags: TcpFlags) -> State {
    if flags.close() {
        State::CLOSING
    } else if state == State::NEW && !flags.open() {
        State::CONFIRMED
    } else {
        state
    }
}

/// Writes down that the flow had a packet.
#[inline(always)]
fn advance(seen: Seen<'_>, state: State, deadline: Tick) {
    // Whoever was faster has written the same or taken the way.
    let _: Result<(), Lost> = seen.advance(seen.entry.moved_to(state, deadline));
}
