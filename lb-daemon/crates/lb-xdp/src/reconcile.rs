//! Makes the maps say what is desired, whatever they say now: numbers for names, what differs, and its writing.
//!
//! Packets go on meanwhile, so the order matters: backends before rings that name them, rings before listeners
//! that use their pool. What is in use is never written: rings and listener tables have a spare half, and a half
//! that was left rests for [`GRACE`], until the last program that may look at it has ended.

mod report;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use lb_common::flow::Entry;
use lb_common::{
    Address, Backend, BackendEntry, BackendIndex, Choice, Control, Family, Half, Hop, Listed,
    ListenerControl, ListenerId, ListenerLine, Pool, PoolId, RingLine, Service, Tick, V4, V6,
};

use crate::accounts::Accounts;
use crate::capacity::Capacity;
use crate::check::{ReconcileError, check};
use crate::counters::{Counters, CountersError};
use crate::desired::{Desired, DesiredBackend, DesiredListener, DesiredPool, Standing};
use crate::memory::Memory;
use crate::numbers::Numbers;
use crate::sweep::{Fill, Swept, sweep};
use crate::target::{Target, TargetBackend, TargetPool, write_listeners};

/// Much longer than a program runs.
pub const GRACE: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The maps say what is desired.
    Applied,
    /// What has to be written was in use a moment ago. Nothing was written; try again then.
    NotBefore(Instant),
}

/// Knows what the maps say and makes them say something else. There must be one for a program's maps, and from
/// their start.
#[derive(Debug)]
pub struct Reconciler {
    capacity: Capacity,
    listeners: Numbers<ListenerKey>,
    pools: Numbers<String>,
    backends: Numbers<BackendKey>,
    /// What was counted for listeners, by name.
    listener_accounts: Accounts<String>,
    backend_accounts: Accounts<BackendName>,
    /// By backend index, whoever has it.
    lives: Vec<Life>,
    /// What the maps say.
    applied: Target,
    /// When a half was in use last that is spare now.
    left: HashMap<Halves, Instant>,
    /// What is to be done once no program looks at what was.
    later: Vec<(Instant, Later)>,
    /// The flow tables, IPv4 and IPv6.
    swept: [Swept; 2],
}

/// What a listener's number stands for: one address and protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ListenerKey {
    name: String,
    address: IpAddr,
    protocol: u8,
}

/// What a backend's index stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct BackendKey {
    name: BackendName,
    source: IpAddr,
    destination: IpAddr,
}

/// A backend of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct BackendName {
    pool: String,
    name: String,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    generation: NonZeroU8,
    standing: Standing,
}

impl Life {
    /// The next generation; after the last the first again.
    fn following(self) -> NonZeroU8 {
        self.generation.checked_add(1).unwrap_or(NonZeroU8::MIN)
    }
}

/// What has two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Halves {
    Ring(PoolId),
    Listeners(u8),
}

/// What is done after [`GRACE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Later {
    /// A program that had read the old ring may have given a flow to a dead backend: let it choose again.
    NextLife(BackendIndex),
    /// The backend is no more.
    Clear(BackendIndex),
}

impl Reconciler {
    /// For maps that are empty.
    pub fn new(capacity: &Capacity) -> Self {
        Self {
            capacity: *capacity,
            // 0 is for ways without a flow.
            listeners: Numbers::new(1, capacity.listeners),
            pools: Numbers::new(0, capacity.pools),
            backends: Numbers::new(0, capacity.backends),
            listener_accounts: Accounts::default(),
            backend_accounts: Accounts::default(),
            lives: vec![
                Life { generation: NonZeroU8::MIN, standing: Standing::Dead };
                capacity.backends.into()
            ],
            applied: Target::default(),
            left: HashMap::new(),
            later: Vec::new(),
            swept: [Swept::default(); 2],
        }
    }

    /// Makes the maps say what is desired.
    pub fn reconcile(
        &mut self,
        memory: Memory<'_>,
        desired: &Desired,
        now: Instant,
    ) -> Result<Outcome, ReconcileError> {
        self.tend(memory, now);
        check(desired)?;
        let keys = Keys::of(desired);
        self.check_room(&keys)?;
        let target = self.target(desired);
        if let Some(then) = self.resting(&target, now) {
            return Ok(Outcome::NotBefore(then));
        }
        // The last that can fail: it is not in use yet.
        let control = memory.control;
        let v4 = Self::write_table::<V4>(
            memory.listeners_v4,
            control,
            &target.listeners_v4,
            &self.applied.listeners_v4,
        )?;
        let v6 = Self::write_table::<V6>(
            memory.listeners_v6,
            control,
            &target.listeners_v6,
            &self.applied.listeners_v6,
        )?;
        self.write_backends(memory, &target);
        self.write_rings(memory, &target, now);
        self.switch_listeners(control, Family::V4, v4, now);
        self.switch_listeners(control, Family::V6, v6, now);
        self.begin_deaths(memory, &target, now);
        self.forget(memory, &keys, now);
        self.assign_accounts();
        self.applied = target;
        Ok(Outcome::Applied)
    }

    /// Does what had to wait; to be called every second or so.
    pub fn tend(&mut self, memory: Memory<'_>, now: Instant) {
        let due: Vec<Later> =
            self.later.extract_if(.., |(then, _)| *then <= now).map(|(_, act)| act).collect();
        for act in due {
            match act {
                Later::NextLife(index) => self.next_life(memory, index),
                Later::Clear(index) => {
                    if let Some(entry) = memory.backends.get(usize::from(index.0)) {
                        entry.clear();
                    }
                    // Programs that have read it before count under the number for a moment yet.
                    self.backends.rest_from(index.0, now);
                }
            }
        }
    }

    /// Goes through both flow tables once, IPv4 and IPv6. After that, numbers may be used again that no flow
    /// refers to any more. If what was counted under them cannot be read, they go on resting until the next sweep.
    pub fn sweep(
        &mut self,
        memory: Memory<'_>,
        counters: &dyn Counters,
        tick: Tick,
        now: Instant,
    ) -> Result<[Fill; 2], CountersError> {
        self.tend(memory, now);
        let listeners: HashSet<u16> = self.listeners.used().map(|(_, number)| number).collect();
        let current = |entry: Entry| {
            let backend = memory.backends.get(usize::from(entry.backend().0));
            let generation = backend.and_then(BackendEntry::hop).map(Hop::generation);
            generation == Some(entry.generation()) && listeners.contains(&entry.listener().0)
        };
        let fills = [Family::V4, Family::V6].map(|family| sweep(memory.flows(family), tick, current));
        for (swept, fill) in self.swept.iter_mut().zip(fills) {
            swept.add(fill);
        }
        if let Some(then) = now.checked_sub(GRACE) {
            self.wake(counters, then)?;
        }
        Ok(fills)
    }
}

/// Everything that has a number.
struct Keys {
    listeners: HashSet<ListenerKey>,
    pools: HashSet<String>,
    backends: HashSet<BackendKey>,
}

impl Keys {
    fn of(desired: &Desired) -> Self {
        let backends = desired
            .pools
            .iter()
            .flat_map(|pool| pool.backends.iter().map(|backend| BackendKey::of(pool, backend)));
        Self {
            listeners: desired.listeners.iter().map(ListenerKey::of).collect(),
            pools: desired.pools.iter().map(|pool| pool.name.clone()).collect(),
            backends: backends.collect(),
        }
    }
}

impl ListenerKey {
    fn of(listener: &DesiredListener) -> Self {
        let DesiredListener { name, address, protocol, .. } = listener;
        Self { name: name.clone(), address: *address, protocol: *protocol as u8 }
    }
}

impl BackendKey {
    fn of(pool: &DesiredPool, backend: &DesiredBackend) -> Self {
        let (source, destination) = (backend.route.source, backend.route.destination);
        let name = BackendName { pool: pool.name.clone(), name: backend.name.clone() };
        Self { name, source, destination }
    }
}

impl Reconciler {
    fn check_room(&self, keys: &Keys) -> Result<(), ReconcileError> {
        for (what, wanted, left) in [
            ("listeners", self.listeners.missing(&keys.listeners), self.listeners.left()),
            ("pools", self.pools.missing(&keys.pools), self.pools.left()),
            ("backends", self.backends.missing(&keys.backends), self.backends.left()),
        ] {
            if wanted > left {
                return Err(ReconcileError::NoRoom { what, wanted, left });
            }
        }
        Ok(())
    }

    /// Numbers what is desired; there is room for it.
    fn target(&mut self, desired: &Desired) -> Target {
        let mut target = Target::default();
        for pool in &desired.pools {
            let backends: Vec<_> =
                pool.backends.iter().filter_map(|backend| self.number_backend(pool, backend)).collect();
            let slot =
                |place: &lb_balance::BackendIndex| backends.get(place.index()).map(|backend| backend.index);
            let ring: Vec<_> = pool.slots.iter().filter_map(slot).collect();
            let choice = if ring.is_empty() { Choice::None } else { pool.choice };
            let id = self.pools.of(&pool.name).map(PoolId);
            target.pools.extend(id.map(|id| TargetPool { id, seed: desired.seed, choice, ring }));
            target.backends.extend(backends);
        }
        for listener in &desired.listeners {
            let Some(service) = self.number_listener(listener) else { continue };
            let ports = listener.ports;
            match listener.address {
                IpAddr::V4(address) => {
                    target.listeners_v4.push(Listed { local: address.into(), ports, service })
                }
                IpAddr::V6(address) => {
                    target.listeners_v6.push(Listed { local: address.into(), ports, service })
                }
            }
        }
        target
    }

    fn number_backend(&mut self, pool: &DesiredPool, backend: &DesiredBackend) -> Option<TargetBackend> {
        let index = BackendIndex(self.backends.of(&BackendKey::of(pool, backend))?);
        Some(TargetBackend { index, standing: backend.standing, route: backend.route })
    }

    fn number_listener(&mut self, listener: &DesiredListener) -> Option<Service> {
        let id = ListenerId(self.listeners.of(&ListenerKey::of(listener))?);
        let pool = PoolId(self.pools.of(&listener.pool)?);
        Some(Service::new(id, pool, listener.protocol, listener.idle))
    }

    /// Until when halves must not be written that `target` wants to write; `None` if they may be.
    fn resting(&self, target: &Target, now: Instant) -> Option<Instant> {
        let rings =
            target.pools.iter().filter(|pool| self.ring_differs(pool)).map(|pool| Halves::Ring(pool.id));
        let v4 = target.listeners_v4 != self.applied.listeners_v4;
        let v6 = target.listeners_v6 != self.applied.listeners_v6;
        let tables = [(v4, Family::V4), (v6, Family::V6)].into_iter();
        let tables =
            tables.filter(|(differs, _)| *differs).map(|(_, family)| Halves::Listeners(family as u8));
        let left = rings.chain(tables).filter_map(|halves| self.left.get(&halves));
        left.map(|left| *left + GRACE).filter(|then| *then > now).max()
    }

    fn ring_differs(&self, pool: &TargetPool) -> bool {
        !pool.ring.is_empty() && self.applied.pool(pool.id).is_none_or(|applied| applied.ring != pool.ring)
    }

    /// Writes the spare half of a table of listeners if it has to change; returns how to find it.
    fn write_table<A: Address>(
        lines: &[ListenerLine<A::Listener>],
        control: &Control,
        listeners: &[Listed<A>],
        applied: &[Listed<A>],
    ) -> Result<Option<ListenerControl>, ReconcileError> {
        if listeners == applied {
            return Ok(None);
        }
        let half = control.listeners(A::FAMILY).half().other();
        write_listeners(lines, half, listeners).map(Some)
    }

    fn switch_listeners(
        &mut self,
        control: &Control,
        family: Family,
        table: Option<ListenerControl>,
        now: Instant,
    ) {
        if let Some(table) = table {
            control.set_listeners(family, table);
            self.left.insert(Halves::Listeners(family as u8), now);
        }
    }

    /// Writes backends that are new or have another route.
    fn write_backends(&mut self, memory: Memory<'_>, target: &Target) {
        for backend in &target.backends {
            let number = usize::from(backend.index.0);
            let (Some(entry), Some(life)) = (memory.backends.get(number), self.lives.get_mut(number)) else {
                continue;
            };
            if entry.hop().is_none() {
                // Somebody else had the index, perhaps.
                *life = Life { generation: life.following(), standing: backend.standing };
            }
            let wanted = backend.in_life(life.generation);
            if let Some(wanted) = wanted.filter(|wanted| entry.load().as_ref() != Some(wanted)) {
                entry.store(&wanted);
            }
        }
    }

    fn write_rings(&mut self, memory: Memory<'_>, target: &Target, now: Instant) {
        for pool in &target.pools {
            let Some(entry) = memory.pools.get(usize::from(pool.id.0)) else { continue };
            let mut half = entry.load().half;
            if self.ring_differs(pool) {
                half = half.other();
                write_ring(memory, pool, half);
                self.left.insert(Halves::Ring(pool.id), now);
            }
            let wanted = Pool { seed: pool.seed, choice: pool.choice, half };
            if entry.load() != wanted {
                entry.store(wanted);
            }
        }
    }

    /// Lets flows of backends that have died choose again: at once, and once more when no program knows the old
    /// rings.
    fn begin_deaths(&mut self, memory: Memory<'_>, target: &Target, now: Instant) {
        for backend in &target.backends {
            let Some(life) = self.lives.get_mut(usize::from(backend.index.0)) else { continue };
            let died = life.standing == Standing::Alive && backend.standing == Standing::Dead;
            life.standing = backend.standing;
            if died {
                self.next_life(memory, backend.index);
                self.later.push((now + GRACE, Later::NextLife(backend.index)));
            }
        }
    }

    fn next_life(&mut self, memory: Memory<'_>, index: BackendIndex) {
        let number = usize::from(index.0);
        if let (Some(entry), Some(life)) = (memory.backends.get(number), self.lives.get_mut(number))
            && let Some(backend) = entry.load()
        {
            life.generation = life.following();
            entry.store(&Backend { generation: life.generation, ..backend });
        }
    }

    /// Takes the numbers of what is not desired any more.
    fn forget(&mut self, memory: Memory<'_>, keys: &Keys, now: Instant) {
        self.listeners.keep_only(&keys.listeners, now);
        for id in self.pools.keep_only(&keys.pools, now) {
            if let Some(entry) = memory.pools.get(usize::from(id)) {
                entry.store(Pool { choice: Choice::None, ..entry.load() });
            }
        }
        let gone = self.backends.keep_only(&keys.backends, now);
        self.later.extend(gone.into_iter().map(|index| (now + GRACE, Later::Clear(BackendIndex(index)))));
    }
}

impl Reconciler {
    /// Says whose numbers are, to those who read what is counted under them.
    fn assign_accounts(&mut self) {
        let listeners = self.listeners.used().map(|(key, number)| (number, key.name.clone()));
        self.listener_accounts.assign(listeners.collect());
        let backends = self.backends.used().map(|(key, number)| (number, key.name.clone()));
        self.backend_accounts.assign(backends.collect());
    }

    /// Lets numbers be used again that rest since before `then`. Nobody counts under them now, so what they have
    /// counted is what their next holder begins with.
    fn wake(&mut self, counters: &dyn Counters, then: Instant) -> Result<(), CountersError> {
        for number in self.listeners.rested(then) {
            self.listener_accounts.close(number, counters.listener(ListenerId(number))?);
        }
        for number in self.backends.rested(then) {
            self.backend_accounts.close(number, counters.backend(BackendIndex(number))?);
        }
        self.listeners.wake(then);
        self.pools.wake(then);
        self.backends.wake(then);
        Ok(())
    }
}

/// Writes a ring into a half that is not in use.
fn write_ring(memory: Memory<'_>, pool: &TargetPool, half: Half) {
    let first = RingLine::first(pool.id, half) as usize;
    let lines = memory.rings.iter().skip(first);
    for (line, slots) in lines.zip(pool.ring.chunks(RingLine::SLOTS as usize)) {
        line.store(std::array::from_fn(|slot| slots.get(slot).copied().unwrap_or(BackendIndex(0))));
    }
}

#[cfg(test)]
mod tests;
