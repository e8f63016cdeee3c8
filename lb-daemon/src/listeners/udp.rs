//! The addresses at which datagrams are received. Each has a service of its own, which goes to whichever listener has the
//! address: flows stay with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};

use anyhow::Context;
use lb_l4::{Proxy, UdpProxy};
use lb_model::{Config, Listener, ListenerName, Protocol};
use lb_net::{Coalescing, Limit, UdpOptions};

use super::{Held, addresses, context, ensure_free};

/// How ports receive: room for some five thousand small datagrams that come at once; coalesced where that is how they come.
const OPTIONS: UdpOptions = UdpOptions { receive_buffer: 4 << 20, coalescing: Coalescing::On };

/// All addresses that there are.
#[derive(Default)]
pub(super) struct Addresses {
    current: BTreeMap<SocketAddr, (ListenerName, UdpProxy)>,
    /// Those that were given up: sockets may be left there for as long as flows are.
    former: BTreeSet<SocketAddr>,
}

/// New sockets of each listener: for each address one for each worker.
#[derive(Default)]
pub(super) struct Bound(BTreeMap<ListenerName, BTreeMap<SocketAddr, Vec<UdpSocket>>>);

impl Bound {
    pub(super) fn take(&mut self, listener: &ListenerName) -> BTreeMap<SocketAddr, Vec<UdpSocket>> {
        self.0.remove(listener).unwrap_or_default()
    }
}

impl Addresses {
    /// Binds what `config` adds.
    pub(super) fn prepare(&self, config: &Config, workers: usize) -> anyhow::Result<Bound> {
        let ours: Vec<_> = self.current.keys().chain(&self.former).copied().collect();
        let of_udp = |listener: &&Listener| listener.protocol == Protocol::Udp;
        let new = |listener: &Listener| -> Vec<SocketAddr> {
            addresses(listener).into_iter().filter(|address| !self.current.contains_key(address)).collect()
        };
        // All before any is bound, as for TCP.
        for listener in config.listeners.iter().filter(of_udp) {
            ensure_free(listener, &new(listener), |address| lb_net::ensure_udp_free(address, &ours))?;
        }
        let mut bound = Bound::default();
        for listener in config.listeners.iter().filter(of_udp) {
            for address in new(listener) {
                let sets =
                    lb_net::bind_udp_all(&[address], OPTIONS, workers).with_context(|| context(listener))?;
                let of_listener = bound.0.entry(listener.name.clone()).or_default();
                of_listener.insert(address, sets.into_iter().flatten().collect());
            }
        }
        Ok(bound)
    }

    /// Takes note of a new address.
    pub(super) fn add(&mut self, address: SocketAddr, listener: ListenerName, proxy: UdpProxy) {
        self.former.remove(&address);
        self.current.insert(address, (listener, proxy));
    }

    /// Gives addresses to their new listeners, as `proxy` makes them from the names of the former and the new one; returns
    /// those that nobody wants.
    pub(super) fn hand_over(
        &mut self,
        after: &BTreeMap<ListenerName, Held>,
        proxy: impl Fn(&ListenerName, &ListenerName, &Held) -> (Proxy, [Limit; 2]),
    ) -> Vec<SocketAddr> {
        let owners: BTreeMap<_, _> = after
            .iter()
            .flat_map(|(name, held)| held.udp().into_iter().map(move |address| (address, (name, held))))
            .collect();
        let unwanted: Vec<_> = self.current.keys().filter(|a| !owners.contains_key(a)).copied().collect();
        for address in &unwanted {
            self.current.remove(address);
            self.former.insert(*address);
        }
        for (address, (owner, service)) in &mut self.current {
            let Some((name, held)) = owners.get(address).filter(|(name, _)| *name != owner) else { continue };
            let (proxy, limits) = proxy(owner, name, held);
            service.hand_over(proxy, limits);
            owner.clone_from(name);
        }
        unwanted
    }
}
