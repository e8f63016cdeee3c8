//! Connection limits of a listener and of the process: they hold over all workers, and who is over waits.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lb_tests::{Backend, Behaviour, Config, Daemon, Loopback, client};

const LIMIT: usize = 4;

#[test]
fn a_listener_serves_no_more_than_its_limit_and_the_rest_wait() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let listener = format!("max_connections = {LIMIT}");
    let config = Config::new().listener("web", at.port(0), &listener).pool("web", [&backend], "");
    let _daemon = Daemon::start(config);
    served_in_turn(&backend, &[at.port(0)]);
}

#[test]
fn the_process_serves_no_more_than_its_limit_over_all_listeners() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new()
        .global(&format!("max_connections = {LIMIT}"))
        .listener("one", at.port(0), "")
        .pool("one", [&backend], "")
        .listener("two", at.port(1), "")
        .pool("two", [&backend], "");
    let _daemon = Daemon::start(config);
    served_in_turn(&backend, &[at.port(0), at.port(1)]);
}

#[test]
fn a_full_listener_does_not_keep_another_from_serving() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new()
        .listener("small", at.port(0), "max_connections = 1")
        .pool("small", [&backend], "")
        .listener("other", at.port(1), "")
        .pool("other", [&backend], "");
    let _daemon = Daemon::start(config);
    let _served = open(at.port(0));
    let _waiting: Vec<_> = (0..8).map(|_| client::connect(at.port(0)).unwrap()).collect();
    for _ in 0..16 {
        open(at.port(1));
    }
    assert_eq!(backend.accepted(), 17);
}

/// Opens as many connections as may be, then many more: each of those is served when an earlier one ends. They go to
/// sockets of all workers, so most of them are woken by a connection that ends on another worker.
#[track_caller]
fn served_in_turn(backend: &Backend, listeners: &[SocketAddr]) {
    let mut listeners = listeners.iter().copied().cycle();
    let mut connect = || client::connect(listeners.next().unwrap()).unwrap();
    let mut served: Vec<_> = (0..LIMIT).map(|_| connect()).collect();
    for stream in &served {
        assert_eq!(client::read_line(stream).unwrap(), "b");
    }
    let mut waiting: Vec<_> = (0..40).map(|_| connect()).collect();
    for stream in &waiting {
        assert_waits(stream, Duration::from_millis(5));
    }
    while !waiting.is_empty() {
        drop(served.pop());
        // Which of them is next is the kernel's and the workers' business; that one is, is ours.
        served.push(take_first_served(&mut waiting));
    }
    assert_eq!(backend.most_open(), LIMIT, "never more than the limit at once");
    assert_eq!(backend.accepted(), LIMIT + 40);
}

#[track_caller]
fn assert_waits(stream: &TcpStream, observed: Duration) {
    stream.set_read_timeout(Some(observed)).unwrap();
    assert_eq!(stream.peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it should wait");
    stream.set_read_timeout(Some(client::PATIENCE)).unwrap();
}

/// Takes out the client that is greeted first.
#[track_caller]
fn take_first_served(waiting: &mut Vec<TcpStream>) -> TcpStream {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds: Vec<_> = waiting.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
    let patience = Timespec::try_from(client::PATIENCE).unwrap();
    assert_ne!(
        poll(&mut fds, Some(&patience)).unwrap(),
        0,
        "a place is free, but none of {} is served",
        fds.len()
    );
    let first = fds.iter().position(|fd| !fd.revents().is_empty()).unwrap();
    let stream = waiting.swap_remove(first);
    assert_eq!(client::read_line(&stream).unwrap(), "b");
    stream
}

#[track_caller]
fn open(listen: SocketAddr) -> TcpStream {
    let stream = client::connect(listen).unwrap();
    assert_eq!(client::read_line(&stream).unwrap(), "b");
    stream
}
