//! Sets of networks, and source address lists of them: who may connect.

use std::net::IpAddr;

use ipnet::IpNet;

/// Allow and deny lists of client networks. A denied client is refused; where there is an allow list, everybody who is
/// not on it is refused too. Deny wins. An empty list of either kind does nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessList {
    allow: Networks,
    deny: Networks,
}

impl AccessList {
    /// A list from the networks as configured, in any order, overlapping or not.
    pub fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        Self { allow: Networks::new(allow), deny: Networks::new(deny) }
    }

    /// Whether a client at `address` may connect. Two binary searches at most.
    pub fn permits(&self, address: IpAddr) -> bool {
        if self.deny.contains(address) {
            return false;
        }
        self.allow.configured.is_empty() || self.allow.contains(address)
    }

    /// The allow list as configured.
    pub fn allow(&self) -> &[IpNet] {
        &self.allow.configured
    }

    /// The deny list as configured.
    pub fn deny(&self) -> &[IpNet] {
        &self.deny.configured
    }
}

/// A set of networks of both families, kept as sorted, disjoint ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    configured: Vec<IpNet>,
    /// Inclusive ranges in the IPv6 number space (IPv4 as IPv4-mapped), sorted, not touching.
    ranges: Vec<(u128, u128)>,
}

impl Networks {
    /// A set from the networks as configured, in any order, overlapping or not.
    pub fn new(configured: Vec<IpNet>) -> Self {
        let mut all: Vec<_> =
            configured.iter().map(|net| (number(net.network()), number(net.broadcast()))).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match ranges.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        Self { configured, ranges }
    }

    /// Whether one of them has `address`. A binary search.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        let after = self.ranges.partition_point(|&(first, _)| first <= address);
        after.checked_sub(1).and_then(|i| self.ranges.get(i)).is_some_and(|&(_, last)| address <= last)
    }

    /// Those that were configured.
    pub fn configured(&self) -> &[IpNet] {
        &self.configured
    }
}

/// An address as a number; an IPv4 client of a dual-stack socket is the same client as over IPv4.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
    .to_bits()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn empty_lists_permit_everybody() {
        assert!(AccessList::default().permits(ip("203.0.113.9")));
    }

    #[test]
    fn deny_wins_over_allow() {
        let list = AccessList::new(nets(&["10.0.0.0/8"]), nets(&["10.1.0.0/16"]));
        assert!(list.permits(ip("10.2.3.4")));
        assert!(!list.permits(ip("10.1.3.4")));
        assert!(!list.permits(ip("192.0.2.1")));
        assert!(!list.permits(ip("2001:db8::1")));
    }

    #[test]
    fn a_mapped_client_is_its_ipv4_self() {
        let list = AccessList::new(vec![], nets(&["192.0.2.0/24"]));
        assert!(!list.permits(ip("::ffff:192.0.2.7")));
        assert!(list.permits(ip("::ffff:192.0.3.7")));
    }

    fn any_ip() -> impl Strategy<Value = IpAddr> {
        // Few distinct prefixes, so that hits are common.
        prop_oneof![
            (0u32..=0x3ff).prop_map(|low| IpAddr::V4((0x0a00_0000 | low).into())),
            (0u128..=0x3ff).prop_map(|low| IpAddr::V6(((0x2001 << 112) | low).into())),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_asking_every_network(
            allow in prop::collection::vec((any_ip(), 22u8..=32), 0..8),
            deny in prop::collection::vec((any_ip(), 22u8..=32), 0..8),
            client in any_ip(),
        ) {
            let net = |(ip, bits): (IpAddr, u8)| match ip {
                IpAddr::V4(_) => IpNet::new(ip, bits).unwrap(),
                IpAddr::V6(_) => IpNet::new(ip, bits + 96).unwrap(),
            };
            let allow: Vec<_> = allow.into_iter().map(net).collect();
            let deny: Vec<_> = deny.into_iter().map(net).collect();
            let on = |list: &[IpNet]| list.iter().any(|net| net.contains(&client));
            let expected = !on(&deny) && (allow.is_empty() || on(&allow));
            prop_assert_eq!(AccessList::new(allow, deny).permits(client), expected);
        }
    }
}
