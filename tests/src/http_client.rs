//! A client that speaks HTTP/1.1 by the byte.

use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::http_message::{BodyEnd, Message};
use crate::{End, client};

/// A connection to the daemon.
#[derive(Debug)]
pub struct HttpClient {
    stream: BufReader<TcpStream>,
}

impl HttpClient {
    /// Connects to `address`.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = client::connect(address).expect("the daemon listens there");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends these bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the daemon reads");
    }

    /// Sends these bytes, unless the daemon reads no more.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Reads a response.
    #[track_caller]
    pub fn response(&mut self) -> Message {
        self.try_response(BodyEnd::AtClose).expect("a response").expect("the connection goes on")
    }

    /// Reads a response that has no body, whatever its fields say.
    #[track_caller]
    pub fn bodiless(&mut self) -> Message {
        self.try_response(BodyEnd::NoBody).expect("a response").expect("the connection goes on")
    }

    /// Reads a response; `None` if the connection has ended in order before it.
    pub fn try_response(&mut self, end: BodyEnd) -> io::Result<Option<Message>> {
        Message::read(&mut self.stream, end)
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request);
        self.response()
    }

    /// `GET target` of the host `test`.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Message {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// Reads to the end, and says what came and how it ended.
    pub fn rest(self) -> (Vec<u8>, End) {
        client::read_to_end(self.stream)
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Closes it with a reset.
    pub fn reset(self) {
        client::reset(self.stream.into_inner());
    }
}
