//! What a backend does with a connection.

use std::str::FromStr;
use std::{fmt, io};

use anyhow::{Context as _, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::{Content, Digest, Exchange, Hasher};

/// What a backend does with each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Sends its name and a newline, then everything that it gets, until the client closes.
    Tag,
    /// Sends everything back, until the client closes.
    Echo,
    /// Does its part of an [`Exchange`].
    Exchange,
    /// Sends its name and a newline and closes for writing, then reads to the end.
    CloseFirst,
    /// Reads to the end, then sends its name and a newline and waits for the other side to reset the connection.
    Linger,
    /// Neither reads nor writes.
    Stall,
    /// Resets the connection when it gets something.
    Reset,
    /// Answers one HTTP request with its name, and closes.
    Http,
}

impl Behaviour {
    const ALL: [Self; 8] = [
        Self::Tag,
        Self::Echo,
        Self::Exchange,
        Self::CloseFirst,
        Self::Linger,
        Self::Stall,
        Self::Reset,
        Self::Http,
    ];

    /// Serves one connection to its end; adds what it reads to `received`.
    pub(crate) async fn serve(
        self,
        name: &str,
        stream: &mut TcpStream,
        received: &mut Hasher,
    ) -> io::Result<()> {
        match self {
            Self::Tag => {
                stream.write_all(format!("{name}\n").as_bytes()).await?;
                echo(stream, received).await
            }
            Self::Echo => echo(stream, received).await,
            Self::Exchange => exchange(stream, received).await,
            Self::CloseFirst => {
                stream.write_all(format!("{name}\n").as_bytes()).await?;
                stream.shutdown().await?;
                read_to_end(&mut stream.split().0, received).await
            }
            Self::Linger => {
                read_to_end(&mut stream.split().0, received).await?;
                stream.write_all(format!("{name}\n").as_bytes()).await?;
                stream.ready(Interest::ERROR).await?;
                stream.take_error()?.map_or(Ok(()), Err)
            }
            Self::Stall => std::future::pending().await,
            Self::Reset => {
                // A read: tokio takes a socket that was just accepted for readable, and a reset within the handshake would
                // be a connect that failed.
                stream.read_exact(&mut [0]).await?;
                stream.set_zero_linger()
            }
            Self::Http => http(name, stream, received).await,
        }
    }
}

/// Its name, as in an argument of a [`BackendProcess`](crate::BackendProcess).
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Behaviour {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let named = Self::ALL.into_iter().find(|behaviour| behaviour.to_string() == name);
        named.with_context(|| format!("no behaviour is called {name:?}"))
    }
}

/// Large enough to be quick, small enough for thousands of connections.
const BUFFER: usize = 32 * 1024;

async fn echo(stream: &mut TcpStream, received: &mut Hasher) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        received.update(bytes);
        stream.write_all(bytes).await?;
    }
}

async fn read_to_end(stream: &mut ReadHalf<'_>, received: &mut Hasher) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        received.update(buffer.get(..length).unwrap_or_default());
    }
}

async fn exchange(stream: &mut TcpStream, received: &mut Hasher) -> io::Result<()> {
    let mut order = [0; Exchange::ORDER_LEN];
    stream.read_exact(&mut order).await?;
    let order = Exchange::from_order(&order);
    let (mut from, mut to) = stream.split();
    let ((), sent) = tokio::try_join!(read_to_end(&mut from, received), send(&mut to, order))?;
    to.write_all(&sent.to_wire()).await?;
    to.write_all(&received.finish().to_wire()).await?;
    to.shutdown().await
}

async fn send(to: &mut WriteHalf<'_>, order: Exchange) -> io::Result<Digest> {
    let mut content = Content::new(order.seed);
    let mut sent = Hasher::default();
    while sent.bytes() < order.down {
        let bytes = content.next_slice(order.down - sent.bytes());
        sent.update(bytes);
        to.write_all(bytes).await?;
    }
    Ok(sent.finish())
}

async fn http(name: &str, stream: &mut TcpStream, received: &mut Hasher) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await?;
        head.push(byte);
    }
    received.update(&head);
    let length = name.len() + 1;
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}\n");
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}
