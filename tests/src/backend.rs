//! TCP servers for the daemon to find.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::sync::oneshot;

use crate::{Behaviour, Digest, End, Hasher, Namespace, Watched};

/// A server that does one thing with every connection, and remembers what it saw. It stops with this value.
#[derive(Debug)]
pub struct Backend {
    name: String,
    address: SocketAddr,
    behaviour: Arc<Watched<Behaviour>>,
    seen: Arc<Watched<Seen>>,
    server: Option<Server>,
}

/// What a backend remembers, over all its restarts.
#[derive(Debug, Default)]
struct Seen {
    accepted: usize,
    open: usize,
    most_open: usize,
    ended: Vec<(Digest, End)>,
}

#[derive(Debug)]
struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Backend {
    /// Starts a backend on `address`.
    pub fn start(name: &str, address: SocketAddr, behaviour: Behaviour) -> Self {
        Self::on(listen(address, BACKLOG), name, address, behaviour)
    }

    /// Starts a backend on `address` of `namespace`.
    pub fn start_in(namespace: &Namespace, name: &str, address: SocketAddr, behaviour: Behaviour) -> Self {
        Self::on(namespace.enter(|| listen(address, BACKLOG)), name, address, behaviour)
    }

    fn on(listener: TcpListener, name: &str, address: SocketAddr, behaviour: Behaviour) -> Self {
        let behaviour = Arc::new(Watched::new(behaviour));
        let mut backend = Self { name: name.into(), address, behaviour, seen: Arc::default(), server: None };
        backend.serve(listener);
        backend
    }

    /// Starts it again on the same address, after [`Self::stop`].
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "{} runs already", self.name);
        self.serve(listen(self.address, BACKLOG));
    }

    /// Closes the listening socket and all connections.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            // An error means that the thread has ended, which the join reports.
            let _ = server.stop.send(());
            server.thread.join().expect("a backend's thread panicked");
        }
    }

    fn serve(&mut self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let (name, behaviour) = (self.name.clone(), Arc::clone(&self.behaviour));
        let seen = Arc::clone(&self.seen);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            let accept = accept_all(listener, name, behaviour, seen);
            // Dropping the runtime drops all connections.
            runtime.expect("making a runtime").block_on(async {
                tokio::select! {
                    never = accept => never.expect("accepting connections"),
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name(format!("backend {}", self.name)).spawn(serve);
        self.server = Some(Server { stop, thread: thread.expect("starting a thread") });
    }

    /// Does this with connections that it accepts from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.change(|now| *now = behaviour);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.seen.read(|seen| seen.accepted)
    }

    /// How many connections it has now.
    pub fn open(&self) -> usize {
        self.seen.read(|seen| seen.open)
    }

    /// How many connections it had at once at most.
    pub fn most_open(&self) -> usize {
        self.seen.read(|seen| seen.most_open)
    }

    /// Its entry in a pool's `backends`, with further keys (`weight = 3`).
    pub fn entry(&self, keys: &str) -> String {
        let comma = if keys.is_empty() { "" } else { ", " };
        format!("{{ address = \"{}\", name = \"{}\"{comma}{keys} }}", self.address, self.name)
    }

    /// Waits until it has exactly `count` connections.
    #[track_caller]
    pub fn wait_open(&self, count: usize) {
        let reached = self.seen.wait(PATIENCE, |seen| (seen.open == count).then_some(()));
        assert!(reached.is_some(), "{} has {} connections, not {count}", self.name, self.open());
    }

    /// Waits until `count` connections have ended, and says what the last of them brought and how it ended.
    #[track_caller]
    pub fn wait_ended(&self, count: usize) -> (Digest, End) {
        let last = self.seen.wait(PATIENCE, |seen| seen.ended.get(count.checked_sub(1)?).copied());
        last.unwrap_or_else(|| panic!("fewer than {count} connections of {} have ended", self.name))
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server that is hung: its backlog is full, so the kernel ignores further connections.
#[derive(Debug)]
pub struct Hang {
    _listener: TcpListener,
    _fills_the_backlog: TcpStream,
}

impl Hang {
    /// Starts it on `address`.
    pub fn start(address: SocketAddr) -> Self {
        // Linux accepts one connection more than the backlog says.
        let listener = listen(address, 0);
        let fill = TcpStream::connect(address).expect("the first connection fits");
        Self { _listener: listener, _fills_the_backlog: fill }
    }
}

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const BACKLOG: i32 = 4096;

fn listen(address: SocketAddr, backlog: i32) -> TcpListener {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket.into())
    };
    listen().unwrap_or_else(|error| panic!("listening on {address}: {error}"))
}

async fn accept_all(
    listener: TcpListener,
    name: String,
    behaviour: Arc<Watched<Behaviour>>,
    seen: Arc<Watched<Seen>>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let name: Arc<str> = name.into();
    loop {
        let (stream, _) = listener.accept().await?;
        seen.change(|seen| {
            seen.accepted += 1;
            seen.open += 1;
            seen.most_open = seen.most_open.max(seen.open);
        });
        let connection = Connection { received: Hasher::default(), end: None, seen: Arc::clone(&seen) };
        let behaviour = behaviour.read(|now| *now);
        #[expect(clippy::disallowed_methods, reason = "dropping the runtime ends these tasks")]
        tokio::spawn(serve(behaviour, Arc::clone(&name), stream, connection));
    }
}

async fn serve(
    behaviour: Behaviour,
    name: Arc<str>,
    mut stream: tokio::net::TcpStream,
    mut connection: Connection,
) {
    let result = behaviour.serve(&name, &mut stream, &mut connection.received).await;
    connection.end = Some(result.as_ref().map_or_else(End::from, |()| End::Closed));
}

/// Keeps the books of one connection, also when it is cut by [`Backend::stop`].
struct Connection {
    received: Hasher,
    end: Option<End>,
    seen: Arc<Watched<Seen>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.seen.change(|seen| {
            seen.open -= 1;
            seen.ended.extend(self.end.map(|end| (self.received.finish(), end)));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::{Content, Exchange, Loopback, client};

    #[test]
    fn an_exchange_proves_content_both_ways() {
        let backend = Backend::start("b", Loopback::new().backend(0), Behaviour::Exchange);
        for (up, down) in [(0, 0), (1, 70_000), (3_000_000, 5_000_000)] {
            let stream = client::connect(backend.address()).unwrap();
            let exchanged = Exchange { seed: up, up, down }.run(&stream).unwrap();
            assert_eq!(exchanged.bytes_out, down + 80);
        }
        assert_eq!(backend.wait_ended(3).1, End::Closed);
    }

    #[test]
    fn an_exchange_with_something_else_fails() {
        let backend = Backend::start("b", Loopback::new().backend(0), Behaviour::Echo);
        let stream = client::connect(backend.address()).unwrap();
        Exchange { seed: 1, up: 1000, down: 1000 }.run(&stream).unwrap_err();
    }

    #[test]
    fn ends_are_seen_on_both_sides() {
        let at = Loopback::new();
        let tag = Backend::start("tag", at.backend(0), Behaviour::Tag);
        let stream = client::connect(tag.address()).unwrap();
        assert_eq!(client::read_line(&stream).unwrap(), "tag");
        (&stream).write_all(&Content::new(1).take(100)).unwrap();
        assert_eq!(client::read_bytes(&stream, 100).unwrap(), Content::new(1).take(100));
        client::reset(stream);
        assert_eq!(tag.wait_ended(1), (Digest::of(&Content::new(1).take(100)), End::Reset));

        let linger = Backend::start("linger", at.backend(1), Behaviour::Linger);
        let stream = client::connect(linger.address()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        linger.wait_open(1);
        client::reset(stream);
        assert_eq!(linger.wait_ended(1).1, End::Reset);

        let reset = Backend::start("reset", at.backend(2), Behaviour::Reset);
        let stream = client::connect(reset.address()).unwrap();
        (&stream).write_all(b"x").unwrap();
        assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    }

    #[test]
    fn a_stopped_backend_refuses_until_it_is_restarted() {
        let mut backend = Backend::start("b", Loopback::new().backend(0), Behaviour::Tag);
        let open = client::connect(backend.address()).unwrap();
        client::read_line(&open).unwrap();
        backend.stop();
        assert_eq!(client::connect(backend.address()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        backend.restart();
        client::read_line(&client::connect(backend.address()).unwrap()).unwrap();
        assert_eq!(backend.accepted(), 2);
    }

    #[test]
    fn a_hung_backend_does_not_answer() {
        let hang = Loopback::new().backend(0);
        let _hang = Hang::start(hang);
        let error = client::connect_within(hang, Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
