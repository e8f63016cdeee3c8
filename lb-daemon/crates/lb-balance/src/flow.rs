//! The hash of a flow, which consistent hashing turns into a place in its table.
//!
//! It must not depend on the instance: two nodes with the same seed choose alike, whatever their history. Multiply-mix
//! on 64-bit words only, so that an eBPF program can compute the very same value.

use std::net::{IpAddr, SocketAddr};

/// The hash of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowHash(u64);

/// The transport protocol, by its IANA number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

impl FlowHash {
    /// Hashes the 5-tuple. An IPv4-mapped IPv6 address counts as the IPv4 address that it is.
    pub fn of_tuple(seed: u32, protocol: Protocol, client: SocketAddr, local: SocketAddr) -> Self {
        let ports =
            u64::from(client.port()) << 32 | u64::from(local.port()) << 16 | u64::from(protocol as u8);
        let mut hash = absorb(u64::from(seed), ports);
        match (client.ip().to_canonical(), local.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(local)) => {
                hash = absorb(hash, u64::from(client.to_bits()) << 32 | u64::from(local.to_bits()));
            }
            (client, local) => {
                for half in halves(client).into_iter().chain(halves(local)) {
                    hash = absorb(hash, half);
                }
            }
        }
        Self(hash)
    }

    /// Hashes the client's address alone, for those who want all flows of a client to go to one place. An IPv4-mapped
    /// IPv6 address counts as the IPv4 address that it is.
    pub fn of_client(seed: u32, client: IpAddr) -> Self {
        let hash = absorb(u64::from(seed), 0); // where a tuple has its ports: none
        Self(match client.to_canonical() {
            IpAddr::V4(client) => absorb(hash, u64::from(client.to_bits())),
            client @ IpAddr::V6(_) => halves(client).into_iter().fold(hash, absorb),
        })
    }

    /// The place among `len` that this flow gets at its `attempt`-th try: Lemire's multiply-shift instead of a modulo
    /// (<https://arxiv.org/abs/1805.10941>). Further attempts are as good as independent hashes.
    pub fn place(self, attempt: u32, len: u32) -> usize {
        let hash = if attempt == 0 { self.0 } else { absorb(self.0, u64::from(attempt)) };
        (((hash >> 32) * u64::from(len)) >> 32) as usize
    }
}

fn halves(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    [(bits >> 64) as u64, bits as u64]
}

/// Mixes one word into the state: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), a bijection of the
/// word for every state, so that two flows that differ in one word only never collide there.
pub(crate) fn absorb(state: u64, word: u64) -> u64 {
    let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(seed: u32, client: &str, local: &str) -> FlowHash {
        FlowHash::of_tuple(seed, Protocol::Tcp, client.parse().unwrap(), local.parse().unwrap())
    }

    #[test]
    fn never_changes_between_releases() {
        // Changing these values moves every flow of every user on upgrade.
        assert_eq!(hash(0, "192.0.2.1:1234", "198.51.100.1:80"), FlowHash(0x333c_403c_0df2_8b2e));
        assert_eq!(hash(7, "[2001:db8::1]:1234", "[2001:db8::2]:80"), FlowHash(0xc918_82a4_f143_274f));
    }

    #[test]
    fn client_hashes_never_change_between_releases() {
        let hash = |seed, client: &str| FlowHash::of_client(seed, client.parse().unwrap());
        assert_eq!(hash(0, "192.0.2.1"), FlowHash(0x712f_d75d_35f9_4755));
        assert_eq!(hash(7, "192.0.2.1"), FlowHash(0x5da1_f317_f509_cf68));
        assert_eq!(hash(7, "2001:db8::1"), FlowHash(0xec66_0fa3_574f_b64a));
        assert_eq!(hash(0, "::ffff:192.0.2.1"), hash(0, "192.0.2.1"));
        assert_ne!(hash(0, "2001:db8::1"), hash(0, "2001:db8:0:1::1"));
        assert_ne!(hash(0, "2001:db8::1"), hash(0, "2001:db8::2"));
    }

    #[test]
    fn every_part_of_the_tuple_counts() {
        let base = hash(0, "192.0.2.1:1234", "198.51.100.1:80");
        for other in [
            hash(1, "192.0.2.1:1234", "198.51.100.1:80"),
            hash(0, "192.0.2.2:1234", "198.51.100.1:80"),
            hash(0, "192.0.2.1:1235", "198.51.100.1:80"),
            hash(0, "192.0.2.1:1234", "198.51.100.2:80"),
            hash(0, "192.0.2.1:1234", "198.51.100.1:81"),
            FlowHash::of_tuple(
                0,
                Protocol::Udp,
                "192.0.2.1:1234".parse().unwrap(),
                "198.51.100.1:80".parse().unwrap(),
            ),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(base, hash(0, "[::ffff:192.0.2.1]:1234", "[::ffff:198.51.100.1]:80"));
    }

    #[test]
    fn sequential_clients_spread_evenly() {
        let mut counts = [0u32; 256];
        for i in 0..=u16::MAX {
            let [high, low] = i.to_be_bytes();
            counts[FlowHash::of_client(0, IpAddr::from([10, 0, high, low])).place(0, 256)] += 1;
        }
        // As for tuples, below.
        assert!(counts.iter().all(|&n| (176..=336).contains(&n)), "{counts:?}");
    }

    /// Sequential addresses and ports are what real clients have; a weak hash clumps them.
    #[test]
    fn sequential_tuples_spread_evenly() {
        let mut counts = [0u32; 256];
        for i in 0..=u16::MAX {
            let [high, low] = i.to_be_bytes();
            counts[hash(0, &format!("10.0.{high}.{low}:4{low:04}"), "10.9.9.9:80").place(0, 256)] += 1;
        }
        // 256 on average; a binomial deviates by 16, five of which allow for every one of 256 places.
        assert!(counts.iter().all(|&n| (176..=336).contains(&n)), "{counts:?}");
    }
}
