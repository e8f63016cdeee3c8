//! How large the maps are: fixed when the program is loaded.

use lb_common::{
    BackendEntry, Control, Family, ListenerLine, ListenerV4, ListenerV6, PoolEntry, RingLine, flow::Line,
};

/// What the maps have room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Flows of clients with IPv4.
    pub flows_v4: u32,
    /// Flows of clients with IPv6.
    pub flows_v6: u32,
    /// Listeners: ids, over all addresses and protocols.
    pub listeners: u16,
    /// Pools.
    pub pools: u16,
    /// Backends, over all pools.
    pub backends: u16,
}

impl Capacity {
    /// Half of the ways stay empty where the table holds as many flows as were asked for: then 99.9 % of them
    /// find one.
    const SPARE: u32 = 2;

    /// Lines of a flow table, a power of two.
    pub fn flow_lines(&self, family: Family) -> u32 {
        let flows = match family {
            Family::V4 => self.flows_v4,
            Family::V6 => self.flows_v6,
        };
        let lines = (u64::from(flows) * u64::from(Self::SPARE)).div_ceil(Line::WAYS.into());
        u32::try_from(lines.next_power_of_two()).unwrap_or(1 << 31).clamp(2, 1 << 26)
    }

    /// Lines of half a listener table, a power of two: so many that a multiplier is found quickly that leaves
    /// none over-full.
    pub fn listener_lines(&self) -> u32 {
        (u32::from(self.listeners) * 2).next_power_of_two().max(64)
    }

    /// Bytes of the flow table of a family.
    pub fn flow_bytes(&self, family: Family) -> u64 {
        u64::from(self.flow_lines(family)) * size_of::<Line>() as u64
    }

    /// Bytes of all tables, but for what each CPU counts.
    pub fn bytes(&self) -> u64 {
        let listener = size_of::<ListenerLine<ListenerV4>>() + size_of::<ListenerLine<ListenerV6>>();
        let pool = size_of::<PoolEntry>() + size_of::<RingLine>() * 2 * RingLine::LINES as usize;
        let others = listener * 2 * self.listener_lines() as usize
            + pool * usize::from(self.pools)
            + size_of::<BackendEntry>() * usize::from(self.backends)
            + size_of::<Control>();
        self.flow_bytes(Family::V4) + self.flow_bytes(Family::V6) + others as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_flows_take_thirty_two_mebibytes() {
        let capacity = Capacity { flows_v4: 1 << 20, flows_v6: 0, listeners: 1, pools: 1, backends: 1 };
        assert_eq!(capacity.flow_bytes(Family::V4), 32 << 20);
        assert_eq!(capacity.flow_lines(Family::V6), 2);
        assert!(capacity.bytes() > 32 << 20);
        assert!(capacity.bytes() < 33 << 20);
    }

    #[test]
    fn the_largest_fit_their_types() {
        let capacity = Capacity {
            flows_v4: u32::MAX,
            flows_v6: u32::MAX,
            listeners: u16::MAX,
            pools: u16::MAX,
            backends: u16::MAX,
        };
        assert_eq!(capacity.flow_lines(Family::V4), 1 << 26);
        assert_eq!(capacity.listener_lines(), 1 << 17);
        assert!(capacity.bytes() < 40 << 30);
    }
}
