//! What a connection begins with, as far as Sluice has to read it before it can choose a backend: a PROXY protocol header,
//! which is taken from the connection, and a TLS ClientHello, which stays there for the backend.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lb_model::{Listener, Protocol, Termination};
use lb_net::sniff::Progress;
use lb_net::sniff::alert::Alert;
use lb_net::sniff::client_hello::{self, ClientHello};
use lb_net::sniff::proxy_protocol::{self, InvalidHeader};
use lb_net::{PeekError, Worker, discard, peek};
use tokio::net::TcpStream;

use crate::record::Record;

/// What has to be read of a connection first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) proxy_header: Presence,
    pub(super) client_hello: Presence,
    /// How long the client may take for all of it.
    pub(super) within: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Expected,
    NotExpected,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Preface {
    pub(crate) proxied: Option<Proxied>,
    pub(crate) hello: Option<ClientHello>,
}

/// What a PROXY protocol header says. The client's address is the record's.
#[derive(Debug)]
pub(crate) struct Proxied {
    /// Who has sent it.
    pub(crate) by: SocketAddr,
    /// What the client has connected to, if it says so.
    pub(crate) destination: Option<SocketAddr>,
    /// The header itself, for what else it tells.
    pub(crate) header: Box<[u8]>,
}

/// Why a client is not served, and how it hears of that.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: Termination,
    /// Where it speaks TLS. The others are reset.
    pub(super) alert: Option<Alert>,
}

impl From<Termination> for Refusal {
    fn from(why: Termination) -> Self {
        Self { why, alert: None }
    }
}

impl Expected {
    /// What a client at `peer` has to send first; `None` if nothing.
    pub(super) fn of(listener: &Listener, peer: IpAddr) -> Option<Self> {
        let expected = |yes| if yes { Presence::Expected } else { Presence::NotExpected };
        let proxy_header = expected(listener.accept_proxy.iter().any(|network| network.contains(&peer)));
        let client_hello = expected(listener.protocol == Protocol::Tls);
        let within = listener.header_timeout;
        let any = [proxy_header, client_hello].contains(&Presence::Expected);
        any.then_some(Self { proxy_header, client_hello, within })
    }
}

/// The record learns who the client is.
pub(super) async fn read_proxy_header(
    worker: &Worker,
    stream: &TcpStream,
    record: &mut Record,
) -> Result<(), Refusal> {
    let whole = |bytes: &[u8]| {
        Ok::<_, InvalidHeader>(match proxy_protocol::parse(bytes)? {
            Progress::NeedMore { at_most } => Progress::NeedMore { at_most },
            Progress::Done { value, length } => {
                let header = Box::from(bytes.get(..length).unwrap_or_default());
                Progress::Done { value: (value.endpoints, header), length }
            }
        })
    };
    let ((endpoints, header), length) =
        peek(worker, stream, whole).await.map_err(|error| refused(error, "PROXY protocol header", record))?;
    discard(stream, length).map_err(|_gone| Termination::ClientGone)?;
    let destination = endpoints.map(|endpoints| endpoints.destination);
    let proxied = Proxied { by: record.client, destination, header };
    record.details().preface.get_or_insert_default().proxied = Some(proxied);
    if let Some(endpoints) = endpoints {
        record.client = endpoints.source;
    }
    Ok(())
}

/// The record learns what the client asks for.
pub(super) async fn read_client_hello(
    worker: &Worker,
    stream: &TcpStream,
    record: &mut Record,
) -> Result<(), Refusal> {
    let hello = peek(worker, stream, |bytes| client_hello::parse(bytes, client_hello::DEFAULT_LIMIT)).await;
    match hello {
        Ok((hello, _)) => {
            record.details().preface.get_or_insert_default().hello = Some(hello);
            Ok(())
        }
        Err(error) => {
            let alert = match &error {
                PeekError::Invalid(invalid) => invalid.alert(),
                PeekError::Ended { .. } | PeekError::Failed(_) => None,
            };
            Err(Refusal { alert, ..refused(error, "TLS ClientHello", record) })
        }
    }
}

fn refused<E: ToString>(error: PeekError<E>, what: &str, record: &mut Record) -> Refusal {
    let fault = match error {
        // Such as a port scanner, or whoever only sees whether somebody listens.
        PeekError::Failed(_) | PeekError::Ended { seen: 0 } => return Termination::ClientGone.into(),
        PeekError::Ended { seen } => {
            format!("the client ended the connection after {seen} bytes of the {what}")
        }
        PeekError::Invalid(error) => error.to_string(),
    };
    record.details().error = Some(fault.into());
    Termination::BadHeader.into()
}
