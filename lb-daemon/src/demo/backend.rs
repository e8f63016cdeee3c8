//! A tiny HTTP server that says its name.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// A backend that can be stopped and restarted on its port.
pub(super) struct Backend {
    name: &'static str,
    address: SocketAddr,
    server: JoinSet<()>,
}

impl Backend {
    pub(super) async fn start(name: &'static str) -> io::Result<Self> {
        let mut backend = Self { name, address: (Ipv4Addr::LOCALHOST, 0).into(), server: JoinSet::new() };
        backend.restart().await?;
        Ok(backend)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port. Returns whether it was open.
    pub(super) fn stop(&mut self) -> bool {
        let running = !self.server.is_empty();
        self.server = JoinSet::new();
        running
    }

    /// Opens the port again.
    pub(super) async fn restart(&mut self) -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        let listener = socket.listen(128)?;
        self.address = listener.local_addr()?;
        self.server.spawn(serve(listener, self.name));
        Ok(())
    }
}

async fn serve(listener: TcpListener, name: &'static str) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, name));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers requests, one after the other; whatever goes wrong is the client's to see.
async fn answer(stream: TcpStream, name: &'static str) {
    let mut stream = BufReader::new(stream);
    let body = format!("hello from {name}\n");
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut line = String::new();
    loop {
        // To the end of the request's head, an empty line. The demo's clients send no bodies.
        while line != "\r\n" {
            line.clear();
            match (&mut stream).take(8192).read_line(&mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        line.clear();
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}
