//! Waits for changes in directories (inotify).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Hears when files in some directories are written, made, moved or deleted.
#[derive(Debug)]
pub struct Directories {
    inotify: AsyncFd<OwnedFd>,
}

impl Directories {
    /// Reading is no change.
    const CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
        .union(WatchFlags::CREATE)
        .union(WatchFlags::DELETE)
        .union(WatchFlags::MOVED_FROM)
        .union(WatchFlags::MOVED_TO);

    /// Begins to listen: what happens from now on is not missed. Needs a runtime with IO.
    ///
    /// # Errors
    ///
    /// If one of them cannot be watched.
    pub fn watch<P: AsRef<Path>>(directories: impl IntoIterator<Item = P>) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        for directory in directories {
            inotify::add_watch(&inotify, directory.as_ref(), Self::CHANGES | WatchFlags::ONLYDIR)?;
        }
        #[expect(unsafe_code, reason = "tokio has nothing else to wait for a descriptor with")]
        // SAFETY: the `OwnedFd` is its descriptor's only owner, and is itself owned by the `AsyncFd` until that is dropped;
        // its `as_raw_fd` returns that one descriptor every time.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }?;
        Ok(Self { inotify })
    }

    /// Returns once something has changed since the last time. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the kernel does not tell any more.
    pub async fn changed(&self) -> io::Result<()> {
        // What has changed does not matter, only that something has.
        let take = |inotify: &OwnedFd| match rustix::io::read(inotify, &mut [0; 4096]) {
            Err(Errno::INTR) => Ok(0),
            result => result.map_err(Into::into),
        };
        self.inotify.async_io(Interest::READABLE, take).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn changes_are_heard_and_reading_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "a").unwrap();
        let watched = Directories::watch([directory.path()]).unwrap();
        let is_quiet = async || {
            let mut changed = std::pin::pin!(watched.changed());
            std::future::poll_fn(|cx| std::task::Poll::Ready(changed.as_mut().poll(cx).is_pending())).await
        };
        fs::read(&file).unwrap();
        assert!(is_quiet().await);
        fs::write(&file, "b").unwrap();
        watched.changed().await.unwrap();
        fs::rename(&file, directory.path().join("other")).unwrap();
        watched.changed().await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_cannot_be_watched() {
        assert!(Directories::watch(["/nowhere"]).is_err());
    }
}
