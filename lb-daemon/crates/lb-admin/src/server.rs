//! The server: makes the sockets, takes connections, ends in order.

mod certificate;
mod connection;
mod tcp;
mod token;
mod unix;

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use lb_model::{Admin, AdminSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use self::tcp::TcpEndpoint;
use self::unix::UnixEndpoint;
use crate::{Control, api, command};

/// The admin API's sockets, made but not served yet.
#[derive(Debug)]
pub struct Server {
    unix: Option<UnixEndpoint>,
    tcp: Option<TcpEndpoint>,
}

/// The admin API cannot be served as configured.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers on the unix socket.
    #[error("admin socket {}: another Sluice is running there; stop it, or set another `socket` in [admin]", .0.display())]
    InUse(PathBuf),
    /// Something else than a socket is in its place.
    #[error(
        "admin socket {}: there is something else; move it away, or set another `socket` in [admin]", .0.display()
    )]
    NotASocket(PathBuf),
    /// The unix socket cannot be made.
    #[error("admin socket {}: {error}; Sluice needs to be able to write to its directory", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// The TCP address cannot be listened on.
    #[error("admin API on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// A file of the TCP endpoint (token, certificate, key, CA) is not usable.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The TLS settings do not fit together.
    #[error("admin API over TLS: {0}")]
    Tls(String),
}

/// Where the unix socket is; `None` if there is none. `runtime_directory` is the value of `$RUNTIME_DIRECTORY`, which
/// may be several paths with colons between them: the first counts.
pub fn socket_path(socket: &AdminSocket, runtime_directory: Option<&OsStr>) -> Option<PathBuf> {
    match socket {
        AdminSocket::Off => None,
        AdminSocket::Path(path) => Some(path.clone()),
        AdminSocket::Default => Some(
            runtime_directory
                .and_then(|directories| std::env::split_paths(directories).next())
                .filter(|directory| directory.is_absolute())
                .map_or_else(|| AdminSocket::DEFAULT_PATH.into(), |directory| directory.join("admin.sock")),
        ),
    }
}

impl Server {
    /// Most connections that each of the two endpoints has at once; further ones wait in the kernel's queue. What
    /// strangers do over TCP does not lock root out.
    pub const MAX_CONNECTIONS: usize = 64;

    /// Makes the sockets of `admin` and reads the files that it names: later changes to them take a restart. Needs a
    /// runtime with all drivers. For `runtime_directory` see [`socket_path`].
    ///
    /// # Errors
    ///
    /// If an endpoint that is asked for cannot be made. The default unix socket is not asked for: where it cannot be made
    /// there is a warning and none.
    pub fn bind(admin: &Admin, runtime_directory: Option<&OsStr>) -> Result<Self, BindError> {
        let tcp = admin.tcp.as_ref().map(TcpEndpoint::bind).transpose()?;
        let path = socket_path(&admin.socket, runtime_directory);
        let unix = match path.as_deref().map(UnixEndpoint::bind).transpose() {
            Ok(unix) => unix,
            Err(error) if admin.socket == AdminSocket::Default => {
                tracing::warn!(%error, "no admin socket: commands such as `sluice status` will not work");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { unix, tcp })
    }

    /// Where the unix socket is, if there is one.
    pub fn socket(&self) -> Option<&Path> {
        self.unix.as_ref().map(UnixEndpoint::path)
    }

    /// The TCP address, if there is one; with the port that the kernel chose, if it had to.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(TcpEndpoint::address)
    }

    /// Serves until `end` is ready: then takes no new connections, lets commands and answers that are under way finish,
    /// the latter for a few seconds, and removes the unix socket.
    pub async fn serve<C: Control>(self, control: Arc<C>, end: impl Future<Output = ()>) {
        let (commands, orders) = command::queue();
        let (ending, ended) = watch::channel(());
        let routes = TowerToHyperService::new(api::router(Arc::clone(&control), commands));
        let unix = serve_endpoint(self.unix, routes.clone(), ended.clone());
        let tcp = serve_endpoint(self.tcp, routes, ended);
        let end = async {
            end.await;
            drop(ending);
        };
        tokio::join!(end, unix, tcp, orders.carry_out(&*control));
    }
}

/// The service of the route table, for hyper.
type Routes = TowerToHyperService<Router>;

/// Ready when the other half of the channel is dropped.
type Ended = watch::Receiver<()>;

/// A socket that clients connect to.
trait Endpoint {
    /// A client's connection, for which nothing has been done yet.
    type Connection: Connection;

    async fn accept(&self) -> io::Result<Self::Connection>;
}

/// What an [`Endpoint`] accepts.
trait Connection: Send + 'static {
    /// Finds out who the client is, and serves its requests until either side closes.
    fn serve(self, routes: Routes, ended: Ended) -> impl Future<Output = ()> + Send;
}

async fn serve_endpoint(endpoint: Option<impl Endpoint>, routes: Routes, mut ended: Ended) {
    let Some(endpoint) = endpoint else { return };
    let permits = Arc::new(Semaphore::new(Server::MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // First the permit: who waits for one waits in the kernel's queue, and costs nothing.
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, accept(&endpoint).await)
        };
        tokio::select! {
            _ = ended.changed() => break,
            Some(result) = connections.join_next() => log_panic(&result),
            (permit, connection) = accepted => {
                let (routes, ended) = (routes.clone(), ended.clone());
                connections.spawn(async move {
                    let _permit = permit;
                    connection.serve(routes, ended).await;
                });
            }
        }
    }
    // Closed before the wait, so that nobody connects in vain.
    drop(endpoint);
    while let Some(result) = connections.join_next().await {
        log_panic(&result);
    }
}

/// Takes the next connection, whatever happens to those before it.
async fn accept<E: Endpoint>(endpoint: &E) -> E::Connection {
    /// Long enough for the trouble (mostly too many open files) to pass, and for the log not to fill.
    const PAUSE: Duration = Duration::from_secs(1);

    loop {
        match endpoint.accept().await {
            Ok(connection) => return connection,
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot take a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn log_panic(result: &Result<(), JoinError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a connection of the admin API has panicked");
    }
}

/// For clients that may be waited for only so long.
async fn ended_or_after(ended: &mut Ended, time: Duration) {
    let over = async {
        // Nothing is ever sent: this is the sender's end.
        let _ = ended.changed().await;
    };
    let _ = tokio::time::timeout(time, over).await;
}

#[cfg(test)]
mod tests;
