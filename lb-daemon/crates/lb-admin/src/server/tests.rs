//! A real server on real sockets, asked by the client, by curl and byte for byte.

mod answers;
mod audit;
mod bounds;
mod hostile;
mod tcp;
mod unix;

use std::path::PathBuf;
use std::sync::Arc;

use lb_model::{Admin, AdminSocket, AdminTcp};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;
use crate::Client;
use crate::fake::Fake;

/// A server with a unix socket, and a TCP endpoint if it is asked for.
struct Running {
    fake: Arc<Fake>,
    folder: TempDir,
    tcp: Option<SocketAddr>,
    end: oneshot::Sender<()>,
    server: JoinSet<()>,
}

impl Running {
    fn new(fake: Fake) -> Self {
        Self::with_tcp(fake, |_| None)
    }

    /// With the TCP endpoint that `tcp` makes of the server's folder.
    fn with_tcp(fake: Fake, tcp: impl FnOnce(&TempDir) -> Option<AdminTcp>) -> Self {
        let folder = TempDir::new().unwrap();
        let tcp = tcp(&folder);
        let admin = Admin { socket: AdminSocket::Path(folder.path().join("admin.sock")), tcp };
        let server = Server::bind(&admin, None).unwrap();
        let tcp = server.tcp_address();
        let fake = Arc::new(fake);
        let (end, ended) = oneshot::channel();
        let served = server.serve(Arc::clone(&fake), async {
            let _ = ended.await;
        });
        Self { fake, folder, tcp, end, server: JoinSet::from_iter([served]) }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    fn client(&self) -> Client {
        Client::unix(self.socket())
    }

    async fn unix(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.tcp.unwrap()).await.unwrap()
    }

    /// Sends a request on a connection of its own; the whole answer.
    async fn ask(&self, request: &str) -> String {
        exchange(self.unix().await, request).await
    }

    async fn end(mut self) {
        self.end.send(()).unwrap();
        self.server.join_next().await.unwrap().unwrap();
    }
}

/// Sends `request` and reads until the server closes.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: impl AsRef<str>) -> String {
    stream.write_all(request.as_ref().as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    post_as("application/json", path, body)
}

fn post_as(media_type: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
