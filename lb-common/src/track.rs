//! Keeps flows at their backends: a known flow's packets go where its first one went.

use crate::flow::{Entry, Line, Lost, Rank, Seen, State, neighbour};
use crate::parse::{Datagram, TcpFlags};
use crate::verdict::Exit;
use crate::{
    Address, BackendEntry, BackendIndex, DropReason, FlowEvent, Hop, Protocol, Service, Tables, Tick, pool,
};

/// Deadlines are written again only when they move by this much: packets of a busy flow share its line without
/// writing.
const GRAIN: u16 = 4;

/// Where a packet goes.
pub(crate) struct Destination<'t> {
    pub(crate) index: BackendIndex,
    pub(crate) backend: &'t BackendEntry,
    pub(crate) hop: Hop,
    /// Whether the packet has put its flow into the table.
    pub(crate) is_new: bool,
}

/// The backend of a packet's flow; if that is unknown, the one that the pool gives to it, which is remembered.
#[inline(always)]
pub(crate) fn track<'t, A: Address, T: Tables>(
    tables: &'t T,
    datagram: &Datagram<A>,
    service: Service,
) -> Result<Destination<'t>, Exit> {
    let (config, tuple, flags) = (tables.config(), &datagram.tuple, datagram.flags);
    let timeouts = || config.timeouts(tuple.protocol);
    let now = Tick::of_jiffies(tables.jiffies(), config.tick_shift);
    let key = A::flow_key(&config.key_secret, tuple);
    let look = Look::find::<A, _>(tables, datagram, key, service)?;
    let known = look.seen.entry;
    if known.has_flow()
        && !known.deadline().is_over(now)
        && !(known.state() == State::CLOSING && flags.open())
        && let Some(backend) = tables.backend(known.backend())
        && let Some(hop) = backend.hop()
        && hop.generation() == known.generation()
    {
        let state = next(known.state(), flags);
        let deadline = now.after(timeouts().after(known.state(), state, service.idle()));
        advance(look.seen, state, deadline);
        return Ok(Destination { index: known.backend(), backend, hop, is_new: false });
    }
    tables.count_flow(FlowEvent::Missed);
    let index = pool::select(tables, service.pool(), tuple).ok_or(DropReason::NoBackend)?;
    let backend = tables.backend(index).ok_or(DropReason::Inconsistent)?;
    let hop = backend.hop().ok_or(DropReason::Inconsistent)?;
    // A TCP flow that began elsewhere (before a restart, at another instance) goes where all instances send it.
    let is_new = if tuple.protocol == Protocol::Udp as u8 || flags.open() {
        let deadline = now.after(timeouts().new);
        let entry = Entry::new(service.listener(), index, hop.generation(), State::NEW, deadline);
        look.insert(tables, now, key, entry)
    } else {
        false
    };
    Ok(Destination { index, backend, hop, is_new })
}

/// What a look-up of a flow found.
struct Look<'a> {
    /// The flow, if its entry has one.
    seen: Seen<'a>,
    home: &'a Line,
    /// Where the flow may be too: only if it is not at home, and that is full. `home` again if not.
    other: &'a Line,
}

impl<'a> Look<'a> {
    #[inline(always)]
    fn find<A: Address, T: Tables>(
        tables: &'a T,
        datagram: &Datagram<A>,
        key: u64,
        service: Service,
    ) -> Result<Self, Exit> {
        let config = tables.config();
        let line = config.flow_line(A::FAMILY, A::line_hash(&config.line_secret, &datagram.tuple));
        let home = tables.flows(A::FAMILY, line).ok_or(DropReason::Inconsistent)?;
        let seen = home.find(key, service.listener(), config.load_order);
        if seen.entry.has_flow() || !home.overflows() {
            return Ok(Self { seen, home, other: home });
        }
        core::hint::cold_path();
        let other = tables.flows(A::FAMILY, neighbour(line)).ok_or(DropReason::Inconsistent)?;
        let seen = other.find(key, service.listener(), config.load_order);
        if seen.entry.has_flow() {
            tables.count_flow(FlowEvent::FoundInNeighbour);
        }
        Ok(Self { seen, home, other })
    }

    /// Puts the flow into its own way if it has one, or into the one that is given up most readily. Returns
    /// whether it was put.
    #[inline(always)]
    fn insert<T: Tables>(&self, tables: &T, now: Tick, key: u64, entry: Entry) -> bool {
        let (place, rank) =
            if self.seen.entry.has_flow() { (self.seen, Rank::EMPTY) } else { self.readiest(now) };
        let replaced = match rank {
            Rank::EMPTY => FlowEvent::Inserted,
            Rank::CLOSING => FlowEvent::ReplacedClosing,
            Rank::NEW => FlowEvent::ReplacedNew,
            _ => {
                tables.count_flow(FlowEvent::NoRoom);
                return false;
            }
        };
        match place.insert(key, entry) {
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
    fn readiest(&self, now: Tick) -> (Seen<'a>, Rank) {
        let (home, readiness) = self.home.readiest(now);
        if readiness.rank() == Rank::EMPTY {
            return (home, Rank::EMPTY);
        }
        let (other, otherwise) = self.other.readiest(now);
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

/// Writes down that the flow had a packet, if that changes anything worth a write.
#[inline(always)]
fn advance(seen: Seen<'_>, state: State, deadline: Tick) {
    let moved = deadline.0.wrapping_sub(seen.entry.deadline().0);
    if state != seen.entry.state() || moved >= GRAIN {
        core::hint::cold_path();
        // Whoever was faster has written the same or taken the way.
        let _: Result<(), Lost> = seen.advance(seen.entry.moved_to(state, deadline));
    }
}
