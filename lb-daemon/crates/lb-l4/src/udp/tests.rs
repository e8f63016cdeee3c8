//! One rule a test. That they hold together, whatever happens, is for the [simulation].

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use super::*;

mod simulation;

/// What a test has for a way to a backend. Every socket is another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TestLink {
    backend: char,
    dead: Rc<Cell<bool>>,
    socket: Rc<()>,
}

impl Link for TestLink {
    type Backend = char;

    fn backend(&self) -> char {
        self.backend
    }

    fn keeps_flows(&self) -> bool {
        !self.dead.get()
    }
}

fn link(backend: char) -> TestLink {
    TestLink { backend, dead: Rc::default(), socket: Rc::default() }
}

type Table = FlowTable<Rc<()>, TestLink>;

const IDLE: Duration = Duration::from_secs(30);
const BYTES: Payload = Payload::datagram(200);

fn settings() -> Settings {
    Settings { idle_timeout: IDLE, replies: None, tries: NonZeroU8::new(3).unwrap() }
}

fn one_shot(replies: u16) -> Settings {
    Settings { replies: NonZeroU16::new(replies), ..settings() }
}

fn client(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn local() -> SocketAddr {
    ([198, 51, 100, 1], 53).into()
}

/// A table, the time, and the calls that most tests make.
struct Test {
    table: Table,
    now: Instant,
    permit: Rc<()>,
    /// Most flows that are admitted.
    limit: usize,
}

impl Test {
    fn new(settings: Settings) -> Self {
        let now = lb_net::clock::now();
        Self {
            table: FlowTable::new(settings, now, RandomState::new()),
            now,
            permit: Rc::default(),
            limit: 3,
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn send(&mut self, port: u16) -> FromClient<TestLink> {
        self.send_payload(port, BYTES)
    }

    fn send_payload(&mut self, port: u16, payload: Payload) -> FromClient<TestLink> {
        let full = self.table.len() >= self.limit;
        let permit = || if full { Err(DropReason::NewFlowShed) } else { Ok(Rc::clone(&self.permit)) };
        self.table.client_sent(self.now, client(port), local(), payload, permit)
    }

    /// The client's datagram opens a flow, or moves it.
    fn opening(&mut self, port: u16) -> (FlowId, Option<TestLink>) {
        let verdict = self.send(port);
        let FromClient::Open { flow, former } = verdict else { panic!("{verdict:?} instead of Open") };
        (flow, former)
    }

    fn open(&mut self, port: u16, backend: char) -> FlowId {
        let (flow, _) = self.opening(port);
        self.table.opened(self.now, flow, link(backend)).unwrap();
        flow
    }

    fn answer(&mut self, flow: FlowId) -> FromBackend<Rc<()>, TestLink> {
        self.table.backend_sent(self.now, flow, BYTES)
    }

    fn fail(&mut self, flow: FlowId) -> BackendError<Rc<()>, TestLink> {
        self.table.backend_error(self.now, flow)
    }

    fn expired(&mut self) -> Vec<FlowId> {
        let ended = std::iter::from_fn(|| self.table.expire(self.now));
        ended.inspect(|ended| assert_eq!(ended.reason, Termination::IdleTimeout)).map(|e| e.flow).collect()
    }
}

fn reply(verdict: FromBackend<Rc<()>, TestLink>) -> Reply {
    let FromBackend::Reply(reply) = verdict else { panic!("{verdict:?} instead of Reply") };
    reply
}

fn last_reply(verdict: FromBackend<Rc<()>, TestLink>) -> (Reply, Ended<Rc<()>, TestLink>) {
    let FromBackend::LastReply(reply, ended) = verdict else { panic!("{verdict:?} instead of LastReply") };
    (reply, ended)
}

#[test]
fn a_flow_keeps_its_backend() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    assert_eq!(test.send(1), FromClient::Forward(flow));
    assert_eq!(test.table.link_mut(flow).unwrap().backend, 'a');
    let other = test.open(2, 'b');
    assert_eq!(test.send(2), FromClient::Forward(other));
    assert_eq!(test.send(1), FromClient::Forward(flow));
}

#[test]
fn another_local_address_is_another_flow() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    let elsewhere = ([198, 51, 100, 2], 53).into();
    let verdict = test.table.client_sent(test.now, client(1), elsewhere, BYTES, || Ok(Rc::default()));
    let FromClient::Open { flow: other, .. } = verdict else { panic!("{verdict:?}") };
    test.table.opened(test.now, other, link('a')).unwrap();
    assert_eq!((reply(test.answer(flow)).local, reply(test.answer(other)).local), (local(), elsewhere));
}

#[test]
fn answers_go_to_the_client_and_tell_how_soon_the_first_came() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    let took = Duration::from_millis(7);
    test.wait(took);
    let first = reply(test.answer(flow));
    assert_eq!((first.client, first.local, first.payload), (client(1), local(), BYTES));
    assert_eq!((first.first_after, reply(test.answer(flow)).first_after), (Some(took), None));
}

#[test]
fn what_moved_is_counted() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    let joined = Payload::joined(250, NonZeroU16::new(100).unwrap());
    assert_eq!(test.send_payload(1, joined), FromClient::Forward(flow));
    let _ = test.answer(flow);
    test.wait(Duration::from_secs(2));
    let ended: Vec<_> = test.table.end_all(test.now, Termination::Shutdown).collect();
    let [ended] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((ended.flow, ended.client, ended.local), (flow, client(1), local()));
    assert_eq!(ended.from_client, Traffic { datagrams: 4, bytes: 450 });
    assert_eq!(ended.from_backend, Traffic { datagrams: 1, bytes: 200 });
    assert_eq!((ended.lasted, ended.reason), (Duration::from_secs(2), Termination::Shutdown));
    assert_eq!(ended.link.as_ref().map(|link| link.backend), Some('a'));
    assert_eq!((test.table.len(), test.table.wake_at()), (0, None));
    assert_eq!(test.answer(flow), FromBackend::Drop(DropReason::NoFlow));
    assert!(matches!(test.send(1), FromClient::Open { former: None, .. }));
}

#[test]
fn new_flows_are_shed_and_old_ones_kept() {
    let mut test = Test::new(settings());
    let flows: Vec<_> = (1..=3).map(|port| test.open(port, 'a')).collect();
    assert_eq!(test.send(4), FromClient::Drop(DropReason::NewFlowShed));
    for (port, &flow) in (1..).zip(&flows) {
        assert_eq!(test.send(port), FromClient::Forward(flow));
    }
    test.wait(IDLE + Deadlines::GRAIN);
    assert_eq!(test.expired().len(), 3);
    test.open(4, 'a');
}

#[test]
fn who_is_not_admitted_leaves_nothing_behind() {
    let mut test = Test::new(settings());
    for port in 1..=9 {
        let denied =
            test.table.client_sent(test.now, client(port), local(), BYTES, || Err(DropReason::Denied));
        assert_eq!(denied, FromClient::Drop(DropReason::Denied));
    }
    assert_eq!((test.table.len(), test.table.wake_at()), (0, None));
}

#[test]
fn a_known_client_is_not_asked_for_admission_again() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    let verdict = test.table.client_sent(test.now, client(1), local(), BYTES, || Err(DropReason::Denied));
    assert_eq!(verdict, FromClient::Forward(flow));
}

#[test]
fn idle_flows_end() {
    let mut test = Test::new(settings());
    let (idle, asking, answered) = (test.open(1, 'a'), test.open(2, 'a'), test.open(3, 'a'));
    test.wait(IDLE - Duration::from_secs(1));
    assert_eq!(test.expired(), []);
    assert_eq!(test.send(2), FromClient::Forward(asking));
    let _ = reply(test.answer(answered));
    test.now = test.table.wake_at().unwrap();
    assert_eq!(test.expired(), [idle]);
    test.wait(IDLE - Duration::from_secs(2));
    assert_eq!(test.expired(), []);
    test.wait(Duration::from_secs(2));
    assert_eq!(test.expired().into_iter().collect::<HashSet<_>>(), HashSet::from([asking, answered]));
    assert_eq!(test.table.wake_at(), None);
}

#[test]
fn errors_keep_no_flow_alive() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    test.wait(IDLE - Duration::from_secs(1));
    assert_eq!(test.fail(flow), BackendError::Moves);
    test.wait(Duration::from_secs(1) + Deadlines::GRAIN);
    assert_eq!(test.expired(), [flow]);
}

#[test]
fn a_shorter_timeout_holds_for_old_flows() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    test.wait(Duration::from_secs(2));
    test.table.change(test.now, Settings { idle_timeout: Duration::from_secs(3), ..settings() });
    assert_eq!(test.expired(), []);
    test.now = test.table.wake_at().unwrap();
    assert_eq!(test.expired(), [flow]);
}

#[test]
fn a_longer_timeout_holds_for_old_flows() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    test.table.change(test.now, Settings { idle_timeout: Duration::MAX, ..settings() });
    test.wait(Duration::from_secs(100_000));
    assert_eq!(test.expired(), []);
    assert_eq!(test.send(1), FromClient::Forward(flow));
}

#[test]
fn a_lower_limit_ends_no_flow() {
    let mut test = Test::new(settings());
    let (first, second) = (test.open(1, 'a'), test.open(2, 'a'));
    test.limit = 1;
    assert_eq!((test.send(1), test.send(2)), (FromClient::Forward(first), FromClient::Forward(second)));
    assert_eq!(test.send(3), FromClient::Drop(DropReason::NewFlowShed));
}

#[test]
fn one_shot_ends_with_the_last_reply() {
    let mut test = Test::new(one_shot(2));
    let flow = test.open(1, 'a');
    assert_eq!(reply(test.answer(flow)).client, client(1));
    let (reply, ended) = last_reply(test.answer(flow));
    assert_eq!((reply.client, ended.flow, ended.reason), (client(1), flow, Termination::Finished));
    assert_eq!((test.table.len(), test.table.wake_at()), (0, None));
    assert_eq!(test.answer(flow), FromBackend::Drop(DropReason::NoFlow));
}

#[test]
fn one_shot_waits_for_the_answers_to_all_questions() {
    let mut test = Test::new(one_shot(1));
    let flow = test.open(1, 'a');
    assert_eq!(test.send(1), FromClient::Forward(flow));
    let _ = reply(test.answer(flow));
    assert_eq!(test.send(1), FromClient::Forward(flow));
    let _ = reply(test.answer(flow));
    let _ = last_reply(test.answer(flow));
}

#[test]
fn one_shot_forwards_no_more_than_was_asked_for() {
    let mut test = Test::new(one_shot(2));
    let flow = test.open(1, 'a');
    let segment = NonZeroU16::new(100).unwrap();
    let (reply, ended) = last_reply(test.table.backend_sent(test.now, flow, Payload::joined(450, segment)));
    assert_eq!(reply.payload, Payload::joined(200, segment));
    assert_eq!(ended.from_backend, Traffic { datagrams: 2, bytes: 200 });
}

#[test]
fn one_shot_does_not_wait_for_a_backend_that_it_has_left() {
    let mut test = Test::new(one_shot(1));
    let flow = test.open(1, 'a');
    for _ in 0..5 {
        assert_eq!(test.send(1), FromClient::Forward(flow));
    }
    assert_eq!(test.fail(flow), BackendError::Moves);
    let flow = test.open(1, 'b');
    let _ = last_reply(test.answer(flow));
}

#[test]
fn one_shot_mode_can_be_switched() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    test.table.change(test.now, one_shot(1));
    let _ = reply(test.answer(flow));
    assert_eq!(test.send(1), FromClient::Forward(flow));
    test.table.change(test.now, settings());
    let _ = reply(test.answer(flow));
    test.table.change(test.now, one_shot(1));
    let _ = last_reply(test.answer(flow));
}

#[test]
fn a_failed_backend_is_left_with_the_next_datagram() {
    let mut test = Test::new(settings());
    let old = test.open(1, 'a');
    assert_eq!(test.fail(old), BackendError::Moves);
    assert_eq!(test.fail(old), BackendError::Known, "a burst of errors is one failure");
    let (flow, former) = test.opening(1);
    assert_eq!((former.map(|link| link.backend), test.table.tried(flow)), (Some('a'), &['a'][..]));
    test.table.opened(test.now, flow, link('b')).unwrap();
    assert_eq!(test.answer(old), FromBackend::Drop(DropReason::NoFlow));
    assert_eq!(test.fail(old), BackendError::Known);
    assert!(test.table.link_mut(old).is_none());
    assert_eq!(test.send(1), FromClient::Forward(flow));
    assert_eq!(reply(test.answer(flow)).client, client(1));
    assert_eq!(test.table.tried(flow), &[] as &[char], "an answer makes up for the failures");
}

#[test]
fn an_answer_after_an_error_keeps_the_flow_where_it_is() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    assert_eq!(test.fail(flow), BackendError::Moves);
    let _ = reply(test.answer(flow));
    assert_eq!(test.send(1), FromClient::Forward(flow));
}

#[test]
fn so_many_failures_in_a_row_end_a_flow() {
    let mut test = Test::new(settings());
    for backend in ['a', 'b'] {
        let flow = test.open(1, backend);
        assert_eq!(test.fail(flow), BackendError::Moves);
    }
    let flow = test.open(1, 'c');
    let BackendError::Ended(ended) = test.fail(flow) else { panic!("goes on") };
    assert_eq!((ended.flow, ended.reason), (flow, Termination::ConnectFailed));
    assert_eq!(ended.link.map(|link| link.backend), Some('c'));
    assert_eq!(test.opening(1).1, None, "the client begins anew");
}

#[test]
fn the_only_backend_is_tried_again() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    assert_eq!(test.fail(flow), BackendError::Moves);
    let (flow, _) = test.opening(1);
    assert_eq!(test.table.open_failed(test.now, flow, OpenFailure::NoBackend), OpenFailed::TryAnother);
    assert_eq!(test.table.tried(flow), &[] as &[char]);
    test.table.opened(test.now, flow, link('a')).unwrap();
    assert_eq!(test.fail(flow), BackendError::Moves);
    let (flow, _) = test.opening(1);
    assert_eq!(test.table.open_failed(test.now, flow, OpenFailure::NoBackend), OpenFailed::TryAnother);
    test.table.opened(test.now, flow, link('a')).unwrap();
    assert!(matches!(test.fail(flow), BackendError::Ended(_)), "but it counts");
}

#[test]
fn a_dead_backend_is_left_without_blame() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    test.table.link_mut(flow).unwrap().dead.set(true);
    assert_eq!(reply(test.answer(flow)).client, client(1), "it may still answer");
    let (flow, former) = test.opening(1);
    assert_eq!((former.map(|link| link.backend), test.table.tried(flow)), (Some('a'), &[] as &[char]));
}

#[test]
fn a_flow_that_ended_while_it_was_opened_takes_no_backend() {
    let mut test = Test::new(settings());
    let (flow, _) = test.opening(1);
    test.wait(IDLE + Deadlines::GRAIN);
    assert_eq!(test.expired(), [flow]);
    let late = link('a');
    assert_eq!(test.table.opened(test.now, flow, late.clone()), Err(late));
    assert_eq!(test.table.open_failed(test.now, flow, OpenFailure::NoBackend), OpenFailed::Gone);
}

#[test]
fn unreachable_backends_are_tried_once_each() {
    let mut test = Test::new(settings());
    let (flow, _) = test.opening(1);
    let failure = OpenFailure::Unreachable('a');
    assert_eq!(test.table.open_failed(test.now, flow, failure), OpenFailed::TryAnother);
    assert_eq!(test.table.tried(flow), &['a']);
    let OpenFailed::Ended(ended, dropped) = test.table.open_failed(test.now, flow, OpenFailure::NoBackend)
    else {
        panic!("tried again at once")
    };
    assert_eq!((ended.reason, dropped), (Termination::ConnectFailed, DropReason::ConnectFailed));
}

#[test]
fn no_more_backends_are_tried_than_may_be() {
    let mut test = Test::new(settings());
    let (flow, _) = test.opening(1);
    for backend in ['a', 'b'] {
        let failure = OpenFailure::Unreachable(backend);
        assert_eq!(test.table.open_failed(test.now, flow, failure), OpenFailed::TryAnother);
    }
    let last = test.table.open_failed(test.now, flow, OpenFailure::Unreachable('c'));
    assert!(matches!(last, OpenFailed::Ended(_, DropReason::ConnectFailed)), "{last:?}");
}

#[test]
fn a_flow_without_a_backend_ends_and_says_why() {
    let cases = [
        (OpenFailure::NoBackend, Termination::NoBackend, DropReason::NoBackend),
        (OpenFailure::BackendsFull, Termination::QueueFull, DropReason::BackendsFull),
        (OpenFailure::LocalResources, Termination::LocalResources, DropReason::LocalResources),
    ];
    for (failure, reason, dropped) in cases {
        let mut test = Test::new(settings());
        let (flow, _) = test.opening(1);
        let OpenFailed::Ended(ended, why) = test.table.open_failed(test.now, flow, failure) else {
            panic!("{failure:?} does not end it")
        };
        assert_eq!((ended.reason, why, ended.link), (reason, dropped, None));
        assert_eq!(test.table.len(), 0);
    }
}

#[test]
fn draining_serves_those_who_are_there() {
    let mut test = Test::new(settings());
    let flow = test.open(1, 'a');
    test.table.drain();
    assert_eq!(test.send(2), FromClient::Drop(DropReason::Draining));
    assert_eq!(test.send(1), FromClient::Forward(flow));
    assert_eq!(test.fail(flow), BackendError::Moves);
    let flow = test.open(1, 'b');
    let _ = reply(test.answer(flow));
    test.wait(IDLE + Deadlines::GRAIN);
    assert_eq!(test.expired(), [flow]);
    assert_eq!(test.send(1), FromClient::Drop(DropReason::Draining));
}

/// Catches: flows of a removed listener that end because their pool was removed along with it.
#[test]
fn a_flow_stays_where_there_is_nobody_to_move_to() {
    let mut test = Test::new(settings());
    let (flow, _) = test.opening(1);
    let removed = link('a');
    removed.dead.set(true);
    test.table.opened(test.now, flow, removed).unwrap();
    test.table.drain();
    test.table.stay();
    assert_eq!(test.send(1), FromClient::Forward(flow));
    let _ = reply(test.answer(flow));
    test.table.change(test.now, settings());
    assert_eq!(test.opening(1).1.map(|link| link.backend), Some('a'), "the listener is back");
}

#[test]
fn labels_are_unique() {
    let labels: HashSet<_> = DropReason::ALL.map(|reason| reason.to_string()).into();
    assert_eq!(labels.len(), DropReason::ALL.len());
}
