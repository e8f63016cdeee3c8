//! A tiny HTTP server that says its name.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// Answers one request; whatever goes wrong is the client's to see.
async fn answer(mut stream: TcpStream, name: &'static str) {
    let mut request = [0; 4096];
    let mut read = 0;
    // To the end of the request's head, so that closing does not reset the connection.
    while let Some(free) = request.get_mut(read..).filter(|free| !free.is_empty()) {
        match stream.read(free).await {
            Ok(0) | Err(_) => break,
            Ok(n) => read += n,
        }
        if request.get(..read).is_some_and(|head| head.windows(4).any(|end| end == b"\r\n\r\n")) {
            break;
        }
    }
    let body = format!("hello from {name}\n");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes()).await;
    let _ = stream.shutdown().await;
}
