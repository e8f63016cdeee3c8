//! What the generator and the backend say to each other, through the proxy under test.
//!
//! A request is a header (how long the payload is, how long the reply shall be, and a seed) and a payload; then comes
//! the reply. Payload and reply are the one [`Pattern`], entered at a place that the seed chooses, so that bytes that
//! are lost, repeated, reordered or taken from another connection do not go unnoticed. The header is bytes of its own,
//! or an HTTP request that says the same: see [`Framing`].

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use anyhow::{Result, ensure};

use crate::bench::http;

/// Length of an encoded [`Header`].
pub(crate) const HEADER: usize = 24;

/// Most bytes that one read or write moves.
pub(crate) const CHUNK: usize = 256 << 10;

/// The pattern repeats after a prime number of bytes: never in step with a buffer size.
const PERIOD: usize = 65_521;

/// What one request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where payload and reply enter the pattern.
    pub(crate) seed: u64,
    /// Bytes that follow the header.
    pub(crate) payload: u64,
    /// Bytes that the backend answers.
    pub(crate) reply: u64,
}

impl Header {
    /// The header as it goes over the wire.
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let words = [self.seed, self.payload, self.reply];
        for (to, from) in out.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        out
    }

    /// The header that these bytes are.
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Self {
        let mut words =
            bytes.chunks_exact(8).map(|word| word.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
        let mut next = || words.next().unwrap_or_default();
        Self { seed: next(), payload: next(), reply: next() }
    }
}

/// What a connection begins with, before the first header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Preamble {
    /// Nothing.
    None,
    /// A PROXY protocol header.
    ProxyHeader,
    /// A TLS ClientHello.
    ClientHello,
}

/// How the header of a request is written, and whether a reply has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Framing {
    /// As [`HEADER`] bytes; a reply has none.
    Plain,
    /// As the head of an HTTP/1.1 request; a reply is an HTTP/1.1 response.
    Http,
}

/// How exchanges travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// On connections.
    Stream,
    /// As datagrams.
    Datagram,
}

impl Preamble {
    /// The server name in the hello.
    pub(crate) const SERVER_NAME: &str = "www.example.com";

    /// Its bytes.
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::None => &[],
            // Version 2: PROXY, TCP over IPv4, 192.0.2.1:1234 to 198.51.100.1:80.
            Self::ProxyHeader => {
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\x04\xd2\0\x50"
            }
            Self::ClientHello => {
                include_bytes!("../../../lb-daemon/crates/lb-net/fuzz/seeds/client_hello/openssl-tls13")
            }
        }
    }

    /// How long it is, as soon as its beginning tells.
    pub(crate) fn length(self, beginning: &[u8]) -> Option<usize> {
        let big_endian = |at: usize| {
            let bytes = beginning.get(at..at + 2)?;
            Some(bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)))
        };
        match self {
            Self::None => Some(0),
            Self::ProxyHeader if beginning.starts_with(b"PROXY ") => {
                beginning.iter().position(|&byte| byte == b'\n').map(|end| end + 1)
            }
            Self::ProxyHeader => big_endian(14).map(|rest| 16 + rest),
            Self::ClientHello => big_endian(3).map(|rest| 5 + rest),
        }
    }
}

/// The bytes that payloads and replies are made of.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    /// The pattern, long enough that a whole chunk can be read from any place of its period.
    pub(crate) fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let period: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(PERIOD)
        .collect();
        Self(period.iter().copied().cycle().take(PERIOD + CHUNK).collect())
    }

    /// A chunk of the pattern from `place` on.
    pub(crate) fn chunk(&self, place: u64) -> &[u8] {
        let start = usize::try_from(place % PERIOD as u64).unwrap_or(0);
        self.0.get(start..start + CHUNK).unwrap_or_default()
    }

    /// Checks received bytes, at most a chunk, against the pattern from `place` on.
    pub(crate) fn check(&self, place: u64, received: &[u8]) -> Result<()> {
        ensure!(self.chunk(place).starts_with(received), "received bytes differ from those that were sent");
        Ok(())
    }
}

/// A stretch of bytes on its way out: what comes before the pattern, then pattern.
#[derive(Debug)]
pub(crate) struct Outgoing {
    before: Vec<u8>,
    seed: u64,
    body: u64,
    sent: u64,
}

/// How far a write got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// All is out.
    All,
    /// Some went out; there may be room for more.
    Some,
    /// The socket's buffer is full.
    Blocked,
}

/// Whether a connection has further requests after one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// It has.
    Inner,
    /// It has not, and says so if it can.
    Last,
}

impl Outgoing {
    /// A request: the header and its payload.
    pub(crate) fn request(framing: Framing, header: Header, position: Position) -> Self {
        let before = match framing {
            Framing::Plain => header.encode().to_vec(),
            Framing::Http => http::request_head(header, position),
        };
        Self { before, seed: header.seed, body: header.payload, sent: 0 }
    }

    /// The same, on a new connection.
    pub(crate) fn after(mut self, preamble: Preamble) -> Self {
        self.before.splice(..0, preamble.bytes().iter().copied());
        self
    }

    /// The reply to a request.
    pub(crate) fn reply(framing: Framing, header: Header) -> Self {
        let before = match framing {
            Framing::Plain => Vec::new(),
            Framing::Http => http::response_head(header),
        };
        Self { before, seed: header.seed, body: header.reply, sent: 0 }
    }

    /// Writes once.
    pub(crate) fn write(&mut self, mut stream: &TcpStream, pattern: &Pattern) -> io::Result<Written> {
        let before_sent = usize::try_from(self.sent).unwrap_or(usize::MAX).min(self.before.len());
        let before = self.before.get(before_sent..).unwrap_or_default();
        let body_sent = self.sent - before_sent as u64;
        let body_rest = usize::try_from(self.body - body_sent).unwrap_or(CHUNK).min(CHUNK);
        let body = pattern.chunk(self.seed.wrapping_add(body_sent)).get(..body_rest).unwrap_or_default();
        let written = match before {
            [] => stream.write(body),
            before => stream.write_vectored(&[before, body].map(IoSlice::new)),
        };
        match written {
            Ok(n) => self.sent += n as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Written::Blocked),
            Err(error) => return Err(error),
        }
        let all = self.before.len() as u64 + self.body;
        Ok(if self.sent == all { Written::All } else { Written::Some })
    }
}

/// A head on its way in: collects bytes until it is whole.
#[derive(Debug, Default)]
pub(crate) struct IncomingHead(Vec<u8>);

impl IncomingHead {
    /// Takes received bytes. When the head of a request is whole: what it says, and the bytes that follow it.
    pub(crate) fn request<'r>(
        &mut self,
        framing: Framing,
        received: &'r [u8],
    ) -> Result<Option<(Header, &'r [u8])>> {
        self.take(received, |bytes| match framing {
            Framing::Plain => Ok(bytes.first_chunk().map(|header| (Header::decode(header), HEADER))),
            Framing::Http => http::read_request_head(bytes),
        })
    }

    /// The same of the head of an HTTP response: the length of its body.
    pub(crate) fn response<'r>(&mut self, received: &'r [u8]) -> Result<Option<(u64, &'r [u8])>> {
        self.take(received, http::read_response_head)
    }

    /// `read` says what a head says and how long it is, if that much is there.
    fn take<'r, T>(
        &mut self,
        received: &'r [u8],
        read: impl Fn(&[u8]) -> Result<Option<(T, usize)>>,
    ) -> Result<Option<(T, &'r [u8])>> {
        let before = self.0.len();
        // Heads come whole, almost always: then nothing is copied.
        let found = if before == 0 {
            read(received)?
        } else {
            self.0.extend_from_slice(received);
            read(&self.0)?
        };
        let Some((head, length)) = found else {
            if before == 0 {
                self.0.extend_from_slice(received);
            }
            return Ok(None);
        };
        self.0.clear();
        Ok(Some((head, received.get(length - before..).unwrap_or_default())))
    }
}

/// Reads once into `buffer`: the bytes read, nothing at the end of the stream, or `None` where there is nothing yet.
pub(crate) fn read<'b>(mut stream: &TcpStream, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
    match stream.read(buffer) {
        Ok(n) => Ok(buffer.get(..n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        let header = Header { seed: u64::MAX - 7, payload: 76, reply: 5 << 30 };
        assert_eq!(Header::decode(&header.encode()), header);
    }

    #[test]
    fn the_pattern_notices_a_shift_of_any_power_of_two() {
        let pattern = Pattern::new();
        pattern.check(10, &pattern.chunk(10)[..1024]).unwrap();
        for shift in (0..40).map(|bit| 1_u64 << bit) {
            assert!(pattern.check(10, &pattern.chunk(10 + shift)[..1024]).is_err(), "shift by {shift}");
        }
    }

    #[test]
    fn preambles_tell_their_length() {
        for preamble in [Preamble::None, Preamble::ProxyHeader, Preamble::ClientHello] {
            assert_eq!(preamble.length(preamble.bytes()), Some(preamble.bytes().len()));
        }
        assert_eq!(Preamble::ProxyHeader.length(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nx"), Some(32));
    }

    #[test]
    fn a_request_arrives_as_header_and_payload() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let pattern = Pattern::new();
        let header = Header { seed: 3, payload: 1000, reply: 1 };

        let mut request = Outgoing::request(Framing::Plain, header, Position::Last);
        while request.write(&client, &pattern).unwrap() != Written::All {}
        let mut received = vec![0; HEADER + 1000];
        server.read_exact(&mut received).unwrap();

        let (head, payload) = received.split_first_chunk().unwrap();
        assert_eq!(Header::decode(head), header);
        pattern.check(3, payload).unwrap();
    }

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let header = Header { seed: 77, payload: 3, reply: 5 };
        for framing in [Framing::Plain, Framing::Http] {
            let mut bytes = Outgoing::request(framing, header, Position::Inner).before;
            bytes.extend_from_slice(b"abc");
            for cut in 1..bytes.len() {
                let (first, second) = bytes.split_at(cut);
                let mut head = IncomingHead::default();
                let found = match head.request(framing, first).unwrap() {
                    Some((found, rest)) => (found, [rest, second].concat()),
                    None => {
                        let (found, rest) = head.request(framing, second).unwrap().unwrap();
                        (found, rest.to_vec())
                    }
                };
                assert_eq!(found, (header, b"abc".to_vec()), "{framing:?} cut at {cut}");
            }
        }
    }
}
