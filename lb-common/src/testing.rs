//! Maps of the programs that measure and try the balancer.

use crate::Word;
use crate::bits::u32_at;

/// The packets that a wrapper makes.
///
/// A wrapper writes them in words that begin where IP addresses do, each once: a load of bytes of two stores that were
/// made just before has to wait for both, which would be measured and is not what happens to packets of a network
/// card.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Plan {
    /// The packet, but for the last bytes of its source. The first word ends with as many bytes as come before the others.
    pub template: [Word; 11],
    /// How many packets were made.
    pub count: Word,
    /// Flows less one: a power of two less one, below 2²⁴.
    pub mask: Word,
    /// Odd: mixes the order of the flows up. 1 leaves it.
    pub multiplier: Word,
    spare: [Word; 2],
}

impl Plan {
    /// Bytes before the words of an IPv4 packet.
    pub const LEAD_V4: usize = 2;
    /// Bytes before the words of an IPv6 packet.
    pub const LEAD_V6: usize = 6;
    /// Bytes of an IPv4 packet.
    pub const LENGTH_V4: usize = Self::LEAD_V4 + 8 * 8;
    /// Bytes of an IPv6 packet.
    pub const LENGTH_V6: usize = Self::LEAD_V6 + 10 * 8;
    /// Where an IPv4 packet has its source.
    pub const SOURCE_V4: usize = 26;
    /// Where an IPv6 packet has the last four bytes of its source.
    pub const SOURCE_V6: usize = 34;

    /// The last four bytes of the next packet's source, in memory order: 10.x.y.z.
    #[inline(always)]
    pub fn next_source(&self) -> u32 {
        let count = self.count.load();
        self.count.store(count.wrapping_add(1));
        source(self.flow(count))
    }

    /// Which flow the packet of this number is of. All flows have their turn, in an order that no cache
    /// foresees: every step is a bijection.
    #[inline(always)]
    fn flow(&self, count: u64) -> u32 {
        let mask = self.mask.load();
        let multiplier = self.multiplier.load();
        let flow = count & mask;
        if multiplier == 1 {
            return u32_at(flow, 0);
        }
        let flow = flow.wrapping_mul(multiplier) & mask;
        let flow = (flow ^ flow >> 7).wrapping_mul(multiplier) & mask;
        u32_at(flow ^ flow >> 5, 0)
    }
}

/// The last four bytes of the source of a flow, in memory order.
#[inline(always)]
pub fn source(flow: u32) -> u32 {
    (0x0a00_0000 | flow).to_be()
}

/// What one CPU counts in a race.
#[derive(Debug, Default)]
#[repr(C)]
pub struct RaceCount {
    /// Look-ups.
    pub finds: Word,
    /// Those that found another flow's backend.
    pub wrong: Word,
}
