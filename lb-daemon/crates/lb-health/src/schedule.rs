//! Which probe is due when, and what results mean for whom: the scheduler's pure core. It starts nothing and has no
//! clock; time, chance and results come in as arguments.
//!
//! Invariants: each probe is due or running or, between the two, nowhere else; every probe has a target; each target has
//! exactly one probe; what a target was last told is what its events add up to.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_model::{BackendName, Health, HealthCheck, PoolName};

use crate::error::ProbeError;
use crate::machine::{Machine, Outcome};
use crate::probe::{ProbeKey, ProbeResult};

/// Who a target is, over all reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetKey {
    /// The backend's pool.
    pub pool: PoolName,
    /// The backend's name in it.
    pub backend: BackendName,
}

/// A backend that is to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Who it is; unique among the targets.
    pub key: TargetKey,
    /// Where it is. (The check's own port is put in by the scheduler.)
    pub address: SocketAddr,
    /// How it is checked.
    pub check: HealthCheck,
    /// What the backend expects a connection to begin with, before anything that the check says: a PROXY protocol header,
    /// or nothing. Not sent by checks that say nothing.
    pub first: &'static [u8],
}

/// The verdict on one target is another from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The target.
    pub target: TargetKey,
    /// What was last said of it.
    pub from: Health,
    /// What is true now.
    pub to: Health,
    /// Why, if `to` is [`Health::Unhealthy`].
    pub reason: Option<ProbeError>,
    /// When the scheduler knew.
    pub at: Instant,
}

/// The latest result of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastResult {
    /// When the probe ended.
    pub at: Instant,
    /// How long the answer took (`None`: a silence that counts as good), or what was wrong.
    pub result: Result<Option<Duration>, ProbeError>,
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The target.
    pub target: TargetKey,
    /// Where its probes go.
    pub address: SocketAddr,
    /// The probe's kind, for example `http`.
    pub probe: &'static str,
    /// The verdict.
    pub health: Health,
    /// Why, if that is [`Health::Unhealthy`].
    pub reason: Option<ProbeError>,
    /// When the verdict last changed.
    pub since: Option<Instant>,
    /// The latest outcome, and how many times in a row it was seen.
    pub in_a_row: Option<(Outcome, u32)>,
    /// The latest result, those included that say nothing of the backend.
    pub last: Option<LastResult>,
    /// How long the latest good answer took.
    pub latency: Option<Duration>,
    /// When the next probe starts; `None` while one is under way.
    pub next: Option<Instant>,
}

/// One probe, under an id that is never used again: late results of removed probes belong to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProbeId(u64);

/// All probes, their verdicts, and whom they concern.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    probes: HashMap<ProbeId, Scheduled>,
    ids: HashMap<Arc<ProbeKey>, ProbeId>,
    targets: HashMap<TargetKey, Assigned>,
    /// The probes that are not running, in the order in which they are to start.
    due: BTreeSet<(Instant, ProbeId)>,
    events: VecDeque<Event>,
    next_id: u64,
}

#[derive(Debug)]
struct Scheduled {
    key: Arc<ProbeKey>,
    machine: Machine,
    /// The latest result that spoke against the backend.
    fault: Option<ProbeError>,
    targets: Vec<TargetKey>,
    progress: Progress,
    last: Option<LastResult>,
    latency: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    Due(Instant),
    Running { since: Instant },
}

/// A target's probe.
#[derive(Debug)]
struct Assigned {
    probe: ProbeId,
    /// Where the backend is, whatever port is probed.
    backend: SocketAddr,
    /// What the target's events add up to.
    told: Health,
}

impl Schedule {
    /// Makes `targets` all that is checked. Probes that are wanted still keep verdict and schedule; new ones are due at
    /// once. A target whose check has changed and whose address has not keeps its verdict until the first result.
    pub(crate) fn set_targets(&mut self, targets: Vec<Target>, now: Instant) {
        let mut before = mem::take(&mut self.targets);
        self.probes.values_mut().for_each(|probe| probe.targets.clear());
        for target in targets {
            let known = before.remove(&target.key);
            let stayed = known.as_ref().filter(|known| known.backend == target.address);
            let key = ProbeKey::new(&target);
            let id = self.ids.get(&key).copied();
            let id = id.unwrap_or_else(|| self.add(key, stayed.map(|known| known.probe), now));
            if let Some(probe) = self.probes.get_mut(&id) {
                probe.targets.push(target.key.clone());
            }
            let told = known.map_or(Health::Unknown, |known| known.told);
            self.targets.insert(target.key, Assigned { probe: id, backend: target.address, told });
        }
        self.drop_unwanted();
        let ids: Vec<_> = self.probes.keys().copied().collect();
        ids.into_iter().for_each(|id| self.tell(id, now));
    }

    /// Adds a probe, which takes the verdict of the one `before` it.
    fn add(&mut self, key: ProbeKey, before: Option<ProbeId>, now: Instant) -> ProbeId {
        let id = ProbeId(self.next_id);
        self.next_id += 1;
        let key = Arc::new(key);
        self.ids.insert(Arc::clone(&key), id);
        self.due.insert((now, id));
        let before = before.and_then(|before| self.probes.get(&before));
        let probe = Scheduled {
            key,
            machine: before.map(|before| before.machine.rechecked()).unwrap_or_default(),
            fault: before.and_then(|before| before.fault.clone()),
            targets: vec![],
            progress: Progress::Due(now),
            last: None,
            latency: None,
        };
        self.probes.insert(id, probe);
        id
    }

    fn drop_unwanted(&mut self) {
        let (ids, due) = (&mut self.ids, &mut self.due);
        self.probes.retain(|&id, probe| {
            if !probe.targets.is_empty() {
                return true;
            }
            ids.remove(&probe.key);
            if let Progress::Due(at) = probe.progress {
                due.remove(&(at, id));
            }
            false
        });
    }

    /// Takes the probe that has been due for longest, if one is at `now`. It is running until [`Self::finish`].
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<(ProbeId, Arc<ProbeKey>)> {
        let &(at, id) = self.due.first().filter(|&&(at, _)| at <= now)?;
        self.due.remove(&(at, id));
        let probe = self.probes.get_mut(&id)?;
        probe.progress = Progress::Running { since: now };
        Some((id, Arc::clone(&probe.key)))
    }

    /// When the next probe is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    /// Whether the probe is wanted still.
    pub(crate) fn wants(&self, id: ProbeId) -> bool {
        self.probes.contains_key(&id)
    }

    /// Takes in the result of a running probe. `chance` is uniform over its whole range.
    pub(crate) fn finish(&mut self, id: ProbeId, result: ProbeResult, now: Instant, chance: u32) {
        let Some(probe) = self.probes.get_mut(&id) else { return };
        let Progress::Running { since } = probe.progress else { return };
        let first = probe.last.is_none();
        probe.log(&result);
        probe.note(&result, now);
        let check = &probe.key.check;
        let interval = if first {
            // Probes that were new together would stay together: the second of each comes after a random part of the
            // interval.
            check.interval.mul_f64(f64::from(chance) / f64::from(u32::MAX))
        } else {
            probe.machine.next_interval(check, chance)
        };
        probe.last = Some(LastResult { at: now, result });
        let at = (since + interval).max(now);
        probe.progress = Progress::Due(at);
        self.due.insert((at, id));
        self.tell(id, now);
    }

    /// Tells those of the probe's targets that do not know its verdict.
    fn tell(&mut self, id: ProbeId, now: Instant) {
        let Some(probe) = self.probes.get(&id) else { return };
        let to = probe.machine.health();
        let reason = probe.reason();
        for key in &probe.targets {
            let Some(target) = self.targets.get_mut(key).filter(|target| target.told != to) else { continue };
            let from = mem::replace(&mut target.told, to);
            self.events.push_back(Event { target: key.clone(), from, to, reason: reason.cloned(), at: now });
        }
    }

    /// The oldest event that nobody was told of yet.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The verdict on a target.
    pub(crate) fn health(&self, target: &TargetKey) -> Option<Health> {
        let probe = self.targets.get(target)?.probe;
        Some(self.probes.get(&probe)?.machine.health())
    }

    /// What is known of each target, in the order of their keys.
    pub(crate) fn snapshot(&self) -> Vec<Status> {
        let of = |probe: &Scheduled, target: &TargetKey| Status {
            target: target.clone(),
            address: probe.key.address,
            probe: probe.key.check.probe.kind(),
            health: probe.machine.health(),
            reason: probe.reason().cloned(),
            since: probe.machine.since(),
            in_a_row: probe.machine.in_a_row(),
            last: probe.last.clone(),
            latency: probe.latency,
            next: match probe.progress {
                Progress::Due(at) => Some(at),
                Progress::Running { .. } => None,
            },
        };
        let all = self.probes.values().flat_map(|probe| probe.targets.iter().map(move |key| of(probe, key)));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        all
    }
}

impl Scheduled {
    /// Why the backend is unhealthy, if it is.
    fn reason(&self) -> Option<&ProbeError> {
        self.fault.as_ref().filter(|_| self.machine.health() == Health::Unhealthy)
    }

    fn log(&self, result: &ProbeResult) {
        let (address, probe) = (self.key.address, self.key.check.probe.kind());
        let is_local = |result: &ProbeResult| result.as_ref().is_err_and(ProbeError::is_local);
        let was_local = self.last.as_ref().is_some_and(|last| is_local(&last.result));
        match result {
            Ok(latency) => tracing::debug!(%address, probe, ?latency, "probe succeeded"),
            // Said once, as it goes on until somebody acts.
            Err(reason) if reason.is_local() && !was_local => {
                tracing::warn!(%address, probe, %reason, "health check is not possible: the verdict stays as it is");
            }
            Err(reason) => tracing::debug!(%address, probe, %reason, "probe failed"),
        }
    }

    /// Judges by a result, unless it says nothing of the backend.
    fn note(&mut self, result: &ProbeResult, now: Instant) {
        let outcome = match result {
            Ok(latency) => {
                self.latency = *latency;
                Outcome::Good
            }
            Err(error) if error.is_local() => return,
            Err(error) => {
                self.fault = Some(error.clone());
                Outcome::Bad
            }
        };
        self.machine.observe(outcome, &self.key.check, now);
    }
}

#[cfg(test)]
mod tests;
