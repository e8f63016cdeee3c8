//! The reading of hyper: a real connection of its, over memory in place of a socket.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::Method;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};

use super::{End, Message, Reading, sorted};

/// Requests of one connection.
pub(in crate::tests::hyper) fn requests_by_hyper(stream: &[u8]) -> Reading {
    let messages = Rc::new(RefCell::new(Vec::new()));
    let end = Rc::new(Cell::new(End::Clean));
    let service = service_fn(|request: Request<Incoming>| {
        let (messages, end) = (messages.clone(), end.clone());
        async move {
            let (head, body) = request.into_parts();
            let authority = head
                .uri
                .scheme()
                .and_then(|_| head.uri.authority())
                .map_or("", |authority| authority.as_str());
            let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            let target = format!("{}{query}", head.uri.path());
            let start = format!("{} {authority} {target}", head.method);
            let mut headers = head.headers;
            if !authority.is_empty() {
                headers.remove(HOST);
            }
            match message(start, &headers, body).await {
                Ok(message) => messages.borrow_mut().push(message),
                Err(error) => end.set(error),
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let connection = server
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(Memory::of_client(stream), service);
    let served = block_on(connection);
    if let (Err(error), End::Clean) = (served, end.get()) {
        end.set(end_of(&error));
    }
    Reading { messages: messages.take(), end: end.get() }
}

/// The response to a request with `method`, after informational ones.
pub(in crate::tests::hyper) fn response_by_hyper(stream: &[u8], method: Method) -> Reading {
    let method = if method == Method::Head { hyper::Method::HEAD } else { hyper::Method::GET };
    let request = Request::builder().method(method).uri("/").body(Empty::<Bytes>::new()).unwrap();
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(Memory::of_server(stream)).await.unwrap();
        let response = async {
            let (head, body) =
                sender.send_request(request).await.map_err(|error| end_of(&error))?.into_parts();
            message(head.status.as_str().to_owned(), &head.headers, body).await
        };
        both(connection, response).await
    };
    match block_on(exchange) {
        Ok(message) => Reading { messages: vec![message], end: End::Clean },
        Err(end) => Reading { messages: Vec::new(), end },
    }
}

/// The message, once its body has ended.
async fn message(start: String, headers: &HeaderMap, mut body: Incoming) -> Result<Message, End> {
    let (mut content, mut trailers) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| end_of(&error))?.into_data() {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => trailers = fields(&frame.into_trailers().unwrap()),
        }
    }
    Ok(Message { start, fields: fields(headers), content: content.escape_ascii().to_string(), trailers })
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    sorted(headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

fn end_of(error: &hyper::Error) -> End {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let is_truncated = cause.is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof);
    if error.is_incomplete_message() || is_truncated { End::Partial } else { End::Refused(None) }
}

/// A connection on which everything has come that will come: it ends behind that.
struct Memory {
    input: Vec<u8>,
    at: usize,
    /// Whether nothing comes before something has been written.
    is_answer: bool,
}

impl Memory {
    fn of_client(input: &[u8]) -> Self {
        Self { input: input.to_vec(), at: 0, is_answer: false }
    }

    fn of_server(input: &[u8]) -> Self {
        Self { is_answer: true, ..Self::of_client(input) }
    }
}

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_answer {
            return Poll::Pending;
        }
        let rest = &self.input[self.at..];
        let read = rest.len().min(to.remaining());
        to.put_slice(&rest[..read]);
        self.at += read;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.is_answer = false;
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a future that waits for nothing outside.
fn block_on<F: Future>(future: F) -> F::Output {
    const ENOUGH: usize = 100_000;
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..ENOUGH {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("hyper waits for something that never comes");
}

/// Runs `background` as long as `wanted` needs it.
async fn both<F: Future>(background: impl Future, wanted: F) -> F::Output {
    let (mut background, mut wanted) = (pin!(background), pin!(wanted));
    let mut is_over = false;
    std::future::poll_fn(|context| {
        is_over = is_over || background.as_mut().poll(context).is_ready();
        wanted.as_mut().poll(context)
    })
    .await
}
