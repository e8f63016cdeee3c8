//! What holds for a connection at one moment: the listener's settings, and the pools that serve it.

use std::sync::Arc;

use lb_model::{AlpnProtocol, Listener, NoRoute, PoolId};
use lb_net::sniff::client_hello::ClientHello;
use lb_runtime::{ListenerSlot, PoolView, View};

/// The terms of one listener.
pub(crate) struct Terms<'a> {
    pub(crate) listener: &'a Listener,
    /// What flows are hashed with.
    pub(crate) seed: u32,
    pools: Pools<'a>,
}

enum Pools<'a> {
    Of(&'a View),
    Last(&'a [(PoolId, Arc<PoolView>)]),
}

impl<'a> Terms<'a> {
    /// Those of a view; `None` once it no longer has the listener.
    pub(crate) fn of(view: &'a View, slot: ListenerSlot) -> Option<Self> {
        let seed = view.snapshot.config.global.hash_seed;
        Some(Self { listener: view.listener(slot)?, seed, pools: Pools::Of(view) })
    }

    /// Who serves a client that has sent `hello`, or nothing that had to be read.
    pub(crate) fn pool(&self, hello: Option<&ClientHello>) -> Result<&'a Arc<PoolView>, NoRoute> {
        let routed = hello.map_or(Err(NoRoute::Name), |hello| {
            let offers = |protocol: &AlpnProtocol| hello.alpn.contains(protocol.as_str().as_bytes());
            self.listener.sni.find(hello.server_name.as_ref(), offers)
        });
        let id = routed.or_else(|why| self.listener.pool.ok_or(why))?;
        self.find(id).ok_or(NoRoute::Name)
    }

    fn find(&self, id: PoolId) -> Option<&'a Arc<PoolView>> {
        match self.pools {
            Pools::Of(view) => view.pool(id),
            Pools::Last(pools) => pools.iter().find(|(last, _)| *last == id).map(|(_, pool)| pool),
        }
    }
}

/// The terms that held when the listener was removed, for those whom it had taken before. Pins no view.
pub(crate) struct LastTerms {
    listener: Arc<Listener>,
    seed: u32,
    pools: Box<[(PoolId, Arc<PoolView>)]>,
}

impl LastTerms {
    pub(crate) fn of(view: &View, slot: ListenerSlot) -> Option<Self> {
        let listener = view.listener(slot)?;
        let pools = listener.pools().into_iter().filter_map(|id| Some((id, Arc::clone(view.pool(id)?))));
        let seed = view.snapshot.config.global.hash_seed;
        Some(Self { listener: Arc::clone(listener), seed, pools: pools.collect() })
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms { listener: &self.listener, seed: self.seed, pools: Pools::Last(&self.pools) }
    }
}
