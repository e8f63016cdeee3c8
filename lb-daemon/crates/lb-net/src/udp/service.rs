//! Who serves the datagrams of a worker's ports.

use std::rc::Rc;

use super::{UdpBatch, UdpPort, UdpSender};
use crate::worker::Worker;

/// A port that is being served on one worker.
pub trait UdpService {
    /// Has it look at its settings, which are others: by them flows may end sooner than it would look by itself.
    fn refresh(&self);

    /// Begins no more flows. What there is of flows goes on, and the port stays open until they have ended: answers come from
    /// there, and clients send there.
    fn close(&self);

    /// Ends all flows and closes the port at once.
    fn end(&self);
}

/// Makes each worker serve its own ports.
pub trait MakeUdpService: Send + Sync {
    /// Serves `port` on `worker`, in a task of that.
    fn open(&self, worker: &Rc<Worker>, port: UdpPort) -> Rc<dyn UdpService>;
}

/// What receiving and sending takes, filled and emptied within one poll.
#[derive(Debug)]
pub struct UdpBuffers {
    /// What was received.
    pub batch: UdpBatch,
    /// What sending takes.
    pub sender: UdpSender,
}

impl UdpBuffers {
    /// How many messages are received before any is sent on.
    const MESSAGES: usize = 64;
}

impl Default for UdpBuffers {
    fn default() -> Self {
        Self { batch: UdpBatch::new(Self::MESSAGES), sender: UdpSender::new() }
    }
}
