//! What the HTTP services of one worker share.

use std::rc::Rc;

use lb_net::Worker;

use crate::conn::{Ran, Run};
use crate::exchange;
use crate::message::Message;
use crate::recycled::{Place, Recycled};
use crate::request_id::RequestIds;
use crate::stock::Stock;
use crate::upstream::IdleConnections;

/// One worker's.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) messages: Rc<Stock<Message>>,
    pub(crate) exchanges: Recycled<Run, Ran>,
    pub(crate) ids: RequestIds,
    pub(crate) idle: Rc<IdleConnections>,
}

impl Local {
    /// That of `worker`.
    pub(crate) fn of(worker: &Rc<Worker>) -> Rc<Self> {
        worker.local(|| Self {
            messages: Rc::default(),
            exchanges: Recycled::new(|| Place::new(exchange::run)),
            ids: RequestIds::default(),
            idle: IdleConnections::on(worker),
        })
    }
}
