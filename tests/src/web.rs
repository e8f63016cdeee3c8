//! A web server whose answers the test gives.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::Authority;
use crate::script::Script;
use crate::service::Service;

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `host` header.
    pub host: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// This status, with an empty body.
    Status(u16),
    /// 200 with this body.
    Body(String),
    /// 302 to this place.
    Redirect(String),
    /// These bytes instead of a response, and the connection is closed.
    Raw(&'static str),
}

type Pages = Script<WebRequest, Page>;

/// A web server. Each connection gets one answer. It stops with this value.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    pages: Arc<Pages>,
    _service: Service,
}

impl WebServer {
    /// Starts it on `address`. At first every request waits for an answer.
    pub fn start(address: SocketAddr) -> Self {
        Self::serve(address, None)
    }

    /// The same with TLS and a certificate for `names`.
    pub fn start_tls(address: SocketAddr, authority: &Authority, names: &[&str]) -> Self {
        Self::serve(address, Some(authority.acceptor(names)))
    }

    fn serve(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        listener.set_nonblocking(true).expect("any socket can be");
        let pages = Arc::new(Pages::new(None));
        let shared = Arc::clone(&pages);
        let service = Service::start(&format!("web {address}"), move || accept_all(listener, tls, shared));
        Self { address, pages, _service: service }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers every request like this from now on, those that wait included.
    pub fn always(&self, page: Page) {
        self.pages.always(page);
    }

    /// Answers the next requests like this, one each; then they wait.
    pub fn then(&self, pages: impl IntoIterator<Item = Page>) {
        self.pages.then(pages);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<WebRequest> {
        self.pages.asked()
    }

    /// Waits until there were at least `count` requests, and returns them.
    #[track_caller]
    pub fn wait_requests(&self, count: usize) -> Vec<WebRequest> {
        self.pages.wait_asked(count)
    }

    /// Waits until everything given with [`Self::then`] is used up and exactly `count` requests wait.
    #[track_caller]
    pub fn wait_waiting(&self, count: usize) {
        self.pages.wait_waiting(count);
    }
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    pages: Arc<Pages>,
) -> io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (tls, pages) = (tls.clone(), Arc::clone(&pages));
        #[expect(clippy::disallowed_methods, reason = "dropping the runtime ends these tasks")]
        tokio::spawn(async move {
            // Clients may go whenever they like.
            let _ = match tls {
                None => serve(stream, &pages).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &pages).await,
                    Err(refused) => Err(refused),
                },
            };
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, pages: &Pages) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let request = request(&String::from_utf8_lossy(&head));
    let page = tokio::select! {
        biased;
        // Whoever has gone must not take the answer of the next.
        _gone = stream.read_u8() => return Ok(()),
        page = pages.answer(request) => page,
    };
    stream.write_all(wire(&page).as_bytes()).await?;
    stream.shutdown().await
}

fn request(head: &str) -> WebRequest {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    };
    WebRequest {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        host: lines.find_map(header).unwrap_or_default(),
    }
}

fn wire(page: &Page) -> String {
    let (status, location, body) = match page {
        Page::Status(status) => (*status, "", ""),
        Page::Body(body) => (200, "", body.as_str()),
        Page::Redirect(to) => (302, to.as_str(), ""),
        Page::Raw(bytes) => return (*bytes).to_owned(),
    };
    let location = if location.is_empty() { String::new() } else { format!("location: {location}\r\n") };
    format!(
        "HTTP/1.1 {status} x\r\n{location}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
