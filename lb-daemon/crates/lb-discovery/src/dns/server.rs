//! A name server, and which there are.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use crate::error::NoAnswer;

/// Which name servers are asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<SocketAddr>,
    /// Where names that do not exist are tried next.
    pub(crate) search: Vec<Name>,
    /// How long one server may take over one question, over UDP (with repetitions) and TCP together.
    pub(crate) timeout: Duration,
}

impl Settings {
    const TIMEOUT: Duration = Duration::from_secs(2);

    /// These servers; if there are none, what `/etc/resolv.conf` says.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        if servers.is_empty() {
            return Self::of_system();
        }
        Self { servers: servers.to_vec(), search: vec![], timeout: Self::TIMEOUT }
    }

    fn of_system() -> Self {
        let (servers, search) = match read_system_conf() {
            Ok((config, _)) => {
                let addresses = config.name_servers().iter().map(|server| SocketAddr::new(server.ip, 53));
                (addresses.collect(), config.search().to_vec())
            }
            Err(error) => {
                // As resolv.conf(5) has it.
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
                tracing::warn!(%error, "/etc/resolv.conf names no name server: asking {here}");
                (vec![here], vec![])
            }
        };
        Self { servers, search, timeout: Self::TIMEOUT }
    }
}

/// A name server: a pool of one, as the library's pools take SERVFAIL or REFUSED of one server for the last word.
pub(super) struct Server {
    address: SocketAddr,
    pool: NameServerPool<TokioRuntimeProvider>,
    timeout: Duration,
}

impl Server {
    pub(super) fn new(address: SocketAddr, timeout: Duration) -> Self {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        let server = NameServerConfig::new(address.ip(), true, connections.into());
        let mut options = ResolverOpts::default();
        options.timeout = timeout;
        let tls = TlsConfig::new().expect("without the features for it there is nothing that could fail");
        let context = Arc::new(PoolContext::new(options, tls));
        let pool = NameServerPool::from_config([server], context, TokioRuntimeProvider::default());
        Self { address, pool, timeout }
    }

    /// Asks for the records of a name. A reply that was truncated is asked for again over TCP.
    pub(super) async fn ask(&self, name: &Name, record: RecordType) -> Result<Message, NoAnswer> {
        let query = Query::query(name.clone(), record);
        let asking = self.pool.lookup(query, DnsRequestOptions::default()).first_answer();
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(Ok(reply)) => Ok(reply.into_message()),
            Ok(Err(error)) => Err(self.no_answer(&error)),
            Err(tokio::time::error::Elapsed { .. }) => Err(NoAnswer::Timeout(self.timeout)),
        }
    }

    fn no_answer(&self, error: &NetError) -> NoAnswer {
        if let NetError::Dns(DnsError::NoRecordsFound(empty)) = error {
            if empty.response_code == ResponseCode::NXDomain {
                NoAnswer::NoSuchName
            } else if empty.ns.is_some() && empty.soa.is_none() {
                NoAnswer::Referral
            } else {
                NoAnswer::NoRecord
            }
        } else if let NetError::Dns(DnsError::ResponseCode(code)) = error {
            NoAnswer::Rcode(format!("{code:?}").to_uppercase())
        } else if let NetError::Timeout = error {
            NoAnswer::Timeout(self.timeout)
        } else {
            NoAnswer::Exchange(format!("name server {}: {error}", self.address))
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}
