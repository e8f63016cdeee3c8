//! The unix socket: only root and the user that Sluice runs as may connect, from the first moment it can be seen.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

use super::{BindError, Connection, Ended, Endpoint, Routes, connection};
use crate::audit::Peer;

/// A listening unix socket. Dropping it removes the file, unless somebody has put another in its place.
#[derive(Debug)]
pub(super) struct UnixEndpoint {
    listener: UnixListener,
    file: SocketFile,
}

/// The socket's name in the file system.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: what makes it this socket.
    identity: (u64, u64),
}

impl UnixEndpoint {
    /// Makes the socket, in the place of one that a dead process has left.
    pub(super) fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |error: io::Error| BindError::Socket { path: path.to_owned(), error };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        // Two that start at once must not both find the socket of a dead one and replace it. Ends with this function. A file
        // of its own, because who may read a directory could lock that.
        let lock =
            File::options().create(true).write(true).truncate(false).mode(0o600).open(beside(path, ".lock"));
        let lock = lock.map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => BindError::InUse(path.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        ensure_free(path)?;
        let listener = listen(path).map_err(failed)?;
        let file = SocketFile::of(path).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Self { listener, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    beside.into()
}

/// Nothing is there, or a socket on which nobody listens.
fn ensure_free(path: &Path) -> Result<(), BindError> {
    let failed = |error: io::Error| BindError::Socket { path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed)?;
    match socket.connect(&SockAddr::unix(path).map_err(failed)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Somebody listens whose queue is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::InUse(path.to_owned())),
        Err(error) => Err(failed(error)),
        Ok(()) => Err(BindError::InUse(path.to_owned())),
    }
}

/// Listens under a name of its own first: the wanted name is for a socket that is ready, and as private as it shall be.
fn listen(path: &Path) -> io::Result<net::UnixListener> {
    /// The kernel cuts this down to net.core.somaxconn.
    const BACKLOG: i32 = 128;

    let unready = &beside(path, ".new");
    // Left by one that died right here; nobody else is at it now.
    let _ = fs::remove_file(unready);
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(unready)?)?;
    // Before it listens nobody can connect, whatever the umask says.
    let ready = fs::set_permissions(unready, Permissions::from_mode(0o600))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|()| fs::rename(unready, path));
    if ready.is_err() {
        let _ = fs::remove_file(unready);
    }
    ready.map(|()| socket.into())
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // The next one to start would replace it as well.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Endpoint for UnixEndpoint {
    type Connection = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Connection for UnixStream {
    async fn serve(self, routes: Routes, ended: Ended) {
        let peer = match self.peer_cred() {
            Ok(peer) => Peer::Local { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() },
            Err(error) => {
                tracing::warn!(%error, "the kernel does not say who connected to the admin socket");
                return;
            }
        };
        connection::serve(self, peer, None, routes, ended).await;
    }
}
