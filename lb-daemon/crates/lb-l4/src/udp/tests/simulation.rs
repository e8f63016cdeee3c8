//! Clients, a lossy network, backends that die, refuse and come back, and a shell between them, in virtual time;
//! beside it a model that keeps no more than what a user is promised.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const CLIENTS: u16 = 5;
const BACKENDS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A client sends so many datagrams, which arrive at once.
    Send {
        client: u16,
        local: u8,
        datagrams: u16,
    },
    /// What is under way to backends arrives there (`choice` says which), and is answered that many times.
    Serve {
        choice: usize,
        answers: u8,
    },
    /// An answer or an error arrives at the shell.
    Arrive {
        choice: usize,
    },
    /// A datagram is lost, or an answer or error.
    Lose {
        choice: usize,
    },
    /// The backend's health changes.
    Health {
        backend: usize,
        dead: bool,
    },
    /// The backend's port is closed, or open.
    Port {
        backend: usize,
        refuses: bool,
    },
    /// Time passes while the shell attends to its timers.
    Wait {
        ms: u64,
    },
    Reload {
        max_flows: u32,
        idle_ms: u64,
        replies: Option<u16>,
        tries: u8,
    },
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let choice = any::<usize>();
    prop_oneof![
        8 => (0..CLIENTS, 0u8..2, 1u16..4)
            .prop_map(|(client, local, datagrams)| Step::Send { client, local, datagrams }),
        8 => (choice, 0u8..4).prop_map(|(choice, answers)| Step::Serve { choice, answers }),
        8 => choice.prop_map(|choice| Step::Arrive { choice }),
        1 => choice.prop_map(|choice| Step::Lose { choice }),
        1 => (0..BACKENDS, any::<bool>()).prop_map(|(backend, dead)| Step::Health { backend, dead }),
        1 => (0..BACKENDS, any::<bool>()).prop_map(|(backend, refuses)| Step::Port { backend, refuses }),
        3 => (0u64..3_000).prop_map(|ms| Step::Wait { ms }),
        1 => (1u32..6, 100u64..5_000, prop::option::of(1u16..3), 1u8..4).prop_map(
            |(max_flows, idle_ms, replies, tries)| Step::Reload { max_flows, idle_ms, replies, tries }
        ),
    ]
}

/// Who talks to whom, as the client sees it.
type Pair = (SocketAddr, SocketAddr);

/// What a user is promised of a flow.
#[derive(Debug, Clone)]
struct Expected {
    pair: Pair,
    backend: usize,
    last: Instant,
    /// Datagrams to this backend less answers, while one-shot mode counts them.
    awaited: u32,
    /// Its backend has failed, and nothing went its way since.
    failed: bool,
    /// Failures since the last answer, of whichever backends.
    failures: u8,
    blamed: BTreeSet<usize>,
}

#[derive(Debug, PartialEq, Eq)]
struct SimLink {
    backend: usize,
    health: Rc<Vec<Cell<bool>>>,
    _socket: Rc<()>,
}

impl Link for SimLink {
    type Backend = usize;

    fn backend(&self) -> usize {
        self.backend
    }

    fn keeps_flows(&self) -> bool {
        !self.health[self.backend].get()
    }
}

/// What is on its way back to the shell, to the socket that a flow had when it was sent.
#[derive(Debug)]
enum Back {
    Answer(FlowId),
    Refused(FlowId),
}

struct Simulation {
    table: FlowTable<Rc<()>, SimLink>,
    settings: Settings,
    max_flows: usize,
    draining: bool,
    now: Instant,
    /// What is overdue by a shorter timeout is so only since then.
    reloaded: Instant,
    /// Whether each backend is dead, and refuses.
    dead: Rc<Vec<Cell<bool>>>,
    refuses: [bool; BACKENDS],
    /// One clone for each flow's permit, one for each socket.
    permits: Rc<()>,
    sockets: Rc<()>,
    to_backends: Vec<(FlowId, usize)>,
    back: Vec<Back>,
    expected: BTreeMap<Pair, (FlowId, Expected)>,
    /// Ids that must not mean anything any more.
    void: HashSet<FlowId>,
}

impl Simulation {
    fn new() -> Self {
        let now = lb_net::clock::now();
        let settings = settings();
        Self {
            table: FlowTable::new(settings, now, RandomState::new()),
            settings,
            max_flows: 4,
            draining: false,
            now,
            reloaded: now,
            dead: Rc::new((0..BACKENDS).map(|_| Cell::new(false)).collect()),
            refuses: [false; BACKENDS],
            permits: Rc::default(),
            sockets: Rc::default(),
            to_backends: Vec::new(),
            back: Vec::new(),
            expected: BTreeMap::new(),
            void: HashSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { client: port, local: host, datagrams } => {
                self.send((client(port), ([198, 51, 100, host], 53).into()), datagrams);
            }
            Step::Serve { choice, answers } => self.serve(choice, answers),
            Step::Arrive { choice } => self.arrive(choice),
            Step::Lose { choice } => {
                let _ = (take(&mut self.to_backends, choice), take(&mut self.back, choice));
            }
            Step::Health { backend, dead } => self.dead[backend].set(dead),
            Step::Port { backend, refuses } => self.refuses[backend] = refuses,
            Step::Wait { ms } => self.wait(Duration::from_millis(ms)),
            Step::Reload { max_flows, idle_ms, replies, tries } => {
                self.max_flows = max_flows as usize;
                self.settings = Settings {
                    idle_timeout: Duration::from_millis(idle_ms),
                    replies: replies.and_then(NonZeroU16::new),
                    tries: NonZeroU8::new(tries).unwrap(),
                };
                self.table.change(self.now, self.settings);
                self.reloaded = self.now;
            }
            Step::Drain => {
                self.draining = true;
                self.table.drain();
            }
        }
        self.check();
    }

    fn send(&mut self, pair: Pair, datagrams: u16) {
        let payload = Payload::joined(usize::from(datagrams) * 10, NonZeroU16::new(10).unwrap());
        let full = self.expected.len() >= self.max_flows;
        let permit = || if full { Err(DropReason::NewFlowShed) } else { Ok(Rc::clone(&self.permits)) };
        let known = self.expected.get(&pair).cloned();
        let verdict = self.table.client_sent(self.now, pair.0, pair.1, payload, permit);
        let flow = match verdict {
            FromClient::Forward(flow) => {
                let (id, expected) = known.expect("forwarded for no flow");
                assert_eq!(id, flow, "forwarded for another client");
                assert!(!self.dead[expected.backend].get(), "left with a dead backend");
                assert!(!expected.failed, "left with a backend that failed");
                flow
            }
            FromClient::Open { flow, former } => {
                assert_eq!(former.as_ref().map(|l| l.backend), known.as_ref().map(|(_, e)| e.backend));
                drop(former);
                if let Some((old, expected)) = known {
                    assert!(expected.failed || self.dead[expected.backend].get(), "moved for no reason");
                    self.void.insert(old);
                } else {
                    assert!(!full, "not shed");
                    assert!(!self.draining, "begun while draining");
                }
                match self.open(flow, pair) {
                    Some(flow) => flow,
                    None => return,
                }
            }
            FromClient::Drop(reason) => {
                assert!(known.is_none(), "dropped ({reason}) for a known client");
                let expected = if self.draining { DropReason::Draining } else { DropReason::NewFlowShed };
                assert!(reason == expected && (full || self.draining), "dropped: {reason}");
                return;
            }
        };
        let (_, expected) = self.expected.get_mut(&pair).unwrap();
        expected.last = self.now;
        if let Some(replies) = self.settings.replies {
            expected.awaited += u32::from(datagrams) * u32::from(replies.get());
        }
        let backend = self.table.link_mut(flow).expect("forwarded to nowhere").backend;
        assert_eq!(backend, expected.backend, "another backend than its own");
        self.to_backends.extend((0..datagrams).map(|_| (flow, backend)));
    }

    /// Picks as lb-runtime does: the first that is alive and was not tried.
    fn open(&mut self, flow: FlowId, pair: Pair) -> Option<FlowId> {
        let known = self.expected.remove(&pair).map(|(_, expected)| expected);
        let (mut blamed, failures) = known.map_or_else(Default::default, |e| (e.blamed, e.failures));
        for _ in 0..3 {
            let tried: BTreeSet<_> = self.table.tried(flow).iter().copied().collect();
            assert_eq!(tried, blamed);
            let picked = (0..BACKENDS).find(|b| !tried.contains(b) && !self.dead[*b].get());
            let Some(backend) = picked else {
                match self.table.open_failed(self.now, flow, OpenFailure::NoBackend) {
                    OpenFailed::TryAnother => {
                        assert!(!blamed.is_empty(), "the same again");
                        blamed.clear();
                        continue;
                    }
                    OpenFailed::Ended(ended, _) => {
                        assert_eq!((ended.flow, (ended.client, ended.local)), (flow, pair));
                        assert!(self.dead.iter().all(Cell::get), "there was one left");
                        self.void.insert(flow);
                        return None;
                    }
                    OpenFailed::Gone => panic!("gone while it was opened"),
                }
            };
            let health = Rc::clone(&self.dead);
            self.table
                .opened(self.now, flow, SimLink { backend, health, _socket: Rc::clone(&self.sockets) })
                .expect("gone while it was opened");
            let (failed, last, awaited) = (false, self.now, 0);
            let expected = Expected { pair, backend, last, awaited, failed, failures, blamed };
            self.expected.insert(pair, (flow, expected));
            return Some(flow);
        }
        panic!("tries for ever");
    }

    fn serve(&mut self, choice: usize, answers: u8) {
        let Some((flow, backend)) = take(&mut self.to_backends, choice) else { return };
        if self.refuses[backend] {
            self.back.push(Back::Refused(flow));
        } else {
            self.back.extend((0..answers).map(|_| Back::Answer(flow)));
        }
    }

    fn arrive(&mut self, choice: usize) {
        match take(&mut self.back, choice) {
            Some(Back::Answer(flow)) => self.answer(flow),
            Some(Back::Refused(flow)) => self.refused(flow),
            None => {}
        }
    }

    fn answer(&mut self, flow: FlowId) {
        let known = self.expected.values().find(|(id, _)| *id == flow).map(|(_, e)| e.clone());
        let verdict = self.table.backend_sent(self.now, flow, Payload::datagram(10));
        let Some(mut expected) = known else {
            assert!(matches!(verdict, FromBackend::Drop(DropReason::NoFlow)), "{verdict:?}");
            return;
        };
        let (reply, ended) = match verdict {
            FromBackend::Reply(reply) => (reply, None),
            FromBackend::LastReply(reply, ended) => (reply, Some(ended)),
            FromBackend::Drop(reason) => panic!("an answer is dropped: {reason}"),
        };
        assert_eq!((reply.client, reply.local), expected.pair, "the answer of another");
        let last = self.settings.replies.is_some() && expected.awaited == 1;
        assert_eq!(ended.is_some(), last, "awaited: {}", expected.awaited);
        if let Some(ended) = ended {
            assert_eq!((ended.flow, ended.reason), (flow, Termination::Finished));
            self.forget(flow);
        } else {
            if self.settings.replies.is_some() {
                expected.awaited = expected.awaited.saturating_sub(1);
            }
            (expected.failed, expected.failures) = (false, 0);
            expected.blamed.clear();
            expected.last = self.now;
            self.expected.insert(expected.pair, (flow, expected));
        }
    }

    fn refused(&mut self, flow: FlowId) {
        let verdict = self.table.backend_error(self.now, flow);
        let current = self.expected.values_mut().map(|(id, expected)| (*id, expected));
        let Some((_, expected)) = current.into_iter().find(|(id, e)| *id == flow && !e.failed) else {
            assert_eq!(verdict, BackendError::Known, "not an error of a flow as it is now");
            return;
        };
        expected.failed = true;
        expected.failures += 1;
        expected.blamed.insert(expected.backend);
        match verdict {
            BackendError::Known => panic!("a failure is overlooked"),
            BackendError::Moves => assert!(expected.failures < self.settings.tries.get(), "fails on and on"),
            BackendError::Ended(ended) => {
                assert!(expected.failures >= self.settings.tries.get(), "given up too early");
                assert_eq!((ended.flow, ended.reason), (flow, Termination::ConnectFailed));
                self.forget(flow);
            }
        }
    }

    /// As a shell does: sleeps until it is time, again and again.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.table.wake_at().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.expire();
        }
        self.now = until;
    }

    fn expire(&mut self) {
        while let Some(ended) = self.table.expire(self.now) {
            assert_eq!(ended.reason, Termination::IdleTimeout);
            let (id, expected) = &self.expected[&(ended.client, ended.local)];
            assert_eq!(*id, ended.flow);
            assert!(expected.last + self.settings.idle_timeout <= self.now, "was not idle long enough");
            self.forget(ended.flow);
        }
    }

    fn forget(&mut self, flow: FlowId) {
        self.expected.retain(|_, (id, _)| *id != flow);
        self.void.insert(flow);
    }

    fn check(&mut self) {
        let flows = self.expected.len();
        assert_eq!(self.table.len(), flows);
        assert_eq!(Rc::strong_count(&self.permits) - 1, flows, "a permit for each flow, and no more");
        assert_eq!(Rc::strong_count(&self.sockets) - 1, flows, "a socket for each flow, and no more");
        assert_eq!(self.table.flows.iter().count(), flows);
        for (_, expected) in self.expected.values() {
            let due = self.reloaded.max(expected.last + self.settings.idle_timeout);
            assert!(self.now < due + Deadlines::GRAIN, "outlived its idle timeout");
        }
        for flow in &self.void {
            assert!(self.table.link_mut(*flow).is_none(), "an old id means something");
        }
    }
}

/// Takes any one out.
fn take<T>(items: &mut Vec<T>, choice: usize) -> Option<T> {
    (!items.is_empty()).then(|| items.swap_remove(choice % items.len()))
}

proptest! {
    #[test]
    fn promises_are_kept(
        steps in prop::collection::vec(step(), 0..200),
        drained in prop::collection::vec(step(), 0..50),
    ) {
        let mut simulation = Simulation::new();
        for step in steps.into_iter().chain([Step::Drain]).chain(drained) {
            simulation.step(step);
        }
        // The backends fall silent: in the end nothing is left.
        simulation.step(Step::Wait { ms: 40_000 });
        prop_assert_eq!(simulation.table.len(), 0);
        prop_assert_eq!(simulation.table.wake_at(), None);
    }
}
