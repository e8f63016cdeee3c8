//! Which of many flows have something to receive.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;
use tokio::io::unix::AsyncFd;

use super::{UdpFlow, sys};

/// Watches flows for their owner, who serves them in one task: an epoll of its own within the runtime's. A flow costs the
/// kernel's registration and nothing here, no task, waker or allocation; and what many flows have received can leave in one
/// send.
#[derive(Debug)]
pub struct UdpFlowEvents {
    epoll: AsyncFd<Arc<OwnedFd>>,
}

impl UdpFlowEvents {
    /// How many flows are told of at once.
    const MOST: usize = 64;

    /// Watches nothing yet. For the runtime of this thread.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: sys::watch_readable(Arc::new(epoll::create(CreateFlags::CLOEXEC)?))? })
    }

    /// Watches a flow, until it is dropped. An id that was told of shortly before that may still come.
    pub fn watch(&self, flow: &UdpFlow, id: u64) -> io::Result<()> {
        Ok(epoll::add(self.epoll.get_ref(), flow, EventData::new_u64(id), EventFlags::IN)?)
    }

    /// Adds flows to `ids` that have something to receive, a datagram or an error; waits until there are any.
    ///
    /// Receive once from each, and ask again. A flow that has more is told of again, after the others: nobody has to be
    /// received from until nothing is left, and none keeps the others waiting.
    pub fn poll_ready(&self, cx: &mut Context<'_>, ids: &mut Vec<u64>) -> Poll<io::Result<()>> {
        loop {
            let mut readiness = ready!(self.epoll.poll_read_ready(cx))?;
            if self.take(ids)? > 0 {
                return Poll::Ready(Ok(()));
            }
            readiness.clear_ready();
        }
    }

    /// Adds the ids that there are; returns how many.
    fn take(&self, ids: &mut Vec<u64>) -> io::Result<usize> {
        let mut events = [MaybeUninit::uninit(); Self::MOST];
        let (events, _) = epoll::wait(self.epoll.get_ref(), &mut events, Some(&Timespec::default()))?;
        ids.extend(events.iter().map(|event| event.data.u64()));
        Ok(events.len())
    }
}
