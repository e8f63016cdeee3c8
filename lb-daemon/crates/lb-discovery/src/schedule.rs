//! Which name is due when, and what results mean: the resolver's pure core. It asks nobody and has no clock;
//! time, chance and results come in as arguments.
//!
//! Invariants: each name is due or being resolved, never both; a name that is kept without a good answer is asked
//! for again no later than it may no longer be kept, so that the result decides.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_model::{BackendAddress, DiscoveryQuery, DiscoverySettings};

use crate::endpoint::Endpoint;
use crate::error::LookupError;
use crate::known::{Known, Learned, Resolution};

/// The longest pause, which is the longest TTL that there could be: whatever the bounds are, no time overflows.
const FOREVER: Duration = Duration::from_secs(0xFFFF_FFFF);

/// A name that is to be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What is asked.
    pub query: DiscoveryQuery,
    /// How.
    pub settings: DiscoverySettings,
}

/// By the query alone: one name rarely has several settings.
impl Hash for Wanted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.query.hash(state);
    }
}

impl Wanted {
    /// Whether an answer for `other` says something of this one.
    fn resembles(&self, other: &Self) -> bool {
        match (&self.query, &other.query) {
            (DiscoveryQuery::Addresses { name, .. }, DiscoveryQuery::Addresses { name: others, .. })
            | (DiscoveryQuery::Services { name }, DiscoveryQuery::Services { name: others }) => {
                name == others
            }
            (DiscoveryQuery::Addresses { .. }, DiscoveryQuery::Services { .. })
            | (DiscoveryQuery::Services { .. }, DiscoveryQuery::Addresses { .. }) => false,
        }
    }
}

/// A name has another set of endpoints from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name.
    pub wanted: Wanted,
    /// All of its endpoints, sorted by address, each address once.
    pub endpoints: Arc<[Endpoint]>,
}

/// How it stands with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There was no result yet. (Endpoints may have been taken over from before a reload.)
    Unresolved,
    /// The latest result was a good one.
    Resolved,
    /// The latest result was none, or some of it was missing.
    Failing {
        /// When that began.
        since: Instant,
        /// What is wrong; of several things the first.
        reason: LookupError,
        /// Until when endpoints are used that the latest result does not confirm; `None` where there are none.
        kept_until: Option<Instant>,
    },
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The name.
    pub wanted: Wanted,
    /// How many endpoints it has now.
    pub endpoints: usize,
    /// Whether they are true.
    pub state: State,
    /// For how long the latest good answer may be used, before the bounds of the settings are applied.
    pub ttl: Option<Duration>,
    /// When it is resolved next; `None` while that is under way.
    pub next: Option<Instant>,
}

/// One name under an id that is never used again: late results of what was removed belong to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NameId(u64);

/// All names and their answers.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    names: BTreeMap<NameId, Scheduled>,
    ids: HashMap<Arc<Wanted>, NameId>,
    /// The names that are not being resolved, in the order in which they are to be.
    due: BTreeSet<(Instant, NameId)>,
    changes: VecDeque<Change>,
    next_id: u64,
}

#[derive(Debug)]
struct Scheduled {
    wanted: Arc<Wanted>,
    known: Known,
    /// What is known, as a set; `None` where nothing ever was.
    endpoints: Option<Arc<[Endpoint]>>,
    outcome: Outcome,
    ttl: Option<Duration>,
    progress: Progress,
}

#[derive(Debug)]
enum Outcome {
    Pending,
    Good,
    Failing { since: Instant, reason: LookupError, tries: u32 },
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    Due(Instant),
    Running,
}

impl Schedule {
    /// Makes `wanted` all that is resolved. What was wanted already keeps its answer and its time; what is new is
    /// due at once, with the answer for the same name under other settings until it has its own.
    pub(crate) fn set_wanted(&mut self, wanted: Vec<Wanted>, now: Instant) {
        let wanted: HashSet<_> = wanted.into_iter().collect();
        let known: HashSet<_> = self.ids.keys().map(|known| (**known).clone()).collect();
        for new in wanted.iter().filter(|wanted| !known.contains(wanted)) {
            self.add(Arc::new(new.clone()), now);
        }
        for gone in known.difference(&wanted) {
            self.remove(gone);
        }
    }

    /// Makes all names due at once, and results that are under way belong to nobody. Answers stay.
    pub(crate) fn ask_again(&mut self, now: Instant) {
        self.due.clear();
        self.ids.clear();
        for (_, name) in mem::take(&mut self.names) {
            let name = Scheduled { outcome: Outcome::Pending, progress: Progress::Due(now), ..name };
            self.insert(name, now);
        }
    }

    fn add(&mut self, wanted: Arc<Wanted>, now: Instant) {
        let before =
            self.names.values().find(|name| name.wanted.resembles(&wanted) && name.endpoints.is_some());
        let known = before.map(|name| name.known.adapted(&wanted.query, wanted.settings.families));
        let name = Scheduled {
            wanted,
            endpoints: known.as_ref().map(Known::endpoints),
            known: known.unwrap_or_default(),
            outcome: Outcome::Pending,
            ttl: None,
            progress: Progress::Due(now),
        };
        self.insert(name, now);
    }

    fn insert(&mut self, name: Scheduled, due: Instant) {
        let id = NameId(self.next_id);
        self.next_id += 1;
        self.ids.insert(Arc::clone(&name.wanted), id);
        self.due.insert((due, id));
        self.names.insert(id, name);
    }

    fn remove(&mut self, wanted: &Wanted) {
        let Some(id) = self.ids.remove(wanted) else { return };
        if let Some(Scheduled { progress: Progress::Due(at), .. }) = self.names.remove(&id) {
            self.due.remove(&(at, id));
        }
    }

    /// Takes the name that has been due for longest, if one is at `now`. It is being resolved until
    /// [`Self::finish`].
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<(NameId, Arc<Wanted>)> {
        let &(at, id) = self.due.first().filter(|&&(at, _)| at <= now)?;
        self.due.remove(&(at, id));
        let name = self.names.get_mut(&id)?;
        name.progress = Progress::Running;
        Some((id, Arc::clone(&name.wanted)))
    }

    /// Those that were under way when somebody stopped waiting for them are due again.
    pub(crate) fn restart(&mut self, now: Instant) {
        for (&id, name) in &mut self.names {
            if let Progress::Running = name.progress {
                name.progress = Progress::Due(now);
                self.due.insert((now, id));
            }
        }
    }

    /// When the next name is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    /// Whether the result is wanted still.
    pub(crate) fn wants(&self, id: NameId) -> bool {
        self.names.contains_key(&id)
    }

    /// The name as text, if it is wanted still.
    pub(crate) fn name(&self, id: NameId) -> Option<Arc<str>> {
        Some(self.names.get(&id)?.wanted.query.name().as_str().into())
    }

    /// Takes a result in. `chance` is uniform over its whole range.
    pub(crate) fn finish(
        &mut self,
        id: NameId,
        result: Result<Resolution, LookupError>,
        now: Instant,
        chance: u32,
    ) {
        let Some(name) = self.names.get_mut(&id) else { return };
        let Progress::Running = name.progress else { return };
        let Learned { ttl, failure } = name.known.learn(result, now, name.wanted.settings.keep);
        name.ttl = ttl.or(name.ttl);
        name.judge(failure, now);
        let at = now + name.pause(ttl, now, chance).min(FOREVER);
        name.progress = Progress::Due(at);
        self.due.insert((at, id));
        self.changes.extend(name.change());
    }

    /// The oldest change that nobody was told of yet.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Whether there was a result for each name.
    pub(crate) fn has_all_results(&self) -> bool {
        self.names.values().all(|name| !matches!(name.outcome, Outcome::Pending))
    }

    /// The endpoints of a name; `None` if there was no result yet, or if it is not wanted.
    pub(crate) fn answer(&self, wanted: &Wanted) -> Option<Arc<[Endpoint]>> {
        self.names.get(self.ids.get(wanted)?)?.endpoints.clone()
    }

    /// What is known of each name, in their order.
    pub(crate) fn snapshot(&self) -> Vec<Status> {
        let mut all: Vec<_> = self.names.values().map(Scheduled::status).collect();
        all.sort_by(|a, b| a.wanted.query.cmp(&b.wanted.query));
        all
    }
}

impl Scheduled {
    /// Notes whether the latest result was good. The log has where that changes, not each try.
    fn judge(&mut self, failure: Option<LookupError>, now: Instant) {
        let query = Shown(&self.wanted.query);
        let Some(reason) = failure else {
            if let Outcome::Failing { since, .. } = &self.outcome {
                let lasted = now.saturating_duration_since(*since);
                tracing::info!(%query, ?lasted, "name resolves again");
            }
            self.outcome = Outcome::Good;
            return;
        };
        let (since, tries) = match self.outcome {
            Outcome::Failing { since, tries, .. } => (since, tries.saturating_add(1)),
            Outcome::Pending | Outcome::Good => {
                let (known, keep) = (self.known.endpoints().len(), self.wanted.settings.keep);
                if known == 0 {
                    tracing::warn!(%query, %reason, "name does not resolve");
                } else {
                    tracing::warn!(%query, %reason, known, ?keep, "not all of the name resolves: what was known of the rest is kept");
                }
                (now, 0)
            }
        };
        self.outcome = Outcome::Failing { since, reason, tries };
    }

    /// How long after a result the name is resolved again.
    fn pause(&self, ttl: Option<Duration>, now: Instant, chance: u32) -> Duration {
        let DiscoverySettings { min_ttl, max_ttl, keep, .. } = self.wanted.settings;
        let good = ttl.map(|ttl| ttl.max(min_ttl).min(max_ttl));
        let Outcome::Failing { tries, .. } = self.outcome else { return good.unwrap_or(min_ttl) };
        let retry = backoff(min_ttl, max_ttl, tries, chance);
        let kept = self.known.kept_until(keep).map(|until| until.saturating_duration_since(now));
        [good, kept].into_iter().flatten().fold(retry, Duration::min)
    }

    /// Takes what is known for the answer, and returns it if it is another.
    fn change(&mut self) -> Option<Change> {
        let endpoints = self.known.endpoints();
        let before = self.endpoints.replace(Arc::clone(&endpoints)).unwrap_or_default();
        if before == endpoints {
            return None;
        }
        let query = Shown(&self.wanted.query);
        let (added, removed) = (Addresses::of(&endpoints, &before), Addresses::of(&before, &endpoints));
        if before.is_empty() {
            tracing::info!(%query, total = endpoints.len(), %added, "name resolves");
        } else if endpoints.is_empty() {
            tracing::warn!(%query, %removed, "name has no address any more");
        } else {
            tracing::info!(%query, total = endpoints.len(), %added, %removed, "name has other endpoints");
        }
        Some(Change { wanted: (*self.wanted).clone(), endpoints })
    }

    fn status(&self) -> Status {
        Status {
            wanted: (*self.wanted).clone(),
            endpoints: self.endpoints.as_ref().map_or(0, |endpoints| endpoints.len()),
            state: match &self.outcome {
                Outcome::Pending => State::Unresolved,
                Outcome::Good => State::Resolved,
                Outcome::Failing { since, reason, .. } => State::Failing {
                    since: *since,
                    reason: reason.clone(),
                    kept_until: self.known.kept_until(self.wanted.settings.keep),
                },
            },
            ttl: self.ttl,
            next: match self.progress {
                Progress::Due(at) => Some(at),
                Progress::Running => None,
            },
        }
    }
}

/// The pause after the first, second … failure in a row (`tries` 0, 1 …): `first`, twice that and so on, up to
/// `longest`, and up to a quarter more by chance, so that names which failed together are not asked for together.
fn backoff(first: Duration, longest: Duration, tries: u32, chance: u32) -> Duration {
    let pause = first.saturating_mul(2_u32.saturating_pow(tries)).min(longest);
    pause.saturating_add(pause.mul_f64(0.25 * f64::from(chance) / f64::from(u32::MAX)))
}

/// A query for the log.
struct Shown<'a>(&'a DiscoveryQuery);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DiscoveryQuery::Addresses { name, port: None } => write!(f, "{name}"),
            DiscoveryQuery::Addresses { name, port: Some(port) } => write!(f, "{name}:{port}"),
            DiscoveryQuery::Services { name } => write!(f, "SRV {name}"),
        }
    }
}

/// The addresses that one set has and another has not, for the log, which gets a few of them.
struct Addresses(Vec<BackendAddress>);

impl Addresses {
    const SHOWN: usize = 20;

    fn of(set: &[Endpoint], without: &[Endpoint]) -> Self {
        let without: HashSet<_> = without.iter().map(Endpoint::address).collect();
        Self(set.iter().map(Endpoint::address).filter(|address| !without.contains(address)).collect())
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, address) in self.0.iter().take(Self::SHOWN).enumerate() {
            write!(f, "{}{address}", if nth == 0 { "" } else { " " })?;
        }
        match self.0.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
