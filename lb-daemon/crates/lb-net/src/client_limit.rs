//! How many connections each client has, so that one cannot take all places.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections (or flows) each client has, over all workers. Clones count together. Only who asks for a place is
/// counted: where there is no limit, nothing is.
#[derive(Debug, Clone, Default)]
pub struct ClientPlaces(Arc<Shards>);

/// By a client's hash, so that workers seldom wait for one another.
#[derive(Debug, Default)]
struct Shards {
    hasher: RandomState,
    counts: [Mutex<HashMap<Client, u32>>; 32],
}

/// Who shares a limit: an IPv4 address, or an IPv6 network of 64 bits, of which every host has at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Client(Ipv6Addr);

impl Client {
    fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;

        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK),
        })
    }
}

/// One connection's place; given back on drop.
#[derive(Debug)]
pub struct ClientPlace {
    places: ClientPlaces,
    client: Client,
}

impl ClientPlaces {
    /// A place for a client, unless it has `max` already.
    pub fn take(&self, client: IpAddr, max: NonZeroU32) -> Option<ClientPlace> {
        let client = Client::of(client);
        let mut counts = self.counts(client);
        let count = counts.entry(client).or_default();
        // An entry that was not there has room: no limit is zero.
        if *count >= max.get() {
            return None;
        }
        *count += 1;
        Some(ClientPlace { places: self.clone(), client })
    }

    fn counts(&self, client: Client) -> MutexGuard<'_, HashMap<Client, u32>> {
        let shards = &self.0.counts;
        let shard = usize::try_from(self.0.hasher.hash_one(client)).unwrap_or(0) % shards.len();
        let counts =
            shards.get(shard).unwrap_or_else(|| unreachable!("a remainder is smaller than its divisor"));
        counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut counts = self.places.counts(self.client);
        if let Entry::Occupied(mut entry) = counts.entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &ClientPlaces, client: &str) -> Option<ClientPlace> {
        places.take(client.parse().unwrap(), NonZeroU32::new(2).unwrap())
    }

    #[test]
    fn each_client_has_its_own_places() {
        let places = ClientPlaces::default();
        let mine: Vec<_> = (0..2).map(|_| take(&places, "192.0.2.1").unwrap()).collect();
        assert!(take(&places.clone(), "192.0.2.1").is_none(), "a clone counts with it");
        assert!(take(&places, "::ffff:192.0.2.1").is_none(), "the same client");
        assert!(take(&places, "192.0.2.2").is_some());
        drop(mine);
        assert!(take(&places, "192.0.2.1").is_some());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let places = ClientPlaces::default();
        let _mine: Vec<_> = (1..=2).map(|n| take(&places, &format!("2001:db8::{n}")).unwrap()).collect();
        assert!(take(&places, "2001:db8::ffff:0:0:1").is_none());
        assert!(take(&places, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn nothing_is_left_of_clients_that_have_gone() {
        let places = ClientPlaces::default();
        for n in 0..1000_u32 {
            drop(places.take(std::net::Ipv4Addr::from_bits(n).into(), NonZeroU32::MIN));
        }
        let left: usize = places.0.counts.iter().map(|counts| counts.lock().unwrap().len()).sum();
        assert_eq!(left, 0);
    }
}
