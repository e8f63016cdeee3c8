//! How flows end, and what is told of them.

use lb_model::Termination;
use lb_tests::{UdpAnswers, UdpClient, eventually, process};
use rustix::process::Signal;

use super::{LONG, ONE_SHOT, PATIENCE, Site, ask_all};

#[test]
fn an_idle_flow_is_forgotten_and_told_with_all_that_it_moved() {
    let site = Site::answering(UdpAnswers::None, ["a"], "idle_timeout = \"300ms\"", "");
    let client = site.client();
    // All at once, so that however slow the machine is it is one flow.
    for payload in ["1", "", "333"] {
        client.send(payload.as_bytes());
    }
    let record = site.daemon.wait_for_record(client.address());
    assert_eq!((record.reason, record.listener.as_str()), (Termination::IdleTimeout, "dns"));
    assert_eq!((record.client, record.local), (client.address(), site.listen()));
    assert_eq!((record.pool.as_str(), record.backend.as_deref()), ("dns", Some("a")));
    assert_eq!((record.datagrams_in, record.datagrams_out), (Some(3), Some(0)));
    assert_eq!((record.bytes_in, record.bytes_out, record.tries), (4, 0, 1));
    assert!(record.duration_us >= 300_000, "it was idle for its timeout: {record:?}");
    site.wait_for_flows(0);
}

/// Catches: timeouts that count from the first datagram, or from the last of one side only.
#[test]
fn datagrams_of_either_side_keep_a_flow() {
    const TIMES: u32 = 10;

    let site = Site::answering(UdpAnswers::None, ["a"], "idle_timeout = \"2s\"", "");
    let clients = site.clients(2);
    clients.iter().for_each(|client| client.send(&client.address().port().to_be_bytes()));
    let flow = |client: &UdpClient| {
        let received = site.backend().wait_received(2);
        let own = client.address().port().to_be_bytes();
        received.into_iter().find(|received| received.payload == own).unwrap().from
    };
    let (sends, listens) = (&clients[0], &clients[1]);
    let (first, second) = (flow(sends), flow(listens));
    // Longer than the timeout, in steps that are much shorter.
    for _ in 0..TIMES {
        lb_tests::observe(std::time::Duration::from_millis(300));
        sends.send(b"+");
        site.backend().send(second, b"-");
        assert_eq!(listens.receive(), b"-");
    }
    let received = site.backend().wait_received(2 + TIMES as usize);
    assert!(received.iter().skip(2).all(|received| received.from == first), "it is the same flow");
    let records = site.daemon.wait_for_records(2);
    assert!(records.iter().all(|record| record.reason == Termination::IdleTimeout), "{records:?}");
    let record = site.daemon.wait_for_record(sends.address());
    assert_eq!((record.datagrams_in, record.datagrams_out), (Some(11), Some(0)));
    let record = site.daemon.wait_for_record(listens.address());
    assert_eq!((record.datagrams_in, record.datagrams_out), (Some(1), Some(10)));
}

#[test]
fn a_client_whose_flow_was_forgotten_begins_another() {
    let site = Site::answering(UdpAnswers::None, ["a"], "idle_timeout = \"200ms\"", "");
    let client = site.client();
    client.send(b"first");
    let first = site.backend().wait_received(1)[0].from;
    site.daemon.wait_for_record(client.address());
    // Nobody waits for it any more, whoever the client is by now.
    site.backend().send(first, b"too late");
    client.send(b"second");
    let second = site.backend().wait_received(2)[1].from;
    site.backend().send(second, b"in time");
    assert_eq!(client.receive(), b"in time");
    assert_eq!(site.daemon.wait_for_records(2).len(), 2);
}

#[test]
fn a_one_shot_flow_ends_with_its_last_reply() {
    for replies in [1, 2, 5] {
        let listener = format!("{LONG}\nreplies = {replies}");
        let site = Site::answering(UdpAnswers::Tags(replies), ["a"], &listener, "");
        let clients = site.clients(20);
        for client in &clients {
            client.send(b"question");
        }
        for client in &clients {
            let answers: Vec<_> = (0..replies).map(|_| client.receive_tagged()).collect();
            assert!(answers.iter().all(|answer| *answer == answers[0] && answer.1 == b"question"));
            let record = site.daemon.wait_for_record(client.address());
            assert_eq!(record.reason, Termination::Finished);
            assert_eq!((record.datagrams_in, record.datagrams_out), (Some(1), Some(replies as u64)));
        }
        site.wait_for_flows(0);
    }
}

/// Resolvers ask for A and AAAA from one port. Catches: a flow that ends with the first answer.
#[test]
fn two_questions_from_one_port_get_both_answers() {
    let site = Site::answering(UdpAnswers::None, ["a"], ONE_SHOT, "");
    let client = site.client();
    client.send(b"A");
    client.send(b"AAAA");
    let received = site.backend().wait_received(2);
    let flow = received[0].from;
    assert_eq!(received[1].from, flow, "it is one flow");
    // Their order is the server's business.
    for answer in ["AAAA", "A"] {
        site.backend().send(flow, answer.as_bytes());
        assert_eq!(client.receive(), answer.as_bytes());
    }
    let record = site.daemon.wait_for_record(client.address());
    assert_eq!(record.reason, Termination::Finished);
    assert_eq!((record.datagrams_in, record.datagrams_out), (Some(2), Some(2)));
}

#[test]
fn an_answer_too_many_is_dropped_and_counted() {
    let site = Site::answering(UdpAnswers::None, ["a"], ONE_SHOT, "");
    let client = site.client();
    client.send(b"A");
    client.send(b"AAAA");
    let flow = site.backend().wait_received(2)[0].from;
    // All of them are there before the daemon looks: once the flow's socket is closed, it is the kernel that drops.
    site.daemon.suspend();
    ["one", "two", "three"].iter().for_each(|answer| site.backend().send(flow, answer.as_bytes()));
    site.daemon.signal(Signal::CONT);
    assert_eq!([client.receive(), client.receive()], [b"one", b"two"]);
    site.wait_for_dropped("no_flow", 1);
    client.assert_nothing_more();
    let record = site.daemon.wait_for_record(client.address());
    assert_eq!((record.reason, record.datagrams_out), (Termination::Finished, Some(2)));
}

/// Catches: sockets that outlive their flows.
#[test]
fn flows_leave_no_descriptors_behind() {
    const ROUNDS: usize = 20;
    const AT_ONCE: usize = 100;

    let site = Site::start(["a", "b"], ONE_SHOT, "balance = \"round_robin\"");
    // What workers make once is made.
    ask_all(&site.clients(AT_ONCE));
    site.wait_for_flows(0);
    let before = process::open_fds(site.daemon.pid());
    for _ in 0..ROUNDS {
        let clients = site.clients(AT_ONCE);
        clients.iter().for_each(|client| client.send(b"?"));
        clients.iter().for_each(|client| assert_eq!(client.receive_tagged().1, b"?"));
    }
    assert_eq!(site.daemon.wait_for_records((ROUNDS + 1) * AT_ONCE).len(), (ROUNDS + 1) * AT_ONCE);
    // The admin connections of this test come and go, too.
    eventually(PATIENCE, "the descriptors of flows are closed", || {
        process::open_fds(site.daemon.pid()) <= before
    });
}
