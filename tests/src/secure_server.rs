//! A TLS server that says who it is.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::Authority;
use crate::service::Service;

/// A server that sends its name and a newline over TLS, then everything that it gets, until the client closes. It stops with
/// this value.
#[derive(Debug)]
pub struct SecureServer {
    _service: Service,
}

impl SecureServer {
    /// Starts it on `address`, with a certificate for its name.
    pub fn start(name: &str, address: SocketAddr, authority: &Authority) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        listener.set_nonblocking(true).expect("any socket can be");
        let (acceptor, greeting) = (authority.acceptor(&[name]), format!("{name}\n").into());
        Self { _service: Service::start(name, move || accept_all(listener, acceptor, greeting)) }
    }
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    greeting: Arc<str>,
) -> io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = serve(stream, acceptor.clone(), Arc::clone(&greeting));
        #[expect(clippy::disallowed_methods, reason = "dropping the runtime ends these tasks")]
        tokio::spawn(connection);
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, greeting: Arc<str>) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    stream.write_all(greeting.as_bytes()).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(buffer.get(..length).unwrap_or_default()).await?;
        stream.flush().await?;
    }
}
