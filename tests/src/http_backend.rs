//! HTTP servers for the daemon to find, which do what a test writes down for each connection.

use std::io::{self, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::http_message::{BodyEnd, Message};
use crate::{End, Watched};

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, which remembers what it saw. It stops with this value.
#[derive(Debug)]
pub struct HttpBackend {
    name: String,
    address: SocketAddr,
    seen: Arc<Watched<Seen>>,
    listener: TcpListener,
    accepting: Option<JoinHandle<()>>,
}

/// What a server remembers.
#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Message>,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// All bytes that came.
    raw: Vec<u8>,
    /// How the handler's work on it ended.
    end: Option<End>,
}

/// A connection from the daemon, as its handler has it.
#[derive(Debug)]
pub struct Served {
    stream: BufReader<Recorded>,
    number: usize,
    seen: Arc<Watched<Seen>>,
}

/// A stream that remembers what was read from it.
#[derive(Debug)]
struct Recorded {
    stream: TcpStream,
    number: usize,
    seen: Arc<Watched<Seen>>,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        let read = buffer.get(..length).unwrap_or_default();
        self.seen.change(|seen| {
            if let Some(connection) = seen.connections.get_mut(self.number) {
                connection.raw.extend_from_slice(read);
            }
        });
        Ok(length)
    }
}

impl HttpBackend {
    /// Starts a server on `address` whose connections `handler` serves, each in a thread of its own.
    pub fn start(
        name: &str,
        address: SocketAddr,
        handler: impl Fn(&mut Served) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let seen = Arc::<Watched<Seen>>::default();
        let (accepted, shared) = (listener.try_clone().expect("a descriptor"), Arc::clone(&seen));
        let accept = move || accept_all(&accepted, &shared, &Arc::new(handler));
        let accepting = Some(std::thread::spawn(accept));
        Self { name: name.into(), address, seen, listener, accepting }
    }

    /// One that answers each request with what `answer` says, and keeps its connections.
    pub fn answering(
        name: &str,
        address: SocketAddr,
        answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::start(name, address, move |served| {
            while let Some(request) = served.request()? {
                served.send(&answer(&request))?;
            }
            Ok(())
        })
    }

    /// One that takes a request on each connection and never answers.
    pub fn silent(name: &str, address: SocketAddr) -> Self {
        Self::start(name, address, |served| {
            served.request()?;
            served.read_to_end()
        })
    }

    /// Its entry in a pool's `backends`, with further keys (`weight = 3`).
    pub fn entry(&self, keys: &str) -> String {
        let comma = if keys.is_empty() { "" } else { ", " };
        format!("{{ address = \"{}\", name = \"{}\"{comma}{keys} }}", self.address, self.name)
    }

    /// The requests that came whole so far.
    pub fn requests(&self) -> Vec<Message> {
        self.seen.read(|seen| seen.requests.clone())
    }

    /// Waits until at least `count` requests have come whole, and returns them.
    #[track_caller]
    pub fn wait_requests(&self, count: usize) -> Vec<Message> {
        let enough = |seen: &Seen| (seen.requests.len() >= count).then(|| seen.requests.clone());
        self.seen.wait(PATIENCE, enough).unwrap_or_else(|| panic!("only {:?}", self.requests()))
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.seen.read(|seen| seen.connections.len())
    }

    /// Waits until it has accepted `count` connections.
    #[track_caller]
    pub fn wait_connections(&self, count: usize) {
        let enough = self.seen.wait(PATIENCE, |seen| (seen.connections.len() >= count).then_some(()));
        assert!(enough.is_some(), "only {} connections", self.connections());
    }

    /// Whether the handler of connection `number`, from 0, is still at work.
    pub fn is_open(&self, number: usize) -> bool {
        self.seen.read(|seen| seen.connections.get(number).is_some_and(|connection| connection.end.is_none()))
    }

    /// Waits until the handler of connection `number`, from 0, is done, and says how it ended.
    #[track_caller]
    pub fn wait_end(&self, number: usize) -> End {
        let end = self.seen.wait(PATIENCE, |seen| seen.connections.get(number)?.end);
        end.unwrap_or_else(|| panic!("connection {number} goes on"))
    }

    /// All bytes that have come, by connection.
    pub fn raw(&self) -> Vec<Vec<u8>> {
        self.seen.read(|seen| seen.connections.iter().map(|connection| connection.raw.clone()).collect())
    }

    /// Waits until at least `count` bytes have come on connection `number`, from 0.
    #[track_caller]
    pub fn wait_raw(&self, number: usize, count: usize) {
        let came = |seen: &Seen| (seen.connections.get(number)?.raw.len() >= count).then_some(());
        assert!(self.seen.wait(PATIENCE, came).is_some(), "fewer than {count} bytes: {:?}", self.raw());
    }

    /// Closes all connections that there are, as a server does that has waited long enough.
    pub fn close_connections(&self) {
        self.seen.read(|seen| {
            for connection in &seen.connections {
                // Some are closed already.
                let _ = connection.stream.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Drop for HttpBackend {
    fn drop(&mut self) {
        // Wakes the thread that accepts.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        self.close_connections();
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

fn accept_all<H>(listener: &TcpListener, seen: &Arc<Watched<Seen>>, handler: &Arc<H>)
where
    H: Fn(&mut Served) -> io::Result<()> + Send + Sync + 'static,
{
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nodelay(true).expect("any TCP socket can");
        let kept = stream.try_clone().expect("a descriptor");
        let number = seen.change(|seen| {
            seen.connections.push(Connection { stream: kept, raw: vec![], end: None });
            seen.connections.len() - 1
        });
        let (seen, handler) = (Arc::clone(seen), Arc::clone(handler));
        std::thread::spawn(move || {
            let recorded = Recorded { stream, number, seen: Arc::clone(&seen) };
            let mut served = Served { stream: BufReader::new(recorded), number, seen: Arc::clone(&seen) };
            let result = handler(&mut served);
            // Two descriptors are open of it.
            let _ = served.stream.get_ref().stream.shutdown(Shutdown::Both);
            let end = result.as_ref().map_or_else(End::from, |()| End::Closed);
            seen.change(|seen| {
                if let Some(connection) = seen.connections.get_mut(number) {
                    connection.end = Some(end);
                }
            });
        });
    }
}

impl Served {
    /// Which connection it is, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Reads a request. `None`: the connection has ended before it.
    pub fn request(&mut self) -> io::Result<Option<Message>> {
        let Some(mut request) = self.head()? else { return Ok(None) };
        self.body(&mut request)?;
        Ok(Some(request))
    }

    /// Reads the head of a request only.
    pub fn head(&mut self) -> io::Result<Option<Message>> {
        Message::read_head(&mut self.stream)
    }

    /// Reads the body of the request whose head was read.
    pub fn body(&mut self, request: &mut Message) -> io::Result<()> {
        request.read_body(&mut self.stream, BodyEnd::AsFieldsSay)?;
        self.seen.change(|seen| seen.requests.push(request.clone()));
        Ok(())
    }

    /// Reads whatever comes next; nothing at the end of the connection.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 * 1024];
        let length = self.stream.read(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Reads whatever comes, until the connection ends.
    pub fn read_to_end(&mut self) -> io::Result<()> {
        while !self.some()?.is_empty() {}
        Ok(())
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().stream.write_all(bytes)
    }

    /// Has the connection end with a reset when the handler returns.
    pub fn reset(&mut self) {
        let socket = SockRef::from(&self.stream.get_ref().stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket has SO_LINGER");
    }
}

/// A response with this status and body, and a `Content-Length`.
pub fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    response.extend_from_slice(body);
    response
}

/// A body in chunks of `size`.
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let chunk = |chunk: &[u8]| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
    let mut chunks: Vec<u8> = body.chunks(size).flat_map(chunk).collect();
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}
