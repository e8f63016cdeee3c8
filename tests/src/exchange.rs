//! A transfer in both directions at once, proved by hashes at both ends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context as _, Result, ensure};

use crate::{Content, Digest, Hasher};

/// A transfer between a client and a backend that has [`Behaviour::Exchange`](crate::Behaviour::Exchange).
///
/// The client sends an order (seed and `down`), then `up` bytes, and closes for writing; meanwhile the backend sends
/// `down` bytes. Then the backend says what it has sent and what it has received, and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Which content is sent.
    pub seed: u64,
    /// Bytes from the client to the backend.
    pub up: u64,
    /// Bytes from the backend to the client.
    pub down: u64,
}

/// What went over the client's connection, everything included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchanged {
    /// From the client to the backend.
    pub bytes_in: u64,
    /// From the backend to the client.
    pub bytes_out: u64,
}

impl Exchange {
    pub(crate) const ORDER_LEN: usize = 16;
    const REPORT_LEN: usize = 2 * Digest::WIRE_LEN;

    /// Does the client's part; an error says in what the content differs.
    pub fn run(self, stream: &TcpStream) -> Result<Exchanged> {
        self.order(stream)?;
        self.after_order(stream)
    }

    /// Does the rest of the client's part, after [`Self::order`].
    pub fn after_order(self, stream: &TcpStream) -> Result<Exchanged> {
        std::thread::scope(|scope| {
            let upload = scope.spawn(|| self.upload(stream));
            let downloaded = self.download(stream).context("downloading");
            // Before the report is read: until the upload is over there is none, however long one waits.
            let uploaded = upload.join().expect("upload does not panic").context("uploading");
            let (downloaded, uploaded) = (downloaded?, uploaded?);
            let report = Self::report(stream).context("reading the backend's report")?;
            let (sent, received) = report.split_first_chunk().context("a report is two digests")?;
            let sent = Digest::from_wire(sent);
            let received = Digest::from_wire(received.try_into()?);
            ensure!(downloaded == sent, "the backend sent {sent:?}, the client received {downloaded:?}");
            ensure!(uploaded == received, "the client sent {uploaded:?}, the backend received {received:?}");
            Ok(Exchanged {
                bytes_in: Self::ORDER_LEN as u64 + self.up,
                bytes_out: self.down + Self::REPORT_LEN as u64,
            })
        })
    }

    /// Sends the order and nothing else: for clients that are late or do not do their part.
    pub fn order(self, mut stream: &TcpStream) -> Result<()> {
        let mut order = [0; Self::ORDER_LEN];
        let (seed, down) = order.split_at_mut(8);
        seed.copy_from_slice(&self.seed.to_be_bytes());
        down.copy_from_slice(&self.down.to_be_bytes());
        stream.write_all(&order).context("sending the order")
    }

    /// What a backend knows of the exchange.
    pub(crate) fn from_order(order: &[u8; Self::ORDER_LEN]) -> Self {
        let (seed, down) = order.split_at(8);
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("half of 16 bytes"));
        Self { seed: number(seed), up: 0, down: number(down) }
    }

    fn upload(self, mut stream: &TcpStream) -> Result<Digest> {
        // Another stream than the backend's, so that an echo is not mistaken for it.
        let mut content = Content::new(!self.seed);
        let mut sent = Hasher::default();
        while sent.bytes() < self.up {
            let bytes = content.next_slice(self.up - sent.bytes());
            sent.update(bytes);
            stream.write_all(bytes)?;
        }
        stream.shutdown(Shutdown::Write)?;
        Ok(sent.finish())
    }

    fn download(self, mut stream: &TcpStream) -> Result<Digest> {
        let mut received = Hasher::default();
        let mut buffer = vec![0; 128 * 1024];
        while received.bytes() < self.down {
            let want = usize::try_from(self.down - received.bytes())?.min(buffer.len());
            let length = stream.read(buffer.get_mut(..want).unwrap_or_default())?;
            ensure!(
                length > 0,
                "the connection was closed after {} of {} bytes",
                received.bytes(),
                self.down
            );
            received.update(buffer.get(..length).unwrap_or_default());
        }
        Ok(received.finish())
    }

    /// The report that follows the content, after which nothing comes.
    fn report(mut stream: &TcpStream) -> Result<[u8; Self::REPORT_LEN]> {
        let mut report = [0; Self::REPORT_LEN];
        stream.read_exact(&mut report)?;
        ensure!(stream.read(&mut [0])? == 0, "there is something after the report");
        Ok(report)
    }
}
