//! What holds for a request at one moment: the listener's settings, its routes and their filters, and the pools.

use std::rc::Rc;
use std::sync::Arc;

use lb_http::{BodyLimits, HeadLimits};
use lb_model::{Http, Listener, PoolId};
use lb_runtime::{ListenerSlot, PoolView, View};

use crate::route::Routes;

/// The terms of one listener in one view, made when a worker first needs them. Pins no view.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Of the view.
    pub(crate) epoch: u64,
    pub(crate) listener: Arc<Listener>,
    pub(crate) routes: Rc<Routes>,
    /// What flows are hashed with.
    pub(crate) seed: u32,
    pub(crate) head_limits: HeadLimits,
    pub(crate) body_limits: BodyLimits,
    pools: Box<[(PoolId, Arc<PoolView>)]>,
}

impl Terms {
    /// Those of a view; `None` if it does not have the listener, or not as one for HTTP. `previous` are those before, which
    /// may have the same routes.
    pub(crate) fn of(view: &View, slot: ListenerSlot, previous: Option<&Self>) -> Option<Self> {
        let listener = view.listener(slot)?;
        let http = listener.http.as_ref()?;
        let same = previous.filter(|previous| Arc::ptr_eq(&previous.listener, listener));
        let routes =
            same.map_or_else(|| Rc::new(Routes::new(listener, http)), |same| Rc::clone(&same.routes));
        let pools = listener.pools().into_iter().filter_map(|id| Some((id, Arc::clone(view.pool(id)?))));
        Some(Self {
            epoch: view.epoch,
            listener: Arc::clone(listener),
            routes,
            seed: view.snapshot.config.global.hash_seed,
            head_limits: head_limits(http),
            body_limits: body_limits(http),
            pools: pools.collect(),
        })
    }

    /// The settings that only HTTP listeners have.
    pub(crate) fn http(&self) -> &Http {
        self.listener.http.as_ref().expect("terms are made of listeners that have them")
    }

    pub(crate) fn pool(&self, id: PoolId) -> Option<&Arc<PoolView>> {
        self.pools.iter().find(|(known, _)| *known == id).map(|(_, pool)| pool)
    }
}

fn head_limits(http: &Http) -> HeadLimits {
    HeadLimits {
        bytes: http.max_header_bytes as usize,
        target: http.max_uri_bytes as usize,
        fields: http.max_header_count.get().into(),
    }
}

/// What comes with chunks beside the content has the limits of a head.
fn body_limits(http: &Http) -> BodyLimits {
    let HeadLimits { bytes, fields, .. } = head_limits(http);
    BodyLimits { extensions: bytes, trailer_bytes: bytes, trailer_fields: fields }
}
